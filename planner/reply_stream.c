#include "planner/reply_stream.h"

#include <string.h>

enum { HELD_LINES = 3, PROSE_WORDS = 8 };

void reply_stream_begin(ReplyStream *stream, Turn *turn, EditFormat format, bool has_tools) {
    *stream = (ReplyStream){.turn = turn, .has_tools = has_tools};
    edit_begin(&stream->parser, format, &turn->arena);
    tool_calls_begin(&stream->calls, &turn->arena);
}

/* Too many words for a path, a fence, a marker or a call, and none of their characters. */
static bool reads_as_prose(Str line) {
    size_t words = 0;
    line = str_trim(line);
    unsigned char first = line.len ? (unsigned char)line.ptr[0] : 0;
    if (!(first >= 0x80 || (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z')))
        return false;
    for (size_t i = 0; i < line.len; i++) {
        if (memchr("<>[]{}|`", line.ptr[i], 8))
            return false;
        words += line.ptr[i] == ' ' && line.ptr[i - 1] != ' ';
    }
    return words >= PROSE_WORDS;
}

/* Prose that no edit can take back any more goes to the user. Lines at the end that may belong to an edit
 * stay back, at most `held`. */
static void release(ReplyStream *s, size_t held) {
    size_t count = edit_prose_count(&s->parser), end = count;
    while (end > s->shown && count - end < held && !reads_as_prose(edit_prose_line(&s->parser, end - 1)))
        end--;
    while (s->shown < end) {
        Str line = edit_prose_line(&s->parser, s->shown++);
        turn_text(s->turn, str_starts(line, buf_text(&s->told)) ? str_from(line, s->told.len) : line);
        buf_clear(&s->told);
    }
    s->shown = s->shown < count ? s->shown : count;
}

/* A long line is told while it is written, so that a paragraph does not wait for its end. */
static void tell_unfinished(ReplyStream *s) {
    bool is_outside = edit_is_outside(&s->parser) && !s->thinking_end.len &&
                      (!s->has_tools || (s->calls.held.len == 0 && !s->calls.is_block && !s->calls.fence));
    Str line = buf_text(&s->line);
    if (!is_outside || !reads_as_prose(line))
        return;
    if (!s->told.len)
        release(s, 0);
    if (!str_starts(line, buf_text(&s->told)))
        return;
    Str more = str_from(line, s->told.len);
    turn_text(s->turn, more);
    buf_str(&s->told, more);
}

/* What is left when calls are taken out; a line that only comes behind them was made up. */
static void take_text(ReplyStream *s, Str line) {
    if (!s->has_tools) {
        buf_str(&s->all, line);
        edit_feed(&s->parser, line);
        return;
    }
    Buf prose = {0};
    size_t calls = s->calls.count;
    tool_calls_feed(&s->calls, line, &prose);
    if (!tool_calls_wait(&s->calls) || s->calls.count > calls)
        buf_str(&s->all, line);
    edit_feed(&s->parser, buf_text(&prose));
    buf_free(&prose);
}

/* line holds its "\n" except at the very end of the reply. */
static void take_line(ReplyStream *s, Str line) {
    if (!s->has_started) {
        size_t begin;
        s->thinking_end = edit_thinking_end(line, &begin);
        size_t close = s->thinking_end.len ? str_find(line, s->thinking_end, 0) : 0;
        line = str_from(line, close < begin ? close : begin);
    }
    s->has_started = s->has_started || str_trim(line).len > 0 || s->thinking_end.len;
    if (s->thinking_end.len) {
        size_t close = str_find(line, s->thinking_end, 0);
        turn_thought(s->turn, str_slice(line, 0, close == STR_NONE ? line.len : close));
        if (close == STR_NONE)
            return;
        line = str_from(line, close + s->thinking_end.len);
        s->thinking_end = S("");
        if (str_trim(line).len == 0)
            return;
    }
    take_text(s, line);
    release(s, HELD_LINES);
}

bool reply_stream_feed(void *ctx, Str piece) {
    ReplyStream *s = ctx;
    for (size_t i = 0; i < piece.len; i++) {
        buf_char(&s->line, piece.ptr[i]);
        if (piece.ptr[i] == '\n') {
            take_line(s, buf_text(&s->line));
            buf_clear(&s->line);
        }
    }
    tell_unfinished(s);
    return !tool_calls_wait(&s->calls);
}

bool reply_stream_finish(ReplyStream *s, EditList *edits, Str *text, Err *err) {
    if (s->line.len)
        take_line(s, buf_text(&s->line));
    if (s->has_tools) {
        Buf prose = {0};
        tool_calls_finish(&s->calls, &prose);
        edit_feed(&s->parser, buf_text(&prose));
        buf_free(&prose);
    }
    *text = buf_copy(&s->all, &s->turn->arena);
    bool ok = edit_finish(&s->parser, edits, err);
    release(s, 0);
    buf_free(&s->all);
    buf_free(&s->line);
    buf_free(&s->told);
    return ok;
}
