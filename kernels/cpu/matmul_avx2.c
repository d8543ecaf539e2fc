/* Products with AVX2: eight sums along the row, one fma each per eight columns (floats) or per block of 32
 * (bytes), folded at the end in halves; tiles of rows x tokens only hold more such registers at once.
 */
#if defined(__x86_64__)
#include "kernels/cpu/cpu_avx2_internal.h"

enum { QUANT_TOKENS = 4, FLOAT_ROWS = 2, FLOAT_TOKENS = 6, STREAM_ROWS = 4 };

/* Of what a row repeats: 32 values, or 256 of K-quants. */
static INLINE int block_bytes_of(DType type) {
    switch (type) {
    case DTYPE_Q4_0: return 18;
    case DTYPE_Q5_0: return 22;
    case DTYPE_Q8_0: return 34;
    case DTYPE_Q4_K: return 144;
    case DTYPE_Q5_K: return 176;
    case DTYPE_Q6_K: return 210;
    default: return 17; /* MXFP4 */
    }
}

static INLINE __m256i load_nibbles(const uint8_t *at) {
    __m128i nibbles = _mm_loadu_si128((const void *)at);
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(nibbles), _mm_srli_epi16(nibbles, 4), 1);
    return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

/* 32 bits -> 32 bytes, 16 where the bit is set. */
static INLINE __m256i spread_bits(const uint8_t *at) {
    int32_t bits;
    memcpy(&bits, at, sizeof bits);
    const __m256i which = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i bytes = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), which), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bit), _mm256_set1_epi8(16));
}

/* The 32 values of a block with one scale, signed. */
static INLINE __m256i load_block(DType type, const uint8_t *block) {
    switch (type) {
    case DTYPE_Q8_0: return _mm256_loadu_si256((const void *)(block + 2));
    case DTYPE_Q4_0: return _mm256_sub_epi8(load_nibbles(block + 2), _mm256_set1_epi8(8));
    case DTYPE_Q5_0:
        return _mm256_sub_epi8(_mm256_or_si256(load_nibbles(block + 6), spread_bits(block + 2)),
                               _mm256_set1_epi8(16));
    default: break;
    }
    __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)E2M1_DOUBLED));
    return _mm256_shuffle_epi8(table, load_nibbles(block + 1));
}

static INLINE float load_half(const uint8_t *at) {
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return _cvtsh_ss(half);
}

/* Eight partial sums of |w| * sign(x, w), which keeps the first factor unsigned, as the instruction wants;
 * pairs stay below 2^15 because x is never -128. The first four are of the first sixteen columns. */
static INLINE __m256 signed_times_block(__m256i w, __m256i size, const int8_t *q) {
    __m256i columns = _mm256_loadu_si256((const void *)q);
    __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(columns, w));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* One row times tokens. */
static INLINE void quant_tile(DType type, const MatMul *job, int64_t row, QuantRows x, int token0,
                              const int tokens) {
    int64_t blocks = x.cols / QUANT_BLOCK;
    const uint8_t *block = tensor_row(&job->weight, row);
    const int8_t *q = x.q + token0 * x.cols;
    const float *d = x.d + token0 * blocks;
    __m256 sum[QUANT_TOKENS];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++)
        sum[t] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, block += block_bytes_of(type)) {
        __m256i w = load_block(type, block), size = _mm256_abs_epi8(w);
        float dw = type == DTYPE_MXFP4 ? mxfp4_half_scale(block[0]) : load_half(block);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
            __m256 integer = signed_times_block(w, size, q + t * x.cols + b * QUANT_BLOCK);
            sum[t] = _mm256_fmadd_ps(integer, _mm256_set1_ps(dw * d[t * blocks + b]), sum[t]);
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++)
        matmul_store(job, row, token0 + t, avx2_fold(sum[t]));
}

/* Bits shift .. of every byte, those in mask. */
static INLINE __m256i bits_at(const uint8_t *at, int shift, int mask) {
    __m256i bytes = _mm256_loadu_si256((const void *)at);
    return _mm256_and_si256(_mm256_srl_epi16(bytes, _mm_cvtsi32_si128(shift)), _mm256_set1_epi8((char)mask));
}

/* Part 0..7 of a block of 256; Q6_K is signed. */
static INLINE __m256i load_part(DType type, const uint8_t *block, int part) {
    if (type == DTYPE_Q6_K) {
        __m256i low = bits_at(block + part / 4 * 64 + (part & 1) * 32, part % 4 / 2 * 4, 15);
        __m256i high = bits_at(block + 128 + part / 4 * 32, part % 4 * 2, 3);
        return _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)), _mm256_set1_epi8(32));
    }
    __m256i low = bits_at(block + (type == DTYPE_Q5_K ? 48 : 16) + part / 2 * 32, (part & 1) * 4, 15);
    if (type == DTYPE_Q4_K)
        return low;
    return _mm256_or_si256(low, _mm256_slli_epi16(bits_at(block + 16, part, 1), 4));
}

static INLINE void store_scaled(float *out, __m256i integers, float d) {
    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_cvtepi32_ps(integers), _mm256_set1_ps(d)));
}

/* Eight scales and eight mins of Q4_K and Q5_K, sixteen scales of Q6_K. */
static INLINE void load_part_scales(DType type, const uint8_t *block, float *scales) {
    if (type == DTYPE_Q6_K) {
        __m128i bytes = _mm_loadu_si128((const void *)(block + 192));
        float d = load_half(block + 208);
        store_scaled(scales, _mm256_cvtepi8_epi32(bytes), d);
        store_scaled(scales + 8, _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)), d);
        return;
    }
    uint32_t word[3];
    memcpy(word, block + 4, sizeof word);
    int32_t low = (int32_t)(word[0] & 0x3F3F3F3F), low_min = (int32_t)(word[1] & 0x3F3F3F3F);
    int32_t high = (int32_t)((word[2] & 0x0F0F0F0F) | (word[0] >> 2 & 0x30303030));
    int32_t high_min = (int32_t)((word[2] >> 4 & 0x0F0F0F0F) | (word[1] >> 2 & 0x30303030));
    __m128i bytes = _mm_setr_epi32(low, high, low_min, high_min);
    store_scaled(scales, _mm256_cvtepu8_epi32(bytes), load_half(block));
    store_scaled(scales + 8, _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8)), load_half(block + 2));
}

/* One row of a K-quant times tokens. Mins multiply the sums of activations, one by one. */
static INLINE void k_tile(DType type, const MatMul *job, int64_t row, QuantRows x, int token0,
                          const int tokens) {
    int64_t blocks = x.cols / QUANT_BLOCK;
    const uint8_t *block = tensor_row(&job->weight, row);
    const int8_t *q = x.q + token0 * x.cols;
    const float *d = x.d + token0 * blocks;
    const int32_t *offsets = x.offsets + token0 * blocks;
    float mins[QUANT_TOKENS] = {0};
    __m256 sum[QUANT_TOKENS];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++)
        sum[t] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b += 8, block += block_bytes_of(type)) {
        float scales[16];
        load_part_scales(type, block, scales);
#pragma GCC unroll 8
        for (int part = 0; part < 8; part++) {
            __m256i w = load_part(type, block, part), size = _mm256_abs_epi8(w);
#pragma GCC unroll 4
            for (int t = 0; t < tokens; t++) {
                int64_t at = t * blocks + b + part;
                __m256 integer = signed_times_block(w, size, q + t * x.cols + (b + part) * QUANT_BLOCK),
                       scale;
                if (type == DTYPE_Q6_K) {
                    scale = _mm256_set_m128(_mm_set1_ps(scales[2 * part + 1] * d[at]),
                                            _mm_set1_ps(scales[2 * part] * d[at]));
                } else {
                    scale = _mm256_set1_ps(scales[part] * d[at]);
                    mins[t] += scales[8 + part] * ((float)offsets[at] * d[at] * 0x1p-7f);
                }
                sum[t] = _mm256_fmadd_ps(integer, scale, sum[t]);
            }
        }
    }
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++)
        matmul_store(job, row, token0 + t, avx2_fold(sum[t]) + mins[t]);
}

static INLINE void any_tile(DType type, const MatMul *job, int64_t row, QuantRows x, int token0,
                            const int tokens) {
    if (type == DTYPE_Q4_K || type == DTYPE_Q5_K || type == DTYPE_Q6_K)
        k_tile(type, job, row, x, token0, tokens);
    else
        quant_tile(type, job, row, x, token0, tokens);
}

static INLINE void matmul_blocks(DType type, const MatMul *job, int64_t row0, int64_t row1, QuantRows x,
                                 int n) {
    int token = 0;
    for (; token + QUANT_TOKENS <= n; token += QUANT_TOKENS)
        for (int64_t r = row0; r < row1; r++)
            any_tile(type, job, r, x, token, QUANT_TOKENS);
    for (; token < n; token++)
        for (int64_t r = row0; r < row1; r++)
            any_tile(type, job, r, x, token, 1);
}

static void matmul_quant_avx2(const MatMul *job, int64_t row0, int64_t row1, QuantRows x, int n, void *pack) {
    (void)pack;
    switch (job->weight.type) {
    case DTYPE_Q8_0: matmul_blocks(DTYPE_Q8_0, job, row0, row1, x, n); break;
    case DTYPE_Q5_0: matmul_blocks(DTYPE_Q5_0, job, row0, row1, x, n); break;
    case DTYPE_Q4_K: matmul_blocks(DTYPE_Q4_K, job, row0, row1, x, n); break;
    case DTYPE_Q5_K: matmul_blocks(DTYPE_Q5_K, job, row0, row1, x, n); break;
    case DTYPE_Q6_K: matmul_blocks(DTYPE_Q6_K, job, row0, row1, x, n); break;
    case DTYPE_MXFP4: matmul_blocks(DTYPE_MXFP4, job, row0, row1, x, n); break;
    default: matmul_blocks(DTYPE_Q4_0, job, row0, row1, x, n); break;
    }
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
