/* SPM: characters are symbols, and two neighbours join when their text is a token, the highest score first.
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/tokenizer_internal.h"

/* Scores in an order of whole numbers: a higher score is a smaller rank, +0 and -0 are one, not-a-number is
 * last. */
static uint32_t score_rank(float score) {
    if (score != score)
        return RANK_NONE - 1;
    uint32_t bits;
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return ~ascending;
}

static bool has_blank_after_other(const char *bytes, size_t len) {
    for (size_t i = 1; i < len; i++)
        if (bytes[i] == ' ' && bytes[i - 1] != ' ')
            return true;
    return false;
}

void spm_build(Tokenizer *t, const TokenizerSource *source) {
    uint32_t *ranks = ARENA_ARRAY(&t->arena, uint32_t, (size_t)t->count + 1);
    t->has_words = true;
    for (uint32_t i = 0; i < t->count; i++) {
        ranks[i] = score_rank(source->scores ? source->scores[i] : 0.0f);
        if (has_blank_after_other(t->texts + t->offsets[i], t->offsets[i + 1] - t->offsets[i]))
            t->has_words = false;
    }
    t->score_ranks = ranks;
}

static size_t first_character(const Tokenizer *t, const char *text, size_t at, size_t len, uint32_t *id) {
    size_t next = at;
    utf8_next((Str){text, len}, &next);
    *id = token_lookup(t, text + at, next - at);
    return next - at;
}

static uint32_t pair_rank(const Tokenizer *t, const char *text, size_t left, size_t right, size_t end,
                          uint32_t left_id, uint32_t right_id, uint32_t *joined) {
    (void)right, (void)left_id, (void)right_id;
    if (end - left > t->longest)
        return RANK_NONE;
    *joined = token_lookup(t, text + left, end - left);
    return *joined == TOKEN_NONE ? RANK_NONE : t->score_ranks[*joined];
}

/* No token reaches over the start of a word, so words merge apart from each other. */
static size_t word_end(const Tokenizer *t, Str text, size_t at) {
    size_t most = text.len - at > PIECE_MAX_BYTES ? at + PIECE_MAX_BYTES : text.len;
    for (at++; t->has_words && at < most; at++)
        if (text.ptr[at] == ' ' && text.ptr[at - 1] != ' ')
            return at;
    return most;
}

void spm_encode(Encoding *e, Str text) {
    static const Str LOWER_BLOCK = STR_INIT("\xE2\x96\x81");
    Buf spaced = {0};
    bool add_space = e->tokenizer->add_space_prefix;
    if (add_space || str_contains(text, LOWER_BLOCK)) {
        if (add_space)
            buf_char(&spaced, ' ');
        for (size_t at = 0, hit; at < text.len; at = hit + LOWER_BLOCK.len) {
            hit = str_find(text, LOWER_BLOCK, at);
            buf_str(&spaced, str_slice(text, at, hit == STR_NONE ? text.len : hit));
            if (hit == STR_NONE)
                break;
            buf_char(&spaced, ' ');
        }
        if (spaced.failed)
            memory_or_end(NULL, SIZE_MAX, 1);
        text = buf_text(&spaced);
    }
    for (size_t at = 0, end; at < text.len; at = end) {
        end = word_end(e->tokenizer, text, at);
        merge_piece(e, text.ptr + at, end - at, first_character, pair_rank);
    }
    buf_free(&spaced);
}
