#include "tests/unit/kernels_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void test_route_by_hand(void) {
    Backend *ref = open_ref();
    float logits[2][5] = {{1, 3, 3, -2, 2}, {-INFINITY, 0, NAN, -INFINITY, -INFINITY}};
    int32_t ids[2][3];
    float weights[2][3];
    Route route = {&ids[0][0], &weights[0][0], &logits[0][0], 1, 5, 3, false};
    backend_ops(ref)->route(ref, &route);
    double total = exp(1) + 2 * exp(3) + exp(-2) + exp(2);
    CHECK(ids[0][0] == 1 && ids[0][1] == 2 && ids[0][2] == 4); /* the lower index of equals comes first */
    CHECK(fabs(weights[0][0] - exp(3) / total) < 1e-7 && fabs(weights[0][2] - exp(2) / total) < 1e-7);
    route.normalise = true;
    backend_ops(ref)->route(ref, &route);
    CHECK(fabs(weights[0][1] - exp(3) / (2 * exp(3) + exp(2))) < 1e-7);
    route.n = 2;
    backend_ops(ref)->route(ref, &route); /* something that is no number: still experts that exist */
    CHECK(ids[1][0] == 1 && ids[1][1] == 0 && ids[1][2] == 2);
    backend_close(ref);
}

static void routes(Backend *cpu) {
    Backend *ref = open_ref();
    static const int EXPERTS[] = {1, 4, 32, 60, 128, 257};
    for (int k = 0; k < 6; k++) {
        enum { MOST = 9, USED = 8 };
        int experts = EXPERTS[k], used = experts < USED ? experts : USED, n = 1 + random_below(MOST);
        float *logits = malloc(sizeof(float) * (size_t)(n * experts));
        CHECK(logits != NULL);
        random_floats(logits, n * experts);
        for (int i = 0; i < n * experts; i++) /* many equals, some far apart */
            logits[i] = random_below(3) ? roundf(logits[i]) : logits[i];
        int32_t ids[MOST * USED], truth_ids[MOST * USED];
        float *weights = poisoned(1, n * used), truth[MOST * USED];
        for (int normalise = 0; normalise < 2; normalise++) {
            Route route = {ids, weights, logits, n, experts, used, normalise};
            backend_ops(cpu)->route(cpu, &route);
            CHECK(is_clean(weights, 1, n * used));
            route.ids = truth_ids, route.weights = truth;
            backend_ops(ref)->route(ref, &route);
            CHECK(memcmp(ids, truth_ids, sizeof *ids * (size_t)(n * used)) == 0);
            for (int i = 0; i < n * used; i++) { /* two exponentials, whose arguments rounded, and a sum */
                double argument = truth[i] > 0 ? -log(truth[i]) : 0;
                double allowed = truth[i] * 0x1p-23 * (8 + experts / 2 + argument) + 0x1p-148;
                CHECK_MSG(fabs((double)weights[i] - truth[i]) <= allowed, "%d experts: weight %g, ref %g",
                          experts, (double)weights[i], (double)truth[i]);
            }
            float *alone = poisoned(1, used);
            for (int i = 0; i < n; i++) {
                route = (Route){ids, alone, logits + i * experts, 1, experts, used, normalise};
                backend_ops(cpu)->route(cpu, &route);
                CHECK(same_bits(alone, weights + i * used, used));
            }
            free(alone);
        }
        free(logits), free(weights);
    }
    backend_close(ref);
}

static void test_routes(void) {
    each_level(2, routes);
}

/* One expert of two, width 2, feed-forward 1, by hand. */
static void test_experts_by_hand(void) {
    Backend *ref = open_ref();
    float gate[2][2] = {{9, 9}, {1, 2}}, up[2][2] = {{9, 9}, {0, 3}}, down[4] = {9, 9, 5, 7};
    float x[2] = {0.5f, 0.25f}, out[2] = {100, 200}, weight = 0.5f, hidden[1];
    int32_t id = 1;
    Experts e = {tensor_f32(&gate[0][0], 2, 2),
                 tensor_f32(&up[0][0], 2, 2),
                 tensor_f32(down, 4, 1),
                 &id,
                 &weight,
                 x,
                 out,
                 hidden,
                 1,
                 2,
                 1};
    backend_ops(ref)->experts(ref, &e);
    double h = 1 / (1 + exp(-1)) * 0.75; /* silu(1) * 0.75 */
    CHECK(fabs(out[0] - (100 + 0.5 * 5 * h)) < 1e-5 && fabs(out[1] - (200 + 0.5 * 7 * h)) < 2e-5);
    backend_close(ref);
}

typedef struct Mixture {
    Experts e; /* out and hidden are the caller's */
    int32_t *ids;
    float *weights, *x;
} Mixture;

static Mixture random_mixture(DType type, DType down_type, int n, int experts, int used, int width,
                              int feed_forward) {
    Mixture m = {.ids = malloc(sizeof *m.ids * (size_t)(n * used)),
                 .weights = malloc(sizeof *m.weights * (size_t)(n * used)),
                 .x = malloc(sizeof *m.x * (size_t)(n * width))};
    CHECK(m.ids && m.weights && m.x);
    for (int i = 0; i < n; i++) { /* distinct experts per row */
        int first = random_below(experts);
        for (int u = 0; u < used; u++) {
            m.ids[i * used + u] = (first + u * (i % 2 ? 1 : experts - 1)) % experts;
            m.weights[i * used + u] = fabsf(random_float()) / 4;
        }
    }
    random_floats(m.x, n * width);
    m.e = (Experts){.gate = random_tensor(type, experts * feed_forward, width),
                    .up = random_tensor(type, experts * feed_forward, width),
                    .down = random_tensor(down_type, experts * width, feed_forward),
                    .ids = m.ids,
                    .weights = m.weights,
                    .x = m.x,
                    .n = n,
                    .experts = experts,
                    .used = used};
    return m;
}

static void free_mixture(Mixture *m) {
    free(m->e.gate.data), free(m->e.up.data), free(m->e.down.data);
    free(m->ids), free(m->weights), free(m->x);
}

/* Rows first .. first + n - 1 of the mixture. */
static void run_experts(Backend *backend, const Mixture *m, float *out, int first, int n) {
    int64_t width = m->e.gate.cols, feed_forward = m->e.gate.rows / m->e.experts;
    float *hidden = malloc((size_t)(n * m->e.used) * (size_t)feed_forward * sizeof *hidden);
    CHECK(hidden != NULL);
    Experts e = m->e;
    e.ids += first * e.used, e.weights += first * e.used, e.x += first * width, e.n = n;
    e.out = out + first * width, e.hidden = hidden;
    backend_ops(backend)->experts(backend, &e);
    free(hidden);
}

/* The same from the other operations of the same backend, one row and one choice at a time. */
static void compose(Backend *cpu, const Mixture *m, float *out) {
    const Experts *e = &m->e;
    int64_t width = e->gate.cols, feed_forward = e->gate.rows / e->experts;
    float *gate = malloc((size_t)feed_forward * sizeof *gate),
          *up = malloc((size_t)feed_forward * sizeof *up);
    float *down = malloc((size_t)width * sizeof *down);
    CHECK(gate && up && down);
    for (int slot = 0; slot < e->n * e->used; slot++) {
        const float *x = e->x + slot / e->used * width;
        const Tensor *stacks[] = {&e->gate, &e->up, &e->down};
        float *outs[] = {gate, up, down};
        MatMul jobs[3];
        for (int j = 0; j < 3; j++) {
            Tensor matrix = *stacks[j];
            matrix.rows /= e->experts;
            matrix.data = (char *)matrix.data + (size_t)(e->ids[slot] * matrix.rows) * matrix.row_bytes;
            jobs[j] = (MatMul){matrix, NULL, outs[j], matrix.rows, false};
        }
        backend_ops(cpu)->matmul(cpu, jobs, 2, x, width, 1);
        backend_ops(cpu)->swiglu(cpu, gate, gate, up, feed_forward);
        backend_ops(cpu)->matmul(cpu, jobs + 2, 1, gate, feed_forward, 1);
        for (int64_t c = 0; c < width; c++)
            out[slot / e->used * width + c] += e->weights[slot] * down[c];
    }
    free(gate), free(up), free(down);
}

static void check_mixture(Backend *cpu, DType type, DType down_type, int n, int experts, int used, int width,
                          int feed_forward) {
    Mixture m = random_mixture(type, down_type, n, experts, used, width, feed_forward);
    int64_t count = (int64_t)n * width;
    float *old = malloc((size_t)count * sizeof *old), *out = poisoned(1, count), *other = poisoned(1, count);
    CHECK(old != NULL);
    random_floats(old, count);
    memcpy(out, old, (size_t)count * sizeof *out);
    memcpy(other, old, (size_t)count * sizeof *out);
    run_experts(cpu, &m, out, 0, n);
    CHECK(is_clean(out, 1, count));
    compose(cpu, &m, other);
    CHECK_MSG(same_bits(out, other, count), "%s %s: %d of %d experts on %d rows differ from one by one",
              level_name(cpu), dtype_info((uint32_t)type)->name, used, experts, n);
    memcpy(other, old, (size_t)count * sizeof *out);
    for (int i = 0; i < n; i++)
        run_experts(cpu, &m, other, i, 1);
    CHECK(same_bits(out, other, count));
    if (type == DTYPE_F32 && down_type == DTYPE_F32) { /* nothing but float rounding separates it from ref */
        Backend *ref = open_ref();
        memcpy(other, old, (size_t)count * sizeof *out);
        run_experts(ref, &m, other, 0, n);
        double size = 0;
        for (int64_t i = 0; i < count; i++)
            size += (double)other[i] * other[i];
        size = sqrt(size / (double)count);
        for (int64_t i = 0; i < count; i++)
            CHECK_MSG(fabs((double)out[i] - other[i]) <= 1e-5 * (size + fabs((double)other[i])),
                      "%s: %g, ref %g", level_name(cpu), (double)out[i], (double)other[i]);
        backend_close(ref);
    }
    free_mixture(&m);
    free(old), free(out), free(other);
}

static void mixtures(Backend *cpu) {
    check_mixture(cpu, DTYPE_F32, DTYPE_F32, 1, 6, 2, 40, 24);
    check_mixture(cpu, DTYPE_F32, DTYPE_F32, 7, 5, 3, 33, 17);
    check_mixture(cpu, DTYPE_BF16, DTYPE_F16, 3, 4, 4, 64, 31);
    check_mixture(cpu, DTYPE_Q8_0, DTYPE_Q8_0, 9, 8, 2, 64, 96);
    check_mixture(cpu, DTYPE_Q4_K, DTYPE_Q6_K, 1, 8, 8, 256, 256);
    check_mixture(cpu, DTYPE_Q4_K, DTYPE_Q6_K, 6, 3, 2, 256, 256);
    check_mixture(cpu, DTYPE_MXFP4, DTYPE_MXFP4, 5, 40, 4, 96, 32);
    check_mixture(cpu, DTYPE_Q5_K, DTYPE_F32, 4, 2, 1, 512, 40);
}

static void test_mixtures(void) {
    each_level(1, mixtures);
    each_level(3, mixtures);
}

static const TestCase CASES[] = {{"route_by_hand", test_route_by_hand},
                                 {"routes", test_routes},
                                 {"experts_by_hand", test_experts_by_hand},
                                 {"mixtures", test_mixtures}};
TEST_SUITE(KERNELS_EXPERTS_SUITE, "experts", CASES);
