/* RMSNorm: out = x / sqrt(mean(x^2) + eps) * weight, and the result in 8 bits in the same pass.
 *
 * Bytes: 8 per value (5.25 more with the 8 bits), 4 operations. 2048 rows of 4096: 67 MB, 14 us at 4.8 TB/s.
 * One row of 4096 (decode): 48 KB with the weights, so the floor is the launch and two trips to memory, about
 * 3 us; the block is as wide as the row allows so that each thread waits for one 16-byte load of x and one of
 * the weights, both asked for at once.
 *
 * Mapping: rows wider than 256: one block a row (1024 threads, 512 beyond 8192), thread t holds the groups of
 * four t, t + threads, ... in registers between the two passes. Rows up to 256 (heads): one warp a row, eight
 * rows a block. Which of them depends on the width alone, and the order of the sum on the width alone: a
 * row's bits do not depend on the rows beside it.
 *
 * Twin: ref_rms_norm. The sum of d squares in floats, in strands of at most 64 values, 32 lanes and 32 warps:
 * the error of the sum stays below
 * (64 + 5 + 32) * 2^-24 of it, half of that in the root, in practice a tenth: within 1e-6 of the value.
 */
#include "kernels/cuda/elements_internal.cuh"

enum { WARP_ROWS = 8, WARP_WIDTH = 256, BLOCK_THREADS = 1024 };

template <int GROUPS> DEVICE float sum_of_squares(const float x[GROUPS][4]) {
    float sum = 0;
    UNROLL for (int g = 0; g < GROUPS; g++) {
        UNROLL for (int j = 0; j < 4; j++) sum += x[g][j] * x[g][j];
    }
    return sum;
}

/* One row, whose groups of four first, first + step, ... are this thread's. The weights wait in registers for
 * the sum where there is room for them. */
template <bool WIDE, bool ROUNDED, int GROUPS, bool BLOCK>
DEVICE void norm_row(const NormArgs &args, int64_t row, int first, int step) {
    enum { EARLY = GROUPS <= 2 };
    float x[GROUPS][4], weight[EARLY ? GROUPS : 1][4];
    UNROLL for (int g = 0; g < GROUPS; g++)
        load_four<WIDE>(x[g], args.x + row * args.d, (first + (int64_t)g * step) * 4, args.d);
    UNROLL for (int g = 0; g < (EARLY ? GROUPS : 0); g++)
        load_four<WIDE>(weight[g], args.weight, (first + (int64_t)g * step) * 4, args.d);
    float sum = sum_of_squares<GROUPS>(x);
    sum = BLOCK ? block_sum(sum, (float *)block_shared()) : warp_sum(sum);
    float factor = 1.0f / sqrtf(sum / (float)args.d + args.eps);
    UNROLL for (int g = 0; g < GROUPS; g++) {
        int64_t at = (first + (int64_t)g * step) * 4;
        float *w = weight[EARLY ? g : 0];
        if (!EARLY)
            load_four<WIDE>(w, args.weight, at, args.d);
        UNROLL for (int j = 0; j < 4; j++) x[g][j] = x[g][j] * factor * w[j];
        store_four<WIDE>(args.out + row * args.d, x[g], at, args.d);
        if (ROUNDED)
            store_q8(args.q8, row * args.d + at, x[g], at < args.d);
    }
}

template <bool WIDE, bool ROUNDED, int GROUPS>
static __global__ void __launch_bounds__(GROUPS <= 2 ? 1024 : 512) norm_block_kernel(const NormArgs args) {
    norm_row<WIDE, ROUNDED, GROUPS, true>(args, blockIdx.x, (int)threadIdx.x, (int)blockDim.x);
}

template <bool WIDE, bool ROUNDED, int GROUPS> static __global__ void norm_warp_kernel(const NormArgs args) {
    int64_t row = (int64_t)blockIdx.x * WARP_ROWS + warp_id();
    if (row < args.rows)
        norm_row<WIDE, ROUNDED, GROUPS, false>(args, row, lane_id(), 32);
}

template <bool WIDE, bool ROUNDED> static bool launch_norm(CudaQueue *queue, const NormArgs &args) {
    Extent block = {32 * WARP_ROWS, 1, 1}, grid = {(unsigned)((args.rows + WARP_ROWS - 1) / WARP_ROWS), 1, 1};
    if (args.d <= 128) {
        LAUNCH(queue, grid, block, 0, args, norm_warp_kernel<WIDE, ROUNDED, 1>);
        return true;
    }
    if (args.d <= WARP_WIDTH) {
        LAUNCH(queue, grid, block, 0, args, norm_warp_kernel<WIDE, ROUNDED, 2>);
        return true;
    }
    int64_t groups = (args.d + 3) / 4, threads = (groups + 31) / 32 * 32;
    enum { SHARED = 32 * sizeof(float) };
    grid.x = (unsigned)args.rows;
    block.x = (unsigned)(groups > 2 * BLOCK_THREADS ? BLOCK_THREADS / 2
                         : threads < BLOCK_THREADS  ? threads
                                                    : BLOCK_THREADS);
    if (groups <= BLOCK_THREADS)
        LAUNCH(queue, grid, block, SHARED, args, norm_block_kernel<WIDE, ROUNDED, 1>);
    else if (groups <= 2 * BLOCK_THREADS)
        LAUNCH(queue, grid, block, SHARED, args, norm_block_kernel<WIDE, ROUNDED, 2>);
    else if (groups <= 4 * BLOCK_THREADS)
        LAUNCH(queue, grid, block, SHARED, args, norm_block_kernel<WIDE, ROUNDED, 8>);
    else
        return false;
    return true;
}

/* d up to 16384. */
extern "C" bool cuda_rms_norm(CudaQueue *queue, const NormArgs *args) {
    if (args->q8.q && args->d % 32 != 0)
        return false;
    if (args->rows <= 0)
        return true;
    bool wide = is_aligned(args->out) && is_aligned(args->x) && is_aligned(args->weight) && args->d % 4 == 0;
    if (args->q8.q)
        return wide ? launch_norm<true, true>(queue, *args) : launch_norm<false, true>(queue, *args);
    return wide ? launch_norm<true, false>(queue, *args) : launch_norm<false, false>(queue, *args);
}
