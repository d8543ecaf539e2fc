/* TensorMap: what the copy engine of compute 9.0 must know of the keys or values of one layer of one sequence
 * to fetch tiles of them: 4 dimensions (value of the head, kv head, row in the page, page).
 *
 * Calling sequence: attend_tensor_maps -> cuda_attend_hopper with the two maps, which copies them into the
 * launch's arguments. No state, any thread; the first call asks the driver for its encoder.
 */
#ifndef MUX_KERNELS_CUDA_TENSOR_MAP_H
#define MUX_KERNELS_CUDA_TENSOR_MAP_H

#include "kernels/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes of a CUtensorMap. */
typedef struct TensorMap {
#ifdef __cplusplus
    alignas(128) uint64_t words[16];
#else
    _Alignas(128) uint64_t words[16];
#endif
} TensorMap;

/* Keys in one tile of the kernel. */
static inline int attend_hopper_keys(int head_dim) {
    return head_dim > 192 ? 64 : 128;
}
/* Rows that one copy brings: a tile or a page, whichever is smaller; 0 = the pages do not fit the tiles. */
static inline int attend_hopper_box_rows(const KvRows *rows, int head_dim) {
    int tile = attend_hopper_keys(head_dim);
    if (!rows->pages || (rows->page_rows > 0 && rows->page_rows % tile == 0))
        return tile;
    return rows->page_rows >= 8 && rows->page_rows % 8 == 0 && tile % rows->page_rows == 0 ? rows->page_rows
                                                                                           : 0;
}

/* False: the driver has no encoder, or these rows cannot be fetched so (type, alignment, pages). The maps
 * hold as long as the rows' addresses and, for rows without pages, up to args->last_position. Page numbers
 * are read by the kernel, not here. */
bool attend_tensor_maps(const Attend *args, TensorMap *keys, TensorMap *values);
/* Whether the code that this device would run of a kernel is made for blocks of so many threads. */
bool attend_kernel_takes(const void *kernel, int threads);

#ifdef __cplusplus
}
#endif
#endif
