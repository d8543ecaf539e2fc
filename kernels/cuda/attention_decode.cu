/* Attention of 1 to 8 rows: the keys of each row in splits, one block per (row, split, KV head), the splits
 * joined by a second kernel (flash-decoding, Dao et al. 2023).
 *
 * Where splits begin depends on the row's own position only (attention_internal.cuh), each split is summed in
 * one order and splits join in order: a row's bits do not depend on the rows beside it, on the grid, or on
 * how much room the grid leaves for a sequence to grow (it is sized for a power of two of positions, so that
 * a captured step can be replayed; blocks beyond the row's end leave at once).
 *
 * Napkin, 32k positions, 8 KV heads of 128, F16: 32768 * 8 * 128 * 2 * 2 = 134 MB per layer, 28 us at 4.8
 * TB/s; partial results of 64 splits and 32 heads 1 MB. 32 query heads: 0.54 GFLOP, twice that as
 * below. By bytes one multiprocessor (132) gets 21 per clock; a group of 8 heads asks 4 multiply-adds for
 * each byte, 84 of the 128 lanes. So the products go to tensor cores without giving up precision: of the 16
 * rows of a product 0 to 7 hold the upper halves of 8 query heads and 8 to 15 what rounding to 16 bits took
 * from them, and both results, which lie in one thread, are added. The same with the weights 2^(s - m).
 *
 * attend_splits: a warp takes every fourth tile of 16 keys and works on it alone: its tiles come by
 * copy_async16 into its own shared memory (`depth` tiles of keys and of values on their way at a time, 39 KB
 * for each block with depth 1, four blocks on a multiprocessor); no barrier before the warps join at the end.
 * Lane l holds head l / 4, keys or columns 2 (l % 4) and + 1 of each 8.
 *
 * attend_any: float arithmetic for rows of F32 and for head sizes that tensor cores do not take (multiples of
 * 8 up to 256), one head per block; a warp takes every fourth tile of 32 keys, a lane one key for the scores
 * and the columns l, l + 32.. for the values. For small models: every head reads its keys again.
 *
 * Twin: ref_attend. Error: float sums; q and weights hold 22 bits (F16, Q8_0) or 16 (BF16); values of Q8_0
 * rows 11 bits in attend_splits (2^-12 relative), exact in attend_any.
 */
#include "kernels/cuda/attention_internal.cuh"

enum { WARPS = 4, THREADS = 32 * WARPS };

/* A running softmax of several warps, in shared memory: o[WARPS][rows][pitch], then m and l of each. */
template <int ROWS, int PITCH> struct Shares {
    enum { VECTORS = WARPS * ROWS * PITCH, BYTES = (VECTORS + 2 * WARPS * ROWS) * 4 };
};

/* Joins the warps' shares of row `row` in the order of warps: the value of one column, and m and l. */
template <int ROWS, int PITCH>
DEVICE float join_warps(const float *shares, int row, int column, float &m, float &l) {
    const float *pairs = shares + Shares<ROWS, PITCH>::VECTORS;
    float value = 0;
    m = NEGATIVE_INFINITY, l = 0;
    UNROLL for (int w = 0; w < WARPS; w++) m = fmaxf(m, pairs[(w * ROWS + row) * 2]);
    UNROLL for (int w = 0; w < WARPS; w++) {
        float weight = power_between(pairs[(w * ROWS + row) * 2], m);
        l += weight * pairs[(w * ROWS + row) * 2 + 1];
        value += weight * shares[(w * ROWS + row) * PITCH + column];
    }
    return value;
}

/* ---- tensor cores ---- */

template <DType TYPE, int DK, int DV> struct Decode {
    enum {
        KEYS = 16,
        RESIDENT =
            DK <= 128 ? TYPE == DTYPE_Q8_0 && DK > 64 ? 3 : 4 : 2, /* blocks that registers must hold */
        Q_BYTES = DK / 16 * 32 * 16,
        KEY_BYTES = Tile<TYPE, DK, KEYS, 32>::BYTES,
        VALUE_BYTES = Tile<TYPE, DV, KEYS, 32>::BYTES,
        TILE_BYTES = KEY_BYTES + VALUE_BYTES,
        PITCH = DV + 8, /* floats between heads where warps join: no two of half a warp in one bank */
        JOIN_BYTES = Shares<8, PITCH>::BYTES
    };
};

/* The A fragments of 8 heads for each 16 dims, a lane's 16 bytes side by side. */
template <DType TYPE, int DK>
DEVICE void split_queries(unsigned char *shared, const Attend &a, int i, int kv_head, int head_group) {
    int lane = lane_id(), group = a.heads / a.kv_heads, in_group = head_group * 8 + lane / 4;
    const float *q = a.q + ((size_t)i * a.heads + kv_head * group + in_group) * DK + (lane & 3) * 2;
    float factor = a.scale * LOG2_E;
    for (int d = warp_id(); d < DK / 16; d += WARPS) {
        uint32_t part[4] = {0, 0, 0, 0}; /* upper halves of dims 2t, 2t + 1, the rest of them, 2t + 8.. */
        if (in_group < group) {
            UNROLL for (int half = 0; half < 2; half++) {
                uint2 pair = load8(q + d * 16 + half * 8);
                float x = float_from_bits(pair.x) * factor, y = float_from_bits(pair.y) * factor;
                part[half * 2] = pack2<TYPE>(x, y);
                float2 upper = unpack2<TYPE>(part[half * 2]);
                part[half * 2 + 1] = pack2<TYPE>(x - upper.x, y - upper.y);
            }
        }
        store16(shared + (d * 32 + lane) * 16, make_uint4(part[0], part[1], part[2], part[3]));
    }
}

/* Scores of head l / 4 with keys 2 (l % 4), + 1, + 8, + 9 of a tile. */
template <DType TYPE, int DK>
DEVICE void tile_scores(float score[4], const unsigned char *queries, const unsigned char *keys) {
    float s[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    UNROLL for (int d = 0; d < DK / 16; d++) {
        uint4 packed = load16(queries + (d * 32 + lane_id()) * 16);
        uint32_t q[4] = {packed.x, packed.y, packed.z, packed.w}, b[4];
        load_key_fragments<DK * 2 + 16>(b, keys, 0, d * 16);
        mma16<TYPE>(s[0], q, b);
        mma16<TYPE>(s[1], q, b + 2);
    }
    UNROLL for (int j = 0; j < 4; j++) score[j] = s[j / 2][j % 2] + s[j / 2][j % 2 + 2];
}

/* Cap and mask, then the step of the running softmax: score becomes 2^(s - m); returns the factor for o. */
DEVICE float tile_softmax(float score[4], float limit, int p0, int begin, int end, float &largest,
                          float &sum) {
    float most = largest;
    UNROLL for (int j = 0; j < 4; j++) {
        int p = p0 + j / 2 * 8 + (lane_id() & 3) * 2 + j % 2;
        if (limit > 0)
            score[j] = cap_score(score[j], limit);
        if (p < begin || p > end)
            score[j] = NEGATIVE_INFINITY;
        most = fmaxf(most, score[j]);
    }
    most = fmaxf(most, shuffle_xor(most, 1));
    most = fmaxf(most, shuffle_xor(most, 2)); /* a tile holds a key that counts: never minus infinity */
    float keep = power_between(largest, most);
    sum *= keep;
    UNROLL for (int j = 0; j < 4; j++) {
        score[j] = fast_exp2(score[j] - most);
        sum += score[j];
    }
    largest = most;
    return keep;
}

/* o += weights * values of a tile. */
template <DType TYPE, int DV>
DEVICE void add_values(float o[DV / 8][4], const float weight[4], const unsigned char *values) {
    uint32_t p[4]; /* rows l / 4: upper halves, rows + 8: what is left */
    UNROLL for (int half = 0; half < 2; half++) {
        p[half * 2] = pack2<TYPE>(weight[half * 2], weight[half * 2 + 1]);
        float2 upper = unpack2<TYPE>(p[half * 2]);
        p[half * 2 + 1] = pack2<TYPE>(weight[half * 2] - upper.x, weight[half * 2 + 1] - upper.y);
    }
    UNROLL for (int c = 0; c < DV / 16; c++) {
        uint32_t b[4];
        load_value_fragments<DV * 2 + 16>(b, values, 0, c * 16);
        mma16<TYPE>(o[2 * c], p, b);
        mma16<TYPE>(o[2 * c + 1], p, b + 2);
    }
}

DEVICE void wait_for_oldest(int depth) {
    if (depth == 2)
        copy_async_wait<3>();
    else
        copy_async_wait<1>();
}

/* Writes the block's share of its heads: vectors and pairs in the place of this split. */
template <int DV>
DEVICE void write_shares(const SplitArgs &args, const float *shares, int i, int first_head, int heads,
                         int split) {
    for (int at = (int)threadIdx.x; at < heads * DV; at += THREADS) {
        int row = at / DV, column = at % DV;
        float m, l, value = join_warps<8, DV + 8>(shares, row, column, m, l);
        partial_vector(args, i, first_head + row, split)[column] = value;
        if (column == 0) {
            float *pair = partial_pair(args, i, first_head + row, split);
            pair[0] = m;
            pair[1] = l;
        }
    }
}

/* What a lane keeps while its warp walks over its tiles: head l / 4. */
template <int DV> struct Walk { float largest, sum, o[DV / 8][4]; };

/* Starts the way of a tile of keys or of values, if the warp has one more; a group of copies either way. */
template <DType TYPE, int WIDTH>
DEVICE void fetch_next(Tile<TYPE, WIDTH, 16, 32> &tile, unsigned char *slot, const KvRows &kv, bool in_pages,
                       int kv_head, int p0, const SplitRange &range) {
    if (p0 <= range.end)
        tile_fetch(tile, slot, kv, in_pages, kv_head * WIDTH, p0, range.begin, range.end, lane_id());
    copy_async_commit();
}

/* The keys of one warp. tiles: `depth` slots of the warp's own. */
template <DType TYPE, int DK, int DV>
DEVICE void walk_tiles(Walk<DV> &walk, const SplitArgs &args, const SplitRange &range, int i, int kv_head,
                       int head_group, unsigned char *queries, unsigned char *tiles) {
    typedef Decode<TYPE, DK, DV> Sizes;
    const Attend &a = args.a;
    const int step = WARPS * Sizes::KEYS;
    int lane = lane_id(), depth = args.depth, p0 = range.start + warp_id() * Sizes::KEYS;
    Tile<TYPE, DK, Sizes::KEYS, 32> key_tile;
    Tile<TYPE, DV, Sizes::KEYS, 32> value_tile;
    while (p0 + Sizes::KEYS <= range.begin)
        p0 += step;
    int next = p0;
    for (int d = 0; d < depth; d++, next += step) {
        unsigned char *keys = tiles + d * Sizes::TILE_BYTES, *values = keys + Sizes::KEY_BYTES;
        fetch_next(key_tile, keys, a.keys, args.keys_in_pages, kv_head, next, range);
        fetch_next(value_tile, values, a.values, args.values_in_pages, kv_head, next, range);
    }
    split_queries<TYPE, DK>(queries, a, i, kv_head, head_group);
    block_sync();

    for (int d = 0; p0 <= range.end; p0 += step, next += step, d = d + 1 == depth ? 0 : d + 1) {
        unsigned char *keys = tiles + d * Sizes::TILE_BYTES, *values = keys + Sizes::KEY_BYTES;
        float score[4];
        wait_for_oldest(depth);
        tile_arrive(key_tile, keys, lane);
        warp_sync();
        tile_scores<TYPE, DK>(score, queries, keys);
        warp_sync();
        fetch_next(key_tile, keys, a.keys, args.keys_in_pages, kv_head, next, range);
        float keep =
            tile_softmax(score, a.softcap * LOG2_E, p0, range.begin, range.end, walk.largest, walk.sum);
        if (warp_ballot(keep != 1)) {
            UNROLL for (int c = 0; c < DV / 8; c++) {
                UNROLL for (int j = 0; j < 4; j++) walk.o[c][j] *= keep;
            }
        }
        wait_for_oldest(depth);
        tile_arrive(value_tile, values, lane);
        warp_sync();
        add_values<TYPE, DV>(walk.o, score, values);
        warp_sync();
        fetch_next(value_tile, values, a.values, args.values_in_pages, kv_head, next, range);
    }
    copy_async_wait<0>();
}

/* The warp's share of the block's result to shared memory: both halves of o, and (m, l). */
template <int DV> DEVICE void put_share(float *shares, const Walk<DV> &walk) {
    int lane = lane_id(), row = warp_id() * 8 + lane / 4;
    float *vector = shares + row * (DV + 8) + (lane & 3) * 2, sum = walk.sum;
    sum += shuffle_xor(sum, 1);
    sum += shuffle_xor(sum, 2);
    UNROLL for (int c = 0; c < DV / 8; c++) * (float2 *)(vector + c * 8) =
        make_float2(walk.o[c][0] + walk.o[c][2], walk.o[c][1] + walk.o[c][3]);
    if ((lane & 3) == 0)
        *(float2 *)(shares + Shares<8, DV + 8>::VECTORS + row * 2) = make_float2(walk.largest, sum);
}

template <DType TYPE, int DK, int DV>
static __global__ void __launch_bounds__(THREADS, Decode<TYPE, DK, DV>::RESIDENT)
    attend_splits(const SplitArgs args) {
    typedef Decode<TYPE, DK, DV> Sizes;
    const Attend &a = args.a;
    int i = (int)blockIdx.x, split = (int)blockIdx.y;
    int kv_head = (int)blockIdx.z / args.head_groups, head_group = (int)blockIdx.z % args.head_groups;
    SplitRange range;
    if (!split_range(range, a.positions[i], a.window, split))
        return;

    unsigned char *queries = block_shared(), *tiles = queries + Sizes::Q_BYTES;
    Walk<DV> walk;
    walk.largest = NEGATIVE_INFINITY;
    walk.sum = 0;
    UNROLL for (int c = 0; c < DV / 8; c++) {
        UNROLL for (int j = 0; j < 4; j++) walk.o[c][j] = 0;
    }
    walk_tiles<TYPE, DK, DV>(walk, args, range, i, kv_head, head_group, queries,
                             tiles + warp_id() * args.depth * Sizes::TILE_BYTES);
    block_sync(); /* tiles and queries are done with: the warps' shares take their place */
    float *shares = (float *)queries;
    put_share<DV>(shares, walk);
    block_sync();
    int group = a.heads / a.kv_heads, heads = group - head_group * 8 < 8 ? group - head_group * 8 : 8;
    write_shares<DV>(args, shares, i, kv_head * group + head_group * 8, heads, split);
}

/* ---- float arithmetic ---- */

/* Values number c to c + 7 of a row. */
template <DType TYPE> DEVICE void load_eight(float out[8], const char *row, int64_t row_values, int c) {
    if (TYPE == DTYPE_F32) {
        uint4 low = load16(row + c * 4), high = load16(row + c * 4 + 16);
        uint32_t bits[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        UNROLL for (int j = 0; j < 8; j++) out[j] = float_from_bits(bits[j]);
    } else if (TYPE == DTYPE_Q8_0) {
        uint2 packed = load8(row + c);
        float d = half_value(load2(row + row_values + c / 32 * 2));
        UNROLL for (int j = 0; j < 8; j++) out[j] =
            d * (float)(int8_t)((j < 4 ? packed.x : packed.y) >> (j % 4 * 8) & 0xFF);
    } else {
        uint4 packed = load16(row + c * 2);
        uint32_t pair[4] = {packed.x, packed.y, packed.z, packed.w};
        UNROLL for (int j = 0; j < 4; j++) {
            float2 both = unpack2<TYPE>(pair[j]);
            out[2 * j] = both.x;
            out[2 * j + 1] = both.y;
        }
    }
}

template <DType TYPE> DEVICE float load_one(const char *row, int64_t row_values, int c) {
    switch (TYPE) {
    case DTYPE_F32: return ((const float *)row)[c];
    case DTYPE_Q8_0:
        return half_value(load2(row + row_values + c / 32 * 2)) * (float)((const int8_t *)row)[c];
    case DTYPE_BF16: return bf16_value(load2(row + c * 2));
    default: return half_value(load2(row + c * 2));
    }
}

enum { ANY_WIDTH = 256 };

template <DType TYPE> static __global__ void __launch_bounds__(THREADS) attend_slowly(const SplitArgs args) {
    const Attend &a = args.a;
    int i = (int)blockIdx.x, split = (int)blockIdx.y, head = (int)blockIdx.z;
    int lane = lane_id(), warp = warp_id(), kv_head = head / (a.heads / a.kv_heads);
    int position = a.positions[0] + i;
    SplitRange range = {first_key(position, a.window), position, 0, 0};
    if (args.partial && !split_range(range, position, a.window, split))
        return;

    float *q = (float *)block_shared(), *shares = q + ANY_WIDTH, limit = a.softcap * LOG2_E;
    for (int c = (int)threadIdx.x; c < a.head_dim; c += THREADS)
        q[c] = a.q[((size_t)i * a.heads + head) * a.head_dim + c] * (a.scale * LOG2_E);
    block_sync();

    float largest = NEGATIVE_INFINITY, sum = 0, o[ANY_WIDTH / 32];
    UNROLL for (int j = 0; j < ANY_WIDTH / 32; j++) o[j] = 0;
    for (int p0 = (range.begin / 32 + warp) * 32; p0 <= range.end; p0 += WARPS * 32) {
        int p = p0 + lane;
        float score = NEGATIVE_INFINITY;
        if (p >= range.begin && p <= range.end) {
            const char *row = kv_row(a.keys, p);
            score = 0;
            for (int c = 0; c < a.head_dim; c += 8) {
                float k[8];
                load_eight<TYPE>(k, row, a.keys.row_values, kv_head * a.head_dim + c);
                UNROLL for (int j = 0; j < 8; j++) score += q[c + j] * k[j];
            }
            if (limit > 0)
                score = cap_score(score, limit);
        }
        float most = fmaxf(largest, warp_max(score)), keep = power_between(largest, most);
        float weight = fast_exp2(score - most);
        sum = sum * keep + warp_sum(weight);
        largest = most;
        UNROLL for (int j = 0; j < ANY_WIDTH / 32; j++) o[j] *= keep;
        int from = p0 < range.begin ? range.begin - p0 : 0, to = p0 + 31 > range.end ? range.end - p0 : 31;
        for (int k = from; k <= to; k++) {
            const char *row = kv_row(a.values, p0 + k);
            float w = shuffle(weight, k);
            UNROLL for (int j = 0; j < ANY_WIDTH / 32; j++) {
                int c = lane + 32 * j;
                if (c < a.value_dim)
                    o[j] += w * load_one<TYPE>(row, a.values.row_values, kv_head * a.value_dim + c);
            }
        }
    }
    UNROLL for (int j = 0; j < ANY_WIDTH / 32; j++) {
        if (lane + 32 * j < a.value_dim)
            shares[warp * ANY_WIDTH + lane + 32 * j] = o[j];
    }
    if (lane == 0) {
        shares[WARPS * ANY_WIDTH + warp * 2] = largest;
        shares[WARPS * ANY_WIDTH + warp * 2 + 1] = sum;
    }
    block_sync();
    for (int c = (int)threadIdx.x; c < a.value_dim; c += THREADS) {
        float m, l, value = join_warps<1, ANY_WIDTH>(shares, 0, c, m, l);
        if (args.partial) {
            partial_vector(args, i, head, split)[c] = value;
            if (c == 0) {
                partial_pair(args, i, head, split)[0] = m;
                partial_pair(args, i, head, split)[1] = l;
            }
        } else {
            float sink = a.sinks ? a.sinks[head] * LOG2_E : NEGATIVE_INFINITY, top = fmaxf(m, sink);
            float factor = power_between(m, top);
            a.out[((size_t)i * a.heads + head) * a.value_dim + c] =
                value * factor / (l * factor + power_between(sink, top));
        }
    }
}

/* ---- the splits of a row join ---- */

enum { JOIN_WARPS = 8, JOIN_MOST = (SPLIT_COUNT + 1 + JOIN_WARPS - 1) / JOIN_WARPS };

/* One block per (head, row). Warp w takes splits w, w + 8.., a lane four columns; then the warps in order. */
static __global__ void __launch_bounds__(32 * JOIN_WARPS) join_splits(const SplitArgs args) {
    const Attend &a = args.a;
    int head = (int)blockIdx.x, i = (int)blockIdx.y, lane = lane_id(), warp = warp_id();
    int splits = split_count(a.positions[i], a.window);
    float *vectors = (float *)block_shared(), *sums = vectors + JOIN_WARPS * a.value_dim;
    const float *pairs = partial_pair(args, i, head, 0), *from = partial_vector(args, i, head, 0);

    float sink = a.sinks ? a.sinks[head] * LOG2_E : NEGATIVE_INFINITY, m = sink;
    for (int s = lane; s < splits; s += 32)
        m = fmaxf(m, pairs[s * 2]);
    m = warp_max(m);
    for (int c = lane * 4; c < a.value_dim; c += 128) {
        uint4 part[JOIN_MOST];
        UNROLL for (int k = 0; k < JOIN_MOST; k++) {
            int s = warp + k * JOIN_WARPS;
            part[k] = make_uint4(0, 0, 0, 0);
            if (s < splits)
                part[k] = load16(from + (size_t)s * a.value_dim + c);
        }
        float o[4] = {0, 0, 0, 0}, sum = 0;
        UNROLL for (int k = 0; k < JOIN_MOST; k++) {
            int s = warp + k * JOIN_WARPS;
            if (s < splits) {
                float weight = fast_exp2(pairs[s * 2] - m);
                sum += weight * pairs[s * 2 + 1];
                o[0] += weight * float_from_bits(part[k].x);
                o[1] += weight * float_from_bits(part[k].y);
                o[2] += weight * float_from_bits(part[k].z);
                o[3] += weight * float_from_bits(part[k].w);
            }
        }
        UNROLL for (int j = 0; j < 4; j++) vectors[warp * a.value_dim + c + j] = o[j];
        if (c == 0)
            sums[warp] = sum;
    }
    block_sync();
    for (int c = (int)threadIdx.x; c < a.value_dim; c += 32 * JOIN_WARPS) {
        float sum = power_between(sink, m), value = 0;
        for (int w = 0; w < JOIN_WARPS; w++) {
            sum += sums[w];
            value += vectors[w * a.value_dim + c];
        }
        a.out[((size_t)i * a.heads + head) * a.value_dim + c] = value / sum;
    }
}

/* ---- launchers ---- */

/* Splits that rows up to last_position may have, for a whole range of positions: those up to a power of two.
 */
static int most_splits(int last_position, int window) {
    int bucket = 4 * SPLIT_LEAST, most;
    while (bucket <= last_position && bucket < 1 << 30)
        bucket *= 2;
    most = window > 0 && window < bucket ? window : bucket;
    /* A window may begin inside a split. Rows that see fewer keys may have smaller splits, and as many. */
    most = most > SPLIT_LEAST * SPLIT_COUNT ? SPLIT_COUNT : (most + SPLIT_LEAST - 1) / SPLIT_LEAST;
    return most + 1;
}

static Extent threads(unsigned count) {
    Extent extent = {count, 1, 1};
    return extent;
}

/* The same bytes for the same call: recorded launches are compared. What the rows' positions are is for the
 * device to read. */
static SplitArgs split_args(const Attend *a, float *partial, int splits) {
    SplitArgs args;
    memset(&args, 0, sizeof args);
    args.a = *a;
    args.a.last_position = 0;
    args.partial = partial;
    args.splits = splits;
    args.head_groups = args.depth = 1;
    return args;
}

bool attend_any(CudaQueue *queue, const Attend *a, float *partial, int splits) {
    int width = a->head_dim > a->value_dim ? a->head_dim : a->value_dim;
    if (width > ANY_WIDTH || a->head_dim % 8 != 0 || a->value_dim % 8 != 0 || a->keys.type != a->values.type)
        return false;
    SplitArgs args = split_args(a, partial, splits);
    args.keys_in_pages = args.values_in_pages = true;
    Extent grid = {(unsigned)a->n, (unsigned)splits, (unsigned)a->heads};
    size_t shared = ANY_WIDTH * sizeof(float) + Shares<1, ANY_WIDTH>::BYTES;
    switch (a->keys.type) {
    case DTYPE_F32:
        LAUNCH(queue, grid, threads(THREADS), shared, args, attend_slowly<DTYPE_F32>);
        return true;
    case DTYPE_F16:
        LAUNCH(queue, grid, threads(THREADS), shared, args, attend_slowly<DTYPE_F16>);
        return true;
    case DTYPE_BF16:
        LAUNCH(queue, grid, threads(THREADS), shared, args, attend_slowly<DTYPE_BF16>);
        return true;
    case DTYPE_Q8_0:
        LAUNCH(queue, grid, threads(THREADS), shared, args, attend_slowly<DTYPE_Q8_0>);
        return true;
    default: return false;
    }
}

template <DType TYPE, int DK, int DV>
static bool launch_splits(CudaQueue *queue, const Attend *a, float *partial, int splits) {
    typedef Decode<TYPE, DK, DV> Sizes;
    SplitArgs args = split_args(a, partial, splits);
    args.head_groups = (a->heads / a->kv_heads + 7) / 8;
    args.keys_in_pages = crosses_pages(&a->keys, Sizes::KEYS);
    args.values_in_pages = crosses_pages(&a->values, Sizes::KEYS);
    Extent grid = {(unsigned)a->n, (unsigned)splits, (unsigned)(a->kv_heads * args.head_groups)};
    /* Few blocks: each asks for more at a time. Many: more of them on a multiprocessor. */
    int64_t blocks = (int64_t)grid.x * grid.y * grid.z;
    if (TYPE != DTYPE_Q8_0 && DK <= 128 && queue_shared_limit(queue) >= 160 * 1024 &&
        blocks <= 2 * queue_processors(queue))
        args.depth = 2;
    size_t shared = Sizes::Q_BYTES + (size_t)args.depth * WARPS * Sizes::TILE_BYTES;
    if (shared < Sizes::JOIN_BYTES)
        shared = Sizes::JOIN_BYTES;
    if (shared > queue_shared_limit(queue)) /* 256 wide rows of Q8_0 where a block may have only 99 KB */
        return attend_any(queue, a, partial, splits);
    LAUNCH(queue, grid, threads(THREADS), shared, args, attend_splits<TYPE, DK, DV>);
    return true;
}

template <DType TYPE> static bool launch_type(CudaQueue *queue, const Attend *a, float *partial, int splits) {
#define TRY_WIDTH(DK, DV)                                                                                    \
    if (a->head_dim == DK && a->value_dim == DV)                                                             \
        return launch_splits<TYPE, DK, DV>(queue, a, partial, splits);
    ATTENTION_WIDTHS(TRY_WIDTH)
#undef TRY_WIDTH
    return attend_any(queue, a, partial, splits);
}

extern "C" size_t cuda_attend_partial_bytes(int n, int heads, int value_dim, int last_position) {
    return (size_t)n * (size_t)heads * (size_t)most_splits(last_position, 0) * (size_t)(value_dim + 2) *
           sizeof(float);
}

extern "C" bool cuda_attend_decode(CudaQueue *queue, const Attend *a, void *partial) {
    int splits = most_splits(a->last_position, a->window);
    bool launched = false;
    if (a->n > BACKEND_EXACT_ROWS || a->keys.type != a->values.type)
        return false;
    switch (a->keys.type) {
    case DTYPE_F16: launched = launch_type<DTYPE_F16>(queue, a, (float *)partial, splits); break;
    case DTYPE_BF16: launched = launch_type<DTYPE_BF16>(queue, a, (float *)partial, splits); break;
    case DTYPE_Q8_0: launched = launch_type<DTYPE_Q8_0>(queue, a, (float *)partial, splits); break;
    case DTYPE_F32: launched = attend_any(queue, a, (float *)partial, splits); break;
    default: break;
    }
    if (!launched)
        return false;
    SplitArgs args = split_args(a, (float *)partial, splits);
    Extent grid = {(unsigned)a->heads, (unsigned)a->n, 1};
    size_t shared = ((size_t)JOIN_WARPS * a->value_dim + JOIN_WARPS) * sizeof(float);
    LAUNCH(queue, grid, threads(32 * JOIN_WARPS), shared, args, join_splits);
    return true;
}
