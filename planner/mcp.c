#include "planner/mcp.h"

McpClients *mcp_open(const McpServer *servers, size_t count, Str cwd) {
    (void)servers, (void)count, (void)cwd;
    return NULL;
}

void mcp_close(McpClients *clients) {
    (void)clients;
}

void mcp_interrupt(McpClients *clients) {
    (void)clients;
}

void mcp_tools(McpClients *clients, const atomic_bool *cancelled, Arena *arena, McpTool **tools,
               size_t *count, Str **problems, size_t *problem_count) {
    (void)clients, (void)cancelled, (void)arena;
    *tools = NULL;
    *problems = NULL;
    *count = *problem_count = 0;
}

bool mcp_call(McpClients *clients, const McpTool *tool, Str arguments, const atomic_bool *cancelled,
              Arena *arena, McpResult *out, Err *err) {
    (void)clients, (void)arguments, (void)cancelled, (void)arena;
    *out = (McpResult){0};
    return err_set(err, ERR_NOT_FOUND, "no server offers the tool %.*s", STR_ARG(tool->full_name));
}
