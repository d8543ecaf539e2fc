/* Model edits: the golden cases of tests/golden/diff and the examples that come with mux-tiny. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/os.h"
#include "diff/edit.h"
#include "tests/runner.h"

enum { MOST_BYTES = 64 << 20 };

/* Feeds the reply in pieces: one byte each (step 1), random ones (step 0), or whole. */
static bool parse_reply(Str reply, EditFormat format, size_t step, Arena *arena, EditList *out, Err *err) {
    EditParser parser;
    edit_begin(&parser, format, arena);
    size_t ready = 0;
    for (size_t at = 0; at < reply.len;) {
        size_t n = step ? step : 1 + test_random() % 7;
        char *piece = malloc(n); /* the parser must not keep it */
        n = n < reply.len - at ? n : reply.len - at;
        memcpy(piece, reply.ptr + at, n);
        edit_feed(&parser, (Str){piece, n});
        memset(piece, '#', n);
        free(piece);
        at += n;
        CHECK(edit_ready(&parser) >= ready);
        ready = edit_ready(&parser);
    }
    bool ok = edit_finish(&parser, out, err);
    CHECK(!ok || edit_ready(&parser) == out->count);
    return ok;
}

static void label_examples(void) {
    Arena arena = {0};
    Str path = test_shared(&arena, "models/mux-tiny/examples.jsonl"), text, line;
    Err err = {0};
    CHECK_OK(os_read_file(path.ptr, MOST_BYTES, &arena, &text, &err), err);
    size_t cases = 0;
    for (Str rest = text; str_next_line(&rest, &line); cases++) {
        Json *row = json_parse(line, &err);
        CHECK_OK(row != NULL, err);
        Str answer = json_str(row, "answer"), prompt = json_str(row, "prompt");
        answer = str_slice(answer, 0, str_find(answer, S("<|im_end|>"), 0));
        int first_label = atoi(prompt.ptr + str_find(prompt, S("\n<|"), 0) + 3);
        for (size_t step = 0; step < 2; step++) {
            EditList edits;
            Str result;
            bool deleted_all;
            CHECK_OK(parse_reply(answer, EDIT_LABELS, step, &arena, &edits, &err), err);
            CHECK_INT(edits.count, json_len(json_find(row, "edits")));
            CHECK_OK(edit_apply_labels(json_str(row, "excerpt"), first_label, &edits, &arena, &result,
                                       &deleted_all, &err),
                     err);
            CHECK_STR(result, json_str(row, "result"));
        }
        json_free(row);
    }
    CHECK(cases >= 200);
    arena_free(&arena);
}

/* ---- golden cases (tests/golden/diff/README.md says how they are written) ---- */

typedef struct Golden {
    Str title, file, reply, result, paths, level, error, prose;
    bool has_result, has_paths, has_level, has_error, has_prose, is_labels, is_applied;
    int first_label;
} Golden;

static const char *const LEVEL_NAMES[MATCH_LEVELS] = {
    "exact", "line endings", "trailing blanks", "indent", "blank lines", "punctuation", "similar"};

static Str golden_text(Arena *arena, Str body, Str flags) {
    Buf text = {0};
    if (str_contains(flags, S("bom")))
        buf_cstr(&text, "\xEF\xBB\xBF");
    if (str_contains(flags, S("nonl")) && str_ends(body, S("\n")))
        body.len--;
    for (size_t i = 0; i < body.len; i++) {
        if (body.ptr[i] == '\n' && str_contains(flags, S("crlf")))
            buf_char(&text, '\r');
        buf_char(&text, body.ptr[i]);
    }
    Str out = buf_copy(&text, arena);
    buf_free(&text);
    return out;
}

static bool golden_word(Str head, Str word, Str *rest) {
    if (!str_starts(head, word) || (head.len > word.len && head.ptr[word.len] != ' '))
        return false;
    *rest = str_trim(str_from(head, word.len));
    return true;
}

static void golden_section(Golden *g, Str head, Str body, Arena *arena) {
    Str rest;
    if (golden_word(head, S("file"), &rest))
        g->file = golden_text(arena, body, rest);
    else if (golden_word(head, S("reply"), &rest))
        g->reply = golden_text(arena, body, rest);
    else if (golden_word(head, S("result"), &rest))
        g->result = golden_text(arena, body, rest), g->has_result = true;
    else if (golden_word(head, S("prose"), &rest))
        g->prose = str_trim(body), g->has_prose = true;
    else if (golden_word(head, S("paths"), &g->paths))
        g->has_paths = true;
    else if (golden_word(head, S("level"), &g->level))
        g->has_level = true;
    else if (golden_word(head, S("error"), &g->error))
        g->has_error = true;
    else if (golden_word(head, S("applied"), &rest))
        g->is_applied = true;
    else if (golden_word(head, S("labels"), &rest))
        g->first_label = atoi(rest.ptr), g->is_labels = true;
    else
        CHECK_MSG(false, "%.*s: unknown section %.*s", STR_ARG(g->title), STR_ARG(head));
}

static bool golden_blocks(const Golden *g, const EditList *edits, Arena *arena, Str *result, Err *err) {
    Place *places = ARENA_ARRAY(arena, Place, edits->count + 1);
    MatchLevel loosest = MATCH_EXACT;
    for (size_t i = 0; i < edits->count; i++) {
        if (!edit_locate(g->file, &edits->items[i], NULL, arena, &places[i], err))
            return false;
        loosest = places[i].level > loosest ? places[i].level : loosest;
        CHECK_MSG(places[i].already_applied == g->is_applied, "%.*s: already_applied", STR_ARG(g->title));
    }
    if (g->has_level)
        CHECK_STR(str_of(LEVEL_NAMES[loosest]), g->level);
    return edit_apply(g->file, places, edits->count, arena, result, err);
}

static bool golden_run(const Golden *g, size_t step, Arena *arena, Str *result, Err *err) {
    EditList edits;
    bool deleted_all;
    if (!parse_reply(g->reply, g->is_labels ? EDIT_LABELS : EDIT_BLOCKS, step, arena, &edits, err))
        return false;
    if (g->has_prose)
        CHECK_STR(edits.prose, g->prose);
    Str paths = S("");
    for (size_t i = 0; i < edits.count; i++)
        paths = str_printf(arena, "%.*s%s%.*s", STR_ARG(paths), i ? " " : "", STR_ARG(edits.items[i].path));
    if (g->has_paths)
        CHECK_STR(paths, g->paths);
    if (!g->is_labels)
        return golden_blocks(g, &edits, arena, result, err);
    return edit_apply_labels(g->file, g->first_label, &edits, arena, result, &deleted_all, err);
}

static void golden_check(const Golden *g, Arena *arena) {
    static const size_t STEPS[] = {1, 0, 0, 100000};
    CHECK_MSG(g->has_result != g->has_error, "%.*s: a result or an error, please", STR_ARG(g->title));
    for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
        Err err = {0};
        Str result;
        bool ok = golden_run(g, STEPS[i], arena, &result, &err);
        CHECK_MSG(ok == g->has_result, "%.*s: %s", STR_ARG(g->title), ok ? "accepted" : err.text);
        if (ok) {
            CHECK_MSG(str_eq(result, g->result), "%.*s: the result is\n<<%.*s>>", STR_ARG(g->title),
                      STR_ARG(result));
            continue;
        }
        Str name = str_of(err_name(err.code)), code = str_slice(g->error, 0, str_find_char(g->error, ' ', 0));
        for (size_t c = 0; c < name.len; c++)
            CHECK_MSG(c < code.len && (name.ptr[c] == code.ptr[c] || name.ptr[c] == ' '), "%.*s: %.*s, %s",
                      STR_ARG(g->title), STR_ARG(name), err.text);
        CHECK_MSG(str_contains(str_of(err.text), str_trim(str_from(g->error, code.len))), "%.*s: %s",
                  STR_ARG(g->title), err.text);
    }
}

static size_t golden_file(const char *name) {
    Arena arena = {0};
    Err err = {0};
    Str text, path = str_printf(&arena, "%s/tests/golden/diff/%s", test_source_dir(), name);
    CHECK_OK(os_read_file(path.ptr, MOST_BYTES, &arena, &text, &err), err);
    Golden golden = {0};
    size_t cases = 0;
    for (size_t at = 0; at < text.len;) {
        size_t head_end = str_find_char(text, '\n', at), next = str_find(text, S("\n@@@ "), head_end - 1);
        size_t body_end = next == STR_NONE ? text.len : next + 1;
        Str head = str_slice(text, at + 4, head_end), title;
        if (golden_word(head, S("case"), &title)) {
            if (cases++)
                golden_check(&golden, &arena);
            golden = (Golden){.title = title, .file = S(""), .reply = S("")};
        } else {
            golden_section(&golden, head, str_slice(text, head_end + 1, body_end), &arena);
        }
        at = body_end;
    }
    golden_check(&golden, &arena);
    arena_free(&arena);
    return cases;
}

static void golden_blocks_file(void) {
    CHECK(golden_file("blocks.txt") > 10);
}

static void golden_locate_file(void) {
    CHECK(golden_file("locate.txt") > 10);
}

static void golden_labels_file(void) {
    CHECK(golden_file("labels.txt") > 5);
}

static const TestCase CASES[] = {{"label_examples", label_examples},
                                 {"golden_blocks", golden_blocks_file},
                                 {"golden_locate", golden_locate_file},
                                 {"golden_labels", golden_labels_file}};
TEST_SUITE(DIFF_EDIT_SUITE, "edit", CASES);
