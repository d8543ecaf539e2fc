/* The byte side of a peer: lines in, one outbox out, a wake pipe in between. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acp/rpc_internal.h"
#include "base/os.h"

#define READ_BYTES ((size_t)64 << 10)
#define KEEP_BYTES ((size_t)1 << 20) /* larger buffers are given back once empty */
/* A pipe that polls writable takes this much without blocking (PIPE_BUF). */
#define WRITE_BYTES ((size_t)4096)

Peer *peer_open(int in_fd, int out_fd, const Method *const *methods, size_t method_count, void *ctx,
                Err *err) {
    Peer *peer = calloc(1, sizeof *peer);
    if (!peer) {
        err_set(err, ERR_NO_MEMORY, "no memory for a connection");
        return NULL;
    }
    if (pipe2(peer->wake_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        err_set_errno(err, errno, "cannot create a pipe");
        free(peer);
        return NULL;
    }
    peer->in_fd = in_fd;
    peer->out_fd = out_fd;
    peer->methods = methods;
    peer->method_count = method_count;
    peer->ctx = ctx;
    pthread_mutex_init(&peer->lock, NULL);
    pthread_cond_init(&peer->drained, NULL);
    return peer;
}

void peer_close(Peer *peer) {
    if (!peer)
        return;
    close(peer->wake_fds[0]);
    close(peer->wake_fds[1]);
    rpc_spans_free(peer);
    buf_free(&peer->inbox);
    buf_free(&peer->outbox);
    pthread_cond_destroy(&peer->drained);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}

void peer_set_tap(Peer *peer, PeerTap tap) {
    peer->tap = tap;
}

bool peer_is_pump_thread(const Peer *peer) {
    return atomic_load(&peer->has_pump_thread) &&
           pthread_equal(atomic_load(&peer->pump_thread), pthread_self());
}

static void wake(Peer *peer) {
    int kept = errno;
    if (write(peer->wake_fds[1], "", 1) < 0)
        errno = kept; /* full: the pump is awake already */
}

void peer_stop(Peer *peer) {
    atomic_store(&peer->stop_wanted, true);
    wake(peer);
}

static void mark_gone(Peer *peer) {
    pthread_mutex_lock(&peer->lock);
    atomic_store(&peer->is_gone, true);
    pthread_cond_broadcast(&peer->drained);
    pthread_mutex_unlock(&peer->lock);
}

static size_t unsent(const Peer *peer) {
    return peer->outbox.len - peer->sent;
}

void rpc_send(Peer *peer, Str line) {
    bool may_wait = !peer_is_pump_thread(peer);
    pthread_mutex_lock(&peer->lock);
    while (may_wait && !peer->is_unlimited && unsent(peer) > RPC_OUTBOX_HIGH && !atomic_load(&peer->is_gone))
        pthread_cond_wait(&peer->drained, &peer->lock);
    bool was_empty = unsent(peer) == 0;
    buf_str(&peer->outbox, line);
    buf_char(&peer->outbox, '\n');
    peer->stats.messages_out++;
    peer->stats.bytes_out += line.len;
    if (unsent(peer) > peer->stats.outbox_bytes_most)
        peer->stats.outbox_bytes_most = unsent(peer);
    if (peer->tap.line)
        peer->tap.line(peer->tap.ctx, false, line);
    pthread_mutex_unlock(&peer->lock);
    if (was_empty && may_wait)
        wake(peer);
}

void peer_lift_limit(Peer *peer) {
    pthread_mutex_lock(&peer->lock);
    peer->is_unlimited = true;
    pthread_cond_broadcast(&peer->drained);
    pthread_mutex_unlock(&peer->lock);
}

void peer_set_limit(Peer *peer) {
    pthread_mutex_lock(&peer->lock);
    peer->is_unlimited = false;
    pthread_mutex_unlock(&peer->lock);
}

void peer_stats(Peer *peer, PeerStats *out) {
    pthread_mutex_lock(&peer->lock);
    *out = peer->stats;
    out->outbox_bytes = unsent(peer);
    for (const PendingCall *call = peer->calls; call; call = call->next)
        out->open_calls++;
    pthread_mutex_unlock(&peer->lock);
}

/* Writes while the descriptor takes bytes without blocking; false when the other side is gone. */
static bool write_some(Peer *peer) {
    for (;;) {
        char chunk[WRITE_BYTES];
        pthread_mutex_lock(&peer->lock);
        size_t left = unsent(peer), n = left < sizeof chunk ? left : sizeof chunk;
        if (n)
            memcpy(chunk, peer->outbox.ptr + peer->sent, n);
        pthread_mutex_unlock(&peer->lock);
        if (!n)
            return true;
        struct pollfd ready = {.fd = peer->out_fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT)) {
            if (!(ready.revents & (POLLERR | POLLHUP | POLLNVAL)))
                return true;
            mark_gone(peer);
            return false;
        }
        ssize_t written = write(peer->out_fd, chunk, n);
        if (written < 0 && (errno == EINTR || errno == EAGAIN))
            return true;
        if (written < 0) {
            mark_gone(peer);
            return false;
        }
        pthread_mutex_lock(&peer->lock);
        peer->sent += (size_t)written;
        if (peer->sent * 2 >= peer->outbox.len) {
            buf_consume(&peer->outbox, peer->sent);
            peer->sent = 0;
        }
        if (peer->outbox.len == 0 && peer->outbox.capacity > KEEP_BYTES)
            buf_free(&peer->outbox);
        if (unsent(peer) <= RPC_OUTBOX_HIGH)
            pthread_cond_broadcast(&peer->drained);
        pthread_mutex_unlock(&peer->lock);
    }
}

/* Hands over every complete line of the inbox. */
static void take_lines(Peer *peer) {
    size_t begin = 0;
    while (begin < peer->inbox.len) {
        size_t from = peer->scanned > begin ? peer->scanned : begin;
        const char *end = memchr(peer->inbox.ptr + from, '\n', peer->inbox.len - from);
        if (!end)
            break;
        Str line = str_range(peer->inbox.ptr + begin, end);
        begin += line.len + 1;
        if (peer->is_discarding)
            peer->is_discarding = false;
        else if (line.len > RPC_LINE_MAX)
            rpc_line_too_long(peer, line);
        else
            rpc_take_line(peer, line);
    }
    buf_consume(&peer->inbox, begin);
    peer->scanned = peer->inbox.len;
    if (peer->inbox.len > RPC_LINE_MAX) {
        if (!peer->is_discarding)
            rpc_line_too_long(peer, str_slice(buf_text(&peer->inbox), 0, RPC_LINE_MAX));
        peer->is_discarding = true;
    }
    if (peer->is_discarding)
        buf_clear(&peer->inbox);
    if (peer->inbox.len == 0) {
        peer->scanned = 0;
        if (peer->inbox.capacity > KEEP_BYTES)
            buf_free(&peer->inbox);
    }
}

static void read_some(Peer *peer) {
    if (!buf_reserve(&peer->inbox, READ_BYTES)) {
        mark_gone(peer);
        return;
    }
    ssize_t n = read(peer->in_fd, peer->inbox.ptr + peer->inbox.len, READ_BYTES);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        /* A last line without its line end is still a message. */
        if (n == 0 && peer->inbox.len && !peer->is_discarding)
            rpc_take_line(peer, buf_text(&peer->inbox));
        buf_clear(&peer->inbox);
        mark_gone(peer);
        return;
    }
    peer->inbox.len += (size_t)n;
    take_lines(peer);
}

static void drain_wakes(Peer *peer) {
    char sink[64];
    while (read(peer->wake_fds[0], sink, sizeof sink) > 0) {
    }
}

bool peer_pump(Peer *peer, int timeout_ms) {
    atomic_store(&peer->pump_thread, pthread_self());
    atomic_store(&peer->has_pump_thread, true);
    pthread_mutex_lock(&peer->lock);
    size_t waiting = unsent(peer);
    pthread_mutex_unlock(&peer->lock);
    struct pollfd fds[3] = {
        {.fd = peer->in_fd, .events = waiting > RPC_OUTBOX_HIGH ? 0 : POLLIN},
        {.fd = peer->out_fd, .events = waiting ? POLLOUT : 0},
        {.fd = peer->wake_fds[0], .events = POLLIN},
    };
    if (poll(fds, 3, timeout_ms) < 0 && errno != EINTR)
        mark_gone(peer);
    if (fds[2].revents & POLLIN)
        drain_wakes(peer);
    if (atomic_load(&peer->stop_wanted)) {
        mark_gone(peer);
        return false;
    }
    if (fds[1].revents & (POLLERR | POLLNVAL))
        mark_gone(peer);
    if (fds[0].revents & (POLLIN | POLLHUP | POLLERR | POLLNVAL) && !atomic_load(&peer->is_gone)) {
        peer_lift_limit(peer);
        read_some(peer);
        peer_set_limit(peer);
    }
    write_some(peer);
    return !atomic_load(&peer->is_gone);
}

bool peer_flush(Peer *peer, int timeout_ms) {
    double deadline = os_monotonic_ms() + timeout_ms;
    while (write_some(peer)) {
        pthread_mutex_lock(&peer->lock);
        size_t left = unsent(peer);
        pthread_mutex_unlock(&peer->lock);
        double now = os_monotonic_ms();
        if (!left || now >= deadline)
            return !left;
        struct pollfd ready = {.fd = peer->out_fd, .events = POLLOUT};
        poll(&ready, 1, (int)(deadline - now) + 1);
    }
    return false;
}
