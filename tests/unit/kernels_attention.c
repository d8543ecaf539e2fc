#include "tests/unit/kernels_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Attention {
    Attend attend; /* without out */
    int capacity;
    int32_t *positions;
    float *q, *sinks;
} Attention;

/* What one random case may ask for beyond plain attention. */
typedef struct Extras {
    int value_dim; /* 0 = as wide as the keys */
    int window;
    float softcap;
    bool has_sinks;
} Extras;

static void store_kv(const KvRows *kv, int position, int64_t column, float value) {
    char *at = kv_row(kv, position) + column * (kv->type == DTYPE_F32 ? 4 : 2);
    uint16_t half = half_from_float(value);
    memcpy(at, kv->type == DTYPE_F32 ? (void *)&value : (void *)&half, kv->type == DTYPE_F32 ? 4 : 2);
}

static double load_kv(const KvRows *kv, int position, int64_t column) {
    const char *at = kv_row(kv, position) + column * (kv->type == DTYPE_F32 ? 4 : 2);
    float value;
    uint16_t half;
    memcpy(&value, at, kv->type == DTYPE_F32 ? sizeof value : 0);
    memcpy(&half, at, sizeof half);
    return kv->type == DTYPE_F32 ? value : half_to_float(half);
}

/* Everything before `begin` and from row `end` on is a NaN that must never be looked at. */
static KvRows random_rows(int count, int64_t width, int begin, int end, DType type) {
    KvRows kv = {.type = type, .row_values = width, .row_bytes = kv_row_bytes(type, width)};
    kv.base = malloc((size_t)count * kv.row_bytes);
    CHECK(kv.base != NULL);
    for (int p = 0; p < count; p++)
        for (int64_t c = 0; c < width; c++)
            store_kv(&kv, p, c, p < begin || p >= end ? NAN : random_float() / 2);
    return kv;
}

/* Positions are `first` and up. */
static Attention random_attention(int n, int first, int heads, int kv_heads, int head_dim, Extras extras) {
    DType type = random_below(3) == 0 ? DTYPE_F32 : DTYPE_F16;
    int value_dim = extras.value_dim ? extras.value_dim : head_dim, end = first + n;
    int begin = extras.window > 0 && first >= extras.window ? first - extras.window + 1 : 0;
    Attention a = {.capacity = end + 3};
    a.positions = malloc((size_t)n * sizeof *a.positions);
    a.q = malloc((size_t)n * (size_t)heads * (size_t)head_dim * sizeof *a.q);
    a.sinks = malloc((size_t)heads * sizeof *a.sinks);
    CHECK(a.positions && a.q && a.sinks);
    random_floats(a.q, (int64_t)n * heads * head_dim);
    random_floats(a.sinks, heads);
    a.attend = (Attend){.q = a.q,
                        .keys = random_rows(a.capacity, (int64_t)kv_heads * head_dim, begin, end, type),
                        .values = random_rows(a.capacity, (int64_t)kv_heads * value_dim, begin, end,
                                              random_below(4) == 0 ? DTYPE_F32 : type),
                        .positions = a.positions,
                        .n = n,
                        .last_position = end - 1,
                        .heads = heads,
                        .kv_heads = kv_heads,
                        .head_dim = head_dim,
                        .value_dim = value_dim,
                        .scale = 1 / sqrtf((float)head_dim),
                        .window = extras.window,
                        .softcap = extras.softcap,
                        .sinks = extras.has_sinks ? a.sinks : NULL};
    for (int i = 0; i < n; i++)
        a.positions[i] = first + i;
    return a;
}

static void free_attention(Attention *a) {
    free(a->positions), free(a->q), free(a->sinks), free(a->attend.keys.base), free(a->attend.values.base);
}

/* Rows first .. first + n - 1, to their place in out. */
static void attend(Backend *backend, const Attention *a, float *out, int first, int n) {
    Attend part = a->attend;
    part.q += (int64_t)first * part.heads * part.head_dim;
    part.out = out + (int64_t)first * part.heads * part.value_dim;
    part.positions += first;
    part.n = n;
    part.last_position = part.positions[n - 1];
    backend_ops(backend)->attend(backend, &part);
}

/* What rounding may change in one head of one token: weights by the error of scores, which grows with their
 * terms; a cap lets a score err by what tanh rounds in addition. */
static double allowed_error(const Attend *a, int token, int head) {
    double most_score = 0, most_value = 0;
    const float *q = a->q + ((int64_t)token * a->heads + head) * a->head_dim;
    int kv_head = head / (a->heads / a->kv_heads), last = a->positions[token];
    int begin = a->window > 0 && last >= a->window ? last - a->window + 1 : 0;
    for (int p = begin; p <= last; p++) {
        double size = 0;
        for (int c = 0; c < a->head_dim; c++)
            size += fabs(q[c] * load_kv(&a->keys, p, (int64_t)kv_head * a->head_dim + c));
        for (int c = 0; c < a->value_dim; c++)
            most_value = fmax(most_value, fabs(load_kv(&a->values, p, (int64_t)kv_head * a->value_dim + c)));
        most_score = fmax(most_score, size * a->scale);
    }
    return most_value * (1e-5 + (most_score + a->softcap) * 0x1p-22 * 8);
}

static void check_close(const Backend *cpu, const Attend *a, const float *out, const float *truth) {
    for (int i = 0; i < a->n; i++)
        for (int h = 0; h < a->heads; h++) {
            double allowed = allowed_error(a, i, h);
            for (int c = 0; c < a->value_dim; c++) {
                int64_t at = ((int64_t)i * a->heads + h) * a->value_dim + c;
                CHECK_MSG(fabs((double)out[at] - truth[at]) <= allowed,
                          "%s: position %d, head %d of %d (%d for keys), value %d of %d, window %d, cap %g "
                          "is %g, ref %g, allowed %g",
                          level_name(cpu), a->positions[i], h, a->heads, a->kv_heads, c, a->value_dim,
                          a->window, (double)a->softcap, (double)out[at], (double)truth[at], allowed);
            }
        }
}

static void check_extras(Backend *cpu, int n, int first, int heads, int kv_heads, int head_dim,
                         Extras extras) {
    Backend *ref = open_ref();
    Attention a = random_attention(n, first, heads, kv_heads, head_dim, extras);
    int64_t count = (int64_t)n * heads * a.attend.value_dim;
    float *truth = poisoned(1, count), *out = poisoned(1, count), *single = poisoned(1, count);
    attend(ref, &a, truth, 0, n);
    attend(cpu, &a, out, 0, n);
    CHECK(is_clean(truth, 1, count) && is_clean(out, 1, count));
    check_close(cpu, &a.attend, out, truth);
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

static void check_attention(Backend *cpu, int n, int first, int heads, int kv_heads, int head_dim) {
    check_extras(cpu, n, first, heads, kv_heads, head_dim, (Extras){0});
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

/* Windows shorter than a block of keys, as long as one, longer; ends of windows at, before and after the ends
 * of blocks; with caps, sinks and values of another width. NaNs lie before the first window. */
static void extras(Backend *cpu) {
    static const int WINDOWS[] = {1, 5, 63, 64, 65, 100, 128, 1000};
    for (int i = 0; i < 8; i++)
        check_extras(cpu, 1 + random_below(9), 50 + random_below(150), 4, 2, 64,
                     (Extras){.window = WINDOWS[i]});
    check_extras(cpu, 70, 0, 2, 1, 32, (Extras){.window = 16});
    check_extras(cpu, 9, 120, 6, 3, 80, (Extras){.softcap = 3});
    check_extras(cpu, 5, 60, 8, 2, 64, (Extras){.softcap = 50, .window = 40});
    check_extras(cpu, 7, 60, 8, 2, 64, (Extras){.has_sinks = true});
    check_extras(cpu, 7, 130, 8, 1, 48, (Extras){.has_sinks = true, .window = 70});
    check_extras(cpu, 6, 64, 4, 4, 192, (Extras){.value_dim = 128});
    check_extras(cpu, 6, 30, 4, 2, 20,
                 (Extras){.value_dim = 44, .window = 7, .softcap = 10, .has_sinks = true});
}

static void test_extras(void) {
    each_level(1, extras);
    each_level(3, extras);
}

/* A value of infinity at a later position, or before the window, must not reach the tokens that do not see
 * it. */
static void unseen_infinity(Backend *cpu) {
    Attention a = random_attention(6, 10, 2, 1, 64, (Extras){.window = 3});
    for (int c = 0; c < 64; c++)
        store_kv(&a.attend.values, 13, c, INFINITY);
    float out[6 * 128];
    attend(cpu, &a, out, 0, 6);
    for (int i = 0; i < 6 * 128; i++) /* position 13 is seen by rows 3 to 5 only */
        CHECK(i < 3 * 128 ? isfinite(out[i]) : !isfinite(out[i]));
    a.attend.window = 2;
    attend(cpu, &a, out, 0, 6);
    for (int i = 5 * 128; i < 6 * 128; i++)
        CHECK(isfinite(out[i]));
    free_attention(&a);
}

static void test_unseen_infinity(void) {
    each_level(1, unseen_infinity);
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

/* Attention by hand: two keys, one query; then with a cap, a window, a sink. */
static void test_attend_by_hand(void) {
    Backend *ref = open_ref();
    float keys[2][4] = {{1, 0, 0, 0}, {3, 0, 0, 0}}, values[2][4] = {{10, 1, 0, 0}, {20, 2, 0, 0}};
    float q[1] = {1}, out[2], sink = 2;
    int32_t position = 1;
    KvRows k = {.base = keys, .type = DTYPE_F32, .row_values = 1, .row_bytes = 16}, v = k;
    v.base = values, v.row_values = 2;
    Attend a = {
        .out = out, .q = q, .keys = k, .values = v, .positions = &position, .n = 1, .last_position = 1};
    a.heads = a.kv_heads = a.head_dim = 1, a.value_dim = 2, a.scale = 0.5f;
    backend_ops(ref)->attend(ref, &a);
    double w = 1 / (1 + exp(-1)); /* of the second key: scores 0.5 and 1.5 */
    CHECK(fabs(out[0] - (10 + 10 * w)) < 1e-5 && fabs(out[1] - (1 + w)) < 1e-6);
    a.softcap = 1;
    backend_ops(ref)->attend(ref, &a);
    w = 1 / (1 + exp(tanh(0.5) - tanh(1.5)));
    CHECK(fabs(out[0] - (10 + 10 * w)) < 1e-5);
    a.softcap = 0, a.sinks = &sink;
    backend_ops(ref)->attend(ref, &a);
    CHECK(fabs(out[1] - (exp(0.5) + 2 * exp(1.5)) / (exp(0.5) + exp(1.5) + exp(2))) < 1e-6);
    a.sinks = NULL, a.window = 1;
    backend_ops(ref)->attend(ref, &a);
    CHECK(out[0] == 20 && out[1] == 2);
    backend_close(ref);
}

/* What a row keeps of its values. */
static void round_row(DType type, const float *x, float *out) {
    for (int c = 0; c < 64; c++) {
        float largest = 0;
        for (int j = c / 32 * 32; j < c / 32 * 32 + 32; j++)
            largest = fmaxf(largest, fabsf(x[j]));
        float d = largest / 127;
        float eighth = half_to_float(half_from_float(d)) * (float)(d > 0 ? lrintf(x[c] * (1 / d)) : 0);
        out[c] = type == DTYPE_F16    ? half_to_float(half_from_float(x[c]))
                 : type == DTYPE_BF16 ? bf16_to_float(bf16_from_float(x[c]))
                 : type == DTYPE_Q8_0 ? eighth
                                      : x[c];
    }
}

/* Each type that ref takes, in pages out of order, against the same numbers as plain floats in a row. */
static void test_ref_pages(void) {
    enum { WIDTH = 64, N = 23, PAGE = 4, PAGES = 6 };
    static const DType KV_TYPES[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0};
    static const int32_t TABLE[PAGES] = {5, 0, 3, 1, 4, 2};
    Backend *ref = open_ref();
    for (int t = 0; t < 4; t++) {
        KvRows kv = {.type = KV_TYPES[t], .row_values = WIDTH, .row_bytes = kv_row_bytes(KV_TYPES[t], WIDTH)};
        size_t page_bytes = PAGE * kv.row_bytes + 48;
        kv.pages = TABLE, kv.page_rows = PAGE, kv.page_bytes = page_bytes;
        char space[PAGES * (PAGE * WIDTH * 4 + 48)];
        memset(space, 0xFF, sizeof space);
        kv.base = space;
        float x[N * WIDTH], rounded[N * WIDTH], out[WIDTH], truth[WIDTH], q[WIDTH];
        int32_t positions[N];
        random_floats(x, N * WIDTH);
        random_floats(q, WIDTH);
        for (int i = 0; i < N; i++)
            positions[i] = i;
        backend_ops(ref)->kv_write(ref, kv, x, positions, N);
        for (int i = 0; i < N; i++)
            round_row(KV_TYPES[t], x + i * WIDTH, rounded + i * WIDTH);
        KvRows plain = {.base = rounded, .type = DTYPE_F32, .row_values = WIDTH, .row_bytes = WIDTH * 4};
        int32_t last = N - 1;
        Attend a = {.out = out, .q = q, .keys = kv, .values = kv, .positions = &last, .n = 1};
        a.last_position = last, a.heads = a.kv_heads = 2, a.head_dim = a.value_dim = WIDTH / 2,
        a.scale = 0.2f;
        backend_ops(ref)->attend(ref, &a);
        a.keys = a.values = plain, a.out = truth;
        backend_ops(ref)->attend(ref, &a);
        CHECK_MSG(same_bits(out, truth, WIDTH), "pages of %s", dtype_info((uint32_t)KV_TYPES[t])->name);
    }
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
    KvRows kv = {.base = rows, .type = DTYPE_F16, .row_values = 40, .row_bytes = kv_row_bytes(DTYPE_F16, 40)};
    backend_ops(cpu)->kv_write(cpu, kv, x, POSITIONS, 3);
    CHECK(memcmp(rows, expected, sizeof rows) == 0);
    float full[6 * 40] = {0};
    kv.base = full, kv.type = DTYPE_F32, kv.row_bytes = kv_row_bytes(DTYPE_F32, 40);
    backend_ops(cpu)->kv_write(cpu, kv, x, POSITIONS, 3);
    for (int i = 0; i < 3; i++)
        CHECK(same_bits(full + POSITIONS[i] * 40, x + i * 40, 40));
}

static void test_kv_write(void) {
    each_level(2, kv_rows);
    CHECK_INT(kv_row_bytes(DTYPE_F16, 36), 80); /* a multiple of 16 */
    CHECK_INT(kv_row_bytes(DTYPE_F32, 3), 16);
    CHECK_INT(kv_row_bytes(DTYPE_BF16, 128), 256);
    CHECK_INT(kv_row_bytes(DTYPE_Q8_0, 64), 80); /* 64 bytes, two scales, rounded up */
    CHECK_INT(kv_row_bytes(DTYPE_Q8_0, 40), 0);
    CHECK_INT(kv_row_bytes(DTYPE_Q4_0, 64), 0);
}

static const TestCase CASES[] = {{"shapes", test_shapes},
                                 {"extras", test_extras},
                                 {"unseen_infinity", test_unseen_infinity},
                                 {"attend_by_hand", test_attend_by_hand},
                                 {"ref_pages", test_ref_pages},
                                 {"rope", test_rope},
                                 {"rope_by_hand", test_rope_by_hand},
                                 {"kv_write", test_kv_write}};
TEST_SUITE(KERNELS_ATTENTION_SUITE, "attention", CASES);
