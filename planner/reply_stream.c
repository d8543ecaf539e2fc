#include "planner/reply_stream.h"

enum { HOLD_LINES = 2 };

void reply_stream_begin(ReplyStream *stream, Turn *turn, EditFormat format) {
    *stream = (ReplyStream){.turn = turn};
    edit_begin(&stream->parser, format, &turn->arena);
}

static void release(ReplyStream *s) {
    turn_text(s->turn, buf_text(&s->held));
    buf_clear(&s->held);
    s->held_lines = 0;
}

static void hold(ReplyStream *s, Str line) {
    while (s->held_lines >= HOLD_LINES) {
        size_t end = str_find_char(buf_text(&s->held), '\n', 0) + 1;
        turn_text(s->turn, str_slice(buf_text(&s->held), 0, end));
        buf_consume(&s->held, end);
        s->held_lines--;
    }
    buf_str(&s->held, line);
    s->held_lines++;
}

/* line holds its "\n" except at the very end of the reply. */
static void take_line(ReplyStream *s, Str line) {
    Str text = str_trim(line);
    if (!s->has_started && str_starts(text, S("<think>"))) {
        s->is_thinking = true;
        line = str_from(line, str_find(line, S("<think>"), 0) + 7);
    }
    s->has_started = s->has_started || text.len > 0;
    if (s->is_thinking) {
        size_t close = str_find(line, S("</think>"), 0);
        turn_thought(s->turn, str_slice(line, 0, close == STR_NONE ? line.len : close));
        if (close == STR_NONE)
            return;
        s->is_thinking = false;
        line = str_from(line, close + 8);
        if (str_trim(line).len == 0)
            return;
    }
    buf_str(&s->all, line);
    edit_feed(&s->parser, line);
    if (edit_took_line(&s->parser)) {
        buf_clear(&s->held); /* the path line, and a fence above it */
        s->held_lines = 0;
    } else {
        hold(s, line);
    }
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
    return true;
}

bool reply_stream_finish(ReplyStream *s, EditList *edits, Str *text, Err *err) {
    if (s->line.len)
        take_line(s, buf_text(&s->line));
    release(s);
    *text = buf_copy(&s->all, &s->turn->arena);
    bool ok = edit_finish(&s->parser, edits, err);
    buf_free(&s->all);
    buf_free(&s->line);
    buf_free(&s->held);
    return ok;
}
