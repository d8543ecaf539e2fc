/* The kernels of planted_hopper.h. */
#include "tests/emulator/planted_hopper.h"

#include "kernels/cuda/common.cuh"

/* Value `column` of line `row` in patterns of 64 values a line, chunks of 64 columns `rows` lines apart. */
DEVICE uint16_t *swizzled(unsigned char *matrix, int rows, int row, int column) {
    int line = column / 64 * rows + row, inside = column % 64;
    return (uint16_t *)(matrix + line * 128 + ((inside / 8 ^ row % 8) & 7) * 16 + inside % 8 * 2);
}

DEVICE void store_swizzled(unsigned char *matrix, const uint16_t *from, int rows, int columns) {
    for (int i = (int)threadIdx.x; i < rows * columns; i += 128)
        *swizzled(matrix, rows, i / columns, i % columns) = from[i];
}

template <int N> DEVICE void store_product(float *out, const float (&d)[N / 2]) {
    int row = warp_id() * 16 + lane_id() / 4, column = lane_id() % 4 * 2;
    for (int i = 0; i < N / 2; i++)
        out[(row + i / 2 % 2 * 8) * N + column + i / 4 * 8 + i % 2] = d[i];
}

template <int N, bool IS_BF16> static __global__ void product(const ProductArgs a) {
    unsigned char *a_matrix = block_shared(), *b_matrix = a_matrix + 64 * 128, *v_matrix = b_matrix + N * 128;
    store_swizzled(a_matrix, a.a, 64, 64);
    store_swizzled(b_matrix, a.b, N, 64);
    store_swizzled(v_matrix, a.v, 64, N);
    async_fence();
    block_sync();
    float first[N / 2], second[N / 2];
    uint32_t registers[4][4];
    int row = warp_id() * 16 + lane_id() / 4, column = lane_id() % 4 * 2;
    for (int step = 0; step < 4; step++)
        for (int i = 0; i < 4; i++)
            registers[step][i] = load4(a.a + (row + i % 2 * 8) * 64 + step * 16 + column + i / 2 * 8);
    uint64_t at_a = matrix_descriptor(a_matrix, 16, 1024), at_b = matrix_descriptor(b_matrix, 16, 1024);
    uint64_t at_v = matrix_descriptor(v_matrix, 64 * 128, 1024);
    wgmma_fence();
    for (int step = 0; step < 4; step++) {
        uint64_t here_a = descriptor_advance(at_a, 32 * step), here_b = descriptor_advance(at_b, 32 * step);
        if (IS_BF16)
            wgmma_shared_bf16(first, here_a, here_b, step > 0);
        else
            wgmma_shared_f16(first, here_a, here_b, step > 0);
    }
    wgmma_commit();
    for (int step = 0; step < 4; step++) {
        uint64_t here = descriptor_advance(at_v, 16 * 128 * step);
        if (IS_BF16)
            wgmma_registers_bf16(second, registers[step], here, step > 0);
        else
            wgmma_registers_f16(second, registers[step], here, step > 0);
    }
    wgmma_commit();
    wgmma_wait<1>();
    store_product<N>(a.by_descriptors, first);
    wgmma_wait<0>();
    store_product<N>(a.by_registers, second);
}

extern "C" const void *product_kernel(int columns, bool is_bf16) {
#define PRODUCT(n)                                                                                           \
    if (columns == n)                                                                                        \
        return is_bf16 ? KERNEL_ADDRESS(ProductArgs, product<n, true>)                                       \
                       : KERNEL_ADDRESS(ProductArgs, product<n, false>);
    PRODUCT(64) PRODUCT(80) PRODUCT(96) PRODUCT(128) PRODUCT(256) return NULL;
}
extern "C" size_t product_shared_bytes(int columns) {
    return (size_t)(64 * 128 + columns * 128 + (columns + 63) / 64 * 64 * 128);
}

/* ---- the ring: one stage, one fetching warp, one computing warpgroup ---- */

DEVICE void fetch_ring(const RingArgs &a, unsigned char *tile, uint64_t *full, uint64_t *empty) {
    if (lane_id() != 0)
        return;
    int bytes = RING_ROWS * 128;
    if (a.mistake == RING_BYTES_MISSING)
        bytes += 128;
    if (a.mistake == RING_BYTES_TOO_MANY)
        bytes -= 128;
    for (int i = 0; i < RING_TILES; i++) {
        barrier_wait(empty, i % 2 ^ 1);
        barrier_arrive_expect(full, bytes);
        if (a.mistake == RING_ARRIVALS_TOO_MANY)
            barrier_arrive(full);
        tensor_load_4d(tile + (a.mistake == RING_PATTERN_MISPLACED ? -512 : 0), &a.map, 0, 0, i * RING_ROWS,
                       0, full);
    }
}

DEVICE void give_back(uint64_t *empty) {
    if (lane_id() == 0)
        barrier_arrive(empty);
}

DEVICE void compute_ring(const RingArgs &a, unsigned char *a_matrix, unsigned char *tile, uint64_t *full,
                         uint64_t *empty) {
    float d[RING_ROWS / 2];
    uint64_t at_a = matrix_descriptor(a_matrix, 16, 1024), at_tile = matrix_descriptor(tile, 16, 1024);
    store_swizzled(a_matrix, a.a, 64, 64);
    if (a.mistake != RING_NO_ASYNC_FENCE)
        async_fence();
    named_sync(1, 128);
    for (int i = 0; i < RING_TILES; i++) {
        if (a.mistake != RING_NOT_WAITED_FOR)
            barrier_wait(full, i % 2);
        if (a.mistake != RING_NO_FENCE)
            wgmma_fence();
        for (int step = 0; step < 4; step++) {
            int shift = a.mistake == RING_WARP_DIFFERS && warp_id() == 2 && step == 3 ? 32 : 0;
            wgmma_shared_f16(d, descriptor_advance(at_a, 32 * step),
                             descriptor_advance(at_tile, 32 * step - shift), i > 0 || step > 0);
        }
        wgmma_commit();
        if (a.mistake == RING_RELEASED_EARLY)
            give_back(empty);
        if (a.mistake == RING_ACCUMULATOR_CHANGED && threadIdx.x == 77)
            d[3] = 1;
        if (a.mistake == RING_ACCUMULATOR_READ && i + 1 == RING_TILES)
            store_product<RING_ROWS>(a.out, d);
        wgmma_wait<0>();
        if (a.mistake != RING_RELEASED_EARLY)
            give_back(empty);
    }
    if (a.mistake != RING_ACCUMULATOR_READ)
        store_product<RING_ROWS>(a.out, d);
}

static __global__ void ring(const __grid_constant__ RingArgs a) {
    unsigned char *a_matrix = block_shared(), *tile = a_matrix + 64 * 128;
    uint64_t *full = (uint64_t *)(tile + RING_ROWS * 128), *empty = full + 1;
    if (threadIdx.x == 0) {
        if (a.mistake != RING_NOT_INITIALISED)
            barrier_init(full, 1);
        barrier_init(empty, 4);
        barrier_init_fence();
    }
    block_sync();
    if (warp_id() == 4)
        fetch_ring(a, tile, full, empty);
    else
        compute_ring(a, a_matrix, tile, full, empty);
}

extern "C" const void *ring_kernel(void) {
    return KERNEL_ADDRESS(RingArgs, ring);
}
