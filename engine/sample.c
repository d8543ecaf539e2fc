#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_WINDOW 64
#define MAX_WINDOW 4096

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static double random_unit(uint64_t *state) {
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

double sampler_random(Sampler *sampler) {
    return random_unit(&sampler->state);
}

bool sampler_open(Sampler *sampler, const Sampling *sampling, size_t vocabulary, Err *err) {
    *sampler = (Sampler){.sampling = *sampling, .state = sampling->seed, .vocabulary = vocabulary};
    Sampling *s = &sampler->sampling;
    if (!(s->temperature >= 0 && s->temperature < 1000) || !(s->top_p >= 0) ||
        !(s->min_p >= 0 && s->min_p <= 1) || !(s->repeat_penalty >= 0 && s->repeat_penalty < 1000) ||
        s->top_k < 0 || s->repeat_window < 0)
        return err_set(err, ERR_INVALID,
                       "sampling settings out of range: temperature and penalty must be from 0 to 1000, "
                       "min-p from 0 to 1, top-k and top-p not negative");
    if (s->repeat_window == 0)
        s->repeat_window = DEFAULT_WINDOW;
    if (s->repeat_window > MAX_WINDOW)
        s->repeat_window = MAX_WINDOW;
    size_t window = (size_t)s->repeat_window;
    sampler->kept_logits = malloc(window * sizeof(float));
    sampler->kept_ids = malloc(window * sizeof(int32_t));
    if (s->temperature > 0)
        sampler->candidates = malloc((vocabulary ? vocabulary : 1) * sizeof(Candidate));
    if (sampler->kept_logits && sampler->kept_ids && (sampler->candidates || s->temperature == 0))
        return true;
    sampler_close(sampler);
    return err_set(err, ERR_NO_MEMORY, "out of memory for sampling");
}

void sampler_close(Sampler *sampler) {
    free(sampler->candidates);
    free(sampler->kept_logits);
    free(sampler->kept_ids);
    *sampler = (Sampler){0};
}

/* ---- repetition penalty (Keskar et al. 2019): once per distinct token, whatever its count ---- */

static size_t penalise(Sampler *sampler, float *logits, const int32_t *recent, size_t count) {
    float penalty = sampler->sampling.repeat_penalty;
    if (penalty == 0 || penalty == 1)
        return 0;
    size_t window = (size_t)sampler->sampling.repeat_window, kept = 0;
    size_t first = count > window ? count - window : 0;
    for (size_t i = first; i < count; i++) {
        int32_t id = recent[i];
        if (id < 0 || (size_t)id >= sampler->vocabulary)
            continue;
        bool is_new = true;
        for (size_t j = 0; j < kept && is_new; j++)
            is_new = sampler->kept_ids[j] != id;
        if (!is_new)
            continue;
        sampler->kept_ids[kept] = id;
        sampler->kept_logits[kept++] = logits[id];
        logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }
    return kept;
}

static void restore(const Sampler *sampler, float *logits, size_t kept) {
    for (size_t i = 0; i < kept; i++)
        logits[sampler->kept_ids[i]] = sampler->kept_logits[i];
}

/* ---- choosing ---- */

/* The first index of the largest value. Strands of maxima that fit vector registers, then a search for the
 * winner: a vocabulary of 150,000 costs some 20 microseconds rather than 150. */
static int32_t largest_of_all(const float *logits, size_t vocabulary) {
    enum { STRANDS = 32 };
    float strands[STRANDS], value = -INFINITY;
    size_t i = 0;
    for (int s = 0; s < STRANDS; s++)
        strands[s] = -INFINITY;
    for (; i + STRANDS <= vocabulary; i += STRANDS)
        for (int s = 0; s < STRANDS; s++)
            strands[s] = logits[i + (size_t)s] > strands[s] ? logits[i + (size_t)s] : strands[s];
    for (; i < vocabulary; i++)
        value = logits[i] > value ? logits[i] : value;
    for (int s = 0; s < STRANDS; s++)
        value = strands[s] > value ? strands[s] : value;
    for (i = 0; i < vocabulary && value > -INFINITY; i++)
        if (logits[i] == value)
            return (int32_t)i;
    return -1;
}

static int32_t largest(const float *logits, const uint64_t *allowed, size_t vocabulary) {
    if (!allowed)
        return largest_of_all(logits, vocabulary);
    int32_t best = -1;
    float value = -INFINITY;
    for (size_t word = 0; word * 64 < vocabulary; word++) {
        for (uint64_t bits = allowed[word]; bits; bits &= bits - 1) {
            size_t i = word * 64 + (size_t)__builtin_ctzll(bits);
            if (i < vocabulary && logits[i] > value) {
                value = logits[i];
                best = (int32_t)i;
            }
        }
    }
    return best;
}

static size_t gather(Sampler *sampler, const float *logits, const uint64_t *allowed) {
    size_t n = 0;
    for (size_t i = 0; i < sampler->vocabulary; i++)
        if ((!allowed || allowed[i / 64] >> (i % 64) & 1) && logits[i] > -INFINITY)
            sampler->candidates[n++] = (Candidate){logits[i], (int32_t)i};
    return n;
}

static bool is_better(Candidate a, Candidate b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static int compare(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    return is_better(*x, *y) ? -1 : is_better(*y, *x);
}

/* Moves the `wanted` best candidates to the front, in any order (Hoare's selection, middle element as pivot).
 */
static void select_best(Candidate *c, size_t n, size_t wanted) {
    size_t low = 0, high = n;
    while (high - low > 1 && wanted > low && wanted < high) {
        Candidate pivot = c[low + (high - low) / 2];
        size_t i = low, j = high - 1;
        for (;;) {
            while (is_better(c[i], pivot))
                i++;
            while (is_better(pivot, c[j]))
                j--;
            if (i >= j)
                break;
            Candidate swapped = c[i];
            c[i++] = c[j];
            c[j--] = swapped;
        }
        /* everything before i is at least as good as the pivot, everything from i on at most */
        size_t cut = i > low ? i : low + 1;
        if (wanted <= cut)
            high = cut;
        if (wanted >= cut)
            low = cut;
    }
}

/* The shortest sorted head whose probability reaches top_p. Sorts only as many as are needed. */
static size_t keep_top_p(Candidate *c, size_t n, float top_p) {
    float best = c[0].logit;
    for (size_t i = 1; i < n; i++)
        best = c[i].logit > best ? c[i].logit : best;
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += exp((double)c[i].logit - best);
    double sum = 0;
    size_t sorted = 0;
    for (size_t head = 64; sorted < n; head *= 8) {
        size_t end = head < n ? head : n;
        select_best(c + sorted, n - sorted, end - sorted);
        qsort(c + sorted, end - sorted, sizeof *c, compare);
        for (size_t i = sorted; i < end; i++) {
            sum += exp((double)c[i].logit - best);
            if (sum >= top_p * total)
                return i + 1;
        }
        sorted = end;
    }
    return n;
}

static size_t keep_min_p(Candidate *c, size_t n, float min_p) {
    float best = c[0].logit;
    for (size_t i = 1; i < n; i++)
        best = c[i].logit > best ? c[i].logit : best;
    double least = best + log((double)min_p);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (c[i].logit >= least)
            c[kept++] = c[i];
    return kept;
}

static int compare_ids(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static int32_t draw(Sampler *sampler, const Candidate *c, size_t n) {
    double temperature = sampler->sampling.temperature, best = -INFINITY, total = 0;
    for (size_t i = 0; i < n; i++)
        best = c[i].logit > best ? c[i].logit : best;
    for (size_t i = 0; i < n; i++)
        total += exp((c[i].logit - best) / temperature);
    double at = random_unit(&sampler->state) * total;
    for (size_t i = 0; i < n; i++) {
        at -= exp((c[i].logit - best) / temperature);
        if (at < 0)
            return c[i].id;
    }
    return c[n - 1].id;
}

static int32_t pick(Sampler *sampler, const float *logits, const uint64_t *allowed) {
    const Sampling *s = &sampler->sampling;
    if (s->temperature == 0 || s->top_k == 1)
        return largest(logits, allowed, sampler->vocabulary);
    size_t n = gather(sampler, logits, allowed), all = n;
    if (n == 0)
        return -1;
    if (s->top_k > 0 && (size_t)s->top_k < n) {
        select_best(sampler->candidates, n, (size_t)s->top_k);
        n = (size_t)s->top_k;
    }
    if (s->top_p > 0 && s->top_p < 1)
        n = keep_top_p(sampler->candidates, n, s->top_p);
    if (s->min_p > 0)
        n = keep_min_p(sampler->candidates, n, s->min_p);
    if (n < all) /* selecting left them in an order of its own */
        qsort(sampler->candidates, n, sizeof *sampler->candidates, compare_ids);
    return draw(sampler, sampler->candidates, n);
}

int32_t sampler_pick(Sampler *sampler, float *logits, const uint64_t *allowed, const int32_t *recent,
                     size_t recent_count) {
    size_t kept = penalise(sampler, logits, recent, recent_count);
    int32_t id = pick(sampler, logits, allowed);
    restore(sampler, logits, kept);
    return id;
}
