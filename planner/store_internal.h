/* Inside the store: the database, its statements, and the form in which events lie in it. */
#ifndef MUX_PLANNER_STORE_INTERNAL_H
#define MUX_PLANNER_STORE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>

#include "base/json.h"
#include "planner/store.h"

typedef enum StoreSql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SESSION_CHANGE,
    SQL_SESSION_ADD,
    SQL_SESSION_GET,
    SQL_SESSION_TITLE,
    SQL_SESSION_TOUCH,
    SQL_SESSION_DELETE,
    SQL_SESSION_COPY,
    SQL_SESSIONS,
    SQL_PRUNE_EMPTY,
    SQL_PRUNE_OLD,
    SQL_VACUUM,
    SQL_EVENT_ADD,
    SQL_EVENT_PUT,
    SQL_EVENT_GET,
    SQL_EVENT_NEXT,
    SQL_EVENTS_OF_TURN,
    SQL_EVENT_BODY,
    SQL_EVENTS_DROP,
    SQL_EVENTS_COPY,
    SQL_LAST_TOOL,
    SQL_MESSAGE_ADD,
    SQL_MESSAGES,
    SQL_MESSAGES_DROP,
    SQL_MESSAGES_COPY,
    SQL_FILE_PUT,
    SQL_FILE_DROP,
    SQL_FILES,
    SQL_FILES_COPY,
    SQL_COUNT
} StoreSql;

struct Store {
    pthread_mutex_t lock; /* held by whoever uses the rest */
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT]; /* all prepared when the store is opened */
    int problem;                         /* SQLite's code of the last failure */
    bool has_complained;
    bool is_held;  /* by another program, when it was last to be written */
    int log_pages; /* in the write-ahead log, not in the database yet */
};

/* ---- statements; the lock is held ---- */

/* Ready to be bound. */
sqlite3_stmt *sql_use(Store *store, StoreSql which);
void sql_bind_text(sqlite3_stmt *statement, int place, Str text);
void sql_bind_bytes(sqlite3_stmt *statement, int place, Str bytes);
/* Borrowed until the next step. */
Str sql_column(sqlite3_stmt *statement, int column);
/* Runs it to its end and leaves it ready for the next use. */
bool sql_run(Store *store, sqlite3_stmt *statement);
/* One row, to be read; sql_end after the last one. */
bool sql_row(sqlite3_stmt *statement);
/* True when no row failed. */
bool sql_end(Store *store, sqlite3_stmt *statement);
bool sql_begin(Store *store);
/* Keeps what was done since sql_begin, or nothing of it; is_kept as it could be done. */
bool sql_finish(Store *store, bool is_kept);
#define LOG_PAGES_MAX 16000 /* whoever writes beyond this has to wait for the disk */
/* Moves what the log holds into the database, when it holds that many pages: the disk is waited for. */
void sql_checkpoint(Store *store, int pages);
/* What SQLite says is wrong, as a sentence with `what` in front; false. */
bool sql_fail(Store *store, Err *err, const char *what);
/* The same for what nobody waits for: in the log, once. */
void sql_complain(Store *store);

/* ---- store_form.c: events as they are kept, pure ---- */

/* The name of a kind; NULL: it is not kept. */
const char *form_kind(TurnEventKind kind);
bool form_kind_of(Str name, TurnEventKind *out);
/* Text and thought are kept as they are, everything else as JSON. */
bool form_is_text(TurnEventKind kind);
void form_write(const TurnEvent *event, Buf *out);
/* An update of a tool call over what is kept of it. */
void form_write_tool_over(Str kept, const ToolEvent *tool, Buf *out);
/* body as written; what was under way is read as failed. False: it cannot be read. */
bool form_read(TurnEventKind kind, Str body, Arena *arena, TurnEvent *out);

#endif
