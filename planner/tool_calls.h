/* tool_calls: the calls of tools in a reply as it streams, whatever dialect the model was taught.
 *
 *   ToolCallParser p; tool_calls_begin(&p, &arena);
 *   tool_calls_feed(&p, piece, &prose); ...; tool_calls_finish(&p, &prose);
 *
 * Dialects (found by their openings): JSON in <tool_call> (Hermes, Qwen3), <function=NAME><parameter=KEY>
 * with raw values (Qwen3-Coder), <arg_key>/<arg_value> (GLM), [TOOL_CALLS]NAME[ARGS]{...} and its JSON list
 * (Mistral), harmony channels (gpt-oss), DSML (DeepSeek V3.2). Any split of the stream gives the same calls
 * and the same prose. Missing closers are forgiven; what looks like a call and cannot be read becomes a call
 * with a problem, never a failure. In code (fenced or between backticks), in search/replace blocks and on
 * lines of diffs and quotes nothing is a call. Text behind a call was written without its result and is
 * dropped. Of one reply at most TOOL_CALLS_MOST calls are taken, with TOOL_PARAMETERS_MOST tagged values
 * each; the rest is dropped. Pure.
 */
#ifndef MUX_PLANNER_TOOL_CALLS_H
#define MUX_PLANNER_TOOL_CALLS_H

#include "base/buf.h"
#include "base/str.h"

#define TOOL_CALLS_MOST 64
#define TOOL_PARAMETERS_MOST 256

typedef struct ToolCall {
    Str name;
    Str arguments; /* JSON text of an object; values of dialects without types are strings */
    Str problem;   /* what is wrong with it, for the model; empty: nothing */
    bool is_open;  /* its end was not written: it is the reply's last, and may have been cut */
} ToolCall;

typedef struct ToolCallParser {
    Arena *arena;
    Buf held; /* not yet told apart */
    int dialect, state;
    bool is_wrapped; /* DSML's outer tag is open */
    bool has_ended;
    size_t body; /* where in held the JSON begins */
    size_t depth;
    bool is_string, is_escaped;
    size_t line_length, ticks, fence, indent; /* of the prose line: bytes, backticks, what it began with */
    char line_first, fence_char;
    bool is_block; /* between the marks of a search/replace block */
    ToolCall *calls;
    size_t count, capacity;
} ToolCallParser;

void tool_calls_begin(ToolCallParser *parser, Arena *arena);
/* Appends to *prose what is certainly no call. */
void tool_calls_feed(ToolCallParser *parser, Str piece, Buf *prose);
void tool_calls_finish(ToolCallParser *parser, Buf *prose); /* frees what was held */
/* A call is complete and the dialect wants its result before more: generation may stop here. */
bool tool_calls_wait(const ToolCallParser *parser);

#endif
