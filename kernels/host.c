/* Memory, steps and clock of the backends that compute in host memory. */
#define _GNU_SOURCE
#include "kernels/host_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { CACHE_LINE = 64, HUGE_PAGE = 2 << 20 };

/* The owner of mapped memory; heap memory is owned by its own address, and what is owned by nobody is an
 * alias. */
typedef struct Mapping {
    char *base; /* where the mapping begins */
    size_t bytes, most, opened;
    /* of the mapping; of addresses from Mem.address on; of those, what the system lets us touch */
} Mapping;

static size_t rounded_up(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

/* Addresses that begin on a huge page, since fewer page walks make a difference. */
static Mapping *map_addresses(size_t most, int protection, int flags, char **address) {
    if (most > SIZE_MAX - 2 * HUGE_PAGE)
        return NULL;
    Mapping *mapping = malloc(sizeof *mapping);
    if (!mapping)
        return NULL;
    size_t bytes = rounded_up(most, HUGE_PAGE) + HUGE_PAGE;
    char *base = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (base == MAP_FAILED) {
        free(mapping);
        return NULL;
    }
    *mapping = (Mapping){base, bytes, most, 0};
    *address = base + (rounded_up((uintptr_t)base, HUGE_PAGE) - (uintptr_t)base);
    return mapping;
}

/* Large memory comes as zero pages that take room when they are first used. */
static bool map_alloc(size_t bytes, Mem *out) {
    char *address;
    Mapping *mapping = map_addresses(bytes, PROT_READ | PROT_WRITE, 0, &address);
    if (!mapping)
        return false;
    mapping->opened = bytes;
    madvise(address, bytes, MADV_HUGEPAGE); /* a refusal costs nothing */
    *out = (Mem){address, bytes, mapping};
    return true;
}

static bool heap_alloc(size_t bytes, Mem *out) {
    size_t rounded = rounded_up(bytes + !bytes, CACHE_LINE);
    void *address = aligned_alloc(CACHE_LINE, rounded);
    if (!address)
        return false;
    memset(address, 0, rounded);
    *out = (Mem){address, bytes, address};
    return true;
}

bool host_alloc(Backend *backend, size_t bytes, Mem *out) {
    if (!(bytes >= HUGE_PAGE ? map_alloc(bytes, out) : heap_alloc(bytes, out)))
        return false;
    atomic_fetch_add(&((HostBackend *)backend)->held, bytes);
    return true;
}

bool host_reserve(Backend *backend, size_t most, Mem *out) {
    (void)backend;
    char *address;
    Mapping *mapping = map_addresses(most, PROT_NONE, MAP_NORESERVE, &address);
    if (!mapping)
        return false;
    *out = (Mem){address, 0, mapping};
    return true;
}

bool host_commit(Backend *backend, Mem *mem, size_t bytes) {
    Mapping *mapping = mem->owner;
    if (!mapping || mapping == mem->address || bytes > mapping->most)
        return false;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), opened = rounded_up(bytes, page);
    if (opened > mapping->opened) {
        char *from = (char *)mem->address + mapping->opened;
        if (mprotect(from, opened - mapping->opened, PROT_READ | PROT_WRITE) != 0)
            return false;
        madvise(from, opened - mapping->opened, MADV_HUGEPAGE);
        mapping->opened = opened;
    }
    atomic_fetch_add(&((HostBackend *)backend)->held, bytes - mem->bytes);
    mem->bytes = bytes;
    return true;
}

void host_free(Backend *backend, Mem *mem) {
    if (!mem->owner)
        return;
    atomic_fetch_sub(&((HostBackend *)backend)->held, mem->bytes);
    if (mem->owner != mem->address) {
        Mapping *mapping = mem->owner;
        munmap(mapping->base, mapping->bytes);
    }
    free(mem->owner);
}

void host_memory_facts(size_t *total, size_t *available) {
    *total = *available = 0;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE), unused = sysconf(_SC_AVPHYS_PAGES);
    if (pages > 0 && page > 0)
        *total = (size_t)pages * (size_t)page;
    if (unused > 0 && page > 0)
        *available = (size_t)unused * (size_t)page;
    FILE *file = fopen("/proc/meminfo", "re"); /* knows what the system would give back, too */
    char line[128];
    size_t kilobytes;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %zu kB", &kilobytes) == 1)
            *available = kilobytes << 10;
    if (file)
        fclose(file);
}

void host_no_room(Backend *backend, size_t bytes, KernelError *out) {
    (void)backend;
    size_t total, available;
    host_memory_facts(&total, &available);
    kernel_error_room(out, bytes, available, "this machine");
}

void host_memory(const Backend *backend, size_t *held, size_t *own) {
    const HostBackend *host = (const HostBackend *)backend;
    *held = atomic_load(&host->held);
    *own = host->own;
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

size_t host_matrix_bytes(const Backend *backend, DType type, int64_t rows, int64_t cols) {
    (void)backend, (void)type, (void)rows, (void)cols;
    return 0;
}

Tensor host_matrix(Backend *backend, Mem mem, size_t at, const void *host, DType type, int64_t rows,
                   int64_t cols) {
    (void)backend, (void)mem, (void)at;
    return (Tensor){(void *)(uintptr_t)host, type, rows, cols, dtype_row_bytes(type, cols), false};
}

Tensor host_random_matrix(Backend *backend, Mem mem, size_t at, DType type, int64_t rows, int64_t cols,
                          uint64_t seed) {
    (void)backend;
    Tensor tensor = {(char *)mem.address + at, type, rows, cols, dtype_row_bytes(type, cols), false};
    dtype_random_blocks(type, tensor.data, rows * cols, seed);
    return tensor;
}

StepInputs host_begin(Backend *backend, const int32_t *ids, const int32_t *positions, int n) {
    HostBackend *host = (HostBackend *)backend;
    memcpy(host->ids, ids, (size_t)n * sizeof *ids);
    memcpy(host->positions, positions, (size_t)n * sizeof *positions);
    return (StepInputs){host->ids, host->positions};
}

double host_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void *scratch_reserve(HostBackend *host, Scratch *scratch, size_t bytes) {
    if (bytes <= scratch->bytes)
        return scratch->address;
    size_t wanted = bytes + bytes / 4; /* slowly growing requests move it seldom */
    scratch_free(host, scratch);
    scratch->address = aligned_alloc(CACHE_LINE, rounded_up(wanted, CACHE_LINE));
    scratch->bytes = scratch->address ? wanted : 0;
    host->own += scratch->bytes;
    if (!scratch->address)
        backend_fail(&host->base, "no memory for %zu bytes of working space; use a shorter context", bytes);
    return scratch->address;
}

void scratch_free(HostBackend *host, Scratch *scratch) {
    free(scratch->address);
    host->own -= scratch->bytes;
    *scratch = (Scratch){0};
}
