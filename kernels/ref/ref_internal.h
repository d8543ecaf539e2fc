/* The reference backend: each operation as its formula reads, one thread, sums in double. Keys and values may
 * lie in pages, in any type that KvRows may have.
 */
#ifndef MUX_KERNELS_REF_INTERNAL_H
#define MUX_KERNELS_REF_INTERNAL_H

#include "kernels/host_internal.h"

typedef struct RefBackend {
    HostBackend host;
    Scratch scratch;
} RefBackend;

void ref_embed(Backend *, float *out, Tensor table, const int32_t *ids, int n);
void ref_rms_norm(Backend *, float *out, const float *x, const float *weight, int64_t rows, int64_t d,
                  float eps);
void ref_matmul(Backend *, const MatMul *jobs, int job_count, const float *x, int64_t x_stride, int n);
void ref_rope(Backend *, float *x, const int32_t *positions, int n, int heads, int head_dim, int n_rot,
              RopeKind kind, float base, const float *factors);
void ref_kv_write(Backend *, KvRows kv, const float *x, const int32_t *positions, int n);
void ref_attend(Backend *, const Attend *);
void ref_swiglu(Backend *, float *out, const float *gate, const float *up, int64_t count);
void ref_add(Backend *, float *out, const float *x, int64_t count);
void ref_route(Backend *, const Route *);
void ref_experts(Backend *, const Experts *);

static inline const uint8_t *ref_tensor_row(Tensor tensor, int64_t row) {
    return (const uint8_t *)tensor.data + (size_t)row * tensor.row_bytes;
}

#endif
