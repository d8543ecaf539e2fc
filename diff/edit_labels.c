/* The form of mux-tiny's answers: "<|7|>" at the start of a line says that line 7 of the excerpt becomes the
 * text after it, up to the next label; nothing after it deletes the line, more lines insert. */
#include "diff/edit_parse_internal.h"
#include "diff/lines_internal.h"

enum { MOST_LABEL_DIGITS = 6 };

/* Length of the label that s starts with, 0 for none. */
static size_t label_at(Str s, int *label) {
    size_t i = 2;
    int value = 0;
    if (!str_starts(s, S("<|")))
        return 0;
    for (; i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9'; i++) {
        if (i - 2 >= MOST_LABEL_DIGITS)
            return 0;
        value = value * 10 + (s.ptr[i] - '0');
    }
    if (i == 2 || !str_starts(str_from(s, i), S("|>")))
        return 0;
    *label = value;
    return i + 2;
}

void edit_label_line(EditParser *parser, Span line) {
    struct EditParserState *s = parser->state;
    int label;
    for (size_t n; (n = label_at(edit_span(parser, line), &label)) > 0; line.begin += n) {
        ParsedEdit edit = {.edit = {.kind = EDIT_LABEL, .path = S(""), .label = label},
                           .new_text = {line.begin + n, line.begin + n}};
        s->ready = s->edit_count;
        if (s->edit_count == 0 && s->prose_count)
            err_set(&s->err, ERR_INVALID, "the answer has text before its first label <|%d|>", label);
        LIST_PUSH(parser->arena, s->edits, s->edit_count, s->edit_capacity, edit);
    }
    if (s->edit_count)
        s->edits[s->edit_count - 1].new_text.end = line.end;
    else if (!line_is_blank(edit_span(parser, line)))
        edit_add_prose(parser, line, false);
}

void edit_label_end(EditParser *parser) {
    struct EditParserState *s = parser->state;
    s->ready = s->edit_count;
    if (s->edit_count == 0)
        return;
    Span last = s->edits[s->edit_count - 1].new_text;
    if (last.end > last.begin && !str_ends(edit_span(parser, last), S("\n")))
        err_set(&s->err, ERR_INVALID, "the answer ends in the middle of the line labelled <|%d|>",
                s->edits[s->edit_count - 1].edit.label);
}

static Str without_newline(Str s) {
    return str_ends(s, S("\n")) ? str_slice(s, 0, s.len - 1) : s;
}

bool edit_apply_labels(Str excerpt, int first_label, const EditList *edits, Arena *arena, Str *out,
                       bool *deleted_all, Err *err) {
    size_t line_count = 1, left = 0;
    for (size_t i = 0; i < excerpt.len; i++)
        line_count += excerpt.ptr[i] == '\n';
    for (size_t i = 0; i < edits->count; i++) {
        int64_t line = (int64_t)edits->items[i].label - first_label;
        if (line < 0 || line >= (int64_t)line_count)
            return err_set(
                err, ERR_INVALID, "label <|%d|> is outside the excerpt, whose labels are %d to %lld",
                edits->items[i].label, first_label, (long long)first_label + (long long)line_count - 1);
        if (i && edits->items[i].label <= edits->items[i - 1].label)
            return err_set(err, ERR_INVALID, "label <|%d|> comes after <|%d|>: labels must rise",
                           edits->items[i].label, edits->items[i - 1].label);
    }
    Buf text = {0};
    size_t begin = 0, next = 0;
    for (size_t line = 0; line < line_count; line++) {
        size_t end = str_find_char(excerpt, '\n', begin);
        Str body = str_slice(excerpt, begin, end == STR_NONE ? excerpt.len : end);
        begin += body.len + 1;
        if (next < edits->count && edits->items[next].label - first_label == (int64_t)line) {
            body = edits->items[next++].new_text;
            if (body.len == 0)
                continue;
            body = without_newline(body);
        }
        if (left++)
            buf_char(&text, '\n');
        buf_str(&text, body);
    }
    bool ok = !text.failed;
    *out = buf_copy(&text, arena);
    *deleted_all = left == 0;
    buf_free(&text);
    return ok || err_set(err, ERR_NO_MEMORY, "not enough memory for the edited excerpt");
}
