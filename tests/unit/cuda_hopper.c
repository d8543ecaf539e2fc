/* Attention with tensor copies and warpgroup products against sums in double. */
#include "tests/unit/cuda_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/queue_internal.h"
#include "kernels/cuda/tensor_map.h"

typedef struct Shape {
    DType type;
    int n, first; /* positions first .. first + n - 1 */
    int heads, kv_heads, head_dim, value_dim;
    int page_rows; /* 0 = rows follow one another */
    int window;
    float softcap, scale; /* scale 0 = 1 / sqrt(head_dim) */
    bool has_sinks;
} Shape;

typedef struct Case {
    Shape shape;
    float *q, *sinks;    /* host */
    KvRows keys, values; /* host; their pages on the host, too */
    Attend attend;       /* on the device */
} Case;

static float uniform(float most) {
    return (float)((double)(test_random() >> 11) * 0x1p-53 * 2 - 1) * most;
}

static uint16_t to_bits(DType type, float value) {
    return type == DTYPE_F16 ? half_from_float(value) : bf16_from_float(value);
}
static double from_bits(DType type, uint16_t bits) {
    return type == DTYPE_F16 ? half_to_float(bits) : bf16_to_float(bits);
}

static char *row_at(const KvRows *kv, int p) {
    if (!kv->pages)
        return (char *)kv->base + (size_t)p * kv->row_bytes;
    return (char *)kv->base + (size_t)kv->pages[p / kv->page_rows] * kv->page_bytes +
           (size_t)(p % kv->page_rows) * kv->row_bytes;
}
static double value_at(const KvRows *kv, int p, int column) {
    uint16_t bits;
    memcpy(&bits, row_at(kv, p) + 2 * column, 2);
    return from_bits(kv->type, bits);
}

/* Keys and values in one range, as an arena has them: pages in no order, each with keys, values and something
 * else. Infinities and NaNs stand wherever no row of the sequence does. */
static void make_rows(Case *c) {
    const Shape *s = &c->shape;
    int end = s->first + s->n, page_count = s->page_rows ? (end + s->page_rows - 1) / s->page_rows : 1;
    int begin = s->window > 0 && s->first >= s->window ? s->first - s->window + 1 : 0;
    size_t key_bytes = kv_row_bytes(s->type, (int64_t)s->kv_heads * s->head_dim);
    size_t value_bytes = kv_row_bytes(s->type, (int64_t)s->kv_heads * s->value_dim);
    size_t rows = (size_t)(s->page_rows ? s->page_rows : end),
           page_bytes = rows * (key_bytes + value_bytes) + 48;
    int arena_pages = s->page_rows ? page_count + 3 : 1;
    uint16_t *arena = host_new((size_t)arena_pages * page_bytes);
    for (size_t i = 0; i < (size_t)arena_pages * page_bytes / 2; i++)
        arena[i] = random_below(2) ? 0x7FFF : to_bits(s->type, INFINITY);
    int32_t *pages = host_new((size_t)arena_pages * sizeof *pages);
    for (int i = 0; i < arena_pages; i++)
        pages[i] = i;
    for (int i = 0; i < arena_pages; i++) {
        int other = random_below(arena_pages), page = pages[i];
        pages[i] = pages[other];
        pages[other] = page;
    }
    c->keys = (KvRows){arena,        s->type,   (int64_t)s->kv_heads * s->head_dim, key_bytes, pages,
                       s->page_rows, page_bytes};
    c->values = (KvRows){(char *)arena + rows * key_bytes,
                         s->type,
                         (int64_t)s->kv_heads * s->value_dim,
                         value_bytes,
                         pages,
                         s->page_rows,
                         page_bytes};
    if (!s->page_rows)
        c->keys.pages = c->values.pages = NULL;
    /* Before a window whole pages may be gone; rows beside the window in a page or tile are not. */
    for (int p = s->page_rows ? begin / s->page_rows * s->page_rows : 0; p < end; p++) {
        for (int i = 0; i < s->kv_heads * s->head_dim; i++)
            ((uint16_t *)row_at(&c->keys, p))[i] = to_bits(s->type, uniform(2));
        for (int i = 0; i < s->kv_heads * s->value_dim; i++)
            ((uint16_t *)row_at(&c->values, p))[i] = to_bits(s->type, uniform(2));
    }
    char *device = device_put(arena, (size_t)arena_pages * page_bytes);
    const int32_t *device_pages = device_put(pages, (size_t)page_count * sizeof *pages);
    c->attend.keys = c->keys;
    c->attend.values = c->values;
    c->attend.keys.base = device;
    c->attend.values.base = device + rows * key_bytes;
    if (s->page_rows)
        c->attend.keys.pages = c->attend.values.pages = device_pages;
}

static Case make_case(Shape s) {
    Case c = {.shape = s};
    int64_t q_count = (int64_t)s.n * s.heads * s.head_dim, out_count = (int64_t)s.n * s.heads * s.value_dim;
    int32_t *positions = host_new((size_t)s.n * sizeof *positions);
    c.q = host_new((size_t)q_count * sizeof *c.q);
    c.sinks = host_new((size_t)s.heads * sizeof *c.sinks);
    for (int64_t i = 0; i < q_count; i++)
        c.q[i] = uniform(3);
    for (int h = 0; h < s.heads; h++)
        c.sinks[h] = uniform(4);
    for (int i = 0; i < s.n; i++)
        positions[i] = s.first + i;
    make_rows(&c);
    c.attend.out = device_poisoned(1, out_count);
    c.attend.q = device_floats(c.q, q_count);
    c.attend.positions = device_put(positions, (size_t)s.n * sizeof *positions);
    c.attend.n = s.n;
    c.attend.last_position = s.first + s.n - 1;
    c.attend.heads = s.heads;
    c.attend.kv_heads = s.kv_heads;
    c.attend.head_dim = s.head_dim;
    c.attend.value_dim = s.value_dim;
    c.attend.scale = s.scale > 0 ? s.scale : 1 / sqrtf((float)s.head_dim);
    c.attend.window = s.window;
    c.attend.softcap = s.softcap;
    c.attend.sinks = s.has_sinks ? device_floats(c.sinks, s.heads) : NULL;
    return c;
}

/* One head of one token by sums in double. q is rounded to the rows' type, as the kernel's operand is.
 * Returns what the kernel may differ by: P is rounded to the type (half of the last of 11 or 8 bits), which
 * weighs on the largest value; scores are float32 sums of head_dim terms. */
static double expect_head(const Case *c, int token, int head, double *out) {
    const Shape *s = &c->shape;
    const Attend *a = &c->attend;
    int last = s->first + token, begin = s->window > 0 && last >= s->window ? last - s->window + 1 : 0;
    int kv_head = head / (s->heads / s->kv_heads);
    const float *q = c->q + ((int64_t)token * s->heads + head) * s->head_dim;
    double largest = s->has_sinks ? c->sinks[head] : -INFINITY, most_value = 0, most_score = 0;
    double *scores = malloc((size_t)(last + 1) * sizeof *scores);
    CHECK(scores != NULL);
    for (int p = begin; p <= last; p++) {
        double dot = 0, size = 0;
        for (int i = 0; i < s->head_dim; i++) {
            double term =
                from_bits(s->type, to_bits(s->type, q[i])) * value_at(&c->keys, p, kv_head * s->head_dim + i);
            dot += term;
            size += fabs(term);
        }
        scores[p] = dot * a->scale;
        if (s->softcap > 0)
            scores[p] = s->softcap * tanh(scores[p] / s->softcap);
        largest = fmax(largest, scores[p]);
        most_score = fmax(most_score, size * a->scale);
    }
    double total = s->has_sinks ? exp(c->sinks[head] - largest) : 0;
    for (int p = begin; p <= last; p++)
        total += scores[p] = exp(scores[p] - largest);
    for (int i = 0; i < s->value_dim; i++) {
        out[i] = 0;
        for (int p = begin; p <= last; p++) {
            double value = value_at(&c->values, p, kv_head * s->value_dim + i);
            out[i] += scores[p] / total * value;
            most_value = fmax(most_value, fabs(value));
        }
    }
    free(scores);
    double rounding = s->type == DTYPE_F16 ? 0x1p-11 : 0x1p-8;
    return most_value * (rounding + 1e-5 + (most_score + s->softcap) * 0x1p-20);
}

static void check_case(const Case *c) {
    const Shape *s = &c->shape;
    double *expected = host_new((size_t)s->value_dim * sizeof *expected);
    const float *out = device_result(c->attend.out, 1, (int64_t)s->n * s->heads * s->value_dim);
    for (int i = 0; i < s->n; i++)
        for (int h = 0; h < s->heads; h++) {
            double allowed = expect_head(c, i, h, expected);
            for (int v = 0; v < s->value_dim; v++) {
                double actual = out[((int64_t)i * s->heads + h) * s->value_dim + v];
                CHECK_MSG(
                    fabs(actual - expected[v]) <= allowed,
                    "type %d, %d tokens from %d, %d of %d heads, %d/%d wide, pages of %d, window %d, cap %g, "
                    "sinks %d: token %d head %d value %d is %g, expected %g, allowed %g",
                    s->type, s->n, s->first, s->heads, s->kv_heads, s->head_dim, s->value_dim, s->page_rows,
                    s->window, (double)s->softcap, s->has_sinks, i, h, v, actual, expected[v], allowed);
            }
        }
}

/* Whether the kernel took it; then it is right. */
static void run_case(Shape s) {
    CudaQueue *queue = device_open();
    if (queue_capability(queue) != 90)
        SKIP("needs compute 9.0");
    TensorMap keys, values;
    Case c = make_case(s);
    CHECK(attend_tensor_maps(&c.attend, &keys, &values));
    CHECK(cuda_attend_hopper(queue, &c.attend, &keys, &values));
    check_case(&c);
    device_close();
}

static const int HEAD_SIZES[][2] = {{64, 64}, {80, 80}, {96, 96}, {128, 128}, {192, 128}, {256, 256}};
enum { HEAD_SIZE_COUNT = sizeof HEAD_SIZES / sizeof *HEAD_SIZES };

/* Two tiles of keys and an odd number of rows: the second warpgroup has some without a token. */
static void test_head_sizes(void) {
    for (int i = 0; i < 2 * HEAD_SIZE_COUNT; i++)
        run_case((Shape){.type = i % 2 ? DTYPE_BF16 : DTYPE_F16,
                         .n = 23,
                         .first = 110 + random_below(60),
                         .heads = 4,
                         .kv_heads = 1,
                         .head_dim = HEAD_SIZES[i / 2][0],
                         .value_dim = HEAD_SIZES[i / 2][1],
                         .page_rows = 64});
}

/* One token, ends exactly at tiles, several blocks, several kv heads, groups that do not divide a tile. */
static void test_lengths(void) {
    static const int lengths[][2] = {{1, 0}, {1, 127}, {1, 128}, {9, 119}, {65, 0}, {140, 3}};
    for (int i = 0; i < (int)(sizeof lengths / sizeof *lengths); i++)
        run_case((Shape){.type = DTYPE_F16,
                         .n = lengths[i][0],
                         .first = lengths[i][1],
                         .heads = i % 2 ? 6 : 2,
                         .kv_heads = 2,
                         .head_dim = i % 2 ? 64 : 128,
                         .value_dim = i % 2 ? 64 : 128,
                         .page_rows = 128});
}

/* Smaller than a tile, as large, larger, none. */
static void test_pages(void) {
    static const int page_rows[] = {16, 32, 64, 128, 256, 0};
    for (int i = 0; i < (int)(sizeof page_rows / sizeof *page_rows); i++)
        run_case((Shape){.type = DTYPE_BF16,
                         .n = 10,
                         .first = 290 + random_below(120),
                         .heads = 2,
                         .kv_heads = 2,
                         .head_dim = 64,
                         .value_dim = 64,
                         .page_rows = page_rows[i]});
}

/* Windows that begin in the first tile of a block, skip tiles, and are shorter than a tile. */
static void test_windows(void) {
    static const int windows[] = {1, 30, 128, 129, 300};
    for (int i = 0; i < (int)(sizeof windows / sizeof *windows); i++)
        run_case((Shape){.type = i % 2 ? DTYPE_BF16 : DTYPE_F16,
                         .n = 37,
                         .first = 260 + random_below(130),
                         .heads = 6,
                         .kv_heads = 2,
                         .head_dim = i == 4 ? 256 : 128,
                         .value_dim = i == 4 ? 256 : 128,
                         .page_rows = 64,
                         .window = windows[i],
                         .has_sinks = i % 2});
}

/* Tile 1 of the keys is before the window of some rows of a warpgroup only, and before the diagonal of all.
 */
static void test_window_edge(void) {
    run_case((Shape){.type = DTYPE_F16,
                     .n = 64,
                     .first = 256,
                     .heads = 2,
                     .kv_heads = 2,
                     .head_dim = 64,
                     .value_dim = 64,
                     .page_rows = 64,
                     .window = 130});
}

/* Caps that bend and caps that hardly do, sinks above and below the scores, scores of hundreds. */
static void test_caps_and_sinks(void) {
    for (int i = 0; i < 6; i++)
        run_case((Shape){.type = i % 3 ? DTYPE_F16 : DTYPE_BF16,
                         .n = 17,
                         .first = 100 + random_below(60),
                         .heads = 3,
                         .kv_heads = 1,
                         .head_dim = i % 2 ? 64 : 128,
                         .value_dim = i % 2 ? 64 : 128,
                         .page_rows = 64,
                         .window = i == 5 ? 50 : 0,
                         .softcap = i % 3 == 0   ? 5
                                    : i % 3 == 1 ? 50
                                                 : 0,
                         .scale = i >= 3 ? 1.5f : 0,
                         .has_sinks = i % 2 == 0});
}

/* The same bits whatever the order in which warps come to run. */
static void test_same_bits(void) {
    CudaQueue *queue = device_open();
    if (queue_capability(queue) != 90)
        SKIP("needs compute 9.0");
    TensorMap keys, values;
    Case c = make_case((Shape){DTYPE_F16, 40, 150, 4, 2, 128, 128, 64, 0, 0, 0, true});
    int64_t count = (int64_t)40 * 4 * 128;
    CHECK(attend_tensor_maps(&c.attend, &keys, &values));
    float *outs[2];
    for (int i = 0; i < 2; i++) {
        outs[i] = device_poisoned(1, count);
        c.attend.out = outs[i];
        CHECK(cuda_attend_hopper(queue, &c.attend, &keys, &values));
    }
    const float *first = device_result(outs[0], 1, count), *second = device_result(outs[1], 1, count);
    CHECK(same_bits(first, second, count));
    device_close();
}

static bool is_taken(CudaQueue *queue, const Attend *attend) {
    TensorMap keys, values;
    return attend_tensor_maps(attend, &keys, &values) && cuda_attend_hopper(queue, attend, &keys, &values);
}

/* What it has no kernel for is left to another. */
static void test_refusals(void) {
    CudaQueue *queue = device_open();
    if (queue_capability(queue) != 90)
        SKIP("needs compute 9.0");
    Case c = make_case((Shape){DTYPE_F16, 3, 5, 2, 1, 64, 64, 64, 0, 0, 0, false});
    Attend attend = c.attend;
    CHECK(is_taken(queue, &attend));
    attend.keys.type = attend.values.type = DTYPE_Q8_0;
    CHECK(!is_taken(queue, &attend));
    attend = c.attend;
    attend.keys.type = DTYPE_BF16;
    CHECK(!is_taken(queue, &attend));
    attend = c.attend;
    attend.head_dim = attend.value_dim = 32;
    CHECK(!is_taken(queue, &attend));
    attend = c.attend;
    attend.keys.page_rows = attend.values.page_rows = 24;
    CHECK(!is_taken(queue, &attend));
    attend = c.attend;
    attend.keys.page_bytes += 8;
    CHECK(!is_taken(queue, &attend));
    attend = c.attend;
    attend.keys.base = (char *)attend.keys.base + 8;
    CHECK(!is_taken(queue, &attend));
    attend = c.attend;
    attend.scale = -1;
    CHECK(!is_taken(queue, &attend));
    device_close();
}

static const TestCase CASES[] = {
    {"head sizes", test_head_sizes},
    {"lengths", test_lengths},
    {"pages", test_pages},
    {"windows", test_windows},
    {"window edge", test_window_edge},
    {"caps and sinks", test_caps_and_sinks},
    {"same bits", test_same_bits},
    {"refusals", test_refusals},
};
TEST_SUITE(CUDA_HOPPER_SUITE, "hopper", CASES);
