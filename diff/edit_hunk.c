/* A hunk without trust in its numbers: old text, new text, and where the model believes it to be. */
#include "diff/edit_parse_internal.h"
#include "diff/lines_internal.h"

static void put_held_blanks(HunkText *hunk) {
    for (; hunk->trailing; hunk->trailing--) {
        buf_char(&hunk->old_text, '\n');
        buf_char(&hunk->new_text, '\n');
    }
}

static void put(Buf *text, Str line) {
    buf_str(text, line);
    if (!str_ends(line, S("\n")))
        buf_char(text, '\n');
}

void hunk_line(HunkText *hunk, Str line) {
    if (line_body(line).len == 0) { /* a blank context line, or nothing behind the hunk */
        hunk->trailing++;
        return;
    }
    put_held_blanks(hunk);
    char sign = line.ptr[0];
    bool has_sign = sign == ' ' || sign == '+' || sign == '-';
    Str text = has_sign ? str_from(line, 1) : line;
    if (sign != '+')
        put(&hunk->old_text, text);
    if (sign != '-')
        put(&hunk->new_text, text);
    hunk->changed += sign == '+' || sign == '-';
    hunk->last = has_sign ? sign : ' ';
}

static void cut_newline(Buf *text) {
    text->len -= str_ends(buf_text(text), S("\n"));
    text->len -= str_ends(buf_text(text), S("\r"));
}

void hunk_no_newline(HunkText *hunk) {
    if (hunk->last && hunk->last != '+')
        cut_newline(&hunk->old_text);
    if (hunk->last && hunk->last != '-')
        cut_newline(&hunk->new_text);
}

void hunk_head(EditParser *parser, HunkText *hunk, Str line) {
    Str s = str_trim(str_from(str_trim(line), 2));
    size_t at = 1, number;
    if (str_starts(s, S("-")) && number_read(s, &at, &number)) {
        hunk->line_hint = number;
        size_t end = str_find(s, S("@@"), at);
        s = end == STR_NONE ? S("") : str_trim(str_from(s, end + 2));
    } else if (str_ends(s, S("@@"))) {
        s = str_trim(str_slice(s, 0, s.len - 2));
    }
    if (s.len == 0 || str_eq(s, S("...")))
        return;
    hunk->scope =
        hunk->scope.len ? str_printf(parser->arena, "%.*s\n%.*s", STR_ARG(hunk->scope), STR_ARG(s)) : s;
}

void hunk_drop(HunkText *hunk) {
    buf_clear(&hunk->old_text);
    buf_clear(&hunk->new_text);
    hunk->changed = hunk->trailing = hunk->line_hint = 0;
    hunk->is_at_end = false;
    hunk->last = 0;
    hunk->scope = S("");
}

bool hunk_end(EditParser *parser, HunkText *hunk) {
    bool is_change = hunk->changed > 0;
    if (is_change) {
        ParsedEdit edit = {.has_texts = true,
                           .edit = {.kind = EDIT_REPLACE,
                                    .path = hunk->path,
                                    .symbol = str_copy(parser->arena, hunk->scope),
                                    .line_hint = hunk->line_hint,
                                    .is_at_end = hunk->is_at_end,
                                    .old_text = buf_copy(&hunk->old_text, parser->arena),
                                    .new_text = buf_copy(&hunk->new_text, parser->arena)}};
        edit_push(parser, edit);
    }
    hunk_drop(hunk);
    return is_change;
}

void hunk_free(HunkText *hunk) {
    buf_free(&hunk->old_text);
    buf_free(&hunk->new_text);
}
