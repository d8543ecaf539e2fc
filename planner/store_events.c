/* What happened in a session, row by row, and its replay. */
#include "base/log.h"
#include "base/os.h"
#include "planner/store_internal.h"

/* ---- writing ---- */

/* What is told more than once has a name in its session: a later event takes the row of the first. */
static Str name_of(uint64_t turn, const TurnEvent *event, Arena *arena) {
    switch (event->kind) {
    case TURN_TOOL: return str_printf(arena, "tool:%.*s", STR_ARG(event->tool->id));
    case TURN_PLAN: return str_printf(arena, "plan:%llu", (unsigned long long)turn);
    case TURN_COMPACTION: return str_printf(arena, "compaction:%.*s", STR_ARG(event->compaction->id));
    default: return S("");
    }
}

static bool add_row(Store *store, Str id, uint64_t turn, TurnEventKind kind, Str name, Str body) {
    sqlite3_stmt *add = sql_use(store, SQL_EVENT_ADD);
    sql_bind_text(add, 1, id);
    sqlite3_bind_int64(add, 2, (sqlite3_int64)turn);
    sql_bind_text(add, 3, str_of(form_kind(kind)));
    if (name.len)
        sql_bind_text(add, 4, name);
    sql_bind_bytes(add, 5, body);
    return sql_run(store, add);
}

/* A tool call's update comes over what is kept of it. */
static void write_body(Store *store, Str id, Str name, const TurnEvent *event, Buf *out) {
    bool is_over = false;
    if (event->kind == TURN_TOOL && !event->tool->is_first) {
        sqlite3_stmt *get = sql_use(store, SQL_EVENT_GET);
        sql_bind_text(get, 1, id);
        sql_bind_text(get, 2, name);
        is_over = sql_row(get);
        if (is_over)
            form_write_tool_over(sql_column(get, 0), event->tool, out);
        sql_end(store, get);
    }
    if (!is_over)
        form_write(event, out);
}

static bool put_row(Store *store, Str id, uint64_t turn, const TurnEvent *event) {
    Arena arena = {0};
    Buf body = {0};
    Str name = name_of(turn, event, &arena);
    bool is_there = false, ok = true;
    write_body(store, id, name, event, &body);
    if (name.len) {
        sqlite3_stmt *put = sql_use(store, SQL_EVENT_PUT);
        sql_bind_text(put, 1, id);
        sql_bind_text(put, 2, name);
        sql_bind_bytes(put, 3, buf_text(&body));
        ok = sql_run(store, put);
        is_there = sqlite3_changes(store->db) > 0;
    }
    if (body.failed)
        store->problem = SQLITE_NOMEM;
    ok = ok && !body.failed && (is_there || add_row(store, id, turn, event->kind, name, buf_text(&body)));
    buf_free(&body);
    arena_free(&arena);
    return ok;
}

void store_event(Store *store, Str id, uint64_t turn, const TurnEvent *event) {
    if (!store)
        return;
    if (event->kind == TURN_DONE) {
        store_turn_ended(store, id, turn);
        return;
    }
    if (!form_kind(event->kind))
        return;
    pthread_mutex_lock(&store->lock);
    if (!put_row(store, id, turn, event))
        sql_complain(store);
    sql_checkpoint(store, LOG_PAGES_MAX);
    pthread_mutex_unlock(&store->lock);
}

/* ---- the end of a turn: pieces of one text become one row ---- */

typedef struct Piece {
    sqlite3_int64 first, last;
    TurnEventKind kind;
    size_t rows;
    Buf text;
} Piece;

static bool join(Store *store, Str id, uint64_t turn, Piece *piece) {
    bool ok = !piece->text.failed;
    if (ok && piece->rows > 1) {
        sqlite3_stmt *body = sql_use(store, SQL_EVENT_BODY);
        sqlite3_bind_int64(body, 1, piece->first);
        sql_bind_bytes(body, 2, buf_text(&piece->text));
        ok = sql_run(store, body);
        sqlite3_stmt *drop = sql_use(store, SQL_EVENTS_DROP);
        sql_bind_text(drop, 1, id);
        sqlite3_bind_int64(drop, 2, (sqlite3_int64)turn);
        sqlite3_bind_int64(drop, 3, piece->first);
        sqlite3_bind_int64(drop, 4, piece->last);
        ok = ok && sql_run(store, drop);
    }
    buf_free(&piece->text);
    *piece = (Piece){0};
    return ok;
}

/* The rows are read first: what is read must not be changed meanwhile. */
static bool join_turn(Store *store, Str id, uint64_t turn) {
    Arena arena = {0};
    Piece *pieces = NULL;
    size_t count = 0, capacity = 0;
    bool was_text = false;
    sqlite3_stmt *rows = sql_use(store, SQL_EVENTS_OF_TURN);
    sql_bind_text(rows, 1, id);
    sqlite3_bind_int64(rows, 2, (sqlite3_int64)turn);
    while (sql_row(rows)) {
        TurnEventKind kind;
        bool is_text = form_kind_of(sql_column(rows, 1), &kind) && form_is_text(kind);
        if (is_text && !(was_text && pieces[count - 1].kind == kind)) {
            Piece piece = {.first = sqlite3_column_int64(rows, 0), .kind = kind};
            LIST_PUSH(&arena, pieces, count, capacity, piece);
        }
        if (is_text) {
            pieces[count - 1].last = sqlite3_column_int64(rows, 0);
            pieces[count - 1].rows++;
            buf_str(&pieces[count - 1].text, sql_column(rows, 2));
        }
        was_text = is_text;
    }
    bool ok = sql_end(store, rows);
    for (size_t i = 0; i < count; i++)
        ok = join(store, id, turn, &pieces[i]) && ok;
    arena_free(&arena);
    return ok;
}

void store_turn_ended(Store *store, Str id, uint64_t turn) {
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    bool ok = sql_begin(store);
    if (ok) {
        sqlite3_stmt *touch = sql_use(store, SQL_SESSION_TOUCH);
        sql_bind_text(touch, 1, id);
        sqlite3_bind_int64(touch, 2, (sqlite3_int64)(os_unix_seconds() * 1e3));
        ok = sql_finish(store, join_turn(store, id, turn) && sql_run(store, touch));
    }
    if (!ok)
        sql_complain(store);
    pthread_mutex_unlock(&store->lock);
}

/* ---- replay ---- */

typedef struct Replay {
    Store *store;
    Str id;
    TurnSink sink;
    sqlite3_int64 place;
    TurnEventKind kind; /* of text */
    sqlite3_int64 turn;
    Buf text; /* not told yet */
} Replay;

static void tell_text(Replay *replay) {
    if (replay->text.len)
        replay->sink.event(replay->sink.ctx,
                           &(TurnEvent){.kind = replay->kind, .text = buf_text(&replay->text)});
    buf_clear(&replay->text);
}

/* The next row; the lock is free while the sink is told, so that turns of other sessions go on. */
static bool next_row(Replay *replay, Arena *arena, Str *kind, Str *body, sqlite3_int64 *turn, bool *ok) {
    Store *store = replay->store;
    pthread_mutex_lock(&store->lock);
    sqlite3_stmt *next = sql_use(store, SQL_EVENT_NEXT);
    sql_bind_text(next, 1, replay->id);
    sqlite3_bind_int64(next, 2, replay->place);
    bool has = sql_row(next);
    if (has) {
        replay->place = sqlite3_column_int64(next, 0);
        *turn = sqlite3_column_int64(next, 1);
        *kind = str_copy(arena, sql_column(next, 2));
        *body = str_copy(arena, sql_column(next, 3));
    }
    *ok = sql_end(store, next);
    pthread_mutex_unlock(&store->lock);
    return has && *ok;
}

static void tell_row(Replay *replay, Str kind_name, Str body, sqlite3_int64 turn, Arena *arena) {
    TurnEventKind kind;
    TurnEvent event;
    bool is_known = form_kind_of(kind_name, &kind);
    bool is_text = is_known && form_is_text(kind);
    if (!is_text || kind != replay->kind || turn != replay->turn)
        tell_text(replay);
    if (is_text) {
        replay->kind = kind;
        replay->turn = turn;
        buf_str(&replay->text, body);
    } else if (is_known && form_read(kind, body, arena, &event)) {
        replay->sink.event(replay->sink.ctx, &event);
    } else {
        log_line(LOG_WARN, "an event of session %.*s cannot be read; it is left out", STR_ARG(replay->id));
    }
}

bool store_replay(Store *store, Str id, TurnSink sink, Err *err) {
    if (!store)
        return true;
    Replay replay = {.store = store, .id = id, .sink = sink};
    Arena arena = {0};
    Str kind, body;
    sqlite3_int64 turn;
    bool ok;
    while (next_row(&replay, &arena, &kind, &body, &turn, &ok)) {
        tell_row(&replay, kind, body, turn, &arena);
        arena_free(&arena);
    }
    tell_text(&replay);
    buf_free(&replay.text);
    arena_free(&arena);
    return ok || sql_fail(store, err, "the session cannot be read to its end");
}
