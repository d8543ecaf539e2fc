#define _GNU_SOURCE
#include "kernels/backend_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Best first: the first one is what a NULL name means. */
static const BackendKind *const KINDS[] = {
    &CPU_BACKEND,
    &REF_BACKEND,
};

Backend *backend_open(const BackendConfig *config, KernelError *error) {
    error->text[0] = 0;
    char known[128] = "";
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (!config->name || strcmp(config->name, KINDS[i]->name) == 0)
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

bool backend_alloc(Backend *backend, size_t bytes, Mem *out) {
    *out = (Mem){0};
    return backend->kind->alloc(backend, bytes, out);
}

bool backend_weights(Backend *backend, const void *host, size_t bytes, Mem *out) {
    *out = (Mem){0};
    return backend->kind->weights(backend, host, bytes, out);
}

void backend_free(Backend *backend, Mem *mem) {
    if (mem->address)
        backend->kind->free(backend, mem);
    *mem = (Mem){0};
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

bool backend_wait(Backend *backend, KernelError *error) {
    *error = backend->failure;
    backend->failure.text[0] = 0;
    return !error->text[0];
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
