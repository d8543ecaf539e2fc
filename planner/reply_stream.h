/* ReplyStream: a reply as it is generated: prose to the user at once, thinking apart, edits and calls of
 * tools to their parsers only. */
#ifndef MUX_PLANNER_REPLY_STREAM_H
#define MUX_PLANNER_REPLY_STREAM_H

#include "planner/planner_internal.h"
#include "planner/tool_calls.h"

typedef struct ReplyStream {
    Turn *turn;
    EditParser parser;
    ToolCallParser calls;
    bool has_tools; /* the model was told of tools: calls are looked for */
    Buf all;        /* everything generated */
    Buf line;       /* the line not yet ended */
    size_t shown;   /* prose lines of the parser that the user has seen */
    Buf told;       /* the beginning of the next one, when he has seen that, too */
    bool has_started;
    Str thinking_end; /* what ends the thinking that comes now; empty: none does */
} ReplyStream;

void reply_stream_begin(ReplyStream *stream, Turn *turn, EditFormat format, bool has_tools);
/* ChatSink.text: false when what comes now would only be guessed, because a call wants its result. */
bool reply_stream_feed(void *stream, Str piece);
/* False with the parser's sentence when the edits are malformed. *text (turn lifetime) is the reply without
 * thinking. */
bool reply_stream_finish(ReplyStream *stream, EditList *edits, Str *text, Err *err);

#endif
