/* The database: where it lies, its tables and statements. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "planner/store_internal.h"

#define FORMAT 1
#define BUSY_MS 5000
#define BUSY_AGAIN_MS 20 /* who waited in vain waits no longer than that until something could be written */
#define LOG_PAGES 1000   /* more of them are moved into the database between turns */

static const char TABLES[] =
    "CREATE TABLE session(key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, cwd TEXT NOT NULL,"
    " title TEXT NOT NULL, model TEXT NOT NULL, roots TEXT NOT NULL, review INTEGER NOT NULL,"
    " grain INTEGER NOT NULL, is_terse INTEGER NOT NULL, turns INTEGER NOT NULL, updated INTEGER NOT NULL);"
    "CREATE INDEX session_order ON session(updated);"
    "CREATE TABLE event(place INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES session ON DELETE"
    " CASCADE, turn INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT, body BLOB NOT NULL);"
    "CREATE INDEX event_order ON event(session);"
    "CREATE UNIQUE INDEX event_name ON event(session, name) WHERE name IS NOT NULL;"
    "CREATE TABLE message(place INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES session ON DELETE"
    " CASCADE, turn INTEGER NOT NULL, role INTEGER NOT NULL, body BLOB NOT NULL);"
    "CREATE INDEX message_order ON message(session);"
    "CREATE TABLE file(session INTEGER NOT NULL REFERENCES session ON DELETE CASCADE, path TEXT NOT NULL,"
    " before BLOB NOT NULL, sent BLOB NOT NULL, found BLOB NOT NULL, was_new INTEGER NOT NULL,"
    " PRIMARY KEY(session, path));";

#define SESSION_OF "(SELECT key FROM session WHERE id = ?1)"

/* In each, ?1 is a session's id. */
static const char *const STATEMENTS[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SESSION_CHANGE] =
        "UPDATE session SET cwd = ?2, model = ?4, roots = ?5, review = ?6, grain = ?7, is_terse = ?8,"
        " updated = iif(?9 > turns, ?10, updated), turns = max(turns, ?9) WHERE id = ?1",
    [SQL_SESSION_ADD] = "INSERT INTO session(id, cwd, title, model, roots, review, grain, is_terse, turns,"
                        " updated) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [SQL_SESSION_GET] = "SELECT cwd, title, model, roots, review, grain, is_terse, turns, updated"
                        " FROM session WHERE id = ?1",
    [SQL_SESSION_TITLE] = "UPDATE session SET title = ?2 WHERE id = ?1",
    [SQL_SESSION_TOUCH] = "UPDATE session SET updated = ?2 WHERE id = ?1",
    [SQL_SESSION_DELETE] = "DELETE FROM session WHERE id = ?1",
    [SQL_SESSION_COPY] = "INSERT INTO session(id, cwd, title, model, roots, review, grain, is_terse, turns,"
                         " updated) SELECT ?2, cwd, title, model, roots, review, grain, is_terse, turns, ?3"
                         " FROM session WHERE id = ?1",
    [SQL_SESSIONS] = "SELECT key, id, cwd, title, roots, updated, turns FROM session"
                     " WHERE turns > 0 AND (?1 = '' OR cwd = ?1) AND (updated, key) < (?2, ?3)"
                     " ORDER BY updated DESC, key DESC LIMIT ?4",
    [SQL_PRUNE_EMPTY] = "DELETE FROM session WHERE turns = 0 AND updated < ?1",
    [SQL_PRUNE_OLD] = "DELETE FROM session WHERE key IN (SELECT key FROM session WHERE id <> ?1 ORDER BY"
                      " updated DESC, key DESC LIMIT -1 OFFSET ?2)",
    [SQL_VACUUM] = "PRAGMA incremental_vacuum",
    [SQL_EVENT_ADD] = "INSERT INTO event(session, turn, kind, name, body)"
                      " SELECT key, ?2, ?3, ?4, ?5 FROM session WHERE id = ?1",
    [SQL_EVENT_PUT] = "UPDATE event SET body = ?3 WHERE session = " SESSION_OF " AND name = ?2",
    [SQL_EVENT_GET] = "SELECT body FROM event WHERE session = " SESSION_OF " AND name = ?2",
    [SQL_EVENT_NEXT] = "SELECT place, turn, kind, body FROM event WHERE session = " SESSION_OF
                       " AND place > ?2 ORDER BY place LIMIT 1",
    [SQL_EVENTS_OF_TURN] =
        "SELECT place, kind, body FROM event WHERE session = " SESSION_OF " AND turn = ?2 ORDER BY place",
    [SQL_EVENT_BODY] = "UPDATE event SET body = ?2 WHERE place = ?1",
    [SQL_EVENTS_DROP] =
        "DELETE FROM event WHERE session = " SESSION_OF " AND turn = ?2 AND place > ?3 AND place <= ?4",
    [SQL_EVENTS_COPY] =
        "INSERT INTO event(session, turn, kind, name, body) SELECT (SELECT key FROM session"
        " WHERE id = ?2), turn, kind, name, body FROM event WHERE session = " SESSION_OF " ORDER BY place",
    [SQL_LAST_TOOL] = "SELECT max(CAST(substr(name, 11) AS INTEGER)) FROM event WHERE session = " SESSION_OF
                      " AND name GLOB 'tool:call_[0-9]*'",
    [SQL_MESSAGE_ADD] = "INSERT INTO message(session, turn, role, body)"
                        " SELECT key, ?2, ?3, ?4 FROM session WHERE id = ?1",
    [SQL_MESSAGES] = "SELECT turn, role, body FROM message WHERE session = " SESSION_OF " ORDER BY place",
    [SQL_MESSAGES_DROP] = "DELETE FROM message WHERE session = " SESSION_OF,
    [SQL_MESSAGES_COPY] =
        "INSERT INTO message(session, turn, role, body) SELECT (SELECT key FROM session"
        " WHERE id = ?2), turn, role, body FROM message WHERE session = " SESSION_OF " ORDER BY place",
    [SQL_FILE_PUT] = "INSERT OR REPLACE INTO file(session, path, before, sent, found, was_new)"
                     " SELECT key, ?2, ?3, ?4, ?5, ?6 FROM session WHERE id = ?1",
    [SQL_FILE_DROP] = "DELETE FROM file WHERE session = " SESSION_OF " AND path = ?2",
    [SQL_FILES] =
        "SELECT path, before, sent, found, was_new FROM file WHERE session = " SESSION_OF " ORDER BY path",
    [SQL_FILES_COPY] = "INSERT INTO file SELECT (SELECT key FROM session WHERE id = ?2), path, before, sent,"
                       " found, was_new FROM file WHERE session = " SESSION_OF,
};

/* ---- statements ---- */

sqlite3_stmt *sql_use(Store *store, StoreSql which) {
    sqlite3_stmt *statement = store->statements[which];
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
}

void sql_bind_text(sqlite3_stmt *statement, int place, Str text) {
    sqlite3_bind_text64(statement, place, text.ptr ? text.ptr : "", text.len, SQLITE_STATIC, SQLITE_UTF8);
}

void sql_bind_bytes(sqlite3_stmt *statement, int place, Str bytes) {
    sqlite3_bind_blob64(statement, place, bytes.ptr ? bytes.ptr : "", bytes.len, SQLITE_STATIC);
}

Str sql_column(sqlite3_stmt *statement, int column) {
    const char *bytes = sqlite3_column_blob(statement, column);
    return bytes ? (Str){bytes, (size_t)sqlite3_column_bytes(statement, column)} : S("");
}

bool sql_row(sqlite3_stmt *statement) {
    return sqlite3_step(statement) == SQLITE_ROW;
}

bool sql_end(Store *store, sqlite3_stmt *statement) {
    int code = sqlite3_reset(statement); /* tells how the last step went */
    if (code != SQLITE_OK)
        store->problem = code;
    bool is_held = (code & 0xff) == SQLITE_BUSY, is_written = !code && !sqlite3_stmt_readonly(statement);
    if (is_held || (is_written && store->is_held)) {
        store->is_held = is_held;
        sqlite3_busy_timeout(store->db, is_held ? BUSY_AGAIN_MS : BUSY_MS);
    }
    return code == SQLITE_OK;
}

bool sql_run(Store *store, sqlite3_stmt *statement) {
    while (sql_row(statement)) {
    }
    return sql_end(store, statement);
}

bool sql_begin(Store *store) {
    return sql_run(store, sql_use(store, SQL_BEGIN));
}

bool sql_finish(Store *store, bool is_kept) {
    bool ok = is_kept && sql_run(store, sql_use(store, SQL_COMMIT));
    if (!sqlite3_get_autocommit(store->db)) {
        int problem = store->problem;
        sql_run(store, sql_use(store, SQL_ROLLBACK));
        store->problem = problem;
    }
    return ok;
}

void sql_checkpoint(Store *store, int pages) {
    if (store->log_pages < pages)
        return;
    sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    store->log_pages = 0;
}

bool sql_fail(Store *store, Err *err, const char *what) {
    switch (store->problem & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(err, ERR_IO, "%s: the file of sessions is damaged; move it away to begin a new one",
                       what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_IO, "%s: another program has held the file of sessions for long; try again",
                       what);
    case SQLITE_FULL: return err_set(err, ERR_IO, "%s: the disk is full", what);
    default: return err_set(err, ERR_IO, "%s: %s", what, sqlite3_errstr(store->problem));
    }
}

void sql_complain(Store *store) {
    Err err = {0};
    if (store->has_complained)
        return;
    store->has_complained = true;
    sql_fail(store, &err, "what is said here is not kept");
    log_line(LOG_WARN, "%s", err.text);
}

void store_tidy(Store *store) {
    if (!store)
        return;
    pthread_mutex_lock(&store->lock);
    sql_checkpoint(store, LOG_PAGES);
    pthread_mutex_unlock(&store->lock);
}

/* ---- opening ---- */

static bool run_text(Store *store, const char *text) {
    int code = sqlite3_exec(store->db, text, NULL, NULL, NULL);
    if (code != SQLITE_OK)
        store->problem = code;
    return code == SQLITE_OK;
}

static bool read_number(Store *store, const char *query, int64_t *out) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, query, -1, &statement, NULL);
    if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    if (code == SQLITE_OK)
        code = sqlite3_finalize(statement);
    if (code != SQLITE_OK)
        store->problem = code;
    return code == SQLITE_OK;
}

/* *is_empty: a file that nobody has written yet. */
static bool check_format(Store *store, const char *path, bool *is_empty, Err *err) {
    int64_t format = 0, tables = 0;
    if (!read_number(store, "PRAGMA user_version", &format) ||
        !read_number(store, "SELECT count(*) FROM sqlite_schema", &tables))
        return sql_fail(store, err, path);
    if (format > FORMAT)
        return err_set(err, ERR_UNSUPPORTED, "%s was written by a newer version of this program", path);
    if (format != FORMAT && (format != 0 || tables > 0))
        return err_set(err, ERR_INVALID, "%s holds something else than sessions; move it away", path);
    *is_empty = format == 0;
    return true;
}

/* Makes the tables in an empty file; two programs may be at it at once. */
static bool make_tables(Store *store, const char *path, Err *err) {
    bool is_empty = false;
    if (!run_text(store, "BEGIN IMMEDIATE"))
        return sql_fail(store, err, path);
    bool ok = check_format(store, path, &is_empty, err);
    if (ok && is_empty) {
        ok = run_text(store, TABLES) && run_text(store, "PRAGMA user_version = 1");
        if (!ok)
            sql_fail(store, err, path);
    }
    if (!run_text(store, ok ? "COMMIT" : "ROLLBACK") && ok)
        ok = sql_fail(store, err, path);
    return ok;
}

static bool prepare_all(Store *store, const char *path, Err *err) {
    for (int i = 0; i < SQL_COUNT; i++) {
        int code = sqlite3_prepare_v3(store->db, STATEMENTS[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &store->statements[i], NULL);
        if (code == SQLITE_ERROR) /* a table is not as it should be */
            code = SQLITE_CORRUPT;
        if (code != SQLITE_OK) {
            store->problem = code;
            return sql_fail(store, err, path);
        }
    }
    return true;
}

/* In place of SQLite's own checkpoints, which come in the middle of a turn. */
static int note_pages(void *ctx, sqlite3 *db, const char *name, int pages) {
    (void)db, (void)name;
    ((Store *)ctx)->log_pages = pages;
    return SQLITE_OK;
}

static bool open_database(Store *store, const char *path, Err *err) {
    int code = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        store->problem = code;
        return sql_fail(store, err, path);
    }
    sqlite3_busy_timeout(store->db, BUSY_MS);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    bool is_empty = false;
    if (!check_format(store, path, &is_empty, err)) /* before anything is changed */
        return false;
    if (!run_text(store, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
                         "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;"
                         "PRAGMA journal_size_limit = 16777216; PRAGMA cache_size = -512;"))
        return sql_fail(store, err, path);
    sqlite3_wal_hook(store->db, note_pages, store);
    return make_tables(store, path, err) && prepare_all(store, path, err);
}

/* SQLite gives the files beside it the mode of the database. */
static bool make_file(const char *path, Err *err) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "%s cannot be opened", path);
    close(fd);
    return true;
}

Store *store_open(Str folder, Err *err) {
    Arena arena = {0};
    const char *path = str_printf(&arena, "%.*s/sessions.db", STR_ARG(folder)).ptr;
    Store *store = NULL;
    if (os_make_dirs(str_cstr(&arena, folder), err) && make_file(path, err)) {
        store = calloc(1, sizeof *store);
        if (!store)
            err_set(err, ERR_NO_MEMORY, "not enough memory for the store of sessions");
        else
            pthread_mutex_init(&store->lock, NULL);
    }
    if (store && !open_database(store, path, err)) {
        store_close(store);
        store = NULL;
    }
    arena_free(&arena);
    return store;
}

void store_close(Store *store) {
    if (!store)
        return;
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    pthread_mutex_destroy(&store->lock);
    free(store);
}
