/* What every kernel file begins with: the launch macro, the shape of a kernel, small device helpers.
 *
 * Rules that let the same file run on a GPU and, compiled as C++, under the emulator of tests/emulator:
 *  - A kernel is `static __global__ void NAME(const ARGS a)`: one struct of arguments by value.
 *  - It is started by LAUNCH only, from an extern "C" function declared in kernels/cuda/kernels.h.
 *  - Shared memory comes from block_shared() only (dynamic; no static __shared__).
 *  - Whatever is an instruction rather than C is a function of ptx.cuh; lanes meet only in those functions.
 *  - No host library, no C++ library, no classes; templates for types and sizes only.
 *  - Register arrays are indexed by compile-time constants (UNROLL the loop).
 */
#ifndef MUX_KERNELS_CUDA_COMMON_CUH
#define MUX_KERNELS_CUDA_COMMON_CUH

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/ptx.cuh"

#define DEVICE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")

/* LAUNCH(queue, grid, block, shared bytes, args, kernel): the kernel comes last, as its template arguments
 * may hold commas. */
#define LAUNCH(queue, grid, block, shared_bytes, args, ...)                                                  \
    queue_launch(queue, #__VA_ARGS__, KERNEL_ADDRESS(decltype(args), __VA_ARGS__), grid, block,              \
                 shared_bytes, &(args), sizeof(args))

template <typename T> struct Plain { typedef T type; };
template <typename T> struct Plain<const T> { typedef T type; };
template <typename T> struct Plain<T &> { typedef typename Plain<T>::type type; };
#ifdef MUX_EMULATED
#define KERNEL_ADDRESS(Args, ...) EMULATED_KERNEL(Plain<Args>::type, __VA_ARGS__)
#else
#define KERNEL_ADDRESS(Args, ...) ((const void *)(void (*)(const Plain<Args>::type))(__VA_ARGS__))
#endif

static const unsigned FULL_WARP = 0xFFFFFFFFu;

DEVICE int lane_id() {
    return (int)(threadIdx.x & 31);
}
DEVICE int warp_id() {
    return (int)(threadIdx.x >> 5);
}

DEVICE float warp_sum(float value) {
    UNROLL for (int step = 16; step > 0; step /= 2) value += shuffle_xor(value, step);
    return value;
}
DEVICE float warp_max(float value) {
    UNROLL for (int step = 16; step > 0; step /= 2) value = fmaxf(value, shuffle_xor(value, step));
    return value;
}

/* Sum over the block in a fixed order, the same value in every thread. scratch: 32 floats of shared memory,
 * free for reuse after the next block_sync. */
DEVICE float block_sum(float value, float *scratch) {
    int warps = (int)(blockDim.x + 31) / 32;
    value = warp_sum(value);
    if (lane_id() == 0)
        scratch[warp_id()] = value;
    block_sync();
    float total = 0;
    for (int w = 0; w < warps; w++)
        total += scratch[w];
    return total;
}

/* The address of position p in a sequence's rows (see KvRows). */
DEVICE const char *kv_row(const KvRows &kv, int p) {
    const char *base = (const char *)kv.base;
    if (!kv.pages)
        return base + (size_t)p * kv.row_bytes;
    return base + (size_t)kv.pages[p / kv.page_rows] * kv.page_bytes +
           (size_t)(p % kv.page_rows) * kv.row_bytes;
}

#endif
