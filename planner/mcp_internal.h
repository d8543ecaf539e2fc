/* Inside of mcp.h: one server and the messages that go between it and us (mcp_link.c). */
#ifndef MUX_PLANNER_MCP_INTERNAL_H
#define MUX_PLANNER_MCP_INTERNAL_H

#include <pthread.h>

#include "base/buf.h"
#include "planner/mcp.h"
#include "workspace/process.h"

typedef enum McpPhase { MCP_STOPPED, MCP_STARTING, MCP_READY } McpPhase;

typedef struct McpPeer {
    McpClients *clients;
    Str name;
    ProcessConfig config;
    Process *process; /* set under the clients' lock, read without by the one thread that uses the peer */
    McpPhase phase;
    unsigned starts;
    double started;    /* monotonic, ms */
    bool is_modern;    /* revision 2026-07-28: no handshake, every request says who asks */
    bool is_stale;     /* its tools have to be listed (again) */
    bool is_broken;    /* half a message went out: it has to be started again */
    bool has_garbage;  /* said once in the log */
    uint64_t last_id;  /* of our requests to it, from 1 */
    uint64_t start_id; /* initialize */
    uint64_t check_id; /* a ping behind something that was given up; 0: none is open */
    double check_sent;
    char refusal[512];    /* its answer to initialize, when that was an error */
    char last_words[200]; /* the last line of its stderr */
    Arena arena;          /* of the tools */
    McpTool *tools;       /* full_name is not set */
    size_t tool_count;
} McpPeer;

struct McpClients {
    Arena arena;
    Str cwd;
    McpPeer *peers;
    size_t count;
    double start_ms, call_ms;
    pthread_mutex_t lock; /* guards the peers' process against mcp_interrupt */
};

/* What a peer is called in sentences: "the MCP server NAME". */
#define PEER_FORMAT "the MCP server %.*s"
#define PEER_ARG(peer) STR_ARG((peer)->name)

/* Starts the program and sends initialize; nothing is waited for. */
bool link_start(McpPeer *peer, const atomic_bool *cancelled, Err *err);
/* Ends the program; its answers are lost. */
void link_stop(McpPeer *peer);
/* Sends a request whose params hold the members (JSON text, may be empty); its id, 0 when it could not be
 * sent. */
uint64_t link_request(McpPeer *peer, const char *method, Str members, double until,
                      const atomic_bool *cancelled, Err *err);
bool link_notify(McpPeer *peer, const char *method, Err *err);
/* Answers the server's requests, takes its notifications, until the answer to `id` is there: *answer is the
 * whole message, the caller's to json_free. ERR_LIMIT, ERR_CANCELLED: the server goes on. ERR_IO: it is gone,
 * and stopped. ERR_INVALID: its answer cannot be read. */
bool link_wait(McpPeer *peer, uint64_t id, double until, const atomic_bool *cancelled, Json **answer,
               Err *err);
/* Takes what has arrived unasked. */
void link_drain(McpPeer *peer);
/* Tells the server that nobody waits for this answer any more, and asks for a sign of life behind it. Waits
 * for nothing. */
void link_give_up(McpPeer *peer, uint64_t id, const char *reason);

#endif
