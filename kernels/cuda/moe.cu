/* Mixture of experts: the choice of experts per row, and their products for up to BACKEND_EXACT_ROWS rows.
 *
 * Route. 4 bytes per logit, a softmax and `used` maxima: 128 experts are 0.5 KB a row, so the launch is the
 * cost. One warp a row, expert e in lane e % 32; each maximum is 5 exchanges. A row's bits depend on its own
 * logits alone.
 *
 * Experts. Bytes: the chosen experts' weights, once per row that chose them. qwen3moe 30b-a3b, Q4_K, one row:
 * 8 experts * 3 * 768 * 2048 * 0.5625 = 21 MB a layer, 4.4 us at 4.8 TB/s; 48 layers: 1.0 GB, 0.21 ms a
 * token. Operations: 2 per weight, 76 M a layer; as cuda_gemv_quant, 55 instructions per 32 chunks of 16
 * bytes: 2.6 us for the 14 MB of gate and up, beside the loads. Two launches, each wide enough for 132
 * multiprocessors:
 *
 * - hidden: a block of 16 warps makes 32 values of one (row, expert): each warp two rows of gate and the same
 *   two of up, four rows against one load of x; then the first warp rounds the 32 values to 8 bits. The
 *   weights stream through shared memory (gemv_internal.cuh): 8 * 24 blocks, 3072 warps with two steps of
 *   2.3 KB under way: 14 MB, all there is, where 3.4 MB hide 700 ns.
 *
 * - down: one warp per two rows of out of one row of x. The chunks of all chosen experts form one sequence
 *   that the lanes divide (768 columns are 24 chunks, which alone would leave lanes idle), and each chunk's
 *   product is multiplied by the router's weight at once. 1024 warps, 6 chunks of 2 rows per lane, in two
 *   groups of loads.
 *
 * The order of additions depends on the shapes alone, not on the number of rows: no atomics, equal bits.
 *
 * Twins: ref_route (2e-6 of a weight: floats, 512 terms), ref_experts on activations as rounded: per product
 * the bound of gemv_quant.cu, then once more for down; the test adds both.
 */
#include "kernels/cuda/moe_internal.cuh"

enum {
    ROUTE_WARPS = 4,
    HIDDEN_ROWS = 32,
    HIDDEN_WARPS = 16,
    DOWN_WARPS = 4,
    DOWN_ROWS = 2,
    DOWN_CHUNKS = 3,
    MOST_EXPERTS = 512
};

/* ---- route ---- */

/* The largest untaken logit of the warp, the lowest expert among equals; a NaN counts as -infinity. */
template <int PER> DEVICE int next_expert(const float logits[PER], uint32_t taken, float *logit) {
    float best = -INFINITY;
    int expert = INT32_MAX;
    UNROLL for (int j = 0; j < PER; j++) {
        float value = logits[j] > -INFINITY ? logits[j] : -INFINITY;
        if (!(taken >> j & 1) && (value > best || expert == INT32_MAX)) {
            best = value;
            expert = lane_id() + 32 * j;
        }
    }
    UNROLL for (int step = 16; step > 0; step /= 2) {
        float other = shuffle_xor(best, step);
        int which = shuffle_xor(expert, step);
        /* a lane with nothing left has INT32_MAX and loses to any expert */
        if (other > best || (other == best && which < expert)) {
            best = other;
            expert = which;
        }
    }
    *logit = best;
    return expert;
}

template <int PER> static __global__ void route_kernel(const Route args) {
    int row = (int)blockIdx.x * ROUTE_WARPS + warp_id(), lane = lane_id();
    if (row >= args.n)
        return;
    float logits[PER], largest = -INFINITY, total = 0, chosen = 0, mine = 0;
    uint32_t taken = 0;
    UNROLL for (int j = 0; j < PER; j++) {
        int e = lane + 32 * j;
        logits[j] = e < args.experts ? args.logits[(int64_t)row * args.experts + e] : -INFINITY;
        taken |= e < args.experts ? 0u : 1u << j;
        largest = fmaxf(largest, logits[j]);
    }
    largest = warp_max(largest);
    UNROLL for (int j = 0; j < PER; j++) total += taken >> j & 1 ? 0.0f : expf(logits[j] - largest);
    total = warp_sum(total);
    int32_t *ids = args.ids + (int64_t)row * args.used;
    for (int u = 0; u < args.used; u++) {
        float logit;
        int expert = next_expert<PER>(logits, taken, &logit);
        if (expert % 32 == lane)
            taken |= 1u << expert / 32;
        float weight = expf(logit - largest);
        chosen += weight;
        if (lane == u) {
            mine = weight;
            ids[u] = expert;
        }
    }
    if (lane < args.used)
        args.weights[(int64_t)row * args.used + lane] = mine / (args.normalise ? chosen : total);
}

/* experts up to 512, used up to 32. */
extern "C" bool cuda_route(CudaQueue *queue, const Route *args) {
    if (args->experts < 1 || args->experts > MOST_EXPERTS || args->used < 1 || args->used > 32 ||
        args->used > args->experts)
        return false;
    if (args->n <= 0)
        return true;
    Extent grid = {(unsigned)((args->n + ROUTE_WARPS - 1) / ROUTE_WARPS), 1, 1};
    Extent block = {32 * ROUTE_WARPS, 1, 1};
    if (args->experts <= 32)
        LAUNCH(queue, grid, block, 0, *args, route_kernel<1>);
    else if (args->experts <= 64)
        LAUNCH(queue, grid, block, 0, *args, route_kernel<2>);
    else if (args->experts <= 128)
        LAUNCH(queue, grid, block, 0, *args, route_kernel<4>);
    else if (args->experts <= 256)
        LAUNCH(queue, grid, block, 0, *args, route_kernel<8>);
    else
        LAUNCH(queue, grid, block, 0, *args, route_kernel<16>);
    return true;
}

/* ---- hidden = silu(gate x) * up x ---- */

typedef struct HiddenArgs {
    const char *gate, *up;        /* NULL: already in hidden, or left to a later launch */
    int64_t gate_bytes, up_bytes; /* from row to row */
    GemvPlanes planes;
    GemvX x;
    const int32_t *ids;
    float *hidden; /* [pairs, feed_forward]; read when gate is NULL, written unless q8 is and up is there */
    Q8Rows q8;     /* q NULL = floats are wanted */
    int used, feed_forward;
} HiddenArgs;

template <typename Format, bool BOTH, int CHUNKS, int STAGES>
static __global__ void __launch_bounds__(32 * HIDDEN_WARPS) hidden_kernel(const HiddenArgs args) {
    enum { ROWS = HIDDEN_ROWS / HIDDEN_WARPS, R = BOTH ? 2 * ROWS : ROWS };
    float *values = (float *)block_shared();
    int pair = (int)blockIdx.y, first = (int)blockIdx.x * HIDDEN_ROWS;
    int64_t expert_row = (int64_t)args.ids[pair] * args.feed_forward;
    GemvX x = args.x;
    x.base += pair / args.used * x.stride;
    x.scale += pair / args.used * x.scale_stride;
    const char *rows[R];
    UNROLL for (int r = 0; r < ROWS; r++) {
        int row = first + warp_id() * ROWS + r;
        int64_t at = expert_row + (row < args.feed_forward ? row : args.feed_forward - 1);
        rows[r] = BOTH || args.gate ? args.gate + at * args.gate_bytes : args.up + at * args.up_bytes;
        if (BOTH)
            rows[ROWS + r] = args.up + at * args.up_bytes;
    }
    float sums[R][1];
    if constexpr (STAGES > 0) {
        char *stages = (char *)(values + HIDDEN_ROWS) + warp_id() * STAGES * gemv_step_bytes<Format, R>();
        gemv_stream<Format, R, 1, STAGES>(sums, rows, args.planes, x, 1, 0, 1, stages);
    } else {
        gemv_partial<Format, R, 1, CHUNKS>(sums, rows, args.planes, x, 1, lane_id(), 32);
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
        int row = first + warp_id() * ROWS + r;
        float value = warp_sum(sums[r][0]);
        if (BOTH)
            value = silu(value) * warp_sum(sums[R - ROWS + r][0]);
        else if (!args.gate && row < args.feed_forward)
            value *= silu(args.hidden[(int64_t)pair * args.feed_forward + row]);
        if (lane_id() == 0)
            values[warp_id() * ROWS + r] = value;
    }
    block_sync();
    int row = first + lane_id();
    if (warp_id() != 0)
        return;
    int64_t at = (int64_t)pair * args.feed_forward + row;
    if (args.q8.q && (BOTH || !args.gate))
        store_q8_warp(args.q8, at, values[lane_id()]);
    else if (row < args.feed_forward)
        args.hidden[at] = values[lane_id()];
}

/* The weights go through shared memory in STAGES stages where a block may have as much, otherwise through
 * registers, CHUNKS of each row at once. */
template <typename Format, int CHUNKS = 2>
static void launch_hidden(CudaQueue *queue, const HiddenArgs &args, int pairs) {
    enum { SHARED = HIDDEN_ROWS * sizeof(float), STAGES = 3 };
    const size_t staged =
        SHARED + (size_t)HIDDEN_WARPS * STAGES * gemv_step_bytes<Format, 2 * HIDDEN_ROWS / HIDDEN_WARPS>();
    Extent block = {32 * HIDDEN_WARPS, 1, 1};
    Extent grid = {(unsigned)((args.feed_forward + HIDDEN_ROWS - 1) / HIDDEN_ROWS), (unsigned)pairs, 1};
    if (!args.gate || !args.up)
        LAUNCH(queue, grid, block, SHARED, args, hidden_kernel<Format, false, 2, 0>);
    else if (staged <= queue_shared_limit(queue))
        LAUNCH(queue, grid, block, staged, args, hidden_kernel<Format, true, 0, STAGES>);
    else
        LAUNCH(queue, grid, block, SHARED, args, hidden_kernel<Format, true, CHUNKS, 0>);
}

static bool launch_hidden_of(CudaQueue *queue, DType type, const HiddenArgs &args, int pairs) {
    switch (type) {
    case DTYPE_F32: launch_hidden<FormatF32<true>>(queue, args, pairs); return true;
    case DTYPE_F16: launch_hidden<Format16<false, true>>(queue, args, pairs); return true;
    case DTYPE_BF16: launch_hidden<Format16<true, true>>(queue, args, pairs); return true;
    case DTYPE_Q8_0: launch_hidden<FormatQ8>(queue, args, pairs); return true;
    case DTYPE_Q4_0: launch_hidden<FormatQ4>(queue, args, pairs); return true;
    case DTYPE_MXFP4: launch_hidden<FormatMxfp4>(queue, args, pairs); return true;
    case DTYPE_Q4_K: launch_hidden<FormatK<false>>(queue, args, pairs); return true;
    case DTYPE_Q5_K: launch_hidden<FormatK<true>>(queue, args, pairs); return true;
    case DTYPE_Q6_K: launch_hidden<FormatQ6, 1>(queue, args, pairs); return true;
    default: return false;
    }
}

/* ---- out += sum of weight * hidden down^T ---- */

typedef struct DownArgs {
    const char *down;
    int64_t row_bytes;
    GemvPlanes planes;
    GemvX x; /* the hidden rows */
    const int32_t *ids;
    const float *weights;
    float *out;
    int used, width;
} DownArgs;

/* Step t of the sequence: chunk t % chunks of the chosen expert t / chunks. Chunks of the types whose place
 * in a block of 256 counts come in eights, so that place is the lane's. */
template <typename Format, bool IS_LAST>
DEVICE void add_down(float sums[DOWN_ROWS], const DownArgs &args, int64_t row, const int out_rows[DOWN_ROWS],
                     int step, int steps) {
    typename Format::Raw raw[DOWN_CHUNKS][DOWN_ROWS];
    int place = lane_id() & 7, chunk[DOWN_CHUNKS], slot[DOWN_CHUNKS];
    UNROLL for (int u = 0; u < DOWN_CHUNKS; u++) {
        int t = step + 32 * u;
        t = IS_LAST && t >= steps ? 0 : t; /* loaded for nothing */
        slot[u] = t / args.planes.chunks;
        chunk[u] = t - slot[u] * args.planes.chunks;
        int64_t expert = args.ids[row * args.used + slot[u]];
        UNROLL for (int r = 0; r < DOWN_ROWS; r++) raw[u][r] =
            Format::load(args.down + (expert * args.width + out_rows[r]) * args.row_bytes, args.planes,
                         chunk[u], IS_LAST ? chunk[u] & 7 : place);
    }
    UNROLL for (int u = 0; u < DOWN_CHUNKS; u++) {
        if (IS_LAST && step + 32 * u >= steps)
            continue;
        int64_t pair = row * args.used + slot[u];
        float weight = args.weights[pair];
        typename Format::X x = Format::load_x(args.x.base + pair * args.x.stride,
                                              args.x.scale + pair * args.x.scale_stride, chunk[u], place);
        UNROLL for (int r = 0; r < DOWN_ROWS; r++) sums[r] =
            fmaf(weight, Format::add(Format::unpack(raw[u][r], place), x, 0.0f), sums[r]);
    }
}

template <typename Format>
static __global__ void __launch_bounds__(32 * DOWN_WARPS) down_kernel(const DownArgs args) {
    int first = ((int)blockIdx.x * DOWN_WARPS + warp_id()) * DOWN_ROWS, out_rows[DOWN_ROWS];
    if (first >= args.width)
        return;
    UNROLL for (int r = 0; r < DOWN_ROWS; r++) out_rows[r] =
        first + r < args.width ? first + r : args.width - 1;
    float sums[DOWN_ROWS] = {};
    int step = lane_id(), steps = args.used * args.planes.chunks;
    enum { GROUP = 32 * DOWN_CHUNKS };
    for (; step - lane_id() + GROUP <= steps; step += GROUP)
        add_down<Format, false>(sums, args, blockIdx.y, out_rows, step, steps);
    if (step - lane_id() < steps)
        add_down<Format, true>(sums, args, blockIdx.y, out_rows, step, steps);
    UNROLL for (int r = 0; r < DOWN_ROWS; r++) {
        float sum = warp_sum(sums[r]);
        if (lane_id() == r && first + r < args.width)
            args.out[(int64_t)blockIdx.y * args.width + first + r] += sum;
    }
}

template <typename Format> static void launch_down(CudaQueue *queue, const DownArgs &args, int n) {
    enum { ROWS = DOWN_WARPS * DOWN_ROWS };
    Extent grid = {(unsigned)((args.width + ROWS - 1) / ROWS), (unsigned)n, 1};
    Extent block = {32 * DOWN_WARPS, 1, 1};
    LAUNCH(queue, grid, block, 0, args, down_kernel<Format>);
}

static bool launch_down_of(CudaQueue *queue, DType type, const DownArgs &args, int n) {
    switch (type) {
    case DTYPE_F32: launch_down<FormatF32<true>>(queue, args, n); return true;
    case DTYPE_F16: launch_down<Format16<false, true>>(queue, args, n); return true;
    case DTYPE_BF16: launch_down<Format16<true, true>>(queue, args, n); return true;
    case DTYPE_Q8_0: launch_down<FormatQ8>(queue, args, n); return true;
    case DTYPE_Q4_0: launch_down<FormatQ4>(queue, args, n); return true;
    case DTYPE_MXFP4: launch_down<FormatMxfp4>(queue, args, n); return true;
    case DTYPE_Q4_K: launch_down<FormatK<false>>(queue, args, n); return true;
    case DTYPE_Q5_K: launch_down<FormatK<true>>(queue, args, n); return true;
    case DTYPE_Q6_K: launch_down<FormatQ6>(queue, args, n); return true;
    default: return false;
    }
}

/* ---- the operation ---- */

static bool has_format(DType type) {
    const DType formats[] = {DTYPE_F32,   DTYPE_F16,  DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0,
                             DTYPE_MXFP4, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};
    for (DType format : formats)
        if (type == format)
            return true;
    return false;
}

static void launch_gate_up(CudaQueue *queue, const ExpertArgs *args, DType type, bool gate, bool up) {
    const Experts *e = &args->experts;
    HiddenArgs hidden = {};
    hidden.gate = gate ? (const char *)e->gate.data : NULL;
    hidden.up = up ? (const char *)e->up.data : NULL;
    hidden.gate_bytes = (int64_t)e->gate.row_bytes;
    hidden.up_bytes = (int64_t)e->up.row_bytes;
    hidden.planes = gemv_planes(type, e->gate.cols);
    hidden.x = expert_x(type, args->q8, e->x, e->gate.cols);
    hidden.ids = e->ids;
    hidden.hidden = e->hidden;
    if (layout_is_planar(e->down.type))
        hidden.q8 = args->hidden_q8;
    hidden.used = e->used;
    hidden.feed_forward = (int)(e->gate.rows / e->experts);
    launch_hidden_of(queue, type, hidden, e->n * e->used);
}

/* At most BACKEND_EXACT_ROWS rows. */
static void launch_few(CudaQueue *queue, const ExpertArgs *args) {
    const Experts *e = &args->experts;
    if (e->gate.type == e->up.type) {
        launch_gate_up(queue, args, e->gate.type, true, true);
    } else {
        launch_gate_up(queue, args, e->gate.type, true, false);
        launch_gate_up(queue, args, e->up.type, false, true);
    }
    DownArgs down = {};
    down.down = (const char *)e->down.data;
    down.row_bytes = (int64_t)e->down.row_bytes;
    down.planes = gemv_planes(e->down.type, e->down.cols);
    down.x = expert_x(e->down.type, args->hidden_q8, e->hidden, e->down.cols);
    down.ids = e->ids;
    down.weights = e->weights;
    down.out = e->out;
    down.used = e->used;
    down.width = (int)e->gate.cols;
    launch_down_of(queue, e->down.type, down, e->n);
}

/* Rows first .. first + n - 1 alone. */
static ExpertArgs some_rows(const ExpertArgs *args, int first, int n) {
    ExpertArgs part = *args;
    Experts *e = &part.experts;
    int64_t width = e->gate.cols;
    e->n = n;
    e->ids += (int64_t)first * e->used;
    e->weights += (int64_t)first * e->used;
    e->x += first * width;
    e->out += first * width;
    if (part.q8.q) {
        part.q8.q += first * width;
        part.q8.scale += first * (width / 32) * 2;
    }
    return part;
}

extern "C" bool cuda_experts(CudaQueue *queue, const ExpertArgs *args) {
    const Experts *e = &args->experts;
    int64_t width = e->gate.cols, feed_forward = e->down.cols;
    bool is_ready = (!layout_is_planar(e->gate.type) && !layout_is_planar(e->up.type)) || args->q8.q;
    if (!has_format(e->gate.type) || !has_format(e->up.type) || !has_format(e->down.type) ||
        (layout_is_planar(e->down.type) && !args->hidden_q8.q) || !is_ready || width % 8 != 0 ||
        (!layout_is_planar(e->down.type) && feed_forward % 8 != 0))
        return false;
    if (e->n > BACKEND_EXACT_ROWS && args->partial && cuda_experts_tiles(queue, args))
        return true;
    for (int first = 0; first < e->n; first += BACKEND_EXACT_ROWS) {
        int rest = e->n - first;
        ExpertArgs part = some_rows(args, first, rest < BACKEND_EXACT_ROWS ? rest : BACKEND_EXACT_ROWS);
        launch_few(queue, &part);
    }
    return true;
}

extern "C" size_t cuda_experts_partial_bytes(const Experts *e) {
    if (e->n <= BACKEND_EXACT_ROWS)
        return 0;
    return (size_t)e->n * (size_t)e->used * (size_t)e->gate.cols * sizeof(float);
}
