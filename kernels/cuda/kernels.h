/* Kernels: the launchers that the backend's operations are made of. One section per file.
 *
 * Each only enqueues on the queue. Addresses are device memory. A launcher answers false when it has no
 * kernel for what was asked (type, head size); the caller then takes another way.
 */
#ifndef MUX_KERNELS_CUDA_KERNELS_H
#define MUX_KERNELS_CUDA_KERNELS_H

#include "kernels/backend.h"
#include "kernels/cuda/queue.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Activations rounded to 8 bits in blocks of 32 along the row: d = amax / 127, q = x / d to nearest even. */
typedef struct Q8Rows {
    int8_t *q;    /* [n, cols] */
    float *scale; /* [n, cols / 32, 2]: d, and d * (sum of the block's q) */
    int64_t cols;
} Q8Rows;

/* ---- embed.cu ---- */
typedef struct EmbedArgs {
    Tensor table;
    const int32_t *ids;
    float *out;
    int n;
} EmbedArgs;
bool cuda_embed(CudaQueue *queue, const EmbedArgs *args);

/* ---- norm.cu ---- */
typedef struct NormArgs {
    float *out;
    const float *x, *weight;
    int64_t rows, d;
    float eps;
    Q8Rows q8; /* q8.q not NULL: the result rounded to 8 bits as well (d a multiple of 32) */
} NormArgs;
bool cuda_rms_norm(CudaQueue *queue, const NormArgs *args); /* d up to 16384 */

/* ---- elements.cu ---- */
bool cuda_add(CudaQueue *queue, float *out, const float *x, int64_t count);
bool cuda_swiglu(CudaQueue *queue, float *out, const float *gate, const float *up, int64_t count);
/* x[n, cols] (stride) to 8 bits, or to out[n, cols] in F16 or BF16, whose rows lie layout_round16(2 * cols)
 * bytes apart, zeros behind the values. */
bool cuda_quantize(CudaQueue *queue, Q8Rows out, const float *x, int64_t x_stride, int n);
bool cuda_to_half(CudaQueue *queue, void *out, DType type, const float *x, int64_t x_stride, int64_t cols,
                  int n);

/* ---- rope.cu ---- */
typedef struct RopeArgs {
    float *x;
    const int32_t *positions;
    int n, heads, head_dim, n_rot;
    RopeKind kind;
    float base;
    const float *factors;
} RopeArgs;
bool cuda_rope(CudaQueue *queue, const RopeArgs *args);
bool cuda_kv_write(CudaQueue *queue, KvRows kv, const float *x, const int32_t *positions, int n);
bool cuda_remember(CudaQueue *queue, const Remember *args);

/* ---- gemv.cu: products with 1 to BACKEND_EXACT_ROWS rows of x; every row's sum is made in one order ---- */
typedef struct GemvArgs {
    MatMul jobs[8];
    int job_count;  /* all of one weight type, all with the same cols */
    Tensor up;      /* gated: job 0 is the gate, out = silu(gate) * up; up.data NULL otherwise */
    const float *x; /* F32, F16, BF16 weights */
    int64_t x_stride;
    Q8Rows q8; /* quantised weights; q8.cols = cols */
    int n;
} GemvArgs;
bool cuda_gemv_float(CudaQueue *queue, const GemvArgs *args); /* gemv_float.cu */
bool cuda_gemv_quant(CudaQueue *queue, const GemvArgs *args); /* gemv_quant.cu */

/* ---- mma_quant.cu: quantised weights times 9 and more rows of 8-bit activations, int8 tensor cores ---- */
bool cuda_mma_quant(CudaQueue *queue, const GemvArgs *args);

/* ---- gemm.cu: out[n, rows] = x[n, cols] weight^T with weight and x in one of F16, BF16, F32 ---- */
typedef struct GemmArgs {
    Tensor weight; /* F16, BF16 or F32; row_bytes a multiple of 16 */
    const void *x; /* [n, cols] of the same type, rows x_row_bytes apart (a multiple of 16) */
    int64_t x_row_bytes;
    const float *bias;
    float *out;
    int64_t out_stride;
    bool accumulate;
    int n;
} GemmArgs;
bool cuda_gemm(CudaQueue *queue, const GemmArgs *args);
/* Rows row0 .. row0 + rows - 1 of a quantised matrix as F16 or BF16, rows out_row_bytes apart (dequant.cu).
 */
bool cuda_dequantize(CudaQueue *queue, Tensor weight, int64_t row0, int64_t rows, void *out, DType type,
                     int64_t out_row_bytes);

/* ---- repack.cu: GGUF rows, already on the device, into the layout of layout.h ---- */
bool cuda_repack(CudaQueue *queue, Tensor out, const void *gguf_rows, DType gguf_type, int64_t row0,
                 int64_t rows);
/* Fills a device matrix with random blocks of usual size. */
bool cuda_fill_random(CudaQueue *queue, Tensor out, uint64_t seed);

/* ---- attention_*.cu ---- */
/* Any n; tiles of queries against tiles of keys with mma.sync. F16, BF16, Q8_0 rows (and F32, slowly). */
bool cuda_attend_prefill(CudaQueue *queue, const Attend *args);
/* n <= BACKEND_EXACT_ROWS; the keys in splits of fixed size, joined in order. partial: working space of
 * cuda_attend_partial_bytes. */
bool cuda_attend_decode(CudaQueue *queue, const Attend *args, void *partial);
size_t cuda_attend_partial_bytes(int n, int heads, int value_dim, int last_position);
/* compute 9.0: wgmma, TMA. maps_* come from the host (tensor maps of the key and value rows). */
bool cuda_attend_hopper(CudaQueue *queue, const Attend *args, const void *key_map, const void *value_map);

/* ---- moe.cu ---- */
bool cuda_route(CudaQueue *queue, const Route *args); /* up to 512 experts, 32 of them used */
typedef struct ExpertArgs {
    Experts experts;
    Q8Rows q8;        /* of x, for quantised gate and up */
    Q8Rows hidden_q8; /* [n * used]: for quantised down; filled by this call */
    int32_t *order;   /* working space [experts + 1 + n * used]: rows grouped by expert */
    float *partial;   /* working space of cuda_experts_partial_bytes, for n > BACKEND_EXACT_ROWS; NULL = work
                         through the rows BACKEND_EXACT_ROWS at a time (slow) */
} ExpertArgs;
/* width, and feed_forward where down is F32, F16 or BF16, are multiples of 8. */
bool cuda_experts(CudaQueue *queue, const ExpertArgs *args);
size_t cuda_experts_partial_bytes(const Experts *experts); /* 0 when n <= BACKEND_EXACT_ROWS */

/* ---- sample.cu ---- */
typedef struct PickArgs {
    const float *logits;
    int64_t count;
    const uint64_t *mask; /* device bits or NULL */
    float temperature;
    int top_k;
    float top_p, min_p;
    const double *random; /* device: changes every step */
    void *scratch;        /* cuda_pick_scratch_bytes(count) */
    int32_t *id;          /* device */
} PickArgs;
bool cuda_pick(CudaQueue *queue, const PickArgs *args); /* fewer than 2^24 logits */
size_t cuda_pick_scratch_bytes(int64_t count);

#ifdef __cplusplus
}
#endif
#endif
