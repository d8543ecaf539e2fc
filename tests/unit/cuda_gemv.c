/* Products of 1 to 8 activation rows with weights of every type, against sums in double over the values that
 * the weights and the rounded activations stand for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cuda_support.h"

typedef bool (*Launcher)(CudaQueue *queue, const GemvArgs *args);

static Launcher launcher_of(DType type) {
    return layout_is_planar(type) ? cuda_gemv_quant : cuda_gemv_float;
}

static const float *seen_values(DType type, Activations x) {
    return layout_is_planar(type) ? x.values : x.x;
}

static GemvArgs args_of(Activations x) {
    GemvArgs args = {.x = x.device_x, .x_stride = x.cols, .q8 = x.device, .n = (int)x.n};
    return args;
}

/* What Q4_0, Q4_K and Q5_K subtract from each value is that of a block with zero quants. */
static void less_of(DType type, const uint8_t *gguf, int64_t cols, float *out) {
    static const struct {
        DType type;
        int block, from;
    } QUANTS[] = {{DTYPE_Q4_0, 18, 2}, {DTYPE_Q4_K, 144, 16}, {DTYPE_Q5_K, 176, 16}};
    memset(out, 0, (size_t)cols * sizeof *out);
    for (size_t t = 0; t < sizeof QUANTS / sizeof *QUANTS; t++) {
        if (QUANTS[t].type != type)
            continue;
        size_t bytes = gguf_row_bytes(type, cols), block = (size_t)QUANTS[t].block,
               from = (size_t)QUANTS[t].from;
        uint8_t *zeroed = malloc(bytes);
        CHECK(zeroed != NULL);
        memcpy(zeroed, gguf, bytes);
        for (size_t at = 0; at < bytes; at += block)
            memset(zeroed + at + from, 0, block - from);
        gguf_to_floats(type, zeroed, cols, out);
        free(zeroed);
    }
}

typedef struct Truth {
    double *sum, *bound; /* [n, rows] */
} Truth;

/* Bound: a lane adds at most cols / 32 + 8 terms one after the other (a chunk of 8 values each 256, or four
 * sums each 512 and more), 5 additions join the lanes and 3 the warps, and a scale or a sum of a block is
 * rounded up to 4 times before that: each by 2^-24 of the terms' magnitudes, in which what is subtracted
 * counts twice as the quants are that much larger. Results below the normal range: 2^-149 a term. */
static Truth truth_of(Weights w, Activations x) {
    Truth truth = {host_new((size_t)(x.n * w.rows) * sizeof(double)),
                   host_new((size_t)(x.n * w.rows) * sizeof(double))};
    const float *seen = seen_values(w.type, x);
    float *less = host_new((size_t)w.cols * sizeof *less);
    for (int64_t r = 0; r < w.rows; r++) {
        less_of(w.type, w.gguf + (size_t)r * w.gguf_row_bytes, w.cols, less);
        for (int64_t i = 0; i < x.n; i++) {
            double sum = 0, magnitude = 0;
            for (int64_t c = 0; c < w.cols; c++) {
                double weight = w.values[r * w.cols + c], value = seen[i * w.cols + c];
                sum += weight * value;
                magnitude += (fabs(weight) + 2 * fabs((double)less[c])) * fabs(value);
            }
            double terms = (double)w.cols / 32 + 20;
            truth.sum[i * w.rows + r] = sum;
            truth.bound[i * w.rows + r] = terms * 0x1p-24 * magnitude + (double)w.cols * 0x1p-149;
        }
    }
    return truth;
}

static void check_near(const char *what, DType type, const float *out, Truth truth, int64_t n, int64_t rows) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t r = 0; r < rows; r++) {
            double actual = out[i * (rows + GUARD) + r], error = fabs(actual - truth.sum[i * rows + r]);
            CHECK_MSG(error <= truth.bound[i * rows + r],
                      "%s %s n %lld: row %lld of %lld, activations %lld: %.9g for %.9g, bound %.3g", what,
                      dtype_name((uint32_t)type), (long long)n, (long long)r, (long long)rows, (long long)i,
                      actual, truth.sum[i * rows + r], truth.bound[i * rows + r]);
        }
    }
}

static float *product(CudaQueue *queue, Weights w, Activations x) {
    GemvArgs args = args_of(x);
    args.jobs[0] =
        (MatMul){.weight = w.device, .out = device_poisoned(x.n, w.rows), .out_stride = w.rows + GUARD};
    args.job_count = 1;
    CHECK(launcher_of(w.type)(queue, &args));
    return device_result(args.jobs[0].out, x.n, w.rows);
}

/* One shape with 1 to 8 activation rows: near the truth, and each row's bits those of the batch of 8. */
static void check_shape(DType type, int64_t rows, int64_t cols) {
    CudaQueue *queue = device_open();
    Weights w = weights_random(type, rows, cols);
    Activations x = activations_random(8, cols);
    Truth truth = truth_of(w, x);
    float *all = product(queue, w, x);
    check_near("product", type, all, truth, 8, rows);
    for (int n = 1; n < 8; n++) {
        float *some = product(queue, w, activations_first(x, n));
        CHECK_MSG(same_bits(some, all, n * (rows + GUARD)), "%s: %d rows differ from 8",
                  dtype_name((uint32_t)type), n);
    }
    device_close();
}

static void check_few_rows(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        DType type = WEIGHT_TYPES[t];
        if (!layout_is_planar(type)) {
            check_shape(type, 5, 264);
            check_shape(type, 3, 1 + random_below(70)); /* tails */
        } else if (type == DTYPE_Q4_K || type == DTYPE_Q5_K || type == DTYPE_Q6_K) {
            check_shape(type, 5, 256);
            check_shape(type, 3, 256 * 3);
        } else {
            check_shape(type, 5, 32);
            check_shape(type, 3, 32 * (1 + random_below(40)));
        }
    }
}

/* Long rows: several groups of loads and a part of one. */
static void check_long_rows(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        int64_t chunk = WEIGHT_TYPES[t] == DTYPE_F32    ? 4
                        : WEIGHT_TYPES[t] == DTYPE_F16  ? 8
                        : WEIGHT_TYPES[t] == DTYPE_BF16 ? 8
                        : WEIGHT_TYPES[t] == DTYPE_Q8_0 ? 16
                                                        : 32;
        CudaQueue *queue = device_open();
        Weights w = weights_random(WEIGHT_TYPES[t], 3, chunk * 128 * 4 + 256 * (1 + random_below(3)));
        Activations x = activations_random(2, w.cols);
        Truth truth = truth_of(w, x);
        float *both = product(queue, w, x);
        check_near("long", w.type, both, truth, 2, w.rows);
        float *first = product(queue, w, activations_first(x, 1));
        CHECK(same_bits(first, both, w.rows));
        device_close();
    }
}

/* More rows than a block's warps share: each warp has its own. */
static void check_many_rows(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        bool is_planar = layout_is_planar(WEIGHT_TYPES[t]);
        CudaQueue *queue = device_open();
        Weights w = weights_random(WEIGHT_TYPES[t], 513 + random_below(8), is_planar ? 256 : 77);
        Activations x = activations_random(5, w.cols);
        Truth truth = truth_of(w, x);
        float *all = product(queue, w, x);
        check_near("many", w.type, all, truth, 5, w.rows);
        float *first = product(queue, w, activations_first(x, 1));
        CHECK(same_bits(first, all, w.rows));
        device_close();
    }
    CudaQueue *queue = device_open();
    Weights w = weights_random(DTYPE_BF16, 515, 8 * 32 * 4 + 40);
    Activations x = activations_random(2, w.cols);
    check_near("many long", w.type, product(queue, w, x), truth_of(w, x), 2, w.rows);
    device_close();
}

/* So many rows that a warp takes four of them at once, which changes no bit. */
static void check_large(void) {
    static const DType LARGE[4] = {DTYPE_Q8_0, DTYPE_MXFP4, DTYPE_Q4_K, DTYPE_Q6_K};
    for (int t = 0; t < 4; t++) {
        CudaQueue *queue = device_open();
        Weights w = weights_random(LARGE[t], 8193 + random_below(6), t < 2 ? 96 : 256);
        Activations x = activations_random(1, w.cols);
        float *all = product(queue, w, x);
        check_near("large", w.type, all, truth_of(w, x), 1, w.rows);
        w.rows = w.device.rows = 600;
        CHECK(same_bits(product(queue, w, x), all, 600));
        device_close();
    }
}

/* Outputs that hold something, behind guards. */
static float *filled(const float *values, int64_t n, int64_t rows) {
    float *host = poisoned(n, rows);
    for (int64_t i = 0; i < n; i++)
        memcpy(host + i * (rows + GUARD), values + i * rows, (size_t)rows * sizeof *host);
    float *device = device_floats(host, n * (rows + GUARD));
    free(host);
    return device;
}

/* Several matrices in one launch, with bias and accumulation: the sums have the bits they have alone, bias
 * and old value are added to them in this order. */
static void check_jobs(DType type, int n) {
    static const int64_t ROWS[3] = {9, 520, 34};
    int64_t cols = layout_is_planar(type) ? 512 : 90;
    CudaQueue *queue = device_open();
    Activations x = activations_random(n, cols);
    GemvArgs args = args_of(x);
    float *alone[3], *bias = host_new(520 * sizeof *bias), *old = host_new((size_t)n * 520 * sizeof *old);
    random_floats(bias, 520);
    random_floats(old, n * 520);
    for (int j = 0; j < 3; j++) {
        Weights w = weights_random(type, ROWS[j], cols);
        alone[j] = product(queue, w, x);
        args.jobs[j] = (MatMul){.weight = w.device,
                                .bias = j == 0 ? NULL : device_floats(bias, ROWS[j]),
                                .out = filled(old, n, ROWS[j]),
                                .out_stride = ROWS[j] + GUARD,
                                .accumulate = j != 1};
    }
    args.job_count = 3;
    CHECK(launcher_of(type)(queue, &args));
    for (int j = 0; j < 3; j++) {
        float *out = device_result(args.jobs[j].out, n, ROWS[j]);
        for (int64_t k = 0; k < n * ROWS[j]; k++) {
            int64_t row = k % ROWS[j], at = k / ROWS[j] * (ROWS[j] + GUARD) + row;
            float expected = alone[j][at];
            if (j != 0)
                expected += bias[row];
            if (j != 1)
                expected += old[k];
            CHECK_MSG(out[at] == expected, "%s job %d, row %lld: %.9g for %.9g", dtype_name((uint32_t)type),
                      j, (long long)row, (double)out[at], (double)expected);
        }
    }
    device_close();
}

static void check_several_jobs(void) {
    check_jobs(DTYPE_BF16, 1);
    check_jobs(DTYPE_F32, 3);
    check_jobs(DTYPE_Q8_0, 2);
    check_jobs(DTYPE_Q4_K, 1);
    check_jobs(DTYPE_Q6_K, 6);
}

static double silu(double x) {
    return x / (1 + exp(-x));
}

/* silu turns an error of its argument into at most 1.1 times that; the division, the exponential and the two
 * products add 2^-21 of the result. */
static void check_gated_type(DType type, int64_t rows, int n) {
    int64_t cols = layout_is_planar(type) ? 256 : 51;
    CudaQueue *queue = device_open();
    Weights gate = weights_random(type, rows, cols), up = weights_random(type, rows, cols);
    Activations x = activations_random(8, cols);
    Truth gates = truth_of(gate, x), ups = truth_of(up, x);
    float *all = NULL;
    for (int k = 8; k >= n; k -= 8 - n) {
        GemvArgs args = args_of(activations_first(x, k));
        float *out = device_poisoned(k, rows);
        args.jobs[0] = (MatMul){.weight = gate.device, .out = out, .out_stride = rows + GUARD};
        args.job_count = 1;
        args.up = up.device;
        CHECK(launcher_of(type)(queue, &args));
        float *result = device_result(out, k, rows);
        CHECK(all == NULL || same_bits(result, all, k * (rows + GUARD)));
        all = result;
        for (int64_t at = 0; at < k * rows; at++) {
            double expected = silu(gates.sum[at]) * ups.sum[at];
            double bound = 1.1 * gates.bound[at] * (fabs(ups.sum[at]) + ups.bound[at]) +
                           fabs(silu(gates.sum[at])) * ups.bound[at] + fabs(expected) * 0x1p-21 + 0x1p-140;
            double actual = result[at / rows * (rows + GUARD) + at % rows];
            CHECK_MSG(fabs(actual - expected) <= bound, "%s at %lld: %.9g for %.9g, bound %.3g",
                      dtype_name((uint32_t)type), (long long)at, actual, expected, bound);
        }
    }
    device_close();
}

static void check_gated(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++)
        check_gated_type(WEIGHT_TYPES[t], 1 + random_below(9), 1 + random_below(7));
    check_gated_type(DTYPE_Q4_K, 514, 1);
    check_gated_type(DTYPE_BF16, 517, 4);
}

/* Exponents 0 and 1 are scales below the normal range of floats; large activations bring the sums back. */
static void check_tiny_scales(void) {
    CudaQueue *queue = device_open();
    int64_t rows = 6, cols = 96;
    uint8_t *gguf = random_gguf(DTYPE_MXFP4, rows, cols);
    float *x = host_new((size_t)cols * sizeof *x);
    for (int64_t b = 0; b < rows * cols / 32; b++)
        gguf[b * 17] = (uint8_t)(b % 3);
    for (int64_t c = 0; c < cols; c++)
        x[c] = (random_float() + 5) * 1e20f;
    Weights w = weights_from_gguf(DTYPE_MXFP4, gguf, rows, cols);
    Activations large = activations_from(x, 1, cols);
    float *out = product(queue, w, large);
    Truth truth = truth_of(w, large);
    check_near("tiny", w.type, out, truth, 1, rows);
    device_close();
}

/* Every nibble of every exponent that matters, one at a time, exactly. */
static void check_mxfp4_table(void) {
    CudaQueue *queue = device_open();
    uint8_t gguf[32 * 17] = {0};
    float x[32] = {0};
    for (int r = 0; r < 32; r++) {
        gguf[r * 17] = (uint8_t)(r < 16 ? 127 : 1);
        for (int j = 0; j < 16; j++)
            gguf[r * 17 + 1 + j] = (uint8_t)((r & 15) | (15 - (r & 15)) << 4);
    }
    x[3] = 127;
    x[19] = -64; /* low nibble of byte 3, and high */
    Weights w = weights_from_gguf(DTYPE_MXFP4, gguf, 32, 32);
    float *out = product(queue, w, activations_from(x, 1, 32));
    for (int r = 0; r < 32; r++) {
        double expected = 127.0 * w.values[r * 32 + 3] - 64.0 * w.values[r * 32 + 19];
        CHECK_MSG(out[r] == (float)expected, "row %d: %g for %g", r, (double)out[r], expected);
    }
    device_close();
}

/* Activations that are all zero, and weights without a tail to hide behind: exact zeros come out. */
static void check_zeros(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        CudaQueue *queue = device_open();
        Weights w = weights_random(WEIGHT_TYPES[t], 7, 256);
        float *x = host_new(2 * 256 * sizeof *x);
        memset(x, 0, 2 * 256 * sizeof *x);
        float *out = product(queue, w, activations_from(x, 2, 256));
        for (int i = 0; i < 2; i++)
            for (int r = 0; r < 7; r++)
                CHECK(out[i * (7 + GUARD) + r] == 0);
        device_close();
    }
}

/* Float activations at any address and distance have the bits they have at round ones. */
static void check_unaligned(void) {
    static const DType FLOATS[3] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (int t = 0; t < 3; t++) {
        int64_t cols = 264 + random_below(8), stride = cols + 3, n = 4;
        CudaQueue *queue = device_open();
        Weights w = weights_random(FLOATS[t], 6, cols);
        float *shifted = host_new((size_t)(1 + n * stride) * sizeof *shifted);
        random_floats(shifted, 1 + n * stride);
        float *even = host_new((size_t)(n * 272) * sizeof *even);
        memset(even, 0, (size_t)(n * 272) * sizeof *even);
        for (int64_t i = 0; i < n; i++)
            memcpy(even + i * 272, shifted + 1 + i * stride, (size_t)cols * sizeof *even);
        float *out[2] = {device_poisoned(n, 6), device_poisoned(n, 6)};
        GemvArgs args = {.job_count = 1, .n = (int)n};
        args.jobs[0] = (MatMul){.weight = w.device, .out = out[0], .out_stride = 6 + GUARD};
        args.x = device_floats(shifted, 1 + n * stride) + 1;
        args.x_stride = stride;
        CHECK(cuda_gemv_float(queue, &args));
        args.jobs[0].out = out[1];
        args.x = device_floats(even, n * 272);
        args.x_stride = 272;
        CHECK(cuda_gemv_float(queue, &args));
        CHECK(same_bits(device_result(out[0], n, 6), device_result(out[1], n, 6), n * (6 + GUARD)));
        device_close();
    }
}

static void check_refusals(void) {
    CudaQueue *queue = device_open();
    Weights w = weights_random(DTYPE_Q8_0, 4, 64), other = weights_random(DTYPE_Q4_0, 4, 64);
    Activations x = activations_random(8, 64);
    GemvArgs args = args_of(x);
    float *out = device_poisoned(8, 4);
    args.jobs[0] = (MatMul){.weight = w.device, .out = out, .out_stride = 4 + GUARD};
    args.jobs[1] = args.jobs[0];
    args.jobs[1].weight = other.device;
    args.job_count = 2;
    CHECK(!cuda_gemv_quant(queue, &args)); /* two types */
    args.job_count = 1;
    args.n = 9;
    CHECK(!cuda_gemv_quant(queue, &args));
    args.n = 0;
    CHECK(!cuda_gemv_quant(queue, &args));
    args.n = 8;
    CHECK(!cuda_gemv_float(queue, &args)); /* no float type */
    args.up = other.device;
    CHECK(!cuda_gemv_quant(queue, &args)); /* gate and up differ */
    args.up.data = NULL;
    CHECK(cuda_gemv_quant(queue, &args));
    device_result(out, 8, 4);
    device_close();
}

static const TestCase CASES[] = {
    {"few rows of every type and batch", check_few_rows},
    {"long rows", check_long_rows},
    {"many rows", check_many_rows},
    {"so many rows that a warp takes four", check_large},
    {"several matrices, bias and accumulation", check_several_jobs},
    {"gated", check_gated},
    {"scales below the normal range", check_tiny_scales},
    {"every nibble of MXFP4", check_mxfp4_table},
    {"zero activations", check_zeros},
    {"activations at any address", check_unaligned},
    {"refusals", check_refusals},
};
TEST_SUITE(CUDA_GEMV_SUITE, "gemv", CASES);
