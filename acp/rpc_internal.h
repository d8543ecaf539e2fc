/* Inside of a peer; shared by rpc.c (messages) and rpc_stream.c (bytes). */
#ifndef MUX_ACP_RPC_INTERNAL_H
#define MUX_ACP_RPC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "acp/rpc.h"

/* Above this the outbox makes producers wait and the protocol thread stop reading. */
#define RPC_OUTBOX_HIGH ((size_t)16 << 20)

typedef struct PendingCall {
    struct PendingCall *next;
    CallId id;
    ReplyFn reply;
    void *ctx;
} PendingCall;

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
    size_t sent; /* bytes of outbox already written; dropped now and then */
    PendingCall *calls;
    CallId next_call;
    bool calls_ended;
    PeerTap tap;

    atomic_bool is_gone; /* end of input, write failure, or stop */
    atomic_bool stop_wanted;
    _Atomic(pthread_t) pump_thread;
    atomic_bool has_pump_thread;
};

/* rpc.c: one complete line, without its line end. */
void rpc_take_line(Peer *peer, Str line);
void rpc_line_too_long(Peer *peer, Str beginning);
/* rpc_stream.c */
void rpc_send(Peer *peer, Str line);

#endif
