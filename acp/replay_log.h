/* replay_log: a recorded conversation, whichever program wrote it down. Recognised by looking at it:
 *   - our own JSONL: {"t":…,"dir":"in"|"out","msg":{…}} or "raw"
 *   - the array that an editor's log view copies:
 * {"_direction":"outgoing"|"incoming","_type":…,"id":…,"method":…, "params":…}, where an answer keeps its
 * request's method and has its result or error in params
 *   - plain JSON-RPC lines in both directions without tags, told apart by method names and pairing of ids
 */
#ifndef MUX_ACP_REPLAY_LOG_H
#define MUX_ACP_REPLAY_LOG_H

#include "base/json.h"

typedef enum LogKind {
    LOG_REQUEST,
    LOG_NOTIFICATION,
    LOG_ANSWER,
    LOG_OTHER, /* a line that is none of these: sent as it was */
} LogKind;

/* A session of the log, in the order in which they appear. */
typedef struct LogSession {
    Str id;
    size_t begins_at;  /* what the agent said in it before this message is not compared */
    bool is_foreign;   /* made before the log begins (or loaded from a store that is not here) */
    size_t open_loads; /* its history is being replayed */
} LogSession;

typedef struct LogMessage {
    bool to_agent;
    LogKind kind;
    Str id;      /* as JSON text; empty for notifications */
    Str method;  /* of an answer: its request's, empty when unknown */
    Str session; /* that it belongs to (an answer: its request's params say), as recorded; empty when none */
    const Json *body; /* params, result or error; NULL when absent */
    bool is_error;
    Str raw;         /* LOG_OTHER */
    size_t number;   /* in the log, from 1 */
    size_t partner;  /* index of the answer (of a request) or of the request (of an answer); STR_NONE */
    bool is_extra;   /* a request that the player made up, and its answer */
    bool is_history; /* told while a foreign session was loaded */
} LogMessage;

typedef struct ReplayLog {
    Arena arena;
    Json *root; /* owns all bodies */
    LogMessage *items;
    size_t count, capacity;
    LogSession *sessions;
    size_t session_count, session_capacity;
} ReplayLog;

bool replay_log_read(Str text, ReplayLog *out, Err *err); /* free in any case */
void replay_log_free(ReplayLog *log);
/* One message of a conversation as JSON-RPC; used for the agent's live lines too. Pairs it with what is
 * there. */
void replay_log_add(ReplayLog *log, bool to_agent, Str line, Json *message);

#define REPLAY_NO_SESSION SIZE_MAX
size_t replay_session_index(const ReplayLog *log, Str id); /* REPLAY_NO_SESSION when unknown */
/* Does this message of the agent count? Not what belongs to the time before the log, or comes at moments that
 * differ from run to run. */
bool replay_is_compared(const ReplayLog *log, size_t i);

#endif
