/* Two vocabularies small enough to read: one of each tokenizer kind, for tests and the fuzz target. */
#ifndef MUX_TESTS_SMALL_VOCABULARY_H
#define MUX_TESTS_SMALL_VOCABULARY_H

#include "base/utf8.h"
#include "engine/tokenizer.h"

typedef struct SmallVocabulary {
    Str tokens[400];
    int32_t types[400];
    float scores[400];
    size_t count;
} SmallVocabulary;

static inline int32_t small_add(SmallVocabulary *v, Str text, int32_t type, float score) {
    v->tokens[v->count] = text;
    v->types[v->count] = type;
    v->scores[v->count] = score;
    return (int32_t)v->count++;
}

/* The printable character that stands for a byte in byte-level BPE files, counted out. */
static inline Str small_stand_in(Arena *arena, unsigned byte) {
    uint32_t others = 256, code = 0;
    for (unsigned b = 0; b <= byte; b++) {
        bool itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        code = itself ? b : others++;
    }
    Buf buf = {0};
    utf8_put(&buf, code);
    Str text = buf_copy(&buf, arena);
    buf_free(&buf);
    return text;
}

/* Byte-level BPE: token b is byte b, then the results of the merges, then the special tokens. The last three
 * merges name no tokens or repeat one. */
static const Str SMALL_MERGES[] = {
    STR_INIT("t h"),
    STR_INIT("th e"),
    STR_INIT("\xC4\xA0 t"),
    STR_INIT("\xC4\xA0 the"),
    STR_INIT("i n"),
    STR_INIT("in g"),
    STR_INIT("a a"),
    STR_INIT("aa aa"),
    STR_INIT("aa a"),
    STR_INIT("\xC4\xA0 \xC4\xA0"),
    STR_INIT("\xC3\x83 \xC2\xA9"),
    STR_INIT("\xC4\x8A \xC4\x8A"),
    STR_INIT("1 2"),
    STR_INIT("= ="),
    STR_INIT("b a"),
    STR_INIT("q zz"),
    STR_INIT("x"),
    STR_INIT("t h"),
};
enum { SMALL_MERGE_COUNT = sizeof SMALL_MERGES / sizeof *SMALL_MERGES, SMALL_JOINED_COUNT = 15 };
enum {
    SMALL_THE = 259,
    SMALL_START = 256 + SMALL_JOINED_COUNT,
    SMALL_END,
    SMALL_THINK,
    SMALL_THINKING,
    SMALL_UNUSED
};

static inline TokenizerSource small_bpe(Arena *arena, SmallVocabulary *v, Str pre) {
    v->count = 0;
    for (unsigned b = 0; b < 256; b++)
        small_add(v, small_stand_in(arena, b), 1, 0);
    for (size_t i = 0; i < SMALL_JOINED_COUNT; i++) {
        size_t space = str_find_char(SMALL_MERGES[i], ' ', 1);
        small_add(
            v, str_concat(arena, str_slice(SMALL_MERGES[i], 0, space), str_from(SMALL_MERGES[i], space + 1)),
            1, 0);
    }
    small_add(v, S("<|im_start|>"), 3, 0);
    small_add(v, S("<|im_end|>"), 3, 0);
    small_add(v, S("<think>"), 4, 0);
    small_add(v, S("<thinking>"), 4, 0);
    small_add(v, S("<pad>"), 5, 0);
    return (TokenizerSource){.model = S("gpt2"),
                             .pre = pre,
                             .tokens = v->tokens,
                             .types = v->types,
                             .token_count = v->count,
                             .merges = SMALL_MERGES,
                             .merge_count = SMALL_MERGE_COUNT,
                             .bos = SMALL_START,
                             .eos = SMALL_END,
                             .eot = -1,
                             .eom = -1,
                             .unknown = -1,
                             .pad = -1};
}

/* SPM: <unk> <s> </s>, the 256 bytes, single letters, then joins; U+2581 stands for a blank. */
static inline TokenizerSource small_spm(Arena *arena, SmallVocabulary *v) {
    static const struct {
        Str text;
        float score;
    } PIECES[] = {
        {STR_INIT("\xE2\x96\x81"), -20},
        {STR_INIT("a"), -21},
        {STR_INIT("b"), -22},
        {STR_INIT("t"), -23},
        {STR_INIT("h"), -24},
        {STR_INIT("e"), -25},
        {STR_INIT("\xC3\xA9"), -26},
        {STR_INIT("th"), -3},
        {STR_INIT("the"), -2},
        {STR_INIT("\xE2\x96\x81t"), -1},
        {STR_INIT("\xE2\x96\x81the"), -4},
        {STR_INIT("\xE2\x96\x81th"), -5},
        {STR_INIT("aa"), -6},
        {STR_INIT("aaa"), -6},
        {STR_INIT("ab"), -6},
        {STR_INIT("\xE2\x96\x81\xE2\x96\x81"), -7},
        {STR_INIT("he"), -8},
    };
    v->count = 0;
    small_add(v, S("<unk>"), 2, 0);
    small_add(v, S("<s>"), 3, 0);
    small_add(v, S("</s>"), 3, 0);
    for (unsigned b = 0; b < 256; b++)
        small_add(v, str_printf(arena, "<0x%02X>", b), 6, 0);
    for (size_t i = 0; i < sizeof PIECES / sizeof *PIECES; i++)
        small_add(v, PIECES[i].text, 1, PIECES[i].score);
    return (TokenizerSource){.model = S("llama"),
                             .tokens = v->tokens,
                             .types = v->types,
                             .scores = v->scores,
                             .token_count = v->count,
                             .bos = -1,
                             .eos = -1,
                             .eot = -1,
                             .eom = -1,
                             .unknown = -1,
                             .pad = -1};
}

#endif
