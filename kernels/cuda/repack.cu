/* GGUF rows, already on the device, into the layout of layout.h; and matrices of random blocks for measuring.
 *
 * Idea: a thread makes 16 bytes of a row of the device's layout. It finds the block and the byte that its
 * first one comes from with one division and walks on from there, as a plane is the same few bytes of block
 * after block. Source bytes lie at any address (blocks of 17 bytes, tensors at any offset of a chunk of the
 * upload), so they are read one by one, mostly from the L1.
 *
 * Numbers: bytes read and written once each, no arithmetic to speak of. Q4_K 14336 x 4096: 33 MB in, 33 MB
 * out; floor on an H200 (4.8 TB/s) 14 us; byte loads, 32 a clock and multiprocessor, allow 8 TB/s. The upload
 * in front of it brings 55 GB/s. Random matrices are written once: 7 us.
 *
 * No ref twin: the bytes are the same (Q5_0: the same values), which the tests check by reading both.
 */
#include <string.h>

#include "kernels/cuda/common.cuh"

enum { REPACK_THREADS = 256 };

/* A plane of the device's row: the bytes `from` .. `from + bytes` of every block of the file. */
typedef struct RepackPlane {
    int64_t begin, end; /* in the device's row; what lies behind the end is zero */
    int from, bytes;
} RepackPlane;

enum { PLANE_LOW, PLANE_HIGH, PLANE_SCALES, PLANE_DELTAS, PLANE_COUNT };

typedef struct RepackLaunch {
    const uint8_t *from;
    char *to; /* the window's first row */
    int64_t from_row_bytes, to_row_bytes;
    int64_t chunks, row_chunks; /* of 16 bytes: in all, in a row */
    RepackPlane planes[PLANE_COUNT];
    int block_bytes, is_q5;
} RepackLaunch;

/* Byte j of the int8 values of a Q5_0 block. */
DEVICE uint32_t q5_value(const uint8_t *block, int j) {
    uint32_t nibble = block[6 + (j & 15)] >> (j & 16) / 4 & 15, fifth = block[2 + j / 8] >> (j & 7) & 1;
    return (nibble + fifth * 16 - 16) & 0xFF;
}

static __global__ void repack(const RepackLaunch a) {
    int64_t index = (int64_t)blockIdx.x * REPACK_THREADS + threadIdx.x;
    if (index >= a.chunks)
        return;
    int64_t row = index / a.row_chunks, at = (index - row * a.row_chunks) * 16;
    int which = at >= a.planes[PLANE_DELTAS].begin   ? PLANE_DELTAS
                : at >= a.planes[PLANE_SCALES].begin ? PLANE_SCALES
                : at >= a.planes[PLANE_HIGH].begin   ? PLANE_HIGH
                                                     : PLANE_LOW;
    RepackPlane plane = a.planes[which];
    uint32_t words[4] = {0, 0, 0, 0};
    if (at < plane.end) {
        int64_t block = (at - plane.begin) / plane.bytes;
        int byte = (int)(at - plane.begin - block * plane.bytes);
        const uint8_t *from = a.from + row * a.from_row_bytes + block * a.block_bytes;
        UNROLL for (int i = 0; i < 16; i++) {
            if (at + i < plane.end) {
                bool is_value = a.is_q5 && which == PLANE_LOW;
                words[i / 4] |= (is_value ? q5_value(from, byte) : from[plane.from + byte]) << 8 * (i % 4);
            }
            if (++byte == plane.bytes) {
                byte = 0;
                from += a.block_bytes;
            }
        }
    }
    store16(a.to + row * a.to_row_bytes + at, make_uint4(words[0], words[1], words[2], words[3]));
}

/* ---- random matrices ---- */

typedef struct RandomLaunch {
    char *to;
    int64_t row_bytes, row_chunks, chunks;
    int64_t scales, deltas; /* where the planes begin */
    uint64_t seed;
    int type;
} RandomLaunch;

/* The n-th number of a stream: the finaliser of splitmix64 (Steele, Lea and Flood 2014) on a counter. */
DEVICE uint64_t random_bits(uint64_t seed, uint64_t n) {
    uint64_t z = seed + (n + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return z ^ z >> 31;
}

/* The sum of two uniform numbers, of variance 0.02^2. */
DEVICE float random_weight(uint32_t bits) {
    return ((float)(bits & 0xFFFF) + (float)(bits >> 16) - 65535.0f) * (0.02f / 26755.2f);
}
/* value, up to a quarter more or less, as half. */
DEVICE uint32_t random_delta(float value, uint32_t bits) {
    return half_bits(value * (0.75f + (float)(bits & 0xFF) * (0.5f / 255.0f)));
}

/* The scale that gives weights of deviation 0.02, and for the K types the min's scale that makes their mean
 * zero (quants and 6-bit scales being uniform). */
DEVICE float delta_of(int type) {
    switch (type) {
    case DTYPE_Q8_0: return 0.02f / 73.9f;   /* int8 */
    case DTYPE_Q4_0: return 0.02f / 4.64f;   /* -8 .. 7 */
    case DTYPE_Q4_K: return 0.02f / 257.0f;  /* scale (0 .. 63) * q (0 .. 15) - min (0 .. 63) * 7.5 */
    case DTYPE_Q5_K: return 0.02f / 525.0f;  /* the same with q to 31 and 15.5 */
    default: return 0.02f / (73.9f * 18.5f); /* Q6_K: int8 scale * (-32 .. 31) */
    }
}

/* Four bytes of a scales or deltas plane, or four of values (two values of a 16-bit type). */
DEVICE uint32_t random_word(int type, bool is_delta, bool is_scale, uint64_t bits) {
    uint32_t low = (uint32_t)bits, high = (uint32_t)(bits >> 32);
    if (type == DTYPE_F32)
        return bits_from_float(random_weight(low));
    if (type == DTYPE_F16)
        return pack_half2(random_weight(low), random_weight(high));
    if (type == DTYPE_BF16)
        return pack_bf16x2(random_weight(low), random_weight(high));
    if (is_scale && type == DTYPE_MXFP4)
        return (low & 0x01010101u) + 0x77777777u; /* 2^-8 and 2^-7 */
    if (!is_delta)
        return low;
    float d = delta_of(type);
    float second = type == DTYPE_Q4_K ? 7.5f * d : type == DTYPE_Q5_K ? 15.5f * d : d;
    return random_delta(d, low) | random_delta(second, high) << 16;
}

static __global__ void fill_random(const RandomLaunch a) {
    int64_t index = (int64_t)blockIdx.x * REPACK_THREADS + threadIdx.x;
    if (index >= a.chunks)
        return;
    int64_t row = index / a.row_chunks, at = (index - row * a.row_chunks) * 16;
    bool is_delta = at >= a.deltas, is_scale = at >= a.scales && !is_delta;
    uint32_t words[4];
    UNROLL for (int i = 0; i < 4; i++) {
        uint64_t bits = random_bits(a.seed, (uint64_t)index * 4 + (uint64_t)i);
        words[i] = random_word(a.type, is_delta, is_scale, bits);
    }
    store16(a.to + row * a.row_bytes + at, make_uint4(words[0], words[1], words[2], words[3]));
}

/* ---- on the host ---- */

static int file_block(DType type, int *values, RepackPlane planes[PLANE_COUNT]) {
    const RepackPlane none = {0, 0, 0, 1};
    for (int p = 0; p < PLANE_COUNT; p++)
        planes[p] = none;
    RepackPlane *low = &planes[PLANE_LOW], *high = &planes[PLANE_HIGH];
    RepackPlane *scales = &planes[PLANE_SCALES], *deltas = &planes[PLANE_DELTAS];
    *values = layout_is_planar(type) ? 32 : 1;
    deltas->bytes = 2;
    switch (type) {
    case DTYPE_F32: low->bytes = 4; return 4;
    case DTYPE_F16:
    case DTYPE_BF16: low->bytes = 2; return 2;
    case DTYPE_Q8_0: low->from = 2, low->bytes = 32; return 34;
    case DTYPE_Q4_0: low->from = 2, low->bytes = 16; return 18;
    case DTYPE_Q5_0: low->bytes = 32; return 22; /* low: made, not copied */
    case DTYPE_MXFP4: low->from = 1, low->bytes = 16; return 17;
    default: break;
    }
    *values = 256;
    low->bytes = 128;
    if (type == DTYPE_Q6_K) {
        high->from = 128, high->bytes = 64;
        scales->from = 192, scales->bytes = 16;
        deltas->from = 208;
        return 210;
    }
    deltas->bytes = 4;
    scales->from = 4, scales->bytes = 12;
    high->from = 16, high->bytes = 32;
    low->from = type == DTYPE_Q5_K ? 48 : 16;
    return type == DTYPE_Q5_K ? 176 : type == DTYPE_Q4_K ? 144 : 0;
}

/* Beginnings and ends of the planes of a row; returns its length, a multiple of 16. */
static int64_t place_planes(DType type, int64_t cols, int64_t blocks, RepackPlane planes[PLANE_COUNT]) {
    RepackPlane *low = &planes[PLANE_LOW];
    low->end = blocks * low->bytes;
    if (!layout_is_planar(type)) {
        int64_t row_bytes = layout_round16(low->end);
        for (int p = PLANE_HIGH; p < PLANE_COUNT; p++)
            planes[p].begin = planes[p].end = row_bytes;
        return row_bytes;
    }
    PlanarRow row = planar_row(type, cols);
    planes[PLANE_HIGH].begin = row.high;
    planes[PLANE_SCALES].begin = row.scales;
    planes[PLANE_DELTAS].begin = row.deltas;
    for (int p = PLANE_HIGH; p < PLANE_COUNT; p++)
        planes[p].end = planes[p].begin + blocks * planes[p].bytes;
    return row.row_bytes;
}

static Extent grid_of(int64_t chunks) {
    Extent grid = {(unsigned)((chunks + REPACK_THREADS - 1) / REPACK_THREADS), 1, 1};
    return grid;
}

extern "C" bool cuda_repack(CudaQueue *queue, Tensor out, const void *gguf_rows, DType gguf_type,
                            int64_t row0, int64_t rows) {
    RepackLaunch launch;
    memset(&launch, 0, sizeof launch);
    int values;
    launch.block_bytes = file_block(gguf_type, &values, launch.planes);
    if (launch.block_bytes == 0 || out.type != device_type(gguf_type) || out.cols % values != 0)
        return false;
    if (rows == 0)
        return true;
    int64_t blocks = out.cols / values;
    int64_t row_bytes = place_planes(out.type, out.cols, blocks, launch.planes);
    launch.from = (const uint8_t *)gguf_rows;
    launch.to = (char *)out.data + row0 * (int64_t)out.row_bytes;
    launch.from_row_bytes = blocks * launch.block_bytes;
    launch.to_row_bytes = (int64_t)out.row_bytes;
    launch.row_chunks = row_bytes / 16;
    launch.chunks = rows * launch.row_chunks;
    launch.is_q5 = gguf_type == DTYPE_Q5_0;
    Extent block = {REPACK_THREADS, 1, 1};
    LAUNCH(queue, grid_of(launch.chunks), block, 0, launch, repack);
    return true;
}

extern "C" bool cuda_fill_random(CudaQueue *queue, Tensor out, uint64_t seed) {
    RandomLaunch launch;
    memset(&launch, 0, sizeof launch);
    int values;
    RepackPlane planes[PLANE_COUNT];
    if (file_block(out.type, &values, planes) == 0 || out.type == DTYPE_Q5_0 || out.cols % values != 0)
        return false;
    int64_t row_bytes = place_planes(out.type, out.cols, out.cols / values, planes);
    launch.to = (char *)out.data;
    launch.row_bytes = (int64_t)out.row_bytes;
    launch.row_chunks = row_bytes / 16;
    launch.chunks = out.rows * launch.row_chunks;
    launch.scales = planes[PLANE_SCALES].begin;
    launch.deltas = planes[PLANE_DELTAS].begin;
    launch.seed = seed;
    launch.type = (int)out.type;
    Extent block = {REPACK_THREADS, 1, 1};
    LAUNCH(queue, grid_of(launch.chunks), block, 0, launch, fill_random);
    return true;
}
