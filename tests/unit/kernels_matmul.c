#include "tests/unit/kernels_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the kernels of quantised weights see of x: 8 bits per block of 32, scale amax / 127. */
static void round_activations(float *x, int64_t count) {
    for (int64_t b = 0; b < count; b += 32) {
        float largest = 0;
        for (int j = 0; j < 32; j++)
            largest = fmaxf(largest, fabsf(x[b + j]));
        float d = largest / 127, inverse = d > 0 ? 1 / d : 0;
        for (int j = 0; j < 32; j++)
            x[b + j] = d * (float)lrintf(x[b + j] * inverse);
    }
}

static float *plain_weights(const Tensor *weight) {
    float *plain = malloc((size_t)(weight->rows * weight->cols) * sizeof *plain);
    CHECK(plain != NULL);
    for (int64_t r = 0; r < weight->rows; r++)
        dtype_to_floats(weight->type, tensor_row(weight, r), weight->cols, plain + r * weight->cols);
    return plain;
}

/* How large the terms are that a kernel adds up for each value: of types with a min two, which may cancel. */
static float *weight_sizes(const Tensor *weight, const float *plain) {
    int64_t count = weight->rows * weight->cols;
    float *sizes = malloc((size_t)count * sizeof *sizes);
    CHECK(sizes != NULL);
    bool has_mins = weight->type == DTYPE_Q4_K || weight->type == DTYPE_Q5_K;
    for (int64_t at = 0; at < count; at += has_mins ? 256 : 1) {
        if (!has_mins) {
            sizes[at] = fabsf(plain[at]);
            continue;
        }
        uint8_t block[176];
        int64_t block_bytes = dtype_info((uint32_t)weight->type)->block_bytes;
        memcpy(block, tensor_row(weight, at / weight->cols) + at % weight->cols / 256 * block_bytes,
               (size_t)block_bytes);
        block[2] = block[3] = 0; /* the scale of mins */
        dtype_to_floats(weight->type, block, 256, sizes + at);
        for (int j = 0; j < 256; j++)
            sizes[at + j] = fabsf(sizes[at + j]) + fabsf(sizes[at + j] - plain[at + j]);
    }
    return sizes;
}

/* |out - truth| against what rounding every term once or twice may cost. Where the product of two scales is
 * subnormal (MXFP4), it is off by 2^-150, times an integer of up to 32 * 12 * 127 in each block. */
static void check_close(const Backend *cpu, const MatMul *job, const float *x, const float *old, int n) {
    int64_t rows = job->weight.rows, cols = job->weight.cols;
    float *plain = plain_weights(&job->weight), *sizes = weight_sizes(&job->weight, plain);
    for (int i = 0; i < n; i++) {
        for (int64_t r = 0; r < rows; r++) {
            double sum = job->bias ? job->bias[r] : 0, size = fabs(sum);
            for (int64_t c = 0; c < cols; c++) {
                sum += (double)plain[r * cols + c] * x[i * cols + c];
                size += (double)sizes[r * cols + c] * fabsf(x[i * cols + c]);
            }
            if (job->accumulate)
                sum += old[i * rows + r], size += fabs((double)old[i * rows + r]);
            double allowed = size * 0x1p-23 * (4 + (double)cols / 16) + 0x1p-134 * (double)(cols / 32);
            float out = job->out[i * job->out_stride + r];
            CHECK_MSG(fabs(out - sum) <= allowed,
                      "%s %s row %d of %d, token %d of %d, %d columns: %g, expected %g", level_name(cpu),
                      dtype_info((uint32_t)job->weight.type)->name, (int)r, (int)rows, i, n, (int)cols,
                      (double)out, sum);
        }
    }
    free(plain), free(sizes);
}

static void check_product(Backend *cpu, DType type, int64_t rows, int64_t cols, int n) {
    Tensor weight = random_tensor(type, rows, cols);
    int64_t x_stride = cols + random_below(3);
    float *x = malloc((size_t)(n * x_stride) * sizeof *x), *bias = malloc((size_t)rows * sizeof *bias);
    float *seen = malloc((size_t)(n * cols) * sizeof *seen), *old = malloc((size_t)(n * rows) * sizeof *old);
    float *out = poisoned(n, rows), *single = poisoned(n, rows);
    random_floats(x, n * x_stride);
    random_floats(bias, rows);
    random_floats(old, n * rows);
    for (int i = 0; i < n; i++)
        memcpy(seen + i * cols, x + i * x_stride, (size_t)cols * sizeof *x);
    if (cpu_is_quant(type))
        round_activations(seen, n * cols);
    MatMul job = {weight, random_below(2) ? bias : NULL, out, rows + GUARD, random_below(2)};
    for (int i = 0; i < n && job.accumulate; i++) {
        memcpy(out + i * (rows + GUARD), old + i * rows, (size_t)rows * sizeof *out);
        memcpy(single + i * (rows + GUARD), old + i * rows, (size_t)rows * sizeof *out);
    }
    backend_ops(cpu)->matmul(cpu, &job, 1, x, x_stride, n);
    CHECK_MSG(is_clean(out, n, rows), "%s %s %d x %d, %d tokens", level_name(cpu),
              dtype_info((uint32_t)type)->name, (int)rows, (int)cols, n);
    check_close(cpu, &job, seen, old, n);
    for (int i = 0; i < n; i++) {
        job.out = single + i * (rows + GUARD);
        backend_ops(cpu)->matmul(cpu, &job, 1, x + i * x_stride, x_stride, 1);
    }
    CHECK_MSG(same_bits(out, single, n * (rows + GUARD)),
              "%s %s %d x %d: a batch of %d differs from single tokens", level_name(cpu),
              dtype_info((uint32_t)type)->name, (int)rows, (int)cols, n);
    free(weight.data), free(x), free(bias), free(seen), free(old), free(out), free(single);
}

static void products(Backend *cpu) {
    static const int64_t ROWS[] = {1, 2, 15, 16, 17, 31, 33, 48, 70};
    for (int t = 0; t < TYPE_COUNT; t++) {
        int unit = dtype_info((uint32_t)TYPES[t])->block_values;
        int64_t blocks = unit == 256 ? 2 : 8;
        for (int n = 1; n <= 9; n++)
            check_product(cpu, TYPES[t], ROWS[n - 1],
                          unit == 1 ? 1 + random_below(200) : unit * (1 + random_below((int)blocks)), n);
        for (int n = 11; n < 20; n += 4)
            check_product(cpu, TYPES[t], 1 + random_below(150),
                          unit == 1    ? 300
                          : unit == 32 ? 1056
                                       : 1280,
                          n);
    }
}

static void test_products(void) {
    each_level(1, products);
    each_level(2, products);
}

enum { JOBS = 8 };

/* All jobs of one call, of mixed types, on one, two and three threads: the same bits. */
static float *mixed_jobs(Backend *cpu, const Tensor *weights, const float *x, int n, int64_t cols,
                         int64_t *count) {
    MatMul jobs[JOBS];
    *count = 0;
    for (int j = 0; j < JOBS; j++)
        *count += weights[j].rows * n;
    float *out = malloc((size_t)*count * sizeof *out), *at = out;
    for (int j = 0; j < JOBS; j++) {
        jobs[j] = (MatMul){weights[j], NULL, at, weights[j].rows, false};
        at += weights[j].rows * n;
    }
    backend_ops(cpu)->matmul(cpu, jobs, JOBS, x, cols, n);
    return out;
}

static void mixed(CpuLevel level, const Tensor *weights, const float *x, int n, int64_t cols) {
    float *first = NULL;
    for (int threads = 1; threads <= 3; threads++) {
        KernelError error;
        int64_t count;
        Backend *cpu = backend_open(&(BackendConfig){.name = "cpu", .threads = threads}, &error);
        if (!cpu_force_level(cpu, level)) {
            backend_close(cpu);
            break;
        }
        float *out = mixed_jobs(cpu, weights, x, n, cols, &count);
        CHECK_MSG(!first || same_bits(out, first, count), "%s: %d threads differ from one", level_name(cpu),
                  threads);
        if (first)
            free(out);
        else
            first = out;
        backend_close(cpu);
    }
    free(first);
}

static void check_threads(int shift) {
    enum { COLS = 256, MOST = 40 };
    float x[MOST * COLS];
    random_floats(x, MOST * COLS);
    Tensor weights[JOBS];
    for (int j = 0; j < JOBS; j++)
        weights[j] = random_tensor(TYPES[(j + shift) % TYPE_COUNT], 1 + random_below(400), COLS);
    for (int level = 0; level < CPU_LEVEL_COUNT; level++) {
        mixed((CpuLevel)level, weights, x, 1, COLS);
        mixed((CpuLevel)level, weights, x, MOST, COLS);
    }
    for (int j = 0; j < JOBS; j++)
        free(weights[j].data);
}

static void test_threads_agree(void) {
    check_threads(0);
    check_threads(TYPE_COUNT - JOBS);
}

/* The reference itself against sums written out by hand. */
static void test_ref_by_hand(void) {
    Backend *ref = open_ref();
    uint8_t q8[34] = {0}, q4[18] = {0};
    uint16_t d = half_from_float(0.5f);
    memcpy(q8, &d, 2);
    memcpy(q4, &d, 2);
    q8[2] = 0x80, q8[2 + 31] = 3; /* -64 at 0, 1.5 at 31 */
    memset(q4 + 2, 0x88, 16);
    q4[2] = 0x0F; /* 3.5 at 0, -4 at 16 */
    float x[32] = {[0] = 2, [16] = 10, [31] = -4}, out = 1, bias = 0.25f;
    MatMul job = {{q8, DTYPE_Q8_0, 1, 32, 34, false}, &bias, &out, 1, false};
    backend_ops(ref)->matmul(ref, &job, 1, x, 32, 1);
    CHECK(out == -128 - 6 + 0.25f);
    job = (MatMul){{q4, DTYPE_Q4_0, 1, 32, 18, false}, NULL, &out, 1, true};
    out = 1;
    backend_ops(ref)->matmul(ref, &job, 1, x, 32, 1);
    CHECK(out == 1 + 7 - 40);
    backend_close(ref);
}

static void ref_products(Backend *cpu) {
    Backend *ref = open_ref();
    for (int t = 0; t < TYPE_COUNT; t++) {
        Tensor weight = random_tensor(TYPES[t], 20, 256);
        float x[3 * 256], a[60], b[60];
        random_floats(x, 3 * 256);
        if (cpu_is_quant(TYPES[t]))
            round_activations(x, 3 * 256);
        backend_ops(ref)->matmul(ref, &(MatMul){weight, NULL, a, 20, false}, 1, x, 256, 3);
        backend_ops(cpu)->matmul(cpu, &(MatMul){weight, NULL, b, 20, false}, 1, x, 256, 3);
        for (int i = 0; i < 60; i++)
            CHECK_MSG(fabsf(a[i] - b[i]) <= 2e-3f * (1 + fabsf(a[i])), "%s %s: %g, ref %g", level_name(cpu),
                      dtype_info((uint32_t)TYPES[t])->name, (double)b[i], (double)a[i]);
        free(weight.data);
    }
    backend_close(ref);
}

static void test_against_ref(void) {
    each_level(2, ref_products);
}

/* Rows of zeros, of one value, and values that are no numbers: defined results, no harm to the neighbours. */
static void odd_activations(Backend *cpu) {
    Tensor weight = random_tensor(DTYPE_Q8_0, 3, 64);
    float x[3 * 64] = {0}, out[9], alone[3];
    random_floats(x + 128, 64);
    for (int i = 64; i < 128; i++)
        x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -1;
    backend_ops(cpu)->matmul(cpu, &(MatMul){weight, NULL, out, 3, false}, 1, x, 64, 3);
    backend_ops(cpu)->matmul(cpu, &(MatMul){weight, NULL, alone, 3, false}, 1, x + 128, 64, 1);
    for (int i = 0; i < 3; i++)
        CHECK(out[i] == 0);
    CHECK(same_bits(out + 6, alone, 3));
    free(weight.data);
}

static void test_odd_activations(void) {
    each_level(1, odd_activations);
}

static const TestCase CASES[] = {{"ref_by_hand", test_ref_by_hand},
                                 {"products", test_products},
                                 {"against_ref", test_against_ref},
                                 {"threads_agree", test_threads_agree},
                                 {"odd_activations", test_odd_activations}};
TEST_SUITE(KERNELS_MATMUL_SUITE, "matmul", CASES);
