/* Kernels for compute 9.0 that try its twins: one product of every form, and a ring of tiles with planted
 * mistakes. */
#ifndef MUX_TESTS_EMULATOR_PLANTED_HOPPER_H
#define MUX_TESTS_EMULATOR_PLANTED_HOPPER_H

#include "kernels/cuda/tensor_map.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Inputs are bits of F16 or BF16. */
typedef struct ProductArgs {
    const uint16_t *a;     /* [64, 64] */
    const uint16_t *b;     /* [columns, 64] */
    const uint16_t *v;     /* [64, columns] */
    float *by_descriptors; /* [64, columns]: a b^T */
    float *by_registers;   /* [64, columns]: a v */
} ProductArgs;
/* 128 threads and product_shared_bytes of shared memory; NULL: no such product. */
const void *product_kernel(int columns, bool is_bf16);
size_t product_shared_bytes(int columns);

enum { RING_TILES = 3, RING_ROWS = 64, RING_THREADS = 160, RING_SHARED_BYTES = 16384 + 16 };
typedef enum RingMistake {
    RING_CORRECT,
    RING_RELEASED_EARLY,      /* a tile is given back before the products that read it are done */
    RING_NOT_WAITED_FOR,      /* a tile is used before it has come */
    RING_BYTES_MISSING,       /* the barrier waits for more than is fetched */
    RING_BYTES_TOO_MANY,      /* for less */
    RING_ARRIVALS_TOO_MANY,   /* the fetching warp arrives twice */
    RING_NOT_INITIALISED,     /* a barrier without barrier_init */
    RING_NO_FENCE,            /* products without wgmma_fence */
    RING_NO_ASYNC_FENCE,      /* products read what threads stored without async_fence */
    RING_ACCUMULATOR_CHANGED, /* while the products are under way */
    RING_ACCUMULATOR_READ,    /* the same: the results are NaNs */
    RING_WARP_DIFFERS,        /* one warp issues another product */
    RING_PATTERN_MISPLACED,   /* a tile not on a multiple of 1024 */
    RING_MISTAKES
} RingMistake;
typedef struct RingArgs {
    TensorMap map;     /* of F16 [RING_TILES * RING_ROWS, 64] */
    const uint16_t *a; /* [64, 64] */
    float *out;        /* [64, RING_ROWS]: a times the transposed sum of the tiles */
    RingMistake mistake;
} RingArgs;
const void *ring_kernel(void);

#ifdef __cplusplus
}
#endif
#endif
