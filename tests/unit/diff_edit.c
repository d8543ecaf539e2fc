/* Model edits: the golden cases of tests/golden/diff and the examples that come with mux-tiny. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/os.h"
#include "diff/diff.h"
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

static const TestCase CASES[] = {{"label_examples", label_examples}};
TEST_SUITE(DIFF_EDIT_SUITE, "edit", CASES);
