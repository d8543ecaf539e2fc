/* Forced edits: whatever files, limits and choices of allowed tokens come, something is always allowed, every
 * reply ends, its blocks apply, and the mask is what asking byte by byte says.
 *
 * Input: options, paths picked from a list, file texts cut at 0x01 bytes up to 0x02, then bytes that choose
 * tokens. */
#include "tests/fakes/blocks.h"

#include "engine/grammar_internal.h"

enum { FILES = 3, STEPS = 1500 };

static Vocabulary *vocabulary;
static Arena forever;

static void require(bool claim, const char *what, Str reply) {
    if (claim)
        return;
    fprintf(stderr, "%s after <<%.*s>>\n", what, STR_ARG(reply));
    abort();
}

static void open_once(void) {
    Err err = {0};
    if (vocabulary)
        return;
    Tokenizer *tokenizer = fake_tokenizer_open(&forever, &err);
    vocabulary = tokenizer ? vocabulary_open(tokenizer, &err) : NULL;
    require(vocabulary != NULL, err.text, S(""));
}

static int32_t pick(const uint64_t *bits, size_t wish) {
    size_t total = 0;
    for (size_t w = 0; w < vocabulary->words; w++)
        total += (size_t)__builtin_popcountll(bits[w]);
    if (!total)
        return -1;
    size_t left = wish % total;
    for (size_t i = 0; i < vocabulary->count; i++)
        if (bit_is_set(bits, (int32_t)i) && left-- == 0)
            return (int32_t)i;
    return -1;
}

static void compare(const BlockMask *mask, const uint64_t *bits, Str reply) {
    for (size_t i = 0; i < vocabulary->count; i++)
        require(bit_is_set(bits, (int32_t)i) == block_mask_allows(mask, (int32_t)i), "the mask differs",
                reply);
}

static void write_reply(BlockMask *mask, const GrammarSpec *spec, Str choices) {
    uint64_t bits[16];
    require(vocabulary->words <= 16, "a larger vocabulary", S(""));
    Buf reply = {0};
    for (size_t step = 0;; step++) {
        require(step < STEPS * 4, "no end", buf_text(&reply));
        block_mask_next(mask, bits);
        size_t wish = step < choices.len ? (uint8_t)choices.ptr[step] : step * 7;
        int32_t token = pick(bits, wish), forced = block_mask_forced(mask);
        require(token >= 0, "nothing is allowed", buf_text(&reply));
        if (step % 64 == 5)
            compare(mask, bits, buf_text(&reply));
        if (forced >= 0)
            require(bit_is_set(bits, forced), "a forced token is not allowed", buf_text(&reply));
        if (forced >= 0 && step % 2)
            token = forced;
        bool tired = step > STEPS && bit_is_set(bits, vocabulary->first_end);
        if (tired || bit_is_set(vocabulary->ends, token))
            break;
        buf_str(&reply, tokenizer_bytes(vocabulary->tokenizer, token));
        block_mask_accept(mask, token);
    }
    size_t blocks, escaped;
    const char *wrong = fake_check_reply(spec, buf_text(&reply), &blocks, &escaped);
    require(!wrong, wrong, buf_text(&reply));
    require(blocks <= spec->max_blocks && escaped == block_mask_escaped(mask), "a wrong count",
            buf_text(&reply));
    buf_free(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const PATHS[] = {"src/a.c", "a.c", "src/ab.c", "Makefile",
                                        "src",     "a b", "-x",       "caf\xC3\xA9/x.c"};
    if (size < 5 || size > 20000)
        return 0;
    open_once();
    GrammarFile files[FILES];
    GrammarSpec spec = {.form = FORM_BLOCKS, .files = files};
    spec.edits_only = data[0] & 1;
    spec.allow_new_files = data[0] & 2;
    spec.max_blocks = 1 + (data[0] >> 2) % 8;
    spec.max_search_bytes = 1 + data[1];
    spec.max_replace_bytes = 1 + data[2] % 64;
    Str rest = {(const char *)data + 4, size - 4};
    size_t end = str_find_char(rest, 2, 0), begin = 0;
    Str texts = str_slice(rest, 0, end == STR_NONE ? rest.len : end);
    while (spec.file_count < FILES && begin <= texts.len) {
        size_t cut = str_find_char(texts, 1, begin);
        cut = cut == STR_NONE ? texts.len : cut;
        Str path = str_of(PATHS[(data[3] + spec.file_count * (1 + data[3] / 64)) % 8]);
        Str text = str_slice(texts, begin, cut);
        bool fresh = str_find_char(text, 0, 0) == STR_NONE;
        for (size_t i = 0; i < spec.file_count; i++)
            fresh = fresh && !str_eq(files[i].path, path);
        if (fresh)
            files[spec.file_count++] = (GrammarFile){path, text};
        begin = cut + 1;
    }
    Err err = {0};
    BlockMask *mask = block_mask_open(vocabulary, &spec, &err);
    if (mask)
        write_reply(mask, &spec, end == STR_NONE ? S("") : str_from(rest, end + 1));
    block_mask_close(mask);
    return 0;
}
