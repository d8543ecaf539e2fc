/* mcp: tools of other programs, by the Model Context Protocol over their stdio: revisions 2024-11-05 to
 * 2025-11-25, and 2026-07-28, which has no handshake.
 *
 *   McpClients *m = mcp_open(servers, count, cwd);            // starts nothing
 *   mcp_tools(m, &cancelled, arena, &tools, &count, problems); // starts what is not running yet
 *   mcp_call(m, &tools[i], arguments, &cancelled, arena, &result, &err);
 *   mcp_close(m);
 *
 * initialize, tools/list (all pages, again after it changed), tools/call with notifications/cancelled; ping
 * and roots/list (the folder) are answered, everything else a server asks for is refused politely. A server
 * that dies is started again at the next use, at most three times in a session. One thread at a time;
 * mcp_interrupt from any.
 *
 * A call that is cancelled returns at once. The server is told, and asked for a sign of life behind it: if at
 * the next use two seconds have gone without one, it is ended and started again.
 */
#ifndef MUX_PLANNER_MCP_H
#define MUX_PLANNER_MCP_H

#include <stdatomic.h>

#include "base/json.h"
#include "planner/planner.h"

typedef struct McpClients McpClients;

typedef struct McpTool {
    Str server, name;
    size_t server_index; /* among those of mcp_open */
    Str full_name;    /* what the model calls it: "server__name", only letters, digits, _ and -, at most 64 */
    Str description;  /* cut to 1 KiB */
    Str input_schema; /* JSON text of an object, at most 16 KiB */
    bool is_read_only; /* the server's own claim (readOnlyHint); asked about all the same */
} McpTool;

typedef struct McpResult {
    Str text;      /* all text content, joined; images and such as "[image]"; cut at 256 KiB, which it says */
    bool is_error; /* the tool failed, and text says why; also when the server answered with an error */
} McpResult;

#define MCP_START_TIMEOUT_MS 20000
#define MCP_CALL_TIMEOUT_MS 120000

McpClients *mcp_open(const McpServer *servers, size_t count, Str cwd); /* copies */
void mcp_close(McpClients *clients);                                   /* NULL is fine */
/* Ends what waits now, provided that its `cancelled` was set before. */
void mcp_interrupt(McpClients *clients);
/* In place of the two above. */
void mcp_set_timeouts(McpClients *clients, double start_ms, double call_ms);
/* The tools of all servers that answer; each that does not gives one sentence in *problems. One that is slow
 * to start goes on starting, and its tools are there at a later call. */
void mcp_tools(McpClients *clients, const atomic_bool *cancelled, Arena *arena, McpTool **tools,
               size_t *count, Str **problems, size_t *problem_count);
/* arguments: a JSON object's text. ERR_IO (the server died), ERR_LIMIT (no answer in time), ERR_CANCELLED,
 * ERR_INVALID (it refused the arguments). */
bool mcp_call(McpClients *clients, const McpTool *tool, Str arguments, const atomic_bool *cancelled,
              Arena *arena, McpResult *out, Err *err);

#endif
