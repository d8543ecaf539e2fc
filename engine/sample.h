/* Sample: the next token from a row of logits. Pure functions over logits, deterministic for a seed.
 *
 * Order of the filters: repetition penalty, mask, top-k, top-p, min-p, temperature, draw. top-p and min-p
 * look at the probabilities before temperature. With temperature 0 the largest allowed logit wins (the lowest
 * id among equals). The draw walks through the tokens that are left in order of their ids, on every backend.
 */
#ifndef MUX_ENGINE_SAMPLE_H
#define MUX_ENGINE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

typedef struct Candidate {
    float logit;
    int32_t id;
} Candidate;

/* Keeps its working space between tokens. One thread. */
typedef struct Sampler {
    Sampling sampling;
    uint64_t state;
    size_t vocabulary;
    Candidate *candidates; /* [vocabulary], NULL until a draw needs it */
    float *kept_logits;    /* [window]: what the penalty changed, to be put back */
    int32_t *kept_ids;
} Sampler;

bool sampler_open(Sampler *sampler, const Sampling *sampling, size_t vocabulary, Err *err);
void sampler_close(Sampler *sampler); /* a zeroed one is fine */
/* allowed: bits, one per token, NULL = all; at least one is set. recent: the timeline so far, for the
 * penalty. logits are the same after the call. -1 when nothing can be chosen (no allowed token has a finite
 * logit). */
int32_t sampler_pick(Sampler *sampler, float *logits, const uint64_t *allowed, const int32_t *recent,
                     size_t recent_count);
/* The next random number of its row, in [0, 1): for a device that draws in the sampler's place. */
double sampler_random(Sampler *sampler);

#endif
