/* Products of float weights with AVX-512: sixteen sums along the row, one fma each per sixteen columns,
 * folded at the end in halves. Tiles of rows x tokens only hold more such registers at once.
 */
#if defined(__x86_64__)
#include "kernels/cpu/cpu_avx512_internal.h"

static INLINE __m512 load_floats(DType type, const uint8_t *row, int64_t c, __mmask16 mask) {
    switch (type) {
    case DTYPE_F32: return _mm512_maskz_loadu_ps(mask, row + c * 4);
    case DTYPE_F16: return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, row + c * 2));
    default: break;
    }
    __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, row + c * 2));
    return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}

enum { FLOAT_ROWS = 4, FLOAT_TOKENS = 6, STREAM_ROWS = 8 };

/* Columns c .. c + 15 (those in mask) of a tile of rows x tokens. */
static INLINE void float_step(DType type, const uint8_t *const *rows, const float *x, int64_t x_stride,
                              int64_t c, __mmask16 mask, __m512 (*sum)[FLOAT_TOKENS], const int row_count,
                              const int tokens) {
    __m512 columns[FLOAT_TOKENS];
#pragma GCC unroll 6
    for (int t = 0; t < tokens; t++)
        columns[t] = _mm512_maskz_loadu_ps(mask, x + t * x_stride + c);
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
        __m512 weights = load_floats(type, rows[r], c, mask);
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++)
            sum[r][t] = _mm512_fmadd_ps(weights, columns[t], sum[r][t]);
    }
}

/* Up to row_count rows (those below row1) times tokens; both are constants after inlining. */
static INLINE void float_tile(DType type, const MatMul *job, int64_t row0, int64_t row1, const float *x,
                              int64_t x_stride, int token0, const int row_count, const int tokens) {
    const Tensor *weight = &job->weight;
    const uint8_t *rows[STREAM_ROWS];
    __m512 sum[STREAM_ROWS][FLOAT_TOKENS];
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++) {
        rows[r] = tensor_row(weight, row0 + r < row1 ? row0 + r : row1 - 1);
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++)
            sum[r][t] = _mm512_setzero_ps();
    }
    x += token0 * x_stride;
    int64_t c = 0, ahead = row_count * (int64_t)weight->row_bytes,
            per_step = ahead / (weight->cols / 16 + 1) + 64;
    for (; c + 16 <= weight->cols; c += 16) {
        if (tokens == 1) /* the next rows, in the order of memory */
            for (int64_t line = 0; line < per_step; line += 64)
                _mm_prefetch((const char *)rows[0] + ahead + c / 16 * per_step + line, _MM_HINT_T0);
        float_step(type, rows, x, x_stride, c, 0xFFFF, sum, row_count, tokens);
    }
    if (c < weight->cols)
        float_step(type, rows, x, x_stride, c, (__mmask16)((1u << (weight->cols - c)) - 1), sum, row_count,
                   tokens);
#pragma GCC unroll 8
    for (int r = 0; r < row_count; r++)
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++)
            if (row0 + r < row1)
                matmul_store(job, row0 + r, token0 + t, avx512_fold(sum[r][t]));
}

static INLINE void float_rows(DType type, const MatMul *job, int64_t row0, int64_t row1, const float *x,
                              int64_t x_stride, int token, const int tokens) {
    for (int64_t r = row0; r < row1; r += FLOAT_ROWS)
        float_tile(type, job, r, row1, x, x_stride, token, FLOAT_ROWS, tokens);
}

static INLINE void matmul_floats(DType type, const MatMul *job, int64_t row0, int64_t row1, const float *x,
                                 int64_t x_stride, int n) {
    if (n == 1) {
        for (int64_t r = row0; r < row1; r += STREAM_ROWS)
            float_tile(type, job, r, row1, x, x_stride, 0, STREAM_ROWS, 1);
        return;
    }
    int token = 0;
    for (; token + FLOAT_TOKENS <= n; token += FLOAT_TOKENS)
        float_rows(type, job, row0, row1, x, x_stride, token, FLOAT_TOKENS);
    for (; token + 2 <= n; token += 2)
        float_rows(type, job, row0, row1, x, x_stride, token, 2);
    if (token < n)
        float_rows(type, job, row0, row1, x, x_stride, token, 1);
}

static void matmul_float_avx512(const MatMul *job, int64_t row0, int64_t row1, const float *x,
                                int64_t x_stride, int n) {
    switch (job->weight.type) {
    case DTYPE_F32: matmul_floats(DTYPE_F32, job, row0, row1, x, x_stride, n); break;
    case DTYPE_F16: matmul_floats(DTYPE_F16, job, row0, row1, x, x_stride, n); break;
    default: matmul_floats(DTYPE_BF16, job, row0, row1, x, x_stride, n); break;
    }
}

void cpu_matmul_float_avx512(CpuKernels *kernels) {
    kernels->matmul_float = matmul_float_avx512;
}
#else
typedef int matmul_float_avx512_is_for_x86;
#endif
