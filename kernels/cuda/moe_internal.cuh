/* The two ways through the experts of a layer: few rows (moe.cu), many rows (moe_tiles.cu). */
#ifndef MUX_KERNELS_CUDA_MOE_INTERNAL_CUH
#define MUX_KERNELS_CUDA_MOE_INTERNAL_CUH

#include "kernels/cuda/elements_internal.cuh"
#include "kernels/cuda/gemv_internal.cuh"

/* A warp's 32 values as one block of 8 bits; `at` as store_q8. */
DEVICE void store_q8_warp(const Q8Rows &out, int64_t at, float value) {
    float d = warp_max(fabsf(value)) / 127.0f;
    int q = round_to_q8(value, d > 0 ? 1.0f / d : 0.0f), sum = q;
    UNROLL for (int step = 16; step > 0; step /= 2) sum += shuffle_xor(sum, step);
    out.q[at] = (int8_t)q;
    if (lane_id() == 0)
        *(float2 *)(out.scale + at / 32 * 2) = make_float2(d, d * (float)sum);
}

/* Rows of x as weights of this type want them: in 8 bits, or as floats. */
static inline GemvX expert_x(DType type, Q8Rows q8, const float *x, int64_t cols) {
    return layout_is_planar(type) ? gemv_x_q8(q8) : gemv_x_float(x, cols);
}

/* Any number of rows; needs args->partial. False: types without tiles (F32, gate and up of two types). */
bool cuda_experts_tiles(CudaQueue *queue, const ExpertArgs *args);

#endif
