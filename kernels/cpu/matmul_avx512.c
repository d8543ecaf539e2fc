/* Products of quantised weights with AVX-512.
 *
 * Sixteen rows side by side, one per lane. A block of 32 columns gives each lane an exact integer (VNNI,
 * weights shifted to 0..255, activations signed, the shift taken back by the activations' offset), then
 * sum = fma(integer, weight scale * activation scale, sum) block after block. A min is one more fma with the
 * sum of activations; scales for sixteen columns make two integers of a block. One token reads the rows as
 * they lie in the file; many tokens first pack the rows so that four columns of sixteen rows fill a register.
 * Both give the same integers, hence the same sums.
 */
#if defined(__x86_64__)
#include "kernels/cpu/panel_avx512_internal.h"

enum {
    BLOCK_DWORDS = 8, /* groups of four columns in a block */
    PACKED_BLOCK = PANEL * QUANT_BLOCK,
    BLOCK_SCALES = 2 * PANEL,
    TILE_PANELS = 2,
    TILE_TOKENS = 6,
    NEAR_BYTES = 32 << 10 /* of a panel whose successor is asked for while it is used */
};

/* Four registers of four lanes' worth in each 128 bits -> the four sums side by side. */
static INLINE __m512i add_lanes(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

static INLINE void store_panel(const MatMul *job, const Panel *panel, int token, __m512 sum) {
    float *out = job->out + token * job->out_stride + panel->row0;
    if (job->bias)
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(panel->present, job->bias + panel->row0));
    if (job->accumulate)
        sum = _mm512_add_ps(_mm512_maskz_loadu_ps(panel->present, out), sum);
    _mm512_mask_storeu_ps(out, panel->present, sum);
}

/* Block b of sixteen rows times 32 bytes of activations, one sum per row; weights count from 0 to 255. */
static INLINE __m512i bytes_times_block(const Panel *panel, int64_t b, const int8_t *q) {
    const __m512i low_halves = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i high_halves = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    __m512i columns = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)q)), part[8];
#pragma GCC unroll 8
    for (int r = 0; r < 8; r++)
        part[r] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), load_pair(DTYPE_Q8_0, panel, r, b), columns);
    __m512i first = add_lanes(part[0], part[1], part[2], part[3]);
    __m512i second = add_lanes(part[4], part[5], part[6], part[7]);
    return _mm512_add_epi32(_mm512_permutex2var_epi64(first, low_halves, second),
                            _mm512_permutex2var_epi64(first, high_halves, second));
}

/* 16 bits of rows r, r + 4, r + 8, r + 12. */
static INLINE __mmask64 load_four_masks(const Panel *panel, int r, int64_t at) {
    uint64_t mask = 0;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        uint16_t bits;
        memcpy(&bits, panel->rows[r + 4 * i] + at, sizeof bits);
        mask |= (uint64_t)bits << 16 * i;
    }
    return mask;
}

/* The same for types that store nibbles: rows r, r + 4, r + 8, r + 12 share a register. Q4_0 counts from 0 to
 * 15, Q5_0 to 31, MXFP4 from 116 to 140. */
static INLINE __m512i nibbles_times_block(DType type, const Panel *panel, int64_t b, const int8_t *q) {
    __m512i low = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)q)), part[4];
    __m512i high = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(q + 16)));
    const __m512i mask = _mm512_set1_epi8(15), sixteen = _mm512_set1_epi8(16);
    int64_t at = b * block_bytes_of(type);
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        __m512i rows = load_four(panel, r, at + (type == DTYPE_Q4_0 ? 2 : type == DTYPE_Q5_0 ? 6 : 1));
        __m512i first = _mm512_and_si512(rows, mask);
        __m512i second = _mm512_and_si512(_mm512_srli_epi16(rows, 4), mask);
        if (type == DTYPE_MXFP4) {
            first = _mm512_shuffle_epi8(e2m1_table(), first);
            second = _mm512_shuffle_epi8(e2m1_table(), second);
        }
        if (type == DTYPE_Q5_0) {
            first = _mm512_or_si512(first, _mm512_maskz_mov_epi8(load_four_masks(panel, r, at + 2), sixteen));
            second =
                _mm512_or_si512(second, _mm512_maskz_mov_epi8(load_four_masks(panel, r, at + 4), sixteen));
        }
        part[r] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, low);
        part[r] = _mm512_dpbusd_epi32(part[r], second, high);
    }
    return add_lanes(part[0], part[1], part[2], part[3]);
}

/* The rows of a panel are read side by side, which prefetchers follow badly, so memory is asked for ahead of
 * use: the next panel in its own order where that fits the first cache (is_near), otherwise some blocks ahead
 * in each row. */
static INLINE void ask_ahead(DType type, const Panel *panel, int64_t panel_bytes, int64_t b, int64_t blocks,
                             const bool is_near) {
    const int block_bytes = block_bytes_of(type), ahead = kind_of(type) == BLOCK_PLAIN ? 32 : 4;
    if (is_near) {
        const char *next = (const char *)panel->rows[0] + panel_bytes + b * PANEL * block_bytes;
        for (int line = 0; line < PANEL * block_bytes; line += 64)
            _mm_prefetch(next + line, _MM_HINT_T0);
        return;
    }
    int64_t then = b + ahead, at = then * block_bytes;
    if (then >= blocks)
        at = panel_bytes + (then - blocks) * block_bytes;
#pragma GCC unroll 16
    for (int r = 0; r < PANEL; r++)
        for (int line = 0; line < block_bytes; line += 64)
            _mm_prefetch(panel->rows[r] + at + line, _MM_HINT_T0);
}

/* What the mins of a block are multiplied by: minus the sum of its activations. */
static INLINE float min_factor(int32_t offset, float d) {
    return (float)offset * d * 0x1p-7f;
}

/* One panel times the first token. */
static INLINE void panel_times_token(DType type, const MatMul *job, const Panel *panel, QuantRows x,
                                     const bool is_near) {
    int64_t blocks = x.cols / QUANT_BLOCK, panel_bytes = PANEL * (int64_t)job->weight.row_bytes;
    __m512 sum = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        ask_ahead(type, panel, panel_bytes, b, blocks, is_near);
        const int8_t *q = x.q + b * QUANT_BLOCK;
        __m512i integer =
            type == DTYPE_Q8_0 ? bytes_times_block(panel, b, q) : nibbles_times_block(type, panel, b, q);
        /* what is shifted by 8 or 16 rather than 128 has an exact fraction of the offset */
        int32_t offset = type == DTYPE_Q4_0   ? x.offsets[b] / 16
                         : type == DTYPE_Q5_0 ? x.offsets[b] / 8
                                              : x.offsets[b];
        integer = _mm512_add_epi32(integer, _mm512_set1_epi32(offset));
        __m512 scale = _mm512_mul_ps(load_scales(type, panel, b), _mm512_set1_ps(x.d[b]));
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integer), scale, sum);
    }
    store_panel(job, panel, 0, sum);
}

static INLINE __m512i columns_at(const int8_t *q) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)q));
}

/* Parts 2p and 2p + 1 of a block of Q4_K or Q5_K: low and high nibbles of the same 32 bytes. */
static INLINE void nibbles_times_parts(DType type, const Panel *panel, int64_t at, int p, const int8_t *q,
                                       __m512i *integers) {
    const __m512i mask = _mm512_set1_epi8(15), bit = _mm512_set1_epi8(16);
    __m512i low[4], high[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        low[r] = high[r] = _mm512_setzero_si512();
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            __m512i rows = load_four(panel, r, at + (type == DTYPE_Q5_K ? 48 : 16) + 32 * p + 16 * h);
            __m512i first = _mm512_and_si512(rows, mask);
            __m512i second = _mm512_and_si512(_mm512_srli_epi16(rows, 4), mask);
            if (type == DTYPE_Q5_K) { /* bits 2p and 2p + 1 become bit 4 */
                __m512i fifth = load_four(panel, r, at + 16 + 16 * h);
                __m512i even =
                    p < 2 ? _mm512_slli_epi16(fifth, 4 - 2 * p) : _mm512_srli_epi16(fifth, 2 * p - 4);
                __m512i odd =
                    p < 2 ? _mm512_slli_epi16(fifth, 3 - 2 * p) : _mm512_srli_epi16(fifth, 2 * p - 3);
                first = _mm512_or_si512(first, _mm512_and_si512(even, bit));
                second = _mm512_or_si512(second, _mm512_and_si512(odd, bit));
            }
            low[r] = _mm512_dpbusd_epi32(low[r], first, columns_at(q + 16 * h));
            high[r] = _mm512_dpbusd_epi32(high[r], second, columns_at(q + 32 + 16 * h));
        }
    }
    integers[0] = add_lanes(low[0], low[1], low[2], low[3]);
    integers[1] = add_lanes(high[0], high[1], high[2], high[3]);
}

/* One panel of Q4_K or Q5_K times the first token. */
static INLINE void min_panel_times_token(DType type, const MatMul *job, const Panel *panel, QuantRows x,
                                         const bool is_near) {
    int64_t blocks = x.cols / 256, panel_bytes = PANEL * (int64_t)job->weight.row_bytes;
    __m512 sum = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        ask_ahead(type, panel, panel_bytes, b, blocks, is_near);
        PanelHeader header = load_header(type, panel, b);
#pragma GCC unroll 4
        for (int p = 0; p < 4; p++) {
            __m512i integers[2];
            nibbles_times_parts(type, panel, b * block_bytes_of(type), p, x.q + b * 256 + p * 64, integers);
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                __m512 scales[2];
                float d = x.d[b * 8 + 2 * p + i];
                part_scales(type, &header, 2 * p + i, scales);
                sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integers[i]),
                                      _mm512_mul_ps(scales[0], _mm512_set1_ps(d)), sum);
                float factor = min_factor(x.offsets[b * 8 + 2 * p + i], d);
                sum = _mm512_fmadd_ps(scales[1], _mm512_set1_ps(factor), sum);
            }
        }
    }
    store_panel(job, panel, 0, sum);
}

/* Sixteen columns of each of the four parts of half a block of Q6_K: integers[2 * part + g]. */
static INLINE void six_bits_times_sixteens(const Panel *panel, int64_t at, int half, int g, const int8_t *q,
                                           __m512i *integers) {
    const __m512i mask = _mm512_set1_epi8(15), top = _mm512_set1_epi8(48);
    __m512i sums[4][4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        __m512i a = load_four(panel, r, at + half * 64 + 16 * g);
        __m512i b = load_four(panel, r, at + half * 64 + 32 + 16 * g);
        __m512i high = load_four(panel, r, at + 128 + half * 32 + 16 * g), part[4];
        part[0] =
            _mm512_or_si512(_mm512_and_si512(a, mask), _mm512_and_si512(_mm512_slli_epi16(high, 4), top));
        part[1] =
            _mm512_or_si512(_mm512_and_si512(b, mask), _mm512_and_si512(_mm512_slli_epi16(high, 2), top));
        part[2] =
            _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(a, 4), mask), _mm512_and_si512(high, top));
        part[3] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(b, 4), mask),
                                  _mm512_and_si512(_mm512_srli_epi16(high, 2), top));
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++)
            sums[k][r] =
                _mm512_dpbusd_epi32(_mm512_setzero_si512(), part[k], columns_at(q + 32 * k + 16 * g));
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++)
        integers[2 * k + g] = add_lanes(sums[k][0], sums[k][1], sums[k][2], sums[k][3]);
}

/* One panel of Q6_K times the first token. */
static INLINE void halves_panel_times_token(DType type, const MatMul *job, const Panel *panel, QuantRows x,
                                            const bool is_near) {
    int64_t blocks = x.cols / 256, panel_bytes = PANEL * (int64_t)job->weight.row_bytes;
    __m512 sum = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        ask_ahead(type, panel, panel_bytes, b, blocks, is_near);
        PanelHeader header = load_header(type, panel, b);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            __m512i integers[8];
            const int8_t *q = x.q + b * 256 + half * 128;
            const int32_t *offsets = x.half_offsets + b * 16 + half * 8;
            six_bits_times_sixteens(panel, b * block_bytes_of(type), half, 0, q, integers);
            six_bits_times_sixteens(panel, b * block_bytes_of(type), half, 1, q, integers);
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) { /* shifted by 32 rather than 128: a quarter of the offset */
                __m512i integer = _mm512_add_epi32(integers[i], _mm512_set1_epi32(offsets[i] / 4));
                __m512 scale = _mm512_mul_ps(header.d, header_byte(type, &header, half * 8 + i));
                scale = _mm512_mul_ps(scale, _mm512_set1_ps(x.d[b * 8 + half * 4 + i / 2]));
                sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integer), scale, sum);
            }
        }
    }
    store_panel(job, panel, 0, sum);
}

static INLINE void any_panel_times_token(DType type, const MatMul *job, const Panel *panel, QuantRows x,
                                         const bool is_near) {
    switch (kind_of(type)) {
    case BLOCK_PLAIN: panel_times_token(type, job, panel, x, is_near); break;
    case BLOCK_MIN: min_panel_times_token(type, job, panel, x, is_near); break;
    case BLOCK_HALVES: halves_panel_times_token(type, job, panel, x, is_near); break;
    }
}

/* Rows row0 .. row1 times the first token. */
static INLINE void rows_times_token(DType type, const MatMul *job, int64_t row0, int64_t row1, QuantRows x) {
    int64_t panel_bytes = PANEL * (int64_t)job->weight.row_bytes;
    bool is_near = panel_bytes <= NEAR_BYTES;
    const char *first = (const char *)tensor_row(&job->weight, row0);
    for (int64_t at = 0; at < panel_bytes && is_near && row0 + PANEL <= row1; at += 64)
        _mm_prefetch(first + at, _MM_HINT_T0);
    for (int64_t r = row0; r < row1; r += PANEL) {
        Panel panel = panel_at(&job->weight, r, row1);
        if (is_near)
            any_panel_times_token(type, job, &panel, x, true);
        else
            any_panel_times_token(type, job, &panel, x, false);
    }
}

/* Four columns of sixteen rows per register, columns in order. */
static INLINE void pack_block(DType type, const Panel *panel, int64_t b, uint8_t *bytes) {
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    __m512i quad[2][4]; /* [rows 0-3 and 8-11, rows 4-7 and 12-15][columns 4i and 4i + 16] */
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m512i z0 = load_pair(type, panel, 4 * h, b), z1 = load_pair(type, panel, 4 * h + 1, b);
        __m512i z2 = load_pair(type, panel, 4 * h + 2, b), z3 = load_pair(type, panel, 4 * h + 3, b);
        __m512i a0 = _mm512_unpacklo_epi32(z0, z1), a1 = _mm512_unpackhi_epi32(z0, z1);
        __m512i b0 = _mm512_unpacklo_epi32(z2, z3), b1 = _mm512_unpackhi_epi32(z2, z3);
        quad[h][0] = _mm512_unpacklo_epi64(a0, b0);
        quad[h][1] = _mm512_unpackhi_epi64(a0, b0);
        quad[h][2] = _mm512_unpacklo_epi64(a1, b1);
        quad[h][3] = _mm512_unpackhi_epi64(a1, b1);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        _mm512_store_si512(bytes + 64 * i, _mm512_permutex2var_epi64(quad[0][i], low, quad[1][i]));
        _mm512_store_si512(bytes + 64 * (i + 4), _mm512_permutex2var_epi64(quad[0][i], high, quad[1][i]));
    }
}

/* All blocks of a panel, and behind them two vectors of each block: its scales; mins, or scales of the second
 * half, where the type has them. */
static INLINE void pack_panel(DType type, const Panel *panel, int64_t panel_bytes, int64_t blocks,
                              uint8_t *bytes, float *scales) {
    for (int64_t b = 0; b < blocks && kind_of(type) == BLOCK_PLAIN; b++) {
        ask_ahead(type, panel, panel_bytes, b, blocks, false);
        pack_block(type, panel, b, bytes + b * PACKED_BLOCK);
        _mm512_store_ps(scales + b * BLOCK_SCALES, load_scales(type, panel, b));
    }
    for (int64_t k = 0; k < blocks / 8 && kind_of(type) != BLOCK_PLAIN; k++) {
        ask_ahead(type, panel, panel_bytes, k, blocks / 8, false);
        PanelHeader header = load_header(type, panel, k);
        for (int part = 0; part < 8; part++) {
            __m512 both[2];
            int64_t b = 8 * k + part;
            pack_block(type, panel, b, bytes + b * PACKED_BLOCK);
            part_scales(type, &header, part, both);
            _mm512_store_ps(scales + b * BLOCK_SCALES, both[0]);
            _mm512_store_ps(scales + b * BLOCK_SCALES + PANEL, both[1]);
        }
    }
}

typedef struct PackedPanels {
    const uint8_t *bytes[TILE_PANELS];
    const float *scales[TILE_PANELS];
    const Panel *panels[TILE_PANELS];
} PackedPanels;

/* Integers join the sums: those of a whole block, or of half of it with that half's scales. */
static INLINE void scale_integers(PackedPanels packed, int64_t at, const float *d, int64_t d_stride,
                                  __m512i (*integer)[TILE_TOKENS], __m512 (*sum)[TILE_TOKENS],
                                  const int tokens) {
    __m512 d0 = _mm512_load_ps(packed.scales[0] + at), d1 = _mm512_load_ps(packed.scales[1] + at);
#pragma GCC unroll 6
    for (int t = 0; t < tokens; t++) {
        __m512 dx = _mm512_set1_ps(d[t * d_stride]);
        sum[0][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integer[0][t]), _mm512_mul_ps(d0, dx), sum[0][t]);
        sum[1][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integer[1][t]), _mm512_mul_ps(d1, dx), sum[1][t]);
    }
}

/* Two packed panels times `tokens` tokens (a constant after inlining). */
static INLINE void packed_tile(const BlockKind kind, const MatMul *job, PackedPanels packed, QuantRows x,
                               int token0, const int tokens) {
    int64_t blocks = x.cols / QUANT_BLOCK;
    const int8_t *q = x.q + token0 * x.cols;
    const float *d = x.d + token0 * blocks;
    const int32_t *offsets = x.offsets + token0 * blocks,
                  *half_offsets = x.half_offsets + token0 * blocks * 2;
    __m512 sum[TILE_PANELS][TILE_TOKENS];
#pragma GCC unroll 6
    for (int t = 0; t < tokens; t++)
        sum[0][t] = sum[1][t] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        const uint8_t *first = packed.bytes[0] + b * PACKED_BLOCK,
                      *second = packed.bytes[1] + b * PACKED_BLOCK;
        __m512i integer[TILE_PANELS][TILE_TOKENS];
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK_DWORDS; i++) {
            if (i == BLOCK_DWORDS / 2 && kind == BLOCK_HALVES)
                scale_integers(packed, b * BLOCK_SCALES, d + b, blocks, integer, sum, tokens);
            if (i == 0 || (i == BLOCK_DWORDS / 2 && kind == BLOCK_HALVES)) {
#pragma GCC unroll 6
                for (int t = 0; t < tokens; t++) {
                    int32_t from = kind == BLOCK_PLAIN    ? offsets[t * blocks + b]
                                   : kind == BLOCK_HALVES ? half_offsets[(t * blocks + b) * 2 + i / 4]
                                                          : 0;
                    integer[0][t] = integer[1][t] = _mm512_set1_epi32(from);
                }
            }
            __m512i w0 = _mm512_load_si512(first + 64 * i), w1 = _mm512_load_si512(second + 64 * i);
#pragma GCC unroll 6
            for (int t = 0; t < tokens; t++) {
                int32_t four;
                memcpy(&four, q + t * x.cols + b * QUANT_BLOCK + 4 * i, sizeof four);
                __m512i columns = _mm512_set1_epi32(four);
                integer[0][t] = _mm512_dpbusd_epi32(integer[0][t], w0, columns);
                integer[1][t] = _mm512_dpbusd_epi32(integer[1][t], w1, columns);
            }
        }
        scale_integers(packed, b * BLOCK_SCALES + (kind == BLOCK_HALVES ? PANEL : 0), d + b, blocks, integer,
                       sum, tokens);
        if (kind == BLOCK_MIN) {
            __m512 m0 = _mm512_load_ps(packed.scales[0] + b * BLOCK_SCALES + PANEL);
            __m512 m1 = _mm512_load_ps(packed.scales[1] + b * BLOCK_SCALES + PANEL);
#pragma GCC unroll 6
            for (int t = 0; t < tokens; t++) {
                __m512 factor = _mm512_set1_ps(min_factor(offsets[t * blocks + b], d[t * blocks + b]));
                sum[0][t] = _mm512_fmadd_ps(m0, factor, sum[0][t]);
                sum[1][t] = _mm512_fmadd_ps(m1, factor, sum[1][t]);
            }
        }
    }
#pragma GCC unroll 6
    for (int t = 0; t < tokens; t++) {
        store_panel(job, packed.panels[0], token0 + t, sum[0][t]);
        store_panel(job, packed.panels[1], token0 + t, sum[1][t]);
    }
}

static INLINE void packed_times_tokens(const BlockKind kind, const MatMul *job, PackedPanels packed,
                                       QuantRows x, int n) {
    int token = 0;
    for (; token + TILE_TOKENS <= n; token += TILE_TOKENS)
        packed_tile(kind, job, packed, x, token, TILE_TOKENS);
    switch (n - token) {
    case 1: packed_tile(kind, job, packed, x, token, 1); break;
    case 2: packed_tile(kind, job, packed, x, token, 2); break;
    case 3: packed_tile(kind, job, packed, x, token, 3); break;
    case 4: packed_tile(kind, job, packed, x, token, 4); break;
    case 5: packed_tile(kind, job, packed, x, token, 5); break;
    default: break;
    }
}

/* One copy for each kind, whatever the type of the rows was. */
static void plain_times_tokens(const MatMul *job, PackedPanels packed, QuantRows x, int n) {
    packed_times_tokens(BLOCK_PLAIN, job, packed, x, n);
}

static void mins_times_tokens(const MatMul *job, PackedPanels packed, QuantRows x, int n) {
    packed_times_tokens(BLOCK_MIN, job, packed, x, n);
}

static void halves_times_tokens(const MatMul *job, PackedPanels packed, QuantRows x, int n) {
    packed_times_tokens(BLOCK_HALVES, job, packed, x, n);
}

static size_t pack_bytes_avx512(int64_t cols) {
    size_t blocks = (size_t)cols / QUANT_BLOCK;
    return TILE_PANELS * blocks * (PACKED_BLOCK + BLOCK_SCALES * sizeof(float));
}

static INLINE void matmul_blocks(DType type, const MatMul *job, int64_t row0, int64_t row1, QuantRows x,
                                 int n, void *pack) {
    int64_t blocks = x.cols / QUANT_BLOCK;
    if (n == 1) {
        rows_times_token(type, job, row0, row1, x);
        return;
    }
    int64_t panel_bytes = PANEL * (int64_t)job->weight.row_bytes;
    uint8_t *bytes[TILE_PANELS] = {pack, (uint8_t *)pack + blocks * PACKED_BLOCK};
    float *first_scales = (float *)(void *)(bytes[1] + blocks * PACKED_BLOCK);
    float *scales[TILE_PANELS] = {first_scales, first_scales + blocks * BLOCK_SCALES};
    for (int64_t r = row0; r < row1; r += TILE_PANELS * PANEL) {
        Panel panels[TILE_PANELS] = {panel_at(&job->weight, r, row1)};
        pack_panel(type, &panels[0], panel_bytes, blocks, bytes[0], scales[0]);
        PackedPanels packed = {{bytes[0], bytes[0]}, {scales[0], scales[0]}, {&panels[0], &panels[0]}};
        if (r + PANEL < row1) {
            panels[1] = panel_at(&job->weight, r + PANEL, row1);
            pack_panel(type, &panels[1], panel_bytes, blocks, bytes[1], scales[1]);
            packed.bytes[1] = bytes[1];
            packed.scales[1] = scales[1];
        } else { /* the second half computes the same rows again and stores nothing */
            panels[1] = panels[0];
            panels[1].present = 0;
        }
        packed.panels[1] = &panels[1];
        switch (kind_of(type)) {
        case BLOCK_PLAIN: plain_times_tokens(job, packed, x, n); break;
        case BLOCK_MIN: mins_times_tokens(job, packed, x, n); break;
        case BLOCK_HALVES: halves_times_tokens(job, packed, x, n); break;
        }
    }
}

static void matmul_quant_avx512(const MatMul *job, int64_t row0, int64_t row1, QuantRows x, int n,
                                void *pack) {
    switch (job->weight.type) {
    case DTYPE_Q8_0: matmul_blocks(DTYPE_Q8_0, job, row0, row1, x, n, pack); break;
    case DTYPE_Q5_0: matmul_blocks(DTYPE_Q5_0, job, row0, row1, x, n, pack); break;
    case DTYPE_Q4_K: matmul_blocks(DTYPE_Q4_K, job, row0, row1, x, n, pack); break;
    case DTYPE_Q5_K: matmul_blocks(DTYPE_Q5_K, job, row0, row1, x, n, pack); break;
    case DTYPE_Q6_K: matmul_blocks(DTYPE_Q6_K, job, row0, row1, x, n, pack); break;
    case DTYPE_MXFP4: matmul_blocks(DTYPE_MXFP4, job, row0, row1, x, n, pack); break;
    default: matmul_blocks(DTYPE_Q4_0, job, row0, row1, x, n, pack); break;
    }
}

static void quantize_avx512(QuantRows out, int64_t row, const float *x) {
    int64_t blocks = out.cols / QUANT_BLOCK;
    const __m512 most = _mm512_set1_ps(127), least = _mm512_set1_ps(-127);
    for (int64_t b = 0; b < blocks; b++, x += QUANT_BLOCK) {
        __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
        float largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        float d = largest / 127, inverse = d > 0 ? 1 / d : 0;
        __m512 factor = _mm512_set1_ps(inverse);
        /* max with the constant second: a NaN becomes -127 */
        low = _mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(low, factor), least), most);
        high = _mm512_min_ps(_mm512_max_ps(_mm512_mul_ps(high, factor), least), most);
        __m512i low_q = _mm512_cvtps_epi32(low), high_q = _mm512_cvtps_epi32(high);
        int8_t *q = out.q + row * out.cols + b * QUANT_BLOCK;
        _mm_storeu_si128((void *)q, _mm512_cvtepi32_epi8(low_q));
        _mm_storeu_si128((void *)(q + 16), _mm512_cvtepi32_epi8(high_q));
        out.d[row * blocks + b] = d;
        int first = _mm512_reduce_add_epi32(low_q), second = _mm512_reduce_add_epi32(high_q);
        out.offsets[row * blocks + b] = -128 * (first + second);
        out.half_offsets[2 * (row * blocks + b)] = -128 * first;
        out.half_offsets[2 * (row * blocks + b) + 1] = -128 * second;
    }
}

void cpu_matmul_avx512(CpuKernels *kernels) {
    kernels->quantize = quantize_avx512;
    kernels->matmul_quant = matmul_quant_avx512;
    kernels->pack_bytes = pack_bytes_avx512;
}
#else
typedef int matmul_avx512_is_for_x86;
#endif
