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
