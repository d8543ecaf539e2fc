/* Elements: out += x, SiLU(gate) * up, rounding rows to 8 bits or to halves.
 *
 * All of them only move bytes: 12 per value (add, swiglu), 5.25 (quantise), 6 (to half); a few operations
 * each. 2048 rows of 4096: 8.4 M values, 101 MB for an add: 21 us at 4.8 TB/s. One row of 4096 is 48 KB: the
 * launch itself, about 2 us. Each thread has 4 values in one 16-byte access; a full multiprocessor of 2048
 * threads then has 64 KB under way, more than the 25 KB that hide the latency of memory.
 *
 * Addresses that are not multiples of 16 bytes, and the last values of a row, go one by one.
 *
 * Twins: ref_add (equal bits), ref_swiglu (2e-7 of the value times |gate| + 4: the exponential's argument is
 * a float), quantise of kernels/cpu/kernels_c.c (equal bits), half_from_float and bf16_from_float (equal
 * bits).
 */
#include "kernels/cuda/elements_internal.cuh"

enum { THREADS = 256 };

typedef struct ElementsArgs {
    float *out;
    const float *a, *b; /* add: out and x; swiglu: gate and up */
    int64_t count;
} ElementsArgs;

template <bool WIDE, bool GATED> static __global__ void elements_kernel(const ElementsArgs args) {
    int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4;
    if (at >= args.count)
        return;
    float a[4], b[4];
    load_four<WIDE>(a, args.a, at, args.count);
    load_four<WIDE>(b, args.b, at, args.count);
    UNROLL for (int j = 0; j < 4; j++) a[j] = GATED ? silu(a[j]) * b[j] : a[j] + b[j];
    store_four<WIDE>(args.out, a, at, args.count);
}

static unsigned blocks_of(int64_t items, int64_t per_block) {
    return (unsigned)((items + per_block - 1) / per_block);
}

extern "C" bool cuda_add(CudaQueue *queue, float *out, const float *x, int64_t count) {
    ElementsArgs args = {out, out, x, count};
    Extent grid = {blocks_of(count, THREADS * 4), 1, 1}, block = {THREADS, 1, 1};
    if (count <= 0)
        return true;
    if (is_aligned(out) && is_aligned(x))
        LAUNCH(queue, grid, block, 0, args, elements_kernel<true, false>);
    else
        LAUNCH(queue, grid, block, 0, args, elements_kernel<false, false>);
    return true;
}

extern "C" bool cuda_swiglu(CudaQueue *queue, float *out, const float *gate, const float *up, int64_t count) {
    ElementsArgs args = {out, gate, up, count};
    Extent grid = {blocks_of(count, THREADS * 4), 1, 1}, block = {THREADS, 1, 1};
    if (count <= 0)
        return true;
    if (is_aligned(out) && is_aligned(gate) && is_aligned(up))
        LAUNCH(queue, grid, block, 0, args, elements_kernel<true, true>);
    else
        LAUNCH(queue, grid, block, 0, args, elements_kernel<false, true>);
    return true;
}

typedef struct RowsArgs {
    Q8Rows q8;
    uint16_t *halves;
    int64_t halves_stride;
    const float *x;
    int64_t x_stride, cols;
} RowsArgs;

/* Eight lanes make one block of 32; x: groups of four along the row, y: rows. */
template <bool WIDE> static __global__ void quantize_kernel(const RowsArgs args) {
    int64_t at = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * 4, row = blockIdx.x;
    bool valid = at < args.cols;
    float x[4];
    load_four<WIDE>(x, args.x + row * args.x_stride, at, args.cols);
    store_q8(args.q8, row * args.cols + at, x, valid);
}

extern "C" bool cuda_quantize(CudaQueue *queue, Q8Rows out, const float *x, int64_t x_stride, int n) {
    if (out.cols % 32 != 0)
        return false;
    RowsArgs args = {out, NULL, 0, x, x_stride, out.cols};
    Extent grid = {(unsigned)n, blocks_of(out.cols, THREADS * 4), 1}, block = {THREADS, 1, 1};
    if (n <= 0 || out.cols <= 0)
        return true;
    if (is_aligned(x) && x_stride % 4 == 0)
        LAUNCH(queue, grid, block, 0, args, quantize_kernel<true>);
    else
        LAUNCH(queue, grid, block, 0, args, quantize_kernel<false>);
    return true;
}

/* Eight values a thread: 32 bytes in, 16 out. */
template <bool WIDE, bool BF16> static __global__ void to_half_kernel(const RowsArgs args) {
    int64_t at = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * 8, row = blockIdx.x;
    if (at >= args.cols)
        return;
    const float *x = args.x + row * args.x_stride;
    float v[8];
    load_four<WIDE>(v, x, at, args.cols);
    load_four<WIDE>(v + 4, x, at + 4, args.cols);
    uint32_t packed[4];
    UNROLL for (int j = 0; j < 4; j++) packed[j] =
        BF16 ? pack_bf16x2(v[2 * j], v[2 * j + 1]) : pack_half2(v[2 * j], v[2 * j + 1]);
    store16(args.halves + row * args.halves_stride + at,
            make_uint4(packed[0], packed[1], packed[2], packed[3]));
}

template <bool BF16> static void launch_to_half(CudaQueue *queue, const RowsArgs &args, int n) {
    Extent grid = {(unsigned)n, blocks_of(args.cols, THREADS * 8), 1}, block = {THREADS, 1, 1};
    if (is_aligned(args.x) && args.x_stride % 4 == 0)
        LAUNCH(queue, grid, block, 0, args, to_half_kernel<true, BF16>);
    else
        LAUNCH(queue, grid, block, 0, args, to_half_kernel<false, BF16>);
}

extern "C" bool cuda_to_half(CudaQueue *queue, void *out, DType type, const float *x, int64_t x_stride,
                             int64_t cols, int n) {
    if ((type != DTYPE_F16 && type != DTYPE_BF16) || !is_aligned(out))
        return false;
    RowsArgs args = {{NULL, NULL, 0}, (uint16_t *)out, layout_round16(2 * cols) / 2, x, x_stride, cols};
    if (n <= 0 || cols <= 0)
        return true;
    if (type == DTYPE_BF16)
        launch_to_half<true>(queue, args, n);
    else
        launch_to_half<false>(queue, args, n);
    return true;
}
