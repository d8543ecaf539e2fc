/* Backend: one compute device behind one queue, and the operations a decoder needs.
 *
 * Calling sequence: backend_open -> backend_info -> alloc / weights -> (backend_begin -> ops ->
 * backend_wait)*
 * -> backend_close. Operations only enqueue; the results and any failure are visible after backend_wait. The
 * CPU backends compute at once and wait does nothing. One Backend belongs to one thread at a time; two
 * backends are independent. Only alloc, reserve, commit and free may also be called by other threads
 * meanwhile: chats open and close while one runs.
 *
 * Backends: "cuda" (an NVIDIA GPU), "cpu" (thread pool, AVX2 or AVX-512 chosen at run time, portable C
 * otherwise), "ref" (plain C, one thread, sums in double over dequantised weights; the truth).
 *
 * Determinism: the same calls give the same bits. On "ref" and "cpu" the result of one row (one token) never
 * depends on how many rows travel with it, nor on the number of threads. On "cuda" that holds among batches
 * of 1 to BACKEND_EXACT_ROWS rows, which is what generation uses; larger batches go through tensor cores and
 * differ in the last digits (docs/kernels.md says by how much).
 *
 * Shapes: n = tokens in this batch, d = width. Activations are float32, row-major [n, width], and every
 * address given to an operation is in the backend's memory unless it is said to be the host's.
 */
#ifndef MUX_KERNELS_BACKEND_H
#define MUX_KERNELS_BACKEND_H

#include "kernels/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Batches up to this size give bit-equal rows on every backend. */
#define BACKEND_EXACT_ROWS 8

typedef struct Backend Backend;

typedef struct KernelError {
    char text[256]; /* one sentence; empty when nothing failed */
} KernelError;

typedef struct Mem {
    void *address; /* in the device's address space; NULL = none */
    size_t bytes;  /* usable */
    void *owner;   /* the backend's own bookkeeping */
} Mem;

typedef struct DeviceInfo {
    const char *name;       /* "ref", "cpu", "cuda" */
    char description[128];  /* "cpu, 2 threads, AVX-512 VNNI"; "cuda, NVIDIA H200, compute 9.0, 132 SMs" */
    int threads;            /* host threads; 0 = it is no host backend */
    size_t memory_bytes;    /* total; 0 when unknown */
    size_t memory_free;     /* when asked; 0 when unknown */
    bool is_host;           /* its addresses may be read and written by the host as they are */
    uint64_t kv_types;      /* bit t set: KvRows of DType t can be written and attended to */
    int kv_page_rows;       /* positions in one page of keys and values; 0 = rows are not paged */
    int compute_capability; /* 90 = 9.0; 0 = no CUDA device */
    int processors;         /* multiprocessors of a GPU; 0 otherwise */
    int clock_mhz, memory_clock_mhz; /* 0 = unknown */
} DeviceInfo;

typedef struct BackendConfig {
    const char *name; /* NULL = the best that opens: a CUDA device, else "cpu" */
    int threads;      /* 0 = processors available */
    int device;       /* which of the devices of that kind; 0 is the first */
    /* "cuda" only, words with commas between, NULL = none: "wgmma" (attention of large batches by the kernel
     * for compute 9.0), "wait-each" (wait after every launch, so that a failure names its kernel). */
    const char *gpu_options;
} BackendConfig;

Backend *backend_open(const BackendConfig *config, KernelError *error); /* NULL + sentence on failure */
void backend_close(Backend *backend);                                   /* NULL is fine */
void backend_info(const Backend *backend, DeviceInfo *out);
/* The CUDA devices of this machine, at most `capacity`; returns how many there are. When there are none, *why
 * says why in one sentence (no such build, no driver, driver too old, no device). With capacity 0 it only
 * counts; the free memory of a device is known once it was woken, which takes tenths of a second. */
int backend_cuda_devices(DeviceInfo *out, int capacity, KernelError *why);

/* ---- memory ---- */

/* Zeroed memory on the device, at least 256-byte aligned there (64 on the host). False: no room (out is
 * empty; backend_no_room says how much was needed and is free). */
bool backend_alloc(Backend *backend, size_t bytes, Mem *out);
/* A range of addresses of which nothing is usable yet (out->bytes = 0); backend_commit makes its first
 * `bytes` usable and zeroed where new. Contents and address stay. Commit fails when there is no room, and
 * leaves what was usable. */
bool backend_reserve(Backend *backend, size_t most, Mem *out);
bool backend_commit(Backend *backend, Mem *mem, size_t bytes);
void backend_free(Backend *backend, Mem *mem); /* of either kind; empties *mem; an empty one is fine */
/* "18.2 GB are needed and 11.0 GB are free on NVIDIA ..." for the failed request of `bytes`. */
void backend_no_room(Backend *backend, size_t bytes, KernelError *out);
/* Bytes of device memory this backend holds for its user, and for itself (workspaces). */
void backend_memory(const Backend *backend, size_t *held, size_t *own);
void backend_put(Backend *backend, Mem mem, size_t at, const void *bytes, size_t n);
void backend_get(Backend *backend, void *bytes, Mem mem, size_t at,
                 size_t n); /* bytes are there after wait */

/* ---- weights ---- */

/* Memory a matrix takes on the device (a multiple of 256); 0 when the backend uses the host's bytes in place.
 */
size_t backend_matrix_bytes(const Backend *backend, DType type, int64_t rows, int64_t cols);
/* Makes rows * cols host values in GGUF's layout usable as weights: a device copies them to mem + at
 * (at a multiple of 256), perhaps in another layout; the CPU aliases them (host must outlive the view). The
 * host bytes may be dropped after backend_wait. A vector of floats is a matrix of one row. */
Tensor backend_matrix(Backend *backend, Mem mem, size_t at, const void *host, DType type, int64_t rows,
                      int64_t cols);
/* The same filled with random blocks of usual size, for measuring: no value is read from the host. On a host
 * backend mem holds it (backend_matrix_bytes answers 0: the caller provides rows * dtype_row_bytes). */
Tensor backend_random_matrix(Backend *backend, Mem mem, size_t at, DType type, int64_t rows, int64_t cols,
                             uint64_t seed);

/* ---- steps ---- */

/* The ids and positions of the rows that the next operations work on, copied; the addresses returned are in
 * the backend's memory and hold until the next begin. The operations up to backend_wait are one step: a
 * device may collect them and replay a captured graph. n from 1 to BACKEND_STEP_ROWS. */
#define BACKEND_STEP_ROWS 2048
typedef struct StepInputs {
    const int32_t *ids, *positions; /* [n] */
} StepInputs;
StepInputs backend_begin(Backend *backend, const int32_t *ids, const int32_t *positions, int n);
/* Once is_wanted says true, a host leaves out what it has not begun of an operation: whatever the step
 * computed since then means nothing, and ids chosen in it (route) may be any number. Asked by many threads.
 * is_wanted NULL: never. Set between steps. */
typedef struct BackendStop {
    bool (*is_wanted)(const void *ctx);
    const void *ctx;
} BackendStop;
void backend_set_stop(Backend *backend, BackendStop stop);
/* Starts the work enqueued so far without waiting for it. */
void backend_flush(Backend *backend);
bool backend_wait(Backend *backend, KernelError *error);
/* After a failed wait: the device is gone, nothing in its memory can be used again; close and open anew. */
bool backend_is_lost(const Backend *backend);

/* ---- operations ---- */

typedef enum RopeKind { ROPE_NORM /* pairs (2i, 2i+1) */, ROPE_NEOX /* pairs (i, i + n_rot/2) */ } RopeKind;

/* out[n, weight.rows] = x[n, weight.cols] * weight^T (+ bias). bias: weight.rows floats or NULL. */
typedef struct MatMul {
    Tensor weight;
    const float *bias;
    float *out; /* row stride = out_stride floats */
    int64_t out_stride;
    bool accumulate; /* out += instead of out = (residual add) */
} MatMul;

/* The keys or values of one layer of one sequence. Position p lies at
 *   base + (pages ? pages[p / page_rows] * page_bytes + (p % page_rows) * row_bytes : p * row_bytes)
 * and holds row_values values: F32, F16, BF16, or Q8_0 with the row's int8 values first and its
 * row_values / 32 half scales behind them (the numbers of Q8_0 with 16-byte loads). */
typedef struct KvRows {
    void *base;
    DType type;
    int64_t row_values;   /* kv_heads * head width */
    size_t row_bytes;     /* kv_row_bytes(type, row_values) */
    const int32_t *pages; /* in the backend's memory; NULL = rows follow one another */
    int page_rows;
    size_t page_bytes; /* from one page to the next */
} KvRows;
/* Bytes of one row, a multiple of 16. */
size_t kv_row_bytes(DType type, int64_t row_values);

/* Causal grouped-query attention of n rows at consecutive positions:
 * out[i, h, :] = softmax(cap(q[i,h] . k[p] * scale), p in window) * v, kv head of h = h / (heads / kv_heads),
 * p from max(0, positions[i] - window + 1) to positions[i], cap(s) = softcap * tanh(s / softcap), float32
 * accumulation. A sink is one more logit per head that joins the denominator and brings no value. */
typedef struct Attend {
    float *out;     /* [n, heads, value_dim] */
    const float *q; /* [n, heads, head_dim] */
    KvRows keys, values;
    const int32_t *positions; /* positions[i] = positions[0] + i */
    int n, last_position;     /* last_position = positions[n - 1], for the host to plan with */
    int heads, kv_heads, head_dim, value_dim;
    float scale;
    int window;         /* 0 = all */
    float softcap;      /* 0 = none */
    const float *sinks; /* [heads] or NULL */
} Attend;

/* What happens to q, k and v between their projection and attention, in one go: RMSNorm of each head of q and
 * k (when the weights are given), rotation of q and k in place, and k and v written to the KV rows. */
typedef struct Remember {
    float *q, *k;                 /* [n, heads, head_dim], [n, kv_heads, head_dim] */
    const float *v;               /* [n, kv_heads, value_dim] */
    const float *q_norm, *k_norm; /* [head_dim] or NULL */
    float eps;
    KvRows keys, values;
    const int32_t *positions;
    int n, heads, kv_heads, head_dim, value_dim, n_rot;
    RopeKind kind;
    float base;
    const float *factors; /* [n_rot / 2] or NULL */
} Remember;

/* out[n, gate.rows] = silu(x gate^T) * (x up^T): the gated half of a SwiGLU feed-forward. */
typedef struct Gated {
    Tensor gate, up;
    float *out;
} Gated;

/* Chooses `used` of `experts` for each row: the largest of softmax(logits), the lowest index among equals, in
 * falling order; weights are those probabilities, divided by their sum when `normalise`. */
typedef struct Route {
    int32_t *ids;        /* [n, used] */
    float *weights;      /* [n, used] */
    const float *logits; /* [n, experts] */
    int n, experts, used;
    bool normalise;
} Route;

/* out[n, width] += sum over the chosen experts of weight * (silu(x gate^T) * (x up^T)) down^T. The matrices
 * of all experts lie one behind the other: gate.rows = experts * feed_forward. */
typedef struct Experts {
    Tensor gate, up, down;
    const int32_t *ids;
    const float *weights;
    const float *x; /* [n, width] */
    float *out;     /* [n, width] */
    float *hidden;  /* working space [n * used, feed_forward] */
    int n, experts, used;
} Experts;

/* One token out of a row of logits, in the order engine/sample.h states: mask, top-k, top-p, min-p,
 * temperature, draw. */
typedef struct Pick {
    const float *logits; /* [count] */
    int64_t count;
    const uint64_t *mask; /* host bits, copied: bit i set = i may be chosen; NULL = all */
    float temperature;    /* 0 = the largest, the lowest index among equals */
    int top_k;            /* 0 = off */
    float top_p, min_p;   /* 0 = off; top_p 1 = off */
    double random;        /* [0, 1): where the draw falls */
} Pick;

typedef struct Ops {
    /* out[i, :] = dequantised row ids[i] of table, i < n. ids must be < table.rows (checked by the caller).
     */
    void (*embed)(Backend *, float *out, Tensor table, const int32_t *ids, int n);
    /* RMSNorm of `rows` rows of width d: out = x / sqrt(mean(x^2) + eps) * weight. out may be x.
     * (Zhang & Sennrich 2019). Used with rows = n * heads, d = head_dim for per-head q/k norms. */
    void (*rms_norm)(Backend *, float *out, const float *x, const float *weight, int64_t rows, int64_t d,
                     float eps);
    /* Up to 8 products of the same x[n, cols] (stride x_stride floats). "cpu" and "cuda" may round x once to
     * 8 bits for quantised weights (blocks of 32, d = amax / 127 kept as float, nearest even); "cuda" rounds
     * x to the weights' own half type in large batches; "ref" does not round. */
    void (*matmul)(Backend *, const MatMul *jobs, int job_count, const float *x, int64_t x_stride, int n);
    /* Rotates x[n, heads, head_dim] in place; the first n_rot values of each head turn by
     * positions[i] * base^(-2j/n_rot) / factors[j] (factors NULL = 1; n_rot/2 of them). RoFormer, Su et al.
     * 2021. */
    void (*rope)(Backend *, float *x, const int32_t *positions, int n, int heads, int head_dim, int n_rot,
                 RopeKind kind, float base, const float *factors);
    /* kv row positions[i] = x[i, :] in the row's type, row_values wide. */
    void (*kv_write)(Backend *, KvRows kv, const float *x, const int32_t *positions, int n);
    void (*attend)(Backend *, const Attend *);
    /* out = silu(gate) * up over n * d values; out may be gate. SwiGLU, Shazeer 2020. */
    void (*swiglu)(Backend *, float *out, const float *gate, const float *up, int64_t count);
    void (*add)(Backend *, float *out, const float *x, int64_t count); /* out += x */
    void (*route)(Backend *, const Route *);
    void (*experts)(Backend *, const Experts *);
    /* Optional; NULL = the caller composes it from the others. */
    void (*remember)(Backend *, const Remember *);
    void (*gated)(Backend *, const Gated *, const float *x, int64_t x_stride, int n);
    /* *id (host memory) holds the choice after backend_wait; -1 = no allowed logit is finite. */
    void (*pick)(Backend *, int32_t *id, const Pick *);
} Ops;

const Ops *backend_ops(const Backend *backend);

/* Bandwidth of this device in bytes per second, measured: reading a large buffer with the backend's threads
 * on a host, a device-to-device copy (bytes read plus bytes written) on a GPU. For bench. */
double backend_read_bandwidth(Backend *backend);

#ifdef __cplusplus
}
#endif

#endif
