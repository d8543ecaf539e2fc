/* Merging: symbols in a row, the pair of the lowest rank is joined first, the leftmost among equals.
 * Short pieces scan for the best pair; long ones keep the pairs in a binary heap, O(n log n). */
#include <string.h>

#include "engine/tokenizer_internal.h"

enum { SHORT_SYMBOLS = 40 };

/* In the long form symbol i stands for the bytes text[i, next); bytes inside a symbol have no entry of their
 * own. */
typedef struct MergeSymbol {
    uint32_t id, previous, next;
    uint32_t rank, joined; /* of the pair with the next symbol */
} MergeSymbol;

enum { SYMBOL_GONE = UINT32_MAX - 1 };

/* A symbol that is no token: SPM spells its bytes. Byte-level BPE has none to spell: bytes of characters
 * become U+FFFD, which is what invalid UTF-8 usually meets, and ASCII is left out. */
static void emit(Encoding *e, uint32_t id, const char *text, size_t len) {
    const Tokenizer *t = e->tokenizer;
    if (id != TOKEN_NONE) {
        tokens_push(e->out, (int32_t)id);
        return;
    }
    if (!t->is_spm) {
        if ((unsigned char)text[0] < 0x80)
            return;
        text = "\xEF\xBF\xBD";
        len = 3;
    }
    bool all = true;
    for (size_t i = 0; i < len; i++)
        all = all && t->byte_ids[(unsigned char)text[i]] != TOKEN_NONE;
    if (!all && t->unknown >= 0)
        tokens_push(e->out, t->unknown);
    for (size_t i = 0; all && i < len; i++)
        tokens_push(e->out, (int32_t)t->byte_ids[(unsigned char)text[i]]);
}

typedef struct ShortPiece {
    size_t count;
    uint32_t starts[SHORT_SYMBOLS + 1]; /* starts[count] is the end */
    uint32_t ids[SHORT_SYMBOLS], ranks[SHORT_SYMBOLS], joined[SHORT_SYMBOLS];
} ShortPiece;

static void short_rank(const Tokenizer *t, const char *text, ShortPiece *s, size_t i, PairRank rank) {
    s->ranks[i] = i + 1 < s->count ? rank(t, text, s->starts[i], s->starts[i + 1], s->starts[i + 2],
                                          s->ids[i], s->ids[i + 1], &s->joined[i])
                                   : RANK_NONE;
}

static void merge_short(Encoding *e, const char *text, ShortPiece *s, PairRank rank) {
    for (size_t i = 0; i < s->count; i++)
        short_rank(e->tokenizer, text, s, i, rank);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < s->count; i++)
            if (s->ranks[i] < s->ranks[best])
                best = i;
        if (s->ranks[best] == RANK_NONE)
            break;
        s->ids[best] = s->joined[best];
        size_t moved = s->count - best - 2;
        memmove(s->starts + best + 1, s->starts + best + 2, (moved + 1) * sizeof *s->starts);
        memmove(s->ids + best + 1, s->ids + best + 2, moved * sizeof *s->ids);
        memmove(s->ranks + best + 1, s->ranks + best + 2, moved * sizeof *s->ranks);
        memmove(s->joined + best + 1, s->joined + best + 2, moved * sizeof *s->joined);
        s->count--;
        short_rank(e->tokenizer, text, s, best, rank);
        if (best > 0)
            short_rank(e->tokenizer, text, s, best - 1, rank);
    }
    for (size_t i = 0; i < s->count; i++)
        emit(e, s->ids[i], text + s->starts[i], s->starts[i + 1] - s->starts[i]);
}

/* The heap holds rank << 32 | left: the smallest is the next pair. An entry whose rank is no longer the one
 * written in the symbol is out of date; one that agrees means the pair that stands there now, whoever queued
 * it. */
static void sift_down(uint64_t *heap, size_t count, size_t i) {
    uint64_t value = heap[i];
    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= value)
            break;
        heap[i] = heap[child];
    }
    heap[i] = value;
}

static void queue_push(Encoding *e, uint64_t value) {
    if (e->queue_count == e->queue_capacity) {
        e->queue_capacity = e->queue_capacity ? e->queue_capacity + e->queue_capacity / 2 : 1024;
        e->queue = memory_or_end(e->queue, e->queue_capacity, sizeof *e->queue);
    }
    size_t i = e->queue_count++;
    for (; i > 0 && e->queue[(i - 1) / 2] > value; i = (i - 1) / 2)
        e->queue[i] = e->queue[(i - 1) / 2];
    e->queue[i] = value;
}

static uint64_t queue_pop(Encoding *e) {
    uint64_t top = e->queue[0];
    e->queue[0] = e->queue[--e->queue_count];
    if (e->queue_count)
        sift_down(e->queue, e->queue_count, 0);
    return top;
}

static void long_rank(Encoding *e, const char *text, size_t len, uint32_t i, PairRank rank) {
    MergeSymbol *left = &e->symbols[i];
    left->rank = RANK_NONE;
    if (left->next < len) {
        const MergeSymbol *right = &e->symbols[left->next];
        left->rank = rank(e->tokenizer, text, i, left->next, right->next, left->id, right->id, &left->joined);
    }
}

static void merge_long(Encoding *e, const char *text, size_t len, FirstSymbol first, PairRank rank) {
    if (e->symbol_capacity < len) {
        e->symbols = memory_or_end(e->symbols, len, sizeof *e->symbols);
        e->symbol_capacity = len;
    }
    MergeSymbol *symbols = e->symbols;
    for (size_t at = 0, previous = TOKEN_NONE, next; at < len; previous = at, at = next) {
        MergeSymbol *s = &symbols[at];
        next = at + first(e->tokenizer, text, at, len, &s->id);
        s->previous = (uint32_t)previous;
        s->next = (uint32_t)next;
    }
    e->queue_count = 0;
    for (uint32_t i = 0; i < len; i = symbols[i].next) {
        long_rank(e, text, len, i, rank);
        if (symbols[i].rank != RANK_NONE)
            queue_push(e, (uint64_t)symbols[i].rank << 32 | i);
    }
    while (e->queue_count) {
        uint64_t top = queue_pop(e);
        uint32_t i = (uint32_t)top;
        MergeSymbol *left = &symbols[i];
        if (left->next == SYMBOL_GONE || left->rank != top >> 32)
            continue;
        MergeSymbol *right = &symbols[left->next];
        left->id = left->joined;
        left->next = right->next;
        right->next = SYMBOL_GONE;
        if (left->next < len)
            symbols[left->next].previous = i;
        long_rank(e, text, len, i, rank);
        if (left->rank != RANK_NONE)
            queue_push(e, (uint64_t)left->rank << 32 | i);
        if (left->previous != TOKEN_NONE) {
            long_rank(e, text, len, left->previous, rank);
            if (symbols[left->previous].rank != RANK_NONE)
                queue_push(e, (uint64_t)symbols[left->previous].rank << 32 | left->previous);
        }
    }
    for (uint32_t i = 0; i < len; i = symbols[i].next)
        emit(e, symbols[i].id, text + i, symbols[i].next - i);
}

void merge_piece(Encoding *e, const char *text, size_t len, FirstSymbol first, PairRank rank) {
    ShortPiece s;
    s.count = 0;
    for (size_t at = 0; at < len; s.count++) {
        if (s.count == SHORT_SYMBOLS) {
            merge_long(e, text, len, first, rank);
            return;
        }
        s.starts[s.count] = (uint32_t)at;
        at += first(e->tokenizer, text, at, len, &s.ids[s.count]);
    }
    s.starts[s.count] = (uint32_t)len;
    if (s.count)
        merge_short(e, text, &s, rank);
}
