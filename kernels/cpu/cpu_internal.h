/* The cpu backend: cpu.c and the operation files cut each operation into items for the thread pool; the
 * arithmetic of an item is behind a table of functions, filled with portable C and then overridden by what
 * the processor offers.
 *
 * Every function computes one output value in one fixed order of additions, whatever the number of rows or
 * tokens it is called with; so results depend on the level, never on batch size or threads.
 */
#ifndef MUX_KERNELS_CPU_INTERNAL_H
#define MUX_KERNELS_CPU_INTERNAL_H

#include "kernels/cpu/pool.h"
#include "kernels/host_internal.h"

enum {
    QUANT_BLOCK = 32,
    KEY_BLOCK = 64,      /* keys in one step of attention */
    ATTEND_MAX_ROWS = 64 /* query rows in one tile, unless one token has more heads per key head */
};

/* Activations in 8 bits, blocks of 32 along the row: d = amax / 127 kept as float, q = x / d rounded to
 * nearest even. */
typedef struct QuantRows {
    int8_t *q;             /* [n, cols] */
    float *d;              /* [n, cols / 32] */
    int32_t *offsets;      /* [n, cols / 32]: -128 * sum of q, what weights shifted to 0..255 add too much */
    int32_t *half_offsets; /* [n, cols / 16]: the same of half blocks, for weights scaled by sixteens */
    int64_t cols;
} QuantRows;

/* Query rows that share one key head, with their running softmax. Padded = a width rounded up to 16. */
typedef struct AttendTile {
    int rows, head_dim, value_dim, padded, value_padded;
    float softcap;     /* of scores in powers of two; 0 = none */
    float *q;          /* [rows, padded], times scale * log2(e) */
    float *sum;        /* [rows, value_padded]: weighted values so far */
    float *largest;    /* [rows]: largest score so far, in powers of two */
    float *total;      /* [rows]: sum of weights so far */
    int *first, *last; /* [rows]: positions the row may see */
    float *keys;       /* [padded, KEY_BLOCK] working space */
    float *values;     /* [KEY_BLOCK, value_padded] working space */
    float *scores;     /* [rows, KEY_BLOCK] working space */
} AttendTile;

/* Some columns of rows one behind the other, F16 or F32. */
typedef struct KvBlock {
    const char *at;
    size_t row_bytes;
    bool is_f32;
} KvBlock;

/* Of the keys of one block, those that a row sees; none when from >= to. */
typedef struct KeySpan {
    int from, to;
} KeySpan;

typedef struct CpuKernels {
    const char *name;
    void (*quantize)(QuantRows out, int64_t row, const float *x);
    /* Rows row0 .. row1 of job times n tokens; pack is working space of pack_bytes(cols). */
    void (*matmul_quant)(const MatMul *job, int64_t row0, int64_t row1, QuantRows x, int n, void *pack);
    void (*matmul_float)(const MatMul *job, int64_t row0, int64_t row1, const float *x, int64_t x_stride,
                         int n);
    size_t (*pack_bytes)(int64_t cols);
    /* Keys start .. start + count - 1 (count <= KEY_BLOCK, start a multiple of it) join the tile; the blocks
     * given begin at start and at the tile's head. */
    void (*attend_block)(AttendTile *tile, KvBlock keys, KvBlock values, int start, int count);
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

/* One of several products that the threads share. */
typedef struct CpuProduct {
    MatMul job;
    const float *x; /* n rows */
    int64_t x_stride;
    QuantRows quant; /* the same rows in 8 bits, when the weight asks for it */
    int n;
    int64_t chunk; /* weight rows of one item; cpu_products fills in these two */
    int first_item;
} CpuProduct;

/* Working space of experts. */
typedef struct ExpertSpace {
    Scratch lists, rows, up, down;
    Scratch activations;
} ExpertSpace;

typedef struct CpuBackend {
    HostBackend host;
    Pool *pool;
    CpuLevel level;
    CpuKernels kernels;
    Scratch activations; /* QuantRows of the running matmul */
    Scratch *workers;    /* one per thread */
    RopeTable rope;
    ExpertSpace experts;
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

/* Whether weights of this type meet activations in 8 bits. */
bool cpu_is_quant(DType type);
/* n rows of x in 8 bits, in `space`; false with the failure recorded. */
bool cpu_quantize(CpuBackend *cpu, Scratch *space, const float *x, int64_t x_stride, int64_t cols, int n,
                  QuantRows *out);
void cpu_products(CpuBackend *cpu, CpuProduct *products, int count);

void cpu_embed(Backend *, float *out, Tensor table, const int32_t *ids, int n);
void cpu_rms_norm(Backend *, float *out, const float *x, const float *weight, int64_t rows, int64_t d,
                  float eps);
void cpu_matmul(Backend *, const MatMul *jobs, int job_count, const float *x, int64_t x_stride, int n);
void cpu_rope(Backend *, float *x, const int32_t *positions, int n, int heads, int head_dim, int n_rot,
              RopeKind kind, float base, const float *factors);
void cpu_kv_write(Backend *, KvRows kv, const float *x, const int32_t *positions, int n);
void cpu_attend(Backend *, const Attend *);
void cpu_swiglu(Backend *, float *out, const float *gate, const float *up, int64_t count);
void cpu_add(Backend *, float *out, const float *x, int64_t count);
void cpu_route(Backend *, const Route *);
void cpu_experts(Backend *, const Experts *);

static inline KeySpan keys_seen(const AttendTile *tile, int row, int start, int count) {
    int from = tile->first[row] - start, to = tile->last[row] - start + 1;
    return (KeySpan){from > 0 ? from : 0, to < count ? to : count};
}

/* Scores of a block to those that count: capped where asked for, and minus infinity before the window. */
void attend_limit_scores(const AttendTile *tile, int row, KeySpan span);

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
