/* Inside of a peer; shared by rpc.c (messages) and rpc_stream.c (bytes). */
#ifndef MUX_ACP_RPC_INTERNAL_H
#define MUX_ACP_RPC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "acp/rpc.h"
#include "base/trace.h"

/* Above this the outbox makes producers wait and the protocol thread stop reading. */
#define RPC_OUTBOX_HIGH ((size_t)16 << 20)

typedef struct PendingCall {
    struct PendingCall *next;
    CallId id;
    ReplyFn reply;
    void *ctx;
    Span *span; /* NULL: not logged */
} PendingCall;

/* A request that waits for our answer and whose span is logged. */
typedef struct OpenSpan OpenSpan;

struct Peer {
    int in_fd, out_fd;
    int wake_fds[2]; /* a pipe: other threads and signals wake the pump */
    const Method *const *methods;
    size_t method_count;
    void *ctx;

    Buf inbox;
    size_t scanned;     /* bytes of inbox known to hold no line end */
    bool is_discarding; /* an over-long line is being skipped */

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t drained;
    Buf outbox;
    size_t sent;       /* bytes of outbox already written; dropped now and then */
    bool is_unlimited; /* nobody waits for room in the outbox */
    PendingCall *calls;
    OpenSpan *spans;
    CallId next_call;
    bool calls_ended;
    PeerTap tap;
    PeerStats stats; /* but for what is counted when asked */

    atomic_bool is_gone; /* end of input, write failure, or stop */
    atomic_bool stop_wanted;
    _Atomic(pthread_t) pump_thread;
    atomic_bool has_pump_thread;
};

/* rpc.c: one complete line, without its line end. */
void rpc_take_line(Peer *peer, Str line);
void rpc_line_too_long(Peer *peer, Str beginning);
/* rpc_spans.c: what the log tells of a request. Between begin and end this thread's lines carry its id and
 * session; a notification's span ends with its handler, a request's with its answer. */
void rpc_span_begin(Peer *peer, Str method, const RpcMessage *message);
void rpc_span_handled(Peer *peer, const RpcMessage *message);
void rpc_span_reply(Peer *peer, RpcId id, const Json *result);
void rpc_span_refuse(Peer *peer, RpcId id, RpcCode code);
void rpc_spans_free(Peer *peer);
Span *rpc_span_call(const char *method, CallId id, const Json *params);
void rpc_span_answer(Span *span, const Json *result, const Json *error);
/* rpc_stream.c */
void rpc_send(Peer *peer, Str line);

#endif
