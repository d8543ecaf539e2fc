#include "tests/unit/kernels_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Attention {
    int n, heads, kv_heads, head_dim, capacity;
    int32_t *positions;
    float *q;
    KvRows keys, values;
} Attention;

/* Rows of half or full precision; everything from row `end` on is a NaN that must never be looked at. */
static KvRows random_rows(int64_t count, int64_t width, int end, bool is_f32) {
    KvRows kv = {.row_values = width};
    if (is_f32)
        kv.rows_f32 = malloc((size_t)count * sizeof *kv.rows_f32);
    else
        kv.rows = malloc((size_t)count * sizeof *kv.rows);
    CHECK(kv.rows || kv.rows_f32);
    for (int64_t i = 0; i < count; i++) {
        float value = i / width >= end ? NAN : random_float() / 2;
        if (kv.rows_f32)
            kv.rows_f32[i] = value;
        else
            kv.rows[i] = half_from_float(value);
    }
    return kv;
}

/* Positions are `first` and up. */
static Attention random_attention(int n, int first, int heads, int kv_heads, int head_dim) {
    Attention a = {n,    heads, kv_heads,          head_dim,         first + n + 3,
                   NULL, NULL,  {.row_values = 0}, {.row_values = 0}};
    bool is_f32 = random_below(3) == 0;
    int64_t width = (int64_t)kv_heads * head_dim, count = a.capacity * width;
    a.positions = malloc((size_t)n * sizeof *a.positions);
    a.q = malloc((size_t)n * (size_t)heads * (size_t)head_dim * sizeof *a.q);
    a.keys = random_rows(count, width, first + n, is_f32);
    a.values = random_rows(count, width, first + n, is_f32);
    CHECK(a.positions && a.q);
    random_floats(a.q, (int64_t)n * heads * head_dim);
    for (int i = 0; i < n; i++)
        a.positions[i] = first + i;
    return a;
}

static void free_attention(Attention *a) {
    free(a->positions), free(a->q), free(a->keys.rows), free(a->values.rows);
    free(a->keys.rows_f32), free(a->values.rows_f32);
}

static void attend(Backend *backend, const Attention *a, float *out, int first, int n) {
    int64_t at = (int64_t)first * a->heads * a->head_dim;
    backend_ops(backend)->attend(backend, out + at, a->q + at, a->keys, a->values, a->positions + first, n,
                                 a->heads, a->kv_heads, a->head_dim, 1 / sqrtf((float)a->head_dim));
}

static double kv_value(KvRows kv, int64_t at) {
    return kv.rows_f32 ? (double)kv.rows_f32[at] : half_to_float(kv.rows[at]);
}

/* What rounding may change in one head of one token: weights by the error of scores, which grows with their
 * terms. */
static double allowed_error(const Attention *a, int token, int head) {
    double most_score = 0, most_value = 0;
    const float *q = a->q + ((int64_t)token * a->heads + head) * a->head_dim;
    int64_t first = (int64_t)(head / (a->heads / a->kv_heads)) * a->head_dim;
    for (int p = 0; p <= a->positions[token]; p++) {
        double size = 0;
        for (int c = 0; c < a->head_dim; c++) {
            int64_t at = p * a->keys.row_values + first + c;
            size += fabs(q[c] * kv_value(a->keys, at));
            most_value = fmax(most_value, fabs(kv_value(a->values, at)));
        }
        most_score = fmax(most_score, size / sqrt(a->head_dim));
    }
    return most_value * (1e-5 + most_score * 0x1p-22 * 8);
}

static void check_close(const Backend *cpu, const Attention *a, const float *out, const float *truth) {
    for (int i = 0; i < a->n; i++)
        for (int h = 0; h < a->heads; h++) {
            double allowed = allowed_error(a, i, h);
            for (int c = 0; c < a->head_dim; c++) {
                int64_t at = ((int64_t)i * a->heads + h) * a->head_dim + c;
                CHECK_MSG(
                    fabs((double)out[at] - truth[at]) <= allowed,
                    "%s: position %d, head %d of %d (%d for keys), value %d of %d is %g, ref %g, allowed %g",
                    level_name(cpu), a->positions[i], h, a->heads, a->kv_heads, c, a->head_dim,
                    (double)out[at], (double)truth[at], allowed);
            }
        }
}

static void check_attention(Backend *cpu, int n, int first, int heads, int kv_heads, int head_dim) {
    Backend *ref = open_ref();
    Attention a = random_attention(n, first, heads, kv_heads, head_dim);
    int64_t count = (int64_t)n * heads * head_dim;
    float *truth = poisoned(1, count), *out = poisoned(1, count), *single = poisoned(1, count);
    attend(ref, &a, truth, 0, n);
    attend(cpu, &a, out, 0, n);
    CHECK(is_clean(out, 1, count));
    check_close(cpu, &a, out, truth);
    for (int i = 0; i < n; i++)
        attend(cpu, &a, single, i, 1);
    CHECK_MSG(same_bits(out, single, count), "%s: %d tokens from %d, %d of %d heads, width %d: batch differs",
              level_name(cpu), n, first, heads, kv_heads, head_dim);
    for (int i = 0; i < n; i += 3)
        attend(cpu, &a, single, i, n - i < 3 ? n - i : 3);
    CHECK(same_bits(out, single, count));
    free(truth), free(out), free(single);
    free_attention(&a);
    backend_close(ref);
}

static void shapes(Backend *cpu) {
    static const int DIMS[] = {48, 64, 80, 96, 128, 256, 20};
    static const int HEADS[][2] = {{1, 1}, {8, 8}, {7, 1}, {14, 2}, {6, 3}, {8, 2}, {70, 1}};
    for (int i = 0; i < 7; i++)
        check_attention(cpu, 1 + random_below(9), random_below(140), HEADS[i][0], HEADS[i][1],
                        DIMS[random_below(7)]);
    for (int i = 0; i < 7; i++)
        check_attention(cpu, 1 + random_below(4), 60 + random_below(8), 4, 2, DIMS[i]);
    check_attention(cpu, 70, 0, 2, 2, 64);
    check_attention(cpu, 33, 45, 3, 1, 32);
}

static void test_shapes(void) {
    each_level(1, shapes);
    each_level(3, shapes);
}

/* Tokens of one batch may come in any order of positions. */
static void any_order(Backend *cpu) {
    Backend *ref = open_ref();
    Attention a = random_attention(9, 120, 4, 2, 64);
    for (int i = 0; i < 9; i++)
        a.positions[i] = random_below(128);
    float truth[9 * 256], out[9 * 256], single[9 * 256];
    attend(ref, &a, truth, 0, 9);
    attend(cpu, &a, out, 0, 9);
    for (int i = 0; i < 9; i++)
        attend(cpu, &a, single, i, 1);
    CHECK(same_bits(out, single, 9 * 256));
    check_close(cpu, &a, out, truth);
    free_attention(&a);
    backend_close(ref);
}

static void test_any_order(void) {
    each_level(2, any_order);
}

/* A value of infinity at a later position must not reach the tokens before it in the same batch. */
static void later_infinity(Backend *cpu) {
    Attention a = random_attention(6, 10, 2, 1, 64);
    for (int c = 0; c < 64; c++)
        if (a.values.rows_f32)
            a.values.rows_f32[13 * 64 + c] = INFINITY;
        else
            a.values.rows[13 * 64 + c] = 0x7C00;
    float out[6 * 128];
    attend(cpu, &a, out, 0, 6);
    for (int i = 0; i < 3 * 128; i++)
        CHECK(isfinite(out[i]));
    free_attention(&a);
}

static void test_later_infinity(void) {
    each_level(1, later_infinity);
}

static void ropes(Backend *cpu) {
    Backend *ref = open_ref();
    static const int32_t POSITIONS[] = {0, 1, 4095, 262143, 17};
    float factors[64];
    for (int i = 0; i < 64; i++)
        factors[i] = 1 + (float)i / 4;
    for (int kind = ROPE_NORM; kind <= ROPE_NEOX; kind++)
        for (int heads = 1; heads <= 3; heads += 2)
            for (int n_rot = 32; n_rot <= 128; n_rot *= 2) {
                float a[5 * 3 * 128], b[5 * 3 * 128];
                random_floats(a, 5 * 3 * 128);
                memcpy(b, a, sizeof a);
                const float *use = n_rot == 64 ? factors : NULL;
                float base = heads == 1 ? 10000 : 1e6f;
                backend_ops(ref)->rope(ref, a, POSITIONS, 5, heads, 128, n_rot, (RopeKind)kind, base, use);
                backend_ops(cpu)->rope(cpu, b, POSITIONS, 5, heads, 128, n_rot, (RopeKind)kind, base, use);
                for (int i = 0; i < 5 * 3 * 128; i++)
                    CHECK_MSG(fabsf(a[i] - b[i]) <=
                                  1e-6f * (400 + fabsf(a[i])) / 400 * (1 + fabsf(a[i])) * 400,
                              "%s: %g, ref %g", level_name(cpu), (double)b[i], (double)a[i]);
            }
    backend_close(ref);
}

static void test_rope(void) {
    each_level(2, ropes);
}

/* Rotation by hand: one pair, a quarter turn at base^0. */
static void test_rope_by_hand(void) {
    Backend *ref = open_ref();
    float x[4] = {1, 2, 3, 4};
    backend_ops(ref)->rope(ref, x, (int32_t[]){1}, 1, 1, 4, 2, ROPE_NEOX, 10000, NULL);
    CHECK(fabs(x[0] - (cos(1) - 2 * sin(1))) < 1e-6 && fabs(x[1] - (sin(1) + 2 * cos(1))) < 1e-6);
    CHECK(x[2] == 3 && x[3] == 4);
    float y[4] = {1, 2, 3, 4};
    backend_ops(ref)->rope(ref, y, (int32_t[]){3}, 1, 1, 4, 4, ROPE_NEOX, 100, NULL);
    CHECK(fabs(y[0] - (cos(3) - 3 * sin(3))) < 1e-6); /* pairs (0, 2) and (1, 3) */
    CHECK(fabs(y[3] - (2 * sin(0.3) + 4 * cos(0.3))) < 1e-6);
    backend_close(ref);
}

static void kv_rows(Backend *cpu) {
    uint16_t rows[6 * 40], expected[6 * 40];
    float x[3 * 40];
    random_floats(x, 3 * 40);
    x[0] = 1e6f, x[41] = -1e-9f;
    memset(rows, 0x11, sizeof rows);
    memset(expected, 0x11, sizeof expected);
    static const int32_t POSITIONS[] = {4, 0, 3};
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < 40; c++)
            expected[POSITIONS[i] * 40 + c] = half_from_float(x[i * 40 + c]);
    backend_ops(cpu)->kv_write(cpu, (KvRows){rows, 40, NULL}, x, POSITIONS, 3);
    CHECK(memcmp(rows, expected, sizeof rows) == 0);
    float full[6 * 40] = {0};
    backend_ops(cpu)->kv_write(cpu, (KvRows){NULL, 40, full}, x, POSITIONS, 3);
    for (int i = 0; i < 3; i++)
        CHECK(same_bits(full + POSITIONS[i] * 40, x + i * 40, 40));
}

static void test_kv_write(void) {
    each_level(2, kv_rows);
}

static const TestCase CASES[] = {
    {"shapes", test_shapes}, {"any_order", test_any_order},       {"later_infinity", test_later_infinity},
    {"rope", test_rope},     {"rope_by_hand", test_rope_by_hand}, {"kv_write", test_kv_write}};
TEST_SUITE(KERNELS_ATTENTION_SUITE, "attention", CASES);
