/* updates: turn events -> session/update notifications, permission requests and the answer of the open
 * prompt.
 *
 * Pieces of text are gathered for ~25 ms and cut only between whole UTF-8 sequences. Everything one session
 * says goes out in the order of its events; nothing follows the answer of the prompt. Threads: the sink runs
 * on the turn's thread (or any, for news between turns), the rest on the protocol thread; a lock inside keeps
 * them apart. A turn that waits for a full outbox holds that lock: what the protocol thread calls does not
 * wait for it.
 */
#ifndef MUX_ACP_UPDATES_H
#define MUX_ACP_UPDATES_H

#include <pthread.h>
#include <stdatomic.h>

#include "acp/question.h"

#define UPDATES_FLUSH_MS 25

typedef struct Updates {
    Peer *peer;
    Str session_id;                                  /* outlives this */
    Session *session;                                /* set before the first prompt, as what follows */
    bool has_forms, shows_notices, shows_compaction; /* what the client can do */

    atomic_bool has_prompt, is_cancelled;
    _Atomic(OpenQuestion *) question; /* whoever takes it out lets it go */
    Buf request_id;                   /* written by the protocol thread, while there is no prompt */

    pthread_mutex_t lock; /* guards the rest */
    Buf text;
    TurnEventKind text_kind;
    double flushed_ms;
} Updates;

void updates_init(Updates *updates, Peer *peer, Str session_id);
void updates_finish(Updates *updates); /* after the session is closed */

/* A prompt opens: its answer will go to id (copied). False when one is open. */
bool updates_begin(Updates *updates, RpcId id);
/* Takes the opening back: the caller answers the request itself. */
void updates_abandon(Updates *updates);
/* Also for session_set_news and session_replay. */
TurnSink updates_sink(Updates *updates);
bool updates_has_prompt(Updates *updates);
bool updates_is_prompt(Updates *updates, Str raw_request_id);
/* Sends text that has waited long enough. */
void updates_tick(Updates *updates);
/* The turn was cancelled: an open permission request is withdrawn, and whatever the turn ends with, it is no
 * error. */
void updates_cancel(Updates *updates);
/* Text of our own, in front of what the turn says. */
void updates_say(Updates *updates, TurnEventKind kind, Str text);

#endif
