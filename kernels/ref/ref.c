#include "kernels/ref/ref_internal.h"

#include <stdio.h>
#include <stdlib.h>

static Backend *ref_open(const BackendConfig *config, KernelError *error) {
    (void)config;
    RefBackend *ref = calloc(1, sizeof *ref);
    if (!ref) {
        kernel_error_set(error, "no memory to open the backend");
        return NULL;
    }
    ref->base.kind = &REF_BACKEND;
    ref->base.ops = (Ops){.embed = ref_embed,
                          .rms_norm = ref_rms_norm,
                          .matmul = ref_matmul,
                          .rope = ref_rope,
                          .kv_write = ref_kv_write,
                          .attend = ref_attend,
                          .swiglu = ref_swiglu,
                          .add = ref_add};
    return &ref->base;
}

static void ref_close(Backend *backend) {
    RefBackend *ref = (RefBackend *)backend;
    scratch_free(&ref->scratch);
    free(ref);
}

static void ref_info(const Backend *backend, DeviceInfo *out) {
    (void)backend;
    *out = (DeviceInfo){.name = "ref", .threads = 1};
    snprintf(out->description, sizeof out->description, "reference, 1 thread, plain C");
}

static double ref_read_bandwidth(Backend *backend) {
    enum { BYTES = 64 << 20 };
    Mem mem;
    if (!host_alloc(backend, BYTES, &mem))
        return 0;
    const uint64_t *words = mem.address;
    double start = host_seconds();
    volatile uint64_t sum = 0;
    uint64_t total = 0;
    for (size_t i = 0; i < BYTES / sizeof *words; i++)
        total += words[i];
    sum = total;
    (void)sum;
    double seconds = host_seconds() - start;
    host_free(backend, &mem);
    return seconds > 0 ? BYTES / seconds : 0;
}

const BackendKind REF_BACKEND = {.name = "ref",
                                 .open = ref_open,
                                 .close = ref_close,
                                 .info = ref_info,
                                 .alloc = host_alloc,
                                 .weights = host_weights,
                                 .free = host_free,
                                 .put = host_put,
                                 .get = host_get,
                                 .read_bandwidth = ref_read_bandwidth};
