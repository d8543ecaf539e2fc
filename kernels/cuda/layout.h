/* Layout: how weights lie in device memory. Shared by host and device code.
 *
 * A quantised row is cut into planes, one behind the other, so that every load is 16 bytes wide and aligned,
 * which GGUF's blocks of 17, 18, 34 or 210 bytes are not. The numbers and the bytes are the same. Every plane
 * and every row begins at a multiple of 16 bytes. nb = cols / block values.
 *
 *   type   low                      high                 scales                       deltas
 *   Q8_0   32 nb int8               -                    -                            nb halves
 *   Q4_0   16 nb, the block's bytes -                    -                            nb halves
 *   MXFP4  16 nb, the block's bytes -                    nb exponent bytes            -
 *   Q4_K   128 nb nibbles           -                    12 nb packed 6-bit pairs     nb x {half d, half
 * dmin} Q5_K   128 nb nibbles           32 nb fifth bits     12 nb packed 6-bit pairs     nb x {half d, half
 * dmin} Q6_K   128 nb low nibbles       64 nb high pairs     16 nb int8                   nb halves
 *
 * Inside a block every plane keeps GGUF's order of bytes. Q5_0 becomes Q8_0 on the way (d * (q - 16) is d *
 * int8: nothing is lost). F32, F16 and BF16 rows stay as they are, their stride rounded up to 16 bytes.
 */
#ifndef MUX_KERNELS_CUDA_LAYOUT_H
#define MUX_KERNELS_CUDA_LAYOUT_H

#include "kernels/tensor.h"

#if defined(__CUDACC__)
#define LAYOUT_FUNCTION static __host__ __device__ __forceinline__
#else
#define LAYOUT_FUNCTION static inline
#endif

typedef struct PlanarRow {
    int64_t high, scales, deltas; /* where the planes begin in a row; low begins at 0 */
    int64_t row_bytes;
} PlanarRow;

LAYOUT_FUNCTION int64_t layout_round16(int64_t bytes) {
    return (bytes + 15) / 16 * 16;
}

/* type: Q8_0, Q4_0, MXFP4, Q4_K, Q5_K or Q6_K; cols a multiple of its block. */
LAYOUT_FUNCTION PlanarRow planar_row(DType type, int64_t cols) {
    bool is_k = type == DTYPE_Q4_K || type == DTYPE_Q5_K || type == DTYPE_Q6_K;
    int64_t nb = is_k ? cols / 256 : cols / 32;
    int64_t low = is_k ? 128 * nb : type == DTYPE_Q8_0 ? 32 * nb : 16 * nb;
    int64_t high = type == DTYPE_Q5_K ? 32 * nb : type == DTYPE_Q6_K ? 64 * nb : 0;
    int64_t scales = type == DTYPE_Q6_K ? 16 * nb : is_k ? 12 * nb : type == DTYPE_MXFP4 ? nb : 0;
    int64_t deltas = type == DTYPE_MXFP4 ? 0 : type == DTYPE_Q4_K || type == DTYPE_Q5_K ? 4 * nb : 2 * nb;
    PlanarRow row;
    row.high = layout_round16(low);
    row.scales = row.high + layout_round16(high);
    row.deltas = row.scales + layout_round16(scales);
    row.row_bytes = row.deltas + layout_round16(deltas);
    return row;
}

/* The type that a matrix of `type` has on the device. */
LAYOUT_FUNCTION DType device_type(DType type) {
    return type == DTYPE_Q5_0 ? DTYPE_Q8_0 : type;
}

LAYOUT_FUNCTION bool layout_is_planar(DType type) {
    return type != DTYPE_F32 && type != DTYPE_F16 && type != DTYPE_BF16;
}

#endif
