/* The tiles of cuda_gemm, for tests and for tuning on a device. */
#ifndef MUX_KERNELS_CUDA_GEMM_INTERNAL_H
#define MUX_KERNELS_CUDA_GEMM_INTERNAL_H

#include "kernels/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum GemmTile {
    GEMM_SMALL /* 32 x 32 */,
    GEMM_MIDDLE /* 64 x 64 */,
    GEMM_LARGE /* 128 x 128 */
} GemmTile;
/* cuda_gemm of F16 or BF16 with a given tile; the bits of out do not depend on it. */
bool cuda_gemm_tile(CudaQueue *queue, const GemmArgs *args, GemmTile tile);

#ifdef __cplusplus
}
#endif
#endif
