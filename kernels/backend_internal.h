/* What a backend offers to backend.c. A backend is one folder exporting one BackendKind, plus one line in the
 * list of backend.c. Its state begins with a Backend.
 */
#ifndef MUX_KERNELS_BACKEND_INTERNAL_H
#define MUX_KERNELS_BACKEND_INTERNAL_H

#include "kernels/backend.h"

typedef struct BackendKind {
    const char *name;
    Backend *(*open)(const BackendConfig *config, KernelError *error);
    void (*close)(Backend *backend);
    void (*info)(const Backend *backend, DeviceInfo *out);
    bool (*alloc)(Backend *backend, size_t bytes, Mem *out);
    bool (*weights)(Backend *backend, const void *host, size_t bytes, Mem *out);
    void (*free)(Backend *backend, Mem *mem);
    void (*put)(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n);
    void (*get)(Backend *backend, void *bytes, Mem mem, size_t at, size_t n);
    double (*read_bandwidth)(Backend *backend);
} BackendKind;

struct Backend {
    const BackendKind *kind;
    Ops ops;
    KernelError failure; /* sticky until backend_wait reports it */
};

extern const BackendKind REF_BACKEND, CPU_BACKEND;

/* The first failure since the last wait is kept, later ones are its consequences. */
void backend_fail(Backend *backend, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool kernel_error_set(KernelError *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Memory of backends that compute in host memory. */
bool host_alloc(Backend *backend, size_t bytes, Mem *out);
bool host_weights(Backend *backend, const void *host, size_t bytes, Mem *out);
void host_free(Backend *backend, Mem *mem);
void host_put(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n);
void host_get(Backend *backend, void *bytes, Mem mem, size_t at, size_t n);
double host_seconds(void); /* monotonic */

/* A buffer that only grows, for the working space of operations. Old contents are lost when it moves. */
typedef struct Scratch {
    void *address; /* 64-byte aligned */
    size_t bytes;
} Scratch;

/* NULL, with the failure recorded, when memory runs out. */
void *scratch_reserve(Backend *backend, Scratch *scratch, size_t bytes);
void scratch_free(Scratch *scratch);

/* Plain C conversion of `blocks` whole blocks to floats. */
void dtype_to_floats(DType type, const void *blocks, int64_t values, float *out);

#endif
