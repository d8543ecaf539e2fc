/* Shared by the backends that compute in host memory: their memory, steps and working space. Their state
 * begins with a HostBackend.
 */
#ifndef MUX_KERNELS_HOST_INTERNAL_H
#define MUX_KERNELS_HOST_INTERNAL_H

#include <stdatomic.h>

#include "kernels/backend_internal.h"

typedef struct HostBackend {
    Backend base;
    atomic_size_t held; /* bytes of the user's memory; chats come and go on other threads */
    size_t own;         /* bytes of working space */
    int32_t ids[BACKEND_STEP_ROWS], positions[BACKEND_STEP_ROWS];
} HostBackend;

bool host_alloc(Backend *backend, size_t bytes, Mem *out);
bool host_reserve(Backend *backend, size_t most, Mem *out);
bool host_commit(Backend *backend, Mem *mem, size_t bytes);
void host_free(Backend *backend, Mem *mem);
void host_no_room(Backend *backend, size_t bytes, KernelError *out);
void host_memory(const Backend *backend, size_t *held, size_t *own);
void host_put(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n);
void host_get(Backend *backend, void *bytes, Mem mem, size_t at, size_t n);
size_t host_matrix_bytes(const Backend *backend, DType type, int64_t rows, int64_t cols);
Tensor host_matrix(Backend *backend, Mem mem, size_t at, const void *host, DType type, int64_t rows,
                   int64_t cols);
Tensor host_random_matrix(Backend *backend, Mem mem, size_t at, DType type, int64_t rows, int64_t cols,
                          uint64_t seed);
StepInputs host_begin(Backend *backend, const int32_t *ids, const int32_t *positions, int n);
/* Bytes of memory in this machine and those a new user may have; 0 = unknown. */
void host_memory_facts(size_t *total, size_t *available);

/* A buffer that only grows, for the working space of operations. Old contents are lost when it moves. */
typedef struct Scratch {
    void *address; /* 64-byte aligned */
    size_t bytes;
} Scratch;

/* NULL, with the failure recorded, when memory runs out. */
void *scratch_reserve(HostBackend *host, Scratch *scratch, size_t bytes);
void scratch_free(HostBackend *host, Scratch *scratch);

/* Where the row of a position lies. */
static inline char *kv_row(const KvRows *kv, int64_t position) {
    size_t at = kv->pages ? (size_t)kv->pages[position / kv->page_rows] * kv->page_bytes +
                                (size_t)(position % kv->page_rows) * kv->row_bytes
                          : (size_t)position * kv->row_bytes;
    return (char *)kv->base + at;
}

#endif
