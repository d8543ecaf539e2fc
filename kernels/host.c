/* Memory and clock of the backends that compute in host memory. */
#define _GNU_SOURCE
#include "kernels/backend_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

static void *aligned_zeroed(size_t bytes) {
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : CACHE_LINE;
    if (bytes > SIZE_MAX - alignment)
        return NULL;
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void *address = aligned_alloc(alignment, rounded ? rounded : alignment);
    if (!address)
        return NULL;
    if (alignment == HUGE_PAGE)
        madvise(address, rounded, MADV_HUGEPAGE); /* fewer page walks; a refusal costs nothing */
    memset(address, 0, rounded);
    return address;
}

bool host_alloc(Backend *backend, size_t bytes, Mem *out) {
    void *address = aligned_zeroed(bytes);
    if (address)
        *out = (Mem){address, bytes, backend};
    return address != NULL;
}

bool host_weights(Backend *backend, const void *host, size_t bytes, Mem *out) {
    (void)backend;
    *out = (Mem){(void *)(uintptr_t)host, bytes, NULL}; /* no owner: an alias, never freed, never written */
    return true;
}

void host_free(Backend *backend, Mem *mem) {
    (void)backend;
    if (mem->owner)
        free(mem->address);
}

void host_put(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n) {
    (void)backend;
    if (n)
        memcpy((char *)mem.address + at, bytes, n);
}

void host_get(Backend *backend, void *bytes, Mem mem, size_t at, size_t n) {
    (void)backend;
    if (n)
        memcpy(bytes, (const char *)mem.address + at, n);
}

double host_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void *scratch_reserve(Backend *backend, Scratch *scratch, size_t bytes) {
    if (bytes <= scratch->bytes)
        return scratch->address;
    size_t wanted = bytes + bytes / 4; /* slowly growing requests move it seldom */
    free(scratch->address);
    scratch->address = aligned_zeroed(wanted);
    scratch->bytes = scratch->address ? wanted : 0;
    if (!scratch->address)
        backend_fail(backend, "no memory for %zu bytes of working space; use a shorter context", bytes);
    return scratch->address;
}

void scratch_free(Scratch *scratch) {
    free(scratch->address);
    *scratch = (Scratch){0};
}
