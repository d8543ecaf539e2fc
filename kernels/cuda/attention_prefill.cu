/* Attention of many rows: tiles of queries against tiles of keys on tensor cores (FlashAttention-2, Dao
 * 2023).
 *
 * A block owns 64 or 128 query rows of one KV head and walks over the keys they see, KEYS at a time: S = Q
 * K^T, a running softmax in registers, O += P V. Rows are (token, head in group) pairs, so that one tile of
 * keys serves all query heads of the group, and causality wastes little: 64 rows of a group of 8 are 8
 * tokens. Four warps with 16 rows each, or twice 16 where a block may have much shared memory and there are
 * enough rows: each B fragment is then used twice, which halves what shared memory must deliver.
 *
 * Napkin, 16k tokens, 32 heads of 128 over 8 KV heads, F16: 4 * 128 * 32 * 16k^2 / 2 = 2.2 TFLOP; at 600
 * TFLOP/s (mma.sync on an H200) 3.7 ms. Bytes: q and out 2 x 268 MB, keys and values 67 MB: 0.13 ms, so
 * arithmetic rules. Shared memory: 16 keys x 16 dims (512 bytes, 4 clocks) feed 2 products of 4096 FLOP per
 * 16 rows: 2048 FLOP per clock and multiprocessor for 64-row blocks, 4096 for 128 rows.
 *
 * 128 rows of 128 leave registers for 32 keys at a time, everything narrower for 64.
 *
 * One buffer for keys and one for values: while keys are multiplied the values arrive, during softmax and
 * O += P V the next keys; two barriers for each tile. Masks are computed only in tiles that touch the
 * diagonal, the edge of the window or the end; tiles that no row of the block sees are skipped. Blocks with
 * the most keys start first.
 *
 * Threads: in a warp lane l holds of S and O rows l / 4 and l / 4 + 8, columns 2 (l % 4) and + 1 of each 8.
 *
 * Twin: ref_attend. Error: q * scale * log2(e) and 2^(s - m) rounded to 11 bits (8 for BF16), sums in float:
 * relative to the largest |v| some 2^-11 * (1 + typical |s|) (2^-8 for BF16).
 */
#include "kernels/cuda/attention_internal.cuh"

typedef struct PrefillArgs {
    Attend a;
    bool keys_in_pages, values_in_pages;
} PrefillArgs;

/* Sizes of a block's work. TILES: groups of 16 rows of one warp. */
template <DType TYPE, int DK, int DV, int KEYS, int TILES> struct Prefill {
    enum {
        THREADS = 128,
        ROWS = 64 * TILES,
        Q_PITCH = DK * 2 + 16,
        HELD = TILES == 1 && DK <= 128 ? DK / 16 : 1, /* fragments of queries in registers; 1 = none */
        KEY_BYTES = Tile<TYPE, DK, KEYS, THREADS>::BYTES,
        VALUE_BYTES = Tile<TYPE, DV, KEYS, THREADS>::BYTES,
        Q_BYTES = ROWS * Q_PITCH,
        VALUES_AT = KEY_BYTES,
        /* Queries that move on to registers pass through the place of the values. */
        Q_AT = HELD > 1 ? VALUES_AT : KEY_BYTES + VALUE_BYTES,
        SHARED = Q_AT + Q_BYTES > KEY_BYTES + VALUE_BYTES ? Q_AT + Q_BYTES : KEY_BYTES + VALUE_BYTES
    };
};

/* The rows of a block, and of a thread. */
typedef struct RowPlan {
    int group, kv_head, first_row, total; /* rows are counted from 0 over (token, head in group) */
    int position;                         /* of token 0 */
} RowPlan;

DEVICE int row_position(const RowPlan &plan, int row) {
    return plan.position + (row < plan.total ? row : plan.total - 1) / plan.group;
}

/* Rows of q to shared memory, scaled to scores in powers of two; rows beyond the end are zeros. */
template <DType TYPE, int DK, int ROWS, int THREADS>
DEVICE void load_queries(unsigned char *shared, const Attend &a, const RowPlan &plan) {
    float factor = a.scale * LOG2_E;
    for (int at = (int)threadIdx.x; at < ROWS * (DK / 8); at += THREADS) {
        int r = at / (DK / 8), chunk = at % (DK / 8), row = plan.first_row + r;
        uint4 packed = make_uint4(0, 0, 0, 0);
        if (row < plan.total) {
            int token = row / plan.group, head = plan.kv_head * plan.group + row % plan.group;
            const float *q = a.q + ((size_t)token * a.heads + head) * DK + chunk * 8;
            uint4 low = load16(q), high = load16(q + 4);
            packed.x = pack2<TYPE>(float_from_bits(low.x) * factor, float_from_bits(low.y) * factor);
            packed.y = pack2<TYPE>(float_from_bits(low.z) * factor, float_from_bits(low.w) * factor);
            packed.z = pack2<TYPE>(float_from_bits(high.x) * factor, float_from_bits(high.y) * factor);
            packed.w = pack2<TYPE>(float_from_bits(high.z) * factor, float_from_bits(high.w) * factor);
        }
        store16(shared + r * (DK * 2 + 16) + chunk * 16, packed);
    }
}

/* A fragment: 16 rows from `row` on, dims dim to dim + 15. */
template <int PITCH>
DEVICE void load_query_fragment(uint32_t a[4], const unsigned char *queries, int row, int dim) {
    int lane = lane_id();
    ldmatrix_x4(a, queries + (row + (lane & 15)) * PITCH + (dim + (lane >> 4) * 8) * 2);
}

/* Scores of one thread's rows that must not count become minus infinity. */
template <int KEYS, int TILES>
DEVICE void mask_scores(float s[TILES][KEYS / 8][4], const int last[TILES][2], int window, int p0) {
    int column = p0 + (lane_id() & 3) * 2;
    UNROLL for (int m = 0; m < TILES; m++) {
        UNROLL for (int half = 0; half < 2; half++) {
            int to = last[m][half], from = first_key(to, window);
            UNROLL for (int k = 0; k < KEYS / 8; k++) {
                UNROLL for (int j = 0; j < 2; j++) {
                    int p = column + k * 8 + j;
                    if (p < from || p > to)
                        s[m][k][half * 2 + j] = NEGATIVE_INFINITY;
                }
            }
        }
    }
}

/* One step of the running softmax for one row of the thread: s becomes 2^(s - m); returns what o must be
 * multiplied by. sum is this thread's part of the row's sum. */
template <int KEYS> DEVICE float softmax_step(float s[KEYS / 8][4], int half, float &largest, float &sum) {
    float most = largest;
    UNROLL for (int k = 0; k < KEYS / 8; k++) most = fmaxf(most, fmaxf(s[k][half * 2], s[k][half * 2 + 1]));
    most = fmaxf(most, shuffle_xor(most, 1));
    most = fmaxf(most, shuffle_xor(most, 2));
    float base = most == NEGATIVE_INFINITY ? 0.0f : most; /* nothing seen yet: all powers are 0 */
    float keep = fast_exp2(largest - base), added = 0;
    UNROLL for (int k = 0; k < KEYS / 8; k++) {
        UNROLL for (int j = half * 2; j < half * 2 + 2; j++) {
            s[k][j] = fast_exp2(s[k][j] - base);
            added += s[k][j];
        }
    }
    largest = most;
    sum = sum * keep + added;
    return keep;
}

/* s = Q K^T of one warp. q: the warp's fragments when they are kept in registers. */
template <DType TYPE, int DK, int KEYS, int TILES, int HELD>
DEVICE void multiply_keys(float s[TILES][KEYS / 8][4], const uint32_t q[HELD][4],
                          const unsigned char *queries, int warp_row, const unsigned char *keys) {
    UNROLL for (int m = 0; m < TILES; m++) {
        UNROLL for (int k = 0; k < KEYS / 8; k++) {
            UNROLL for (int j = 0; j < 4; j++) s[m][k][j] = 0;
        }
    }
    UNROLL for (int d = 0; d < DK / 16; d++) {
        uint32_t rows[TILES][4];
        UNROLL for (int m = 0; m < TILES; m++) {
            if (HELD > 1) {
                UNROLL for (int j = 0; j < 4; j++) rows[m][j] = q[HELD > 1 ? d : 0][j];
            } else {
                load_query_fragment<DK * 2 + 16>(rows[m], queries, warp_row + m * 16, d * 16);
            }
        }
        UNROLL for (int k = 0; k < KEYS / 16; k++) {
            uint32_t b[4];
            load_key_fragments<DK * 2 + 16>(b, keys, k * 16, d * 16);
            UNROLL for (int m = 0; m < TILES; m++) {
                mma16<TYPE>(s[m][2 * k], rows[m], b);
                mma16<TYPE>(s[m][2 * k + 1], rows[m], b + 2);
            }
        }
    }
}

/* o += P V of one warp, P rounded to the type of the rows: what a thread holds of S is what it must hold of
 * an A fragment. */
template <DType TYPE, int DV, int KEYS, int TILES>
DEVICE void multiply_values(float o[TILES][DV / 8][4], const float s[TILES][KEYS / 8][4],
                            const unsigned char *values) {
    UNROLL for (int k = 0; k < KEYS / 16; k++) {
        uint32_t p[TILES][4];
        UNROLL for (int m = 0; m < TILES; m++) {
            UNROLL for (int j = 0; j < 4; j++) {
                const float *pair = &s[m][2 * k + j / 2][j % 2 * 2];
                p[m][j] = pack2<TYPE>(pair[0], pair[1]);
            }
        }
        UNROLL for (int c = 0; c < DV / 16; c++) {
            uint32_t b[4];
            load_value_fragments<DV * 2 + 16>(b, values, k * 16, c * 16);
            UNROLL for (int m = 0; m < TILES; m++) {
                mma16<TYPE>(o[m][2 * c], p[m], b);
                mma16<TYPE>(o[m][2 * c + 1], p[m], b + 2);
            }
        }
    }
}

/* What a thread keeps of its rows while it walks over the keys. */
template <int DV, int TILES> struct Running {
    int last[TILES][2]; /* the positions of the rows */
    float largest[TILES][2], sum[TILES][2], o[TILES][DV / 8][4];
};

template <int DV, int TILES>
DEVICE void start_rows(Running<DV, TILES> &rows, const RowPlan &plan, int warp_row) {
    UNROLL for (int m = 0; m < TILES; m++) {
        UNROLL for (int half = 0; half < 2; half++) {
            rows.last[m][half] =
                row_position(plan, plan.first_row + warp_row + m * 16 + half * 8 + lane_id() / 4);
            rows.largest[m][half] = NEGATIVE_INFINITY;
            rows.sum[m][half] = 0;
        }
        UNROLL for (int c = 0; c < DV / 8; c++) {
            UNROLL for (int j = 0; j < 4; j++) rows.o[m][c][j] = 0;
        }
    }
}

/* Scores become weights, and o is brought to the new largest scores. is_edge: some scores may not count. */
template <int DV, int KEYS, int TILES>
DEVICE void weigh_scores(Running<DV, TILES> &rows, float s[TILES][KEYS / 8][4], float limit, bool is_edge,
                         int window, int p0) {
    if (limit > 0) {
        UNROLL for (int m = 0; m < TILES; m++) {
            UNROLL for (int k = 0; k < KEYS / 8; k++) {
                UNROLL for (int j = 0; j < 4; j++) s[m][k][j] = cap_score(s[m][k][j], limit);
            }
        }
    }
    if (is_edge)
        mask_scores<KEYS, TILES>(s, rows.last, window, p0);
    UNROLL for (int m = 0; m < TILES; m++) {
        float keep0 = softmax_step<KEYS>(s[m], 0, rows.largest[m][0], rows.sum[m][0]);
        float keep1 = softmax_step<KEYS>(s[m], 1, rows.largest[m][1], rows.sum[m][1]);
        if (warp_ballot(keep0 != 1 || keep1 != 1)) {
            UNROLL for (int c = 0; c < DV / 8; c++) {
                rows.o[m][c][0] *= keep0, rows.o[m][c][1] *= keep0;
                rows.o[m][c][2] *= keep1, rows.o[m][c][3] *= keep1;
            }
        }
    }
}

/* o / sum, with the sink's part in the sum. */
template <int DV, int TILES>
DEVICE void write_rows(const Running<DV, TILES> &rows, const Attend &a, const RowPlan &plan, int warp_row) {
    UNROLL for (int m = 0; m < TILES; m++) {
        UNROLL for (int half = 0; half < 2; half++) {
            int row = plan.first_row + warp_row + m * 16 + half * 8 + lane_id() / 4;
            float total = rows.sum[m][half], factor = 1;
            total += shuffle_xor(total, 1);
            total += shuffle_xor(total, 2);
            if (row >= plan.total)
                continue;
            int token = row / plan.group, head = plan.kv_head * plan.group + row % plan.group;
            if (a.sinks) {
                float sink = a.sinks[head] * LOG2_E, most = fmaxf(rows.largest[m][half], sink);
                factor = fast_exp2(rows.largest[m][half] - most);
                total = total * factor + fast_exp2(sink - most);
            }
            factor /= total;
            float *out = a.out + ((size_t)token * a.heads + head) * DV + (lane_id() & 3) * 2;
            UNROLL for (int c = 0; c < DV / 8; c++) * (float2 *)(out + c * 8) =
                make_float2(rows.o[m][c][half * 2] * factor, rows.o[m][c][half * 2 + 1] * factor);
        }
    }
}

template <DType TYPE, int DK, int DV, int KEYS, int TILES>
static __global__ void __launch_bounds__(128, 2) attend_tiles(const PrefillArgs args) {
    typedef Prefill<TYPE, DK, DV, KEYS, TILES> Sizes;
    const Attend &a = args.a;
    unsigned char *keys = block_shared(), *values = keys + Sizes::VALUES_AT, *queries = keys + Sizes::Q_AT;
    int me = (int)threadIdx.x, warp_row = warp_id() * 16 * TILES;

    RowPlan plan;
    plan.group = a.heads / a.kv_heads;
    plan.kv_head = (int)blockIdx.y;
    plan.total = a.n * plan.group;
    plan.first_row = (int)(gridDim.x - 1 - blockIdx.x) * Sizes::ROWS;
    plan.position = a.positions[0];
    int begin = first_key(row_position(plan, plan.first_row), a.window);
    int end = row_position(plan, plan.first_row + Sizes::ROWS - 1);
    int warp_low = row_position(plan, plan.first_row + warp_row);
    int warp_high = row_position(plan, plan.first_row + warp_row + 16 * TILES - 1);
    int warp_begin = first_key(warp_low, a.window), warp_full = first_key(warp_high, a.window);

    Tile<TYPE, DK, KEYS, Sizes::THREADS> key_tile;
    Tile<TYPE, DV, KEYS, Sizes::THREADS> value_tile;
    int p0 = begin / KEYS * KEYS, key_column = plan.kv_head * DK, value_column = plan.kv_head * DV;
    tile_fetch(key_tile, keys, a.keys, args.keys_in_pages, key_column, p0, begin, end, me);
    copy_async_commit();
    load_queries<TYPE, DK, Sizes::ROWS, Sizes::THREADS>(queries, a, plan);
    uint32_t q[Sizes::HELD][4];
    if (Sizes::HELD > 1) {
        block_sync();
        UNROLL for (int d = 0; d < Sizes::HELD; d++)
            load_query_fragment<Sizes::Q_PITCH>(q[d], queries, warp_row, d * 16);
    }
    Running<DV, TILES> rows;
    start_rows(rows, plan, warp_row);

    for (; p0 <= end; p0 += KEYS) {
        bool sees = p0 <= warp_high && p0 + KEYS > warp_begin;
        bool is_edge = p0 + KEYS - 1 > warp_low || p0 < warp_full;
        float s[TILES][KEYS / 8][4];
        copy_async_wait<0>();
        tile_arrive(key_tile, keys, me);
        block_sync(); /* the keys are there, and the values of the tile before are no longer needed */
        tile_fetch(value_tile, values, a.values, args.values_in_pages, value_column, p0, begin, end, me);
        copy_async_commit();
        if (sees)
            multiply_keys<TYPE, DK, KEYS, TILES, Sizes::HELD>(s, q, queries, warp_row, keys);
        copy_async_wait<0>();
        tile_arrive(value_tile, values, me);
        block_sync(); /* the values are there, and the keys are no longer needed */
        if (p0 + KEYS <= end)
            tile_fetch(key_tile, keys, a.keys, args.keys_in_pages, key_column, p0 + KEYS, begin, end, me);
        copy_async_commit();
        if (sees) {
            weigh_scores<DV, KEYS, TILES>(rows, s, a.softcap * LOG2_E, is_edge, a.window, p0);
            multiply_values<TYPE, DV, KEYS, TILES>(rows.o, s, values);
        }
    }
    write_rows(rows, a, plan, warp_row);
}

template <DType TYPE, int DK, int DV, int KEYS, int TILES>
static bool launch_tiles(CudaQueue *queue, const Attend *a) {
    typedef Prefill<TYPE, DK, DV, KEYS, TILES> Sizes;
    PrefillArgs args;
    memset(&args, 0, sizeof args);
    args.a = *a;
    args.a.last_position = 0; /* the device's positions are what counts */
    args.keys_in_pages = crosses_pages(&a->keys, KEYS);
    args.values_in_pages = crosses_pages(&a->values, KEYS);
    int rows = a->n * (a->heads / a->kv_heads);
    Extent grid = {(unsigned)((rows + Sizes::ROWS - 1) / Sizes::ROWS), (unsigned)a->kv_heads, 1};
    Extent block = {Sizes::THREADS, 1, 1};
    LAUNCH(queue, grid, block, Sizes::SHARED, args, attend_tiles<TYPE, DK, DV, KEYS, TILES>);
    return true;
}

/* Blocks of 128 rows need two of them on a multiprocessor, and enough of them for all multiprocessors. */
static bool wants_large_blocks(CudaQueue *queue, const Attend *a) {
    int64_t blocks = ((int64_t)a->n * (a->heads / a->kv_heads) + 127) / 128 * a->kv_heads;
    return queue_shared_limit(queue) >= 160 * 1024 && blocks >= queue_processors(queue);
}

template <DType TYPE, int DK, int DV> static bool launch_width(CudaQueue *queue, const Attend *a) {
    if constexpr (DK == 256 && TYPE == DTYPE_Q8_0)
        return launch_tiles<TYPE, DK, DV, 16, 1>(queue, a);
    else if constexpr (DK == 256 || (DK == 192 && TYPE == DTYPE_Q8_0))
        return launch_tiles<TYPE, DK, DV, 32, 1>(queue, a);
    else if constexpr (TYPE != DTYPE_Q8_0 && (DK == 64 || DK == 128))
        return wants_large_blocks(queue, a) ? launch_tiles < TYPE, DK, DV, DK == 128 ? 32 : 64,
               2 > (queue, a)               : launch_tiles<TYPE, DK, DV, 64, 1>(queue, a);
    else
        return launch_tiles<TYPE, DK, DV, 64, 1>(queue, a);
}

template <DType TYPE> static bool launch_type(CudaQueue *queue, const Attend *a) {
#define TRY_WIDTH(DK, DV)                                                                                    \
    if (a->head_dim == DK && a->value_dim == DV)                                                             \
        return launch_width<TYPE, DK, DV>(queue, a);
    ATTENTION_WIDTHS(TRY_WIDTH)
#undef TRY_WIDTH
    return attend_any(queue, a, NULL, 1);
}

extern "C" bool cuda_attend_prefill(CudaQueue *queue, const Attend *a) {
    if (a->keys.type != a->values.type)
        return false;
    switch (a->keys.type) {
    case DTYPE_F16: return launch_type<DTYPE_F16>(queue, a);
    case DTYPE_BF16: return launch_type<DTYPE_BF16>(queue, a);
    case DTYPE_Q8_0: return launch_type<DTYPE_Q8_0>(queue, a);
    case DTYPE_F32: return attend_any(queue, a, NULL, 1);
    default: return false;
    }
}
