#include "tests/unit/cuda_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const DType ROW_TYPES[] = {DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_F32};

/* Rotation is by sines and cosines right to 2^-22, and by float products: 2^-21 of the two values of a pair.
 * The larger of the head stands for them. */
static void check_turned(const float *out, const float *x, const double *truth, int width) {
    double most = 0;
    for (int c = 0; c < width; c++)
        most = fmax(most, fabs((double)x[c]));
    for (int c = 0; c < width; c++)
        CHECK_MSG(fabs((double)out[c] - truth[c]) <= most * 0x1p-21,
                  "value %d is %.9g, not %.9g (largest %g)", c, (double)out[c], truth[c], most);
}

/* One head, by the formula in double. */
static void turn(double *head, int position, int n_rot, RopeKind kind, float base, const float *factors) {
    for (int j = 0; j < n_rot / 2; j++) {
        double angle = position * pow((double)base, -2.0 * j / n_rot) / (factors ? (double)factors[j] : 1);
        int first = kind == ROPE_NORM ? 2 * j : j, second = kind == ROPE_NORM ? 2 * j + 1 : j + n_rot / 2;
        double a = head[first], b = head[second];
        head[first] = a * cos(angle) - b * sin(angle);
        head[second] = a * sin(angle) + b * cos(angle);
    }
}

static void check_rope(int n, int heads, int head_dim, int n_rot, RopeKind kind, float base,
                       bool has_factors) {
    static const int32_t POSITIONS[] = {0, 1, 100000, 2, 17, 4095, 262143, 1048575, 33};
    CudaQueue *queue = device_open();
    int64_t width = (int64_t)heads * head_dim;
    float *x = host_new((size_t)(n * width) * sizeof *x), factors[128];
    random_floats(x, n * width);
    for (int j = 0; j < 128; j++)
        factors[j] = 1 + (float)random_below(1000) / 100;
    float *device = device_floats(x, n * width);
    RopeArgs args = {.x = device,
                     .positions = device_put(POSITIONS, (size_t)n * sizeof *POSITIONS),
                     .n = n,
                     .heads = heads,
                     .head_dim = head_dim,
                     .n_rot = n_rot,
                     .kind = kind,
                     .base = base,
                     .factors = has_factors ? device_floats(factors, n_rot / 2) : NULL};
    CHECK(cuda_rope(queue, &args));
    device_wait();
    const float *out = device_values(device, n * width);
    for (int64_t head = 0; head < n * heads; head++) {
        double truth[256];
        for (int c = 0; c < head_dim; c++)
            truth[c] = (double)x[head * head_dim + c];
        turn(truth, POSITIONS[head / heads], n_rot, kind, base, has_factors ? factors : NULL);
        check_turned(out + head * head_dim, x + head * head_dim, truth, head_dim);
        CHECK(same_bits(out + head * head_dim + n_rot, x + head * head_dim + n_rot, head_dim - n_rot));
    }
    device_close();
}

static void test_rope(void) {
    static const int WIDTHS[][2] = {{8, 8},     {32, 32},  {64, 32},   {80, 80},
                                    {128, 128}, {192, 64}, {256, 256}, {96, 2}};
    for (int w = 0; w < 8; w++)
        for (int kind = ROPE_NORM; kind <= ROPE_NEOX; kind++)
            check_rope(w == 4 ? 9 : 1 + random_below(9), 1 + random_below(5), WIDTHS[w][0], WIDTHS[w][1],
                       (RopeKind)kind, w % 2 ? 10000 : 5e5f, random_below(2));
}

/* A device copy of rows where every byte is `fill`, then kept. */
static KvRows new_rows(DType type, int64_t values, int rows, int page_rows, uint8_t fill, size_t *bytes,
                       void **host, const int32_t **host_pages) {
    KvRows kv = {.type = type, .row_values = values, .row_bytes = kv_row_bytes(type, values)};
    int pages = page_rows > 0 ? (rows + page_rows - 1) / page_rows : 1;
    int32_t *table = host_new((size_t)pages * sizeof *table);
    *bytes = (size_t)rows * kv.row_bytes;
    *host_pages = NULL;
    if (page_rows > 0) {
        kv.page_rows = page_rows;
        kv.page_bytes = (size_t)page_rows * kv.row_bytes;
        *bytes = (size_t)pages * kv.page_bytes;
        for (int i = 0; i < pages; i++)
            table[i] = pages - 1 - i;
        kv.pages = device_put(table, (size_t)pages * sizeof *table);
        *host_pages = table;
    }
    *host = host_new(*bytes);
    memset(*host, fill, *bytes);
    kv.base = device_put(*host, *bytes);
    return kv;
}

/* The rows of the device are those that ref writes, bit by bit, and nothing else was touched. */
static void check_kv_write(DType type, int64_t values, int page_rows) {
    static const int32_t POSITIONS[] = {4, 0, 37, 5, 12};
    enum { N = 5, ROWS = 40 };
    CudaQueue *queue = device_open();
    size_t bytes;
    void *expected;
    const int32_t *pages;
    KvRows kv = new_rows(type, values, ROWS, page_rows, 0x11, &bytes, &expected, &pages), host = kv;
    float *x = host_new((size_t)(N * values) * sizeof *x);
    random_floats(x, N * values);
    for (int64_t c = 0; c < values && c < 32; c++)
        x[c] = 0; /* a block of zeros */
    for (int64_t c = 32; c < values && c < 64; c++)
        x[c] *= 1e-7f; /* a scale that is subnormal as half */
    x[values] = 1e6f, x[2 * values + 1] = -1e-9f;
    host.base = expected;
    host.pages = pages;
    Backend *ref = open_ref();
    backend_ops(ref)->kv_write(ref, host, x, POSITIONS, N);
    backend_close(ref);
    CHECK(cuda_kv_write(queue, kv, device_floats(x, N * values), device_put(POSITIONS, sizeof POSITIONS), N));
    uint8_t *out = host_new(bytes);
    device_read(out, kv.base, bytes);
    for (size_t i = 0; i < bytes; i++)
        CHECK_MSG(out[i] == ((uint8_t *)expected)[i], "type %d, %lld values, byte %zu of a row: %d, not %d",
                  type, (long long)values, i % kv.row_bytes, out[i], ((uint8_t *)expected)[i]);
    device_close();
}

static void test_kv_write(void) {
    static const int WIDTHS[] = {8, 40, 64, 128, 160, 544};
    for (int t = 0; t < 4; t++)
        for (int w = 0; w < 6; w++)
            if (ROW_TYPES[t] != DTYPE_Q8_0 || WIDTHS[w] % 32 == 0)
                check_kv_write(ROW_TYPES[t], WIDTHS[w], w % 2 ? 8 : 0);
}

typedef struct RememberCase {
    DType type;
    int n, heads, kv_heads, head_dim, value_dim, n_rot;
    RopeKind kind;
    bool has_norms;
    int page_rows;
} RememberCase;

static void norm_and_turn(double *head, const float *x, int width, const float *weight, float eps) {
    double squares = 0;
    for (int c = 0; c < width; c++)
        squares += (double)x[c] * (double)x[c];
    double factor = weight ? 1 / sqrt(squares / width + (double)eps) : 1;
    for (int c = 0; c < width; c++)
        head[c] = (double)x[c] * factor * (weight ? (double)weight[c] : 1);
}

/* q and k after the call against double; then the rows, bit by bit, against ref's writing of those very k. */
static void check_remember(RememberCase t) {
    enum { ROWS = 48 };
    CudaQueue *queue = device_open();
    int64_t widths[3] = {(int64_t)t.heads * t.head_dim, (int64_t)t.kv_heads * t.head_dim,
                         (int64_t)t.kv_heads * t.value_dim};
    float *x[3], *device[3], weights[2][256];
    for (int part = 0; part < 3; part++) {
        x[part] = host_new((size_t)(t.n * widths[part]) * sizeof(float));
        random_floats(x[part], t.n * widths[part]);
        device[part] = device_floats(x[part], t.n * widths[part]);
    }
    random_floats(weights[0], 256), random_floats(weights[1], 256);
    int32_t positions[16];
    for (int i = 0; i < t.n; i++)
        positions[i] = 21 + i;
    size_t bytes[2];
    void *expected[2];
    const int32_t *pages[2];
    KvRows keys = new_rows(t.type, widths[1], ROWS, t.page_rows, 0x22, &bytes[0], &expected[0], &pages[0]);
    KvRows values = new_rows(t.type, widths[2], ROWS, t.page_rows, 0x33, &bytes[1], &expected[1], &pages[1]);
    Remember r = {.q = device[0],
                  .k = device[1],
                  .v = device[2],
                  .q_norm = t.has_norms ? device_floats(weights[0], t.head_dim) : NULL,
                  .k_norm = t.has_norms ? device_floats(weights[1], t.head_dim) : NULL,
                  .eps = 1e-6f,
                  .keys = keys,
                  .values = values,
                  .positions = device_put(positions, sizeof positions),
                  .n = t.n,
                  .heads = t.heads,
                  .kv_heads = t.kv_heads,
                  .head_dim = t.head_dim,
                  .value_dim = t.value_dim,
                  .n_rot = t.n_rot,
                  .kind = t.kind,
                  .base = 10000};
    CHECK(cuda_remember(queue, &r));
    device_wait();
    const float *turned[2] = {device_values(device[0], t.n * widths[0]),
                              device_values(device[1], t.n * widths[1])};
    for (int part = 0; part < 2; part++) {
        int heads = part == 0 ? t.heads : t.kv_heads;
        for (int64_t head = 0; head < (int64_t)t.n * heads; head++) {
            double truth[256];
            float normed[256];
            norm_and_turn(truth, x[part] + head * t.head_dim, t.head_dim, t.has_norms ? weights[part] : NULL,
                          1e-6f);
            for (int c = 0; c < t.head_dim; c++)
                normed[c] = (float)truth[c];
            turn(truth, positions[head / heads], t.n_rot, t.kind, 10000, NULL);
            check_turned(turned[part] + head * t.head_dim, normed, truth, t.head_dim);
        }
    }
    Backend *ref = open_ref();
    KvRows host[2] = {keys, values};
    const float *written[2] = {turned[1], x[2]};
    for (int part = 0; part < 2; part++) {
        host[part].base = expected[part];
        host[part].pages = pages[part];
        backend_ops(ref)->kv_write(ref, host[part], written[part], positions, t.n);
        uint8_t *out = host_new(bytes[part]);
        device_read(out, part == 0 ? keys.base : values.base, bytes[part]);
        CHECK_MSG(memcmp(out, expected[part], bytes[part]) == 0, "type %d, heads %d/%d of %d/%d: %s differ",
                  t.type, t.heads, t.kv_heads, t.head_dim, t.value_dim, part == 0 ? "keys" : "values");
    }
    backend_close(ref);
    device_close();
}

static void test_remember(void) {
    static const int WIDTHS[][3] = {{64, 64, 64},   {128, 128, 128}, {32, 32, 16}, {96, 96, 96},
                                    {256, 256, 64}, {192, 128, 64},  {80, 80, 80}, {8, 8, 8}};
    for (int t = 0; t < 4; t++)
        for (int w = 0; w < 8; w++) {
            int kv_heads = WIDTHS[w][0] % 32 == 0 ? 1 + random_below(3) : 4;
            check_remember((RememberCase){.type = ROW_TYPES[t],
                                          .n = 1 + random_below(9),
                                          .heads = kv_heads * (1 + random_below(3)),
                                          .kv_heads = kv_heads,
                                          .head_dim = WIDTHS[w][0],
                                          .value_dim = WIDTHS[w][1],
                                          .n_rot = WIDTHS[w][2],
                                          .kind = w % 2 ? ROPE_NORM : ROPE_NEOX,
                                          .has_norms = random_below(2),
                                          .page_rows = t % 2 ? 16 : 0});
        }
}

/* Rows of a batch do not depend on each other. */
static void test_rows_alone(void) {
    CudaQueue *queue = device_open();
    enum { N = 5, WIDTH = 3 * 64 };
    float x[N * WIDTH];
    int32_t positions[N] = {7, 8, 9, 10, 11};
    random_floats(x, N * WIDTH);
    float *all = device_floats(x, N * WIDTH), *alone = device_floats(x, N * WIDTH);
    const int32_t *at = device_put(positions, sizeof positions);
    RopeArgs args = {all, at, N, 3, 64, 64, ROPE_NEOX, 10000, NULL};
    CHECK(cuda_rope(queue, &args));
    for (int i = 0; i < N; i++) {
        args = (RopeArgs){alone + i * WIDTH, at + i, 1, 3, 64, 64, ROPE_NEOX, 10000, NULL};
        CHECK(cuda_rope(queue, &args));
    }
    device_wait();
    CHECK(same_bits(device_values(all, N * WIDTH), device_values(alone, N * WIDTH), N * WIDTH));
    device_close();
}

static void test_refusals(void) {
    CudaQueue *queue = device_open();
    float *x = device_poisoned(1, 300);
    const int32_t *positions = device_put(&(int32_t){0}, sizeof(int32_t));
    RopeArgs wide = {x, positions, 1, 1, 264, 264, ROPE_NORM, 10000, NULL};
    CHECK(!cuda_rope(queue, &wide));
    KvRows kv = {.base = x, .type = DTYPE_Q8_0, .row_values = 48, .row_bytes = 64};
    CHECK(!cuda_kv_write(queue, kv, x, positions, 1));
    kv.type = DTYPE_Q4_0;
    CHECK(!cuda_kv_write(queue, kv, x, positions, 1));
    device_close();
}

static const TestCase CASES[] = {{"rope", test_rope},
                                 {"kv_write", test_kv_write},
                                 {"remember", test_remember},
                                 {"rows_alone", test_rows_alone},
                                 {"refusals", test_refusals}};
TEST_SUITE(CUDA_ROPE_SUITE, "cuda_rope", CASES);
