/* Memory and clock of the backends that compute in host memory. */
#define _GNU_SOURCE
#include "kernels/backend_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

static size_t rounded_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

/* Large memory comes as zero pages that take room when they are first used; it begins on a huge page, since
 * fewer page walks make a difference. The owner is where the mapping begins. */
static bool map_alloc(size_t bytes, Mem *out) {
    if (bytes > SIZE_MAX - 2 * HUGE_PAGE)
        return false;
    char *base = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return false;
    char *address = base + (rounded_up((uintptr_t)base, HUGE_PAGE) - (uintptr_t)base);
    madvise(address, bytes, MADV_HUGEPAGE); /* a refusal costs nothing */
    *out = (Mem){address, bytes, base};
    return true;
}

bool host_alloc(Backend *backend, size_t bytes, Mem *out) {
    (void)backend;
    if (bytes >= HUGE_PAGE)
        return map_alloc(bytes, out);
    size_t rounded = rounded_up(bytes + !bytes, CACHE_LINE);
    void *address = aligned_alloc(CACHE_LINE, rounded);
    if (!address)
        return false;
    memset(address, 0, rounded);
    *out = (Mem){address, bytes, address};
    return true;
}

bool host_weights(Backend *backend, const void *host, size_t bytes, Mem *out) {
    (void)backend;
    *out = (Mem){(void *)(uintptr_t)host, bytes, NULL}; /* no owner: an alias, never freed, never written */
    return true;
}

void host_free(Backend *backend, Mem *mem) {
    (void)backend;
    if (mem->owner && mem->bytes >= HUGE_PAGE)
        munmap(mem->owner, mem->bytes + HUGE_PAGE);
    else
        free(mem->owner);
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
    scratch->address = aligned_alloc(CACHE_LINE, rounded_up(wanted, CACHE_LINE));
    scratch->bytes = scratch->address ? wanted : 0;
    if (!scratch->address)
        backend_fail(backend, "no memory for %zu bytes of working space; use a shorter context", bytes);
    return scratch->address;
}

void scratch_free(Scratch *scratch) {
    free(scratch->address);
    *scratch = (Scratch){0};
}
