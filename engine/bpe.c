/* Byte-level BPE: each byte is a symbol, pairs join by the rank of their merge, inside the pieces of the
 * pre-tokenizer.
 *
 * In the file the bytes are spelled with printable stand-ins: 33-126, 161-172 and 174-255 stand for
 * themselves, the other 68 bytes are U+0100, U+0101, ... in byte order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/tokenizer_internal.h"

static bool stands_for_itself(uint32_t c) {
    return (c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255);
}

/* The byte a stand-in above U+00FF means, -1 for other characters. */
static int stand_in_byte(uint32_t c) {
    if (c < 256 || c >= 256 + 68)
        return -1;
    uint32_t n = c - 256;
    return (int)(n < 33 ? n : n < 33 + 34 ? n + 94 : 173);
}

bool bpe_unspell(Str text, char *out, size_t *len) {
    size_t n = 0;
    for (size_t at = 0; at < text.len;) {
        unsigned char b = (unsigned char)text.ptr[at];
        uint32_t c = b;
        if (b < 0x80)
            at++;
        else
            c = utf8_next(text, &at);
        int byte = c < 256 ? (stands_for_itself(c) ? (int)c : -1) : stand_in_byte(c);
        if (byte < 0)
            return false;
        out[n++] = (char)byte;
    }
    *len = n;
    return true;
}

static size_t pair_start(const Tokenizer *t, uint32_t left, uint32_t right) {
    uint64_t h = ((uint64_t)left << 32 | right) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(h >> 32) & t->pair_mask;
}

static PairSlot *pair_slot(const Tokenizer *t, uint32_t left, uint32_t right) {
    for (size_t i = pair_start(t, left, right);; i = (i + 1) & t->pair_mask) {
        PairSlot *slot = &t->pairs[i];
        if (slot->rank == RANK_NONE || (slot->left == left && slot->right == right))
            return slot;
    }
}

static bool token_is(const Tokenizer *t, uint32_t id, const char *bytes, size_t len) {
    return id < t->count && t->offsets[id + 1] - t->offsets[id] == len &&
           !memcmp(t->texts + t->offsets[id], bytes, len) && t->types[id] == TOKEN_NORMAL;
}

/* Adds one "left right"; what names no tokens is ignored, and so is a pair that came before. Files list
 * tokens in the order of their merges, so *next guesses the result without a look-up. */
static void add_merge(Tokenizer *t, Str merge, uint32_t rank, uint32_t *results, char *scratch,
                      uint32_t *next) {
    size_t space = str_find_char(merge, ' ', 1);
    if (space == STR_NONE)
        return;
    size_t left_len, right_len;
    if (!bpe_unspell(str_slice(merge, 0, space), scratch, &left_len) ||
        !bpe_unspell(str_from(merge, space + 1), scratch + left_len, &right_len))
        return;
    uint32_t left =
        left_len == 1 ? t->byte_ids[(unsigned char)scratch[0]] : token_lookup(t, scratch, left_len);
    uint32_t right = right_len == 1 ? t->byte_ids[(unsigned char)scratch[left_len]]
                                    : token_lookup(t, scratch + left_len, right_len);
    uint32_t joined = token_is(t, *next, scratch, left_len + right_len)
                          ? *next
                          : token_lookup(t, scratch, left_len + right_len);
    if (left == TOKEN_NONE || right == TOKEN_NONE || joined == TOKEN_NONE)
        return;
    PairSlot *slot = pair_slot(t, left, right);
    if (slot->rank != RANK_NONE)
        return;
    *slot = (PairSlot){left, right, rank};
    results[rank] = joined;
    *next = joined + 1;
    if (left_len == 1 && right_len == 1)
        t->byte_pair_ranks[(unsigned char)scratch[0] * 256 + (unsigned char)scratch[1]] = rank;
}

void bpe_build(Tokenizer *t, const TokenizerSource *source) {
    size_t merges = source->merges ? source->merge_count : 0, slots = 16, longest = 0;
    while (slots < merges + merges / 2)
        slots *= 2;
    t->pairs = ARENA_ARRAY(&t->arena, PairSlot, slots);
    memset(t->pairs, 0xFF, slots * sizeof *t->pairs);
    t->pair_mask = slots - 1;
    t->byte_pair_ranks = ARENA_ARRAY(&t->arena, uint32_t, 65536);
    memset(t->byte_pair_ranks, 0xFF, 65536 * sizeof *t->byte_pair_ranks);
    uint32_t *results = ARENA_ARRAY(&t->arena, uint32_t, merges + 1);
    t->pair_results = results;
    for (size_t i = 0; i < merges; i++)
        longest = source->merges[i].len > longest ? source->merges[i].len : longest;
    char *scratch = memory_or_end(NULL, longest + 1, 1);
    uint32_t next = 0;
    for (size_t i = 0; i < merges; i++)
        add_merge(t, source->merges[i], (uint32_t)i, results, scratch, &next);
    free(scratch);
}

static size_t first_byte(const Tokenizer *t, const char *text, size_t at, size_t len, uint32_t *id) {
    (void)len;
    *id = t->byte_ids[(unsigned char)text[at]];
    return 1;
}

static uint32_t pair_rank(const Tokenizer *t, const char *text, size_t left, size_t right, size_t end,
                          uint32_t left_id, uint32_t right_id, uint32_t *joined) {
    uint32_t rank;
    if (end - left == 2)
        rank = t->byte_pair_ranks[(unsigned char)text[left] * 256 + (unsigned char)text[right]];
    else
        rank = pair_slot(t, left_id, right_id)->rank;
    if (rank != RANK_NONE)
        *joined = t->pair_results[rank];
    return rank;
}

static void encode_piece(void *context, const char *piece, size_t len) {
    Encoding *e = context;
    const Tokenizer *t = e->tokenizer;
    for (; len > PIECE_MAX_BYTES; piece += PIECE_MAX_BYTES, len -= PIECE_MAX_BYTES)
        merge_piece(e, piece, PIECE_MAX_BYTES, first_byte, pair_rank);
    if (len > 1 && len <= t->longest && pretokenizer_ignores_merges(t->pre)) {
        uint32_t id = token_lookup(t, piece, len);
        if (id != TOKEN_NONE) {
            tokens_push(e->out, (int32_t)id);
            return;
        }
    }
    merge_piece(e, piece, len, first_byte, pair_rank);
}

void bpe_encode(Encoding *e, Str text) {
    pretokenize(e->tokenizer->pre, text, encode_piece, e);
}
