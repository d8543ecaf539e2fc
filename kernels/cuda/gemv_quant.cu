/* Quantised weights in planes (layout.h) times 1 to 8 rows of 8-bit activations; ref twin: matmul (and gated)
 * on the activations as rounded.
 *
 * Idea: as gemv_float.cu; a step of a warp's stream is 512 bytes of the low plane and the 32 to 336 bytes of
 * the other planes that belong to them. Bytes are multiplied four at a time (dot4), exactly, and each group
 * of 16 or 32 gets its scales in float. What is the same in every value of a block is not unpacked: Q4_0's 8
 * and the mins of Q4_K and Q5_K meet the sum of the activations, Q6_K's 32 starts the integer sum.
 *
 * Numbers: bytes = rows * cols * bits / 8, operations = 2 n rows * cols. Q4_K 14336 x 4096, n = 1: 33 MB;
 * floor on an H200 (4.8 TB/s) 6.9 us. Per multiprocessor and clock: 18.4 bytes in, 4 instructions out, so a
 * step of one row (576 bytes of Q4_K) lasts 31 clocks or 125 instructions at full bandwidth. Instructions
 * that the loop has for it (compute 9.0, one activation row, four / two weight rows of a warp): Q8_0 36 / 51
 * of 118, Q4_0 53 / 69 of 125, MXFP4 117 / 134 of 118, Q4_K 87 / 109 of 125, Q5_K 111 / 140 of 153, Q6_K 87 /
 * 113 of 182. Hence four rows where there are enough of them. Each further activation row costs 13 to 20
 * more: the 4-bit types at n = 8 are bound by instructions.
 *
 * Accuracy: products exact in integers, then as gemv_float.cu with up to 4 more roundings of scales and sums:
 * at most (cols / 32 + 20) * 2^-24 * sum (|w| + 2 |less|) |x|, less being what Q4_0 and the K types subtract.
 */
#include "kernels/cuda/gemv_internal.cuh"
#include "kernels/cuda/gemv_launch.cuh"

extern "C" bool cuda_gemv_quant(CudaQueue *queue, const GemvArgs *args) {
    GemvX x = gemv_x_q8(args->q8);
    switch (args->jobs[0].weight.type) {
    case DTYPE_Q8_0: return gemv_by_rows<FormatQ8>(queue, args, x);
    case DTYPE_Q4_0: return gemv_by_rows<FormatQ4>(queue, args, x);
    case DTYPE_MXFP4: return gemv_by_rows<FormatMxfp4>(queue, args, x);
    case DTYPE_Q4_K: return gemv_by_rows<FormatK<false>>(queue, args, x);
    case DTYPE_Q5_K: return gemv_by_rows<FormatK<true>>(queue, args, x);
    case DTYPE_Q6_K: return gemv_by_rows<FormatQ6>(queue, args, x);
    default: return false;
    }
}
