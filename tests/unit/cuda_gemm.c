/* Products with tensor cores: quantised weights as they lie (mma_quant.cu), multiplied out (dequant.cu), and
 * dense ones by our tiles (gemm.cu) and by cuBLASLt (its twin under the emulator). */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gemm_internal.h"
#include "kernels/cuda/queue_internal.h"
#include "tests/unit/cuda_support.h"

#ifdef MUX_EMULATED
#include "tests/emulator/cublaslt_twin.h"
#endif

#include <math.h>
#include <stdlib.h>
#include <string.h>

static CudaQueue *queue;

static const char *name_of(DType type) {
    return dtype_info((uint32_t)type)->name;
}

/* n guarded rows on the device that hold `old`, or poison when it is NULL. */
static float *device_out(const float *old, int64_t n, int64_t width) {
    float *host = poisoned(n, width);
    for (int64_t i = 0; old && i < n; i++)
        memcpy(host + i * (width + GUARD), old + i * width, (size_t)width * sizeof *host);
    float *device = device_floats(host, n * (width + GUARD));
    free(host);
    return device;
}

static float *random_values(int64_t count) {
    float *values = host_new((size_t)count * sizeof *values);
    random_floats(values, count);
    return values;
}

/* ---- quantised weights on int8 tensor cores ---- */

static const DType QUANTISED[] = {DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q5_0, DTYPE_MXFP4,
                                  DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};
enum { QUANTISED_COUNT = sizeof QUANTISED / sizeof *QUANTISED };

static int64_t unit_of(DType type) {
    return type == DTYPE_Q4_K || type == DTYPE_Q5_K || type == DTYPE_Q6_K ? 256 : 32;
}

/* The minimum that was subtracted from column c of a row of Q4_K or Q5_K; 0 for other types. */
static double minimum_at(const Weights *w, int64_t row, int64_t c) {
    if (w->type != DTYPE_Q4_K && w->type != DTYPE_Q5_K)
        return 0;
    size_t block_bytes = w->type == DTYPE_Q4_K ? 144 : 176;
    const uint8_t *block = w->gguf + (size_t)row * w->gguf_row_bytes + (size_t)(c / 256) * block_bytes;
    const uint8_t *packed = block + 4;
    int sub = (int)(c % 256 / 32);
    int minimum = sub < 4 ? packed[sub + 4] & 63 : packed[sub + 4] >> 4 | packed[sub] >> 6 << 4;
    return (double)half_to_float((uint16_t)(block[2] | block[3] << 8)) * minimum;
}

/* A dot product over the values as rounded, and the sizes of its terms added up: scale * q and the minimum
 * are terms of their own, as the kernel adds them separately. */
typedef struct Truth {
    double sum, size;
} Truth;

static Truth true_dot(const Weights *w, int64_t row, const Activations *x, int64_t token) {
    Truth truth = {0, 0};
    for (int64_t c = 0; c < w->cols; c++) {
        double weight = w->values[row * w->cols + c], activation = x->values[token * w->cols + c];
        truth.sum += weight * activation;
        truth.size += (fabs(weight) + 2 * fabs(minimum_at(w, row, c))) * fabs(activation);
    }
    return truth;
}

/* A warp adds one sub-block of every tile of 256 columns: for each the product of two scales is rounded
 * (twice for Q6_K, whose two sums are joined), the sum once, the minimum's d * sum and its addition once
 * each; then eight warps, bias and the old value are added. One half of a unit in the last place each; the
 * constant covers products of scales below the normal range (2^-150 times a sum of at most 2^19 for each
 * sub-block). */
static double allowed_error(int64_t cols, double size) {
    double additions = 3 * (double)((cols + 255) / 256) + 3 + 8 + 2;
    return size * additions * 0x1p-24 * 1.01 + (double)(cols / 32) * 0x1p-131;
}

static void check_job(const MatMul *job, const Weights *w, const Activations *x, const float *bias,
                      const float *old, int n) {
    float *out = device_result(job->out, n, w->rows);
    for (int i = 0; i < n; i++) {
        for (int64_t r = 0; r < w->rows; r++) {
            Truth truth = true_dot(w, r, x, i);
            double extra = (bias ? bias[r] : 0), added = old ? old[i * w->rows + r] : 0;
            double sum = truth.sum + extra + added;
            double allowed = allowed_error(w->cols, truth.size + fabs(extra) + fabs(added));
            double got = out[i * (w->rows + GUARD) + r];
            CHECK_MSG(fabs(got - sum) <= allowed,
                      "%s, row %d of %d, token %d of %d, %d columns: %g, expected %g (%g off, %g allowed)",
                      name_of(w->type), (int)r, (int)w->rows, i, n, (int)w->cols, got, sum, fabs(got - sum),
                      allowed);
        }
    }
}

static void check_weights(Weights w, int n, bool has_bias, bool accumulate) {
    int64_t rows = w.rows;
    Activations x = activations_random(n, w.cols);
    float *bias = has_bias ? random_values(rows) : NULL, *old = accumulate ? random_values(n * rows) : NULL;
    MatMul job = {w.device, bias ? device_floats(bias, rows) : NULL, device_out(old, n, rows), rows + GUARD,
                  accumulate};
    GemvArgs args = {.jobs = {job}, .job_count = 1, .q8 = x.device, .n = n};
    CHECK(cuda_mma_quant(queue, &args));
    check_job(&job, &w, &x, bias, old, n);
}

static void check_quantised(DType type, int64_t rows, int64_t cols, int n, bool has_bias, bool accumulate) {
    queue = device_open();
    check_weights(weights_random(type, rows, cols), n, has_bias, accumulate);
    device_close();
}

/* Every type with one token tile, partly filled, and columns of less than a tile, of several, and odd ones.
 */
static void test_quantised(void) {
    for (int t = 0; t < QUANTISED_COUNT; t++) {
        int64_t unit = unit_of(QUANTISED[t]);
        check_quantised(QUANTISED[t], 1 + random_below(31), unit, 1 + random_below(16), false, false);
        check_quantised(QUANTISED[t], 33, unit == 32 ? 544 : 768, 9, true, false);
        check_quantised(QUANTISED[t], 32 + random_below(32), unit == 32 ? 32 * (1 + random_below(30)) : 1792,
                        17 + random_below(16), false, true);
    }
}

static void test_quantised_wide(void) {
    for (int t = 0; t < QUANTISED_COUNT; t++)
        check_quantised(QUANTISED[t], 20, unit_of(QUANTISED[t]) == 32 ? 288 : 1280, 33 + random_below(32),
                        true, true);
    check_quantised(DTYPE_Q4_K, 5, 256, 70, false, false);
}

/* Scales below the normal range are not taken for zero: MXFP4's exponents 0 and 1, halves of 2^-24. */
static void test_quantised_small_scales(void) {
    enum { ROWS = 35, COLS = 512, N = 10 };
    static const DType SMALL[] = {DTYPE_MXFP4, DTYPE_Q8_0, DTYPE_Q4_0};
    queue = device_open();
    for (int t = 0; t < 3; t++) {
        uint8_t *gguf = random_gguf(SMALL[t], ROWS, COLS);
        size_t block = gguf_row_bytes(SMALL[t], 32);
        for (int b = 0; b < ROWS * COLS / 32; b++) {
            gguf[b * block] = (uint8_t)(SMALL[t] == DTYPE_MXFP4 ? b % 3 : 1 + b % 5);
            if (SMALL[t] != DTYPE_MXFP4)
                gguf[b * block + 1] = b % 2 ? 0x80 : 0;
        }
        check_weights(weights_from_gguf(SMALL[t], gguf, ROWS, COLS), N, false, false);
    }
    device_close();
}

/* A token's row has the same bits whatever travels with it. */
static void test_quantised_rows_agree(void) {
    enum { MOST = 66, ROWS = 37 };
    for (int t = 0; t < QUANTISED_COUNT; t++) {
        queue = device_open();
        int64_t cols = unit_of(QUANTISED[t]) == 32 ? 352 : 512;
        Weights w = weights_random(QUANTISED[t], ROWS, cols);
        Activations x = activations_random(MOST, cols);
        static const int COUNTS[] = {MOST, 33, 18, 9, 1};
        float *first = NULL;
        for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++) {
            float *out = device_poisoned(COUNTS[i], ROWS);
            GemvArgs args = {.jobs = {{w.device, NULL, out, ROWS + GUARD, false}},
                             .job_count = 1,
                             .q8 = activations_first(x, COUNTS[i]).device,
                             .n = COUNTS[i]};
            CHECK(cuda_mma_quant(queue, &args));
            float *result = device_result(out, COUNTS[i], ROWS);
            first = first ? first : result;
            CHECK_MSG(same_bits(first, result, COUNTS[i] * (ROWS + GUARD)), "%s: %d rows differ from %d",
                      name_of(QUANTISED[t]), COUNTS[i], MOST);
        }
        device_close();
    }
}

static void test_quantised_jobs(void) {
    enum { JOBS = 8, N = 12 };
    for (int t = 0; t < QUANTISED_COUNT; t += 3) {
        queue = device_open();
        int64_t cols = 2 * unit_of(QUANTISED[t]);
        Activations x = activations_random(N, cols);
        GemvArgs args = {.job_count = JOBS, .q8 = x.device, .n = N};
        Weights w[JOBS];
        float *bias[JOBS], *old[JOBS];
        for (int j = 0; j < JOBS; j++) {
            int64_t rows = j == 3 ? 1 : 1 + random_below(70);
            w[j] = weights_random(QUANTISED[t], rows, cols);
            bias[j] = j % 2 ? random_values(rows) : NULL;
            old[j] = j % 3 ? random_values(N * rows) : NULL;
            args.jobs[j] = (MatMul){w[j].device, bias[j] ? device_floats(bias[j], rows) : NULL,
                                    device_out(old[j], N, rows), rows + GUARD, old[j] != NULL};
        }
        CHECK(cuda_mma_quant(queue, &args));
        for (int j = 0; j < JOBS; j++)
            check_job(&args.jobs[j], &w[j], &x, bias[j], old[j], N);
        device_close();
    }
}

/* silu(g) * u: its slope in g is below 1.1, in u at most |g|; the exponential and the division round a few
 * times more. */
static void check_gated(DType type, int64_t rows, int64_t cols, int n) {
    queue = device_open();
    Weights gate = weights_random(type, rows, cols), up = weights_random(type, rows, cols);
    Activations x = activations_random(n, cols);
    float *device = device_poisoned(n, rows);
    GemvArgs args = {.jobs = {{gate.device, NULL, device, rows + GUARD, false}},
                     .job_count = 1,
                     .up = up.device,
                     .q8 = x.device,
                     .n = n};
    CHECK(cuda_mma_quant(queue, &args));
    float *out = device_result(device, n, rows);
    for (int i = 0; i < n; i++) {
        for (int64_t r = 0; r < rows; r++) {
            Truth g = true_dot(&gate, r, &x, i), u = true_dot(&up, r, &x, i);
            double silu = g.sum / (1 + exp(-g.sum)), expected = silu * u.sum;
            double allowed = 1.1 * allowed_error(cols, g.size) * (fabs(u.sum) + allowed_error(cols, u.size)) +
                             fabs(silu) * allowed_error(cols, u.size) + fabs(expected) * 0x1p-20 + 0x1p-126;
            double got = out[i * (rows + GUARD) + r];
            CHECK_MSG(fabs(got - expected) <= allowed, "%s, row %d, token %d: %g, expected %g (%g allowed)",
                      name_of(type), (int)r, i, got, expected, allowed);
        }
    }
    device_close();
}

static void test_quantised_gated(void) {
    for (int t = 0; t < QUANTISED_COUNT; t++)
        check_gated(QUANTISED[t], 1 + random_below(40), unit_of(QUANTISED[t]) * (1 + random_below(3)),
                    9 + random_below(30));
}

static void test_quantised_refuses(void) {
    queue = device_open();
    Weights w = weights_random(DTYPE_Q8_0, 4, 64), other = weights_random(DTYPE_Q4_0, 4, 64);
    Weights half = weights_random(DTYPE_F16, 4, 64);
    Activations x = activations_random(2, 64);
    GemvArgs args = {.jobs = {{w.device, NULL, device_poisoned(2, 4), 4 + GUARD, false},
                              {other.device, NULL, device_poisoned(2, 4), 4 + GUARD, false}},
                     .job_count = 2,
                     .q8 = x.device,
                     .n = 2};
    CHECK(!cuda_mma_quant(queue, &args)); /* two types */
    args.job_count = 1;
    args.up = other.device;
    CHECK(!cuda_mma_quant(queue, &args));
    args.up = (Tensor){0};
    args.jobs[0].weight = half.device;
    CHECK(!cuda_mma_quant(queue, &args));
    args.jobs[0].weight = w.device;
    args.n = 0;
    CHECK(!cuda_mma_quant(queue, &args));
    device_close();
}

/* ---- multiplied out ---- */

static void check_dequantised(DType type, DType half, int64_t rows, int64_t cols, int64_t row0,
                              int64_t count) {
    queue = device_open();
    Weights w = weights_random(type, rows, cols);
    size_t stride = 2 * (size_t)cols + 16, bytes = (size_t)count * stride;
    uint8_t *out = host_new(bytes);
    memset(out, 0xA5, bytes);
    uint8_t *device = device_put(out, bytes);
    CHECK(cuda_dequantize(queue, w.device, row0, count, device, half, (int64_t)stride));
    device_read(out, device, bytes);
    for (int64_t r = 0; r < count; r++) {
        for (int64_t c = 0; c < cols; c++) {
            float value = w.values[(row0 + r) * cols + c];
            uint16_t got, expected = half == DTYPE_F16 ? half_from_float(value) : bf16_from_float(value);
            memcpy(&got, out + (size_t)r * stride + 2 * (size_t)c, sizeof got);
            /* bit for bit, but for the sign of zeros */
            CHECK_MSG(got == expected || ((got | expected) & 0x7FFF) == 0,
                      "%s to %s, row %d, column %d: %#x, expected %#x", name_of(type), name_of(half), (int)r,
                      (int)c, got, expected);
        }
        for (size_t i = 2 * (size_t)cols; i < stride; i++)
            CHECK(out[(size_t)r * stride + i] == 0xA5);
    }
    device_close();
}

static void test_dequantised(void) {
    for (int t = 0; t < QUANTISED_COUNT; t++) {
        for (int h = 0; h < 2; h++) {
            int64_t unit = unit_of(QUANTISED[t]), rows = 5 + random_below(4);
            check_dequantised(QUANTISED[t], h ? DTYPE_BF16 : DTYPE_F16, rows, unit * (1 + random_below(4)),
                              1 + random_below(2), rows - 3);
        }
        /* more values than one pass of a block makes */
        check_dequantised(QUANTISED[t], DTYPE_BF16, 1, 256 * 8 * 4 + 256, 0, 1);
    }
}

/* ---- dense products ---- */

typedef bool (*Product)(const GemmArgs *args);

static GemmTile tile;
static CublasLt *library;
static void *workspace;
enum { WORKSPACE_BYTES = 1 << 16 };

static bool with_tile(const GemmArgs *args) {
    return cuda_gemm_tile(queue, args, tile);
}
static bool with_any(const GemmArgs *args) {
    return cuda_gemm(queue, args);
}
static bool with_library(const GemmArgs *args) {
    return cublaslt_gemm(library, queue_stream(queue), args, workspace, WORKSPACE_BYTES);
}
/* The real library may refuse odd shapes; the twin takes all that the interface allows. */
static bool with_library_or_tile(const GemmArgs *args) {
#ifdef MUX_EMULATED
    return with_library(args);
#else
    return with_library(args) || cuda_gemm(queue, args);
#endif
}

typedef struct Dense {
    Weights weight;
    const float *x; /* host, as rounded */
    const void *device_x;
    int64_t x_row_bytes;
    int n;
} Dense;

/* x as rows of the weight's type, further apart than needed, NaN between them. */
static Dense dense_random(DType type, int64_t rows, int64_t cols, int n) {
    Dense d = {.weight = weights_random(type, rows, cols), .n = n};
    float *x = random_values(n * cols);
    size_t value = type == DTYPE_F32 ? 4 : 2;
    d.x_row_bytes = layout_round16((int64_t)value * cols) + 16 * random_below(2);
    uint8_t *bytes = host_new((size_t)(n * d.x_row_bytes));
    memset(bytes, 0xFF, (size_t)(n * d.x_row_bytes));
    for (int64_t i = 0; i < n * cols; i++) {
        uint8_t *at = bytes + i / cols * d.x_row_bytes + (size_t)(i % cols) * value;
        uint16_t half = type == DTYPE_F16 ? half_from_float(x[i]) : bf16_from_float(x[i]);
        if (type == DTYPE_F32) {
            memcpy(at, &x[i], value);
        } else {
            memcpy(at, &half, value);
            x[i] = type == DTYPE_F16 ? half_to_float(half) : bf16_to_float(half);
        }
    }
    d.x = x;
    d.device_x = device_put(bytes, (size_t)(n * d.x_row_bytes));
    return d;
}

/* F16 and BF16: products are exact; a tensor core may truncate each addition to 2^-23 of the largest addend.
 * F32: one rounding a column, in any order. Bias and the old value: one each. */
static double dense_error(DType type, int64_t cols, double size) {
    double additions = type == DTYPE_F32 ? ((double)cols + 4) / 2 : (double)cols + 20;
    return size * additions * 0x1p-23 + 0x1p-126;
}

static void check_dense(Product product, DType type, int64_t rows, int64_t cols, int n, bool has_bias,
                        bool accumulate) {
    Dense d = dense_random(type, rows, cols, n);
    float *bias = has_bias ? random_values(rows) : NULL, *old = accumulate ? random_values(n * rows) : NULL;
    GemmArgs args = {
        d.weight.device,          d.device_x,   d.x_row_bytes, bias ? device_floats(bias, rows) : NULL,
        device_out(old, n, rows), rows + GUARD, accumulate,    n};
    CHECK(product(&args));
    float *out = device_result(args.out, n, rows);
    for (int i = 0; i < n; i++) {
        for (int64_t r = 0; r < rows; r++) {
            double sum = (bias ? bias[r] : 0), size = fabs(sum), added = old ? old[i * rows + r] : 0;
            for (int64_t c = 0; c < cols; c++) {
                double term = (double)d.weight.values[r * cols + c] * d.x[i * cols + c];
                sum += term, size += fabs(term);
            }
            sum += added, size += fabs(added);
            double got = out[i * (rows + GUARD) + r];
            CHECK_MSG(fabs(got - sum) <= dense_error(type, cols, size),
                      "%s, row %d of %d, token %d of %d, %d columns: %g, expected %g", name_of(type), (int)r,
                      (int)rows, i, n, (int)cols, got, sum);
        }
    }
}

static void check_dense_shapes(Product product, DType type) {
    queue = device_open();
    check_dense(product, type, 33, 8 + random_below(60), 9, false, false);
    check_dense(product, type, 1 + random_below(70), 200 + random_below(100), 34, true, false);
    check_dense(product, type, 64, 128, 65, false, true);
    check_dense(product, type, 10, 1, 3, true, true);
    device_close();
}

static void test_dense_tiles(void) {
    for (tile = GEMM_SMALL; tile <= GEMM_LARGE; tile++) {
        check_dense_shapes(with_tile, DTYPE_F16);
        check_dense_shapes(with_tile, DTYPE_BF16);
    }
    tile = GEMM_LARGE;
    queue = device_open();
    check_dense(with_tile, DTYPE_BF16, 135, 232, 131, true, true);
    device_close();
}

static void test_dense_tiles_agree(void) {
    enum { ROWS = 130, COLS = 300, N = 70 };
    queue = device_open();
    Dense d = dense_random(DTYPE_BF16, ROWS, COLS, N);
    float *first = NULL;
    for (int n = N; n > 0; n -= N - 5) {
        for (tile = GEMM_SMALL; tile <= GEMM_LARGE; tile++) {
            GemmArgs args = {d.weight.device,          d.device_x,   d.x_row_bytes, NULL,
                             device_poisoned(n, ROWS), ROWS + GUARD, false,         n};
            CHECK(with_tile(&args));
            float *out = device_result(args.out, n, ROWS);
            first = first ? first : out;
            CHECK_MSG(same_bits(first, out, n * (ROWS + GUARD)), "tile %d with %d rows differs", (int)tile,
                      n);
        }
    }
    device_close();
}

/* Even strides and aligned rows let outputs be written in pairs. */
static void test_dense_pairs(void) {
    enum { ROWS = 38, COLS = 72, N = 20 };
    for (int odd = 0; odd < 2; odd++) {
        queue = device_open();
        Dense d = dense_random(DTYPE_F16, ROWS, COLS, N);
        float *old = random_values(N * 40 + 1), *device = device_floats(old, N * 40 + 1);
        GemmArgs args = {d.weight.device, d.device_x, d.x_row_bytes, NULL, device + odd, 40, true, N};
        CHECK(cuda_gemm(queue, &args));
        float *out = device_values(device, N * 40 + 1);
        for (int i = 0; i < N; i++) {
            for (int r = 0; r < 40; r++) {
                double sum = old[odd + i * 40 + r], size = fabs(sum);
                for (int c = 0; r < ROWS && c < COLS; c++) {
                    double term = (double)d.weight.values[r * COLS + c] * d.x[i * COLS + c];
                    sum += term, size += fabs(term);
                }
                double error = fabs(out[odd + i * 40 + r] - sum);
                CHECK(r < ROWS ? error <= dense_error(DTYPE_F16, COLS, size) : error == 0);
            }
        }
        device_close();
    }
}

static void test_dense_float(void) {
    check_dense_shapes(with_any, DTYPE_F32);
    queue = device_open();
    check_dense(with_any, DTYPE_F32, 66, 67, 130, true, true);
    /* x at any multiple of 4 bytes, rows at any stride */
    enum { ROWS = 7, COLS = 21, N = 10 };
    Dense d = dense_random(DTYPE_F32, ROWS, COLS, N);
    float *shifted = host_new((1 + N * COLS) * sizeof *shifted);
    shifted[0] = NAN;
    memcpy(shifted + 1, d.x, N * COLS * sizeof *shifted);
    GemmArgs args = {d.weight.device,
                     device_floats(shifted, 1 + N * COLS) + 1,
                     COLS * 4,
                     NULL,
                     device_poisoned(N, ROWS),
                     ROWS + GUARD,
                     false,
                     N};
    CHECK(cuda_gemm(queue, &args));
    float *out = device_result(args.out, N, ROWS);
    for (int i = 0; i < N; i++) {
        for (int r = 0; r < ROWS; r++) {
            double sum = 0, size = 0;
            for (int c = 0; c < COLS; c++) {
                double term = (double)d.weight.values[r * COLS + c] * d.x[i * COLS + c];
                sum += term, size += fabs(term);
            }
            CHECK(fabs(out[i * (ROWS + GUARD) + r] - sum) <= dense_error(DTYPE_F32, COLS, size));
        }
    }
    device_close();
}

static void test_dense_refuses(void) {
    queue = device_open();
    Weights w = weights_random(DTYPE_Q8_0, 4, 64);
    Dense d = dense_random(DTYPE_F16, 4, 64, 2);
    GemmArgs args = {w.device, d.device_x, d.x_row_bytes, NULL, device_poisoned(2, 4), 4 + GUARD, false, 2};
    CHECK(!cuda_gemm(queue, &args));
    args.weight = d.weight.device;
    args.x_row_bytes += 2;
    CHECK(!cuda_gemm(queue, &args));
    args.x_row_bytes -= 2;
    args.x = (const char *)d.device_x + 2;
    CHECK(!cuda_gemm(queue, &args));
    device_close();
}

/* ---- the library ---- */

static void open_library(void) {
    char why[256] = "";
    queue = device_open();
    library = cublaslt_open(why, sizeof why);
    if (!library) {
        device_close();
        SKIP("this machine has no cuBLASLt");
    }
    CHECK(cublaslt_version(library) >= 120000);
    workspace = device_new(WORKSPACE_BYTES);
}

static void close_library(void) {
    device_wait();
    cublaslt_close(library);
    device_close();
}

static void test_library(void) {
    static const DType DENSE[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F32};
    open_library();
    for (int t = 0; t < 3; t++) {
        check_dense(with_library, DENSE[t], 40, 96, 9, false, false);
        check_dense(with_library_or_tile, DENSE[t], 24, 64 + 8 * random_below(20), 33, true, false);
        check_dense(with_library_or_tile, DENSE[t], 17, 41, 20, false, true);
        check_dense(with_library_or_tile, DENSE[t], 16, 640, 12, true, true);
    }
    close_library();
}

#ifdef MUX_EMULATED
static void test_library_remembers(void) {
    enum { ROWS = 8, COLS = 32, N = 150 };
    int objects = cublaslt_twin_objects();
    open_library();
    Dense d = dense_random(DTYPE_BF16, ROWS, COLS, N);
    GemmArgs args = {d.weight.device,          d.device_x,   d.x_row_bytes, NULL,
                     device_poisoned(N, ROWS), ROWS + GUARD, false,         9};
    int before = cublaslt_twin_heuristics();
    CHECK(with_library(&args) && with_library(&args));
    args.bias = device_floats(random_values(ROWS), ROWS);
    CHECK(with_library(&args) && with_library(&args));
    CHECK_INT(cublaslt_twin_heuristics() - before, 2);
    /* more shapes than are remembered: the first was forgotten, and nothing is lost */
    for (args.n = 1; args.n <= N; args.n++)
        CHECK(with_library(&args));
    int full = cublaslt_twin_objects();
    for (args.n = 1; args.n <= N; args.n++)
        CHECK(with_library(&args));
    CHECK_INT(cublaslt_twin_objects(), full);
    close_library();
    CHECK_INT(cublaslt_twin_objects(), objects);
}

static void test_library_refuses(void) {
    open_library();
    Dense d = dense_random(DTYPE_F16, 8, 64, 10);
    float *bias = device_floats(random_values(9), 9);
    GemmArgs args = {d.weight.device,        d.device_x, d.x_row_bytes, NULL,
                     device_poisoned(10, 8), 8 + GUARD,  false,         10};
    int before = cublaslt_twin_products();
    args.bias = bias + 1; /* an epilogue reads 16 bytes at once */
    CHECK(!with_library(&args));
    args.bias = NULL;
    args.x = (const char *)d.device_x + 2;
    CHECK(!with_library(&args));
    args.x = d.device_x;
    args.weight.type = DTYPE_Q8_0;
    CHECK(!with_library(&args));
    args.weight.type = DTYPE_F16;
    cublaslt_twin_set(TWIN_REFUSING);
    args.n = 9;
    bool refused = !with_library(&args) && !with_library(&args);
    cublaslt_twin_set(TWIN_PRESENT);
    CHECK(refused);
    CHECK_INT(cublaslt_twin_products() - before, 0);
    close_library();
}

static void test_library_missing(void) {
    char why[256] = "";
    cublaslt_twin_set(TWIN_MISSING);
    CublasLt *absent = cublaslt_open(why, sizeof why);
    cublaslt_twin_set(TWIN_PRESENT);
    CHECK(!absent);
    CHECK_STR(str_of(why), str_of("cuBLASLt is not here: the emulated machine has no cublasLtCreate."));
    cublaslt_close(NULL);
}
#endif

static const TestCase CASES[] = {
    {"quantised", test_quantised},
    {"quantised wide", test_quantised_wide},
    {"quantised small scales", test_quantised_small_scales},
    {"quantised rows agree", test_quantised_rows_agree},
    {"quantised jobs", test_quantised_jobs},
    {"quantised gated", test_quantised_gated},
    {"quantised refuses", test_quantised_refuses},
    {"dequantised", test_dequantised},
    {"dense tiles", test_dense_tiles},
    {"dense tiles agree", test_dense_tiles_agree},
    {"dense pairs", test_dense_pairs},
    {"dense float", test_dense_float},
    {"dense refuses", test_dense_refuses},
    {"library", test_library},
#ifdef MUX_EMULATED
    {"library remembers", test_library_remembers},
    {"library refuses", test_library_refuses},
    {"library missing", test_library_missing},
#endif
};
TEST_SUITE(CUDA_GEMM_SUITE, "cuda_gemm", CASES);
