/* Backend: one compute device behind one queue, and the operations a decoder needs.
 *
 * Calling sequence: backend_open -> backend_info -> alloc / weights -> (ops)* -> backend_wait -> ... ->
 * backend_close. Operations only enqueue; the results and any failure are visible after backend_wait. The CPU
 * backends compute at once and wait does nothing. One Backend belongs to one thread at a time; two backends
 * are independent. Only alloc, weights and free may also be called by other threads meanwhile: chats open and
 * close while one runs.
 *
 * Backends: "ref" (plain C, one thread, sums in double over dequantised weights; the truth), "cpu" (thread
 * pool, AVX2 or AVX-512 chosen at run time, portable C otherwise).
 *
 * Determinism: the result of one row (one token) never depends on how many rows travel with it, nor on the
 * number of threads: matmul, attend and norm of a batch equal the same operations row by row, bit for bit,
 * within one backend and instruction set. Prefix reuse, rewind and replay rely on it.
 *
 * Shapes: n = tokens in this batch, d = width. Activations are float32, row-major [n, width].
 */
#ifndef MUX_KERNELS_BACKEND_H
#define MUX_KERNELS_BACKEND_H

#include "kernels/tensor.h"

typedef struct Backend Backend;

typedef struct KernelError {
    char text[256]; /* one sentence; empty when nothing failed */
} KernelError;

typedef struct Mem {
    void *address; /* in the device's address space; NULL = none */
    size_t bytes;
    void *owner; /* the backend's own bookkeeping */
} Mem;

typedef struct DeviceInfo {
    const char *name;      /* "ref", "cpu" */
    char description[128]; /* "cpu, 2 threads, AVX-512 VNNI" */
    int threads;
    size_t memory_bytes; /* total; 0 when unknown */
} DeviceInfo;

typedef struct BackendConfig {
    const char *name; /* "ref", "cpu"; NULL = best available ("cpu") */
    int threads;      /* 0 = processors available */
    int device;       /* 0 */
} BackendConfig;

Backend *backend_open(const BackendConfig *config, KernelError *error); /* NULL + sentence on failure */
void backend_close(Backend *backend);                                   /* NULL is fine */
void backend_info(const Backend *backend, DeviceInfo *out);

/* Zeroed memory on the device, at least 64-byte aligned. False: no room (out is empty). */
bool backend_alloc(Backend *backend, size_t bytes, Mem *out);
/* Makes host bytes (a mapped model file) usable as weights: the CPU aliases them (host must outlive the Mem),
 * a device copies. */
bool backend_weights(Backend *backend, const void *host, size_t bytes, Mem *out);
void backend_free(Backend *backend, Mem *mem); /* empties *mem; an empty one is fine */
void backend_put(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n);
void backend_get(Backend *backend, void *bytes, Mem mem, size_t at, size_t n);
bool backend_wait(Backend *backend, KernelError *error);

typedef enum RopeKind { ROPE_NORM /* pairs (2i, 2i+1) */, ROPE_NEOX /* pairs (i, i + n_rot/2) */ } RopeKind;

/* out[n, weight.rows] = x[n, weight.cols] * weight^T (+ bias). bias: weight.rows floats or NULL. */
typedef struct MatMul {
    Tensor weight;
    const float *bias;
    float *out; /* row stride = out_stride floats */
    int64_t out_stride;
    bool accumulate; /* out += instead of out = (residual add) */
} MatMul;

/* The keys or values of one layer of one sequence: rows [capacity, kv_heads * head_dim], in half precision,
 * or in float32 when rows_f32 is set (models whose weights are all float32, so that nothing is rounded on the
 * way). */
typedef struct KvRows {
    uint16_t *rows; /* position p at rows + p * row_values */
    int64_t row_values;
    float *rows_f32; /* not NULL: the rows are here and `rows` is not used; keys and values alike */
} KvRows;

typedef struct Ops {
    /* out[i, :] = dequantised row ids[i] of table, i < n. ids must be < table.rows (checked by the caller).
     */
    void (*embed)(Backend *, float *out, Tensor table, const int32_t *ids, int n);
    /* RMSNorm of `rows` rows of width d: out = x / sqrt(mean(x^2) + eps) * weight. out may be x.
     * (Zhang & Sennrich 2019). Used with rows = n * heads, d = head_dim for per-head q/k norms. */
    void (*rms_norm)(Backend *, float *out, const float *x, const float *weight, int64_t rows, int64_t d,
                     float eps);
    /* Up to 8 products of the same x[n, cols] (stride x_stride floats). The cpu backend rounds x once to 8
     * bits for Q8_0 and Q4_0 weights (blocks of 32, d = amax / 127 kept as float, nearest even); other types
     * and "ref" do not round. */
    void (*matmul)(Backend *, const MatMul *jobs, int job_count, const float *x, int64_t x_stride, int n);
    /* Rotates x[n, heads, head_dim] in place; the first n_rot values of each head turn by
     * positions[i] * base^(-2j/n_rot) / factors[j] (factors NULL = 1; n_rot/2 of them). RoFormer, Su et al.
     * 2021. */
    void (*rope)(Backend *, float *x, const int32_t *positions, int n, int heads, int head_dim, int n_rot,
                 RopeKind kind, float base, const float *factors);
    /* kv.rows[positions[i]] = half(x[i, :]), row_values wide. */
    void (*kv_write)(Backend *, KvRows kv, const float *x, const int32_t *positions, int n);
    /* Causal grouped-query attention: out[i, h, :] = softmax(q[i,h] . k[0..positions[i]] * scale) * v,
     * float32 accumulation, q and out [n, heads, head_dim], kv head of h = h / (heads / kv_heads). */
    void (*attend)(Backend *, float *out, const float *q, KvRows keys, KvRows values,
                   const int32_t *positions, int n, int heads, int kv_heads, int head_dim, float scale);
    /* out = silu(gate) * up over n * d values; out may be gate. SwiGLU, Shazeer 2020. */
    void (*swiglu)(Backend *, float *out, const float *gate, const float *up, int64_t count);
    void (*add)(Backend *, float *out, const float *x, int64_t count); /* out += x */
} Ops;

const Ops *backend_ops(const Backend *backend);

/* Read bandwidth of this machine in bytes per second, measured over a large buffer with the backend's threads
 * (bench). */
double backend_read_bandwidth(Backend *backend);

#endif
