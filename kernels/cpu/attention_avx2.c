/* Attention and the operations on single values with AVX2: scores are dot products along the head, eight sums
 * folded at the end; weighted values are one fma per key, in order, eight dimensions per register.
 */
#if defined(__x86_64__)
#include "kernels/cpu/cpu_avx2_internal.h"

#include <math.h>

static void kv_floats(float *out, KvBlock kv, int key, int count, int padded) {
    const char *row = kv.at + (size_t)key * kv.row_bytes;
    const uint16_t *halves = (const void *)row;
    int i = 0;
    if (kv.is_f32) {
        memcpy(out, row, (size_t)count * sizeof *out);
        i = count;
    }
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(halves + i))));
    for (; i < padded; i++)
        out[i] = i < count ? _cvtsh_ss(halves[i]) : 0;
}

/* Scores of the keys seen, four at a time; the first and last four may reach into keys that do not count. */
static void score_row(AttendTile *tile, int row, KeySpan span) {
    const float *q = tile->q + (int64_t)row * tile->padded;
    for (int k = span.from / 4 * 4; k < span.to; k += 4) {
        const float *keys = tile->keys + k * tile->padded;
        __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
        for (int c = 0; c < tile->padded; c += 8) {
            __m256 value = _mm256_loadu_ps(q + c);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                sum[j] = _mm256_fmadd_ps(value, _mm256_loadu_ps(keys + j * tile->padded + c), sum[j]);
        }
        for (int j = 0; j < 4; j++)
            tile->scores[row * KEY_BLOCK + k + j] = avx2_fold(sum[j]);
    }
}

/* Turns scores into weights and shrinks the row's earlier sums to the new largest score. */
static void soften_row(AttendTile *tile, int row, int seen) {
    float *scores = tile->scores + row * KEY_BLOCK, old = tile->largest[row], largest = old;
    for (int k = 0; k < seen; k++)
        largest = scores[k] > largest ? scores[k] : largest;
    for (int k = seen; k < KEY_BLOCK; k++)
        scores[k] = -INFINITY;
    __m256 total = _mm256_setzero_ps(), most = _mm256_set1_ps(largest);
    for (int k = 0; k < seen; k += 8) {
        __m256 score = _mm256_loadu_ps(scores + k);
        __m256 present = _mm256_cmp_ps(score, _mm256_set1_ps(-INFINITY), _CMP_NEQ_UQ);
        score = _mm256_and_ps(avx2_exp2(_mm256_sub_ps(score, most)), present);
        _mm256_storeu_ps(scores + k, score);
        total = _mm256_add_ps(total, score);
    }
    float shrink = _mm256_cvtss_f32(avx2_exp2(_mm256_set1_ps(old - largest)));
    tile->total[row] = tile->total[row] * shrink + avx2_fold(total);
    tile->largest[row] = largest;
    float *sum = tile->sum + (int64_t)row * tile->value_padded;
    for (int c = 0; c < tile->value_padded; c += 8)
        _mm256_storeu_ps(sum + c, _mm256_mul_ps(_mm256_loadu_ps(sum + c), _mm256_set1_ps(shrink)));
}

static INLINE void weigh_columns(AttendTile *tile, int row, int c, KeySpan span, const int width) {
    float *sums = tile->sum + (int64_t)row * tile->value_padded + c;
    const float *weights = tile->scores + row * KEY_BLOCK;
    __m256 sum[8];
#pragma GCC unroll 8
    for (int w = 0; w < width; w++)
        sum[w] = _mm256_loadu_ps(sums + 8 * w);
    for (int k = span.from; k < span.to; k++) {
        __m256 weight = _mm256_set1_ps(weights[k]);
        const float *values = tile->values + k * tile->value_padded + c;
#pragma GCC unroll 8
        for (int w = 0; w < width; w++)
            sum[w] = _mm256_fmadd_ps(weight, _mm256_loadu_ps(values + 8 * w), sum[w]);
    }
#pragma GCC unroll 8
    for (int w = 0; w < width; w++)
        _mm256_storeu_ps(sums + 8 * w, sum[w]);
}

static void attend_block_avx2(AttendTile *tile, KvBlock keys, KvBlock values, int start, int count) {
    for (int k = 0; k < (count + 3) / 4 * 4; k++) {
        int from = k < count ? k : count - 1; /* repeats the last key up to a multiple of four */
        kv_floats(tile->keys + k * tile->padded, keys, from, tile->head_dim, tile->padded);
        kv_floats(tile->values + k * tile->value_padded, values, from, tile->value_dim, tile->value_padded);
    }
    for (int r = 0; r < tile->rows; r++) {
        KeySpan span = keys_seen(tile, r, start, count);
        if (span.from >= span.to)
            continue;
        score_row(tile, r, span);
        if (span.from > 0 || tile->softcap > 0)
            attend_limit_scores(tile, r, span);
        soften_row(tile, r, span.to);
        int c = 0;
        for (; c + 64 <= tile->value_padded; c += 64)
            weigh_columns(tile, r, c, span, 8);
        for (; c < tile->value_padded; c += 16)
            weigh_columns(tile, r, c, span, 2);
    }
}

static void rms_norm_avx2(float *out, const float *x, const float *weight, int64_t d, float eps) {
    __m256 squares[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t c = 0; c < d; c += 8) {
        __m256 value = d - c >= 8 ? _mm256_loadu_ps(x + c) : avx2_load_some(x + c, d - c);
        squares[c / 8 & 1] = _mm256_fmadd_ps(value, value, squares[c / 8 & 1]);
    }
    float factor = 1 / sqrtf(avx2_fold(_mm256_add_ps(squares[0], squares[1])) / (float)d + eps);
    for (int64_t c = 0; c < d; c++)
        out[c] = x[c] * factor * weight[c];
}

static INLINE __m256 gated(__m256 gate, __m256 up) {
    __m256 power = avx2_exp2(_mm256_mul_ps(gate, _mm256_set1_ps(-1.44269504088896341f)));
    return _mm256_mul_ps(_mm256_div_ps(gate, _mm256_add_ps(_mm256_set1_ps(1), power)), up);
}

static void swiglu_avx2(float *out, const float *gate, const float *up, int64_t count) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(out + i, gated(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
    if (i < count)
        avx2_store_some(out + i, count - i,
                        gated(avx2_load_some(gate + i, count - i), avx2_load_some(up + i, count - i)));
}

static void halves_from_floats_avx2(uint16_t *out, const float *x, int64_t count) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm_storeu_si128((void *)(out + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < count; i++)
        out[i] = half_from_float(x[i]);
}

static uint64_t read_sum_avx2(const void *bytes, size_t n) {
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                      _mm256_setzero_si256()};
    const char *at = bytes;
    for (size_t i = 0; i + 128 <= n; i += 128)
        for (int l = 0; l < 4; l++)
            sum[l] = _mm256_add_epi64(sum[l], _mm256_loadu_si256((const void *)(at + i + 32 * l)));
    uint64_t words[4];
    _mm256_storeu_si256((void *)words,
                        _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3])));
    return words[0] + words[1] + words[2] + words[3];
}

void cpu_attention_avx2(CpuKernels *kernels) {
    kernels->attend_block = attend_block_avx2;
    kernels->rms_norm = rms_norm_avx2;
    kernels->swiglu = swiglu_avx2;
    kernels->halves_from_floats = halves_from_floats_avx2;
    kernels->read_sum = read_sum_avx2;
}

void cpu_kernels_avx2(CpuKernels *kernels) {
    kernels->name = "avx2";
    cpu_matmul_avx2(kernels);
    cpu_attention_avx2(kernels);
}
#else
typedef int attention_avx2_is_for_x86;
#endif
