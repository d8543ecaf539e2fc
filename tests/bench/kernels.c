/* bench-kernels [--threads N] [--level c|avx2|avx512]: speed of every kernel on the shapes of a 0.5b model,
 * beside what the machine can do: bytes read per second from memory, multiply-adds per second from registers.
 * Medians of several runs.
 */
#define _GNU_SOURCE
#include "kernels/cpu/cpu_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    RUNS = 7,
    WIDTH = 896,
    HIDDEN = 4864,
    VOCABULARY = 151936,
    HEADS = 14,
    KV_HEADS = 2,
    HEAD_DIM = 64,
    K_WIDTH = 1024 /* a multiple of 256, as K-quants need */
};

typedef struct Bench {
    Backend *backend;
    CpuBackend *cpu;
    double bytes_per_second, float_flops, byte_flops; /* the ceilings */
} Bench;

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times) {
    qsort(times, RUNS, sizeof *times, compare_doubles);
    return times[RUNS / 2];
}

static void *memory(size_t bytes) {
    void *address = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!address) {
        fprintf(stderr, "bench-kernels: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    return address;
}

static uint64_t random_state = 1;

static uint32_t random_bits(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

static float *random_floats(size_t count) {
    float *out = memory(count * sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)random_bits() * 0x1p-30f - 1;
    return out;
}

static Tensor random_weights(DType type, int64_t rows, int64_t cols) {
    Tensor tensor = {.type = type, .rows = rows, .cols = cols, .row_bytes = dtype_row_bytes(type, cols)};
    size_t bytes = (size_t)rows * tensor.row_bytes;
    tensor.data = memory(bytes);
    dtype_random_blocks(type, tensor.data, rows * cols, random_bits());
    return tensor;
}

#if defined(__x86_64__)
enum { PEAK_STEPS = 2000000, PEAK_REGISTERS = 24 };

__attribute__((target("avx512f"))) static void peak_float_512(void *context, int item, int worker) {
    (void)worker;
    __m512 sum[PEAK_REGISTERS], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps((float)item);
    for (int r = 0; r < PEAK_REGISTERS; r++)
        sum[r] = b;
    for (int i = 0; i < PEAK_STEPS; i++)
#pragma GCC unroll 24
        for (int r = 0; r < PEAK_REGISTERS; r++)
            sum[r] = _mm512_fmadd_ps(sum[r], a, b);
    for (int r = 1; r < PEAK_REGISTERS; r++)
        sum[0] = _mm512_add_ps(sum[0], sum[r]);
    ((volatile float *)context)[item] = _mm512_reduce_add_ps(sum[0]);
}

__attribute__((target("avx512f,avx512vnni"))) static void peak_byte_512(void *context, int item, int worker) {
    (void)worker;
    __m512i sum[PEAK_REGISTERS], a = _mm512_set1_epi32(0x01010101), b = _mm512_set1_epi32(item);
    for (int r = 0; r < PEAK_REGISTERS; r++)
        sum[r] = b;
    for (int i = 0; i < PEAK_STEPS; i++)
#pragma GCC unroll 24
        for (int r = 0; r < PEAK_REGISTERS; r++)
            sum[r] = _mm512_dpbusd_epi32(sum[r], a, b);
    for (int r = 1; r < PEAK_REGISTERS; r++)
        sum[0] = _mm512_add_epi32(sum[0], sum[r]);
    ((volatile float *)context)[item] = (float)_mm512_reduce_add_epi32(sum[0]);
}

static double peak(Bench *bench, PoolTask task, double per_step) {
    float sink[64];
    double times[RUNS];
    int threads = pool_threads(bench->cpu->pool) < 64 ? pool_threads(bench->cpu->pool) : 64;
    for (int i = 0; i < RUNS; i++) {
        double start = host_seconds();
        pool_run(bench->cpu->pool, task, sink, threads);
        times[i] = host_seconds() - start;
    }
    median(times); /* sorts: a ceiling is the best run */
    return per_step * PEAK_STEPS * PEAK_REGISTERS * threads / times[0];
}
#endif

static void measure_ceilings(Bench *bench) {
    bench->bytes_per_second = backend_read_bandwidth(bench->backend);
#if defined(__x86_64__)
    if (bench->cpu->level == CPU_LEVEL_AVX512) {
        bench->float_flops = peak(bench, peak_float_512, 32);
        bench->byte_flops = peak(bench, peak_byte_512, 128);
    }
#endif
    printf("read %.1f GB/s, float %.0f GFLOP/s, bytes %.0f GOP/s\n", bench->bytes_per_second / 1e9,
           bench->float_flops / 1e9, bench->byte_flops / 1e9);
}

static void report(const char *name, double seconds, double bytes, double flops, double most_bytes,
                   double most_flops) {
    printf("%-34s %10.1f us", name, seconds * 1e6);
    if (bytes > 0)
        printf("  %7.1f GB/s   %5.1f %%", bytes / seconds / 1e9, 100 * bytes / seconds / most_bytes);
    if (flops > 0)
        printf("  %7.1f GFLOP/s", flops / seconds / 1e9);
    if (flops > 0 && most_flops > 0)
        printf(" %5.1f %%", 100 * flops / seconds / most_flops);
    printf("\n");
    fflush(stdout);
}

static void bench_matmul(Bench *bench, DType type, int64_t rows, int64_t cols, int n) {
    Tensor weight = random_weights(type, rows, cols);
    float *x = random_floats((size_t)(n * cols)), *out = memory((size_t)(n * rows) * sizeof *out);
    MatMul job = {weight, NULL, out, rows, false};
    double times[RUNS];
    for (int i = -1; i < RUNS; i++) {
        double start = host_seconds();
        backend_ops(bench->backend)->matmul(bench->backend, &job, 1, x, cols, n);
        if (i >= 0)
            times[i] = host_seconds() - start;
    }
    char name[64];
    snprintf(name, sizeof name, "matmul %s %d x %d, n %d", dtype_info((uint32_t)type)->name, (int)rows,
             (int)cols, n);
    bool is_bytes = cpu_is_quant(type);
    report(name, median(times), n == 1 ? (double)rows * (double)weight.row_bytes : 0,
           n == 1 ? 0 : 2.0 * (double)rows * (double)cols * n, bench->bytes_per_second,
           is_bytes ? bench->byte_flops : bench->float_flops);
    free(weight.data), free(x), free(out);
}

static void bench_attend(Bench *bench, int first, int n) {
    int64_t width = KV_HEADS * HEAD_DIM, capacity = first + n;
    KvRows keys = {.base = random_weights(DTYPE_F16, capacity, width).data,
                   .type = DTYPE_F16,
                   .row_values = width,
                   .row_bytes = kv_row_bytes(DTYPE_F16, width)};
    KvRows values = keys;
    values.base = random_weights(DTYPE_F16, capacity, width).data;
    float *q = random_floats((size_t)n * HEADS * HEAD_DIM),
          *out = random_floats((size_t)n * HEADS * HEAD_DIM);
    int32_t *positions = memory((size_t)n * sizeof *positions);
    double times[RUNS], pairs = 0;
    for (int i = 0; i < n; i++) {
        positions[i] = first + i;
        pairs += first + i + 1;
    }
    Attend attend = {.out = out, .q = q, .keys = keys, .values = values, .positions = positions, .n = n};
    attend.last_position = first + n - 1, attend.heads = HEADS, attend.kv_heads = KV_HEADS;
    attend.head_dim = attend.value_dim = HEAD_DIM, attend.scale = 0.125f;
    for (int i = -1; i < RUNS; i++) {
        double start = host_seconds();
        backend_ops(bench->backend)->attend(bench->backend, &attend);
        if (i >= 0)
            times[i] = host_seconds() - start;
    }
    char name[64];
    snprintf(name, sizeof name, "attend %d from %d, %d/%d x %d", n, first, HEADS, KV_HEADS, HEAD_DIM);
    report(name, median(times), 0, pairs * HEADS * HEAD_DIM * 4, 0, bench->float_flops);
    free(keys.base), free(values.base), free(q), free(out), free(positions);
}

static void bench_elements(Bench *bench, int n) {
    const Ops *ops = backend_ops(bench->backend);
    size_t count = (size_t)n * HIDDEN;
    float *gate = random_floats(count), *up = random_floats(count), *out = random_floats(count);
    double swiglu[RUNS], norm[RUNS], add[RUNS];
    for (int i = 0; i < RUNS; i++) {
        double start = host_seconds();
        ops->swiglu(bench->backend, out, gate, up, (int64_t)count);
        double gated = host_seconds();
        ops->rms_norm(bench->backend, out, gate, up, n, WIDTH, 1e-6f);
        double normed = host_seconds();
        ops->add(bench->backend, out, gate, (int64_t)n * WIDTH);
        add[i] = host_seconds() - normed, norm[i] = normed - gated, swiglu[i] = gated - start;
    }
    char name[64];
    snprintf(name, sizeof name, "swiglu %d x %d", n, HIDDEN);
    report(name, median(swiglu), (double)count * 12, 0, bench->bytes_per_second, 0);
    snprintf(name, sizeof name, "rms_norm %d x %d", n, WIDTH);
    report(name, median(norm), (double)n * WIDTH * 8, 0, bench->bytes_per_second, 0);
    snprintf(name, sizeof name, "add %d x %d", n, WIDTH);
    report(name, median(add), (double)n * WIDTH * 12, 0, bench->bytes_per_second, 0);
    free(gate), free(up), free(out);
}

static bool choose_level(Backend *backend, const char *name) {
    static const char *const NAMES[CPU_LEVEL_COUNT] = {"c", "avx2", "avx512"};
    for (int level = 0; level < CPU_LEVEL_COUNT; level++)
        if (strcmp(NAMES[level], name) == 0)
            return cpu_force_level(backend, (CpuLevel)level);
    return false;
}

int main(int argc, char **argv) {
    static const DType TYPES[] = {DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_F16, DTYPE_BF16, DTYPE_F32};
    int threads = 0;
    const char *level = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--threads") == 0)
            threads = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--level") == 0)
            level = argv[i + 1];
    }
    KernelError error;
    Backend *backend = backend_open(&(BackendConfig){.name = "cpu", .threads = threads}, &error);
    if (!backend || (level && !choose_level(backend, level))) {
        fprintf(stderr, "bench-kernels: %s\n", backend ? "this processor lacks that level" : error.text);
        backend_close(backend);
        return 1;
    }
    DeviceInfo info;
    backend_info(backend, &info);
    Bench bench = {.backend = backend, .cpu = (CpuBackend *)backend};
    printf("%s\n", info.description);
    measure_ceilings(&bench);
    static const DType K_TYPES[] = {DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q5_0, DTYPE_Q4_K,
                                    DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_MXFP4};
    for (int t = 0; t < 5; t++)
        bench_matmul(&bench, TYPES[t], VOCABULARY, WIDTH, 1);
    for (int t = 0; t < 7; t++) {
        bench_matmul(&bench, K_TYPES[t], VOCABULARY, K_WIDTH, 1);
        bench_matmul(&bench, K_TYPES[t], HIDDEN, K_WIDTH, 512);
    }
    for (int t = 0; t < 5; t++) {
        bench_matmul(&bench, TYPES[t], HIDDEN, WIDTH, 512);
        bench_matmul(&bench, TYPES[t], WIDTH, HIDDEN, 512);
    }
    bench_attend(&bench, 511, 1);
    bench_attend(&bench, 4095, 1);
    bench_attend(&bench, 0, 512);
    bench_attend(&bench, 3584, 512);
    bench_elements(&bench, 1);
    bench_elements(&bench, 512);
    backend_close(backend);
    return 0;
}
