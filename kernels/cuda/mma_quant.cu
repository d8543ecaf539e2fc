/* Quantised weights times 9 and more rows of 8-bit activations, on the int8 tensor cores.
 *
 * Idea: a product of 32 columns is one mma of 16 weight rows by 8 tokens; weights stay packed until they are
 * in registers, where a nibble plane read by ldmatrix is already the operand's layout. Integer sums of a
 * sub-block of 32 columns are exact; each is multiplied by the scales of the weight row and of the token and
 * added in float32. The eight warps of a block share the rows and split the columns: warp w takes sub-block w
 * of every tile of 256 columns, so that 32 rows keep a whole block busy and few rows still fill the device.
 * At the end the eight partial sums are added in the order of the warps. The order of every addition depends
 * on cols alone: a row of out does not depend on n, nor on the token tile chosen for it.
 *
 * Two numbers, rows 14336, cols 4096, n = 32, Q4_K: bytes 14336 * 4096 * 0.5625 = 33 MB of weights
 * (activations 0.2 MB, out 1.8 MB), 7.3 us at 4.8 TB/s; operations 2 * 32 * 58.7 M = 3.8 G, 1.9 us at 1979
 * TOPS. The floor is bytes up to n of about 32. Scaling costs 3 float instructions (4 with minima) for each 4
 * products of a lane against 1/4 mma, so from n of about 64 on their issue rate is the bound: 14336 * 4096 /
 * 32 * 64 * 4 / 32 lanes = 15 M warp instructions, 16 us on 132 multiprocessors at 4 a clock.
 *
 * Threads: block = 32 weight rows (gated: 16 of the gate and the same 16 of up) x 16, 32 or 64 tokens. A ring
 * of 3 to 6 tiles in shared memory is filled by 16-byte copies that run by themselves; rows are padded by 16
 * bytes so that eight rows of an ldmatrix lie in different banks. Lane l decodes the scales of row l for its
 * warp's sub-block and hands them out by shuffles. Scales and deltas are copied as the 16-byte pieces that
 * hold them; pieces shared by several tiles come from the second-level cache again. 64 tokens take all
 * registers of a multiprocessor for one block, 16 leave room for two. Padding between planes is copied at
 * times and never used. Twin: ref_matmul over activations rounded as Q8Rows. Accuracy: integer parts are
 * exact; a warp rounds at most three times a tile, then eight sums are joined: |error| <=
 * (3 * ceil(cols / 256) + 13) * 2^-24 * sum of |terms|, a minimum being a term of its own.
 */
#include "kernels/cuda/common.cuh"

enum {
    MMA_THREADS = 256,
    WARPS = MMA_THREADS / 32,
    TILE_ROWS = 32,
    TILE_COLS = 256,
    SUB_COLS = 32,
    X_PITCH = TILE_COLS + 16,
    SHARED_BYTES = 99 * 1024,  /* what a block may have on every device */
    SLAB_PITCH = TILE_ROWS + 4 /* floats: the stores of a quad's four tokens fall into different banks */
};

typedef struct MmaJob {
    const char *weight, *up;
    const float *bias;
    float *out;
    int64_t row_bytes, up_row_bytes, out_stride;
    int rows, accumulate;
} MmaJob;

typedef struct MmaArgs {
    MmaJob jobs[8];
    int first_block[8]; /* of the grid's x, of each job */
    const int8_t *q;
    const float *scale;
    PlanarRow planes;
    int cols, job_count, n, is_gated;
} MmaArgs;

/* What one row and tile takes of each plane; meta = the pieces that hold scales and deltas. */
template <DType type> struct Planes {
    static const bool IS_PAIRED = type == DTYPE_Q4_K || type == DTYPE_Q5_K; /* scale and minimum */
    static const int LOW = type == DTYPE_Q8_0 ? 256 : 128;
    static const int HIGH = type == DTYPE_Q5_K ? 32 : type == DTYPE_Q6_K ? 64 : 0;
    static const int META = IS_PAIRED ? 3 : type == DTYPE_Q6_K ? 2 : 1;
    static const int LOW_PITCH = LOW + 16;
    static const int HIGH_PITCH = HIGH ? HIGH + 16 : 0;
    static const int META_PITCH = META == 1 ? 16 : 48;
    static const int HIGH_AT = TILE_ROWS * LOW_PITCH;
    static const int META_AT = HIGH_AT + TILE_ROWS * HIGH_PITCH;
    static const int X_AT = META_AT + TILE_ROWS * META_PITCH;
};

template <DType type, int TOKENS> struct Ring {
    static const int SCALES = WARPS * TOKENS * 8;
    static const int STAGE = Planes<type>::X_AT + TOKENS * X_PITCH;
    static const int STAGES = (SHARED_BYTES - SCALES) / STAGE < 6 ? (SHARED_BYTES - SCALES) / STAGE : 6;
    static const int SLABS = WARPS * TOKENS * SLAB_PITCH * 4;
    static const int BYTES = STAGES * STAGE + SCALES > SLABS ? STAGES *STAGE + SCALES : SLABS;
};

/* Where this block works. */
typedef struct Place {
    int job, row0, token0;
} Place;

DEVICE Place find_place(const MmaArgs &a, int tokens) {
    Place place = {0, (int)blockIdx.x, (int)blockIdx.y * tokens};
    UNROLL for (int j = 1; j < 8; j++) if (j < a.job_count && (int)blockIdx.x >= a.first_block[j]) {
        place.job = j;
        place.row0 = (int)blockIdx.x - a.first_block[j];
    }
    place.row0 *= a.is_gated ? TILE_ROWS / 2 : TILE_ROWS;
    return place;
}

/* What this thread copies: pieces 8i + threadIdx.x % 8 of weight row threadIdx.x / 8 of the tile, and piece
 * threadIdx.x % 16 of tokens threadIdx.x / 16, + 16, ... */
typedef struct Sources {
    const char *row; /* any address when the row does not exist */
    bool has_row;
    int x;      /* where in q */
    int tokens; /* how many of this thread's tokens exist */
} Sources;

DEVICE Sources find_sources(const MmaArgs &a, const Place &place) {
    int row = (int)threadIdx.x / 8, token = place.token0 + (int)threadIdx.x / 16;
    bool is_up = a.is_gated && row >= TILE_ROWS / 2;
    int at = place.row0 + (is_up ? row - TILE_ROWS / 2 : row);
    const MmaJob &job = a.jobs[place.job];
    Sources s;
    s.has_row = at < job.rows;
    s.row = is_up ? job.up : job.weight;
    if (s.has_row)
        s.row += (size_t)at * (is_up ? job.up_row_bytes : job.row_bytes);
    s.tokens = token < a.n ? (a.n - token + 15) / 16 : 0;
    s.x = s.tokens ? token * a.cols + (int)threadIdx.x % 16 * 16 : 0;
    return s;
}

/* Piece `piece` of the scales and deltas of tile `tile`: its offset in the row, -1 = not needed. */
template <DType type> DEVICE int64_t meta_offset(const PlanarRow &planes, int tile, int piece) {
    if constexpr (type == DTYPE_Q8_0 || type == DTYPE_Q4_0)
        return planes.deltas + (int64_t)tile * 16;
    else if constexpr (type == DTYPE_MXFP4)
        return planes.scales + ((int64_t)tile * 8 & ~(int64_t)15);
    else if constexpr (type == DTYPE_Q6_K)
        return piece == 0 ? planes.scales + (int64_t)tile * 16
                          : planes.deltas + ((int64_t)tile * 2 & ~(int64_t)15);
    else {
        int64_t at = (int64_t)tile * 12;
        if (piece == 2)
            return planes.deltas + ((int64_t)tile * 4 & ~(int64_t)15);
        if (piece == 1 && (at & 15) <= 4)
            return -1;
        return planes.scales + (at & ~(int64_t)15) + piece * 16;
    }
}

template <DType type, int TOKENS>
DEVICE void copy_tile(unsigned char *stage, const MmaArgs &a, const Sources &from, int tile) {
    typedef Planes<type> P;
    int left = a.cols - tile * TILE_COLS, cols = left < TILE_COLS ? left : TILE_COLS;
    int row = (int)threadIdx.x / 8, piece = (int)threadIdx.x % 8;
    UNROLL for (int i = 0; i < P::LOW / 128; i++) {
        int at = (i * 8 + piece) * 16;
        if (at < (type == DTYPE_Q8_0 ? cols : cols / 2))
            copy_async16(stage + row * P::LOW_PITCH + at, from.row + (size_t)tile * P::LOW + at,
                         from.has_row);
    }
    if (P::HIGH > 0 && piece * 16 < P::HIGH)
        copy_async16(stage + P::HIGH_AT + row * P::HIGH_PITCH + piece * 16,
                     from.row + a.planes.high + (size_t)tile * P::HIGH + piece * 16, from.has_row);
    if (piece < P::META) {
        int64_t offset = meta_offset<type>(a.planes, tile, piece);
        if (offset >= 0)
            copy_async16(stage + P::META_AT + row * P::META_PITCH + piece * 16, from.row + offset,
                         from.has_row);
    }
    int token = (int)threadIdx.x / 16, at = (int)threadIdx.x % 16 * 16;
    UNROLL for (int i = 0; i < TOKENS / 16; i++) {
        bool valid = i < from.tokens;
        if (at < cols)
            copy_async16(stage + P::X_AT + (token + i * 16) * X_PITCH + at,
                         a.q + (valid ? from.x + i * 16 * a.cols + tile * TILE_COLS : 0), valid);
    }
}

typedef struct RowScale {
    float first, second; /* Q6_K: of columns 0-15 and 16-31; Q4_K, Q5_K: scale and minimum */
} RowScale;

/* The scales of sub-block `sub` of a row, from its pieces of tile `tile`. */
template <DType type> DEVICE RowScale decode_scale(const unsigned char *meta, int tile, int sub) {
    RowScale s = {0, 0};
    if constexpr (type == DTYPE_Q8_0 || type == DTYPE_Q4_0) {
        s.first = half_value(load2(meta + sub * 2));
    } else if constexpr (type == DTYPE_MXFP4) { /* half of 2^(e - 127): the nibbles' values come doubled */
        uint32_t e = meta[(tile & 1) * 8 + sub];
        s.first = float_from_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
    } else if constexpr (type == DTYPE_Q6_K) {
        float d = half_value(load2(meta + 16 + (tile & 7) * 2));
        uint32_t pair = load2(meta + sub * 2);
        s.first = d * (float)(int8_t)pair;
        s.second = d * (float)(int8_t)(pair >> 8);
    } else {
        const unsigned char *bytes = meta + (tile * 12 & 15) + (sub & 3);
        uint32_t delta = load4(meta + 32 + (tile & 3) * 4);
        uint32_t low = bytes[0], middle = bytes[4], high = bytes[8];
        uint32_t scale = sub < 4 ? low & 63 : (high & 15) | low >> 6 << 4;
        uint32_t minimum = sub < 4 ? middle & 63 : high >> 4 | middle >> 6 << 4;
        s.first = half_value((uint16_t)delta) * (float)scale;
        s.second = half_value((uint16_t)(delta >> 16)) * (float)minimum;
    }
    return s;
}

/* Each byte (less than 128) minus `by`. */
DEVICE uint32_t subtract_each(uint32_t bytes, uint32_t by) {
    return ((bytes | 0x80808080u) - by * 0x01010101u) ^ 0x80808080u;
}

/* Four e2m1 nibbles, one in each byte, as twice their values. `high` = they are bits 4-7 of the bytes. */
DEVICE void lookup_e2m1(uint32_t packed, uint32_t *low, uint32_t *high) {
    uint32_t select = packed & 0x77777777u;
    uint32_t a = pick_bytes(0x03020100u, 0x0C080604u, select & 0xFFFF);
    uint32_t b = pick_bytes(0x03020100u, 0x0C080604u, select >> 16);
    uint32_t magnitudes[2] = {pick_bytes(a, b, 0x6420), pick_bytes(a, b, 0x7531)};
    uint32_t signs[2] = {packed >> 3 & 0x01010101u, packed >> 7 & 0x01010101u};
    UNROLL for (int i = 0; i < 2; i++) { /* 128 + magnitude - 2 * (magnitude where negative), then - 128 */
        uint32_t negative = magnitudes[i] & signs[i] * 255u;
        *(i ? high : low) = (magnitudes[i] + 0x80808080u - 2 * negative) ^ 0x80808080u;
    }
}

/* The operands of the two 16-row halves of the tile for sub-block `sub`: ldmatrix gives each lane the bytes
 * of columns 4t.. of row g, which is where mma wants them. */
template <DType type> DEVICE void load_weights(uint32_t out[2][4], const unsigned char *stage, int sub) {
    typedef Planes<type> P;
    int lane = lane_id();
    if constexpr (type == DTYPE_Q4_0 ||
                  type == DTYPE_MXFP4) { /* 16 bytes hold a sub-block: all rows at once */
        uint32_t raw[4];
        ldmatrix_x4(raw, stage + lane * P::LOW_PITCH + sub * 16);
        UNROLL for (int i = 0; i < 4; i++) {
            uint32_t low, high;
            if constexpr (type == DTYPE_MXFP4) {
                lookup_e2m1(raw[i], &low, &high);
            } else {
                low = subtract_each(raw[i] & 0x0F0F0F0Fu, 8);
                high = subtract_each(raw[i] >> 4 & 0x0F0F0F0Fu, 8);
            }
            out[i / 2][i % 2] = low;
            out[i / 2][i % 2 + 2] = high;
        }
        return;
    }
    int at = type == DTYPE_Q8_0   ? sub * 32
             : type == DTYPE_Q6_K ? sub / 4 * 64 + (sub & 1) * 32
                                  : sub / 2 * 32;
    int shift = (type == DTYPE_Q6_K ? sub / 2 & 1 : sub & 1) * 4;
    UNROLL for (int half = 0; half < 2; half++) {
        int row = half * 16 + (lane & 15), piece = (lane >> 4) * 16;
        uint32_t raw[4], bits[4];
        ldmatrix_x4(raw, stage + row * P::LOW_PITCH + at + piece);
        if constexpr (P::HIGH > 0)
            ldmatrix_x4(bits, stage + P::HIGH_AT + row * P::HIGH_PITCH +
                                  (type == DTYPE_Q6_K ? sub / 4 * 32 : 0) + piece);
        UNROLL for (int i = 0; i < 4; i++) {
            if constexpr (type == DTYPE_Q8_0)
                out[half][i] = raw[i];
            else if constexpr (type == DTYPE_Q4_K)
                out[half][i] = raw[i] >> shift & 0x0F0F0F0Fu;
            else if constexpr (type == DTYPE_Q5_K)
                out[half][i] = (raw[i] >> shift & 0x0F0F0F0Fu) | (bits[i] >> sub & 0x01010101u) << 4;
            else
                out[half][i] = subtract_each(
                    (raw[i] >> shift & 0x0F0F0F0Fu) | (bits[i] >> (sub & 3) * 2 & 0x03030303u) << 4, 32);
        }
    }
}

/* Sums start here: as a float's bits they read 1.5 * 2^23 + sum, exact for |sum| < 2^22 (at most 32 * 127 *
 * 128), which spares the conversion from integer. */
static const int SUM_ZERO = 0x4B400000;

DEVICE void exact_product(float out[4], const uint32_t a[4], const uint32_t b[2]) {
    int sum[4] = {SUM_ZERO, SUM_ZERO, SUM_ZERO, SUM_ZERO};
    mma_s8(sum, a, b);
    UNROLL for (int i = 0; i < 4; i++) out[i] = float_from_bits((uint32_t)sum[i]) - 12582912.0f;
}

/* acc (rows g, g + 8 x tokens 2t, 2t + 1) += one sub-block. first, second: the scales of rows g and g + 8;
 * x: {d, d * sum} of both tokens. */
template <DType type>
DEVICE void add_product(float acc[4], const uint32_t a[4], const uint32_t b[2], const float first[2],
                        const float second[2], float4 x) {
    float sums[4];
    if constexpr (type == DTYPE_Q6_K) { /* a scale for each 16 columns: half of the operand at a time */
        const uint32_t left[4] = {a[0], a[1], 0, 0}, right[4] = {0, 0, a[2], a[3]};
        float more[4];
        exact_product(sums, left, b);
        exact_product(more, right, b);
        UNROLL for (int i = 0; i < 4; i++) {
            float both = fmaf(second[i / 2], more[i], first[i / 2] * sums[i]);
            acc[i] = fmaf(i % 2 ? x.z : x.x, both, acc[i]);
        }
    } else {
        exact_product(sums, a, b);
        UNROLL for (int i = 0; i < 4; i++) {
            acc[i] = fmaf(first[i / 2] * (i % 2 ? x.z : x.x), sums[i], acc[i]);
            if constexpr (Planes<type>::IS_PAIRED)
                acc[i] = fmaf(-second[i / 2], i % 2 ? x.w : x.y, acc[i]);
        }
    }
}

/* This warp's sub-block of the tile in `stage`. x: the warp's own token scales, in shared memory. */
template <DType type, int TOKENS>
DEVICE void add_tile(float acc[2][TOKENS / 8][4], const unsigned char *stage, const float *x, int tile) {
    typedef Planes<type> P;
    int lane = lane_id(), sub = warp_id();
    RowScale mine = decode_scale<type>(stage + P::META_AT + lane * P::META_PITCH, tile, sub);
    float first[4], second[4] = {};
    UNROLL for (int i = 0; i < 4; i++) {
        first[i] = shuffle(mine.first, lane / 4 + 8 * i);
        if constexpr (P::IS_PAIRED || type == DTYPE_Q6_K)
            second[i] = shuffle(mine.second, lane / 4 + 8 * i);
    }
    uint32_t weights[2][4];
    load_weights<type>(weights, stage, sub);
    UNROLL for (int pair = 0; pair < TOKENS / 16; pair++) {
        uint32_t b[4];
        int token = pair * 16 + (lane >> 4) * 8 + (lane & 7);
        ldmatrix_x4(b, stage + P::X_AT + token * X_PITCH + sub * 32 + (lane >> 3 & 1) * 16);
        UNROLL for (int j = 0; j < 2; j++) {
            float4 scales = *(const float4 *)(x + (pair * 16 + j * 8 + (lane & 3) * 2) * 2);
            UNROLL for (int half = 0; half < 2; half++)
                add_product<type>(acc[half][pair * 2 + j], weights[half], b + j * 2, first + half * 2,
                                  second + half * 2, scales);
        }
    }
}

/* {d, d * sum} of the tokens lane, lane + 32 for this warp's sub-block of a tile. */
template <int TOKENS>
DEVICE void load_token_scales(uint2 out[(TOKENS + 31) / 32], const MmaArgs &a, int token0, int tile) {
    int subs = a.cols / SUB_COLS, sub = tile * WARPS + warp_id();
    UNROLL for (int i = 0; i < (TOKENS + 31) / 32; i++) {
        int token = token0 + lane_id() + i * 32;
        out[i] = {};
        if (lane_id() < TOKENS && token < a.n && sub < subs)
            out[i] = load8(a.scale + (token * subs + sub) * 2);
    }
}

DEVICE float slab_sum(const float *slabs, int tokens, int token, int row) {
    float sum = 0;
    UNROLL for (int w = 0; w < WARPS; w++) sum += slabs[(w * tokens + token) * SLAB_PITCH + row];
    return sum;
}

/* Adds the warps' partial sums and writes the block's part of out. */
template <int TOKENS>
DEVICE void finish(const MmaArgs &a, const Place &place, const float acc[2][TOKENS / 8][4]) {
    float *slabs = (float *)block_shared();
    float *slab = slabs + warp_id() * TOKENS * SLAB_PITCH;
    int g = lane_id() / 4, t = lane_id() & 3;
    UNROLL for (int half = 0; half < 2; half++) UNROLL for (int j = 0; j < TOKENS / 8; j++)
        UNROLL for (int i = 0; i < 4; i++)
            slab[(j * 8 + t * 2 + i % 2) * SLAB_PITCH + half * 16 + i / 2 * 8 + g] = acc[half][j][i];
    block_sync();
    const MmaJob &job = a.jobs[place.job];
    int wide = a.is_gated ? TILE_ROWS / 2 : TILE_ROWS;
    for (int index = (int)threadIdx.x; index < TOKENS * wide; index += MMA_THREADS) {
        int row = index % wide, token = index / wide, at = place.row0 + row;
        if (at >= job.rows || place.token0 + token >= a.n)
            continue;
        float sum = slab_sum(slabs, TOKENS, token, row);
        float *out = job.out + (size_t)(place.token0 + token) * job.out_stride + at;
        if (a.is_gated)
            sum = sum / (1 + expf(-sum)) * slab_sum(slabs, TOKENS, token, row + TILE_ROWS / 2);
        if (job.bias)
            sum += job.bias[at];
        *out = job.accumulate ? *out + sum : sum;
    }
}

template <DType type, int TOKENS>
static __global__ void __launch_bounds__(MMA_THREADS, TOKENS == 16 ? 2 : 1) mma_quant(const MmaArgs a) {
    typedef Ring<type, TOKENS> R;
    unsigned char *ring = block_shared();
    float *x = (float *)(ring + R::STAGES * R::STAGE) + warp_id() * TOKENS * 2;
    Place place = find_place(a, TOKENS);
    Sources from = find_sources(a, place);
    int tiles = (a.cols + TILE_COLS - 1) / TILE_COLS;
    float acc[2][TOKENS / 8][4] = {};
    uint2 scales[(TOKENS + 31) / 32];

    UNROLL for (int s = 0; s < R::STAGES - 1; s++) {
        if (s < tiles)
            copy_tile<type, TOKENS>(ring + s * R::STAGE, a, from, s);
        copy_async_commit();
    }
    load_token_scales<TOKENS>(scales, a, place.token0, 0);
    int stage = 0, filled = R::STAGES - 1;
    _Pragma("unroll 1") for (int tile = 0; tile < tiles; tile++) {
        copy_async_wait<R::STAGES - 2>();
        block_sync();
        if (tile + R::STAGES - 1 < tiles)
            copy_tile<type, TOKENS>(ring + filled * R::STAGE, a, from, tile + R::STAGES - 1);
        copy_async_commit();
        UNROLL for (int i = 0; i < (TOKENS + 31) / 32; i++) if (lane_id() < TOKENS) *
            (uint2 *)(x + (lane_id() + i * 32) * 2) = scales[i];
        warp_sync();
        if (tile + 1 < tiles)
            load_token_scales<TOKENS>(scales, a, place.token0, tile + 1);
        if (tile * TILE_COLS + warp_id() * SUB_COLS < a.cols) /* the same for the whole warp */
            add_tile<type, TOKENS>(acc, ring + stage * R::STAGE, x, tile);
        stage = stage + 1 == R::STAGES ? 0 : stage + 1;
        filled = filled + 1 == R::STAGES ? 0 : filled + 1;
    }
    copy_async_wait<0>();
    block_sync();
    finish<TOKENS>(a, place, acc);
}

template <DType type> static void launch_mma(CudaQueue *queue, const MmaArgs &args, int blocks) {
    int tokens = args.n <= 16 ? 16 : args.n <= 32 ? 32 : 64;
    Extent grid = {(unsigned)blocks, (unsigned)((args.n + tokens - 1) / tokens), 1};
    Extent block = {MMA_THREADS, 1, 1};
    if (tokens == 16)
        LAUNCH(queue, grid, block, (Ring<type, 16>::BYTES), args, mma_quant<type, 16>);
    else if (tokens == 32)
        LAUNCH(queue, grid, block, (Ring<type, 32>::BYTES), args, mma_quant<type, 32>);
    else
        LAUNCH(queue, grid, block, (Ring<type, 64>::BYTES), args, mma_quant<type, 64>);
}

/* False when the jobs are not of one planar type and width. */
static bool fill_jobs(MmaArgs *args, const GemvArgs *from, int *blocks) {
    int tile_rows = args->is_gated ? TILE_ROWS / 2 : TILE_ROWS;
    *blocks = 0;
    for (int j = 0; j < from->job_count; j++) {
        const MatMul *job = &from->jobs[j];
        if (!job->weight.is_planar || job->weight.type != from->jobs[0].weight.type ||
            job->weight.cols != from->q8.cols || job->weight.rows > INT32_MAX - TILE_ROWS)
            return false;
        MmaJob *to = &args->jobs[j];
        to->weight = (const char *)job->weight.data;
        to->row_bytes = (int64_t)job->weight.row_bytes;
        to->up = (const char *)from->up.data;
        to->up_row_bytes = (int64_t)from->up.row_bytes;
        to->bias = job->bias;
        to->out = job->out;
        to->out_stride = job->out_stride;
        to->rows = (int)job->weight.rows;
        args->first_block[j] = *blocks;
        to->accumulate = job->accumulate;
        *blocks += (to->rows + tile_rows - 1) / tile_rows;
    }
    return true;
}

extern "C" bool cuda_mma_quant(CudaQueue *queue, const GemvArgs *args) {
    const MatMul *job = &args->jobs[0];
    MmaArgs a = {};
    a.is_gated = args->up.data != NULL;
    if (args->job_count < 1 || args->job_count > 8 || args->n < 1 || args->n > 65535 * 16 ||
        args->q8.cols * args->n > INT32_MAX)
        return false;
    if (a.is_gated && (args->job_count != 1 || job->bias || job->accumulate || !args->up.is_planar ||
                       args->up.type != job->weight.type || args->up.rows != job->weight.rows ||
                       args->up.cols != job->weight.cols))
        return false;
    a.q = args->q8.q;
    a.scale = args->q8.scale;
    a.cols = (int)args->q8.cols;
    a.planes = planar_row(job->weight.type, args->q8.cols);
    a.job_count = args->job_count;
    a.n = args->n;
    int blocks;
    if (!fill_jobs(&a, args, &blocks))
        return false;
    switch (job->weight.type) {
    case DTYPE_Q8_0: launch_mma<DTYPE_Q8_0>(queue, a, blocks); return true;
    case DTYPE_Q4_0: launch_mma<DTYPE_Q4_0>(queue, a, blocks); return true;
    case DTYPE_MXFP4: launch_mma<DTYPE_MXFP4>(queue, a, blocks); return true;
    case DTYPE_Q4_K: launch_mma<DTYPE_Q4_K>(queue, a, blocks); return true;
    case DTYPE_Q5_K: launch_mma<DTYPE_Q5_K>(queue, a, blocks); return true;
    case DTYPE_Q6_K: launch_mma<DTYPE_Q6_K>(queue, a, blocks); return true;
    default: return false;
    }
}
