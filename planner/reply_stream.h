/* ReplyStream: a reply as it is generated: prose to the user at once, thinking apart, edits to the
 * parser only. */
#ifndef MUX_PLANNER_REPLY_STREAM_H
#define MUX_PLANNER_REPLY_STREAM_H

#include "planner/planner_internal.h"

typedef struct ReplyStream {
    Turn *turn;
    EditParser parser;
    Buf all;  /* everything generated */
    Buf line; /* the line not yet ended */
    Buf held; /* whole lines held back: a path or fence line shows only when no block follows */
    size_t held_lines;
    bool is_thinking, has_started;
} ReplyStream;

void reply_stream_begin(ReplyStream *stream, Turn *turn, EditFormat format);
bool reply_stream_feed(void *stream, Str piece); /* ChatSink.text */
/* False with the parser's sentence when the edits are malformed. *text (turn lifetime) is the reply without
 * thinking. */
bool reply_stream_finish(ReplyStream *stream, EditList *edits, Str *text, Err *err);

#endif
