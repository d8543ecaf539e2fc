/* The kernel of gemv_float.cu and gemv_quant.cu, and its launch.
 *
 * Template arguments: R weight rows and N activation rows of a warp, S stages of its stream
 * (gemv_internal.cuh).
 *
 * Mapping: a block of 4 warps. A matrix of many rows gives each warp its own R rows and no warp waits for
 * another; one of few rows (kv heads, routers, gemv_is_shared), which would leave most multiprocessors idle,
 * gives R rows to the four warps of a block together. That depends on the matrix alone, and so does the order
 * of additions. Blocks are numbered through all jobs of a launch: q, k and v fill the GPU as one matrix
 * would, and blocks are small (8 rows), so that the hardware's own scheduling leaves no long tail: 4096 rows
 * are 512 blocks, 3.9 for each of 132 multiprocessors, all of them resident at once. A gated launch takes
 * half of R from the gate and the same rows of up, so that silu(gate) * up needs no second pass.
 */
#ifndef MUX_KERNELS_CUDA_GEMV_LAUNCH_CUH
#define MUX_KERNELS_CUDA_GEMV_LAUNCH_CUH

#include <string.h>

#include "kernels/cuda/gemv_internal.cuh"

enum {
    GEMV_WARPS = 4,
    GEMV_THREADS = 32 * GEMV_WARPS,
    GEMV_JOBS = 8,
    GEMV_FEW_ROWS = 512,
    GEMV_MANY_ROWS = 8192,
    GEMV_LONG_ROWS = 2048,
    GEMV_LONG_CHUNKS = 4 * GEMV_THREADS
};

typedef struct GemvJob {
    const char *weight, *up; /* up: NULL = not gated */
    int64_t row_bytes, up_row_bytes;
    const float *bias;
    float *out;
    int64_t out_stride;
    int rows, first_block;
    bool accumulate, is_shared; /* shared: the block's warps work on the same rows */
} GemvJob;

typedef struct GemvLaunch {
    GemvJob jobs[GEMV_JOBS];
    GemvX x;
    GemvPlanes planes;
    int job_count, n;
} GemvLaunch;

DEVICE float gemv_silu(float gate) {
    return gate / (1.0f + expf(-gate));
}

/* Lane r * N + i gets the warp's sum for row r and activation row i; the others get 0. */
template <int R, int N> DEVICE float gemv_deal(const float (&sum)[R][N]) {
    float mine = 0;
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int i = 0; i < N; i++) {
            float total = warp_sum(sum[r][i]);
            mine = lane_id() == r * N + i ? total : mine;
        }
    }
    return mine;
}

/* mine: the sum of row r and activation row i of the warp's, in lane r * N + i. */
template <int R, int N>
DEVICE void gemv_finish(const GemvJob &job, float mine, int first_row, int n, bool is_writer) {
    int lane = lane_id(), outs = R;
    if (job.up) {
        outs = R / 2;
        float up = shuffle(mine, (lane + outs * N) & 31);
        mine = gemv_silu(mine) * up;
    }
    int row = first_row + lane / N, i = lane % N;
    if (!is_writer || lane >= outs * N || row >= job.rows || i >= n)
        return;
    float *out = job.out + (int64_t)(i + (int)blockIdx.y) * job.out_stride + row;
    if (job.bias)
        mine += job.bias[row];
    if (job.accumulate)
        mine += *out;
    *out = mine;
}

/* Blocks that a multiprocessor is to hold: as many as leave each thread the registers it needs. */
template <typename Format, int R, int N> DEVICE constexpr int gemv_residents() {
    return N == 1 ? (R == 2 ? 8 : 5) : N == 2 ? 6 : N == 4 ? 4 : Format::VALUES > 0 ? 3 : 2;
}

template <typename Format, int R, int N, int S>
static __global__ void __launch_bounds__(GEMV_THREADS, gemv_residents<Format, R, N>())
    gemv(const GemvLaunch a) {
    int block = (int)blockIdx.x, which = 0, warp = warp_id();
    while (which + 1 < a.job_count && block >= a.jobs[which + 1].first_block)
        which++;
    const GemvJob &job = a.jobs[which];
    int outs = job.up ? R / 2 : R, group = block - job.first_block;
    int first_row = (job.is_shared ? group : group * GEMV_WARPS + warp) * outs;
    if (first_row >= job.rows)
        return; /* never the only one of a shared block */
    const char *row[R];
    UNROLL for (int r = 0; r < R; r++) {
        int of_up = job.up && r >= R / 2, at = first_row + (of_up ? r - R / 2 : r);
        at = at < job.rows ? at : job.rows - 1;
        row[r] = of_up ? job.up + at * job.up_row_bytes : job.weight + at * job.row_bytes;
    }
    GemvX x = a.x;
    x.base += blockIdx.y * x.stride; /* y > 0: activation rows one by one */
    enum { STAGES = S * gemv_step_bytes<Format, R>() };
    char *shared = (char *)block_shared();
    int n = N == 1 ? 1 : a.n;
    float sum[R][N];
    gemv_stream<Format, R, N, S>(sum, row, a.planes, x, n, job.is_shared ? warp : 0,
                                 job.is_shared ? GEMV_WARPS : 1, shared + warp * STAGES);
    float mine = gemv_deal<R, N>(sum);
    if (job.is_shared) {
        float *part = (float *)(shared + GEMV_WARPS * STAGES);
        if (lane_id() < R * N)
            part[warp * R * N + lane_id()] = mine;
        block_sync();
        if (lane_id() < R * N)
            mine = ((part[lane_id()] + part[R * N + lane_id()]) + part[2 * R * N + lane_id()]) +
                   part[3 * R * N + lane_id()];
    }
    gemv_finish<R, N>(job, mine, first_row, n, !job.is_shared || warp == 0);
}

/* ---- on the host ---- */

/* Whether a block's warps work on the same rows: when there are few, or not many and each four steps long. */
static bool gemv_is_shared(int64_t rows, int chunks) {
    return rows <= GEMV_FEW_ROWS || (rows <= GEMV_LONG_ROWS && chunks >= GEMV_LONG_CHUNKS);
}

template <typename Format, int R, int N, int S>
static bool gemv_start(CudaQueue *queue, const GemvArgs *args, GemvX x, int grid_rows) {
    GemvLaunch launch;
    memset(&launch, 0, sizeof launch); /* launches are compared byte for byte */
    const Tensor *first = &args->jobs[0].weight;
    bool is_gated = args->up.data != NULL;
    int blocks = 0, outs = is_gated ? R / 2 : R;
    launch.x = x;
    launch.planes = gemv_planes(first->type, first->cols);
    launch.job_count = args->job_count;
    launch.n = args->n;
    for (int j = 0; j < args->job_count; j++) {
        const MatMul *from = &args->jobs[j];
        GemvJob *to = &launch.jobs[j];
        to->weight = (const char *)from->weight.data;
        to->row_bytes = (int64_t)from->weight.row_bytes;
        to->up = is_gated ? (const char *)args->up.data : NULL;
        to->up_row_bytes = (int64_t)args->up.row_bytes;
        to->bias = from->bias;
        to->out = from->out;
        to->out_stride = from->out_stride;
        to->accumulate = from->accumulate;
        to->rows = (int)from->weight.rows;
        to->is_shared = gemv_is_shared(from->weight.rows, launch.planes.chunks);
        to->first_block = blocks;
        int each = to->is_shared ? outs : outs * GEMV_WARPS;
        blocks += (to->rows + each - 1) / each;
    }
    size_t shared_bytes = GEMV_WARPS * ((size_t)S * R * (512 + Format::REST) + (size_t)R * N * sizeof(float));
    Extent grid = {(unsigned)blocks, (unsigned)grid_rows, 1}, block = {GEMV_THREADS, 1, 1};
    LAUNCH(queue, grid, block, shared_bytes, launch, gemv<Format, R, N, S>);
    return true;
}

static bool gemv_fits(const GemvArgs *args) {
    if (args->n < 1 || args->n > BACKEND_EXACT_ROWS || args->job_count < 1 || args->job_count > GEMV_JOBS)
        return false;
    const Tensor *first = &args->jobs[0].weight;
    for (int j = 0; j < args->job_count; j++) {
        const Tensor *weight = &args->jobs[j].weight;
        if (weight->type != first->type || weight->cols != first->cols || weight->rows < 1)
            return false;
    }
    return !args->up.data || (args->job_count == 1 && args->up.type == first->type &&
                              args->up.cols == first->cols && args->up.rows == first->rows);
}

/* What a row of activations takes: floats, or int8 and two floats for each 32. */
template <typename Format> static int64_t gemv_x_bytes(int64_t cols) {
    return Format::VALUES > 0 ? cols * 4 : cols + cols / 32 * 8;
}

/* Weight rows of a launch. */
static int64_t gemv_rows(const GemvArgs *args) {
    int64_t rows = args->up.data ? args->up.rows : 0;
    for (int j = 0; j < args->job_count; j++)
        rows += args->jobs[j].weight.rows;
    return rows;
}

/* Activations at any address: a warp for each of their rows. */
template <typename Format> static bool gemv_one_by_one(CudaQueue *queue, const GemvArgs *args, GemvX x) {
    return gemv_fits(args) && gemv_start<Format, 2, 1, 4>(queue, args, x, args->n);
}

template <typename Format> static bool gemv_by_rows(CudaQueue *queue, const GemvArgs *args, GemvX x) {
    if (!gemv_fits(args))
        return false;
    /* Shared memory is taken from the L1. Four stages of the blocks that registers let in leave 28 to 92 KB
     * of Hopper's 256; activations beyond that would come from the L2 again and again. Three leave 60 to 124.
     */
    bool is_wide = args->n * gemv_x_bytes<Format>(args->jobs[0].weight.cols) > 24 * 1024;
    /* Unpacking is most of the work of one quantised row; four at once share the rest of it. */
    const int most = Format::VALUES == 0 ? 4 : 2;
    bool is_large = most == 4 && gemv_rows(args) >= GEMV_MANY_ROWS;
    switch (args->n) {
    case 1:
        if (is_large)
            return gemv_start<Format, most, 1, 3>(queue, args, x, 1);
        return is_wide ? gemv_start<Format, 2, 1, 3>(queue, args, x, 1)
                       : gemv_start<Format, 2, 1, 4>(queue, args, x, 1);
    case 2:
        return is_wide ? gemv_start<Format, 2, 2, 3>(queue, args, x, 1)
                       : gemv_start<Format, 2, 2, 4>(queue, args, x, 1);
    case 3:
    case 4: return gemv_start<Format, 2, 4, 4>(queue, args, x, 1);
    default: return gemv_start<Format, 4, 8, 3>(queue, args, x, 1);
    }
}

#endif
