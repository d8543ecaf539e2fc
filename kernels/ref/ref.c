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
    ref->host.base.kind = &REF_BACKEND;
    ref->host.base.ops = (Ops){.embed = ref_embed,
                               .rms_norm = ref_rms_norm,
                               .matmul = ref_matmul,
                               .rope = ref_rope,
                               .kv_write = ref_kv_write,
                               .attend = ref_attend,
                               .swiglu = ref_swiglu,
                               .add = ref_add,
                               .route = ref_route,
                               .experts = ref_experts};
    return &ref->host.base;
}

static void ref_close(Backend *backend) {
    RefBackend *ref = (RefBackend *)backend;
    scratch_free(&ref->host, &ref->scratch);
    free(ref);
}

static void ref_info(const Backend *backend, DeviceInfo *out) {
    (void)backend;
    *out = (DeviceInfo){.name = "ref", .threads = 1, .is_host = true};
    out->kv_types = 1ull << DTYPE_F32 | 1ull << DTYPE_F16 | 1ull << DTYPE_BF16 | 1ull << DTYPE_Q8_0;
    host_memory_facts(&out->memory_bytes, &out->memory_free);
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
                                 .reserve = host_reserve,
                                 .commit = host_commit,
                                 .free = host_free,
                                 .no_room = host_no_room,
                                 .memory = host_memory,
                                 .put = host_put,
                                 .get = host_get,
                                 .matrix_bytes = host_matrix_bytes,
                                 .matrix = host_matrix,
                                 .random_matrix = host_random_matrix,
                                 .begin = host_begin,
                                 .read_bandwidth = ref_read_bandwidth};
