/* Replies in all forms, as models write them: tests/golden/diff/forms.txt, each fed whole, byte by byte and
 * at random splits. */
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "diff/edit.h"
#include "tests/runner.h"

enum { MOST_BYTES = 1 << 20, RANDOM_SPLITS = 6 };

static bool parse_reply(Str reply, size_t step, Arena *arena, EditList *out, Err *err) {
    EditParser parser;
    edit_begin(&parser, EDIT_ANY, arena);
    for (size_t at = 0; at < reply.len;) {
        size_t n = step ? step : 1 + test_random() % 40;
        n = n < reply.len - at ? n : reply.len - at;
        char *piece = malloc(n); /* the parser must not keep it */
        memcpy(piece, reply.ptr + at, n);
        edit_feed(&parser, (Str){piece, n});
        memset(piece, '#', n);
        free(piece);
        at += n;
    }
    return edit_finish(&parser, out, err);
}

/* ---- edits as text ---- */

static void show_lines(char sign, Str text, Buf *out) {
    Str line;
    bool has_end = text.len == 0 || str_ends(text, S("\n"));
    for (Str rest = text; str_next_line(&rest, &line);)
        buf_printf(out, "%c%.*s\n", sign, STR_ARG(line));
    if (!has_end)
        buf_cstr(out, "\\\n");
}

static void show_edit(const Edit *edit, Buf *out) {
    static const char *const KINDS[] = {"replace", "whole", "delete", "move", "symbol", "lines", "label"};
    buf_printf(out, "%s %.*s", KINDS[edit->kind], STR_ARG(edit->path));
    if (edit->kind == EDIT_MOVE)
        buf_printf(out, " to %.*s", STR_ARG(edit->new_path));
    if (edit->line_hint)
        buf_printf(out, " @%zu", edit->line_hint);
    if (edit->kind == EDIT_LINES)
        buf_printf(out, " %zu:%04x-%zu:%04x", edit->first_line, edit->first_hash, edit->last_line,
                   edit->last_hash);
    if (edit->is_at_end)
        buf_cstr(out, " at end");
    if (edit->symbol.len)
        buf_cstr(out, " in ");
    for (size_t i = 0; i < edit->symbol.len; i++)
        buf_char(out, edit->symbol.ptr[i] == '\n' ? '/' : edit->symbol.ptr[i]);
    buf_char(out, '\n');
    show_lines('-', edit->old_text, out);
    show_lines('+', edit->new_text, out);
}

static Str show_edits(const EditList *edits, Arena *arena) {
    Buf out = {0};
    for (size_t i = 0; i < edits->count; i++)
        show_edit(&edits->items[i], &out);
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

/* ---- cases ---- */

typedef struct FormCase {
    Str title, reply, edits, error, prose;
    bool has_prose, has_error;
} FormCase;

static void check_once(const FormCase *c, size_t step, Arena *arena) {
    EditList edits;
    Err err = {0};
    bool ok = parse_reply(c->reply, step, arena, &edits, &err);
    CHECK_MSG(ok != c->has_error, "%.*s: %s", STR_ARG(c->title), ok ? "accepted" : err.text);
    if (!ok) {
        CHECK_MSG(str_contains(str_of(err.text), c->error), "%.*s: %s", STR_ARG(c->title), err.text);
        CHECK_INT(err.code, ERR_INVALID);
        return;
    }
    Str shown = show_edits(&edits, arena);
    CHECK_MSG(str_eq(shown, c->edits), "%.*s: the edits are\n<<%.*s>>", STR_ARG(c->title), STR_ARG(shown));
    if (c->has_prose)
        CHECK_MSG(str_eq(edits.prose, c->prose), "%.*s: the prose is\n<<%.*s>>", STR_ARG(c->title),
                  STR_ARG(edits.prose));
}

static Str with_crlf(Str text, Arena *arena) {
    Buf out = {0};
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n')
            buf_char(&out, '\r');
        buf_char(&out, text.ptr[i]);
    }
    Str crlf = buf_copy(&out, arena);
    buf_free(&out);
    return crlf;
}

static void check_case(const FormCase *given) {
    Arena arena = {0};
    FormCase c = *given;
    for (int round = 0; round < 2; round++) {
        check_once(&c, c.reply.len + 1, &arena);
        check_once(&c, 1, &arena);
        for (int i = 0; i < RANDOM_SPLITS; i++)
            check_once(&c, 0, &arena);
        c.reply = with_crlf(c.reply, &arena); /* the same reply from a server that writes CRLF */
        c.has_prose = false;
    }
    arena_free(&arena);
}

static bool section(Str head, Str word, Str *rest) {
    if (!str_starts(head, word))
        return false;
    *rest = str_trim(str_from(head, word.len));
    return true;
}

static void read_section(FormCase *c, Str head, Str body) {
    Str rest;
    if (section(head, S("reply"), &rest))
        c->reply = str_eq(rest, S("nonl")) ? str_slice(body, 0, body.len - 1) : body;
    else if (section(head, S("edits"), &rest))
        c->edits = body;
    else if (section(head, S("error"), &c->error))
        c->has_error = true;
    else if (section(head, S("prose"), &rest))
        c->prose = str_trim(body), c->has_prose = true;
    else
        CHECK_MSG(false, "%.*s: unknown section %.*s", STR_ARG(c->title), STR_ARG(head));
}

static void forms(void) {
    Arena arena = {0};
    Err err = {0};
    Str text, path = str_printf(&arena, "%s/tests/golden/diff/forms.txt", test_source_dir());
    CHECK_OK(os_read_file(path.ptr, MOST_BYTES, &arena, &text, &err), err);
    FormCase c = {0};
    size_t cases = 0;
    for (size_t at = 0; at < text.len;) {
        size_t head_end = str_find_char(text, '\n', at), next = str_find(text, S("\n@@@ "), head_end - 1);
        size_t body_end = next == STR_NONE ? text.len : next + 1;
        Str head = str_slice(text, at + 4, head_end), title;
        if (section(head, S("case"), &title)) {
            if (cases++)
                check_case(&c);
            c = (FormCase){.title = title, .reply = S(""), .edits = S("")};
        } else {
            read_section(&c, head, str_slice(text, head_end + 1, body_end));
        }
        at = body_end;
    }
    check_case(&c);
    CHECK(cases > 60);
    arena_free(&arena);
}

/* The same reply cut off anywhere: never more edits than the whole one has, and none that differs. */
static void cut_replies(void) {
    static const char *const REPLIES[] = {
        "a.py\n```python\n<<<<<<< SEARCH\none\n=======\n1\n>>>>>>> REPLACE\n```\n",
        "*** Begin Patch\n*** Update File: a.py\n@@ def f():\n-one\n+1\n*** Delete File: b\n*** End Patch\n",
        "a.py\n<<<<<<< SYMBOL A.f\ndef f():\n    pass\n>>>>>>> END\n",
        "a.py\n```python\ndef f():\n    pass\n```\n",
        "```diff\n--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n-one\n+1\n two\n```\n",
    };
    Arena arena = {0};
    for (size_t r = 0; r < sizeof REPLIES / sizeof *REPLIES; r++) {
        Str whole = str_of(REPLIES[r]);
        EditList all;
        Err err = {0};
        CHECK_OK(parse_reply(whole, 0, &arena, &all, &err), err);
        CHECK(all.count > 0);
        Str shown = show_edits(&all, &arena);
        for (size_t n = 0; n < whole.len; n++) {
            EditList edits;
            if (parse_reply(str_slice(whole, 0, n), 0, &arena, &edits, NULL) && edits.count)
                CHECK_STR(show_edits(&edits, &arena), shown);
        }
    }
    arena_free(&arena);
}

static const TestCase CASES[] = {{"forms", forms}, {"cut_replies", cut_replies}};
TEST_SUITE(DIFF_EDIT_FORMS_SUITE, "edit_forms", CASES);
