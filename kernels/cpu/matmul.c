#include "kernels/cpu/cpu_internal.h"

#include <assert.h>

enum {
    MAX_JOBS = 8,
    TOKENS_PER_ITEM = 4,
    CHUNKS_PER_THREAD = 4,
    LEAST_CHUNK = 32, /* rows; chunks are multiples of half of it, which kernels take side by side */
    MAX_CHUNK = 1024,
    MAX_BATCH_CHUNK = 64
};

typedef struct MatMulRun {
    CpuBackend *cpu;
    const MatMul *jobs;
    const float *x;
    int64_t x_stride;
    QuantRows quant;
    int n;
    int64_t chunk; /* weight rows of one item */
    int job_count, first_item[MAX_JOBS + 1];
} MatMulRun;

static bool is_quant(DType type) {
    return type == DTYPE_Q8_0 || type == DTYPE_Q4_0;
}

static void quantize_item(void *context, int item, int worker) {
    MatMulRun *run = context;
    (void)worker;
    int end = (item + 1) * TOKENS_PER_ITEM < run->n ? (item + 1) * TOKENS_PER_ITEM : run->n;
    for (int i = item * TOKENS_PER_ITEM; i < end; i++)
        run->cpu->kernels.quantize(run->quant, i, run->x + i * run->x_stride);
}

static bool quantize_activations(MatMulRun *run, int64_t cols) {
    CpuBackend *cpu = run->cpu;
    size_t n = (size_t)run->n, blocks = (size_t)cols / QUANT_BLOCK,
           q_bytes = (n * (size_t)cols + 63) / 64 * 64;
    char *space = scratch_reserve(&cpu->base, &cpu->activations, q_bytes + n * blocks * 8);
    if (!space || !cpu_reserve_workers(cpu, cpu->kernels.pack_bytes(cols)))
        return false;
    float *d = (float *)(void *)(space + q_bytes);
    run->quant = (QuantRows){(int8_t *)space, d, (int32_t *)(void *)(d + n * blocks), cols};
    pool_run(cpu->pool, quantize_item, run, (run->n + TOKENS_PER_ITEM - 1) / TOKENS_PER_ITEM);
    return true;
}

static void product_item(void *context, int item, int worker) {
    MatMulRun *run = context;
    int j = 0;
    while (item >= run->first_item[j + 1])
        j++;
    const MatMul *job = &run->jobs[j];
    int64_t row0 = (item - run->first_item[j]) * run->chunk, row1 = row0 + run->chunk;
    if (row1 > job->weight.rows)
        row1 = job->weight.rows;
    const CpuKernels *kernels = &run->cpu->kernels;
    if (is_quant(job->weight.type))
        kernels->matmul_quant(job, row0, row1, run->quant, run->n, run->cpu->workers[worker].address);
    else
        kernels->matmul_float(job, row0, row1, run->x, run->x_stride, run->n);
}

/* Chunks small enough to share evenly, large enough to read memory in long runs. */
static void cut_chunks(MatMulRun *run) {
    int64_t rows = 0, largest = run->n == 1 ? MAX_CHUNK : MAX_BATCH_CHUNK;
    for (int j = 0; j < run->job_count; j++)
        rows += run->jobs[j].weight.rows;
    int64_t pieces = pool_threads(run->cpu->pool) * CHUNKS_PER_THREAD,
            step = run->n == 1 ? LEAST_CHUNK / 2 : LEAST_CHUNK;
    int64_t chunk = ((rows + pieces - 1) / pieces + step - 1) / step * step;
    chunk = chunk < LEAST_CHUNK ? LEAST_CHUNK : chunk > largest ? largest : chunk;
    for (int j = 0; j < run->job_count; j++)
        run->first_item[j + 1] = run->first_item[j] + (int)((run->jobs[j].weight.rows + chunk - 1) / chunk);
    run->chunk = chunk;
}

void cpu_matmul(Backend *backend, const MatMul *jobs, int job_count, const float *x, int64_t x_stride,
                int n) {
    assert(job_count <= MAX_JOBS);
    MatMulRun run = {.cpu = (CpuBackend *)backend, .jobs = jobs, .x = x, .x_stride = x_stride, .n = n};
    run.job_count = job_count;
    bool has_quant = false;
    for (int j = 0; j < job_count; j++)
        has_quant |= is_quant(jobs[j].weight.type);
    if (n <= 0 || job_count <= 0 || (has_quant && !quantize_activations(&run, jobs[0].weight.cols)))
        return;
    cut_chunks(&run);
    pool_run(run.cpu->pool, product_item, &run, run.first_item[job_count]);
}
