/* Dense products out[n, rows] = x[n, cols] weight^T: our own, for when cuBLASLt is not there or refuses.
 *
 * Idea: F16 and BF16 tiles flow through a ring of shared memory filled by 16-byte copies that run by
 * themselves; ldmatrix brings them to the tensor cores (tokens are the 16 rows of an mma, weight rows its 8
 * columns), sums stay in registers in float32. Pieces of 16 bytes are swizzled so that eight rows of an
 * ldmatrix lie in eight different bank groups without padding. Every output adds its columns in steps of 16
 * from left to right: a row of out does not depend on n, nor on the tile chosen for it. F32 is multiplied as
 * F32 (no tf32).
 *
 * Two numbers, rows 14336, cols 4096, n = 2048, BF16: operations 2 * 120 G = 241 G, 243 us at 989 TFLOP/s;
 * bytes 117 + 17 + 117 MB, 52 us at 4.8 TB/s. The floor is arithmetic. mma.sync reaches about two thirds of
 * what wgmma does on compute 9.0, so expect 380 us there. Shared memory for 32 columns of a tile of 128 x
 * 128: four warps read 64 + 64 rows of 64 bytes each (32 KB) and 16 KB are written, 384 clocks at 128 bytes;
 * the 128 * 128 * 32 products take 256 clocks at the full rate, 384 at two thirds of it. Few tokens: bytes
 * are the floor (rows 14336, cols 4096: 117 MB, 24 us) and the small tile keeps 24 KB of weights in flight in
 * each block.
 *
 * Threads: block = tile of tokens x rows, neighbouring blocks share the rows' tile so that weights are read
 * once from device memory; sums leave through shared memory as whole lines. Twin: ref_matmul on the values as
 * rounded. Accuracy: products are exact in float32; a tensor core adds 16 of them and the sum so far and may
 * truncate each addition to 2^-23 of the largest: |error| <= (cols + 20) * 2^-23 * sum of |terms|, in
 * practice a hundredth of it. F32: cols fused multiply-adds, (cols + 4) * 2^-24.
 */
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/gemm_internal.h"

/* TOKENS x ROWS outputs, DEPTH columns at a time, by warps of WARP_TOKENS x WARP_ROWS. */
template <int TOKENS_, int ROWS_, int DEPTH_, int WARP_TOKENS_, int WARP_ROWS_> struct HalfTile {
    static const int TOKENS = TOKENS_, ROWS = ROWS_, DEPTH = DEPTH_;
    static const int WARP_TOKENS = WARP_TOKENS_, WARP_ROWS = WARP_ROWS_;
    static const int WARPS_DOWN = TOKENS / WARP_TOKENS;
    static const int THREADS = 32 * WARPS_DOWN * (ROWS / WARP_ROWS);
    static const int PIECES = DEPTH / 8;       /* of 16 bytes in a row */
    static const int SWEEP = THREADS / PIECES; /* rows that the block copies at once; a multiple of 8 */
    static const int STAGES = 4;
    static const int STAGE = (TOKENS + ROWS) * DEPTH * 2;
    static const int OUT_PITCH = ROWS + 8; /* floats: the pairs of half a warp fall into different banks */
    static const int OUT_BYTES = TOKENS * OUT_PITCH * 4;
    static const int BYTES = STAGES * STAGE > OUT_BYTES ? STAGES *STAGE : OUT_BYTES;
};
typedef HalfTile<128, 128, 32, 64, 64> LargeTile;
typedef HalfTile<64, 64, 64, 32, 32> MiddleTile;
typedef HalfTile<32, 32, 128, 16, 16> SmallTile;

/* Where piece `piece` of row `row` lies in a tile of rows of PIECES pieces. */
template <int PIECES> DEVICE int swizzled(int row, int piece) {
    const int ROWS_A_LINE = PIECES < 8 ? 8 / PIECES : 1; /* rows in 128 bytes */
    return (row * PIECES + (piece ^ (row / ROWS_A_LINE & (PIECES < 8 ? PIECES - 1 : 7)))) * 16;
}

/* The rows of one operand that this thread copies a piece of: its first one and every SWEEP-th after it. */
typedef struct Source {
    const char *base, *row; /* row: the first of them, any address when it does not exist */
    int64_t sweep_bytes;
    int count, to; /* how many of them exist; where the first one's piece goes */
} Source;

template <typename Tile>
DEVICE Source find_source(const void *base, int64_t row_bytes, int first, int64_t most) {
    int row = (int)threadIdx.x / Tile::PIECES, piece = (int)threadIdx.x % Tile::PIECES;
    Source s;
    s.base = (const char *)base;
    s.count = first + row < most ? (int)((most - first - row + Tile::SWEEP - 1) / Tile::SWEEP) : 0;
    s.row = s.base + (s.count ? (first + row) * row_bytes : 0);
    s.sweep_bytes = Tile::SWEEP * row_bytes;
    s.to = swizzled<Tile::PIECES>(row, piece);
    return s;
}

/* Eight values of a row from column k, of which those from `cols` on do not exist. */
DEVICE uint4 cut_piece(const char *row, int64_t k, int64_t cols) {
    uint32_t words[4] = {};
    UNROLL for (int v = 0; v < 8; v++) if (k + v < cols) words[v / 2] |= (uint32_t)load2(row + (k + v) * 2)
                                                                         << v % 2 * 16;
    uint4 packed = {words[0], words[1], words[2], words[3]};
    return packed;
}

/* ROWS rows of an operand, columns from k0, to shared memory; what does not exist becomes zero. */
template <int ROWS, typename Tile>
DEVICE void copy_rows(unsigned char *shared, const Source &from, int64_t k0, int64_t cols) {
    int64_t k = k0 + (int)threadIdx.x % Tile::PIECES * 8;
    if (k + 8 <= cols) {
        const char *piece = from.row + k * 2;
        UNROLL for (int i = 0; i < ROWS / Tile::SWEEP; i++) {
            bool exists = i < from.count;
            copy_async16(shared + from.to + i * Tile::THREADS * 16,
                         exists ? piece + i * from.sweep_bytes : from.base, exists);
        }
        return;
    }
    _Pragma("unroll 1") for (int i = 0; i < ROWS / Tile::SWEEP; i++) { /* the last columns */
        uint4 piece = {};
        if (i < from.count)
            piece = cut_piece(from.row + i * from.sweep_bytes, k, cols);
        store16(shared + from.to + i * Tile::THREADS * 16, piece);
    }
}

template <typename Tile>
DEVICE void copy_stage(unsigned char *stage, const Source &x, const Source &weight, int tile, int64_t cols) {
    copy_rows<Tile::TOKENS, Tile>(stage, x, (int64_t)tile * Tile::DEPTH, cols);
    copy_rows<Tile::ROWS, Tile>(stage + Tile::TOKENS * Tile::DEPTH * 2, weight, (int64_t)tile * Tile::DEPTH,
                                cols);
}

template <typename Tile, bool is_bf16>
DEVICE void add_stage(float acc[Tile::WARP_TOKENS / 16][Tile::WARP_ROWS / 8][4], const unsigned char *stage) {
    int lane = lane_id();
    int token = warp_id() % Tile::WARPS_DOWN * Tile::WARP_TOKENS + (lane & 15);
    int row = warp_id() / Tile::WARPS_DOWN * Tile::WARP_ROWS + (lane >> 4) * 8 + (lane & 7);
    const unsigned char *weights = stage + Tile::TOKENS * Tile::DEPTH * 2;
    UNROLL for (int step = 0; step < Tile::DEPTH / 16; step++) {
        uint32_t a[Tile::WARP_TOKENS / 16][4], b[Tile::WARP_ROWS / 16][4];
        UNROLL for (int i = 0; i < Tile::WARP_TOKENS / 16; i++)
            ldmatrix_x4(a[i], stage + swizzled<Tile::PIECES>(token + i * 16, step * 2 + (lane >> 4)));
        UNROLL for (int j = 0; j < Tile::WARP_ROWS / 16; j++)
            ldmatrix_x4(b[j], weights + swizzled<Tile::PIECES>(row + j * 16, step * 2 + (lane >> 3 & 1)));
        UNROLL for (int i = 0; i < Tile::WARP_TOKENS / 16; i++)
            UNROLL for (int j = 0; j < Tile::WARP_ROWS / 8; j++) if constexpr (is_bf16)
                mma_bf16(acc[i][j], a[i], b[j / 2] + j % 2 * 2);
        else mma_f16(acc[i][j], a[i], b[j / 2] + j % 2 * 2);
    }
}

/* From the block's tile in shared memory to out, whole rows of it at a time. */
template <int TOKENS, int ROWS, int PITCH, int THREADS>
DEVICE void store_tile(const GemmArgs &a, const float *tile, int token0, int64_t row0) {
    int64_t row = row0 + (int)threadIdx.x % ROWS;
    if (row >= a.weight.rows)
        return;
    float bias = a.bias ? a.bias[row] : 0;
    _Pragma("unroll 4") for (int token = (int)threadIdx.x / ROWS; token < TOKENS; token += THREADS / ROWS) {
        if (token0 + token >= a.n)
            break;
        float *out = a.out + (token0 + token) * a.out_stride + row;
        float sum = tile[token * PITCH + (int)threadIdx.x % ROWS] + bias;
        *out = a.accumulate ? *out + sum : sum;
    }
}

template <typename Tile, bool is_bf16>
static __global__ void __launch_bounds__(Tile::THREADS) gemm_half(const GemmArgs a) {
    unsigned char *ring = block_shared();
    unsigned across = (unsigned)(a.n + Tile::TOKENS - 1) / Tile::TOKENS;
    int token0 = (int)(blockIdx.x % across) * Tile::TOKENS, row0 = (int)(blockIdx.x / across) * Tile::ROWS;
    Source x = find_source<Tile>(a.x, a.x_row_bytes, token0, a.n);
    Source weight = find_source<Tile>(a.weight.data, (int64_t)a.weight.row_bytes, row0, a.weight.rows);
    int tiles = (int)((a.weight.cols + Tile::DEPTH - 1) / Tile::DEPTH);
    float acc[Tile::WARP_TOKENS / 16][Tile::WARP_ROWS / 8][4] = {};

    int next = 0; /* the next tile to copy */
    _Pragma("unroll 1") for (; next < Tile::STAGES - 1; next++) {
        if (next < tiles)
            copy_stage<Tile>(ring + next * Tile::STAGE, x, weight, next, a.weight.cols);
        copy_async_commit();
    }
    _Pragma("unroll 1") for (int tile = 0; tile < tiles; tile++, next++) {
        copy_async_wait<Tile::STAGES - 2>();
        block_sync();
        if (next < tiles)
            copy_stage<Tile>(ring + next % Tile::STAGES * Tile::STAGE, x, weight, next, a.weight.cols);
        copy_async_commit();
        warp_sync(); /* lanes at the last columns went another way; products want the warp as one */
        add_stage<Tile, is_bf16>(acc, ring + tile % Tile::STAGES * Tile::STAGE);
    }
    copy_async_wait<0>();
    block_sync();

    float *out = (float *)ring;
    int token = warp_id() % Tile::WARPS_DOWN * Tile::WARP_TOKENS + lane_id() / 4;
    int row = warp_id() / Tile::WARPS_DOWN * Tile::WARP_ROWS + (lane_id() & 3) * 2;
    UNROLL for (int i = 0; i < Tile::WARP_TOKENS / 16; i++)
            UNROLL for (int j = 0; j < Tile::WARP_ROWS / 8; j++) UNROLL for (int half = 0; half < 2; half++) *
        (float2 *)(out + (token + i * 16 + half * 8) * Tile::OUT_PITCH + row + j * 8) =
        make_float2(acc[i][j][half * 2], acc[i][j][half * 2 + 1]);
    block_sync();
    store_tile<Tile::TOKENS, Tile::ROWS, Tile::OUT_PITCH, Tile::THREADS>(a, out, token0, row0);
}

/* ---- F32: 64 x 64 outputs of a block, 4 x 4 of a thread, 16 columns at a time, the next ones under way ----
 */

enum { FLOAT_TILE = 64, FLOAT_DEPTH = 16, FLOAT_PITCH = FLOAT_TILE + 4, FLOAT_THREADS = 256 };
enum { FLOAT_PLANE = FLOAT_DEPTH * FLOAT_PITCH };

/* Four values of a row from column k; zeros past the end. */
DEVICE float4 load_floats(const float *row, bool exists, int64_t k, int64_t cols, bool is_wide) {
    float4 v = {0, 0, 0, 0};
    if (!exists)
        return v;
    if (is_wide && k + 4 <= cols)
        return *(const float4 *)(row + k);
    if (k < cols)
        v.x = row[k];
    if (k + 1 < cols)
        v.y = row[k + 1];
    if (k + 2 < cols)
        v.z = row[k + 2];
    if (k + 3 < cols)
        v.w = row[k + 3];
    return v;
}

/* One row's four values go to four planes of one column each. */
DEVICE void store_columns(float *planes, int row, int k, float4 v) {
    float *at = planes + k * FLOAT_PITCH + row;
    at[0] = v.x;
    at[FLOAT_PITCH] = v.y;
    at[2 * FLOAT_PITCH] = v.z;
    at[3 * FLOAT_PITCH] = v.w;
}

static __global__ void __launch_bounds__(FLOAT_THREADS) gemm_float(const GemmArgs a) {
    float *planes = (float *)block_shared(); /* [2 buffers][x, weight][FLOAT_DEPTH][FLOAT_PITCH] */
    unsigned across = (unsigned)(a.n + FLOAT_TILE - 1) / FLOAT_TILE;
    int token0 = (int)(blockIdx.x % across) * FLOAT_TILE, row0 = (int)(blockIdx.x / across) * FLOAT_TILE;
    int mine = (int)threadIdx.x / 4, k = (int)threadIdx.x % 4 * 4;
    bool has_token = token0 + mine < a.n, has_row = row0 + mine < a.weight.rows;
    const char *x_row = (const char *)a.x + (has_token ? (token0 + mine) * a.x_row_bytes : 0);
    const char *weight_row = (const char *)a.weight.data + (has_row ? (row0 + mine) * a.weight.row_bytes : 0);
    bool x_wide = ((uintptr_t)a.x | (uint64_t)a.x_row_bytes) % 16 == 0;
    bool weight_wide = ((uintptr_t)a.weight.data | a.weight.row_bytes) % 16 == 0;
    int64_t cols = a.weight.cols;
    int across_at = (int)threadIdx.x % 16 * 4, down_at = (int)threadIdx.x / 16 * 4;
    float acc[4][4] = {};

    float4 x = load_floats((const float *)x_row, has_token, k, cols, x_wide);
    float4 weight = load_floats((const float *)weight_row, has_row, k, cols, weight_wide);
    store_columns(planes, mine, k, x);
    store_columns(planes + FLOAT_PLANE, mine, k, weight);
    block_sync();
    for (int64_t k0 = 0; k0 < cols; k0 += FLOAT_DEPTH) {
        float *now = planes + ((k0 / FLOAT_DEPTH) & 1) * 2 * FLOAT_PLANE;
        float *later = planes + ((k0 / FLOAT_DEPTH + 1) & 1) * 2 * FLOAT_PLANE;
        bool has_more = k0 + FLOAT_DEPTH < cols;
        if (has_more) {
            x = load_floats((const float *)x_row, has_token, k0 + FLOAT_DEPTH + k, cols, x_wide);
            weight = load_floats((const float *)weight_row, has_row, k0 + FLOAT_DEPTH + k, cols, weight_wide);
        }
        UNROLL for (int c = 0; c < FLOAT_DEPTH; c++) {
            float4 p = *(const float4 *)(now + c * FLOAT_PITCH + down_at);
            float4 q = *(const float4 *)(now + FLOAT_PLANE + c * FLOAT_PITCH + across_at);
            const float tokens[4] = {p.x, p.y, p.z, p.w}, rows[4] = {q.x, q.y, q.z, q.w};
            UNROLL for (int i = 0; i < 4; i++) UNROLL for (int j = 0; j < 4; j++) acc[i][j] =
                fmaf(tokens[i], rows[j], acc[i][j]);
        }
        if (has_more) {
            store_columns(later, mine, k, x);
            store_columns(later + FLOAT_PLANE, mine, k, weight);
        }
        block_sync();
    }
    UNROLL for (int i = 0; i < 4; i++) {
        float4 row = {acc[i][0], acc[i][1], acc[i][2], acc[i][3]};
        *(float4 *)(planes + (down_at + i) * FLOAT_PITCH + across_at) = row;
    }
    block_sync();
    store_tile<FLOAT_TILE, FLOAT_TILE, FLOAT_PITCH, FLOAT_THREADS>(a, planes, token0, row0);
}

static int64_t tile_count(const GemmArgs *args, int tokens, int rows) {
    return (int64_t)((args->n + tokens - 1) / tokens) * ((args->weight.rows + rows - 1) / rows);
}

template <typename Tile> static void launch_half(CudaQueue *queue, const GemmArgs &args) {
    Extent grid = {(unsigned)tile_count(&args, Tile::TOKENS, Tile::ROWS), 1, 1};
    Extent block = {Tile::THREADS, 1, 1};
    if (args.weight.type == DTYPE_BF16)
        LAUNCH(queue, grid, block, Tile::BYTES, args, gemm_half<Tile, true>);
    else
        LAUNCH(queue, grid, block, Tile::BYTES, args, gemm_half<Tile, false>);
}

/* The largest tile that still gives every multiprocessor one. */
static GemmTile choose_tile(CudaQueue *queue, const GemmArgs *args) {
    int64_t enough = queue_processors(queue);
    if (args->n > 64 && tile_count(args, LargeTile::TOKENS, LargeTile::ROWS) >= enough)
        return GEMM_LARGE;
    if (args->n > 32 && tile_count(args, MiddleTile::TOKENS, MiddleTile::ROWS) >= enough)
        return GEMM_MIDDLE;
    return GEMM_SMALL;
}

static bool is_possible(const GemmArgs *args) {
    return !args->weight.is_planar && args->weight.rows <= INT32_MAX - 128 &&
           tile_count(args, SmallTile::TOKENS, SmallTile::ROWS) <= INT32_MAX;
}

extern "C" bool cuda_gemm_tile(CudaQueue *queue, const GemmArgs *args, GemmTile tile) {
    if (!is_possible(args) || (args->weight.type != DTYPE_F16 && args->weight.type != DTYPE_BF16) ||
        args->weight.row_bytes % 16 || args->x_row_bytes % 16 || (uintptr_t)args->x % 16 ||
        (uintptr_t)args->weight.data % 16)
        return false;
    switch (tile) {
    case GEMM_SMALL: launch_half<SmallTile>(queue, *args); break;
    case GEMM_MIDDLE: launch_half<MiddleTile>(queue, *args); break;
    case GEMM_LARGE: launch_half<LargeTile>(queue, *args); break;
    }
    return true;
}

extern "C" bool cuda_gemm(CudaQueue *queue, const GemmArgs *args) {
    if (args->n < 1 || args->weight.rows < 1)
        return true;
    if (args->weight.type != DTYPE_F32)
        return cuda_gemm_tile(queue, args, choose_tile(queue, args));
    if (!is_possible(args))
        return false;
    Extent grid = {(unsigned)tile_count(args, FLOAT_TILE, FLOAT_TILE), 1, 1}, block = {FLOAT_THREADS, 1, 1};
    LAUNCH(queue, grid, block, 4 * FLOAT_PLANE * sizeof(float), *args, gemm_float);
    return true;
}
