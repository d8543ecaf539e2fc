/* What the forms of the grammar share: the vocabulary as byte tries, and the two forms behind the Mask. */
#ifndef MUX_ENGINE_GRAMMAR_INTERNAL_H
#define MUX_ENGINE_GRAMMAR_INTERNAL_H

#include "engine/grammar.h"

enum {
    VOCABULARY_LONGEST_TOKEN = 255, /* longer tokens are never offered where bytes are checked */
    VOCABULARY_LONGEST_NAME = 64,
    VOCABULARY_LEAST_SIGNS = 5,   /* readers of replies take <<<<< for a marker already */
    VOCABULARY_MARKER_LENGTH = 7, /* <<<<<<< ======= >>>>>>> */
};

/* A trie laid out in depth-first order: the children of a node follow it, `skip` is the first node after
 * them. */
typedef struct TrieNode {
    int32_t token; /* a token that ends here, -1 when none; others with the same bytes: Vocabulary.same */
    uint32_t skip;
    uint8_t byte;
    uint8_t depth; /* bytes from the root, the root itself (node 0) has 0 */
} TrieNode;

typedef struct Trie {
    TrieNode *nodes;
    uint32_t count;
} Trie;

struct Vocabulary {
    const Tokenizer *tokenizer; /* borrowed: outlives the vocabulary */
    size_t count, words;
    Trie all;        /* every token that stands for text */
    Trie irregular;  /* those not in `plain` */
    Trie paths;      /* those that start as a path does, not in `names` */
    int32_t *same;   /* per token: the next token with the same bytes, or -1 */
    uint64_t *text;  /* sets of tokens: stands for text */
    uint64_t *plain; /* whole UTF-8, no control characters, no line end, does not start like a marker line */
    uint64_t *names; /* only letters, digits and '_', and short */
    uint64_t *ends;
    int32_t first_end; /* the tokenizer's own end token, or any; -1 when there is none */
    int32_t *crossers; /* tokens in which a line end is followed by the signs of a marker */
    size_t crosser_count;
    bool has_byte[256]; /* a token of this one byte exists */
    int32_t *labels;    /* labels[k - 1] = id of <|k|> */
    size_t label_count;
};

static inline void bit_set(uint64_t *bits, int32_t i) {
    bits[(uint32_t)i >> 6] |= UINT64_C(1) << ((uint32_t)i & 63);
}

static inline bool bit_is_set(const uint64_t *bits, int32_t i) {
    return bits[(uint32_t)i >> 6] >> ((uint32_t)i & 63) & 1;
}

typedef struct LabelMask LabelMask;
LabelMask *label_mask_open(const Vocabulary *vocabulary, const GrammarSpec *spec, Err *err);
void label_mask_close(LabelMask *mask);
void label_mask_next(LabelMask *mask, uint64_t *bits);
void label_mask_accept(LabelMask *mask, int32_t token);

typedef struct BlockMask BlockMask;
BlockMask *block_mask_open(const Vocabulary *vocabulary, const GrammarSpec *spec, Err *err);
void block_mask_close(BlockMask *mask);
void block_mask_next(BlockMask *mask, uint64_t *bits);
void block_mask_accept(BlockMask *mask, int32_t token);
/* When the bytes that follow leave no choice: the first token of the tokenizer's own spelling of them; else
 * -1. */
int32_t block_mask_forced(BlockMask *mask);
size_t block_mask_escaped(const BlockMask *mask);
/* For tests: whether this token may come next, asked byte by byte without tries, sets or caches. */
bool block_mask_allows(const BlockMask *mask, int32_t token);

#endif
