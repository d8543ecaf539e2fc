/* The sampler against brute force, and its draws against the probabilities they stand for. */
#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/runner.h"

enum { VOCABULARY = 1000 };

static void random_logits(float *logits, size_t n) {
    for (size_t i = 0; i < n; i++)
        logits[i] = (float)((double)(test_random() >> 11) * 0x1p-53 * 16 - 8);
}

static int32_t pick_once(Sampling sampling, float *logits, size_t n, const uint64_t *allowed) {
    Sampler sampler;
    Err err = {0};
    CHECK_OK(sampler_open(&sampler, &sampling, n, &err), err);
    int32_t id = sampler_pick(&sampler, logits, allowed, NULL, 0);
    sampler_close(&sampler);
    return id;
}

static void greedy_takes_the_largest_allowed(void) {
    float logits[VOCABULARY];
    for (int round = 0; round < 50; round++) {
        uint64_t allowed[(VOCABULARY + 63) / 64] = {0};
        random_logits(logits, VOCABULARY);
        int best = -1, best_allowed = -1;
        for (int i = 0; i < VOCABULARY; i++) {
            if (best < 0 || logits[i] > logits[best])
                best = i;
            if (test_random() % 10 == 0 || i == 7) {
                allowed[i / 64] |= UINT64_C(1) << i % 64;
                if (best_allowed < 0 || logits[i] > logits[best_allowed])
                    best_allowed = i;
            }
        }
        CHECK_INT(pick_once((Sampling){0}, logits, VOCABULARY, NULL), best);
        CHECK_INT(pick_once((Sampling){0}, logits, VOCABULARY, allowed), best_allowed);
        CHECK_INT(pick_once((Sampling){.temperature = 1, .top_k = 1}, logits, VOCABULARY, allowed),
                  best_allowed);
    }
}

static void equal_logits_go_to_the_lowest_id(void) {
    float logits[] = {1, 3, 3, 3, 2};
    CHECK_INT(pick_once((Sampling){0}, logits, 5, NULL), 1);
}

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The smallest logit that may be drawn, by sorting everything. */
static float floor_of(const Sampling *s, const float *logits, size_t n) {
    float *sorted = malloc(n * sizeof *sorted);
    memcpy(sorted, logits, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, descending);
    size_t kept = s->top_k && (size_t)s->top_k < n ? (size_t)s->top_k : n;
    if (s->top_p > 0 && s->top_p < 1) {
        double total = 0, sum = 0;
        size_t i = 0;
        for (size_t j = 0; j < kept; j++)
            total += exp(sorted[j] - sorted[0]);
        while (i < kept && sum < s->top_p * total)
            sum += exp(sorted[i++] - sorted[0]);
        kept = i;
    }
    while (s->min_p > 0 && kept > 1 && exp(sorted[kept - 1] - sorted[0]) < s->min_p)
        kept--;
    float least = sorted[kept - 1];
    free(sorted);
    return least;
}

/* Every draw is among those that sorting would keep, and over many draws each of those comes up. */
static void filters_keep_exactly_the_best(void) {
    static const Sampling SETTINGS[] = {
        {.temperature = 1, .top_k = 7},
        {.temperature = 1, .top_p = 0.6f},
        {.temperature = 2, .top_p = 0.999f},
        {.temperature = 1, .min_p = 0.3f},
        {.temperature = 1.5f, .top_k = 40, .top_p = 0.8f, .min_p = 0.2f},
    };
    float logits[VOCABULARY];
    Err err = {0};
    for (size_t k = 0; k < sizeof SETTINGS / sizeof *SETTINGS; k++) {
        Sampler sampler;
        bool seen[VOCABULARY] = {0};
        random_logits(logits, VOCABULARY);
        float least = floor_of(&SETTINGS[k], logits, VOCABULARY);
        CHECK_OK(sampler_open(&sampler, &SETTINGS[k], VOCABULARY, &err), err);
        for (int i = 0; i < 4000; i++) {
            int32_t id = sampler_pick(&sampler, logits, NULL, NULL, 0);
            CHECK_MSG(logits[id] >= least, "setting %zu drew a token below its filters", k);
            seen[id] = true;
        }
        sampler_close(&sampler);
        int wanted = 0, came = 0;
        for (int i = 0; i < VOCABULARY; i++) {
            wanted += logits[i] >= least + 0.001f;
            came += seen[i];
        }
        CHECK_MSG(k == 2 || came + 1 >= wanted, "setting %zu: %d of %d tokens came up", k, came, wanted);
    }
}

/* 40,000 draws with a fixed seed: each share within 4 standard errors of its probability. */
static void draws_follow_the_probabilities(void) {
    enum { DRAWS = 40000, N = 6 };
    float logits[N] = {0, 1, 2, -1, 0.5f, -INFINITY};
    Err err = {0};
    for (int t = 1; t <= 3; t++) {
        double temperature = t * 0.6, total = 0;
        int counts[N] = {0};
        Sampler sampler;
        Sampling sampling = {.temperature = (float)temperature, .seed = 11};
        CHECK_OK(sampler_open(&sampler, &sampling, N, &err), err);
        for (int i = 0; i < DRAWS; i++)
            counts[sampler_pick(&sampler, logits, NULL, NULL, 0)]++;
        sampler_close(&sampler);
        for (int i = 0; i < N; i++)
            total += exp(logits[i] / (double)(float)temperature);
        for (int i = 0; i < N; i++) {
            double p = exp(logits[i] / (double)(float)temperature) / total;
            double error = sqrt(p * (1 - p) / DRAWS), share = (double)counts[i] / DRAWS;
            CHECK_MSG(fabs(share - p) <= 4 * error, "token %d at %.1f: %.4f drawn, %.4f expected", i,
                      temperature, share, p);
        }
    }
}

static void seeds_repeat_and_differ(void) {
    float logits[VOCABULARY];
    int32_t first[64];
    int different = 0;
    Err err = {0};
    random_logits(logits, VOCABULARY);
    for (int round = 0; round < 3; round++) {
        Sampler sampler;
        Sampling sampling = {.temperature = 1, .top_p = 0.95f, .seed = round == 2 ? 6 : 5};
        CHECK_OK(sampler_open(&sampler, &sampling, VOCABULARY, &err), err);
        for (int i = 0; i < 64; i++) {
            int32_t id = sampler_pick(&sampler, logits, NULL, NULL, 0);
            if (round == 0)
                first[i] = id;
            else if (round == 1)
                CHECK_INT(id, first[i]);
            else
                different += id != first[i];
        }
        sampler_close(&sampler);
    }
    CHECK(different > 32);
}

static void penalty_counts_once_and_is_taken_back(void) {
    float logits[] = {4, -1, 3.9f, 0}, before[4];
    int32_t recent[] = {0, 0, 0, 1, 99, -5};
    Sampler sampler;
    Err err = {0};
    memcpy(before, logits, sizeof logits);
    Sampling sampling = {.repeat_penalty = 2};
    CHECK_OK(sampler_open(&sampler, &sampling, 4, &err), err);
    CHECK_INT(sampler_pick(&sampler, logits, NULL, recent, 6), 2); /* 4 / 2 < 3.9 */
    CHECK(memcmp(before, logits, sizeof logits) == 0);
    sampler_close(&sampler);
    sampling.repeat_window = 2; /* token 0 is out of sight */
    CHECK_OK(sampler_open(&sampler, &sampling, 4, &err), err);
    CHECK_INT(sampler_pick(&sampler, logits, NULL, recent, 6), 0);
    sampler_close(&sampler);
}

static void unusable_numbers_are_noticed(void) {
    float logits[] = {NAN, NAN, -INFINITY};
    CHECK_INT(pick_once((Sampling){0}, logits, 3, NULL), -1);
    CHECK_INT(pick_once((Sampling){.temperature = 1, .top_p = 0.5f}, logits, 3, NULL), -1);
    Sampler sampler;
    Err err = {0};
    CHECK(!sampler_open(&sampler, &(Sampling){.temperature = -1}, 3, &err));
    CHECK(!sampler_open(&sampler, &(Sampling){.temperature = NAN}, 3, &err));
    CHECK(!sampler_open(&sampler, &(Sampling){.min_p = 2}, 3, &err));
    CHECK_INT(err.code, ERR_INVALID);
}

static const TestCase CASES[] = {
    {"greedy takes the largest allowed", greedy_takes_the_largest_allowed},
    {"equal logits go to the lowest id", equal_logits_go_to_the_lowest_id},
    {"filters keep exactly the best", filters_keep_exactly_the_best},
    {"draws follow the probabilities", draws_follow_the_probabilities},
    {"seeds repeat and differ", seeds_repeat_and_differ},
    {"penalty counts once and is taken back", penalty_counts_once_and_is_taken_back},
    {"unusable numbers are noticed", unusable_numbers_are_noticed},
};
TEST_SUITE(ENGINE_SAMPLE_SUITE, "sample", CASES);
