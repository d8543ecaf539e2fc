#include "engine/grammar.h"

#include <string.h>

#include "engine/grammar_internal.h"
#include "tests/fakes/blocks.h"
#include "tests/runner.h"

static const char *const LINES[] = {
    "a",
    "b",
    "",
    "}",
    "    return 1;",
    "name",
    "ab",
    "=======",
    "======= ",
    "========",
    "====",
    "<<<<<<< SEARCH",
    ">>>>>>> REPLACE",
    "<<<",
    "caf\xC3\xA9",
    "bad\xFF",
    "tail\r",
    "\tx",
    "src/a.c",
    "```",
};

static Str random_file(Arena *arena, unsigned kinds) {
    Buf out = {0};
    for (size_t n = test_random() % 24; n > 0; n--) {
        buf_cstr(&out, LINES[test_random() % kinds]);
        buf_char(&out, '\n');
    }
    if (out.len && test_random() % 3 == 0)
        out.len--; /* no final line end */
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static GrammarSpec random_spec(Arena *arena, GrammarFile *files) {
    static const char *const PATHS[] = {"src/a.c", "src/ab.c", "a.c", "read me.txt", "a", "src/caf\xC3\xA9"};
    size_t count = 1 + test_random() % 4;
    for (size_t i = 0; i < count; i++)
        files[i] = (GrammarFile){str_of(PATHS[test_random() % 6]),
                                 random_file(arena, test_random() % 2 ? 7 : sizeof LINES / sizeof *LINES)};
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(files[i].path, files[k].path)) {
                files[i] = files[count - 1];
                i = 0, k = 0, count--;
                break;
            }
    return (GrammarSpec){.form = FORM_BLOCKS,
                         .files = files,
                         .file_count = count,
                         .allow_new_files = test_random() % 2,
                         .edits_only = test_random() % 2,
                         .max_blocks = 1 + test_random() % 5,
                         .max_replace_bytes = 1 + test_random() % 40,
                         .max_search_bytes = 4 + test_random() % 60};
}

/* How a model without sense chooses: evenly, or longing for markers, or for its own favourites. */
static int32_t choose(const Vocabulary *v, const uint64_t *bits, unsigned taste) {
    int32_t chosen = -1;
    uint64_t best = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (!bit_is_set(bits, (int32_t)i))
            continue;
        uint64_t score = test_random() >> 8;
        if (taste == 1 && i >= 256)
            score <<= 4;
        if (taste == 2 && (i * 2654435761u >> 7) % 16 == 0)
            score <<= 6;
        if (taste == 3 && bit_is_set(v->ends, (int32_t)i))
            score >>= 6;
        if (chosen < 0 || score > best) {
            best = score;
            chosen = (int32_t)i;
        }
    }
    return chosen;
}

static void check_mask(const Vocabulary *v, const BlockMask *mask, const uint64_t *bits, Str so_far) {
    for (size_t i = 0; i < v->count; i++)
        CHECK_MSG(bit_is_set(bits, (int32_t)i) == block_mask_allows(mask, (int32_t)i),
                  "token %zu is %d in the mask, %d byte by byte, after <<%.*s>>", i,
                  bit_is_set(bits, (int32_t)i), block_mask_allows(mask, (int32_t)i), STR_ARG(so_far));
}

typedef struct Totals {
    size_t replies, blocks, escaped, forced, tokens;
} Totals;

static void write_reply(const Vocabulary *v, Arena *arena, bool compare, Totals *totals) {
    GrammarFile files[4];
    Err err = {0};
    GrammarSpec spec = random_spec(arena, files);
    BlockMask *mask = block_mask_open(v, &spec, &err);
    if (!mask) {
        CHECK(spec.edits_only && !spec.allow_new_files);
        return;
    }
    uint64_t *bits = ARENA_ARRAY(arena, uint64_t, v->words);
    Buf reply = {0};
    unsigned taste = (unsigned)(test_random() % 4);
    for (int step = 0;; step++) {
        CHECK_MSG(step < 5000, "the reply does not end: <<%.*s>>", STR_ARG(buf_text(&reply)));
        block_mask_next(mask, bits);
        int32_t token = choose(v, bits, taste);
        CHECK_MSG(token >= 0, "nothing is allowed after <<%.*s>>", STR_ARG(buf_text(&reply)));
        if (compare)
            check_mask(v, mask, bits, buf_text(&reply));
        int32_t forced = block_mask_forced(mask);
        if (forced >= 0) {
            CHECK(bit_is_set(bits, forced));
            token = forced;
            totals->forced++;
        }
        if (bit_is_set(v->ends, token) || (step > 2000 && bit_is_set(bits, v->first_end)))
            break;
        buf_str(&reply, tokenizer_bytes(v->tokenizer, token));
        block_mask_accept(mask, token);
        totals->tokens++;
    }
    size_t blocks, escaped;
    const char *wrong = fake_check_reply(&spec, buf_text(&reply), &blocks, &escaped);
    CHECK_MSG(!wrong, "%s in <<%.*s>>", wrong, STR_ARG(buf_text(&reply)));
    CHECK_INT(block_mask_escaped(mask), escaped);
    CHECK(blocks <= spec.max_blocks);
    totals->replies++;
    totals->blocks += blocks;
    totals->escaped += escaped;
    buf_free(&reply);
    block_mask_close(mask);
}

static Vocabulary *open_fake(Arena *arena, Tokenizer **tokenizer) {
    Err err = {0};
    *tokenizer = fake_tokenizer_open(arena, &err);
    CHECK_OK(*tokenizer != NULL, err);
    Vocabulary *v = vocabulary_open(*tokenizer, &err);
    CHECK_OK(v != NULL, err);
    return v;
}

static void write_replies(int count, bool compare) {
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    Totals totals = {0};
    for (int i = 0; i < count; i++) {
        Arena each = {0};
        write_reply(v, &each, compare, &totals);
        arena_free(&each);
    }
    CHECK_MSG(totals.blocks > (size_t)count / 2 && totals.forced > (size_t)count,
              "too little was written: %zu replies, %zu blocks, %zu escaped, %zu tokens, %zu forced",
              totals.replies, totals.blocks, totals.escaped, totals.tokens, totals.forced);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

static void test_random_replies(void) {
    write_replies(2000, false);
}

static void test_mask_is_the_bytewise_truth(void) {
    write_replies(150, true);
}

static const TestCase CASES[] = {
    {"random_replies", test_random_replies},
    {"mask_is_the_bytewise_truth", test_mask_is_the_bytewise_truth},
};
TEST_SUITE(ENGINE_GRAMMAR_SUITE, "grammar", CASES);
