/* FORM_BLOCKS: search/replace blocks. */
#include "engine/grammar_internal.h"

BlockMask *block_mask_open(const Vocabulary *vocabulary, const GrammarSpec *spec, Err *err) {
    (void)vocabulary;
    (void)spec;
    err_set(err, ERR_UNSUPPORTED, "forced search/replace blocks are not in this build");
    return NULL;
}

void block_mask_close(BlockMask *mask) {
    (void)mask;
}

void block_mask_next(BlockMask *mask, uint64_t *bits) {
    (void)mask;
    (void)bits;
}

void block_mask_accept(BlockMask *mask, int32_t token) {
    (void)mask;
    (void)token;
}

int32_t block_mask_forced(BlockMask *mask) {
    (void)mask;
    return -1;
}

size_t block_mask_escaped(const BlockMask *mask) {
    (void)mask;
    return 0;
}
