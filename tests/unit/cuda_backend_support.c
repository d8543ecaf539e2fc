#include "tests/unit/cuda_backend_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef MUX_EMULATED
#include "tests/emulator/control.h"
#endif

Backend *open_named(const char *name) {
    KernelError error;
    Backend *backend = backend_open(&(BackendConfig){.name = name}, &error);
    CHECK_MSG(backend != NULL, "%s: %s", name, error.text);
    return backend;
}

Backend *open_cuda(void) {
#ifdef MUX_EMULATED
    emulator_reset(); /* what an earlier test left */
#endif
    return open_named("cuda");
}

void wait_for(Backend *backend) {
    KernelError error;
    CHECK_MSG(backend_wait(backend, &error), "%s", error.text);
}

QueueCounters counters_of(Backend *backend) {
    return queue_counters(((CudaBackend *)backend)->queue);
}

size_t held_by(Backend *backend) {
    size_t held, own;
    backend_memory(backend, &held, &own);
    return held;
}

/* Device memory with `count` floats in it. */
float *put_floats(Backend *backend, Mem *mem, const float *values, int64_t count) {
    CHECK(backend_alloc(backend, (size_t)count * sizeof *values, mem));
    backend_put(backend, *mem, 0, values, (size_t)count * sizeof *values);
    return mem->address;
}

float *get_floats(Backend *backend, Mem mem) {
    float *values = malloc(mem.bytes);
    CHECK(values != NULL);
    backend_get(backend, values, mem, 0, mem.bytes);
    wait_for(backend);
    return values;
}

/* ||a - b|| / ||b|| */
double distance(const float *a, const float *b, int64_t count) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / (size > 0 ? size : 1));
}

void random_small(float *out, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)(random_below(20001) - 10000) / 10000;
}

Matrix open_matrix(Backend *ref, Backend *cuda, DType type, int64_t rows, int64_t cols) {
    Matrix m = {0};
    m.host = malloc((size_t)rows * dtype_row_bytes(type, cols));
    m.values = malloc((size_t)(rows * cols) * sizeof *m.values);
    CHECK(m.host && m.values);
    dtype_random_blocks(type, m.host, rows * cols, test_random());
    dtype_to_floats(type, m.host, rows * cols, m.values);
    m.ref = backend_matrix(ref, (Mem){0}, 0, m.host, type, rows, cols);
    size_t bytes = backend_matrix_bytes(cuda, type, rows, cols);
    CHECK(bytes % 256 == 0);
    CHECK(backend_alloc(cuda, bytes + 256, &m.mem));
    m.device = backend_matrix(cuda, m.mem, 256, m.host, type, rows, cols);
    return m;
}

void close_matrix(Backend *cuda, Matrix *m) {
    backend_free(cuda, &m->mem);
    free(m->host), free(m->values);
}
