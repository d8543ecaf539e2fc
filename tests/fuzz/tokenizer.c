/* Any bytes survive encoding and decoding, in every pre-tokenizer family, with and without special tokens;
 * and the pieces of a text without special tokens are the text. The first byte picks the family and the
 * flags. */
#include <stdlib.h>
#include <string.h>

#include "engine/tokenizer.h"
#include "tests/small_vocabulary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const Str FAMILIES[] = {
    STR_INIT("gpt-2"),       STR_INIT("starcoder"), STR_INIT("qwen2"),        STR_INIT("qwen35"),
    STR_INIT("glm4"),        STR_INIT("llama-bpe"), STR_INIT("gpt-4o"),       STR_INIT("tekken"),
    STR_INIT("falcon"),      STR_INIT("default"),   STR_INIT("deepseek-llm"), STR_INIT("deepseek-coder"),
    STR_INIT("deepseek-v3"),
};
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };

static Tokenizer *tokenizers[FAMILY_COUNT + 1];

static void open_all(void) {
    static SmallVocabulary vocabulary;
    Arena arena = {0};
    for (size_t i = 0; i <= FAMILY_COUNT; i++) {
        TokenizerSource s =
            i < FAMILY_COUNT ? small_bpe(&arena, &vocabulary, FAMILIES[i]) : small_spm(&arena, &vocabulary);
        s.has_add_space_prefix = true; /* so that SPM adds nothing */
        tokenizers[i] = tokenizer_open(&s, NULL);
        if (!tokenizers[i])
            abort();
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!tokenizers[0])
        open_all();
    if (!size)
        return 0;
    const Tokenizer *t = tokenizers[data[0] % (FAMILY_COUNT + 1)];
    unsigned flags = data[0] & 0x80 ? TOKENIZE_SPECIAL : TOKENIZE_PLAIN;
    Str text = {(const char *)data + 1, size - 1};
    if (t == tokenizers[FAMILY_COUNT] && str_contains(text, S("\xE2\x96\x81")))
        return 0; /* SPM cannot tell U+2581 from a blank */
    TokenList ids = {0};
    tokenizer_encode(t, text, flags, &ids);
    size_t at = 0;
    for (size_t i = 0; i < ids.count; i++) {
        Str bytes = tokenizer_bytes(t, ids.ids[i]);
        if (!bytes.len || bytes.len > text.len - at || memcmp(bytes.ptr, text.ptr + at, bytes.len) != 0)
            abort();
        if (!flags && tokenizer_is_control(t, ids.ids[i]))
            abort();
        at += bytes.len;
    }
    if (at != text.len)
        abort();
    tokens_free(&ids);
    return 0;
}
