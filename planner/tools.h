/* tools: what a full-style model may do besides answering. One const record a tool, in planner/tools/; MCP
 * tools join at run time. Private to the planner.
 */
#ifndef MUX_PLANNER_TOOLS_H
#define MUX_PLANNER_TOOLS_H

#include "planner/planner_internal.h"
#include "planner/tool_calls.h"

typedef struct ToolResult {
    Str text;  /* for the model */
    Str shown; /* for the user: an excerpt; empty = nothing */
    bool is_error;
} ToolResult;

typedef struct Tool {
    const char *name, *description;
    const char *schema; /* JSON schema of the arguments */
    ToolKind kind;
    bool needs_terminal; /* offered only where the session has one */
    /* false only when the turn cannot go on (cancelled, no memory); a failed tool is a result with is_error
     */
    bool (*run)(Turn *turn, const Json *arguments, ToolEvent *event, ToolResult *out, Err *err);
} Tool;

extern const Tool *const TOOLS[];
extern const size_t TOOL_COUNT;

/* The part of the system prompt that says which tools there are and how to call them (constant for a session,
 * so that its prefix stays). */
bool tools_describe(Turn *turn, Buf *out, Err *err);
/* Runs one call: tool events, permission where needed, loop detection; *out is what the model hears. */
bool tools_run(Turn *turn, const ToolCall *call, ToolResult *out, Err *err);

#endif
