/* sample.cu against engine/sample.h's words, read plainly: sort, cut, draw, in doubles. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cuda_support.h"

typedef struct Choice {
    int32_t id;
    float logit;
} Choice;

static int by_rank(const void *a, const void *b) {
    const Choice *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b) {
    return ((const Choice *)a)->id < ((const Choice *)b)->id ? -1 : 1;
}

static bool is_allowed(const Pick *pick, int64_t id) {
    return (!pick->mask || pick->mask[id / 64] >> (id % 64) & 1) && pick->logits[id] > -INFINITY;
}

/* e^((logit - best) / temperature), also when the best is infinite */
static double share(float logit, float best, double temperature) {
    return logit == best ? 1 : exp(((double)logit - best) / temperature);
}

/* How many of the sorted head top-p keeps. The kernel's probabilities are floats: where the sum comes within
 * `margin` of the target, it may stop there or not, which *is_close says. */
static int64_t head_of(const Choice *all, int64_t n, double top_p, bool *is_close) {
    const double margin = 1e-6;
    double total = 0, sum = 0;
    for (int64_t i = 0; i < n; i++)
        total += share(all[i].logit, all[0].logit, 1);
    for (int64_t i = 0; i < n; i++) {
        sum += share(all[i].logit, all[0].logit, 1);
        *is_close |= fabs(sum - top_p * total) <= margin * total;
        if (sum >= top_p * total)
            return i + 1;
    }
    return n;
}

/* The kept choices by id; how many. */
static int64_t keep(const Pick *pick, Choice *all, bool *is_close) {
    int64_t n = 0;
    for (int64_t i = 0; i < pick->count; i++)
        if (is_allowed(pick, i))
            all[n++] = (Choice){(int32_t)i, pick->logits[i]};
    qsort(all, (size_t)n, sizeof *all, by_rank);
    if (pick->top_k > 0 && pick->top_k < n)
        n = pick->top_k;
    if (pick->top_p > 0 && pick->top_p < 1 && n)
        n = head_of(all, n, pick->top_p, is_close);
    if (pick->min_p > 0) {
        int64_t kept = 0;
        while (kept < n && all[kept].logit >= all[0].logit + log((double)pick->min_p))
            kept++;
        n = kept;
    }
    return n;
}

/* Fails unless `id` is where the draw falls; a draw within 1e-6 of a border may go to either side. */
static void check_choice(const Pick *pick, int32_t id) {
    Choice *all = host_new((size_t)(pick->count + 1) * sizeof *all);
    bool is_close = false;
    int64_t n = keep(pick, all, &is_close);
    if (n == 0) {
        CHECK_INT(id, -1);
        return;
    }
    if (pick->temperature == 0 || pick->top_k == 1) {
        CHECK_INT(id, all[0].id);
        return;
    }
    float best = all[0].logit;
    double total = 0, before = 0;
    qsort(all, (size_t)n, sizeof *all, by_id);
    for (int64_t i = 0; i < n; i++)
        total += share(all[i].logit, best, pick->temperature);
    int64_t found = 0;
    while (found < n && all[found].id != id)
        before += share(all[found++].logit, best, pick->temperature);
    if (is_close && found == n)
        return;
    CHECK_MSG(found < n, "token %d was not kept (%lld of %lld were)", id, (long long)n,
              (long long)pick->count);
    double after = before + share(all[found].logit, best, pick->temperature);
    double slack = is_close ? 1e-4 : 1e-6;
    CHECK_MSG(pick->random >= before / total - slack && pick->random <= after / total + slack,
              "token %d covers %g to %g, the draw is at %g", id, before / total, after / total, pick->random);
}

static int32_t pick_token(CudaQueue *queue, const Pick *pick) {
    size_t words = (size_t)((pick->count + 63) / 64);
    int32_t id = -7;
    int32_t *device_id = device_put(&id, sizeof id);
    PickArgs args = {.logits = device_floats(pick->logits, pick->count),
                     .count = pick->count,
                     .mask = pick->mask ? device_put(pick->mask, words * sizeof *pick->mask) : NULL,
                     .temperature = pick->temperature,
                     .top_k = pick->top_k,
                     .top_p = pick->top_p,
                     .min_p = pick->min_p,
                     .random = device_put(&pick->random, sizeof pick->random),
                     .scratch = device_new(cuda_pick_scratch_bytes(pick->count)),
                     .id = device_id};
    CHECK(cuda_pick(queue, &args));
    device_read(&id, device_id, sizeof id);
    return id;
}

static void check_pick(const Pick *pick) {
    CudaQueue *queue = device_open();
    check_choice(pick, pick_token(queue, pick));
    device_close();
}

static double random_unit(void) {
    return (double)(test_random() >> 11) * 0x1p-53;
}

/* Logits of several tempers: spread, many ties, all equal, a few that matter, with infinities and NaN. */
static void fill_logits(float *x, int64_t count) {
    int kind = random_below(6);
    for (int64_t i = 0; i < count; i++) {
        switch (kind) {
        case 0: x[i] = random_float() * 3; break;
        case 1: x[i] = (float)(random_below(9) - 4); break;
        case 2: x[i] = 1.25f; break;
        case 3: x[i] = random_below(40) ? -20 + random_float() : random_float(); break;
        case 4: x[i] = random_float() * 1e-3f; break;
        default: x[i] = random_float() * 50; break;
        }
        switch (random_below(kind == 2 ? 1000000 : 30)) {
        case 0: x[i] = -INFINITY; break;
        case 1: x[i] = NAN; break;
        case 2: x[i] = random_below(2) ? 0.0f : -0.0f; break;
        default: break;
        }
    }
}

static const int64_t COUNTS[] = {1, 2, 31, 64, 65, 255, 256, 257, 1000, 1729};
enum { COUNT_COUNT = sizeof COUNTS / sizeof *COUNTS };

static uint64_t *random_mask(int64_t count, int one_in) {
    size_t words = (size_t)((count + 63) / 64);
    uint64_t *mask = host_new(words * sizeof *mask);
    memset(mask, 0, words * sizeof *mask);
    for (int64_t i = 0; i < count; i++)
        if (random_below(one_in) == 0)
            mask[i / 64] |= UINT64_C(1) << (i % 64);
    return mask;
}

static void check_random_picks(int cases, bool filtered) {
    for (int c = 0; c < cases; c++) {
        int64_t count = COUNTS[random_below(COUNT_COUNT)];
        float *logits = malloc((size_t)count * sizeof *logits);
        fill_logits(logits, count);
        Pick pick = {.logits = logits, .count = count, .random = random_unit()};
        pick.mask = random_below(3) ? NULL : random_mask(count, 1 + random_below(20));
        if (filtered) {
            static const float TEMPERATURES[] = {1, 0.7f, 2, 0.05f};
            pick.temperature = TEMPERATURES[random_below(4)];
            pick.top_k = random_below(2) ? 0 : 1 + random_below(60);
            pick.top_p = random_below(2) ? 0 : (float)random_unit() * 1.1f;
            pick.min_p = random_below(2) ? 0 : (float)random_unit() * 0.2f;
        }
        size_t words = (size_t)((count + 63) / 64);
        uint64_t kept[32];
        if (pick.mask) /* the masks of device_open's memory go with it */
            pick.mask = memcpy(kept, pick.mask, words * sizeof *kept);
        check_pick(&pick);
        free(logits);
    }
}

static void test_greedy(void) {
    check_random_picks(40, false);
}

static void test_filters(void) {
    check_random_picks(120, true);
}

/* What each filter does alone, at its ends. */
static void test_ends(void) {
    enum { COUNT = 700 };
    float logits[COUNT];
    for (int i = 0; i < COUNT; i++)
        logits[i] = (float)(i * 37 % 101) * 0.1f;
    const Pick whole = {.logits = logits, .count = COUNT, .temperature = 1};
    static const double DRAWS[] = {0, 0.25, 0.999999999, 1 - 0x1p-53};
    for (int d = 0; d < 4; d++) {
        Pick pick = whole;
        pick.random = DRAWS[d];
        check_pick(&pick);
        for (int k = 1; k <= COUNT + 1; k += 100) {
            pick.top_k = k;
            check_pick(&pick);
        }
        pick.top_k = 0;
        pick.top_p = 1e-30f; /* one remains */
        check_pick(&pick);
        pick.top_p = 0.99999994f;
        check_pick(&pick);
        pick.top_p = 0;
        pick.min_p = 1; /* the equals of the best remain */
        check_pick(&pick);
        pick.min_p = 1e-30f;
        check_pick(&pick);
        pick.temperature = 1e-30f;
        check_pick(&pick);
    }
}

/* All the same: the cuts go by id alone. */
static void test_all_equal(void) {
    enum { COUNT = 600 };
    float logits[COUNT];
    for (int i = 0; i < COUNT; i++)
        logits[i] = -3;
    for (int c = 0; c < 6; c++) {
        Pick pick = {.logits = logits, .count = COUNT, .temperature = 1, .random = random_unit()};
        pick.top_k = c < 3 ? 2 + random_below(COUNT) : 0;
        pick.top_p = c % 3 ? (float)random_unit() : 0;
        check_pick(&pick);
    }
}

static void test_nothing_to_choose(void) {
    float logits[300];
    for (int i = 0; i < 300; i++)
        logits[i] = i % 2 ? NAN : -INFINITY;
    uint64_t none[5] = {0};
    for (int t = 0; t < 2; t++) {
        Pick pick = {.logits = logits, .count = 300, .temperature = (float)t, .top_k = 5, .random = 0.5};
        check_pick(&pick);
        logits[77] = 1;
        check_pick(&pick);
        pick.mask = none;
        check_pick(&pick);
        logits[77] = NAN;
    }
}

/* Infinity wins; the largest and the smallest float are logits like others. */
static void test_extremes(void) {
    float logits[500];
    for (int i = 0; i < 500; i++)
        logits[i] = i % 5 ? -3.4028234e38f : random_float();
    for (int c = 0; c < 6; c++) {
        Pick pick = {.logits = logits, .count = 500, .temperature = (float)(c % 3), .random = random_unit()};
        pick.top_k = c % 2 ? 450 : 0;
        logits[123] = c < 2 ? 0 : c < 4 ? 3.4028234e38f : INFINITY;
        check_pick(&pick);
    }
    for (int i = 0; i < 500; i++)
        logits[i] = -3.4028234e38f;
    check_pick(&(Pick){.logits = logits, .count = 500, .temperature = 1, .top_k = 30, .random = 0.4});
}

/* Draws come as often as their probabilities say: a chain of even draws goes through the tokens in order, and
 * each gets its share of them. */
static void test_shares(void) {
    enum { COUNT = 6, DRAWS = 60 };
    static const float LOGITS[COUNT] = {0, 1, -1, 2, 0.5f, -30};
    double total = 0;
    int seen[COUNT] = {0}, last = 0;
    for (int i = 0; i < COUNT; i++)
        total += exp(LOGITS[i]);
    for (int d = 0; d < DRAWS; d++) {
        CudaQueue *queue = device_open();
        Pick pick = {.logits = LOGITS, .count = COUNT, .temperature = 1, .random = (d + 0.5) / DRAWS};
        int32_t id = pick_token(queue, &pick);
        device_close();
        CHECK(id >= last && id < COUNT);
        seen[last = id]++;
    }
    for (int i = 0; i < COUNT; i++)
        CHECK_MSG(fabs(seen[i] - DRAWS * exp(LOGITS[i]) / total) <= 1, "token %d was drawn %d times", i,
                  seen[i]);
}

/* More candidates than the list in shared memory holds, and the same choice at every try. */
static void test_many(void) {
    enum { COUNT = 9001 };
    float *logits = malloc(COUNT * sizeof *logits);
    for (int c = 0; c < 2; c++) {
        for (int i = 0; i < COUNT; i++)
            logits[i] = c ? random_float() * 1e-3f : 2;
        Pick pick = {.logits = logits, .count = COUNT, .temperature = 1, .random = random_unit()};
        pick.top_k = 4500;
        pick.top_p = 0.6f;
        CudaQueue *queue = device_open();
        int32_t id = pick_token(queue, &pick);
        check_choice(&pick, id);
        CHECK_INT(pick_token(queue, &pick), id);
        device_close();
    }
    free(logits);
}

/* -0 equals 0: the lower id comes first, whatever the sign. */
static void test_zeros(void) {
    float logits[70];
    for (int i = 0; i < 70; i++)
        logits[i] = i < 60 ? -1 : i % 2 ? 0.0f : -0.0f;
    for (int c = 0; c < 8; c++) {
        Pick pick = {.logits = logits, .count = 70, .temperature = (float)(c > 0), .random = c / 8.0};
        pick.top_k = 3;
        check_pick(&pick);
    }
}

/* A logit just below best + ln(min_p) goes, one just above stays, closer than two floats. */
static void test_border_of_min_p(void) {
    for (int c = 0; c < 40; c++) {
        float logits[9] = {0};
        Pick pick = {.logits = logits, .count = 9, .temperature = 100, .random = 1 - 1e-9};
        pick.min_p = 0.01f + 0.5f * (float)random_unit();
        logits[8] = (float)log((double)pick.min_p);
        check_pick(&pick);
    }
}

/* Beyond 4096 groups of 256 tokens a group takes in more of them. */
static void test_huge(void) {
    enum { COUNT = (1 << 20) + 300 };
    float *logits = malloc(COUNT * sizeof *logits);
    for (int i = 0; i < COUNT; i++)
        logits[i] = -random_float() * random_float();
    logits[COUNT - 1] = logits[511] = 40;
    for (int c = 0; c < 2; c++) {
        Pick pick = {.logits = logits, .count = COUNT, .temperature = 1, .random = 0.3 + 0.5 * c, .top_k = 2};
        check_pick(&pick);
    }
    free(logits);
}

static void test_refused(void) {
    CudaQueue *queue = device_open();
    PickArgs args = {.count = 0};
    CHECK(!cuda_pick(queue, &args));
    args.count = 1 << 24;
    CHECK(!cuda_pick(queue, &args));
    CHECK(cuda_pick_scratch_bytes(0) == 0 && cuda_pick_scratch_bytes(1) > 0);
    device_close();
}

static const TestCase CASES[] = {
    {"the largest, the lowest id among equals", test_greedy},
    {"filters as engine/sample.h says", test_filters},
    {"the ends of each filter", test_ends},
    {"equal logits are cut by id", test_all_equal},
    {"nothing to choose from", test_nothing_to_choose},
    {"infinite and largest logits", test_extremes},
    {"draws follow the probabilities", test_shares},
    {"more candidates than shared memory holds", test_many},
    {"zeros of both signs are equal", test_zeros},
    {"the border of min-p", test_border_of_min_p},
    {"groups of more than 256 tokens", test_huge},
    {"what has no kernel is refused", test_refused},
};
TEST_SUITE(CUDA_SAMPLE_SUITE, "sample", CASES);
