/* Attention of many tokens on compute 9.0: tensor copies, warpgroup products, warps that specialise.
 *
 * Idea (FlashAttention-3, Shah et al. 2024). A block takes GROUPS * 64 query rows of one kv head; a query row
 * is one (token, head of the group), rows of one token side by side, so that one tile of keys and values
 * serves all heads of the group. One warp fetches tiles of K and V into two rings of STAGES with tensor
 * copies; GROUPS warpgroups each hold 64 rows: S = Q K^T from shared memory, softmax in registers in powers
 * of two with a running maximum, P as the register operand of O += P V. While the softmax of tile j runs, the
 * product of tile j - 1 with V is under way, and the warpgroups take turns at issuing products, so that the
 * softmax of one hides under the products of another. The fetching warpgroup gives its registers away.
 *
 * Two numbers, 16k tokens, 32 heads of 128, 8 kv heads, causal: 4 n^2 / 2 * 128 * 32 = 2.2 TFLOP, 2.2 ms at
 * 989 TFLOP/s. Bytes: q and out 2 * 16k * 4096 * 4 = 537 MB, K and V 67 MB once from memory (a head's 8 MB
 * stay in L2 while its blocks run): 0.13 ms. So arithmetic is the floor, and next to it the exponentials:
 * n^2 / 2 * 32 = 4.3 G of them, 16 per cycle and multiprocessor: 1.2 ms at 1.7 GHz, which is why they must
 * overlap with the products.
 *
 * Blocks: x = tile of query rows, the last first, so that long ones start early; y = kv head, slowest, so
 * that the blocks under way share keys and values in L2. Threads: warpgroups 0 to GROUPS - 1 compute, the
 * last fetches. In a computing warpgroup, thread (warp w, g = lane / 4, t = lane % 4) holds rows 16w + g and
 * + 8, columns 8j + 2t and + 1 of S and O.
 *
 * Shared memory: Q [chunk of 64 values][row], for each group; K and V stages [chunk][key], all in lines of
 * 128 bytes, swizzled (ptx_hopper.cuh); then the barriers.
 *
 * Rows beyond what was ever written: keys do not matter, their scores are replaced. Values do, as 0 * Inf is
 * not 0, so the fetching warp clears them in the one tile that has them.
 *
 * Twin: ref_attend. Bound against sums in double of the same rounded q, k and v: the largest |v| times
 * 2^-11 (F16) or 2^-8 (BF16), which is the rounding of P, plus 2^-20 of the size of a score, the sum of its
 * terms' sizes: scores are float32 sums. Rounding q adds 2^-11 or 2^-8 of that size.
 */
#include <string.h>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/tensor_map.h"

enum { STAGES = 2, GROUP_ROWS = 64, GROUP_THREADS = 128 };
enum { CHUNK = 64, LINE = 128 }; /* values and bytes of one line */
static const float LOG2_E = 1.44269504088896f;
static const float NO_MAXIMUM = -1e30f; /* finite: differences of maxima stay numbers */

typedef struct HopperArgs {
    TensorMap keys, values;
    float *out;
    const float *q;
    const int32_t *positions, *pages;
    const float *sinks;
    int n, heads, group; /* group = heads that share a kv head */
    int window, page_rows, key_box, value_box;
    float log2_scale; /* of a score: scale, or softcap, times log2(e) */
    float cap_scale;  /* scale / softcap; 0 = no cap */
} HopperArgs;

/* What one head size needs. */
template <int KD, int VD> struct Shape {
    enum {
        GROUPS = KD <= 64 ? 3 : 2,
        KEYS = KD > 192 ? 64 : 128,
        ROWS = GROUPS * GROUP_ROWS,
        THREADS = (GROUPS + 1) * GROUP_THREADS,
        KEY_CHUNKS = (KD + CHUNK - 1) / CHUNK,
        VALUE_CHUNKS = (VD + CHUNK - 1) / CHUNK,
        QUERY_BYTES = KEY_CHUNKS * GROUP_ROWS * LINE, /* of one warpgroup */
        KEY_BYTES = KEY_CHUNKS * KEYS * LINE,         /* of one stage */
        VALUE_BYTES = VALUE_CHUNKS * KEYS * LINE,
        KEYS_AT = GROUPS * QUERY_BYTES,
        VALUES_AT = KEYS_AT + STAGES * KEY_BYTES,
        BARRIERS_AT = VALUES_AT + STAGES * VALUE_BYTES,
        SHARED_BYTES = BARRIERS_AT + (4 * STAGES + 1) * 8,
        FETCH_REGISTERS = GROUPS == 3 ? 32 : 40,
        COMPUTE_REGISTERS = GROUPS == 3 ? 160 : 232,
    };
};

typedef struct Ring {
    unsigned char *stages;
    uint64_t *full, *empty; /* [STAGES] */
} Ring;

/* What a block does: tiles of keys from `first`, `count` of them, for rows row0 and on. */
typedef struct Work {
    int row0, rows, kv_head;   /* rows of this kv head in all */
    int position0;             /* of token 0 */
    int lowest, last_position; /* of the keys that this block looks at */
    int first, count;
} Work;

template <int KD, int VD> DEVICE Work block_work(const HopperArgs &a) {
    typedef Shape<KD, VD> S;
    Work work;
    work.row0 = (int)(gridDim.x - 1 - blockIdx.x) * S::ROWS;
    work.rows = a.n * a.group;
    work.kv_head = (int)blockIdx.y;
    work.position0 = a.positions[0];
    int last_row = min(work.row0 + (int)S::ROWS, work.rows) - 1;
    work.last_position = work.position0 + last_row / a.group;
    work.lowest = a.window > 0 ? max(0, work.position0 + work.row0 / a.group - a.window + 1) : 0;
    work.first = work.lowest / S::KEYS;
    work.count = work.last_position / S::KEYS + 1 - work.first;
    return work;
}

/* ---- the fetching warp ---- */

/* Tile j of keys or values into its place; `full` is told. One lane. Rows that the block never looks at are
 * left outside the map, which makes them zeros and costs no memory traffic. */
template <int KEYS, int CHUNKS>
DEVICE void fetch_tile(const HopperArgs &a, const Work &work, const TensorMap *map, int box_rows, int tile,
                       unsigned char *to, uint64_t *full) {
    barrier_arrive_expect(full, CHUNKS * KEYS * LINE);
    for (int piece = 0; piece < KEYS; piece += box_rows) {
        int position = tile * KEYS + piece, row = position, page = 0;
        if (position > work.last_position || position + box_rows <= work.lowest) {
            page = -1;
        } else if (a.pages) {
            page = a.pages[position / a.page_rows];
            row = position % a.page_rows;
        }
        UNROLL for (int c = 0; c < CHUNKS; c++)
            tensor_load_4d(to + (c * KEYS + piece) * LINE, map, c * CHUNK, work.kv_head, row, page, full);
    }
}

/* Zeros for the rows of a tile of values from `row` on. All lanes. */
template <int KEYS, int CHUNKS> DEVICE void clear_rows(unsigned char *tile, int row) {
    uint4 zero = {0, 0, 0, 0};
    for (int c = 0; c < CHUNKS; c++)
        for (int at = row * LINE + lane_id() * 16; at < KEYS * LINE; at += 32 * 16)
            store16(tile + c * KEYS * LINE + at, zero);
    async_fence();
    warp_sync();
}

template <int KD, int VD>
DEVICE void fetch_all(const HopperArgs &a, const Work &work, const Ring &keys, const Ring &values,
                      uint64_t *arrived) {
    typedef Shape<KD, VD> S;
    int written = work.position0 + a.n; /* positions from here on hold nothing of this sequence */
    for (int i = 0; i <= work.count; i++) {
        if (i < work.count && lane_id() == 0) {
            int stage = i % STAGES;
            barrier_wait(&keys.empty[stage], i / STAGES & 1 ^ 1);
            fetch_tile<S::KEYS, S::KEY_CHUNKS>(a, work, &a.keys, a.key_box, work.first + i,
                                               keys.stages + stage * S::KEY_BYTES, &keys.full[stage]);
        }
        if (i == 0)
            continue;
        int j = i - 1, stage = j % STAGES, tile = work.first + j;
        unsigned char *to = values.stages + stage * S::VALUE_BYTES;
        bool clear = (tile + 1) * S::KEYS > written;
        if (lane_id() == 0) {
            barrier_wait(&values.empty[stage], j / STAGES & 1 ^ 1);
            fetch_tile<S::KEYS, S::VALUE_CHUNKS>(a, work, &a.values, a.value_box, tile, to,
                                                 clear ? arrived : &values.full[stage]);
        }
        if (clear) { /* only the last tile can be so */
            barrier_wait(arrived, 0);
            clear_rows<S::KEYS, S::VALUE_CHUNKS>(to, written - tile * S::KEYS);
            if (lane_id() == 0)
                barrier_arrive(&values.full[stage]);
        }
    }
}

/* ---- the computing warpgroups ---- */

template <bool IS_BF16, int N>
DEVICE void product_shared(float (&d)[N], uint64_t a, uint64_t b, bool accumulate) {
    if (IS_BF16)
        wgmma_shared_bf16(d, a, b, accumulate);
    else
        wgmma_shared_f16(d, a, b, accumulate);
}
template <bool IS_BF16, int N> DEVICE void product_registers(float (&d)[N], const uint32_t a[4], uint64_t b) {
    if (IS_BF16)
        wgmma_registers_bf16(d, a, b, true);
    else
        wgmma_registers_f16(d, a, b, true);
}
template <bool IS_BF16> DEVICE uint32_t pack2(float low, float high) {
    return IS_BF16 ? pack_bf16x2(low, high) : pack_half2(low, high);
}

/* The 64 query rows of this warpgroup to shared memory in the rows' type. In place of rows beyond the last
 * one stands the last, so that no load waits for a question; nothing of them is stored. A batch
 * is all loaded before any of it is used. */
template <int KD, bool IS_BF16>
DEVICE void load_queries(const HopperArgs &a, const Work &work, int group_row, unsigned char *to) {
    const int per_row = KD / 8, count = GROUP_ROWS * per_row / GROUP_THREADS, batch = count % 8 ? count : 8;
    UNROLL for (int first = 0; first < count; first += batch) {
        uint4 x[batch][2];
        UNROLL for (int i = 0; i < batch; i++) {
            int at = (first + i) * GROUP_THREADS + (int)(threadIdx.x % GROUP_THREADS);
            int row = min(group_row + at / per_row, work.rows - 1), token = row / a.group;
            int64_t head = (int64_t)token * a.heads + work.kv_head * a.group + (row - token * a.group);
            const float *q = a.q + head * KD + at % per_row * 8;
            x[i][0] = load16(q);
            x[i][1] = load16(q + 4);
        }
        UNROLL for (int i = 0; i < batch; i++) {
            int at = (first + i) * GROUP_THREADS + (int)(threadIdx.x % GROUP_THREADS);
            int row = at / per_row, chunk = at % per_row;
            uint4 packed;
            packed.x = pack2<IS_BF16>(float_from_bits(x[i][0].x), float_from_bits(x[i][0].y));
            packed.y = pack2<IS_BF16>(float_from_bits(x[i][0].z), float_from_bits(x[i][0].w));
            packed.z = pack2<IS_BF16>(float_from_bits(x[i][1].x), float_from_bits(x[i][1].y));
            packed.w = pack2<IS_BF16>(float_from_bits(x[i][1].z), float_from_bits(x[i][1].w));
            store16(to + (chunk / 8 * GROUP_ROWS + row) * LINE + ((chunk ^ row) & 7) * 16, packed);
        }
    }
    async_fence();
}

/* S = Q K^T for a tile, started; one group of products. */
template <int KD, int KEYS, bool IS_BF16>
DEVICE void start_scores(float (&s)[KEYS / 2], uint64_t queries, uint64_t keys) {
    wgmma_keep(s);
    wgmma_fence();
    UNROLL for (int step = 0; step < KD / 16; step++) {
        int inside = step % 4 * 32, chunk = step / 4;
        product_shared<IS_BF16>(s, descriptor_advance(queries, chunk * GROUP_ROWS * LINE + inside),
                                descriptor_advance(keys, chunk * KEYS * LINE + inside), step > 0);
    }
    wgmma_commit();
}

/* O += P V for a tile, started; one group of products. */
template <int VD, int KEYS, bool IS_BF16>
DEVICE void start_values(float (&o)[VD / 2], uint32_t (&p)[KEYS / 4], uint64_t values) {
    wgmma_keep(o);
    wgmma_keep(p);
    wgmma_fence();
    UNROLL for (int step = 0; step < KEYS / 16; step++)
        product_registers<IS_BF16>(o, p + 4 * step, descriptor_advance(values, step * 16 * LINE));
    wgmma_commit();
}

/* Softcap and mask. positions: of this thread's two rows; lowest and highest: of the warpgroup's. */
template <int KEYS>
DEVICE void mask_scores(float (&s)[KEYS / 2], const HopperArgs &a, int tile, const int (&positions)[2],
                        int lowest, int highest) {
    if (a.cap_scale > 0) {
        UNROLL for (int i = 0; i < KEYS / 2; i++) /* tanh x = 1 - 2 / (1 + e^2x) */
            s[i] = 1 - 2 * fast_reciprocal(1 + fast_exp2(s[i] * a.cap_scale * (2 * LOG2_E)));
    }
    int key0 = tile * KEYS;
    bool clips_low = a.window > 0 && key0 <= highest - a.window;
    if (key0 + KEYS - 1 <= lowest && !clips_low)
        return;
    int column = key0 + lane_id() % 4 * 2;
    UNROLL for (int r = 0; r < 2; r++) {
        int last = positions[r] - column, first = a.window > 0 ? last - a.window + 1 : -column;
        UNROLL for (int i = 0; i < KEYS / 8; i++) {
            UNROLL for (int c = 0; c < 2; c++) {
                int key = 8 * i + c;
                if (key > last || key < first)
                    s[4 * i + 2 * r + c] = -INFINITY;
            }
        }
    }
}

/* Scores to powers of two; the new maxima, this thread's part of the sums, and the factors by which what was
 * summed before shrinks. Maxima and sums run in four chains each, so that none waits for its own last step.
 */
template <int COUNT>
DEVICE void softmax_scores(float (&s)[COUNT], float log2_scale, float (&maximum)[2], float (&sum)[2],
                           float (&shrink)[2]) {
    float largest[4], total[4] = {0, 0, 0, 0};
    UNROLL for (int c = 0; c < 4; c++) largest[c] = fmaxf(maximum[c / 2], s[c]);
    UNROLL for (int i = 4; i < COUNT; i++) largest[i % 4] = fmaxf(largest[i % 4], s[i]);
    float base[2];
    UNROLL for (int r = 0; r < 2; r++) {
        float most = fmaxf(largest[2 * r], largest[2 * r + 1]);
        most = fmaxf(most, shuffle_xor(most, 1));
        most = fmaxf(most, shuffle_xor(most, 2));
        shrink[r] = fast_exp2((maximum[r] - most) * log2_scale);
        maximum[r] = most;
        base[r] = -most * log2_scale;
    }
    UNROLL for (int i = 0; i < COUNT; i++) {
        s[i] = fast_exp2(fmaf(s[i], log2_scale, base[i / 2 % 2]));
        total[i % 4] += s[i];
    }
    UNROLL for (int r = 0; r < 2; r++) sum[r] = sum[r] * shrink[r] + (total[2 * r] + total[2 * r + 1]);
}

template <int KEYS, bool IS_BF16>
DEVICE void pack_scores(uint32_t (&p)[KEYS / 4], const float (&s)[KEYS / 2]) {
    UNROLL for (int i = 0; i < KEYS / 4; i++) p[i] = pack2<IS_BF16>(s[2 * i], s[2 * i + 1]);
}

template <int VD>
DEVICE void store_output(const HopperArgs &a, const Work &work, int thread_row, const float (&o)[VD / 2],
                         const float (&maximum)[2], const float (&sum)[2]) {
    UNROLL for (int r = 0; r < 2; r++) {
        int row = thread_row + 8 * r, head = work.kv_head * a.group + row % a.group;
        float total = sum[r];
        total += shuffle_xor(total, 1);
        total += shuffle_xor(total, 2);
        if (row >= work.rows)
            continue;
        if (a.sinks)
            total += fast_exp2(a.sinks[head] * LOG2_E - maximum[r] * a.log2_scale);
        float inverse = 1 / total;
        float *out = a.out + ((int64_t)(row / a.group) * a.heads + head) * VD + lane_id() % 4 * 2;
        UNROLL for (int i = 0; i < VD / 8; i++) * (float2 *)(out + 8 * i) =
            make_float2(o[4 * i + 2 * r] * inverse, o[4 * i + 2 * r + 1] * inverse);
    }
}

/* warp_id as one value of the warp, so that roles and descriptors are the warp's and not each lane's. */
DEVICE int common_warp_id() {
    return shuffle(warp_id(), 0);
}

/* One lane of each warp tells that the warp has done with a stage. */
DEVICE void release(uint64_t *empty) {
    if (lane_id() == 0)
        barrier_arrive(empty);
}

/* Named barrier on which warpgroup `group` waits for its turn to issue products. */
DEVICE int turn_of(int group) {
    return 1 + group;
}

template <int KD, int VD, bool IS_BF16>
DEVICE void attend_group(const HopperArgs &a, const Work &work, int group, unsigned char *shared,
                         const Ring &keys, const Ring &values) {
    typedef Shape<KD, VD> S;
    const int KEYS = S::KEYS;
    int group_row = work.row0 + group * GROUP_ROWS;
    int next = turn_of(group + 1 == S::GROUPS ? 0 : group + 1), is_last_group = group + 1 == S::GROUPS;
    int thread_row = group_row + warp_id() % 4 * 16 + lane_id() / 4;
    int lowest = work.position0 + min(group_row, work.rows - 1) / a.group;
    int highest = work.position0 + min(group_row + GROUP_ROWS - 1, work.rows - 1) / a.group;
    int positions[2] = {work.position0 + min(thread_row, work.rows - 1) / a.group,
                        work.position0 + min(thread_row + 8, work.rows - 1) / a.group};

    unsigned char *queries = shared + group * S::QUERY_BYTES;
    load_queries<KD, IS_BF16>(a, work, group_row, queries);
    named_sync(turn_of(S::GROUPS) + group, GROUP_THREADS);
    uint64_t query_matrix = matrix_descriptor(queries, 16, 8 * LINE);
    uint64_t key_matrix = matrix_descriptor(keys.stages, 16, 8 * LINE);
    uint64_t value_matrix = matrix_descriptor(values.stages, KEYS * LINE, 8 * LINE);

    float s[KEYS / 2], o[VD / 2], maximum[2] = {NO_MAXIMUM, NO_MAXIMUM}, sum[2] = {0, 0}, shrink[2];
    uint32_t p[KEYS / 4];
    UNROLL for (int i = 0; i < KEYS / 2; i++) s[i] = 0;
    UNROLL for (int i = 0; i < VD / 2; i++) o[i] = 0;

    barrier_wait(&keys.full[0], 0);
    start_scores<KD, KEYS, IS_BF16>(s, query_matrix, key_matrix);
    wgmma_wait<0>();
    wgmma_keep(s);
    release(&keys.empty[0]);
    mask_scores<KEYS>(s, a, work.first, positions, lowest, highest);
    softmax_scores(s, a.log2_scale, maximum, sum, shrink);
    pack_scores<KEYS, IS_BF16>(p, s);
    if (is_last_group && work.count > 1)
        named_arrive(next, 2 * GROUP_THREADS);
    for (int j = 1; j < work.count; j++) {
        int stage = j % STAGES, before = (j - 1) % STAGES;
        barrier_wait(&keys.full[stage], j / STAGES & 1);
        named_sync(turn_of(group), 2 * GROUP_THREADS);
        start_scores<KD, KEYS, IS_BF16>(s, query_matrix,
                                        descriptor_advance(key_matrix, stage * S::KEY_BYTES));
        barrier_wait(&values.full[before], (j - 1) / STAGES & 1);
        start_values<VD, KEYS, IS_BF16>(o, p, descriptor_advance(value_matrix, before * S::VALUE_BYTES));
        if (!is_last_group || j + 1 < work.count)
            named_arrive(next, 2 * GROUP_THREADS);
        wgmma_wait<1>();
        wgmma_keep(s);
        release(&keys.empty[stage]);
        mask_scores<KEYS>(s, a, work.first + j, positions, lowest, highest);
        softmax_scores(s, a.log2_scale, maximum, sum, shrink);
        wgmma_wait<0>();
        wgmma_keep(o);
        release(&values.empty[before]);
        UNROLL for (int i = 0; i < VD / 2; i++) o[i] *= shrink[i / 2 % 2];
        pack_scores<KEYS, IS_BF16>(p, s);
    }
    int last = work.count - 1;
    barrier_wait(&values.full[last % STAGES], last / STAGES & 1);
    start_values<VD, KEYS, IS_BF16>(o, p, descriptor_advance(value_matrix, last % STAGES * S::VALUE_BYTES));
    wgmma_wait<0>();
    wgmma_keep(o);
    store_output<VD>(a, work, thread_row, o, maximum, sum);
}

/* Code for other targets than 9.0a has no products in it; its small bound tells so at run time. */
#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define MOST_THREADS_OF(count) 32
#else
#define MOST_THREADS_OF(count) count
#endif

template <int KD, int VD, bool IS_BF16>
static __global__ void __launch_bounds__(MOST_THREADS_OF((Shape<KD, VD>::THREADS)), 1)
    attend_hopper(const __grid_constant__ HopperArgs a) {
    typedef Shape<KD, VD> S;
    unsigned char *shared = block_shared();
    uint64_t *barriers = (uint64_t *)(shared + S::BARRIERS_AT), *arrived = barriers + 4 * STAGES;
    Ring keys = {shared + S::KEYS_AT, barriers, barriers + STAGES};
    Ring values = {shared + S::VALUES_AT, barriers + 2 * STAGES, barriers + 3 * STAGES};
    if (threadIdx.x == 0) {
        tensor_map_prefetch(&a.keys);
        tensor_map_prefetch(&a.values);
        for (int i = 0; i < STAGES; i++) {
            barrier_init(&keys.full[i], 1);
            barrier_init(&keys.empty[i], S::GROUPS * 4);
            barrier_init(&values.full[i], 1);
            barrier_init(&values.empty[i], S::GROUPS * 4);
        }
        barrier_init(arrived, 1);
        barrier_init_fence();
    }
    block_sync();
    Work work = block_work<KD, VD>(a);
    int warp = common_warp_id();
    if (warp >= S::GROUPS * 4) {
        registers_give<S::FETCH_REGISTERS>();
        if (warp == S::GROUPS * 4)
            fetch_all<KD, VD>(a, work, keys, values, arrived);
    } else {
        registers_take<S::COMPUTE_REGISTERS>();
        attend_group<KD, VD, IS_BF16>(a, work, warp / 4, shared, keys, values);
    }
}

/* ---- the host's part ---- */

template <int KD, int VD, bool IS_BF16>
static bool start(CudaQueue *queue, const Attend *attend, const HopperArgs &args) {
    typedef Shape<KD, VD> S;
    Extent grid = {(unsigned)((args.n * args.group + S::ROWS - 1) / S::ROWS), (unsigned)attend->kv_heads, 1};
    Extent block = {S::THREADS, 1, 1};
    const void *kernel = KERNEL_ADDRESS(HopperArgs, attend_hopper<KD, VD, IS_BF16>);
    if (queue_shared_limit(queue) < S::SHARED_BYTES || !attend_kernel_takes(kernel, S::THREADS))
        return false;
    LAUNCH(queue, grid, block, S::SHARED_BYTES, args, attend_hopper<KD, VD, IS_BF16>);
    return true;
}

template <int KD, int VD>
static bool start_typed(CudaQueue *queue, const Attend *attend, const HopperArgs &args) {
    return attend->keys.type == DTYPE_BF16 ? start<KD, VD, true>(queue, attend, args)
                                           : start<KD, VD, false>(queue, attend, args);
}

/* wgmma is of 9.0 alone, not of what comes after it. */
static bool is_possible(const CudaQueue *queue, const Attend *attend) {
    return queue_capability(queue) == 90 && attend->keys.type == attend->values.type &&
           (attend->keys.type == DTYPE_F16 || attend->keys.type == DTYPE_BF16) && attend->n > 0 &&
           attend->kv_heads > 0 && attend->heads % attend->kv_heads == 0 && attend->scale > 0 &&
           !attend->keys.pages == !attend->values.pages &&
           (!attend->keys.pages || attend->keys.pages == attend->values.pages) &&
           attend->keys.page_rows == attend->values.page_rows && (uintptr_t)attend->q % 16 == 0 &&
           (uintptr_t)attend->out % 8 == 0 && attend_hopper_box_rows(&attend->keys, attend->head_dim) > 0;
}

extern "C" bool cuda_attend_hopper(CudaQueue *queue, const Attend *attend, const void *key_map,
                                   const void *value_map) {
    if (!is_possible(queue, attend))
        return false;
    HopperArgs args;
    memset(&args, 0, sizeof args); /* its padding, too: launches are compared byte for byte */
    args.keys = *(const TensorMap *)key_map;
    args.values = *(const TensorMap *)value_map;
    args.out = attend->out;
    args.q = attend->q;
    args.positions = attend->positions;
    args.pages = attend->keys.pages;
    args.sinks = attend->sinks;
    args.n = attend->n;
    args.heads = attend->heads;
    args.group = attend->heads / attend->kv_heads;
    args.window = attend->window;
    args.page_rows = attend->keys.page_rows;
    args.key_box = args.value_box = attend_hopper_box_rows(&attend->keys, attend->head_dim);
    args.log2_scale = (attend->softcap > 0 ? attend->softcap : attend->scale) * LOG2_E;
    args.cap_scale = attend->softcap > 0 ? attend->scale / attend->softcap : 0;
    switch (attend->head_dim * 1000 + attend->value_dim) {
    case 64064: return start_typed<64, 64>(queue, attend, args);
    case 80080: return start_typed<80, 80>(queue, attend, args);
    case 96096: return start_typed<96, 96>(queue, attend, args);
    case 128128: return start_typed<128, 128>(queue, attend, args);
    case 192128: return start_typed<192, 128>(queue, attend, args);
    case 256256: return start_typed<256, 256>(queue, attend, args);
    default: return false;
    }
}
