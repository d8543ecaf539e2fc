/* The door: one Mask, whichever form the caller asked for. */
#include "engine/grammar.h"

#include <stdlib.h>

#include "engine/grammar_internal.h"

struct Mask {
    const Vocabulary *vocabulary;
    GrammarForm form;
    LabelMask *labels;
    BlockMask *blocks;
    uint64_t *scratch;
};

Mask *mask_open(const Vocabulary *vocabulary, const GrammarSpec *spec, Err *err) {
    Mask *mask = calloc(1, sizeof *mask);
    uint64_t *scratch = calloc(vocabulary->words, sizeof *scratch);
    if (!mask || !scratch) {
        free(mask);
        free(scratch);
        err_set(err, ERR_NO_MEMORY, "not enough memory for the form of the reply");
        return NULL;
    }
    *mask = (Mask){.vocabulary = vocabulary, .form = spec->form, .scratch = scratch};
    bool ok = true;
    if (spec->form != FORM_NONE && vocabulary->first_end < 0)
        ok = err_set(err, ERR_UNSUPPORTED,
                     "the model's vocabulary has no end token, so no form can be asked of it");
    else if (spec->form == FORM_LABELS)
        ok = (mask->labels = label_mask_open(vocabulary, spec, err)) != NULL;
    else if (spec->form == FORM_BLOCKS)
        ok = (mask->blocks = block_mask_open(vocabulary, spec, err)) != NULL;
    if (ok)
        return mask;
    mask_close(mask);
    return NULL;
}

void mask_close(Mask *mask) {
    if (!mask)
        return;
    label_mask_close(mask->labels);
    block_mask_close(mask->blocks);
    free(mask->scratch);
    free(mask);
}

bool mask_next(Mask *mask, uint64_t *bits) {
    if (mask->form == FORM_LABELS)
        label_mask_next(mask->labels, bits);
    else if (mask->form == FORM_BLOCKS)
        block_mask_next(mask->blocks, bits);
    return mask->form != FORM_NONE;
}

void mask_accept(Mask *mask, int32_t token) {
    if (token < 0 || (size_t)token >= mask->vocabulary->count)
        return;
    if (mask->form == FORM_LABELS)
        label_mask_accept(mask->labels, token);
    else if (mask->form == FORM_BLOCKS)
        block_mask_accept(mask->blocks, token);
}

/* The one token of the set, with all end tokens counted as one; -1 when there is a choice. */
static int32_t only_choice(const Vocabulary *v, const uint64_t *bits) {
    int32_t only = -1;
    for (size_t w = 0; w < v->words; w++) {
        uint64_t word = bits[w] & ~v->ends[w];
        if (!word)
            continue;
        if (only >= 0 || (word & (word - 1)))
            return -1;
        only = (int32_t)(w * 64) + __builtin_ctzll(word);
    }
    bool may_end = bit_is_set(bits, v->first_end);
    if (only >= 0)
        return may_end ? -1 : only;
    return may_end ? v->first_end : -1;
}

bool mask_forced(Mask *mask, int32_t *only) {
    int32_t token = -1;
    if (mask->form == FORM_LABELS) {
        label_mask_next(mask->labels, mask->scratch);
        token = only_choice(mask->vocabulary, mask->scratch);
    } else if (mask->form == FORM_BLOCKS) {
        token = block_mask_forced(mask->blocks);
    }
    if (token >= 0)
        *only = token;
    return token >= 0;
}

size_t mask_escaped(const Mask *mask) {
    return mask->blocks ? block_mask_escaped(mask->blocks) : 0;
}
