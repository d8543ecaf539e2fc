/* Tokenizers on vocabularies small enough to check by hand, and by rules told the slow way. */
#include <stdlib.h>
#include <string.h>

#include "engine/tokenizer.h"
#include "tests/runner.h"
#include "tests/small_vocabulary.h"

static Str list_text(Arena *arena, const int32_t *ids, size_t count) {
    Buf b = {0};
    for (size_t i = 0; i < count; i++)
        buf_printf(&b, "%s%d", i ? " " : "", ids[i]);
    Str text = buf_copy(&b, arena);
    buf_free(&b);
    return text;
}

static void check_encode(Arena *arena, const Tokenizer *t, Str text, unsigned flags, Str expected) {
    TokenList list = {0};
    tokenizer_encode(t, text, flags, &list);
    Str actual = list_text(arena, list.ids, list.count);
    tokens_free(&list);
    CHECK_MSG(str_eq(actual, expected), "text \"%.*s\" flags %u\n  got      %.*s\n  expected %.*s",
              STR_ARG(text), flags, STR_ARG(actual), STR_ARG(expected));
}

static Tokenizer *open_small(const TokenizerSource *source) {
    Err err = {0};
    Tokenizer *t = tokenizer_open(source, &err);
    CHECK_OK(t != NULL, err);
    return t;
}

static TokenizerSource plain_source(const Str *tokens, const int32_t *types, size_t count) {
    return (TokenizerSource){.model = S("gpt2"),
                             .pre = S("gpt-2"),
                             .tokens = tokens,
                             .types = types,
                             .token_count = count,
                             .bos = -1,
                             .eos = -1,
                             .eot = -1,
                             .eom = -1,
                             .unknown = -1,
                             .pad = -1};
}

static void test_small_bpe(void) {
    Arena arena = {0};
    SmallVocabulary v;
    TokenizerSource s = small_bpe(&arena, &v, S("gpt-2"));
    Tokenizer *t = open_small(&s);
    check_encode(&arena, t, S("the"), 0, S("257"));
    check_encode(&arena, t, S(" the the"), 0, S("259 259"));
    check_encode(&arena, t, S("\xC3\xA9"), 0, S("266"));
    check_encode(&arena, t, S("aaaaa"), 0, S("263 97"));
    check_encode(&arena, t, S("aaaaaaa"), 0, S("263 264"));
    check_encode(&arena, t, S(""), 0, S(""));
    check_encode(&arena, t, S("<|im_start|>"), TOKENIZE_SPECIAL, S("271"));
    check_encode(&arena, t, S("<|im_end|>"), 0, S("60 124 105 109 95 101 110 100 124 62"));
    check_encode(&arena, t, S("a<thinking>a<think>"), 0, S("97 274 97 273"));
    check_encode(&arena, t, S("a"), TOKENIZE_BOS, S("97"));
    CHECK_INT(tokenizer_count(t), v.count);
    CHECK_STR(tokenizer_bytes(t, 259), S(" the"));
    CHECK_STR(tokenizer_bytes(t, 10), S("\n"));
    CHECK_STR(tokenizer_bytes(t, SMALL_START), S("<|im_start|>"));
    CHECK_STR(tokenizer_shown(t, SMALL_START), S(""));
    CHECK_STR(tokenizer_shown(t, SMALL_THINK), S("<think>"));
    CHECK_STR(tokenizer_bytes(t, SMALL_UNUSED), S(""));
    CHECK_STR(tokenizer_bytes(t, -1), S(""));
    CHECK_STR(tokenizer_bytes(t, (int32_t)v.count), S(""));
    CHECK(tokenizer_is_control(t, SMALL_START) && !tokenizer_is_control(t, SMALL_THINK));
    CHECK(tokenizer_is_end(t, SMALL_END) && !tokenizer_is_end(t, SMALL_START) && !tokenizer_is_end(t, -1));
    CHECK_INT(tokenizer_find(t, S(" the")), 259);
    CHECK_INT(tokenizer_find(t, S("<thinking>")), SMALL_THINKING);
    CHECK_INT(tokenizer_find(t, S("\xFF")), 0xFF);
    CHECK_INT(tokenizer_find(t, S("nothing")), -1);
    CHECK_INT(tokenizer_find(t, S("")), -1);
    tokenizer_close(t);
    s.has_add_bos = s.add_bos = true;
    t = open_small(&s);
    check_encode(&arena, t, S("a"), TOKENIZE_BOS, S("271 97"));
    check_encode(&arena, t, S("a"), 0, S("97"));
    tokenizer_close(t);
    arena_free(&arena);
}

/* Pieces that are tokens are taken as they are, even where merging would not get there. */
static void test_ignore_merges(void) {
    static const Str TOKENS[] = {STR_INIT("a"), STR_INIT("b"), STR_INIT("c"), STR_INIT("ab"),
                                 STR_INIT("abc")};
    static const Str MERGES[] = {STR_INIT("a b")};
    Arena arena = {0};
    TokenizerSource s = plain_source(TOKENS, NULL, 5);
    s.merges = MERGES;
    s.merge_count = 1;
    Tokenizer *t = open_small(&s);
    check_encode(&arena, t, S("abc"), 0, S("3 2"));
    check_encode(&arena, t, S("a\tb"), 0, S("0 1")); /* an ASCII byte without a token is left out */
    tokenizer_close(t);
    s.pre = S("llama-bpe");
    t = open_small(&s);
    check_encode(&arena, t, S("abc"), 0, S("4"));
    check_encode(&arena, t, S("abcc"), 0, S("3 2 2"));
    tokenizer_close(t);
    arena_free(&arena);
}

static void test_small_spm(void) {
    Arena arena = {0};
    SmallVocabulary v;
    TokenizerSource s = small_spm(&arena, &v);
    Tokenizer *t = open_small(&s);
    check_encode(&arena, t, S("the"), TOKENIZE_BOS, S("1 269"));
    check_encode(&arena, t, S("the the"), 0, S("269 269"));
    check_encode(&arena, t, S("aab"), 0, S("259 271 261"));
    check_encode(&arena, t, S("  a"), 0, S("274 259 260"));
    check_encode(&arena, t, S("x"), 0, S("259 123"));
    check_encode(&arena, t, S("\xC3\xA9\xC3"), 0, S("259 265 198"));
    check_encode(&arena, t, S("<s>a"), TOKENIZE_SPECIAL, S("1 259 260"));
    check_encode(&arena, t, S("<s>"), 0, S("259 63 118 65"));
    check_encode(&arena, t, S(""), 0, S(""));
    CHECK_STR(tokenizer_bytes(t, 269), S(" the"));
    CHECK_STR(tokenizer_bytes(t, 3 + 0x0A), S("\n"));
    CHECK_INT(tokenizer_find(t, S(" the")), 269);
    CHECK_INT(tokenizer_find(t, S("\n")), 3 + 0x0A);
    CHECK_INT(tokenizer_bos(t), 1);
    CHECK_INT(tokenizer_eos(t), 2);
    CHECK(tokenizer_is_end(t, 2));
    tokenizer_close(t);
    s.has_add_space_prefix = true;
    t = open_small(&s);
    check_encode(&arena, t, S("the the"), 0, S("267 269"));
    tokenizer_close(t);
    s.name = S("Phi-3 mini");
    t = open_small(&s); /* </s> swallows the blanks after it there, <s> does not */
    check_encode(&arena, t, S("</s> \n a<s> a"), TOKENIZE_SPECIAL, S("2 260 1 259 260"));
    tokenizer_close(t);
    arena_free(&arena);
}

static void test_refused(void) {
    Arena arena = {0};
    SmallVocabulary v;
    Err err = {0};
    TokenizerSource s = small_bpe(&arena, &v, S("nobody"));
    CHECK(!tokenizer_open(&s, &err) && err.code == ERR_UNSUPPORTED && strstr(err.text, "nobody"));
    s = small_bpe(&arena, &v, S("gpt-2"));
    s.model = S("bert");
    CHECK(!tokenizer_open(&s, &err) && err.code == ERR_UNSUPPORTED && strstr(err.text, "bert"));
    s = small_bpe(&arena, &v, S("gpt-2"));
    s.eos = (int32_t)s.token_count;
    CHECK(!tokenizer_open(&s, &err) && err.code == ERR_INVALID);
    s.eos = -1;
    s.token_count = 0;
    CHECK(!tokenizer_open(&s, &err) && err.code == ERR_INVALID);
    tokenizer_close(NULL);
    arena_free(&arena);
}

/* In harmony files <|end|> closes a channel, not the turn; elsewhere it ends the generation. */
static void test_types_by_text(void) {
    static const Str TOKENS[] = {
        STR_INIT("a"),           STR_INIT("<|end|>"),    STR_INIT("<|return|>"),    STR_INIT("<|call|>"),
        STR_INIT("<|channel|>"), STR_INIT("<|im_end|>"), STR_INIT("<|fim_prefix|>")};
    static const int32_t TYPES[] = {1, 3, 3, 3, 3, 1, 4};
    TokenizerSource s = plain_source(TOKENS, TYPES, 7);
    Tokenizer *t = open_small(&s);
    CHECK(!tokenizer_is_end(t, 1) && tokenizer_is_end(t, 2) && tokenizer_is_end(t, 3));
    CHECK(!tokenizer_is_control(t, 1) && !tokenizer_is_control(t, 4));
    CHECK(tokenizer_is_control(t, 5) && tokenizer_is_end(t, 5));
    CHECK(tokenizer_is_control(t, 6) && !tokenizer_is_end(t, 6));
    tokenizer_close(t);
    s.token_count = 3;
    t = open_small(&s);
    CHECK(tokenizer_is_end(t, 1) && tokenizer_is_control(t, 1));
    tokenizer_close(t);
}

/* ---- properties ---- */

static void check_round_trip(const Tokenizer *t, Str text, unsigned flags) {
    TokenList list = {0};
    tokenizer_encode(t, text, flags, &list);
    Buf back = {0};
    for (size_t i = 0; i < list.count; i++)
        buf_str(&back, tokenizer_bytes(t, list.ids[i]));
    CHECK_MSG(str_eq(buf_text(&back), text), "%zu bytes, starting %.*s, come back as %zu", text.len,
              STR_ARG(str_slice(text, 0, 40)), back.len);
    buf_free(&back);
    tokens_free(&list);
}

/* NULL opens the SPM vocabulary, without the blank it would put in front. */
static Tokenizer *open_family(const char *name) {
    Arena arena = {0};
    SmallVocabulary v;
    TokenizerSource s = name ? small_bpe(&arena, &v, str_of(name)) : small_spm(&arena, &v);
    s.has_add_space_prefix = true;
    Tokenizer *t = open_small(&s);
    arena_free(&arena);
    return t;
}

static const char *const FAMILIES[] = {"gpt-2",        "starcoder",      "qwen2",       "qwen35", "glm4",
                                       "tekken",       "llama-bpe",      "gpt-4o",      "falcon", "default",
                                       "deepseek-llm", "deepseek-coder", "deepseek-v3", NULL};
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };

/* Random bytes, most of them no UTF-8, come back as they were in every family and kind. */
static void test_round_trip(void) {
    static const char *const PARTS[] = {" ",         "the",     "\n", "\r\n", "123",          "\xE4\xBD\xA0",
                                        "\xC3\xA9",  "<think>", "!=", "~",    "\xE3\x80\x80", "'s",
                                        "<|im_end|>"};
    for (size_t k = 0; k < FAMILY_COUNT; k++) {
        Tokenizer *t = open_family(FAMILIES[k]);
        for (int round = 0; round < 200; round++) {
            Buf text = {0};
            for (uint64_t n = test_random() % 70; n > 0; n--) {
                if (test_random() % 2)
                    buf_char(&text, (char)test_random());
                else
                    buf_cstr(&text, PARTS[test_random() % (sizeof PARTS / sizeof *PARTS)]);
            }
            check_round_trip(t, buf_text(&text), round % 2 ? TOKENIZE_SPECIAL : TOKENIZE_PLAIN);
            buf_free(&text);
        }
        tokenizer_close(t);
    }
}

/* 200 kB without a place to cut: a quadratic step would take minutes. */
static void test_long_lines(void) {
    static const char *const UNITS[] = {"a",        "ba", " ", "\n ",  "=",         "\xE3\x80\x80",
                                        "\xC3\xA9", "1",  "~", "\xFF", "<thinking", "the <think>",
                                        u8"\u00E9A"};
    for (size_t k = 0; k < FAMILY_COUNT; k++) {
        Tokenizer *t = open_family(FAMILIES[k]);
        for (size_t u = 0; u < sizeof UNITS / sizeof *UNITS; u++) {
            Buf text = {0};
            while (text.len < 200000)
                buf_cstr(&text, UNITS[u]);
            buf_char(&text, 'x');
            check_round_trip(t, buf_text(&text), TOKENIZE_SPECIAL);
            buf_free(&text);
        }
        tokenizer_close(t);
    }
}

/* How soon two neighbours join (smaller is sooner), by looking through the whole file; *joined becomes the
 * token. */
static double slow_rank(const TokenizerSource *s, Str a, Str b, int32_t *joined) {
    *joined = -1;
    for (size_t k = 0; k < s->token_count; k++)
        if (s->tokens[k].len == a.len + b.len && str_starts(s->tokens[k], a) && str_ends(s->tokens[k], b))
            *joined = (int32_t)k;
    if (*joined >= 0 && s->scores)
        return -(double)s->scores[*joined];
    for (size_t m = 0; m < s->merge_count && *joined >= 0; m++) {
        size_t space = str_find_char(s->merges[m], ' ', 1);
        if (str_eq(str_slice(s->merges[m], 0, space), a) && str_eq(str_from(s->merges[m], space + 1), b))
            return (double)m;
    }
    return 1e300;
}

/* Again and again the best pair of the whole text, leftmost first. */
static size_t merge_slowly(const TokenizerSource *s, int32_t *ids, size_t count) {
    for (;;) {
        size_t best = STR_NONE;
        double best_rank = 1e300;
        int32_t best_id = -1, id;
        for (size_t i = 0; i + 1 < count; i++) {
            double rank = slow_rank(s, s->tokens[ids[i]], s->tokens[ids[i + 1]], &id);
            if (rank < best_rank) {
                best = i;
                best_rank = rank;
                best_id = id;
            }
        }
        if (best == STR_NONE)
            return count;
        ids[best] = best_id;
        memmove(ids + best + 1, ids + best + 2, (count - best - 2) * sizeof *ids);
        count--;
    }
}

typedef struct RandomVocabulary {
    Str tokens[40], merges[40];
    float scores[40];
    size_t count, merge_count;
} RandomVocabulary;

/* Joins of what is there already, with ranks and scores in no order, and many scores equal. */
static void random_vocabulary(Arena *arena, RandomVocabulary *v, size_t count) {
    *v = (RandomVocabulary){.tokens = {S("a"), S("b"), S("c")}, .scores = {-9, -9, -9}, .count = 3};
    while (v->count < count) {
        Str a = v->tokens[test_random() % v->count], b = v->tokens[test_random() % v->count];
        Str joined = str_concat(arena, a, b);
        bool known = joined.len > 12;
        for (size_t i = 0; i < v->count; i++)
            known = known || str_eq(v->tokens[i], joined);
        if (known)
            continue;
        v->scores[v->count] = (float)(test_random() % 6);
        v->merges[v->merge_count++] = str_printf(arena, "%.*s %.*s", STR_ARG(a), STR_ARG(b));
        v->tokens[v->count++] = joined;
    }
    for (size_t i = v->merge_count; i-- > 1;) {
        size_t k = test_random() % (i + 1);
        Str swap = v->merges[i];
        v->merges[i] = v->merges[k];
        v->merges[k] = swap;
    }
}

static void test_merge_order(void) {
    for (int round = 0; round < 200; round++) {
        Arena arena = {0};
        RandomVocabulary v;
        random_vocabulary(&arena, &v, 7 + (size_t)round % 28);
        TokenizerSource s = plain_source(v.tokens, NULL, v.count);
        s.has_add_space_prefix = true;
        if (round % 2) {
            s.model = S("llama");
            s.scores = v.scores;
        } else {
            s.merges = v.merges;
            s.merge_count = v.merge_count;
        }
        Tokenizer *t = open_small(&s);
        int32_t ids[160];
        char text[160];
        size_t len = 1 + test_random() % (round % 4 < 2 ? 40 : 160);
        for (size_t i = 0; i < len; i++) {
            ids[i] = (int32_t)(test_random() % (test_random() % 2 ? 1 : 3));
            text[i] = (char)('a' + ids[i]);
        }
        size_t left = merge_slowly(&s, ids, len);
        check_encode(&arena, t, (Str){text, len}, 0, list_text(&arena, ids, left));
        tokenizer_close(t);
        arena_free(&arena);
    }
}

enum { ORDER_TOKENS = 10, ORDER_TEXT = 24 };

static Str random_xy(Arena *arena, size_t len) {
    char name[ORDER_TEXT];
    for (size_t i = 0; i < len; i++)
        name[i] = test_random() % 2 ? 'x' : 'y';
    return str_copy(arena, (Str){name, len});
}

/* All places of the longest token, from the left, then those of the next longest: ids[i] >= 0 where one
 * begins. */
static void place_slowly(const TokenizerSource *s, Str text, bool with_control, int32_t *ids) {
    for (size_t size = 5; size > 0; size--)
        for (size_t k = 2; k < s->token_count; k++)
            for (size_t i = 0; s->tokens[k].len == size && i + size <= text.len; i++) {
                bool fits =
                    (with_control || s->types[k] == 4) && !memcmp(text.ptr + i, s->tokens[k].ptr, size);
                for (size_t j = i; j < i + size; j++)
                    fits = fits && ids[j] == -1;
                for (size_t j = i; fits && j < i + size; j++)
                    ids[j] = j == i ? (int32_t)k : -2;
            }
}

static void test_special_order(void) {
    for (int round = 0; round < 400; round++) {
        Arena arena = {0};
        Str tokens[ORDER_TOKENS] = {S("x"), S("y")};
        int32_t types[ORDER_TOKENS] = {1, 1}, ids[ORDER_TEXT];
        for (size_t count = 2; count < ORDER_TOKENS;) {
            Str text = random_xy(&arena, 1 + test_random() % 5);
            bool known = false;
            for (size_t i = 0; i < count; i++)
                known = known || str_eq(tokens[i], text);
            if (known)
                continue;
            types[count] = test_random() % 2 ? 3 : 4;
            tokens[count++] = text;
        }
        TokenizerSource s = plain_source(tokens, types, ORDER_TOKENS);
        Tokenizer *t = open_small(&s);
        Str text = random_xy(&arena, 1 + test_random() % ORDER_TEXT);
        for (size_t i = 0; i < text.len; i++)
            ids[i] = -1;
        place_slowly(&s, text, round % 2, ids);
        size_t n = 0;
        for (size_t i = 0; i < text.len; i++)
            if (ids[i] != -2)
                ids[n++] = ids[i] >= 0 ? ids[i] : text.ptr[i] == 'x' ? 0 : 1;
        check_encode(&arena, t, text, round % 2 ? TOKENIZE_SPECIAL : 0, list_text(&arena, ids, n));
        tokenizer_close(t);
        arena_free(&arena);
    }
}

static const TestCase CASES[] = {
    {"bpe", test_small_bpe},
    {"ignore_merges", test_ignore_merges},
    {"spm", test_small_spm},
    {"refused", test_refused},
    {"types_by_text", test_types_by_text},
    {"round_trip", test_round_trip},
    {"long_lines", test_long_lines},
    {"merge_order", test_merge_order},
    {"special_order", test_special_order},
};
TEST_SUITE(ENGINE_TOKENIZER_SMALL_SUITE, "tokenizer_small", CASES);
