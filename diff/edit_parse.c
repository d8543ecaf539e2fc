#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "diff/edit_parse_internal.h"

void edit_begin(EditParser *parser, EditFormat format, Arena *arena) {
    *parser = (EditParser){format, arena, ARENA_NEW(arena, struct EditParserState)};
}

Str edit_span(const EditParser *parser, Span span) {
    return (Str){parser->state->text + span.begin, span.end - span.begin};
}

void edit_add_prose(EditParser *parser, Span line, bool is_fence) {
    struct EditParserState *s = parser->state;
    LIST_PUSH(parser->arena, s->prose, s->prose_count, s->prose_capacity, ((ProseLine){line, is_fence}));
}

void edit_push(EditParser *parser, ParsedEdit edit) {
    struct EditParserState *s = parser->state;
    LIST_PUSH(parser->arena, s->edits, s->edit_count, s->edit_capacity, edit);
    s->ready = s->edit_count;
}

void edit_wrong(EditParser *parser, size_t line, const char *format, ...) {
    struct EditParserState *s = parser->state;
    char what[400];
    va_list args;
    if (s->err.code)
        return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    err_set(&s->err, ERR_INVALID, "block %zu (line %zu of the reply): %s", s->edit_count + 1, line, what);
}

static void read_line(EditParser *parser, size_t end) {
    struct EditParserState *s = parser->state;
    Span line = {s->line_begin, end};
    s->line_begin = end;
    s->line_number++;
    if (parser->format == EDIT_ANY)
        edit_drop_thinking(parser, &line);
    if (s->err.code)
        return;
    switch (parser->format) {
    case EDIT_BLOCKS: edit_block_line(parser, line); break;
    case EDIT_LABELS: edit_label_line(parser, line); break;
    case EDIT_ANY: edit_any_line(parser, line); break;
    }
}

void edit_feed(EditParser *parser, Str piece) {
    struct EditParserState *s = parser->state;
    if (piece.len == 0)
        return;
    if (s->capacity - s->len < piece.len) {
        size_t capacity = s->capacity ? s->capacity : 1024;
        while (capacity - s->len < piece.len)
            capacity *= 2;
        s->text = arena_grow(parser->arena, s->text, s->len, capacity);
        s->capacity = capacity;
    }
    memcpy(s->text + s->len, piece.ptr, piece.len);
    s->len += piece.len;
    for (;;) {
        char *end = memchr(s->text + s->scanned, '\n', s->len - s->scanned);
        s->scanned = end ? (size_t)(end - s->text) + 1 : s->len;
        if (!end)
            return;
        read_line(parser, s->scanned);
    }
}

size_t edit_ready(const EditParser *parser) {
    return parser->state->ready;
}

static Str join_prose(const EditParser *parser) {
    const struct EditParserState *s = parser->state;
    Buf text = {0};
    for (size_t i = 0; i < s->prose_count; i++)
        buf_str(&text, edit_span(parser, s->prose[i].span));
    Str prose = str_trim(buf_copy(&text, parser->arena));
    buf_free(&text);
    return prose;
}

size_t edit_prose_count(const EditParser *parser) {
    const struct EditParserState *s = parser->state;
    const OpenForm *form = &s->form;
    bool is_edit = s->part == PART_FENCE && (form->path.len || edit_is_diff_fence(form->info));
    return is_edit ? form->prose : s->prose_count;
}

Str edit_prose_line(const EditParser *parser, size_t i) {
    return edit_span(parser, parser->state->prose[i].span);
}

bool edit_is_outside(const EditParser *parser) {
    return parser->state->part == PART_PROSE && !parser->state->err.code;
}

static void read_end(EditParser *parser) {
    struct EditParserState *s = parser->state;
    if (s->line_begin < s->len)
        read_line(parser, s->len);
    if (s->err.code)
        return;
    switch (parser->format) {
    case EDIT_BLOCKS: edit_block_end(parser); break;
    case EDIT_LABELS: edit_label_end(parser); break;
    case EDIT_ANY: edit_any_end(parser); break;
    }
}

bool edit_finish(EditParser *parser, EditList *out, Err *err) {
    struct EditParserState *s = parser->state;
    *out = (EditList){0};
    read_end(parser);
    if (s->err.code)
        return err_set(err, s->err.code, "%s", s->err.text);
    out->items = ARENA_ARRAY(parser->arena, Edit, s->edit_count + 1);
    out->count = s->edit_count;
    for (size_t i = 0; i < s->edit_count; i++) {
        const ParsedEdit *edit = &s->edits[i];
        out->items[i] = edit->edit;
        if (!edit->has_texts) {
            out->items[i].old_text = edit_span(parser, edit->old_text);
            out->items[i].new_text = edit_span(parser, edit->new_text);
        }
    }
    out->prose = s->text ? join_prose(parser) : S("");
    return true;
}
