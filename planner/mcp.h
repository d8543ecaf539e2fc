/* mcp: tools of other programs, by the Model Context Protocol (revision 2025-06-18) over their stdio.
 *
 *   McpClients *m = mcp_open(servers, count, cwd);            // starts nothing
 *   mcp_tools(m, &cancelled, arena, &tools, &count, problems); // starts what is not running yet
 *   mcp_call(m, &tools[i], arguments, &cancelled, arena, &result, &err);
 *   mcp_close(m);
 *
 * initialize, tools/list (all pages), tools/call with notifications/cancelled, ping answered, everything else
 * a server asks for refused politely. A server that dies is started again at the next use, at most three
 * times in a session. One thread at a time; mcp_interrupt from any.
 */
#ifndef MUX_PLANNER_MCP_H
#define MUX_PLANNER_MCP_H

#include <stdatomic.h>

#include "base/json.h"
#include "planner/planner.h"

typedef struct McpClients McpClients;

typedef struct McpTool {
    Str server, name;
    Str full_name;    /* what the model calls it: "server__name", only letters, digits, _ and -, at most 64 */
    Str description;  /* cut to 1 KiB */
    Str input_schema; /* JSON text */
    bool is_read_only; /* the server's own claim (readOnlyHint); asked about all the same */
} McpTool;

typedef struct McpResult {
    Str text; /* all text content, joined; images and such as "[image]" */
    bool is_error;
} McpResult;

#define MCP_START_TIMEOUT_MS 20000
#define MCP_CALL_TIMEOUT_MS 120000

McpClients *mcp_open(const McpServer *servers, size_t count, Str cwd); /* copies */
void mcp_close(McpClients *clients);                                   /* NULL is fine */
void mcp_interrupt(McpClients *clients);
/* The tools of all servers that answer; each that does not gives one sentence in *problems. */
void mcp_tools(McpClients *clients, const atomic_bool *cancelled, Arena *arena, McpTool **tools,
               size_t *count, Str **problems, size_t *problem_count);
/* arguments: a JSON object's text. ERR_IO (the server died), ERR_LIMIT (no answer in time), ERR_CANCELLED,
 * ERR_INVALID (it refused the arguments). */
bool mcp_call(McpClients *clients, const McpTool *tool, Str arguments, const atomic_bool *cancelled,
              Arena *arena, McpResult *out, Err *err);

#endif
