/* Attention and the operations on single values with AVX-512.
 *
 * A block of 64 keys is turned so that sixteen keys lie in a register: a score is then one fma per dimension,
 * in order, with no sum across lanes. Weighted values are one fma per key, in order, sixteen dimensions per
 * register.
 */
#if defined(__x86_64__)
#include "kernels/cpu/cpu_avx512_internal.h"

#include <math.h>

enum { KEY_REGISTERS = KEY_BLOCK / 16, TILE_ROWS = 6 };

static INLINE __mmask16 mask_of(int64_t count) {
    return count >= 16 ? 0xFFFF : (__mmask16)((1u << count) - 1);
}

/* Sixteen columns from c of row k. */
static INLINE __m512 load_kv(KvBlock kv, const bool is_f32, int k, int c, __mmask16 mask) {
    const char *row = kv.at + (size_t)k * kv.row_bytes;
    if (is_f32)
        return _mm512_maskz_loadu_ps(mask, row + 4 * c);
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, row + 2 * c));
}

/* Sixteen rows of sixteen -> sixteen columns, stored 64 floats apart. */
static INLINE void store_turned(__m512 *row, float *out) {
    __m512 pair[16], quad[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        pair[i] = _mm512_unpacklo_ps(row[i], row[i + 1]);
        pair[i + 1] = _mm512_unpackhi_ps(row[i], row[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        for (int h = 0; h < 2; h++) {
            __m512d a = _mm512_castps_pd(pair[i + h]), b = _mm512_castps_pd(pair[i + h + 2]);
            quad[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            quad[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    /* quad[4g + j], lane l holds column 4l + j of rows 4g .. 4g + 3 */
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m512 even01 = _mm512_shuffle_f32x4(quad[j], quad[4 + j], 0x88);
        __m512 even23 = _mm512_shuffle_f32x4(quad[8 + j], quad[12 + j], 0x88);
        __m512 odd01 = _mm512_shuffle_f32x4(quad[j], quad[4 + j], 0xDD);
        __m512 odd23 = _mm512_shuffle_f32x4(quad[8 + j], quad[12 + j], 0xDD);
        _mm512_store_ps(out + (0 + j) * KEY_BLOCK, _mm512_shuffle_f32x4(even01, even23, 0x88));
        _mm512_store_ps(out + (4 + j) * KEY_BLOCK, _mm512_shuffle_f32x4(odd01, odd23, 0x88));
        _mm512_store_ps(out + (8 + j) * KEY_BLOCK, _mm512_shuffle_f32x4(even01, even23, 0xDD));
        _mm512_store_ps(out + (12 + j) * KEY_BLOCK, _mm512_shuffle_f32x4(odd01, odd23, 0xDD));
    }
}

/* keys[dimension][key] as floats; absent keys and dimensions are zero. */
static INLINE void load_keys(AttendTile *tile, KvBlock keys, int count, const bool is_f32) {
    for (int c = 0; c < tile->padded; c += 16) {
        __mmask16 mask = mask_of(tile->head_dim - c);
        for (int k0 = 0; k0 < KEY_BLOCK; k0 += 16) {
            __m512 row[16];
#pragma GCC unroll 16
            for (int k = 0; k < 16; k++)
                row[k] = k0 + k < count ? load_kv(keys, is_f32, k0 + k, c, mask) : _mm512_setzero_ps();
            store_turned(row, tile->keys + c * KEY_BLOCK + k0);
        }
    }
}

/* values[key][dimension] as floats; absent dimensions are zero. */
static INLINE void load_values(AttendTile *tile, KvBlock values, int count, const bool is_f32) {
    for (int k = 0; k < count; k++)
        for (int c = 0; c < tile->value_padded; c += 16)
            _mm512_store_ps(tile->values + k * tile->value_padded + c,
                            load_kv(values, is_f32, k, c, mask_of(tile->value_dim - c)));
}

static INLINE void score_rows(AttendTile *tile, int row0, const int rows) {
    const float *q = tile->q + (int64_t)row0 * tile->padded;
    __m512 sum[TILE_ROWS][KEY_REGISTERS];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int k = 0; k < KEY_REGISTERS; k++)
            sum[r][k] = _mm512_setzero_ps();
    for (int c = 0; c < tile->head_dim; c++) {
        __m512 keys[KEY_REGISTERS];
#pragma GCC unroll 4
        for (int k = 0; k < KEY_REGISTERS; k++)
            keys[k] = _mm512_load_ps(tile->keys + c * KEY_BLOCK + 16 * k);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            __m512 value = _mm512_set1_ps(q[r * tile->padded + c]);
#pragma GCC unroll 4
            for (int k = 0; k < KEY_REGISTERS; k++)
                sum[r][k] = _mm512_fmadd_ps(value, keys[k], sum[r][k]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int k = 0; k < KEY_REGISTERS; k++)
            _mm512_store_ps(tile->scores + (row0 + r) * KEY_BLOCK + 16 * k, sum[r][k]);
}

/* Turns the scores of the first `seen` keys into weights and shrinks the row's earlier sums to the new
 * largest score. */
static void soften_row(AttendTile *tile, int row, int seen) {
    float *scores = tile->scores + row * KEY_BLOCK, old = tile->largest[row];
    __m512 score[KEY_REGISTERS], most = _mm512_set1_ps(old);
    for (int k = 0; k < KEY_REGISTERS; k++) {
        score[k] = _mm512_load_ps(scores + 16 * k);
        if (seen > 16 * k)
            most = _mm512_mask_max_ps(most, mask_of(seen - 16 * k), most, score[k]);
    }
    float largest = _mm512_reduce_max_ps(most);
    most = _mm512_set1_ps(largest);
    __m512 total = _mm512_setzero_ps();
    for (int k = 0; k < KEY_REGISTERS; k++) {
        __mmask16 mask = seen > 16 * k ? mask_of(seen - 16 * k) : 0;
        score[k] = _mm512_maskz_mov_ps(mask, avx512_exp2(_mm512_sub_ps(score[k], most)));
        total = _mm512_add_ps(total, score[k]);
        _mm512_store_ps(scores + 16 * k, score[k]);
    }
    float shrink = _mm512_cvtss_f32(avx512_exp2(_mm512_set1_ps(old - largest)));
    tile->total[row] = tile->total[row] * shrink + avx512_fold(total);
    tile->largest[row] = largest;
    float *sum = tile->sum + (int64_t)row * tile->value_padded;
    for (int c = 0; c < tile->value_padded && old != largest; c += 16)
        _mm512_store_ps(sum + c, _mm512_mul_ps(_mm512_load_ps(sum + c), _mm512_set1_ps(shrink)));
}

/* rows x (16 * width) dimensions; all rows see the same keys. */
static INLINE void weigh_rows(AttendTile *tile, int row0, int c, KeySpan span, const int rows,
                              const int width) {
    float *sums = tile->sum + (int64_t)row0 * tile->value_padded + c;
    const float *weights = tile->scores + row0 * KEY_BLOCK;
    __m512 sum[TILE_ROWS][4];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int w = 0; w < width; w++)
            sum[r][w] = _mm512_load_ps(sums + r * tile->value_padded + 16 * w);
    for (int k = span.from; k < span.to; k++) {
        __m512 values[4];
#pragma GCC unroll 4
        for (int w = 0; w < width; w++)
            values[w] = _mm512_load_ps(tile->values + k * tile->value_padded + c + 16 * w);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            __m512 weight = _mm512_set1_ps(weights[r * KEY_BLOCK + k]);
#pragma GCC unroll 4
            for (int w = 0; w < width; w++)
                sum[r][w] = _mm512_fmadd_ps(weight, values[w], sum[r][w]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int w = 0; w < width; w++)
            _mm512_store_ps(sums + r * tile->value_padded + 16 * w, sum[r][w]);
}

static INLINE void weigh_all(AttendTile *tile, int row0, KeySpan span, const int rows) {
    int c = 0;
    for (; c + 64 <= tile->value_padded; c += 64)
        weigh_rows(tile, row0, c, span, rows, 4);
    for (; c < tile->value_padded; c += 16)
        weigh_rows(tile, row0, c, span, rows, 1);
}

static void attend_block_avx512(AttendTile *tile, KvBlock keys, KvBlock values, int start, int count) {
    if (keys.is_f32)
        load_keys(tile, keys, count, true);
    else
        load_keys(tile, keys, count, false);
    if (values.is_f32)
        load_values(tile, values, count, true);
    else
        load_values(tile, values, count, false);
    int row = 0;
    for (; row + TILE_ROWS <= tile->rows; row += TILE_ROWS)
        score_rows(tile, row, TILE_ROWS);
    for (; row + 2 <= tile->rows; row += 2)
        score_rows(tile, row, 2);
    if (row < tile->rows)
        score_rows(tile, row, 1);
    for (int r = 0; r < tile->rows; r++) {
        KeySpan span = keys_seen(tile, r, start, count);
        if (span.from >= span.to)
            continue;
        if (span.from > 0 || tile->softcap > 0)
            attend_limit_scores(tile, r, span);
        soften_row(tile, r, span.to);
    }
    for (int r = 0, end; r < tile->rows; r = end) {
        KeySpan span = keys_seen(tile, r, start, count);
        for (end = r + 1; end < tile->rows; end++) {
            KeySpan next = keys_seen(tile, end, start, count);
            if (next.from != span.from || next.to != span.to)
                break;
        }
        if (span.from >= span.to)
            continue;
        for (; r + TILE_ROWS <= end; r += TILE_ROWS)
            weigh_all(tile, r, span, TILE_ROWS);
        for (; r + 2 <= end; r += 2)
            weigh_all(tile, r, span, 2);
        if (r < end)
            weigh_all(tile, r, span, 1);
    }
}

static void rms_norm_avx512(float *out, const float *x, const float *weight, int64_t d, float eps) {
    __m512 squares[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (int64_t c = 0; c < d; c += 16) {
        __m512 value = _mm512_maskz_loadu_ps(mask_of(d - c), x + c);
        squares[c / 16 & 1] = _mm512_fmadd_ps(value, value, squares[c / 16 & 1]);
    }
    float mean = avx512_fold(_mm512_add_ps(squares[0], squares[1])) / (float)d;
    __m512 factor = _mm512_set1_ps(1 / sqrtf(mean + eps));
    for (int64_t c = 0; c < d; c += 16) {
        __mmask16 mask = mask_of(d - c);
        __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + c), factor);
        _mm512_mask_storeu_ps(out + c, mask, _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(mask, weight + c)));
    }
}

static void swiglu_avx512(float *out, const float *gate, const float *up, int64_t count) {
    const __m512 minus_log2e = _mm512_set1_ps(-1.44269504088896341f), one = _mm512_set1_ps(1);
    for (int64_t i = 0; i < count; i += 16) {
        __mmask16 mask = mask_of(count - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i), u = _mm512_maskz_loadu_ps(mask, up + i);
        __m512 below = _mm512_add_ps(one, avx512_exp2(_mm512_mul_ps(g, minus_log2e)));
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(_mm512_div_ps(g, below), u));
    }
}

static void add_avx512(float *out, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i += 16) {
        __mmask16 mask = mask_of(count - i);
        __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out + i), _mm512_maskz_loadu_ps(mask, x + i));
        _mm512_mask_storeu_ps(out + i, mask, sum);
    }
}

static void halves_from_floats_avx512(uint16_t *out, const float *x, int64_t count) {
    for (int64_t i = 0; i < count; i += 16) {
        __mmask16 mask = mask_of(count - i);
        __m256i halves = _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm256_mask_storeu_epi16(out + i, mask, halves);
    }
}

static uint64_t read_sum_avx512(const void *bytes, size_t n) {
    __m512i sum[4] = {0};
    const char *at = bytes;
    for (size_t i = 0; i + 256 <= n; i += 256)
        for (int l = 0; l < 4; l++)
            sum[l] = _mm512_add_epi64(sum[l], _mm512_loadu_si512(at + i + 64 * l));
    uint64_t lanes[8], total = 0; /* summed without sign: the intrinsic's reduction may overflow */
    _mm512_storeu_si512(lanes,
                        _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3])));
    for (int l = 0; l < 8; l++)
        total += lanes[l];
    return total;
}

void cpu_attention_avx512(CpuKernels *kernels) {
    kernels->attend_block = attend_block_avx512;
    kernels->rms_norm = rms_norm_avx512;
    kernels->swiglu = swiglu_avx512;
    kernels->add = add_avx512;
    kernels->halves_from_floats = halves_from_floats_avx512;
    kernels->read_sum = read_sum_avx512;
}

void cpu_kernels_avx512(CpuKernels *kernels) {
    kernels->name = "avx512";
    cpu_matmul_avx512(kernels);
    cpu_matmul_float_avx512(kernels);
    cpu_attention_avx512(kernels);
}
#else
typedef int attention_avx512_is_for_x86;
#endif
