/* Mixture of experts for many rows: rows grouped by expert, each expert's weights read once per 64 of its
 * rows, products on the tensor cores.
 *
 * Numbers, qwen3moe 30b-a3b in Q4_K, 2048 rows: a layer has 16384 (row, expert) pairs, 128 an expert.
 * Operations: 16384 * 3 * 768 * 2048 * 2 = 155 G, 78 us at 1979 TOPS int8. Bytes: all experts twice (two
 * tiles of 64 rows) 680 MB from memory or, the second time, from the second-level cache: 71 to 142 us at 4.8
 * TB/s; the pairs' results 134 MB written and read again: 56 us. Scaling costs 3 or 4 float instructions per
 * 4 products of a lane, about 1/4 of the tensor rate at most.
 *
 * Four launches: sort (one block: counts, offsets, the pairs by expert), gate and up with SiLU and rounding
 * to 8 bits, down into one row per pair, join (per value of out: its pairs in the router's order; no
 * atomics).
 *
 * Mapping: a block of 8 warps makes 64 weight rows (gated: 32 of gate and the same 32 of up) by 64 tokens of
 * one expert. It finds its expert from the offsets: blockIdx.y counts tiles of tokens through all experts. A
 * stage is 256 bytes of each row: weights are unpacked to int8 (halves are copied) into shared memory, rows
 * 272 bytes apart so that the eight rows of an ldmatrix lie in different banks. Warp w has weight rows 16 (w
 * % 4) and tokens 32 (w / 4); tiles of 8 tokens that do not exist are not computed. Blocks hide each other's
 * loads: 45 KB each, four a multiprocessor.
 *
 * A column's sum is made in the order of k alone: a row's bits do not depend on n, nor on the order in which
 * the sort left the pairs. Twin: ref_experts; quantised: integer sums exact, each of the cols / 32 terms is
 * rounded three times; halves: x and hidden rounded to the type (2^-11 or 2^-8 of each), products exact.
 */
#include "kernels/cuda/moe_internal.cuh"

enum {
    TILE_THREADS = 256,
    TILE_WARPS = TILE_THREADS / 32,
    ROWS = 64,
    TOKENS = 64,
    STAGE = 256, /* bytes of a row */
    PITCH = STAGE + 16,
    STEPS = STAGE / 32,
    SCALE_PITCH = ROWS + 4,
    RESULT_PITCH = TOKENS + 1,
    SORT_THREADS = 1024,
    JOIN_THREADS = 256
};

typedef struct Tile {
    union {
        unsigned char weights[ROWS * PITCH];
        float results[ROWS * RESULT_PITCH];
    };
    unsigned char x[TOKENS * PITCH];
    float scales[2 * STEPS][SCALE_PITCH]; /* per 32 values, or per 16 */
    float mins[STEPS][SCALE_PITCH];
    float2 x_scales[TOKENS][STEPS + 1];
    int pairs[TOKENS], x_rows[TOKENS];
    int expert, first, count; /* expert -1: no tile */
} Tile;

typedef struct TileArgs {
    const char *first, *second; /* down; or gate and up */
    int64_t first_bytes, second_bytes;
    GemvPlanes planes;
    GemvX x;
    int x_pairs; /* pairs that share one row of x */
    int cols, rows, experts;
    const int32_t *order;
    float *out; /* [pairs, rows] */
    Q8Rows q8;  /* the same in 8 bits instead, when q is not NULL */
} TileArgs;

/* ---- formats as tiles ---- */

/* A chunk as int8: 16 values at low_at and 16 at high_at of the stage. */
typedef struct Unit {
    uint4 low, high;
    float low_scale, high_scale, low_min, high_min;
} Unit;

template <typename Format> struct Shape;
template <> struct Shape<FormatQ8> {
    enum { CHUNKS = 16, IS_HALVES = 0, HAS_SIXTEENS = 0, HAS_MINS = 0, IS_BF16 = 0 };
};
template <> struct Shape<FormatQ4> {
    enum { CHUNKS = 8, IS_HALVES = 0, HAS_SIXTEENS = 0, HAS_MINS = 0, IS_BF16 = 0 };
};
template <> struct Shape<FormatMxfp4> {
    enum { CHUNKS = 8, IS_HALVES = 0, HAS_SIXTEENS = 0, HAS_MINS = 0, IS_BF16 = 0 };
};
template <bool has_fifth> struct Shape<FormatK<has_fifth>> {
    enum { CHUNKS = 8, IS_HALVES = 0, HAS_SIXTEENS = 0, HAS_MINS = 1, IS_BF16 = 0 };
};
template <> struct Shape<FormatQ6> {
    enum { CHUNKS = 8, IS_HALVES = 0, HAS_SIXTEENS = 1, HAS_MINS = 0, IS_BF16 = 0 };
};
template <bool is_bf16> struct Shape<Format16<is_bf16, true>> {
    enum { CHUNKS = 16, IS_HALVES = 1, HAS_SIXTEENS = 0, HAS_MINS = 0, IS_BF16 = is_bf16 };
};

/* Bytes 0 .. 127 less `by` (the same in all bytes): the top bit keeps a byte from borrowing of the next. */
DEVICE uint32_t less(uint32_t bytes, uint32_t by) {
    return ((bytes | 0x80808080u) - by) ^ 0x80808080u;
}
DEVICE uint4 less(uint4 a, uint32_t by) {
    return make_uint4(less(a.x, by), less(a.y, by), less(a.z, by), less(a.w, by));
}

DEVICE void store_unit(Tile *tile, const FormatQ8::Weight &w, int row, int chunk) {
    store16(tile->weights + row * PITCH + 16 * chunk, w.q);
    if (chunk % 2 == 0)
        tile->scales[chunk / 2][row] = w.d;
}
DEVICE void store_block(Tile *tile, uint4 low, uint4 high, float d, int row, int chunk) {
    unsigned char *at = tile->weights + row * PITCH + 32 * chunk;
    store16(at, low);
    store16(at + 16, high);
    tile->scales[chunk][row] = d;
}
DEVICE void store_unit(Tile *tile, const FormatQ4::Weight &w, int row, int chunk) {
    store_block(tile, less(w.low, 0x08080808u), less(w.high, 0x08080808u), w.d, row, chunk);
}
DEVICE void store_unit(Tile *tile, const FormatMxfp4::Weight &w, int row, int chunk) {
    store_block(tile, w.low, w.high, w.d, row, chunk);
}
template <typename WeightK> DEVICE void store_unit_k(Tile *tile, const WeightK &w, int row, int chunk) {
    unsigned char *at = tile->weights + row * PITCH + 64 * (chunk / 2) + 16 * (chunk % 2);
    store16(at, w.low);
    store16(at + 32, w.high);
    int sub = chunk / 2 * 2;
    if (chunk % 2 == 0) {
        tile->scales[sub][row] = w.low_scale;
        tile->scales[sub + 1][row] = w.high_scale;
        tile->mins[sub][row] = -2.0f * w.low_min; /* the unpacked mins are halves, negative */
        tile->mins[sub + 1][row] = -2.0f * w.high_min;
    }
}
DEVICE void store_unit(Tile *tile, const FormatK<false>::Weight &w, int row, int chunk) {
    store_unit_k(tile, w, row, chunk);
}
DEVICE void store_unit(Tile *tile, const FormatK<true>::Weight &w, int row, int chunk) {
    store_unit_k(tile, w, row, chunk);
}
DEVICE void store_unit(Tile *tile, const FormatQ6::Weight &w, int row, int chunk) {
    int sixteenth = 8 * (chunk / 4) + chunk % 4;
    unsigned char *at = tile->weights + row * PITCH + 16 * sixteenth;
    store16(at, less(w.low, 0x20202020u));
    store16(at + 64, less(w.high, 0x20202020u));
    tile->scales[sixteenth][row] = w.low_scale;
    tile->scales[sixteenth + 4][row] = w.high_scale;
}

/* ---- filling a stage ---- */

template <bool GATED> DEVICE const char *weight_row(const TileArgs &args, const Tile *tile, int row) {
    int per_matrix = GATED ? ROWS / 2 : ROWS, at = (int)blockIdx.x * per_matrix + row % per_matrix;
    int64_t in_matrix = (int64_t)tile->expert * args.rows + (at < args.rows ? at : args.rows - 1);
    if (GATED && row >= per_matrix)
        return args.second + in_matrix * args.second_bytes;
    return args.first + in_matrix * args.first_bytes;
}

template <typename Format, bool GATED> struct Filler {
    enum { CHUNKS = Shape<Format>::CHUNKS, EACH = ROWS * CHUNKS / TILE_THREADS };
    DEVICE void weights(const TileArgs &args, Tile *tile, int stage) {
        typename Format::Raw raw[EACH];
        UNROLL for (int j = 0; j < EACH; j++) {
            int i = (int)threadIdx.x + TILE_THREADS * j, chunk = stage * CHUNKS + i % CHUNKS;
            chunk = chunk < args.planes.chunks ? chunk : args.planes.chunks - 1;
            raw[j] = Format::load(weight_row<GATED>(args, tile, i / CHUNKS), args.planes, chunk, chunk & 7);
        }
        UNROLL for (int j = 0; j < EACH; j++) {
            int i = (int)threadIdx.x + TILE_THREADS * j, chunk = i % CHUNKS;
            if (stage * CHUNKS + chunk < args.planes.chunks)
                store_unit(tile, Format::unpack(raw[j], chunk & 7), i / CHUNKS, chunk);
        }
    }
    DEVICE void activations(const TileArgs &args, Tile *tile, int stage) {
        UNROLL for (int j = 0; j < TOKENS * STAGE / 16 / TILE_THREADS; j++) {
            int i = (int)threadIdx.x + TILE_THREADS * j, token = i / 16, at = stage * STAGE + i % 16 * 16;
            bool valid = token < tile->count && at < args.cols;
            const char *row = args.x.base + tile->x_rows[token] * args.x.stride;
            copy_async16(tile->x + token * PITCH + i % 16 * 16, row + (valid ? at : 0), valid);
        }
        UNROLL for (int j = 0; j < TOKENS * STEPS / TILE_THREADS; j++) {
            int i = (int)threadIdx.x + TILE_THREADS * j, token = i / STEPS, block = stage * STEPS + i % STEPS;
            const float *row = args.x.scale + tile->x_rows[token] * args.x.scale_stride;
            uint2 pair = make_uint2(0, 0);
            if (token < tile->count && block * 32 < args.cols)
                pair = load8(row + 2 * block);
            tile->x_scales[token][i % STEPS] = make_float2(float_from_bits(pair.x), float_from_bits(pair.y));
        }
    }
};

template <bool IS_BF16, bool GATED> struct Filler<Format16<IS_BF16, true>, GATED> {
    DEVICE void weights(const TileArgs &args, Tile *tile, int stage) {
        UNROLL for (int j = 0; j < ROWS * STAGE / 16 / TILE_THREADS; j++) {
            int i = (int)threadIdx.x + TILE_THREADS * j, row = i / 16, at = stage * STAGE + i % 16 * 16;
            bool valid = at < 2 * args.cols;
            copy_async16(tile->weights + row * PITCH + i % 16 * 16,
                         weight_row<GATED>(args, tile, row) + (valid ? at : 0), valid);
        }
    }
    DEVICE void activations(const TileArgs &args, Tile *tile, int stage) {
        UNROLL for (int j = 0; j < TOKENS * STAGE / 16 / TILE_THREADS; j++) {
            int i = (int)threadIdx.x + TILE_THREADS * j, token = i / 16, at = stage * STAGE / 2 + i % 16 * 8;
            const char *row = args.x.base + tile->x_rows[token] * args.x.stride;
            float x[8] = {};
            if (token < tile->count && at < args.cols) {
                load_four<true>(x, (const float *)row, at, args.cols);
                load_four<true>(x + 4, (const float *)row, at + 4, args.cols);
            }
            uint32_t packed[4];
            UNROLL for (int k = 0; k < 4; k++) packed[k] =
                IS_BF16 ? pack_bf16x2(x[2 * k], x[2 * k + 1]) : pack_half2(x[2 * k], x[2 * k + 1]);
            store16(tile->x + token * PITCH + i % 16 * 16,
                    make_uint4(packed[0], packed[1], packed[2], packed[3]));
        }
    }
};

/* ---- products ---- */

/* Four tiles of 8 tokens: sums[j][0, 1]: weight row g, tokens 8 j + 2 t and + 1; [2, 3]: row g + 8. */
typedef struct Where {
    int row, token; /* the warp's first */
    int tiles;      /* of its tokens that exist */
} Where;

/* Integer products of one step times the scales of rows (w) and tokens (x: d, d * sum). */
DEVICE void add_scaled(float sums[4], const int d[4], float low, float high, float2 first, float2 second) {
    sums[0] = fmaf(low * first.x, (float)d[0], sums[0]);
    sums[1] = fmaf(low * second.x, (float)d[1], sums[1]);
    sums[2] = fmaf(high * first.x, (float)d[2], sums[2]);
    sums[3] = fmaf(high * second.x, (float)d[3], sums[3]);
}
DEVICE void subtract_mins(float sums[4], float low, float high, float2 first, float2 second) {
    sums[0] = fmaf(-low, first.y, sums[0]);
    sums[1] = fmaf(-low, second.y, sums[1]);
    sums[2] = fmaf(-high, first.y, sums[2]);
    sums[3] = fmaf(-high, second.y, sums[3]);
}

template <typename Format>
DEVICE void multiply_tile(float sums[4], const Tile *tile, const uint32_t a[4], const uint32_t b[2], int step,
                          int row, int token) {
    typedef Shape<Format> S;
    if (S::IS_HALVES) {
        if (S::IS_BF16)
            mma_bf16(sums, a, b);
        else
            mma_f16(sums, a, b);
        return;
    }
    float2 first = tile->x_scales[token][step], second = tile->x_scales[token + 1][step];
    if (S::HAS_SIXTEENS) {
        uint32_t front[4] = {a[0], a[1], 0, 0}, back[4] = {0, 0, a[2], a[3]};
        int d[4] = {0, 0, 0, 0}, e[4] = {0, 0, 0, 0};
        const float *scales = tile->scales[2 * step] + row;
        mma_s8(d, front, b);
        mma_s8(e, back, b);
        add_scaled(sums, d, scales[0], scales[8], first, second);
        add_scaled(sums, e, scales[SCALE_PITCH], scales[SCALE_PITCH + 8], first, second);
        return;
    }
    int d[4] = {0, 0, 0, 0};
    const float *scales = tile->scales[step] + row, *mins = tile->mins[step] + row;
    mma_s8(d, a, b);
    add_scaled(sums, d, scales[0], scales[8], first, second);
    if (S::HAS_MINS)
        subtract_mins(sums, mins[0], mins[8], first, second);
}

template <typename Format>
DEVICE void multiply_stage(float sums[4][4], const Tile *tile, const Where &where, int steps) {
    int lane = lane_id();
    const unsigned char *a_row = tile->weights + (where.row + lane % 16) * PITCH + lane / 16 * 16;
    const unsigned char *b_row =
        tile->x + (where.token + lane % 8 + lane / 16 * 8) * PITCH + lane / 8 % 2 * 16;
    for (int step = 0; step < steps; step++) {
        uint32_t a[4], b[4];
        ldmatrix_x4(a, a_row + 32 * step);
        UNROLL for (int two = 0; two < 2; two++) {
            if (2 * two >= where.tiles)
                continue;
            ldmatrix_x4(b, b_row + 16 * two * PITCH + 32 * step);
            UNROLL for (int j = 0; j < 2; j++)
                multiply_tile<Format>(sums[2 * two + j], tile, a, b + 2 * j, step, where.row + lane / 4,
                                      where.token + 8 * (2 * two + j) + lane % 4 * 2);
        }
    }
}

/* ---- which tile ---- */

/* By one warp: tile y of the tiles of all experts. */
DEVICE void find_tile(Tile *tile, const int32_t *offsets, int experts, int y) {
    int before = 0;
    for (int base = 0; base < experts; base += 32) {
        int e = base + lane_id(), first = e < experts ? offsets[e] : 0;
        int count = e < experts ? offsets[e + 1] - first : 0, tiles = (count + TOKENS - 1) / TOKENS,
            sum = tiles;
        UNROLL for (int by = 1; by < 32; by *= 2) {
            int other = shuffle_up(sum, by);
            sum += lane_id() >= by ? other : 0;
        }
        sum += before;
        bool is_it = sum > y && sum - tiles <= y;
        if (is_it) {
            int skipped = (y - (sum - tiles)) * TOKENS, rest = count - skipped;
            tile->expert = e;
            tile->first = first + skipped;
            tile->count = rest < TOKENS ? rest : TOKENS;
        }
        if (warp_ballot(is_it))
            return;
        before = shuffle(sum, 31);
    }
    if (lane_id() == 0)
        tile->expert = -1;
}

/* ---- the kernel ---- */

/* silu(gate) * up of 32 rows, one warp a token. */
DEVICE void write_gated(const TileArgs &args, const Tile *tile) {
    int row = (int)blockIdx.x * (ROWS / 2) + lane_id();
    for (int token = warp_id(); token < tile->count; token += TILE_WARPS) {
        const float *results = tile->results + lane_id() * RESULT_PITCH + token;
        float value = silu(results[0]) * results[ROWS / 2 * RESULT_PITCH];
        int64_t at = (int64_t)tile->pairs[token] * args.rows + row;
        if (args.q8.q)
            store_q8_warp(args.q8, at, value);
        else if (row < args.rows)
            args.out[at] = value;
    }
}

template <bool GATED>
DEVICE void write_tile(const TileArgs &args, Tile *tile, const Where &where, const float sums[4][4]) {
    int row = where.row + lane_id() / 4, token = where.token + lane_id() % 4 * 2;
    UNROLL for (int j = 0; j < 4; j++) {
        UNROLL for (int k = 0; k < 4; k++) {
            int r = row + k / 2 * 8, t = token + 8 * j + k % 2, at = (int)blockIdx.x * ROWS + r;
            if (GATED)
                tile->results[r * RESULT_PITCH + t] = sums[j][k];
            else if (t < tile->count && at < args.rows)
                args.out[(int64_t)tile->pairs[t] * args.rows + at] = sums[j][k];
        }
    }
    if (GATED) {
        block_sync();
        write_gated(args, tile);
    }
}

template <typename Format, bool GATED>
static __global__ void __launch_bounds__(TILE_THREADS) tile_kernel(const TileArgs args) {
    Tile *tile = (Tile *)block_shared();
    if (warp_id() == 0)
        find_tile(tile, args.order, args.experts, (int)blockIdx.y);
    block_sync();
    if (tile->expert < 0)
        return;
    if (threadIdx.x < TOKENS) {
        int token = (int)threadIdx.x < tile->count ? (int)threadIdx.x : 0;
        int pair = args.order[args.experts + 1 + tile->first + token];
        tile->pairs[threadIdx.x] = pair;
        tile->x_rows[threadIdx.x] = pair / args.x_pairs;
    }
    block_sync();
    Where where = {warp_id() % 4 * 16, warp_id() / 4 * 32, 0};
    int tokens = tile->count - where.token, bytes = Shape<Format>::IS_HALVES ? 2 * args.cols : args.cols;
    where.tiles = tokens > 0 ? (tokens + 7) / 8 : 0;
    float sums[4][4] = {};
    for (int stage = 0; stage * STAGE < bytes; stage++) {
        int rest = bytes - stage * STAGE, steps = rest < STAGE ? (rest + 31) / 32 : (int)STEPS;
        Filler<Format, GATED>::activations(args, tile, stage);
        copy_async_commit();
        Filler<Format, GATED>::weights(args, tile, stage);
        copy_async_commit();
        copy_async_wait<0>();
        block_sync();
        multiply_stage<Format>(sums, tile, where, steps);
        block_sync();
    }
    write_tile<GATED>(args, tile, where, sums);
}

/* ---- grouping and joining ---- */

typedef struct SortArgs {
    const int32_t *ids;
    int32_t *order; /* [experts + 1] where each expert's pairs begin, then the pairs */
    int pairs, experts;
} SortArgs;

/* One block. Shared: a counter per expert, which then says where its next pair goes. */
static __global__ void __launch_bounds__(SORT_THREADS) sort_kernel(const SortArgs args) {
    int *counts = (int *)block_shared();
    for (int e = (int)threadIdx.x; e < args.experts; e += SORT_THREADS)
        counts[e] = 0;
    block_sync();
    for (int p = (int)threadIdx.x; p < args.pairs; p += SORT_THREADS)
        atomic_add(&counts[args.ids[p]], 1);
    block_sync();
    if (warp_id() == 0) {
        int before = 0;
        for (int base = 0; base < args.experts; base += 32) {
            int e = base + lane_id(), count = e < args.experts ? counts[e] : 0, sum = count;
            UNROLL for (int by = 1; by < 32; by *= 2) {
                int other = shuffle_up(sum, by);
                sum += lane_id() >= by ? other : 0;
            }
            sum += before;
            if (e < args.experts)
                args.order[e] = counts[e] = sum - count;
            before = shuffle(sum, 31);
        }
        if (lane_id() == 0)
            args.order[args.experts] = before;
    }
    block_sync();
    for (int p = (int)threadIdx.x; p < args.pairs; p += SORT_THREADS)
        args.order[args.experts + 1 + atomic_add(&counts[args.ids[p]], 1)] = p;
}

typedef struct JoinArgs {
    const float *partial, *weights; /* [n, used, width], [n, used] */
    float *out;
    int64_t width;
    int used;
} JoinArgs;

static __global__ void join_kernel(const JoinArgs args) {
    int64_t at = ((int64_t)blockIdx.y * JOIN_THREADS + threadIdx.x) * 4, row = blockIdx.x;
    if (at >= args.width)
        return;
    float sum[4], part[4];
    load_four<true>(sum, args.out + row * args.width, at, args.width);
    for (int u = 0; u < args.used; u++) {
        int64_t pair = row * args.used + u;
        float weight = args.weights[pair];
        load_four<true>(part, args.partial + pair * args.width, at, args.width);
        UNROLL for (int j = 0; j < 4; j++) sum[j] = fmaf(weight, part[j], sum[j]);
    }
    store_four<true>(args.out + row * args.width, sum, at, args.width);
}

/* ---- launches ---- */

template <typename Format, bool GATED>
static bool launch_tiles(CudaQueue *queue, const TileArgs &args, int pairs) {
    int per_matrix = GATED ? ROWS / 2 : ROWS, groups = args.experts < pairs ? args.experts : pairs;
    Extent grid = {(unsigned)((args.rows + per_matrix - 1) / per_matrix), (unsigned)(groups + pairs / TOKENS),
                   1};
    Extent block = {TILE_THREADS, 1, 1};
    LAUNCH(queue, grid, block, sizeof(Tile), args, tile_kernel<Format, GATED>);
    return true;
}

template <bool GATED>
static bool launch_tiles_of(CudaQueue *queue, DType type, const TileArgs &args, int pairs) {
    switch (type) {
    case DTYPE_F16: return launch_tiles<Format16<false, true>, GATED>(queue, args, pairs);
    case DTYPE_BF16: return launch_tiles<Format16<true, true>, GATED>(queue, args, pairs);
    case DTYPE_Q8_0: return launch_tiles<FormatQ8, GATED>(queue, args, pairs);
    case DTYPE_Q4_0: return launch_tiles<FormatQ4, GATED>(queue, args, pairs);
    case DTYPE_MXFP4: return launch_tiles<FormatMxfp4, GATED>(queue, args, pairs);
    case DTYPE_Q4_K: return launch_tiles<FormatK<false>, GATED>(queue, args, pairs);
    case DTYPE_Q5_K: return launch_tiles<FormatK<true>, GATED>(queue, args, pairs);
    case DTYPE_Q6_K: return launch_tiles<FormatQ6, GATED>(queue, args, pairs);
    default: return false;
    }
}

static void launch_sort(CudaQueue *queue, const Experts *e, int32_t *order) {
    SortArgs args = {e->ids, order, e->n * e->used, e->experts};
    Extent one = {1, 1, 1}, block = {SORT_THREADS, 1, 1};
    LAUNCH(queue, one, block, (size_t)e->experts * sizeof(int), args, sort_kernel);
}

static void launch_join(CudaQueue *queue, const Experts *e, const float *partial) {
    JoinArgs args = {partial, e->weights, e->out, e->gate.cols, e->used};
    Extent grid = {(unsigned)e->n, (unsigned)((e->gate.cols / 4 + JOIN_THREADS - 1) / JOIN_THREADS), 1};
    Extent block = {JOIN_THREADS, 1, 1};
    LAUNCH(queue, grid, block, 0, args, join_kernel);
}

bool cuda_experts_tiles(CudaQueue *queue, const ExpertArgs *args) {
    const Experts *e = &args->experts;
    int pairs = e->n * e->used;
    if (e->gate.type != e->up.type || e->gate.type == DTYPE_F32 || e->down.type == DTYPE_F32)
        return false;
    TileArgs gated = {}, down = {};
    gated.first = (const char *)e->gate.data;
    gated.second = (const char *)e->up.data;
    gated.first_bytes = (int64_t)e->gate.row_bytes;
    gated.second_bytes = (int64_t)e->up.row_bytes;
    gated.planes = gemv_planes(e->gate.type, e->gate.cols);
    gated.x = expert_x(e->gate.type, args->q8, e->x, e->gate.cols);
    gated.x_pairs = e->used;
    gated.cols = (int)e->gate.cols;
    gated.rows = (int)(e->gate.rows / e->experts);
    gated.experts = e->experts;
    gated.order = args->order;
    gated.out = e->hidden;
    if (layout_is_planar(e->down.type))
        gated.q8 = args->hidden_q8;
    down.first = (const char *)e->down.data;
    down.first_bytes = (int64_t)e->down.row_bytes;
    down.planes = gemv_planes(e->down.type, e->down.cols);
    down.x = expert_x(e->down.type, args->hidden_q8, e->hidden, e->down.cols);
    down.x_pairs = 1;
    down.cols = (int)e->down.cols;
    down.rows = (int)e->gate.cols;
    down.experts = e->experts;
    down.order = args->order;
    down.out = args->partial;
    launch_sort(queue, e, args->order);
    launch_tiles_of<true>(queue, e->gate.type, gated, pairs);
    launch_tiles_of<false>(queue, e->down.type, down, pairs);
    launch_join(queue, e, args->partial);
    return true;
}
