/* The cpu backend: cpu.c and the operation files cut each operation into items for the thread pool; the
 * arithmetic of an item is behind a table of functions, filled with portable C and then overridden by what
 * the processor offers.
 *
 * Every function computes one output value in one fixed order of additions, whatever the number of rows or
 * tokens it is called with; so results depend on the level, never on batch size or threads.
 */
#ifndef MUX_KERNELS_CPU_INTERNAL_H
#define MUX_KERNELS_CPU_INTERNAL_H

#include "kernels/backend_internal.h"
#include "kernels/cpu/pool.h"

enum {
    QUANT_BLOCK = 32,
    KEY_BLOCK = 64,      /* keys in one step of attention */
    ATTEND_MAX_ROWS = 64 /* query rows in one tile, unless one token has more heads per key head */
};

/* Activations in 8 bits, blocks of 32 along the row: d = amax / 127 kept as float, q = x / d rounded to
 * nearest even. */
typedef struct QuantRows {
    int8_t *q;        /* [n, cols] */
    float *d;         /* [n, cols / 32] */
    int32_t *offsets; /* [n, cols / 32]: -128 * sum of q, what weights shifted to 0..255 add too much */
    int64_t cols;
} QuantRows;

/* Query rows that share one key head, with their running softmax. Padded = head_dim rounded up to 16. */
typedef struct AttendTile {
    int rows, head_dim, padded;
    float *q;       /* [rows, padded], times scale * log2(e) */
    float *sum;     /* [rows, padded]: weighted values so far */
    float *largest; /* [rows]: largest score so far, in powers of two */
    float *total;   /* [rows]: sum of weights so far */
    int *last;      /* [rows]: last position the row may see */
    float *keys;    /* [padded, KEY_BLOCK] working space */
    float *values;  /* [KEY_BLOCK, padded] working space */
    float *scores;  /* [rows, KEY_BLOCK] working space */
} AttendTile;

typedef struct CpuKernels {
    const char *name;
    void (*quantize)(QuantRows out, int64_t row, const float *x);
    /* Rows row0 .. row1 of job times n tokens; pack is working space of pack_bytes(cols). */
    void (*matmul_quant)(const MatMul *job, int64_t row0, int64_t row1, QuantRows x, int n, void *pack);
    void (*matmul_float)(const MatMul *job, int64_t row0, int64_t row1, const float *x, int64_t x_stride,
                         int n);
    size_t (*pack_bytes)(int64_t cols);
    /* Keys start .. start + count - 1 (count <= KEY_BLOCK, start a multiple of it) join the tile; the rows
     * given begin at start and at the tile's head. */
    void (*attend_block)(AttendTile *tile, KvRows keys, KvRows values, int start, int count);
    void (*rms_norm)(float *out, const float *x, const float *weight, int64_t d, float eps);
    void (*swiglu)(float *out, const float *gate, const float *up, int64_t count);
    void (*add)(float *out, const float *x, int64_t count);
    void (*halves_from_floats)(uint16_t *out, const float *x, int64_t count);
    void (*to_floats)(DType type, const void *blocks, int64_t values, float *out);
    uint64_t (*read_sum)(const void *bytes, size_t n); /* reads every byte, for measuring */
} CpuKernels;

typedef enum CpuLevel { CPU_LEVEL_C, CPU_LEVEL_AVX2, CPU_LEVEL_AVX512, CPU_LEVEL_COUNT } CpuLevel;

/* The turns of the last rope call: every layer of one step asks for the same. */
typedef struct RopeTable {
    Scratch turns; /* float cosine, sine pairs: [n, n_rot / 2, 2] */
    Scratch key;   /* positions and factors the turns were made for */
    int n, n_rot;
    float base;
    bool has_factors;
} RopeTable;

typedef struct CpuBackend {
    Backend base;
    Pool *pool;
    CpuLevel level;
    CpuKernels kernels;
    Scratch activations; /* QuantRows of the running matmul */
    Scratch *workers;    /* one per thread */
    RopeTable rope;
} CpuBackend;

void cpu_kernels_c(CpuKernels *kernels);
#if defined(__x86_64__)
void cpu_kernels_avx2(CpuKernels *kernels);
void cpu_kernels_avx512(CpuKernels *kernels);
#endif
/* For tests: uses this level from now on; false when the processor lacks it. */
bool cpu_force_level(Backend *backend, CpuLevel level);

/* Room for every worker; false with the failure recorded. */
bool cpu_reserve_workers(CpuBackend *cpu, size_t bytes);

void cpu_embed(Backend *, float *out, Tensor table, const int32_t *ids, int n);
void cpu_rms_norm(Backend *, float *out, const float *x, const float *weight, int64_t rows, int64_t d,
                  float eps);
void cpu_matmul(Backend *, const MatMul *jobs, int job_count, const float *x, int64_t x_stride, int n);
void cpu_rope(Backend *, float *x, const int32_t *positions, int n, int heads, int head_dim, int n_rot,
              RopeKind kind, float base, const float *factors);
void cpu_kv_write(Backend *, KvRows kv, const float *x, const int32_t *positions, int n);
void cpu_attend(Backend *, float *out, const float *q, KvRows keys, KvRows values, const int32_t *positions,
                int n, int heads, int kv_heads, int head_dim, float scale);
void cpu_swiglu(Backend *, float *out, const float *gate, const float *up, int64_t count);
void cpu_add(Backend *, float *out, const float *x, int64_t count);

static inline const uint8_t *tensor_row(const Tensor *tensor, int64_t row) {
    return (const uint8_t *)tensor->data + (size_t)row * tensor->row_bytes;
}

/* The end of every product: bias, then the sum that was there. */
static inline void matmul_store(const MatMul *job, int64_t row, int token, float value) {
    float *out = job->out + token * job->out_stride + row;
    if (job->bias)
        value += job->bias[row];
    *out = job->accumulate ? *out + value : value;
}

#endif
