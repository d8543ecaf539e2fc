/* Weights of F32, F16 or BF16 times 1 to 8 rows of float activations; ref twin: matmul (and gated).
 *
 * Idea: a warp streams two rows (four when there are many activation rows) through shared memory of its own,
 * 16 bytes a lane and copy, so that each activation it fetches serves all its rows. See gemv_internal.cuh for
 * the stream and the order of additions, gemv_launch.cuh for who does what.
 *
 * Numbers: bytes = rows * cols * size, operations = 2 n rows * cols. BF16 14336 x 4096, n = 1: 117 MB and
 * 0.12 GFLOP; floor on an H200 (4.8 TB/s) 24.5 us. Per multiprocessor and clock (132 of them, 1.98 GHz) that
 * is 18 bytes: 9 weights = 9 conversions and 9 n multiply-adds of 64 and 128 possible, and
 * 18 * 2 n / R bytes of activations through an L1 that gives 128: 18 for n = 1, R = 2; 74 for n = 8, R = 4.
 * In flight: 4.8 TB/s * 700 ns / 132 = 25 KB per multiprocessor; a warp has 3 KB under way (2 KB when the
 * activations are wide) and 48 to 64 registers a thread let 8 to 10 blocks of 4 warps in: 96 KB and more when
 * there is work for all. 4096 rows are 15 warps for each multiprocessor, 46 KB.
 *
 * Accuracy: a lane adds up to cols / 32 + 8 terms one after the other, 5 additions join the lanes and 3 the
 * warps: against sums in double at most (cols / 32 + 20) * 2^-24 * sum |w x|.
 */
#include "kernels/cuda/gemv_internal.cuh"
#include "kernels/cuda/gemv_launch.cuh"

extern "C" bool cuda_gemv_float(CudaQueue *queue, const GemvArgs *args) {
    GemvX x = gemv_x_float(args->x, args->x_stride);
    bool is_aligned = ((uintptr_t)args->x | (uintptr_t)args->x_stride * 4) % 16 == 0;
    if (args->n == 1)
        is_aligned = (uintptr_t)args->x % 16 == 0;
    switch (args->jobs[0].weight.type) {
    case DTYPE_F32:
        return is_aligned ? gemv_by_rows<FormatF32<true>>(queue, args, x)
                          : gemv_one_by_one<FormatF32<false>>(queue, args, x);
    case DTYPE_F16:
        return is_aligned ? gemv_by_rows<Format16<false, true>>(queue, args, x)
                          : gemv_one_by_one<Format16<false, false>>(queue, args, x);
    case DTYPE_BF16:
        return is_aligned ? gemv_by_rows<Format16<true, true>>(queue, args, x)
                          : gemv_one_by_one<Format16<true, false>>(queue, args, x);
    default: return false;
    }
}
