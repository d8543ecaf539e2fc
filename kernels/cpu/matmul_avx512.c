/* Products with AVX-512.
 *
 * Quantised weights: sixteen rows side by side, one per lane. A block of 32 columns gives each lane an exact
 * integer (VNNI, weights shifted to 0..255, activations signed, the shift taken back by the activations'
 * offset), then sum = fma(integer, weight scale * activation scale, sum) block after block. One token reads
 * the rows as they lie in the file; many tokens first pack the rows so that four columns of sixteen rows fill
 * a register. Both give the same integers, hence the same sums.
 *
 * Float weights: sixteen sums along the row, one fma each per sixteen columns, folded at the end in halves.
 * Tiles of rows x tokens only hold more such registers at once.
 */
#if defined(__x86_64__)
#include "kernels/cpu/cpu_avx512_internal.h"

#include <string.h>

enum {
    PANEL = 16,       /* rows in one register */
    BLOCK_DWORDS = 8, /* groups of four columns in a block */
    PACKED_BLOCK = PANEL * QUANT_BLOCK,
    TILE_PANELS = 2,
    TILE_TOKENS = 6,
    NEAR_BYTES = 24 << 10, /* of a panel that fits the first cache beside its successor */
    BLOCKS_AHEAD = 32
};

typedef struct Panel {
    const uint8_t *rows[PANEL]; /* rows past the end repeat the last one */
    int64_t row0;
    __mmask16 present;
} Panel;

static Panel panel_at(const Tensor *weight, int64_t row0, int64_t row1) {
    Panel panel = {.row0 = row0};
    int count = row1 - row0 < PANEL ? (int)(row1 - row0) : PANEL;
    panel.present = (__mmask16)((1u << count) - 1);
    for (int r = 0; r < PANEL; r++)
        panel.rows[r] = tensor_row(weight, row0 + (r < count ? r : count - 1));
    return panel;
}

static INLINE __m512i two_halves(__m256i low, __m256i high) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static INLINE __m256i load_nibbles(const uint8_t *at) {
    __m128i nibbles = _mm_loadu_si128((const void *)at);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(nibbles), _mm_srli_epi16(nibbles, 4), 1);
}

/* Rows r and r + 8 of a panel, 32 bytes each, shifted to 0..255. */
static INLINE __m512i load_pair(DType type, const Panel *panel, int r, int64_t b) {
    if (type == DTYPE_Q8_0) {
        int64_t at = b * 34 + 2;
        __m512i bytes = two_halves(_mm256_loadu_si256((const void *)(panel->rows[r] + at)),
                                   _mm256_loadu_si256((const void *)(panel->rows[r + 8] + at)));
        return _mm512_xor_si512(bytes, _mm512_set1_epi8((char)0x80));
    }
    int64_t at = b * 18 + 2;
    __m512i both = two_halves(load_nibbles(panel->rows[r] + at), load_nibbles(panel->rows[r + 8] + at));
    return _mm512_add_epi8(_mm512_and_si512(both, _mm512_set1_epi8(15)), _mm512_set1_epi8(120));
}

static INLINE __m512 load_scales(DType type, const Panel *panel, int64_t b) {
    int64_t at = b * (type == DTYPE_Q8_0 ? 34 : 18);
    int16_t d[PANEL];
    for (int r = 0; r < PANEL; r++)
        memcpy(&d[r], panel->rows[r] + at, sizeof d[r]);
    __m256i halves = _mm256_set_epi16(d[15], d[14], d[13], d[12], d[11], d[10], d[9], d[8], d[7], d[6], d[5],
                                      d[4], d[3], d[2], d[1], d[0]);
    return _mm512_cvtph_ps(halves);
}

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

/* The same for nibbles, which count from 0 to 15: rows r, r + 4, r + 8, r + 12 share a register. */
static INLINE __m512i nibbles_times_block(const Panel *panel, int64_t b, const int8_t *q) {
    __m512i low = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)q)), part[4];
    __m512i high = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)(q + 16)));
    const __m512i mask = _mm512_set1_epi8(15);
    int64_t at = b * 18 + 2;
#pragma GCC unroll 4
    for (int r = 0; r < 4; r++) {
        __m512i rows = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(panel->rows[r] + at)));
        rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const void *)(panel->rows[r + 4] + at)), 1);
        rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const void *)(panel->rows[r + 8] + at)), 2);
        rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const void *)(panel->rows[r + 12] + at)), 3);
        part[r] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_and_si512(rows, mask), low);
        part[r] = _mm512_dpbusd_epi32(part[r], _mm512_and_si512(_mm512_srli_epi16(rows, 4), mask), high);
    }
    return add_lanes(part[0], part[1], part[2], part[3]);
}

/* The rows of a panel are read side by side, which prefetchers follow badly, so memory is asked for ahead of
 * use: the next panel in its own order where that fits the first cache (is_near), otherwise some blocks ahead
 * in each row. */
static INLINE void ask_ahead(const Panel *panel, int64_t panel_bytes, int64_t b, int64_t blocks,
                             const int block_bytes, const bool is_near) {
    if (is_near) {
        const char *next = (const char *)panel->rows[0] + panel_bytes + b * PANEL * block_bytes;
        for (int line = 0; line < PANEL * block_bytes; line += 64)
            _mm_prefetch(next + line, _MM_HINT_T0);
        return;
    }
    int64_t then = b + BLOCKS_AHEAD, at = then * block_bytes;
    if (then >= blocks)
        at = panel_bytes + (then - blocks) * block_bytes;
#pragma GCC unroll 16
    for (int r = 0; r < PANEL; r++)
        _mm_prefetch(panel->rows[r] + at, _MM_HINT_T0);
}

/* One panel times the first token. */
static INLINE void panel_times_token(DType type, const MatMul *job, const Panel *panel, QuantRows x,
                                     const bool is_near) {
    int64_t blocks = x.cols / QUANT_BLOCK, panel_bytes = PANEL * (int64_t)job->weight.row_bytes;
    __m512 sum = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        ask_ahead(panel, panel_bytes, b, blocks, type == DTYPE_Q8_0 ? 34 : 18, is_near);
        __m512i integer = type == DTYPE_Q8_0 ? bytes_times_block(panel, b, x.q + b * QUANT_BLOCK)
                                             : nibbles_times_block(panel, b, x.q + b * QUANT_BLOCK);
        /* nibbles are shifted by 8 rather than 128, an exact sixteenth of the offset */
        integer = _mm512_add_epi32(integer,
                                   _mm512_set1_epi32(type == DTYPE_Q8_0 ? x.offsets[b] : x.offsets[b] / 16));
        __m512 scale = _mm512_mul_ps(load_scales(type, panel, b), _mm512_set1_ps(x.d[b]));
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integer), scale, sum);
    }
    store_panel(job, panel, 0, sum);
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
            panel_times_token(type, job, &panel, x, true);
        else
            panel_times_token(type, job, &panel, x, false);
    }
}

/* Four columns of sixteen rows per register, columns in order; then the scales of the panel. */
static INLINE void pack_panel(DType type, const Panel *panel, int64_t panel_bytes, int64_t blocks,
                              uint8_t *bytes, float *scales) {
    const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    for (int64_t b = 0; b < blocks; b++, bytes += PACKED_BLOCK, scales += PANEL) {
        ask_ahead(panel, panel_bytes, b, blocks, type == DTYPE_Q8_0 ? 34 : 18, false);
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
        _mm512_store_ps(scales, load_scales(type, panel, b));
    }
}

typedef struct PackedPanels {
    const uint8_t *bytes[TILE_PANELS];
    const float *scales[TILE_PANELS];
    const Panel *panels[TILE_PANELS];
} PackedPanels;

/* Two packed panels times `tokens` tokens (a constant after inlining). */
static INLINE void packed_tile(const MatMul *job, PackedPanels packed, QuantRows x, int token0,
                               const int tokens) {
    int64_t blocks = x.cols / QUANT_BLOCK;
    const int8_t *q = x.q + token0 * x.cols;
    const float *d = x.d + token0 * blocks;
    const int32_t *offsets = x.offsets + token0 * blocks;
    __m512 sum[TILE_PANELS][TILE_TOKENS];
#pragma GCC unroll 6
    for (int t = 0; t < tokens; t++)
        sum[0][t] = sum[1][t] = _mm512_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        const uint8_t *first = packed.bytes[0] + b * PACKED_BLOCK,
                      *second = packed.bytes[1] + b * PACKED_BLOCK;
        __m512i integer[TILE_PANELS][TILE_TOKENS];
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++)
            integer[0][t] = integer[1][t] = _mm512_set1_epi32(offsets[t * blocks + b]);
#pragma GCC unroll 8
        for (int i = 0; i < BLOCK_DWORDS; i++) {
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
        __m512 d0 = _mm512_load_ps(packed.scales[0] + b * PANEL),
               d1 = _mm512_load_ps(packed.scales[1] + b * PANEL);
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++) {
            __m512 dx = _mm512_set1_ps(d[t * blocks + b]);
            sum[0][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integer[0][t]), _mm512_mul_ps(d0, dx), sum[0][t]);
            sum[1][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(integer[1][t]), _mm512_mul_ps(d1, dx), sum[1][t]);
        }
    }
#pragma GCC unroll 6
    for (int t = 0; t < tokens; t++) {
        store_panel(job, packed.panels[0], token0 + t, sum[0][t]);
        store_panel(job, packed.panels[1], token0 + t, sum[1][t]);
    }
}

static void packed_times_tokens(const MatMul *job, PackedPanels packed, QuantRows x, int n) {
    int token = 0;
    for (; token + TILE_TOKENS <= n; token += TILE_TOKENS)
        packed_tile(job, packed, x, token, TILE_TOKENS);
    switch (n - token) {
    case 1: packed_tile(job, packed, x, token, 1); break;
    case 2: packed_tile(job, packed, x, token, 2); break;
    case 3: packed_tile(job, packed, x, token, 3); break;
    case 4: packed_tile(job, packed, x, token, 4); break;
    case 5: packed_tile(job, packed, x, token, 5); break;
    default: break;
    }
}

static size_t pack_bytes_avx512(int64_t cols) {
    size_t blocks = (size_t)cols / QUANT_BLOCK;
    return TILE_PANELS * blocks * (PACKED_BLOCK + PANEL * sizeof(float));
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
    float *scales[TILE_PANELS] = {first_scales, first_scales + blocks * PANEL};
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
        packed_times_tokens(job, packed, x, n);
    }
}

static void matmul_quant_avx512(const MatMul *job, int64_t row0, int64_t row1, QuantRows x, int n,
                                void *pack) {
    if (job->weight.type == DTYPE_Q8_0)
        matmul_blocks(DTYPE_Q8_0, job, row0, row1, x, n, pack);
    else if (job->weight.type == DTYPE_Q4_0)
        matmul_blocks(DTYPE_Q4_0, job, row0, row1, x, n, pack);
    else
        cpu_matmul_quant_c(job, row0, row1, x, n, pack);
}

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
    kernels->matmul_float = matmul_float_avx512;
    kernels->pack_bytes = pack_bytes_avx512;
}
#else
typedef int matmul_avx512_is_for_x86;
#endif
