/* rpc: one peer, JSON-RPC 2.0 as lines of JSON.
 *
 * Calling sequence:
 *   Peer *p = peer_open(in_fd, out_fd, METHODS, n, ctx, &err);
 *   while (peer_pump(p, timeout_ms)) ...;      // read, dispatch, write; false when the peer is gone
 *   peer_flush(p, 1000); peer_close(p);
 *
 * Threads: one thread pumps (the protocol thread); handlers and reply functions run on it. peer_reply,
 * peer_refuse, peer_notify, peer_call and peer_forget may be called from any thread; peer_stop also from a
 * signal handler. Every outgoing message passes one outbox as a whole line, so the order on the wire is the
 * order of the calls. Other threads wait while the outbox is very full, the protocol thread never does; it
 * stops reading instead.
 *
 * Framing follows the Agent Client Protocol: one object per line, no batches, ids echoed byte for byte, a cap
 * on a line's length after which the stream is picked up again at the next line end.
 */
#ifndef MUX_ACP_RPC_H
#define MUX_ACP_RPC_H

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

#define RPC_LINE_MAX ((size_t)32 << 20)

typedef enum RpcCode {
    RPC_PARSE_ERROR = -32700,
    RPC_INVALID_REQUEST = -32600,
    RPC_METHOD_NOT_FOUND = -32601,
    RPC_INVALID_PARAMS = -32602,
    RPC_INTERNAL_ERROR = -32603,
    RPC_NOT_FOUND = -32002,
    RPC_CANCELLED = -32800,
} RpcCode;

typedef struct Peer Peer;

/* A request's id as the JSON text it came in; borrowed during the handler, rpc_id_copy keeps it. */
typedef struct RpcId {
    Str raw;
} RpcId;

typedef uint64_t CallId;

typedef struct RpcMessage {
    RpcId id;           /* empty for notifications */
    const Json *params; /* NULL when absent */
    Str raw_params;     /* the same as text */
} RpcMessage;

typedef enum MethodKind { METHOD_REQUEST, METHOD_NOTIFICATION } MethodKind;

/* A handler of a request must see to exactly one peer_reply or peer_refuse, now or later. */
typedef struct Method {
    const char *name;
    MethodKind kind;
    void (*handle)(void *ctx, Peer *peer, const RpcMessage *message);
} Method;

/* The answer to a call of ours: result, or error, or neither when the peer went away first. Borrowed. */
typedef void (*ReplyFn)(void *ctx, const Json *result, const Json *error);

/* Sees every line in both directions, without its line end. Calls never overlap. */
typedef struct PeerTap {
    void *ctx;
    void (*line)(void *ctx, bool is_incoming, Str line);
} PeerTap;

/* Takes no ownership of the descriptors. methods must outlive the peer. */
Peer *peer_open(int in_fd, int out_fd, const Method *const *methods, size_t method_count, void *ctx,
                Err *err);
void peer_close(Peer *peer);                /* NULL is fine; open calls must have ended (peer_end_calls) */
void peer_set_tap(Peer *peer, PeerTap tap); /* before the first pump */

/* Waits at most timeout_ms (-1: without end) for something to do and does it. False after end of input, a
 * write failure or peer_stop. */
bool peer_pump(Peer *peer, int timeout_ms);
bool peer_flush(Peer *peer,
                int timeout_ms); /* writes what is left; false when time ran out or the peer is gone */
void peer_stop(Peer *peer);
bool peer_is_pump_thread(const Peer *peer);
/* Threads that send wait for room when the other side does not read. Where the pump's thread waits for such a
 * thread, or for a lock that it may hold, that would be for ever: nobody waits until the limit is set again.
 * The pump does so around its handlers. */
void peer_lift_limit(Peer *peer);
void peer_set_limit(Peer *peer);
/* Ends every open call with neither result nor error, and refuses new ones. */
void peer_end_calls(Peer *peer);

/* result is taken over. */
void peer_reply(Peer *peer, RpcId id, Json *result);
/* message: a sentence for the user. data is taken over and may be NULL. */
void peer_refuse(Peer *peer, RpcId id, RpcCode code, Str message, Json *data);
/* params are taken over. */
void peer_notify(Peer *peer, const char *method, Json *params);
/* *call is set before the reply function can run. It runs once, on the protocol thread, unless the call is
 * forgotten first; when the peer is gone already it runs inside peer_call. */
void peer_call(Peer *peer, const char *method, Json *params, ReplyFn reply, void *ctx, CallId *call);
/* True when the call was open: its reply function will not be called any more. */
bool peer_forget(Peer *peer, CallId call);
/* peer_forget, and tells the other side that the answer is no longer wanted ($/cancel_request). */
bool peer_withdraw(Peer *peer, CallId call);

typedef struct PeerStats {
    size_t messages_in, messages_out, bytes_in, bytes_out; /* bytes without line ends */
    size_t refusals;                                       /* errors that we answered with */
    size_t open_calls;                                     /* of ours, not answered yet */
    size_t outbox_bytes, outbox_bytes_most;                /* not written yet: now, and at most so far */
} PeerStats;
void peer_stats(Peer *peer, PeerStats *out); /* any thread */

/* The text of the first member with this key in a JSON object; false when there is none. Works on unfinished
 * text as far as it goes. */
bool json_raw_member(Str object, const char *key, Str *raw);

#endif
