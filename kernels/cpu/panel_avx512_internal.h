/* Sixteen rows of quantised weights side by side: how the blocks of each type become bytes and scales in
 * AVX-512 registers.
 */
#ifndef MUX_KERNELS_CPU_PANEL_AVX512_INTERNAL_H
#define MUX_KERNELS_CPU_PANEL_AVX512_INTERNAL_H

#include "kernels/cpu/cpu_avx512_internal.h"

#include <string.h>

enum { PANEL = 16 /* rows in one register */ };

typedef struct Panel {
    const uint8_t *rows[PANEL]; /* rows past the end repeat the last one */
    int64_t row0;
    __mmask16 present;
} Panel;

static inline Panel panel_at(const Tensor *weight, int64_t row0, int64_t row1) {
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

/* How the integers of a block become values. */
typedef enum BlockKind {
    BLOCK_PLAIN, /* one scale */
    BLOCK_MIN,   /* one scale, and a min taken off every value; weights are not shifted */
    BLOCK_HALVES /* a scale for each half */
} BlockKind;

static INLINE BlockKind kind_of(DType type) {
    return type == DTYPE_Q6_K                         ? BLOCK_HALVES
           : type == DTYPE_Q4_K || type == DTYPE_Q5_K ? BLOCK_MIN
                                                      : BLOCK_PLAIN;
}

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

static INLINE __m512i load_two(const Panel *panel, int r, int64_t at) {
    return two_halves(_mm256_loadu_si256((const void *)(panel->rows[r] + at)),
                      _mm256_loadu_si256((const void *)(panel->rows[r + 8] + at)));
}

/* Bits shift .. of every byte, those in mask. */
static INLINE __m512i bits_at(__m512i bytes, int shift, int mask) {
    return _mm512_and_si512(_mm512_srl_epi16(bytes, _mm_cvtsi32_si128(shift)), _mm512_set1_epi8((char)mask));
}

/* Part b of K-quants of rows r and r + 8: Q4_K 0..15 and Q5_K 0..31 as they are, Q6_K shifted by 128 - 32. */
static INLINE __m512i load_k_pair(DType type, const Panel *panel, int r, int64_t b) {
    int64_t at = b / 8 * block_bytes_of(type);
    int part = (int)(b % 8);
    if (type == DTYPE_Q6_K) {
        __m512i low = load_two(panel, r, at + part / 4 * 64 + (part & 1) * 32);
        __m512i high = bits_at(load_two(panel, r, at + 128 + part / 4 * 32), part % 4 * 2, 3);
        __m512i q = _mm512_or_si512(bits_at(low, part % 4 / 2 * 4, 15), _mm512_slli_epi16(high, 4));
        return _mm512_add_epi8(q, _mm512_set1_epi8(96));
    }
    __m512i low = load_two(panel, r, at + (type == DTYPE_Q5_K ? 48 : 16) + part / 2 * 32);
    low = bits_at(low, (part & 1) * 4, 15);
    if (type == DTYPE_Q4_K)
        return low;
    return _mm512_or_si512(low, _mm512_slli_epi16(bits_at(load_two(panel, r, at + 16), part, 1), 4));
}

static INLINE uint32_t load_bits(const uint8_t *at) {
    uint32_t bits;
    memcpy(&bits, at, sizeof bits);
    return bits;
}

/* 128 + twice the value of each MXFP4 nibble. */
static INLINE __m512i e2m1_table(void) {
    __m128i values = _mm_loadu_si128((const void *)E2M1_DOUBLED);
    return _mm512_broadcast_i32x4(_mm_xor_si128(values, _mm_set1_epi8((char)0x80)));
}

/* Rows r and r + 8 of a panel, 32 bytes each, shifted to 0..255. */
static INLINE __m512i load_pair(DType type, const Panel *panel, int r, int64_t b) {
    if (kind_of(type) != BLOCK_PLAIN)
        return load_k_pair(type, panel, r, b);
    if (type == DTYPE_Q5_0 || type == DTYPE_MXFP4) {
        const uint8_t *first = panel->rows[r] + b * block_bytes_of(type),
                      *second = panel->rows[r + 8] + b * block_bytes_of(type);
        int skip = type == DTYPE_Q5_0 ? 6 : 1;
        __m512i nibbles = _mm512_and_si512(
            two_halves(load_nibbles(first + skip), load_nibbles(second + skip)), _mm512_set1_epi8(15));
        if (type == DTYPE_MXFP4)
            return _mm512_shuffle_epi8(e2m1_table(), nibbles);
        __mmask64 fifth = load_bits(first + 2) | (uint64_t)load_bits(second + 2) << 32;
        nibbles = _mm512_add_epi8(nibbles, _mm512_maskz_set1_epi8(fifth, 16));
        return _mm512_add_epi8(nibbles, _mm512_set1_epi8(112));
    }
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

static INLINE __m512 load_halves(const Panel *panel, int64_t at) {
    int16_t d[PANEL];
    for (int r = 0; r < PANEL; r++)
        memcpy(&d[r], panel->rows[r] + at, sizeof d[r]);
    __m256i halves = _mm256_set_epi16(d[15], d[14], d[13], d[12], d[11], d[10], d[9], d[8], d[7], d[6], d[5],
                                      d[4], d[3], d[2], d[1], d[0]);
    return _mm512_cvtph_ps(halves);
}

/* Of blocks of one scale. */
static INLINE __m512 load_scales(DType type, const Panel *panel, int64_t b) {
    int64_t at = b * block_bytes_of(type);
    if (type != DTYPE_MXFP4)
        return load_halves(panel, at);
    uint8_t e[PANEL];
    for (int r = 0; r < PANEL; r++)
        e[r] = panel->rows[r][at];
    __m512i exponents = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)e));
    __mmask16 small = _mm512_cmplt_epi32_mask(exponents, _mm512_set1_epi32(2)); /* 2^-128, 2^-127 */
    __m512i bits = _mm512_slli_epi32(_mm512_sub_epi32(exponents, _mm512_set1_epi32(1)), 23);
    bits = _mm512_mask_sllv_epi32(bits, small, _mm512_set1_epi32(0x00200000), exponents);
    return _mm512_castsi512_ps(bits);
}

/* 16 bytes of rows r, r + 4, r + 8, r + 12. */
static INLINE __m512i load_four(const Panel *panel, int r, int64_t at) {
    __m512i rows = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(panel->rows[r] + at)));
    rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const void *)(panel->rows[r + 4] + at)), 1);
    rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const void *)(panel->rows[r + 8] + at)), 2);
    return _mm512_inserti32x4(rows, _mm_loadu_si128((const void *)(panel->rows[r + 12] + at)), 3);
}

/* The scales of a block of 256 of sixteen rows: scale i is byte i % 4 of scales[i / 4]. Q4_K and Q5_K have
 * eight, and eight mins in scales[2] and [3]; Q6_K has sixteen. */
typedef struct PanelHeader {
    __m512 d, dmin;
    __m512i scales[4];
} PanelHeader;

static INLINE PanelHeader load_header(DType type, const Panel *panel, int64_t block) {
    int64_t at = block * block_bytes_of(type);
    PanelHeader header;
    __m512i word[4], a, b, c, d;
    a = load_four(panel, 0, at + (type == DTYPE_Q6_K ? 192 : 0));
    b = load_four(panel, 1, at + (type == DTYPE_Q6_K ? 192 : 0));
    c = load_four(panel, 2, at + (type == DTYPE_Q6_K ? 192 : 0));
    d = load_four(panel, 3, at + (type == DTYPE_Q6_K ? 192 : 0));
    __m512i low01 = _mm512_unpacklo_epi32(a, b), high01 = _mm512_unpackhi_epi32(a, b);
    __m512i low23 = _mm512_unpacklo_epi32(c, d), high23 = _mm512_unpackhi_epi32(c, d);
    word[0] = _mm512_unpacklo_epi64(low01, low23);
    word[1] = _mm512_unpackhi_epi64(low01, low23);
    word[2] = _mm512_unpacklo_epi64(high01, high23);
    word[3] = _mm512_unpackhi_epi64(high01, high23);
    if (type == DTYPE_Q6_K) {
        for (int i = 0; i < 4; i++)
            header.scales[i] = word[i];
        header.d = load_halves(panel, at + 208);
        header.dmin = _mm512_setzero_ps();
        return header;
    }
    const __m512i six = _mm512_set1_epi8(63), four = _mm512_set1_epi8(15), top = _mm512_set1_epi8(48);
    header.d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(word[0]));
    header.dmin = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(word[0], 16)));
    header.scales[0] = _mm512_and_si512(word[1], six);
    header.scales[1] = _mm512_or_si512(_mm512_and_si512(word[3], four),
                                       _mm512_and_si512(_mm512_srli_epi32(word[1], 2), top));
    header.scales[2] = _mm512_and_si512(word[2], six);
    header.scales[3] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(word[3], 4), four),
                                       _mm512_and_si512(_mm512_srli_epi32(word[2], 2), top));
    return header;
}

/* Byte i of the header's scales, as a float. */
static INLINE __m512 header_byte(DType type, const PanelHeader *header, int i) {
    __m512i moved = _mm512_sll_epi32(header->scales[i / 4], _mm_cvtsi32_si128(24 - i % 4 * 8));
    return _mm512_cvtepi32_ps(type == DTYPE_Q6_K ? _mm512_srai_epi32(moved, 24)
                                                 : _mm512_srli_epi32(moved, 24));
}

/* Part 0..7 of a block of 256: its scale and its min, or the scales of its halves. */
static INLINE void part_scales(DType type, const PanelHeader *header, int part, __m512 *scales) {
    if (type == DTYPE_Q6_K) {
        scales[0] = _mm512_mul_ps(header->d, header_byte(type, header, 2 * part));
        scales[1] = _mm512_mul_ps(header->d, header_byte(type, header, 2 * part + 1));
    } else {
        scales[0] = _mm512_mul_ps(header->d, header_byte(type, header, part));
        scales[1] = _mm512_mul_ps(header->dmin, header_byte(type, header, 8 + part));
    }
}

#endif
