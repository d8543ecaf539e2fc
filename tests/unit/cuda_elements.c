/* embed.cu, norm.cu, elements.cu against loops in double over what the inputs stand for. Small shapes: each
 * thread is emulated. */
#include <math.h>
#include <string.h>

#include "tests/unit/cuda_support.h"

static bool is_k(DType type) {
    return type == DTYPE_Q4_K || type == DTYPE_Q5_K;
}

/* scale * q - min may be one fused operation: two roundings of the larger term at most, and the terms are as
 * large as the largest value of the block unless they cancel throughout it. Everything else is exact. */
static void check_embedded(DType type, const float *out, const float *truth, int64_t cols) {
    for (int64_t c = 0; c < cols; c++) {
        float largest = 0;
        for (int64_t k = c / 256 * 256; is_k(type) && k < c / 256 * 256 + 256; k++)
            largest = fmaxf(largest, fabsf(truth[k]));
        CHECK_MSG(fabsf(out[c] - truth[c]) <= 0x1p-20f * largest, "%s, column %lld of %lld: %g, not %g",
                  dtype_name(type), (long long)c, (long long)cols, (double)out[c], (double)truth[c]);
    }
}

static void check_embed(DType type, int64_t cols, int n) {
    CudaQueue *queue = device_open();
    Weights table = weights_random(type, 7, cols);
    int32_t ids[9];
    for (int i = 0; i < n; i++)
        ids[i] = random_below(7);
    EmbedArgs args = {table.device, device_put(ids, (size_t)n * sizeof *ids), device_poisoned(1, n * cols),
                      n};
    CHECK(cuda_embed(queue, &args));
    const float *out = device_result(args.out, 1, n * cols);
    for (int i = 0; i < n; i++)
        check_embedded(type, out + i * cols, table.values + ids[i] * cols, cols);
    device_close();
}

static void test_embed(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        DType type = WEIGHT_TYPES[t];
        int64_t block = dtype_info((uint32_t)type)->block_values;
        check_embed(type, block == 1 ? 1 + random_below(40) : block, 1);
        check_embed(type, block == 1 ? 1024 + 8 + random_below(9) : 5 * block, 9);
    }
}

static void fill(float *x, int64_t count, int kind) {
    for (int64_t i = 0; i < count; i++)
        x[i] = kind == 0   ? 0
               : kind == 1 ? random_float() * 1e15f
               : kind == 2 ? random_float() * 1e-18f
                           : random_float();
}

/* The sum of the squares is off by at most 2^-24 for each addition in a row (64 in a lane, 10 between lanes,
 * 32 warps, in practice a tenth), its root by half of that; 3 roundings follow. */
static void check_norm(int64_t rows, int64_t d, int kind, bool rounded, bool shifted) {
    CudaQueue *queue = device_open();
    int64_t count = rows * d;
    float *x = host_new((size_t)(count + 1) * sizeof *x), *weight = host_new((size_t)d * sizeof *weight);
    fill(x, count + 1, kind);
    random_floats(weight, d);
    float *out = device_poisoned(1, count), *truth = host_new((size_t)d * sizeof *truth);
    NormArgs args = {.out = out,
                     .x = device_floats(x, count + 1) + shifted,
                     .weight = device_floats(weight, d),
                     .rows = rows,
                     .d = d,
                     .eps = 1e-6f};
    size_t blocks = (size_t)(count / 32);
    if (rounded)
        args.q8 = (Q8Rows){device_new((size_t)count), device_new(blocks * 2 * sizeof(float)), d};
    CHECK(cuda_rms_norm(queue, &args));
    const float *result = device_result(out, 1, count);
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;
        const float *row = x + shifted + r * d;
        for (int64_t c = 0; c < d; c++)
            sum += (double)row[c] * row[c];
        double factor = 1 / sqrt(sum / (double)d + (double)1e-6f);
        for (int64_t c = 0; c < d; c++) {
            truth[c] = (float)(row[c] * factor * weight[c]);
            CHECK_MSG(fabs(result[r * d + c] - truth[c]) <= 2e-6 * fabs((double)truth[c]) + 1e-37,
                      "width %lld, row %lld: %g, not %g", (long long)d, (long long)r,
                      (double)result[r * d + c], (double)truth[c]);
        }
    }
    if (rounded) {
        Activations expected = activations_from(result, rows, d);
        int8_t *q = host_new((size_t)count);
        device_read(q, args.q8.q, (size_t)count);
        CHECK(memcmp(q, expected.q, (size_t)count) == 0);
        CHECK(same_bits(device_values(args.q8.scale, (int64_t)blocks * 2), expected.scale,
                        (int64_t)blocks * 2));
    }
    device_close();
}

static void test_norms(void) {
    static const int WIDTHS[] = {1, 31, 64, 80, 128, 129, 192, 256, 257, 300, 1024, 4097, 4100};
    for (int w = 0; w < 13; w++) {
        check_norm(1 + random_below(10), WIDTHS[w], 3, false, false);
        check_norm(1 + random_below(3), WIDTHS[w], random_below(4), false, true);
    }
}

static void test_norms_rounded(void) {
    static const int WIDTHS[] = {32, 64, 128, 160, 256, 288, 1024, 4096, 4128, 8224};
    for (int w = 0; w < 10; w++) {
        check_norm(1 + random_below(3), WIDTHS[w], 3, true, false);
        check_norm(1, WIDTHS[w], random_below(3), true, random_below(2));
    }
}

/* A row has the same bits wherever it stands, and in place. */
static void test_norm_rows(void) {
    enum { ROWS = 9 };
    static const int WIDTHS[] = {64, 200, 260, 1500};
    for (int w = 0; w < 4; w++) {
        int64_t d = WIDTHS[w];
        CudaQueue *queue = device_open();
        float *x = host_new((size_t)(ROWS * d) * sizeof *x), *weight = host_new((size_t)d * sizeof *weight);
        random_floats(x, ROWS * d);
        random_floats(weight, d);
        float *all = device_floats(x, ROWS * d), *one = device_floats(x, ROWS * d);
        NormArgs args = {.out = all, .x = all, .weight = device_floats(weight, d), .rows = ROWS, .d = d};
        CHECK(cuda_rms_norm(queue, &args));
        args.rows = 1;
        for (int r = 0; r < ROWS; r++) {
            args.x = args.out = one + r * d;
            CHECK(cuda_rms_norm(queue, &args));
        }
        CHECK(same_bits(device_values(all, ROWS * d), device_values(one, ROWS * d), ROWS * d));
        device_close();
    }
}

/* e^-g of a float has the relative error 2^-24 |g| of its argument and 2^-23 of its own; three operations. */
static void check_gates(int64_t count, int shift) {
    CudaQueue *queue = device_open();
    float *gate = host_new((size_t)(count + 1) * 4), *up = host_new((size_t)(count + 1) * 4);
    random_floats(gate, count + 1);
    random_floats(up, count + 1);
    const float *device_gate = device_floats(gate, count + 1) + shift,
                *device_up = device_floats(up, count + 1);
    float *out = device_poisoned(1, count), *sum = device_floats(gate, count + 1);
    CHECK(cuda_swiglu(queue, out, device_gate, device_up, count));
    CHECK(cuda_add(queue, sum + shift, device_up, count));
    const float *result = device_result(out, 1, count), *sums = device_values(sum, count + 1);
    for (int64_t i = 0; i < count; i++) {
        double g = gate[i + shift], truth = g / (1 + exp(-g)) * up[i];
        CHECK_MSG(fabs(result[i] - truth) <= (5e-7 + 1e-7 * fabs(g)) * fabs(truth) + 1e-35,
                  "gate %g up %g: %g, not %g", g, (double)up[i], (double)result[i], truth);
        CHECK(sums[i + shift] == gate[i + shift] + up[i]);
    }
    CHECK(shift ? sums[0] == gate[0] : sums[count] == gate[count]);
    device_close();
}

static void test_gates(void) {
    static const int COUNTS[] = {1, 3, 4, 5, 127, 1024, 1025, 3000};
    for (int c = 0; c < 8; c++) {
        check_gates(COUNTS[c], 0);
        check_gates(COUNTS[c], 1);
    }
}

/* Blocks of zeros, of tiny and of huge values, one value alone; rows apart by more than they need. */
static void check_quantize(int n, int64_t cols, int64_t stride) {
    CudaQueue *queue = device_open();
    float *x = host_new((size_t)(n * cols) * sizeof *x), *apart = host_new((size_t)(n * stride) * sizeof *x);
    random_floats(apart, n * stride);
    for (int i = 0; i < n; i++) {
        for (int64_t c = 0; c < cols; c += 32)
            fill(x + i * cols + c, 32, random_below(6));
        memcpy(apart + i * stride, x + i * cols, (size_t)cols * sizeof *x);
    }
    Activations expected = activations_from(x, n, cols);
    size_t values = (size_t)(n * cols), scales = values / 32 * 2;
    Q8Rows out = {device_new(values), device_poisoned(1, (int64_t)scales), cols};
    CHECK(cuda_quantize(queue, out, device_floats(apart, n * stride), stride, n));
    int8_t *q = host_new(values);
    device_read(q, out.q, values);
    CHECK(memcmp(q, expected.q, values) == 0);
    CHECK(same_bits(device_result(out.scale, 1, (int64_t)scales), expected.scale, (int64_t)scales));
    device_close();
}

static void test_quantize(void) {
    check_quantize(1, 32, 32);
    check_quantize(3, 96, 100);
    check_quantize(2, 1056, 1057);
    check_quantize(9, 256, 256);
}

static void check_half(DType type, int n, int64_t cols, int64_t stride) {
    CudaQueue *queue = device_open();
    float *x = host_new((size_t)(n * stride) * sizeof *x);
    random_floats(x, n * stride);
    x[0] = 1e30f; /* infinite as a half */
    int64_t out_stride = layout_round16(2 * cols) / 2;
    size_t bytes = (size_t)(n * out_stride) * 2;
    uint16_t *out = device_new(bytes), *result = host_new(bytes);
    CHECK(cuda_to_half(queue, out, type, device_floats(x, n * stride), stride, cols, n));
    device_read(result, out, bytes);
    for (int i = 0; i < n; i++) {
        for (int64_t c = 0; c < out_stride; c++) {
            float value = c < cols ? x[i * stride + c] : 0;
            CHECK_INT(result[i * out_stride + c],
                      type == DTYPE_F16 ? half_from_float(value) : bf16_from_float(value));
        }
    }
    device_close();
}

static void test_halves(void) {
    static const DType TYPES_16[] = {DTYPE_F16, DTYPE_BF16};
    for (int t = 0; t < 2; t++) {
        check_half(TYPES_16[t], 1, 1, 1);
        check_half(TYPES_16[t], 3, 64, 64);
        check_half(TYPES_16[t], 2, 2051, 2053);
        check_half(TYPES_16[t], 2, 13, 16);
    }
}

static void test_refused(void) {
    CudaQueue *queue = device_open();
    float *x = device_poisoned(1, 32);
    EmbedArgs embed = {{.data = x, .type = (DType)77, .rows = 1, .cols = 32}, NULL, x, 1};
    NormArgs norm = {.out = x, .x = x, .weight = x, .rows = 1, .d = 16385};
    CHECK(!cuda_embed(queue, &embed));
    CHECK(!cuda_rms_norm(queue, &norm));
    CHECK(!cuda_quantize(queue, (Q8Rows){(int8_t *)x, x, 31}, x, 31, 1));
    CHECK(!cuda_to_half(queue, x, DTYPE_F32, x, 32, 32, 1));
    device_close();
}

static const TestCase CASES[] = {
    {"embedding rows of every type", test_embed},
    {"norms of heads and of rows", test_norms},
    {"norms rounded to 8 bits", test_norms_rounded},
    {"a norm's row does not depend on the others", test_norm_rows},
    {"gates and sums", test_gates},
    {"rounding to 8 bits", test_quantize},
    {"rounding to halves", test_halves},
    {"what has no kernel is refused", test_refused},
};
TEST_SUITE(CUDA_ELEMENTS_SUITE, "elements", CASES);
