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

bool cpu_is_quant(DType type) {
    return dtype_info((uint32_t)type)->block_values > 1;
}

typedef struct QuantizeRun {
    const CpuKernels *kernels;
    const float *x;
    int64_t x_stride;
    QuantRows out;
    int n;
} QuantizeRun;

static void quantize_item(void *context, int item, int worker) {
    QuantizeRun *run = context;
    (void)worker;
    int end = (item + 1) * TOKENS_PER_ITEM < run->n ? (item + 1) * TOKENS_PER_ITEM : run->n;
    for (int i = item * TOKENS_PER_ITEM; i < end; i++)
        run->kernels->quantize(run->out, i, run->x + i * run->x_stride);
}

bool cpu_quantize(CpuBackend *cpu, Scratch *space, const float *x, int64_t x_stride, int64_t cols, int n,
                  QuantRows *out) {
    size_t count = (size_t)n, blocks = (size_t)cols / QUANT_BLOCK,
           q_bytes = (count * (size_t)cols + 63) / 64 * 64;
    char *at = scratch_reserve(&cpu->host, space, q_bytes + count * blocks * 16);
    if (!at)
        return false;
    float *d = (float *)(void *)(at + q_bytes);
    int32_t *offsets = (int32_t *)(void *)(d + count * blocks);
    *out = (QuantRows){(int8_t *)at, d, offsets, offsets + count * blocks, cols};
    QuantizeRun run = {&cpu->kernels, x, x_stride, *out, n};
    pool_run(cpu->pool, quantize_item, &run, (n + TOKENS_PER_ITEM - 1) / TOKENS_PER_ITEM);
    return true;
}

typedef struct ProductRun {
    CpuBackend *cpu;
    const CpuProduct *products;
    int count;
} ProductRun;

static void product_item(void *context, int item, int worker) {
    ProductRun *run = context;
    int low = 0, high = run->count; /* the last product that begins at item or before */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (run->products[middle].first_item <= item)
            low = middle;
        else
            high = middle;
    }
    const CpuProduct *product = &run->products[low];
    const MatMul *job = &product->job;
    int64_t row0 = (item - product->first_item) * product->chunk, row1 = row0 + product->chunk;
    if (row1 > job->weight.rows)
        row1 = job->weight.rows;
    const CpuKernels *kernels = &run->cpu->kernels;
    if (cpu_is_quant(job->weight.type))
        kernels->matmul_quant(job, row0, row1, product->quant, product->n, run->cpu->workers[worker].address);
    else
        kernels->matmul_float(job, row0, row1, product->x, product->x_stride, product->n);
}

/* Chunks small enough to share evenly, large enough to read memory in long runs; returns how many. */
static int cut_chunks(CpuBackend *cpu, CpuProduct *products, int count) {
    int64_t rows = 0, pieces = pool_threads(cpu->pool) * CHUNKS_PER_THREAD;
    for (int j = 0; j < count; j++)
        rows += products[j].job.weight.rows;
    int items = 0;
    for (int j = 0; j < count; j++) {
        bool is_single = products[j].n == 1;
        int64_t largest = is_single ? MAX_CHUNK : MAX_BATCH_CHUNK,
                step = is_single ? LEAST_CHUNK / 2 : LEAST_CHUNK;
        int64_t chunk = ((rows + pieces - 1) / pieces + step - 1) / step * step;
        products[j].chunk = chunk < LEAST_CHUNK ? LEAST_CHUNK : chunk > largest ? largest : chunk;
        products[j].first_item = items;
        items += (int)((products[j].job.weight.rows + products[j].chunk - 1) / products[j].chunk);
    }
    return items;
}

void cpu_products(CpuBackend *cpu, CpuProduct *products, int count) {
    size_t pack = 0;
    for (int j = 0; j < count; j++) {
        size_t bytes = cpu->kernels.pack_bytes(products[j].job.weight.cols);
        if (cpu_is_quant(products[j].job.weight.type) && bytes > pack)
            pack = bytes;
    }
    if (pack && !cpu_reserve_workers(cpu, pack))
        return;
    ProductRun run = {cpu, products, count};
    pool_run(cpu->pool, product_item, &run, cut_chunks(cpu, products, count));
}

void cpu_matmul(Backend *backend, const MatMul *jobs, int job_count, const float *x, int64_t x_stride,
                int n) {
    assert(job_count <= MAX_JOBS);
    CpuBackend *cpu = (CpuBackend *)backend;
    CpuProduct products[MAX_JOBS];
    QuantRows quant = {0};
    bool has_quant = false;
    for (int j = 0; j < job_count; j++)
        has_quant |= cpu_is_quant(jobs[j].weight.type);
    if (n <= 0 || job_count <= 0 ||
        (has_quant && !cpu_quantize(cpu, &cpu->activations, x, x_stride, jobs[0].weight.cols, n, &quant)))
        return;
    for (int j = 0; j < job_count; j++)
        products[j] = (CpuProduct){.job = jobs[j], .x = x, .x_stride = x_stride, .quant = quant, .n = n};
    cpu_products(cpu, products, job_count);
}
