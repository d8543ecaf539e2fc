/* tools: what a full-style model may do besides answering. One const record a tool, in planner/tools/; MCP
 * tools join at run time. Private to the planner.
 *
 *   tools_describe(turn, &system_prompt, &err);             // which there are; once a turn, before the rest
 *   for each call of a reply: tools_run(turn, &call, &result, &err);
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
    bool needs_terminal; /* offered only where the session has one, and not in plan mode */
    /* false only when the turn cannot go on (cancelled, no memory); a failed tool is a result with is_error.
     * It sets the event's title and places. What takes longer calls tools_begin first. */
    bool (*run)(Turn *turn, const Json *arguments, ToolEvent *event, ToolResult *out, Err *err);
} Tool;

extern const Tool TOOL_READ_FILES, TOOL_SEARCH_TEXT, TOOL_LIST_FILES, TOOL_PROPOSE_PATCH, TOOL_RUN_SHELL;
extern const Tool *const TOOLS[];
extern const size_t TOOL_COUNT;

/* The part of the system prompt that says which tools there are and how to call them (constant for a session
 * and mode, so that its prefix stays). Nothing where the context is too small for tools. */
bool tools_describe(Turn *turn, Buf *out, Err *err);
/* Runs one call: tool events, permission where needed, loop detection; *out is what the model hears. */
bool tools_run(Turn *turn, const ToolCall *call, ToolResult *out, Err *err);

/* ---- for the tools ---- */

/* Shows the call as under way (or as waiting for permission); what the event holds then is not sent again. */
void tools_begin(Turn *turn, ToolEvent *event, ToolStatus status);
typedef enum Permission { PERMISSION_GIVEN, PERMISSION_REFUSED, PERMISSION_STOPPED } Permission;
/* Asks, unless "always" was answered before: allow is the key of what is allowed then, refuse of what is
 * refused. */
Permission tools_ask(Turn *turn, ToolEvent *event, Str title, Str allow, Str refuse);
/* A result that says what went wrong; true. */
bool tools_fail(Turn *turn, ToolResult *out, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Most bytes of one result: a part of the model's context. */
size_t tools_result_limit(const Turn *turn);
/* The beginning and the end of a long text, with a line between that says how much is missing. */
Str tools_cut_middle(Str text, size_t limit, Arena *arena);
/* Files that something else may have written are read again; edits of those that changed are dropped and
 * named in *news. */
bool tools_reread(Turn *turn, Buf *news, Err *err);
/* Whether a path matches a glob: "*.c" in any folder, "src" with all below it, two stars for any folders. One
 * of more than 1 KiB matches nothing. */
bool tools_glob(Str glob, Str path, Arena *arena);

/* tools_arguments.c: brings values to the types of the schema where that is sure ("5" for an integer).
 * ERR_INVALID with a sentence for the model. */
bool tools_check_arguments(Json *arguments, Str schema, Err *err);

#endif
