/* Sessions of the store: their rows, their list, and what goes with them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/os.h"
#include "planner/store_internal.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static int64_t now_ms(void) {
    return (int64_t)(os_unix_seconds() * 1e3);
}

/* ---- lists of folders ---- */

static void print_roots(const Str *roots, size_t count, Buf *out) {
    Json *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_push(list, json_text(roots[i]));
    json_print(list, out);
    json_free(list);
}

static const Str *read_roots(Str text, Arena *arena, size_t *count) {
    Json *list = json_parse(text, NULL);
    Str *roots = ARENA_ARRAY(arena, Str, json_len(list) + 1);
    *count = 0;
    JSON_EACH(item, list) {
        if (cJSON_IsString(item))
            roots[(*count)++] = str_copy(arena, json_str_value(item));
    }
    json_free(list);
    return roots;
}

/* ---- one session; the lock is held ---- */

static void bind_session(sqlite3_stmt *statement, const StoredSession *session, Str roots) {
    sql_bind_text(statement, 1, session->id);
    sql_bind_text(statement, 2, session->cwd);
    sql_bind_text(statement, 3, session->title);
    sql_bind_text(statement, 4, session->model);
    sql_bind_text(statement, 5, roots);
    sqlite3_bind_int(statement, 6, session->review);
    sqlite3_bind_int(statement, 7, session->grain);
    sqlite3_bind_int(statement, 8, session->is_terse);
    sqlite3_bind_int64(statement, 9, (sqlite3_int64)session->turns);
    sqlite3_bind_int64(statement, 10, now_ms());
}

/* Room for a new one, which stays even when the clock was put back. */
static bool prune(Store *store, Str id) {
    sqlite3_stmt *empty = sql_use(store, SQL_PRUNE_EMPTY);
    sqlite3_bind_int64(empty, 1, now_ms() - DAY_MS);
    sqlite3_stmt *old = sql_use(store, SQL_PRUNE_OLD);
    sql_bind_text(old, 1, id);
    sqlite3_bind_int64(old, 2, STORE_SESSIONS_MAX - 1);
    return sql_run(store, empty) && sql_run(store, old);
}

static bool put_session(Store *store, const StoredSession *session, Str roots) {
    sqlite3_stmt *change = sql_use(store, SQL_SESSION_CHANGE);
    bind_session(change, session, roots);
    if (!sql_run(store, change))
        return false;
    if (sqlite3_changes(store->db) > 0)
        return true;
    sqlite3_stmt *add = sql_use(store, SQL_SESSION_ADD);
    bind_session(add, session, roots);
    return sql_run(store, add) && prune(store, session->id);
}

bool store_put_session(Store *store, const StoredSession *session, Err *err) {
    if (!store)
        return true;
    Buf roots = {0};
    print_roots(session->extra_roots, session->extra_root_count, &roots);
    pthread_mutex_lock(&store->lock);
    bool ok = sql_begin(store) && sql_finish(store, put_session(store, session, buf_text(&roots)));
    if (!ok && err)
        sql_fail(store, err, "the session cannot be kept");
    else if (!ok)
        sql_complain(store);
    sql_checkpoint(store, LOG_PAGES_MAX);
    pthread_mutex_unlock(&store->lock);
    buf_free(&roots);
    return ok;
}

static int choice(sqlite3_stmt *row, int column, int count) {
    sqlite3_int64 n = sqlite3_column_int64(row, column);
    return n >= 0 && n < count ? (int)n : 0;
}

static void read_session(sqlite3_stmt *row, Arena *arena, StoredSession *out) {
    sqlite3_int64 turns = sqlite3_column_int64(row, 7);
    out->cwd = str_copy(arena, sql_column(row, 0));
    out->title = str_copy(arena, sql_column(row, 1));
    out->model = str_copy(arena, sql_column(row, 2));
    out->extra_roots = read_roots(sql_column(row, 3), arena, &out->extra_root_count);
    out->review = (ReviewMode)choice(row, 4, REVIEW_PLAN + 1);
    out->grain = (ReviewGrain)choice(row, 5, GRAIN_HUNK + 1);
    out->is_terse = sqlite3_column_int(row, 6) != 0;
    out->turns = turns > 0 ? (uint64_t)turns : 0;
    out->updated = (double)sqlite3_column_int64(row, 8) / 1e3;
}

static bool get_session(Store *store, Str id, Arena *arena, StoredSession *out, bool *is_there) {
    *out = (StoredSession){.id = str_copy(arena, id)};
    sqlite3_stmt *get = sql_use(store, SQL_SESSION_GET);
    sql_bind_text(get, 1, id);
    *is_there = sql_row(get);
    if (*is_there)
        read_session(get, arena, out);
    if (!sql_end(store, get))
        return false;
    sqlite3_stmt *last = sql_use(store, SQL_LAST_TOOL);
    sql_bind_text(last, 1, id);
    sqlite3_int64 number = -1;
    if (sql_row(last) && sqlite3_column_type(last, 0) == SQLITE_INTEGER)
        number = sqlite3_column_int64(last, 0);
    out->next_tool = number >= 0 ? (uint64_t)number + 1 : 0;
    return sql_end(store, last);
}

static bool is_missing(Str id, Err *err) {
    Str shown = str_slice(id, 0, 80);
    return err_set(err, ERR_NOT_FOUND, "there is no session \"%.*s\"", STR_ARG(shown));
}

bool store_get_session(Store *store, Str id, Arena *arena, StoredSession *out, Err *err) {
    bool is_there = false;
    if (!store)
        return is_missing(id, err);
    pthread_mutex_lock(&store->lock);
    bool ok =
        get_session(store, id, arena, out, &is_there) || sql_fail(store, err, "the session cannot be read");
    pthread_mutex_unlock(&store->lock);
    return ok && (is_there || is_missing(id, err));
}

uint64_t store_turns(Store *store, Str id) {
    if (!store)
        return 0;
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *get = sql_use(store, SQL_SESSION_GET);
    sql_bind_text(get, 1, id);
    sqlite3_int64 turns = sql_row(get) ? sqlite3_column_int64(get, 7) : 0;
    sql_end(store, get);
    pthread_mutex_unlock(&store->lock);
    return turns > 0 ? (uint64_t)turns : 0;
}

static bool copy_rows(Store *store, StoreSql which, Str from, Str to) {
    sqlite3_stmt *copy = sql_use(store, which);
    sql_bind_text(copy, 1, from);
    sql_bind_text(copy, 2, to);
    if (which == SQL_SESSION_COPY)
        sqlite3_bind_int64(copy, 3, now_ms());
    return sql_run(store, copy);
}

bool store_copy_session(Store *store, Str from, Str to, Err *err) {
    if (!store)
        return is_missing(from, err);
    pthread_mutex_lock(&store->lock);
    bool is_there = true, ok = sql_begin(store);
    if (ok) {
        bool copied = copy_rows(store, SQL_SESSION_COPY, from, to);
        is_there = !copied || sqlite3_changes(store->db) > 0;
        copied = copied && is_there && copy_rows(store, SQL_EVENTS_COPY, from, to) &&
                 copy_rows(store, SQL_MESSAGES_COPY, from, to) &&
                 copy_rows(store, SQL_FILES_COPY, from, to) && prune(store, to);
        ok = sql_finish(store, copied);
    }
    if (!is_there)
        is_missing(from, err);
    else if (!ok)
        sql_fail(store, err, "the session cannot be copied");
    pthread_mutex_unlock(&store->lock);
    return ok;
}

bool store_delete_session(Store *store, Str id, Err *err) {
    if (!store)
        return true;
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *drop = sql_use(store, SQL_SESSION_DELETE);
    sql_bind_text(drop, 1, id);
    bool ok = sql_run(store, drop) || sql_fail(store, err, "the session cannot be deleted");
    if (ok && sqlite3_changes(store->db) > 0) {
        sql_run(store, sql_use(store, SQL_VACUUM));
        /* What was said shall not stay in the log beside the database either. Another reader may prevent it;
         * then a later checkpoint does it. */
        sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    pthread_mutex_unlock(&store->lock);
    return ok;
}

bool store_set_title(Store *store, Str id, Str title, Err *err) {
    if (!store)
        return is_missing(id, err);
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *set = sql_use(store, SQL_SESSION_TITLE);
    sql_bind_text(set, 1, id);
    sql_bind_text(set, 2, title);
    bool ok = sql_run(store, set) || sql_fail(store, err, "the title cannot be kept");
    bool is_there = sqlite3_changes(store->db) > 0;
    pthread_mutex_unlock(&store->lock);
    return ok && (is_there || is_missing(id, err));
}

/* ---- the list ---- */

/* A cursor names the last session of its page: "updated.key". */
static bool read_cursor(Str cursor, int64_t *updated, int64_t *key) {
    char text[48];
    *updated = *key = INT64_MAX;
    if (!cursor.len)
        return true;
    if (cursor.len >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", STR_ARG(cursor));
    char *dot, *end;
    *updated = strtoll(text, &dot, 10);
    if (dot == text || *dot != '.')
        return false;
    *key = strtoll(dot + 1, &end, 10);
    return end != dot + 1 && *end == 0 && (size_t)(end - text) == cursor.len;
}

static void read_item(sqlite3_stmt *row, Arena *arena, SessionInfo *out) {
    *out = (SessionInfo){.id = str_copy(arena, sql_column(row, 1)),
                         .cwd = str_copy(arena, sql_column(row, 2)),
                         .title = str_copy(arena, sql_column(row, 3)),
                         .updated = (double)sqlite3_column_int64(row, 5) / 1e3,
                         .turns = (size_t)sqlite3_column_int64(row, 6)};
    out->extra_roots = read_roots(sql_column(row, 4), arena, &out->extra_root_count);
}

bool store_list(Store *store, Str cwd, Str cursor, size_t most, Arena *arena, SessionPage *out, Err *err) {
    int64_t updated, key;
    *out = (SessionPage){.next = S("")};
    if (!read_cursor(cursor, &updated, &key))
        return err_set(err, ERR_INVALID, "the cursor is none that this list gave");
    if (!store)
        return true;
    if (most > STORE_SESSIONS_MAX)
        most = STORE_SESSIONS_MAX;
    out->items = ARENA_ARRAY(arena, SessionInfo, most + 1);
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *rows = sql_use(store, SQL_SESSIONS);
    sql_bind_text(rows, 1, cwd);
    sqlite3_bind_int64(rows, 2, updated);
    sqlite3_bind_int64(rows, 3, key);
    sqlite3_bind_int64(rows, 4, (sqlite3_int64)most + 1); /* one more tells whether there is a next page */
    while (sql_row(rows)) {
        if (out->count == most) {
            out->next = str_printf(arena, "%lld.%lld", (long long)updated, (long long)key);
            break;
        }
        key = sqlite3_column_int64(rows, 0);
        updated = sqlite3_column_int64(rows, 5);
        read_item(rows, arena, &out->items[out->count++]);
    }
    bool ok = sql_end(store, rows) || sql_fail(store, err, "the sessions cannot be listed");
    pthread_mutex_unlock(&store->lock);
    return ok;
}
