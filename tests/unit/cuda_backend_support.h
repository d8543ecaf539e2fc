/* What the tests of the CUDA backend share: a backend opened or the test failed, floats to the device and
 * back, and one matrix in the memory of two backends. */
#ifndef MUX_TESTS_CUDA_BACKEND_SUPPORT_H
#define MUX_TESTS_CUDA_BACKEND_SUPPORT_H

#include "kernels/cuda/cuda_internal.h"
#include "tests/unit/kernels_support.h"

typedef struct Matrix {
    void *host; /* GGUF rows */
    float *values;
    Tensor ref, device;
    Mem mem;
} Matrix;

Backend *open_named(const char *name);
Backend *open_cuda(void); /* what an earlier test did to the emulated GPU is undone first */
void wait_for(Backend *backend);
QueueCounters counters_of(Backend *backend);
size_t held_by(Backend *backend);
/* Device memory with `count` floats in it; and its contents, the caller's to free. */
float *put_floats(Backend *backend, Mem *mem, const float *values, int64_t count);
float *get_floats(Backend *backend, Mem mem);
double distance(const float *a, const float *b, int64_t count); /* ||a - b|| / ||b|| */
void random_small(float *out, int64_t count);
/* A random matrix in the memory of both. */
Matrix open_matrix(Backend *ref, Backend *cuda, DType type, int64_t rows, int64_t cols);
void close_matrix(Backend *cuda, Matrix *m);

#endif
