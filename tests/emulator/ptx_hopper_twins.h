/* Twins of kernels/cuda/ptx_hopper.cuh: the same names and meanings on the host, checked (hopper.cpp).
 *
 * Tensor copies land when a waiter sees the phase of their barrier end. Products of a warpgroup are made at
 * the wait for their group, from shared memory and registers as they are then; until that wait the
 * accumulators are NaNs.
 */
#ifndef MUX_TESTS_EMULATOR_PTX_HOPPER_TWINS_H
#define MUX_TESTS_EMULATOR_PTX_HOPPER_TWINS_H

#include "tests/emulator/emulator.h"

void emulated_barrier_init(uint64_t *barrier, int arrivals, const char *file, int line);
void emulated_barrier_init_fence(void);
void emulated_barrier_arrive(uint64_t *barrier, int bytes, const char *file, int line);
void emulated_barrier_wait(uint64_t *barrier, int parity, const char *file, int line);
void emulated_async_fence(void);
void emulated_map_prefetch(const void *map, const char *file, int line);
void emulated_tensor_load(void *shared, const void *map, const int *coordinates, int rank, uint64_t *barrier,
                          const char *file, int line);
void emulated_set_registers(const char *name, int count, const char *file, int line);
void emulated_wgmma_fence(void);
void emulated_wgmma_commit(void);
void emulated_wgmma_wait(int pending, const char *file, int line);

/* One product m64nNk16 of this thread's warpgroup. */
typedef struct WgmmaOperands {
    float *d;
    int columns; /* N */
    bool is_bf16, accumulate;
    const uint32_t *a_registers; /* NULL: A by its descriptor */
    uint64_t a, b;
} WgmmaOperands;
void emulated_wgmma(const WgmmaOperands *operands, const char *file, int line);

PTX void barrier_init(uint64_t *barrier, int arrivals, EMULATED_SITE) {
    emulated_barrier_init(barrier, arrivals, file, line);
}
PTX void barrier_init_fence() {
    emulated_barrier_init_fence();
}
PTX void barrier_arrive(uint64_t *barrier, EMULATED_SITE) {
    emulated_barrier_arrive(barrier, 0, file, line);
}
PTX void barrier_arrive_expect(uint64_t *barrier, int bytes, EMULATED_SITE) {
    emulated_barrier_arrive(barrier, bytes, file, line);
}
PTX void barrier_wait(uint64_t *barrier, int parity, EMULATED_SITE) {
    emulated_barrier_wait(barrier, parity, file, line);
}
PTX void async_fence() {
    emulated_async_fence();
}

PTX void tensor_map_prefetch(const void *map, EMULATED_SITE) {
    emulated_map_prefetch(map, file, line);
}
PTX void tensor_load_4d(void *shared, const void *map, int c0, int c1, int c2, int c3, uint64_t *barrier,
                        EMULATED_SITE) {
    int coordinates[4] = {c0, c1, c2, c3};
    emulated_tensor_load(shared, map, coordinates, 4, barrier, file, line);
}

template <int count> PTX void registers_take(EMULATED_SITE) {
    emulated_set_registers("registers_take", count, file, line);
}
template <int count> PTX void registers_give(EMULATED_SITE) {
    emulated_set_registers("registers_give", count, file, line);
}

PTX uint64_t matrix_descriptor(const void *start, int leading, int stride, EMULATED_SITE) {
    return (uint64_t)((emulated_shared_address(start, file, line) & 0x3FFFF) >> 4) |
           (uint64_t)(leading >> 4) << 16 | (uint64_t)(stride >> 4) << 32 | (uint64_t)1 << 62;
}
PTX uint64_t descriptor_advance(uint64_t descriptor, int bytes) {
    return descriptor + (uint64_t)(bytes >> 4);
}
PTX void wgmma_fence() {
    emulated_wgmma_fence();
}
PTX void wgmma_commit() {
    emulated_wgmma_commit();
}
template <int pending> PTX void wgmma_wait(EMULATED_SITE) {
    emulated_wgmma_wait(pending, file, line);
}
template <int count> PTX void wgmma_keep(float (&)[count]) {}
template <int count> PTX void wgmma_keep(uint32_t (&)[count]) {}

#define WGMMA_TWINS(kind, bf16)                                                                              \
    template <int count>                                                                                     \
    PTX void wgmma_shared_##kind(float(&d)[count], uint64_t a, uint64_t b, bool accumulate, EMULATED_SITE) { \
        WgmmaOperands operands = {d, 2 * count, bf16, accumulate, NULL, a, b};                               \
        emulated_wgmma(&operands, file, line);                                                               \
    }                                                                                                        \
    template <int count>                                                                                     \
    PTX void wgmma_registers_##kind(float(&d)[count], const uint32_t a[4], uint64_t b, bool accumulate,      \
                                    EMULATED_SITE) {                                                         \
        WgmmaOperands operands = {d, 2 * count, bf16, accumulate, a, 0, b};                                  \
        emulated_wgmma(&operands, file, line);                                                               \
    }
WGMMA_TWINS(f16, false)
WGMMA_TWINS(bf16, true)
#undef WGMMA_TWINS

#endif
