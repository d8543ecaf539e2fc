/* What a backend offers to backend.c. A backend is one folder exporting one BackendKind, plus one line in the
 * list of backend.c. Its state begins with a Backend.
 */
#ifndef MUX_KERNELS_BACKEND_INTERNAL_H
#define MUX_KERNELS_BACKEND_INTERNAL_H

#include <string.h>

#include "kernels/backend.h"

/* Each entry does what backend.h says of the function of its name; backend.c has checked what can be checked
 * without knowing the device: copies fit their memory, a step has 1 to BACKEND_STEP_ROWS rows. */
typedef struct BackendKind {
    const char *name;
    Backend *(*open)(const BackendConfig *config, KernelError *error);
    void (*close)(Backend *backend);
    void (*info)(const Backend *backend, DeviceInfo *out);
    bool (*alloc)(Backend *backend, size_t bytes, Mem *out); /* *out is empty at the call, and on failure */
    bool (*reserve)(Backend *backend, size_t most, Mem *out);
    bool (*commit)(Backend *backend, Mem *mem, size_t bytes); /* called only with bytes > mem->bytes */
    void (*free)(Backend *backend, Mem *mem);                 /* mem->address is not NULL */
    void (*no_room)(Backend *backend, size_t bytes, KernelError *out);
    void (*memory)(const Backend *backend, size_t *held, size_t *own);
    void (*put)(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n);
    void (*get)(Backend *backend, void *bytes, Mem mem, size_t at, size_t n);
    size_t (*matrix_bytes)(const Backend *backend, DType type, int64_t rows, int64_t cols);
    Tensor (*matrix)(Backend *backend, Mem mem, size_t at, const void *host, DType type, int64_t rows,
                     int64_t cols);
    Tensor (*random_matrix)(Backend *backend, Mem mem, size_t at, DType type, int64_t rows, int64_t cols,
                            uint64_t seed);
    StepInputs (*begin)(Backend *backend, const int32_t *ids, const int32_t *positions, int n);
    void (*set_stop)(Backend *backend, BackendStop stop); /* NULL: steps run to their end */
    void (*flush)(Backend *backend);                      /* NULL: nothing is ever pending */
    void (*wait)(Backend *backend);          /* failures go to backend_fail; NULL: nothing is ever pending */
    bool (*is_lost)(const Backend *backend); /* NULL: never */
    double (*read_bandwidth)(Backend *backend);
} BackendKind;

struct Backend {
    const BackendKind *kind;
    Ops ops;
    KernelError failure; /* sticky until backend_wait reports it */
};

/* CUDA_BACKEND and cuda_devices come from one of several libraries, chosen when the program is linked: the
 * real one, or one that says why there is none. */
extern const BackendKind REF_BACKEND, CPU_BACKEND, CUDA_BACKEND;
int cuda_devices(DeviceInfo *out, int capacity, KernelError *why); /* as backend_cuda_devices */

/* The first failure since the last wait is kept, later ones are its consequences. Only for the thread that
 * owns the backend. */
void backend_fail(Backend *backend, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Always false. */
bool kernel_error_set(KernelError *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "18.2 GB are needed and 11.0 GB are free on WHERE" */
void kernel_error_room(KernelError *error, size_t needed, size_t available, const char *where);

double host_seconds(void); /* monotonic */

/* Plain C conversion of `values` values (whole blocks) to floats. */
void dtype_to_floats(DType type, const void *blocks, int64_t values, float *out);
/* The scale and the min of sub-block j (0..7) of a Q4_K or Q5_K block out of its 12 packed bytes. */
void k_scale_and_min(const uint8_t *packed, int j, int *scale, int *min);
/* Twice the value of each MXFP4 nibble, and half the scale of its exponent byte: integers and an exact power
 * of two, subnormal for 0 and 1. */
extern const int8_t E2M1_DOUBLED[16];
static inline float mxfp4_half_scale(uint8_t exponent) {
    uint32_t bits = exponent >= 2 ? (uint32_t)(exponent - 1) << 23 : 0x00200000u << exponent;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}
/* Fills whole blocks with random values of usual size for the type: about standard deviation 0.02. */
void dtype_random_blocks(DType type, void *blocks, int64_t values, uint64_t seed);

#endif
