/* Products with AVX2: eight sums along the row, one fma each per eight columns (floats) or per block of 32
 * (bytes), folded at the end in halves; tiles of rows x tokens only hold more such registers at once.
 */
#if defined(__x86_64__)
#include "kernels/cpu/cpu_avx2_internal.h"

enum { QUANT_TOKENS = 4, FLOAT_ROWS = 2, FLOAT_TOKENS = 6, STREAM_ROWS = 4 };

static INLINE __m256i load_block(DType type, const uint8_t *row, int64_t b) {
    if (type == DTYPE_Q8_0)
        return _mm256_loadu_si256((const void *)(row + b * 34 + 2));
    __m128i nibbles = _mm_loadu_si128((const void *)(row + b * 18 + 2));
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(nibbles), _mm_srli_epi16(nibbles, 4), 1);
    return _mm256_sub_epi8(_mm256_and_si256(both, _mm256_set1_epi8(15)), _mm256_set1_epi8(8));
}

static INLINE float load_scale(DType type, const uint8_t *row, int64_t b) {
    uint16_t half;
    memcpy(&half, row + b * (type == DTYPE_Q8_0 ? 34 : 18), sizeof half);
    return _cvtsh_ss(half);
}

/* One row times tokens. |w| * sign(x, w) keeps the first factor unsigned, as the instruction wants; pairs
 * stay below 2^15 because x is never -128. */
static INLINE void quant_tile(DType type, const MatMul *job, int64_t row, QuantRows x, int token0,
                              const int tokens) {
    int64_t blocks = x.cols / QUANT_BLOCK;
    const uint8_t *weights = tensor_row(&job->weight, row);
    const int8_t *q = x.q + token0 * x.cols;
    const float *d = x.d + token0 * blocks;
    __m256 sum[QUANT_TOKENS];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++)
        sum[t] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        __m256i w = load_block(type, weights, b), size = _mm256_abs_epi8(w);
        float dw = load_scale(type, weights, b);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
            __m256i columns = _mm256_loadu_si256((const void *)(q + t * x.cols + b * QUANT_BLOCK));
            __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(columns, w));
            __m256 integer = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            sum[t] = _mm256_fmadd_ps(integer, _mm256_set1_ps(dw * d[t * blocks + b]), sum[t]);
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++)
        matmul_store(job, row, token0 + t, avx2_fold(sum[t]));
}

static INLINE void matmul_blocks(DType type, const MatMul *job, int64_t row0, int64_t row1, QuantRows x,
                                 int n) {
    int token = 0;
    for (; token + QUANT_TOKENS <= n; token += QUANT_TOKENS)
        for (int64_t r = row0; r < row1; r++)
            quant_tile(type, job, r, x, token, QUANT_TOKENS);
    for (; token < n; token++)
        for (int64_t r = row0; r < row1; r++)
            quant_tile(type, job, r, x, token, 1);
}

static void matmul_quant_avx2(const MatMul *job, int64_t row0, int64_t row1, QuantRows x, int n, void *pack) {
    if (job->weight.type == DTYPE_Q8_0)
        matmul_blocks(DTYPE_Q8_0, job, row0, row1, x, n);
    else if (job->weight.type == DTYPE_Q4_0)
        matmul_blocks(DTYPE_Q4_0, job, row0, row1, x, n);
    else
        cpu_matmul_quant_c(job, row0, row1, x, n, pack);
}

/* Eight values of a row from column c; `count` of them exist. */
static INLINE __m256 load_floats(DType type, const uint8_t *row, int64_t c, int64_t count) {
    uint8_t some[32] = {0};
    const uint8_t *at = row + c * (type == DTYPE_F32 ? 4 : 2);
    if (count < 8) {
        memcpy(some, at, (size_t)count * (type == DTYPE_F32 ? 4 : 2));
        at = some;
    }
    if (type == DTYPE_F32)
        return _mm256_loadu_ps((const float *)(const void *)at);
    __m128i words = _mm_loadu_si128((const void *)at);
    if (type == DTYPE_F16)
        return _mm256_cvtph_ps(words);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}

static INLINE void float_tile(DType type, const MatMul *job, int64_t row0, int64_t row1, const float *x,
                              int64_t x_stride, int token0, const int row_count, const int tokens) {
    const Tensor *weight = &job->weight;
    const uint8_t *rows[STREAM_ROWS];
    __m256 sum[STREAM_ROWS][FLOAT_TOKENS];
#pragma GCC unroll 4
    for (int r = 0; r < row_count; r++) {
        rows[r] = tensor_row(weight, row0 + r < row1 ? row0 + r : row1 - 1);
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++)
            sum[r][t] = _mm256_setzero_ps();
    }
    x += token0 * x_stride;
    for (int64_t c = 0; c < weight->cols; c += 8) {
        int64_t left = weight->cols - c;
        __m256 weights[STREAM_ROWS];
#pragma GCC unroll 4
        for (int r = 0; r < row_count; r++)
            weights[r] = left >= 8 ? load_floats(type, rows[r], c, 8) : load_floats(type, rows[r], c, left);
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++) {
            const float *at = x + t * x_stride + c;
            __m256 columns = left >= 8 ? _mm256_loadu_ps(at) : avx2_load_some(at, left);
#pragma GCC unroll 4
            for (int r = 0; r < row_count; r++)
                sum[r][t] = _mm256_fmadd_ps(weights[r], columns, sum[r][t]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < row_count; r++)
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++)
            if (row0 + r < row1)
                matmul_store(job, row0 + r, token0 + t, avx2_fold(sum[r][t]));
}

static INLINE void matmul_floats(DType type, const MatMul *job, int64_t row0, int64_t row1, const float *x,
                                 int64_t x_stride, int n) {
    int token = 0;
    for (; token + FLOAT_TOKENS <= n; token += FLOAT_TOKENS)
        for (int64_t r = row0; r < row1; r += FLOAT_ROWS)
            float_tile(type, job, r, row1, x, x_stride, token, FLOAT_ROWS, FLOAT_TOKENS);
    for (; token < n; token++)
        for (int64_t r = row0; r < row1; r += STREAM_ROWS)
            float_tile(type, job, r, row1, x, x_stride, token, STREAM_ROWS, 1);
}

static void matmul_float_avx2(const MatMul *job, int64_t row0, int64_t row1, const float *x, int64_t x_stride,
                              int n) {
    switch (job->weight.type) {
    case DTYPE_F32: matmul_floats(DTYPE_F32, job, row0, row1, x, x_stride, n); break;
    case DTYPE_F16: matmul_floats(DTYPE_F16, job, row0, row1, x, x_stride, n); break;
    default: matmul_floats(DTYPE_BF16, job, row0, row1, x, x_stride, n); break;
    }
}

void cpu_matmul_avx2(CpuKernels *kernels) {
    kernels->matmul_quant = matmul_quant_avx2;
    kernels->matmul_float = matmul_float_avx2;
}
#else
typedef int matmul_avx2_is_for_x86;
#endif
