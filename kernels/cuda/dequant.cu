/* Quantised planar rows as F16 or BF16 rows: the first half of a large product with quantised weights.
 *
 * Idea: one thread makes 8 neighbouring values, which is one 16-byte store; lanes take neighbouring eights,
 * so stores are whole lines and loads (8 bytes of each plane; two lanes share the nibbles of 32-value blocks)
 * come out of few sectors. Loads of UNROLLED eights are issued before the first is used.
 *
 * Two numbers, rows 14336, cols 4096, Q4_K to BF16: bytes 14336 * 4096 * (0.5625 + 2) = 150 MB, 31 us at
 * 4.8 TB/s; arithmetic about 5 instructions a value, 9.2 M warp instructions, 10 us on 132 multiprocessors.
 * The floor is bytes; written slabs of a few tens of MB stay in the second-level cache for the product.
 * Threads: block = one row, thread = eights threadIdx.x, + 256, ...
 * Twin: dtype_to_floats, then the rounding of the type. Accuracy: d * scale * q is exact in float32; the
 * subtraction of Q4_K and Q5_K rounds once, the store rounds once (nearest even).
 */
#include "kernels/cuda/common.cuh"

enum { DEQUANT_THREADS = 256, UNROLLED = 4 };

typedef struct DequantArgs {
    const char *weight; /* row 0 of the window */
    int64_t row_bytes;
    PlanarRow planes;
    char *out;
    int64_t out_row_bytes;
    int eights; /* values of a row / 8 */
} DequantArgs;

/* What eight values are made of, as loaded. */
typedef struct Packed8 {
    uint2 low, high;
    uint32_t scale, delta;
} Packed8;

/* The packed pair of sub-block `sub` of Q4_K and Q5_K: scale in bits 0-7, min in bits 8-15. */
DEVICE uint32_t load_scale_min(const char *twelve, int sub) {
    const uint8_t *bytes = (const uint8_t *)twelve + (sub & 3);
    uint32_t first = bytes[0], second = bytes[4], third = bytes[8];
    if (sub < 4)
        return (first & 63) | (second & 63) << 8;
    return (third & 15) | first >> 6 << 4 | ((third >> 4) | second >> 6 << 4) << 8;
}

/* Eight number `i` of a row. */
template <DType type> DEVICE Packed8 load_eight(const char *row, const PlanarRow &planes, int i) {
    Packed8 p = {};
    if constexpr (type == DTYPE_Q8_0) {
        p.low = load8(row + (size_t)i * 8);
    } else if constexpr (type == DTYPE_Q4_0 || type == DTYPE_MXFP4) {
        p.low = load8(row + (size_t)(i / 4) * 16 + (i & 1) * 8);
    } else if constexpr (type == DTYPE_Q6_K) {
        int within = i & 31, half = within / 16, quarter = within / 4 & 3, at = (i & 3) * 8;
        p.low = load8(row + (size_t)(i / 32) * 128 + half * 64 + (quarter & 1) * 32 + at);
        p.high = load8(row + planes.high + (size_t)(i / 32) * 64 + half * 32 + at);
        p.scale = *(const uint8_t *)(row + planes.scales + i / 2);
    } else {
        int sub = i / 4 & 7, at = (i & 3) * 8;
        p.low = load8(row + (size_t)(i / 32) * 128 + sub / 2 * 32 + at);
        p.scale = load_scale_min(row + planes.scales + (size_t)(i / 32) * 12, sub);
        if constexpr (type == DTYPE_Q5_K)
            p.high = load8(row + planes.high + (size_t)(i / 32) * 32 + at);
    }
    if constexpr (type == DTYPE_MXFP4)
        p.scale = *(const uint8_t *)(row + planes.scales + i / 4);
    else if constexpr (type == DTYPE_Q8_0 || type == DTYPE_Q4_0)
        p.delta = load2(row + planes.deltas + (size_t)(i / 4) * 2);
    else if constexpr (type == DTYPE_Q6_K)
        p.delta = load2(row + planes.deltas + (size_t)(i / 32) * 2);
    else
        p.delta = load4(row + planes.deltas + (size_t)(i / 32) * 4);
    return p;
}

/* 2^(e - 127) / 2 without a flush: e = 0 and 1 are subnormal. */
DEVICE float half_power(uint32_t e) {
    return float_from_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

/* Twice the value of an e2m1 nibble: 0 1 2 3 4 6 8 12 and their negatives. */
DEVICE float twice_e2m1(uint32_t nibble) {
    uint32_t magnitude = pick_bytes(0x03020100u, 0x0C080604u, nibble & 7) & 255;
    return nibble & 8 ? -(float)magnitude : (float)magnitude;
}

template <DType type> DEVICE void unpack_eight(const Packed8 &p, int i, float out[8]) {
    bool is_upper = type == DTYPE_Q6_K                         ? (i / 8 & 1)
                    : type == DTYPE_Q4_K || type == DTYPE_Q5_K ? (i / 4 & 1)
                                                               : (i / 2 & 1);
    float scale, minimum = 0;
    if constexpr (type == DTYPE_MXFP4)
        scale = half_power(p.scale);
    else if constexpr (type == DTYPE_Q6_K)
        scale = half_value((uint16_t)p.delta) * (float)(int8_t)p.scale;
    else if constexpr (type == DTYPE_Q4_K || type == DTYPE_Q5_K) {
        scale = half_value((uint16_t)p.delta) * (float)(p.scale & 255);
        minimum = half_value((uint16_t)(p.delta >> 16)) * (float)(p.scale >> 8);
    } else
        scale = half_value((uint16_t)p.delta);
    UNROLL for (int v = 0; v < 8; v++) {
        uint32_t byte = ((v < 4 ? p.low.x : p.low.y) >> (v & 3) * 8) & 255;
        uint32_t nibble = is_upper ? byte >> 4 : byte & 15;
        uint32_t high = ((v < 4 ? p.high.x : p.high.y) >> (v & 3) * 8) & 255;
        if constexpr (type == DTYPE_Q8_0)
            out[v] = scale * (float)(int8_t)byte;
        else if constexpr (type == DTYPE_Q4_0)
            out[v] = scale * (float)((int)nibble - 8);
        else if constexpr (type == DTYPE_MXFP4)
            out[v] = scale * twice_e2m1(nibble);
        else if constexpr (type == DTYPE_Q4_K)
            out[v] = scale * (float)nibble - minimum;
        else if constexpr (type == DTYPE_Q5_K)
            out[v] = scale * (float)(nibble | (high >> (i / 4 & 7) & 1) << 4) - minimum;
        else
            out[v] = scale * (float)((int)(nibble | (high >> (i / 4 & 3) * 2 & 3) << 4) - 32);
    }
}

template <bool is_bf16> DEVICE uint4 pack_eight(const float v[8]) {
    uint4 packed;
    if constexpr (is_bf16) {
        packed.x = pack_bf16x2(v[0], v[1]), packed.y = pack_bf16x2(v[2], v[3]);
        packed.z = pack_bf16x2(v[4], v[5]), packed.w = pack_bf16x2(v[6], v[7]);
    } else {
        packed.x = pack_half2(v[0], v[1]), packed.y = pack_half2(v[2], v[3]);
        packed.z = pack_half2(v[4], v[5]), packed.w = pack_half2(v[6], v[7]);
    }
    return packed;
}

template <DType type, bool is_bf16>
static __global__ void __launch_bounds__(DEQUANT_THREADS) dequantize(const DequantArgs a) {
    const char *row = a.weight + (size_t)blockIdx.x * a.row_bytes;
    char *out = a.out + (size_t)blockIdx.x * a.out_row_bytes;
    for (int first = (int)threadIdx.x; first < a.eights; first += DEQUANT_THREADS * UNROLLED) {
        Packed8 packed[UNROLLED];
        UNROLL for (int u = 0; u < UNROLLED; u++) {
            int i = first + u * DEQUANT_THREADS;
            if (i < a.eights)
                packed[u] = load_eight<type>(row, a.planes, i);
        }
        UNROLL for (int u = 0; u < UNROLLED; u++) {
            int i = first + u * DEQUANT_THREADS;
            if (i >= a.eights)
                continue;
            float values[8];
            unpack_eight<type>(packed[u], i, values);
            store16(out + (size_t)i * 16, pack_eight<is_bf16>(values));
        }
    }
}

template <DType type>
static void launch_dequantize(CudaQueue *queue, const DequantArgs &args, int64_t rows, bool is_bf16) {
    Extent grid = {(unsigned)rows, 1, 1}, block = {DEQUANT_THREADS, 1, 1};
    if (is_bf16)
        LAUNCH(queue, grid, block, 0, args, dequantize<type, true>);
    else
        LAUNCH(queue, grid, block, 0, args, dequantize<type, false>);
}

extern "C" bool cuda_dequantize(CudaQueue *queue, Tensor weight, int64_t row0, int64_t rows, void *out,
                                DType type, int64_t out_row_bytes) {
    if (!weight.is_planar || (type != DTYPE_F16 && type != DTYPE_BF16) || weight.cols % 32 != 0 ||
        out_row_bytes % 16 != 0 || rows > INT32_MAX)
        return false;
    if (rows <= 0)
        return true;
    DequantArgs args = {};
    args.weight = (const char *)weight.data + (size_t)row0 * weight.row_bytes;
    args.row_bytes = (int64_t)weight.row_bytes;
    args.planes = planar_row(weight.type, weight.cols);
    args.out = (char *)out;
    args.out_row_bytes = out_row_bytes;
    args.eights = (int)(weight.cols / 8);
    bool is_bf16 = type == DTYPE_BF16;
    switch (weight.type) {
    case DTYPE_Q8_0: launch_dequantize<DTYPE_Q8_0>(queue, args, rows, is_bf16); return true;
    case DTYPE_Q4_0: launch_dequantize<DTYPE_Q4_0>(queue, args, rows, is_bf16); return true;
    case DTYPE_MXFP4: launch_dequantize<DTYPE_MXFP4>(queue, args, rows, is_bf16); return true;
    case DTYPE_Q4_K: launch_dequantize<DTYPE_Q4_K>(queue, args, rows, is_bf16); return true;
    case DTYPE_Q5_K: launch_dequantize<DTYPE_Q5_K>(queue, args, rows, is_bf16); return true;
    case DTYPE_Q6_K: launch_dequantize<DTYPE_Q6_K>(queue, args, rows, is_bf16); return true;
    default: return false;
    }
}
