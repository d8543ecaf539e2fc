/* What a session needs to go on: the model's conversation, and the files that were written. */
#include "base/log.h"
#include "planner/store_internal.h"

/* ---- messages ---- */

static bool add_message(Store *store, Str id, uint64_t turn, Role role, Str text) {
    sqlite3_stmt *add = sql_use(store, SQL_MESSAGE_ADD);
    sql_bind_text(add, 1, id);
    sqlite3_bind_int64(add, 2, (sqlite3_int64)turn);
    sqlite3_bind_int(add, 3, role);
    sql_bind_bytes(add, 4, text);
    return sql_run(store, add);
}

void store_message(Store *store, Str id, uint64_t turn, Role role, Str text) {
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    if (!add_message(store, id, turn, role, text))
        sql_complain(store);
    pthread_mutex_unlock(&store->lock);
}

bool store_messages(Store *store, Str id, Arena *arena, StoredMessage **out, size_t *count, Err *err) {
    *out = NULL;
    *count = 0;
    if (!store)
        return true;
    size_t capacity = 0;
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *rows = sql_use(store, SQL_MESSAGES);
    sql_bind_text(rows, 1, id);
    while (sql_row(rows)) {
        int role = sqlite3_column_int(rows, 1);
        if (role < ROLE_SYSTEM || role > ROLE_ASSISTANT) {
            log_line(LOG_WARN, "a message of session %.*s cannot be read; it is left out", STR_ARG(id));
            continue;
        }
        StoredMessage message = {.message = {(Role)role, str_copy(arena, sql_column(rows, 2))},
                                 .turn = (uint64_t)sqlite3_column_int64(rows, 0)};
        LIST_PUSH(arena, *out, *count, capacity, message);
    }
    bool ok = sql_end(store, rows) || sql_fail(store, err, "the conversation cannot be read");
    pthread_mutex_unlock(&store->lock);
    return ok;
}

void store_replace_messages(Store *store, Str id, const StoredMessage *messages, size_t count) {
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    bool ok = sql_begin(store);
    if (ok) {
        sqlite3_stmt *drop = sql_use(store, SQL_MESSAGES_DROP);
        sql_bind_text(drop, 1, id);
        bool replaced = sql_run(store, drop);
        for (size_t i = 0; i < count && replaced; i++)
            replaced =
                add_message(store, id, messages[i].turn, messages[i].message.role, messages[i].message.text);
        ok = sql_finish(store, replaced);
    }
    if (!ok)
        sql_complain(store);
    pthread_mutex_unlock(&store->lock);
}

/* ---- files ---- */

void store_file(Store *store, Str id, const StoredFile *file) {
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *put = sql_use(store, SQL_FILE_PUT);
    sql_bind_text(put, 1, id);
    sql_bind_text(put, 2, file->path);
    sql_bind_bytes(put, 3, file->before);
    sql_bind_bytes(put, 4, file->sent);
    sql_bind_bytes(put, 5, file->found);
    sqlite3_bind_int(put, 6, file->was_new);
    if (!sql_run(store, put))
        sql_complain(store);
    pthread_mutex_unlock(&store->lock);
}

void store_forget_file(Store *store, Str id, Str path) {
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *drop = sql_use(store, SQL_FILE_DROP);
    sql_bind_text(drop, 1, id);
    sql_bind_text(drop, 2, path);
    if (!sql_run(store, drop))
        sql_complain(store);
    pthread_mutex_unlock(&store->lock);
}

bool store_files(Store *store, Str id, Arena *arena, StoredFile **out, size_t *count, Err *err) {
    *out = NULL;
    *count = 0;
    if (!store)
        return true;
    size_t capacity = 0;
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *rows = sql_use(store, SQL_FILES);
    sql_bind_text(rows, 1, id);
    while (sql_row(rows)) {
        StoredFile file = {.path = str_copy(arena, sql_column(rows, 0)),
                           .before = str_copy(arena, sql_column(rows, 1)),
                           .sent = str_copy(arena, sql_column(rows, 2)),
                           .found = str_copy(arena, sql_column(rows, 3)),
                           .was_new = sqlite3_column_int(rows, 4) != 0};
        LIST_PUSH(arena, *out, *count, capacity, file);
    }
    bool ok = sql_end(store, rows) || sql_fail(store, err, "the files of the session cannot be read");
    pthread_mutex_unlock(&store->lock);
    return ok;
}
