/* Embedding rows: row ids[i] of a table in any device type, as floats.
 *
 * Bytes: the rows themselves and 4 per value written; a handful of operations per value. 2048 rows of 4096 in
 * Q4_K: 4.7 MB read, 33.6 MB written: 8 us at 4.8 TB/s. One row: the launch.
 *
 * Mapping: x counts granules of 8 values along a row, y the rows; a thread loads its granule's bytes (8 of
 * the low plane, 16 or 32 of a float type) and writes two times 16 bytes.
 *
 * Twin: dtype_to_floats. Equal bits, except that d * q - m may be one fused operation in Q4_K and Q5_K:
 * within 2^-23 of the larger term.
 */
#include "kernels/cuda/elements_internal.cuh"

enum { THREADS = 128, GRANULE = 8 };

DEVICE float byte_of(uint2 bytes, int j) {
    return (float)((j < 4 ? bytes.x >> 8 * j : bytes.y >> 8 * (j - 4)) & 255);
}

/* The low (shift 0) or high (4) nibbles of 8 bytes as 8 bytes. */
DEVICE uint2 nibbles(uint2 bytes, int shift) {
    return make_uint2(bytes.x >> shift & 0x0F0F0F0Fu, bytes.y >> shift & 0x0F0F0F0Fu);
}

DEVICE uint2 with_high(uint2 low, uint2 high, int shift, uint32_t mask) {
    return make_uint2(low.x | (high.x >> shift & mask) << 4, low.y | (high.y >> shift & mask) << 4);
}

/* 2^(e - 127), e = 0 below the normal floats. */
DEVICE float exponent_value(int e) {
    return float_from_bits(e == 0 ? 0x00400000u : (uint32_t)e << 23);
}

/* Nibble: sign and e2m1. */
DEVICE float e2m1_value(int nibble) {
    int magnitude = nibble & 7;
    float value = magnitude < 4   ? 0.5f * (float)magnitude
                  : magnitude < 6 ? (float)(magnitude - 2)
                                  : (float)(2 * magnitude - 8);
    return nibble & 8 ? -value : value;
}

/* Sub-block j of 8: 6 bits of scale and of minimum out of 12 bytes. */
DEVICE void packed_pair(const uint8_t *packed, int j, int *scale, int *least) {
    if (j < 4) {
        *scale = packed[j] & 63;
        *least = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
        *least = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    }
}

DEVICE void granule_32(DType type, const char *row, const PlanarRow &planes, int64_t at, float out[8]) {
    int64_t block = at / 32;
    int inside = (int)(at % 32);
    if (type == DTYPE_Q8_0) {
        float d = half_value(load2(row + planes.deltas + 2 * block));
        uint2 q = load8(row + at);
        UNROLL for (int j = 0; j < 8; j++) out[j] =
            d * (float)(int8_t)(j < 4 ? q.x >> 8 * j : q.y >> 8 * (j - 4));
        return;
    }
    uint2 q = nibbles(load8(row + 16 * block + inside % 16), inside < 16 ? 0 : 4);
    if (type == DTYPE_Q4_0) {
        float d = half_value(load2(row + planes.deltas + 2 * block));
        UNROLL for (int j = 0; j < 8; j++) out[j] = d * (byte_of(q, j) - 8.0f);
    } else {
        float d = exponent_value(*(const uint8_t *)(row + planes.scales + block));
        UNROLL for (int j = 0; j < 8; j++) out[j] =
            d * e2m1_value((int)(j < 4 ? q.x >> 8 * j : q.y >> 8 * (j - 4)) & 15);
    }
}

DEVICE void granule_k(DType type, const char *row, const PlanarRow &planes, int64_t at, float out[8]) {
    int64_t block = at / 256;
    int inside = (int)(at % 256);
    if (type == DTYPE_Q6_K) {
        int half = inside / 128, l = inside % 128, quarter = l / 32;
        uint2 low = load8(row + 128 * block + 64 * half + l % 64);
        uint2 high = load8(row + planes.high + 64 * block + 32 * half + l % 32);
        uint2 q = with_high(nibbles(low, quarter < 2 ? 0 : 4), high, 2 * quarter, 0x03030303u);
        float d = half_value(load2(row + planes.deltas + 2 * block)) *
                  (float)*(const int8_t *)(row + planes.scales + 16 * block + inside / 16);
        UNROLL for (int j = 0; j < 8; j++) out[j] = d * (byte_of(q, j) - 32.0f);
        return;
    }
    int sub = inside / 32, scale, least;
    uint2 q = nibbles(load8(row + 128 * block + 32 * (sub / 2) + inside % 32), sub % 2 ? 4 : 0);
    if (type == DTYPE_Q5_K)
        q = with_high(q, load8(row + planes.high + 32 * block + inside % 32), sub, 0x01010101u);
    packed_pair((const uint8_t *)row + planes.scales + 12 * block, sub, &scale, &least);
    float2 d = unpack_half2(load4(row + planes.deltas + 4 * block));
    float step = d.x * (float)scale, floor = d.y * (float)least;
    UNROLL for (int j = 0; j < 8; j++) out[j] = step * byte_of(q, j) - floor;
}

DEVICE void granule_float(DType type, const char *row, int64_t at, float out[8]) {
    if (type == DTYPE_F32) {
        uint4 a = load16(row + 4 * at), b = load16(row + 4 * at + 16);
        out[0] = float_from_bits(a.x), out[1] = float_from_bits(a.y);
        out[2] = float_from_bits(a.z), out[3] = float_from_bits(a.w);
        out[4] = float_from_bits(b.x), out[5] = float_from_bits(b.y);
        out[6] = float_from_bits(b.z), out[7] = float_from_bits(b.w);
        return;
    }
    uint4 v = load16(row + 2 * at);
    uint32_t words[4] = {v.x, v.y, v.z, v.w};
    UNROLL for (int j = 0; j < 4; j++) {
        float2 pair = type == DTYPE_F16 ? unpack_half2(words[j]) : unpack_bf16x2(words[j]);
        out[2 * j] = pair.x, out[2 * j + 1] = pair.y;
    }
}

DEVICE float one_float(DType type, const char *row, int64_t at) {
    if (type == DTYPE_F32)
        return ((const float *)row)[at];
    uint16_t bits = load2(row + 2 * at);
    return type == DTYPE_F16 ? half_value(bits) : bf16_value(bits);
}

template <bool WIDE> static __global__ void embed_kernel(const EmbedArgs args) {
    int64_t at = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * GRANULE, cols = args.table.cols;
    if (at >= cols)
        return;
    DType type = args.table.type;
    const char *row = (const char *)args.table.data + (size_t)args.ids[blockIdx.x] * args.table.row_bytes;
    float *out = args.out + (int64_t)blockIdx.x * cols + at, values[8];
    if (at + GRANULE > cols) { /* only float rows end inside a granule */
        for (int64_t j = 0; at + j < cols; j++)
            out[j] = one_float(type, row, at + j);
        return;
    }
    if (!layout_is_planar(type))
        granule_float(type, row, at, values);
    else if (type == DTYPE_Q8_0 || type == DTYPE_Q4_0 || type == DTYPE_MXFP4)
        granule_32(type, row, planar_row(type, cols), at, values);
    else
        granule_k(type, row, planar_row(type, cols), at, values);
    store_four<WIDE>(out, values, 0, 4);
    store_four<WIDE>(out + 4, values + 4, 0, 4);
}

static bool has_granules(DType type) {
    switch (type) {
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16:
    case DTYPE_Q8_0:
    case DTYPE_Q4_0:
    case DTYPE_MXFP4:
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
    case DTYPE_Q6_K: return true;
    default: return false;
    }
}

extern "C" bool cuda_embed(CudaQueue *queue, const EmbedArgs *args) {
    if (!has_granules(args->table.type))
        return false;
    if (args->n <= 0)
        return true;
    int64_t granules = (args->table.cols + GRANULE - 1) / GRANULE;
    Extent grid = {(unsigned)args->n, (unsigned)((granules + THREADS - 1) / THREADS), 1};
    Extent block = {THREADS, 1, 1};
    if (is_aligned(args->out) && args->table.cols % 4 == 0)
        LAUNCH(queue, grid, block, 0, *args, embed_kernel<true>);
    else
        LAUNCH(queue, grid, block, 0, *args, embed_kernel<false>);
    return true;
}
