/* bench-gpu [--quick] [--attention] [--wgmma]: the operations of the cuda backend at sizes that fill a large
 * GPU, each beside the ceiling it runs into, measured in the same run: the rate of a device-to-device copy
 * (bytes read plus bytes written) for what moves bytes, a large matrix product for what multiplies. Prints a
 * table; lines that begin with "csv," are the rows of docs/bench, so names hold no comma. --attention leaves
 * the products out, to be run again with --wgmma. Whole models are measured by `mux-acp bench
 * --synthetic`.
 *
 * Every case counts its own bytes and operations: each input read once, each output written once. Times are
 * medians of runs of several launches after a warm-up; inputs rotate where they would fit in the cache.
 */
#include "kernels/backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RUNS = 7, HEADS = 32, KV_HEADS = 8, HEAD_DIM = 128 };

typedef struct Bench {
    Backend *backend;
    const Ops *ops;
    DeviceInfo info;
    double copy_rate, product_rate; /* bytes and operations per second */
    const char *attention;          /* which kernels, in names */
    bool is_quick;
} Bench;

static double seconds_now(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void die(const char *text) {
    fprintf(stderr, "bench-gpu: %s\n", text);
    exit(1);
}

static void wait_for(const Bench *bench) {
    KernelError error;
    if (!backend_wait(bench->backend, &error))
        die(error.text);
}

static Mem take(const Bench *bench, size_t bytes) {
    Mem mem;
    if (!backend_alloc(bench->backend, bytes, &mem)) {
        KernelError why;
        backend_no_room(bench->backend, bytes, &why);
        die(why.text);
    }
    return mem;
}

/* Random floats from -1 to 1; a megabyte of them repeated. */
static Mem random_floats(const Bench *bench, size_t count) {
    enum { PIECE = 1 << 18 };
    static float piece[PIECE];
    static uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < PIECE; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        piece[i] = (float)(state >> 40) * 0x1p-23f - 1;
    }
    Mem mem = take(bench, count * sizeof(float));
    for (size_t at = 0; at < count; at += PIECE)
        backend_put(bench->backend, mem, at * sizeof(float), piece,
                    (count - at < PIECE ? count - at : PIECE) * sizeof(float));
    wait_for(bench);
    return mem;
}

typedef void (*Launch)(const Bench *bench, void *context, int turn);

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one launch: median of RUNS runs of `times` launches each. */
static double measure(const Bench *bench, Launch launch, void *context, int times) {
    double each[RUNS];
    launch(bench, context, 0);
    wait_for(bench);
    for (int run = 0; run < RUNS; run++) {
        double start = seconds_now();
        for (int i = 0; i < times; i++)
            launch(bench, context, i);
        wait_for(bench);
        each[run] = (seconds_now() - start) / times;
    }
    qsort(each, RUNS, sizeof *each, by_size);
    return each[RUNS / 2];
}

static void report_bytes(const Bench *bench, const char *name, double seconds, double bytes) {
    printf("%-52s %9.3f ms %9.1f GB/s  %5.1f %% of copy\n", name, seconds * 1e3, bytes / seconds / 1e9,
           100 * bytes / seconds / bench->copy_rate);
    printf("csv,%s,%.1f,GB/s,copy,%.1f,%.3f\n", name, bytes / seconds / 1e9, bench->copy_rate / 1e9,
           bytes / seconds / bench->copy_rate);
}

static void report_operations(const Bench *bench, const char *name, double seconds, double operations) {
    double share = bench->product_rate > 0 ? operations / seconds / bench->product_rate : 1;
    printf("%-52s %9.3f ms %9.1f TFLOP/s %5.1f %% of the bf16 product\n", name, seconds * 1e3,
           operations / seconds / 1e12, 100 * share);
    printf("csv,%s,%.1f,TFLOP/s,bf16 product,%.1f,%.3f\n", name, operations / seconds / 1e12,
           bench->product_rate / 1e12, share);
}

/* ---- matrix products ---- */

typedef struct Product {
    Tensor weights[8];
    int count; /* rotated among, so that no run finds its weights in the cache */
    Mem memory[8], x, out;
    int n;
} Product;

static void launch_product(const Bench *bench, void *context, int turn) {
    Product *p = context;
    Tensor weight = p->weights[turn % p->count];
    MatMul job = {weight, NULL, p->out.address, weight.rows, false};
    bench->ops->matmul(bench->backend, &job, 1, p->x.address, weight.cols, p->n);
}

static double run_product(const Bench *bench, DType type, int64_t rows, int64_t cols, int n, int count,
                          int times) {
    Product p = {.count = count, .n = n};
    size_t bytes = backend_matrix_bytes(bench->backend, type, rows, cols);
    for (int i = 0; i < count; i++) {
        p.memory[i] = take(bench, bytes);
        p.weights[i] =
            backend_random_matrix(bench->backend, p.memory[i], 0, type, rows, cols, (uint64_t)i + 1);
    }
    p.x = random_floats(bench, (size_t)(n * cols));
    p.out = take(bench, (size_t)(n * rows) * sizeof(float));
    double seconds = measure(bench, launch_product, &p, times);
    for (int i = 0; i < count; i++)
        backend_free(bench->backend, &p.memory[i]);
    backend_free(bench->backend, &p.x);
    backend_free(bench->backend, &p.out);
    return seconds;
}

static const DType TYPES[] = {DTYPE_F32,  DTYPE_F16,  DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0,
                              DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_MXFP4};

/* One token and eight through a feed-forward matrix of an 8b model: bytes decide. Then batches: operations
 * do. */
static void bench_products(Bench *bench) {
    enum { ROWS = 14336, COLS = 4096 };
    int64_t rows = bench->is_quick ? 1024 : ROWS;
    char name[96];
    for (size_t t = 0; t < sizeof TYPES / sizeof *TYPES; t++) {
        double bytes = (double)rows * (double)dtype_row_bytes(TYPES[t], COLS);
        for (int n = 1; n <= 8; n *= 8) {
            snprintf(name, sizeof name, "gemv %s %d x %d %d tokens", dtype_name(TYPES[t]), (int)rows, COLS,
                     n);
            report_bytes(bench, name, run_product(bench, TYPES[t], rows, COLS, n, 8, 128), bytes);
        }
    }
    static const int BATCHES[] = {16, 64, 512, 4096};
    for (size_t t = 0; t < sizeof TYPES / sizeof *TYPES; t++)
        for (int b = 0; b < (bench->is_quick ? 1 : 4); b++) {
            snprintf(name, sizeof name, "matmul %s %d x %d %d tokens", dtype_name(TYPES[t]), (int)rows, COLS,
                     BATCHES[b]);
            report_operations(bench, name, run_product(bench, TYPES[t], rows, COLS, BATCHES[b], 2, 8),
                              2.0 * (double)rows * COLS * BATCHES[b]);
        }
}

/* ---- attention ---- */

typedef struct Attention {
    Attend attend;
    Mem q, out, keys, values, positions;
    int count; /* sequences to rotate among */
    size_t sequence_bytes;
} Attention;

static void launch_attention(const Bench *bench, void *context, int turn) {
    const Attention *a = context;
    Attend attend = a->attend;
    size_t at = (size_t)(turn % a->count) * a->sequence_bytes;
    attend.keys.base = (char *)a->keys.address + at;
    attend.values.base = (char *)a->values.address + at;
    bench->ops->attend(bench->backend, &attend);
}

/* Random keys and values, the same for all sequences. */
static void fill_sequences(const Bench *bench, Attention *a, int context, int64_t row_values) {
    KvRows *sides[2] = {&a->attend.keys, &a->attend.values};
    const Mem *memory[2] = {&a->keys, &a->values};
    Mem rows = random_floats(bench, (size_t)context * (size_t)row_values);
    for (int i = 0; i < 2 * a->count; i++) {
        KvRows at = *sides[i % 2];
        at.base = (char *)memory[i % 2]->address + (size_t)(i / 2) * a->sequence_bytes;
        bench->ops->kv_write(bench->backend, at, rows.address, a->positions.address, context);
    }
    wait_for(bench);
    backend_free(bench->backend, &rows);
}

static void bench_attention(const Bench *bench, const char *what, DType type, int n, int context) {
    enum { MORE_THAN_A_CACHE = 256 << 20 };
    char name[96];
    snprintf(name, sizeof name, "%s%s", what, n > 8 ? bench->attention : "");
    Attention a = {.attend = {.n = n,
                              .last_position = context - 1,
                              .heads = HEADS,
                              .kv_heads = KV_HEADS,
                              .head_dim = HEAD_DIM,
                              .value_dim = HEAD_DIM,
                              .scale = 1 / sqrtf(HEAD_DIM)}};
    int64_t row_values = KV_HEADS * HEAD_DIM;
    size_t row_bytes = kv_row_bytes(type, row_values);
    a.sequence_bytes = (size_t)context * row_bytes;
    a.count = n > 8 ? 1 : (int)(MORE_THAN_A_CACHE / a.sequence_bytes) + 1;
    int32_t *positions = calloc((size_t)context, sizeof *positions);
    for (int i = 0; i < context; i++)
        positions[i] = i;
    a.q = random_floats(bench, (size_t)n * HEADS * HEAD_DIM);
    a.out = take(bench, (size_t)n * HEADS * HEAD_DIM * sizeof(float));
    a.keys = take(bench, (size_t)a.count * a.sequence_bytes);
    a.values = take(bench, (size_t)a.count * a.sequence_bytes);
    a.positions = take(bench, (size_t)context * sizeof *positions);
    backend_put(bench->backend, a.positions, 0, positions, (size_t)context * sizeof *positions);
    a.attend.keys = a.attend.values =
        (KvRows){.type = type, .row_values = row_values, .row_bytes = row_bytes};
    fill_sequences(bench, &a, context, row_values);
    a.attend.q = a.q.address;
    a.attend.out = a.out.address;
    a.attend.positions = (const int32_t *)a.positions.address + (context - n);
    double seconds = measure(bench, launch_attention, &a, n > 8 ? 4 : 64);
    double seen = (double)n * context - (double)n * (n - 1) / 2; /* pairs of query and key */
    if (n > 8)
        report_operations(bench, name, seconds, 4.0 * seen * HEADS * HEAD_DIM);
    else
        report_bytes(bench, name, seconds, 2.0 * context * (double)row_bytes);
    Mem *all[] = {&a.q, &a.out, &a.keys, &a.values, &a.positions};
    for (int i = 0; i < 5; i++)
        backend_free(bench->backend, all[i]);
    free(positions);
}

static void bench_all_attention(const Bench *bench) {
    int longest = bench->is_quick ? 1024 : 16384;
    bench_attention(bench, "attention forward causal 16k head 128 F16", DTYPE_F16, longest, longest);
    bench_attention(bench, "attention forward causal 16k head 128 BF16", DTYPE_BF16, longest, longest);
    bench_attention(bench, "attention forward causal 4k head 128 F16", DTYPE_F16, longest / 4, longest / 4);
    bench_attention(bench, "decode attention 32k 8 kv heads of 128 F16", DTYPE_F16, 1, 2 * longest);
    bench_attention(bench, "decode attention 32k 8 kv heads of 128 Q8_0", DTYPE_Q8_0, 1, 2 * longest);
    bench_attention(bench, "decode attention 4k 8 kv heads of 128 F16", DTYPE_F16, 1, longest / 4);
}

static bool has_option(int argc, char **argv, const char *name) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return false;
}

int main(int argc, char **argv) {
    bool is_wgmma = has_option(argc, argv, "--wgmma");
    Bench bench = {.is_quick = has_option(argc, argv, "--quick"), .attention = is_wgmma ? " wgmma" : ""};
    KernelError error;
    bench.backend =
        backend_open(&(BackendConfig){.name = "cuda", .gpu_options = is_wgmma ? "wgmma" : NULL}, &error);
    if (!bench.backend)
        die(error.text);
    bench.ops = backend_ops(bench.backend);
    backend_info(bench.backend, &bench.info);
    bench.copy_rate = backend_read_bandwidth(bench.backend);
    printf("%s, copy %.1f GB/s\n", bench.info.description, bench.copy_rate / 1e9);
    printf("csv,copy,%.1f,GB/s,,,\n", bench.copy_rate / 1e9);
    int side = bench.is_quick ? 1024 : 8192;
    double seconds = run_product(&bench, DTYPE_BF16, side, side, side, 1, 4);
    bench.product_rate = 2.0 * side * side * side / seconds;
    printf("bf16 product of %d cubed, x rounded from float included: %.1f TFLOP/s\n", side,
           bench.product_rate / 1e12);
    printf("csv,bf16 product %d cubed,%.1f,TFLOP/s,,,\n", side, bench.product_rate / 1e12);
    bench_all_attention(&bench);
    if (!has_option(argc, argv, "--attention"))
        bench_products(&bench);
    backend_close(bench.backend);
    return 0;
}
