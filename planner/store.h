/* Store: sessions kept on disk, in <state folder>/sessions.db (SQLite, write-ahead log, 0600).
 *
 *   Store *store = store_open(folder, &err);  store_put_session(store, &row, &err);
 *   store_event(store, id, turn, &event); store_message(...); ...; store_close(store);
 *
 * Written as things happen, each in a transaction of its own: a process that is killed loses at most the
 * event in flight. Several processes may share the file. Thread-safe (one lock inside). A store that cannot
 * be written (disk full, locked for long) says so once in the log and the turn goes on: what is on screen is
 * worth more than its record. Private to the planner; every function takes store NULL for "nothing is kept".
 * A damaged file is refused and left as it is; a row that cannot be read is left out with a line in the log.
 *
 * Kept are the STORE_SESSIONS_MAX sessions used last, and for a day those in which nothing was asked. An open
 * one that had to go is kept anew from its next turn on.
 */
#ifndef MUX_PLANNER_STORE_H
#define MUX_PLANNER_STORE_H

#include "planner/planner.h"

#define STORE_SESSIONS_MAX 1000

typedef struct Store Store;

typedef struct StoredSession {
    Str id, cwd, title, model;
    const Str *extra_roots;
    size_t extra_root_count;
    ReviewMode review;
    ReviewGrain grain;
    bool is_terse;
    uint64_t turns;
    uint64_t next_tool; /* the first free number of a tool call; read only */
    double updated;     /* seconds since 1970: when it was made, or its last turn began or ended; read only */
} StoredSession;

/* A file as the last turn that wrote it left it (written.h). */
typedef struct StoredFile {
    Str path; /* absolute */
    Str before, sent, found;
    bool was_new;
} StoredFile;

/* ERR_IO (also a damaged file), ERR_UNSUPPORTED (a newer format), ERR_INVALID (something else's file). */
Store *store_open(Str folder, Err *err);
void store_close(Store *store);

/* Adds it, or changes all but its title. err NULL: a failure is only logged. */
bool store_put_session(Store *store, const StoredSession *session, Err *err);
/* ERR_NOT_FOUND. */
bool store_get_session(Store *store, Str id, Arena *arena, StoredSession *out, Err *err);
/* Its turns so far, also those of other processes; 0: not known. */
uint64_t store_turns(Store *store, Str id);
bool store_copy_session(Store *store, Str from, Str to, Err *err); /* with all that hangs on it */
bool store_delete_session(Store *store, Str id, Err *err);
bool store_list(Store *store, Str cwd, Str cursor, size_t most, Arena *arena, SessionPage *out, Err *err);
bool store_set_title(Store *store, Str id, Str title, Err *err);

/* What happened. Pieces of text are joined when the turn ends (TURN_DONE does what store_turn_ended does); of
 * a tool call, a turn's plan and a compaction the first place and the last state are kept. Questions, usage,
 * notices, titles, and the ids of terminals are not kept. */
void store_event(Store *store, Str id, uint64_t turn, const TurnEvent *event);
void store_turn_ended(Store *store, Str id, uint64_t turn);
/* After a turn, when nobody waits: puts the files in order, as far as that is due. */
void store_tidy(Store *store);
/* Calls sink for each, oldest first; what never ended comes as failed. */
bool store_replay(Store *store, Str id, TurnSink sink, Err *err);

/* The model's conversation: what is sent to it again. */
void store_message(Store *store, Str id, uint64_t turn, Role role, Str text);
typedef struct StoredMessage {
    Message message;
    uint64_t turn;
} StoredMessage;
bool store_messages(Store *store, Str id, Arena *arena, StoredMessage **out, size_t *count, Err *err);
/* All messages become these. */
void store_replace_messages(Store *store, Str id, const StoredMessage *messages, size_t count);

void store_file(Store *store, Str id, const StoredFile *file); /* replaces the one of the same path */
void store_forget_file(Store *store, Str id, Str path);
bool store_files(Store *store, Str id, Arena *arena, StoredFile **out, size_t *count, Err *err);

#endif
