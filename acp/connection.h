/* connection: one client on two descriptors, from its first line to its last.
 *
 *   Connection *c = connection_open(&config, &err); connection_run(c); connection_close(c);
 *
 * connection_run returns after end of input, a write failure or connection_stop, with all turns cancelled and
 * joined and what was left to say written. The host's planner is asked for at the first session, not before:
 * initialize is answered without any model or library.
 */
#ifndef MUX_ACP_CONNECTION_H
#define MUX_ACP_CONNECTION_H

#include "acp/rpc.h"
#include "planner/planner.h"

typedef struct Connection Connection;

typedef struct ConnectionHost {
    void *ctx;
    Planner *(*planner)(void *ctx, Err *err);              /* opened on first use; NULL + sentence */
    size_t (*models)(void *ctx, const ModelCard **models); /* asked after planner succeeded; may be NULL */
} ConnectionHost;

typedef struct ConnectionConfig {
    int in_fd, out_fd; /* stay the caller's */
    ConnectionHost host;
    Str model;         /* of new sessions; empty = the embedded one */
    ReviewMode review; /* of new sessions, as the next two */
    ReviewGrain grain;
    bool is_terse;
    double client_timeout_ms; /* of fs and terminal methods; 0: without end. Permissions wait without end */
    bool keeps_sessions;      /* the host's planner does: load, list and their like are offered */
    Str model_note;           /* said once to a session that uses the model it started with; may be empty */
    PeerTap tap;              /* may be empty */
} ConnectionConfig;

Connection *connection_open(const ConnectionConfig *config, Err *err);
void connection_run(Connection *connection);
void connection_stop(Connection *connection); /* any thread, also a signal handler */
void connection_close(Connection *connection);

#endif
