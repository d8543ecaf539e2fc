/* client_call: calls of the client that a turn's thread waits for, with a cancel and a time limit.
 *
 *   ClientCalls *c = client_calls_open(peer, timeout_ms);
 *   client_calls_begin(c);                                  // at each turn's start
 *   if (client_call(c, &(ClientCall){.method = "fs/read_text_file", .params = params}, &answer, &err)) ...
 *   client_answer_free(&answer);  client_calls_close(c);
 *
 * One thread calls at a time, never the protocol thread; client_calls_cancel from any. A call that is given
 * up is withdrawn ($/cancel_request), or its late answer is handed to a function that cleans up after it.
 */
#ifndef MUX_ACP_CLIENT_CALL_H
#define MUX_ACP_CLIENT_CALL_H

#include "acp/rpc.h"

typedef struct ClientCalls ClientCalls;

typedef struct ClientCall {
    const char *method;
    Json *params;      /* taken over */
    double timeout_ms; /* 0: that of client_calls_open; negative: without end */
    double grace_ms;   /* how long an answer is awaited after a cancel */
    /* Called on the protocol thread with the result that comes after the call was given up (which is not
     * withdrawn then). NULL: it is withdrawn. */
    void (*late)(void *late_ctx, const Json *result);
    void *late_ctx;
    void (*free_late)(void *late_ctx); /* always called in the end; may be NULL */
} ClientCall;

/* One of the two is set. Owned by whoever got it. */
typedef struct ClientAnswer {
    Json *result, *error;
} ClientAnswer;

/* timeout_ms 0: calls wait without end. */
ClientCalls *client_calls_open(Peer *peer, double timeout_ms);
void client_calls_close(ClientCalls *calls);  /* NULL is fine; no call may be running */
void client_calls_begin(ClientCalls *calls);  /* a turn starts: an older cancel is over */
void client_calls_cancel(ClientCalls *calls); /* wakes a waiting call */

/* True when the client answered, also with an error. ERR_CANCELLED: cancelled, or the client is gone;
 * ERR_LIMIT: no answer in time. */
bool client_call(ClientCalls *calls, const ClientCall *call, ClientAnswer *answer, Err *err);
void client_answer_free(ClientAnswer *answer);
/* Calls without waiting; whatever is answered is not looked at. Any thread. params are taken over. */
void client_tell(Peer *peer, const char *method, Json *params);
/* The client's words in an error answer: its message, and the details where it gives some. */
Str client_error_text(const Json *error, Arena *arena);

#endif
