#define _GNU_SOURCE
#include "kernels/backend_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Best first. */
static const BackendKind *const KINDS[] = {
    &CUDA_BACKEND,
    &CPU_BACKEND,
    &REF_BACKEND,
};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

/* A CUDA device is taken when there is one that opens; the reason why not is nobody's trouble here. */
static Backend *open_best(const BackendConfig *config, KernelError *error) {
    if (cuda_devices(NULL, 0, error) > 0) {
        Backend *backend = CUDA_BACKEND.open(config, error);
        if (backend)
            return backend;
    }
    error->text[0] = 0;
    return CPU_BACKEND.open(config, error);
}

Backend *backend_open(const BackendConfig *config, KernelError *error) {
    error->text[0] = 0;
    if (!config->name)
        return open_best(config, error);
    char known[128] = "";
    for (int i = 0; i < KIND_COUNT; i++) {
        if (strcmp(config->name, KINDS[i]->name) == 0)
            return KINDS[i]->open(config, error);
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", KINDS[i]->name);
    }
    kernel_error_set(error, "there is no backend named \"%.40s\"; choose one of: %s", config->name, known);
    return NULL;
}

void backend_close(Backend *backend) {
    if (backend)
        backend->kind->close(backend);
}

void backend_info(const Backend *backend, DeviceInfo *out) {
    backend->kind->info(backend, out);
}

int backend_cuda_devices(DeviceInfo *out, int capacity, KernelError *why) {
    why->text[0] = 0;
    return cuda_devices(out, capacity, why);
}

bool backend_alloc(Backend *backend, size_t bytes, Mem *out) {
    *out = (Mem){0};
    return backend->kind->alloc(backend, bytes, out);
}

bool backend_reserve(Backend *backend, size_t most, Mem *out) {
    *out = (Mem){0};
    return backend->kind->reserve(backend, most, out);
}

bool backend_commit(Backend *backend, Mem *mem, size_t bytes) {
    return bytes <= mem->bytes || backend->kind->commit(backend, mem, bytes);
}

void backend_free(Backend *backend, Mem *mem) {
    if (mem->address)
        backend->kind->free(backend, mem);
    *mem = (Mem){0};
}

void backend_no_room(Backend *backend, size_t bytes, KernelError *out) {
    backend->kind->no_room(backend, bytes, out);
}

void backend_memory(const Backend *backend, size_t *held, size_t *own) {
    backend->kind->memory(backend, held, own);
}

void backend_put(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n) {
    if (at > mem.bytes || n > mem.bytes - at)
        backend_fail(backend, "a copy of %zu bytes at %zu does not fit memory of %zu bytes", n, at,
                     mem.bytes);
    else
        backend->kind->put(backend, mem, at, bytes, n);
}

void backend_get(Backend *backend, void *bytes, Mem mem, size_t at, size_t n) {
    if (at > mem.bytes || n > mem.bytes - at)
        backend_fail(backend, "a copy of %zu bytes at %zu does not fit memory of %zu bytes", n, at,
                     mem.bytes);
    else
        backend->kind->get(backend, bytes, mem, at, n);
}

size_t backend_matrix_bytes(const Backend *backend, DType type, int64_t rows, int64_t cols) {
    return backend->kind->matrix_bytes(backend, type, rows, cols);
}

Tensor backend_matrix(Backend *backend, Mem mem, size_t at, const void *host, DType type, int64_t rows,
                      int64_t cols) {
    return backend->kind->matrix(backend, mem, at, host, type, rows, cols);
}

Tensor backend_random_matrix(Backend *backend, Mem mem, size_t at, DType type, int64_t rows, int64_t cols,
                             uint64_t seed) {
    return backend->kind->random_matrix(backend, mem, at, type, rows, cols, seed);
}

StepInputs backend_begin(Backend *backend, const int32_t *ids, const int32_t *positions, int n) {
    if (n < 1 || n > BACKEND_STEP_ROWS) {
        backend_fail(backend, "a step has 1 to %d rows, not %d", BACKEND_STEP_ROWS, n);
        return (StepInputs){0};
    }
    return backend->kind->begin(backend, ids, positions, n);
}

void backend_set_stop(Backend *backend, BackendStop stop) {
    if (backend->kind->set_stop)
        backend->kind->set_stop(backend, stop);
}

void backend_flush(Backend *backend) {
    if (backend->kind->flush)
        backend->kind->flush(backend);
}

bool backend_wait(Backend *backend, KernelError *error) {
    if (backend->kind->wait)
        backend->kind->wait(backend);
    *error = backend->failure;
    backend->failure.text[0] = 0;
    return !error->text[0];
}

bool backend_is_lost(const Backend *backend) {
    return backend->kind->is_lost && backend->kind->is_lost(backend);
}

size_t kv_row_bytes(DType type, int64_t row_values) {
    size_t values = row_values > 0 ? (size_t)row_values : 0, bytes = 0;
    switch (type) {
    case DTYPE_F32: bytes = 4 * values; break;
    case DTYPE_F16:
    case DTYPE_BF16: bytes = 2 * values; break;
    case DTYPE_Q8_0: bytes = values % 32 ? 0 : values + values / 32 * 2; break;
    default: break;
    }
    return (bytes + 15) / 16 * 16;
}

const Ops *backend_ops(const Backend *backend) {
    return &backend->ops;
}

double backend_read_bandwidth(Backend *backend) {
    return backend->kind->read_bandwidth(backend);
}

void backend_fail(Backend *backend, const char *format, ...) {
    if (backend->failure.text[0])
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(backend->failure.text, sizeof backend->failure.text, format, args);
    va_end(args);
}

bool kernel_error_set(KernelError *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return false;
}

static void put_size(char *text, size_t capacity, size_t bytes) {
    if (bytes >= 1000000000)
        snprintf(text, capacity, "%.1f GB", (double)bytes / 1e9);
    else if (bytes >= 1000000)
        snprintf(text, capacity, "%.1f MB", (double)bytes / 1e6);
    else
        snprintf(text, capacity, "%zu bytes", bytes);
}

void kernel_error_room(KernelError *error, size_t needed, size_t available, const char *where) {
    char need[32], have[32];
    put_size(need, sizeof need, needed);
    put_size(have, sizeof have, available);
    kernel_error_set(error, "%s are needed and %s are free on %s", need, have, where);
}
