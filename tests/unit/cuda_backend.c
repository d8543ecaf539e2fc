/* The CUDA backend as the engine uses it: memory, weights, steps and their graphs, rounded activations,
 * choices, failures. What single kernels compute is tested elsewhere. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda_internal.h"
#include "tests/unit/kernels_support.h"
#ifdef MUX_EMULATED
#include "tests/emulator/control.h"
#endif

static Backend *open_named(const char *name) {
    KernelError error;
    Backend *backend = backend_open(&(BackendConfig){.name = name}, &error);
    CHECK_MSG(backend != NULL, "%s: %s", name, error.text);
    return backend;
}

static Backend *open_cuda(void) {
#ifdef MUX_EMULATED
    emulator_reset(); /* what an earlier test left */
#endif
    return open_named("cuda");
}

static void wait_for(Backend *backend) {
    KernelError error;
    CHECK_MSG(backend_wait(backend, &error), "%s", error.text);
}

static QueueCounters counters_of(Backend *backend) {
    return queue_counters(((CudaBackend *)backend)->queue);
}

static size_t held_by(Backend *backend) {
    size_t held, own;
    backend_memory(backend, &held, &own);
    return held;
}

/* Device memory with `count` floats in it. */
static float *put_floats(Backend *backend, Mem *mem, const float *values, int64_t count) {
    CHECK(backend_alloc(backend, (size_t)count * sizeof *values, mem));
    backend_put(backend, *mem, 0, values, (size_t)count * sizeof *values);
    return mem->address;
}

static float *get_floats(Backend *backend, Mem mem) {
    float *values = malloc(mem.bytes);
    CHECK(values != NULL);
    backend_get(backend, values, mem, 0, mem.bytes);
    wait_for(backend);
    return values;
}

/* ||a - b|| / ||b|| */
static double distance(const float *a, const float *b, int64_t count) {
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / (size > 0 ? size : 1));
}

static void random_small(float *out, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)(random_below(20001) - 10000) / 10000;
}

/* ---- the device and its memory ---- */

static void test_info(void) {
    Backend *cuda = open_cuda();
    DeviceInfo info, listed[4];
    KernelError why;
    backend_info(cuda, &info);
    CHECK(strcmp(info.name, "cuda") == 0);
    CHECK(!info.is_host && info.threads == 0);
    CHECK(info.compute_capability >= 80 && info.processors > 0);
    CHECK(info.memory_free > 0 && info.memory_free <= info.memory_bytes);
    CHECK(info.kv_page_rows > 0 && info.kv_types >> DTYPE_Q8_0 & 1);
    CHECK(backend_cuda_devices(listed, 4, &why) >= 1);
    CHECK(strncmp(listed[0].description, info.description, strlen(listed[0].description)) == 0);
    CHECK(strstr(info.description, "cuBLASLt")); /* which is there, or that none is */
    CHECK(backend_read_bandwidth(cuda) > 0);
    backend_close(cuda);
}

static void test_copies(void) {
    Backend *cuda = open_cuda();
    enum { BYTES = 1700001 };
    uint8_t *sent = malloc(BYTES), *back = malloc(BYTES);
    CHECK(sent && back);
    for (int i = 0; i < BYTES; i++)
        sent[i] = (uint8_t)test_random();
    Mem mem;
    CHECK(backend_alloc(cuda, BYTES, &mem));
    CHECK((uintptr_t)mem.address % 256 == 0 && mem.bytes >= BYTES);
    backend_get(cuda, back, mem, 0, BYTES);
    wait_for(cuda);
    for (int i = 0; i < BYTES; i++)
        CHECK(back[i] == 0);
    for (int at = 0, n = 1; at < BYTES; at += n, n = n * 7 % 600000 + 1) {
        n = n > BYTES - at ? BYTES - at : n;
        backend_put(cuda, mem, (size_t)at, sent + at, (size_t)n);
        memset(sent + at, (int)test_random(), n < 8 ? (size_t)n : 0); /* copied at the call */
    }
    memset(back, 1, BYTES);
    for (int i = 0; i < 70; i++) /* more than can be pending */
        backend_get(cuda, back + i, mem, (size_t)i, 1);
    backend_get(cuda, back + 70, mem, 70, BYTES - 70);
    wait_for(cuda);
    CHECK(memcmp(sent + 8, back + 8, BYTES - 8) == 0);
    KernelError error;
    backend_get(cuda, back, mem, BYTES, 1 << 20);
    CHECK(!backend_wait(cuda, &error) && strstr(error.text, "does not fit"));
    backend_free(cuda, &mem);
    backend_close(cuda);
    free(sent), free(back);
}

static void test_growing(void) {
    Backend *cuda = open_cuda();
    Mem mem;
    const size_t most = 64 << 20;
    CHECK(backend_reserve(cuda, most, &mem));
    CHECK(mem.bytes == 0 && held_by(cuda) == 0);
    void *address = mem.address;
    uint32_t mark = 0xABCD1234, seen = 0;
    CHECK(backend_commit(cuda, &mem, 100));
    CHECK(mem.bytes == 100);
    backend_put(cuda, mem, 0, &mark, sizeof mark);
    for (size_t bytes = 1000; bytes <= 9 << 20; bytes *= 3) {
        size_t before = mem.bytes;
        CHECK(backend_commit(cuda, &mem, bytes));
        CHECK(mem.address == address && mem.bytes == bytes && held_by(cuda) >= bytes);
        uint8_t fresh[8] = {1, 1, 1, 1, 1, 1, 1, 1};
        backend_get(cuda, fresh, mem, before, 8);
        backend_get(cuda, fresh, mem, bytes - 8, 8);
        backend_get(cuda, &seen, mem, 0, sizeof seen);
        wait_for(cuda);
        CHECK(seen == mark && memcmp(fresh, (uint8_t[8]){0}, 8) == 0);
    }
    size_t held = held_by(cuda), had = mem.bytes;
    CHECK(!backend_commit(cuda, &mem, most * 2));
    CHECK(mem.bytes == had && held_by(cuda) == held);
    backend_free(cuda, &mem);
    CHECK(held_by(cuda) == 0 && mem.address == NULL);
    backend_close(cuda);
}

static void *come_and_go(void *argument) {
    Backend *cuda = argument;
    for (int i = 0; i < 20; i++) {
        Mem plain = {0}, range = {0};
        if (!backend_alloc(cuda, 1000 + (size_t)i, &plain) || !backend_reserve(cuda, 8 << 20, &range) ||
            !backend_commit(cuda, &range, 5000))
            return argument;
        backend_free(cuda, &range);
        backend_free(cuda, &plain);
    }
    return NULL;
}

static void test_threads(void) {
    Backend *cuda = open_cuda();
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, come_and_go, cuda) == 0);
    Mem mem;
    for (int i = 0; i < 20; i++) {
        float values[100], *back;
        random_small(values, 100);
        put_floats(cuda, &mem, values, 100);
        back = get_floats(cuda, mem);
        CHECK(same_bits(values, back, 100));
        backend_free(cuda, &mem);
        free(back);
    }
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        CHECK(failed == NULL);
    }
    CHECK(held_by(cuda) == 0);
    backend_close(cuda);
}

/* ---- weights ---- */

typedef struct Matrix {
    void *host; /* GGUF rows */
    float *values;
    Tensor ref, device;
    Mem mem;
} Matrix;

static Matrix open_matrix(Backend *ref, Backend *cuda, DType type, int64_t rows, int64_t cols) {
    Matrix m = {0};
    m.host = malloc((size_t)rows * dtype_row_bytes(type, cols));
    m.values = malloc((size_t)(rows * cols) * sizeof *m.values);
    CHECK(m.host && m.values);
    dtype_random_blocks(type, m.host, rows * cols, test_random());
    dtype_to_floats(type, m.host, rows * cols, m.values);
    m.ref = backend_matrix(ref, (Mem){0}, 0, m.host, type, rows, cols);
    size_t bytes = backend_matrix_bytes(cuda, type, rows, cols);
    CHECK(bytes % 256 == 0);
    CHECK(backend_alloc(cuda, bytes + 256, &m.mem));
    m.device = backend_matrix(cuda, m.mem, 256, m.host, type, rows, cols);
    return m;
}

static void close_matrix(Backend *cuda, Matrix *m) {
    backend_free(cuda, &m->mem);
    free(m->host), free(m->values);
}

static void test_matrices(void) {
    Backend *cuda = open_cuda(), *ref = open_ref();
    for (int t = 0; t < TYPE_COUNT; t++) {
        int block = dtype_info((uint32_t)TYPES[t])->block_values;
        int rows = 1 + random_below(9),
            cols = block == 1 ? 1 + random_below(99) : block * (1 + random_below(4));
        Matrix m = open_matrix(ref, cuda, TYPES[t], rows, cols);
        Mem out;
        CHECK(backend_alloc(cuda, (size_t)(rows * cols) * sizeof(float), &out));
        int32_t ids[16], positions[16] = {0};
        for (int i = 0; i < rows; i++)
            ids[i] = rows - 1 - i;
        StepInputs inputs = backend_begin(cuda, ids, positions, rows);
        backend_ops(cuda)->embed(cuda, out.address, m.device, inputs.ids, rows);
        float *got = get_floats(cuda, out);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++)
                CHECK_MSG(got[i * cols + j] == m.values[ids[i] * cols + j],
                          "%s, %d x %d: [%d, %d] is %g, not %g", dtype_name((uint32_t)TYPES[t]), rows, cols,
                          i, j, (double)got[i * cols + j], (double)m.values[ids[i] * cols + j]);
        backend_free(cuda, &out);
        close_matrix(cuda, &m);
        free(got);
    }
    backend_close(cuda);
    backend_close(ref);
}

static void test_random_matrices(void) {
    Backend *cuda = open_cuda();
    for (int t = 0; t < TYPE_COUNT; t++) {
        enum { ROWS = 4, COLS = 512 };
        size_t bytes = backend_matrix_bytes(cuda, TYPES[t], ROWS, COLS);
        Mem mem, out;
        CHECK(backend_alloc(cuda, bytes, &mem));
        CHECK(backend_alloc(cuda, ROWS * COLS * sizeof(float), &out));
        Tensor tensor = backend_random_matrix(cuda, mem, 0, TYPES[t], ROWS, COLS, test_random());
        StepInputs inputs = backend_begin(cuda, (int32_t[]){0, 1, 2, 3}, (int32_t[]){0, 1, 2, 3}, ROWS);
        backend_ops(cuda)->embed(cuda, out.address, tensor, inputs.ids, ROWS);
        float *got = get_floats(cuda, out);
        double square = 0;
        for (int i = 0; i < ROWS * COLS; i++) {
            CHECK(isfinite(got[i]));
            square += (double)got[i] * (double)got[i];
        }
        double deviation = sqrt(square / (ROWS * COLS));
        CHECK_MSG(deviation > 0.002 && deviation < 0.2, "%s: standard deviation %g",
                  dtype_name((uint32_t)TYPES[t]), deviation);
        backend_free(cuda, &mem);
        backend_free(cuda, &out);
        free(got);
    }
    backend_close(cuda);
}

/* ---- products: every tier ---- */

typedef struct Products {
    Backend *cuda, *ref;
    int n;
    DType types[3];
} Products;

/* Three products of the same x, of mixed types, with bias and accumulation, then a gated one; as "ref" does
 * them. Bound: activations rounded to 8 bits in blocks of 32 err by at most 1/254 of the block's largest
 * value, 0.4 % of a uniform x in the mean; BF16 ones by 2^-9. Both stay under 1 % of the result's norm. */
static void check_products(const Products *p) {
    enum { COLS = 512 };
    static const int ROWS[3] = {40, 24, 33};
    int n = p->n;
    Matrix m[3], gate = open_matrix(p->ref, p->cuda, p->types[0], 48, COLS),
                 up = open_matrix(p->ref, p->cuda, p->types[1], 48, COLS);
    float *x = malloc((size_t)n * COLS * sizeof *x), bias[40], start[200 * 48], *truth[4];
    Mem x_mem, bias_mem, out[4];
    random_small(x, n * COLS), random_small(bias, 40), random_small(start, n * 48);
    float *device_x = put_floats(p->cuda, &x_mem, x, n * COLS);
    float *device_bias = put_floats(p->cuda, &bias_mem, bias, 40);
    MatMul ref_jobs[3], cuda_jobs[3];
    for (int i = 0; i < 4; i++) {
        truth[i] = malloc((size_t)n * 48 * sizeof(float));
        memcpy(truth[i], start, (size_t)n * 48 * sizeof(float));
        put_floats(p->cuda, &out[i], start, n * 48);
    }
    for (int i = 0; i < 3; i++) {
        m[i] = open_matrix(p->ref, p->cuda, p->types[i], ROWS[i], COLS);
        ref_jobs[i] = (MatMul){m[i].ref, i == 0 ? bias : NULL, truth[i], 48, i == 2};
        cuda_jobs[i] = (MatMul){m[i].device, i == 0 ? device_bias : NULL, out[i].address, 48, i == 2};
    }
    backend_ops(p->ref)->matmul(p->ref, ref_jobs, 3, x, COLS, n);
    backend_ops(p->cuda)->matmul(p->cuda, cuda_jobs, 3, device_x, COLS, n);
    MatMul halves[2] = {{gate.ref, NULL, truth[3], 48, false}, {up.ref, NULL, start, 48, false}};
    backend_ops(p->ref)->matmul(p->ref, halves, 2, x, COLS, n);
    backend_ops(p->ref)->swiglu(p->ref, truth[3], truth[3], start, n * 48);
    Gated gated = {gate.device, up.device, out[3].address};
    backend_ops(p->cuda)->gated(p->cuda, &gated, device_x, COLS, n);
    for (int i = 0; i < 4; i++) {
        float *got = get_floats(p->cuda, out[i]);
        double far = distance(got, truth[i], n * 48);
        CHECK_MSG(far < (i == 3 ? 0.02 : 0.01), "%s, %d rows, product %d: off by %g",
                  dtype_name((uint32_t)p->types[i % 3]), n, i, far);
        for (int row = 0; i < 3 && row < n; row++) /* behind the rows of a product nothing is touched */
            CHECK(same_bits(got + row * 48 + ROWS[i], truth[i] + row * 48 + ROWS[i], 48 - ROWS[i]));
        backend_free(p->cuda, &out[i]);
        free(got), free(truth[i]);
    }
    for (int i = 0; i < 3; i++)
        close_matrix(p->cuda, &m[i]);
    close_matrix(p->cuda, &gate), close_matrix(p->cuda, &up);
    backend_free(p->cuda, &x_mem), backend_free(p->cuda, &bias_mem);
    free(x);
}

static void test_products(void) {
    Products p = {.cuda = open_cuda(), .ref = open_ref()};
    static const int BATCHES[] = {1, 3, 8, 9, 65};
    for (int b = 0; b < 5; b++)
        for (int t = 0; t<TYPE_COUNT; t += b> 2 ? 3 : 1) {
            DType type = TYPES[(t + b) % TYPE_COUNT];
            p.n = BATCHES[b];
            p.types[0] = type;
            p.types[1] = type;
            p.types[2] = TYPES[(t + b + 1) % TYPE_COUNT];
            check_products(&p);
        }
    p.types[1] = DTYPE_F16; /* gate and up of different types */
    p.n = 5;
    check_products(&p);
    CHECK(held_by(p.cuda) == 0);
    backend_close(p.cuda), backend_close(p.ref);
}

/* ---- steps ---- */

/* A small layer without attention: norm, two products, gate, product onto the stream, choice. */
typedef struct Layer {
    Backend *cuda;
    Matrix table, gate, up, down;
    Mem norm, hidden, normed, gated;
} Layer;
enum { WIDTH = 256, INNER = 512, WORDS = 64 };

static Layer open_layer(Backend *cuda, Backend *ref) {
    Layer l = {.cuda = cuda};
    float weight[WIDTH];
    random_small(weight, WIDTH);
    put_floats(cuda, &l.norm, weight, WIDTH);
    CHECK(backend_alloc(cuda, 16 * WIDTH * sizeof(float), &l.hidden));
    CHECK(backend_alloc(cuda, 16 * WIDTH * sizeof(float), &l.normed));
    CHECK(backend_alloc(cuda, 16 * INNER * sizeof(float), &l.gated));
    l.table = open_matrix(ref, cuda, DTYPE_Q8_0, WORDS, WIDTH);
    l.gate = open_matrix(ref, cuda, DTYPE_Q4_K, INNER, WIDTH);
    l.up = open_matrix(ref, cuda, DTYPE_Q4_K, INNER, WIDTH);
    l.down = open_matrix(ref, cuda, DTYPE_Q6_K, WIDTH, INNER);
    return l;
}

/* Leaves other bytes on the stack each time: what launches are made of must not hold any of them. */
static __attribute__((noinline)) void dirty_the_stack(void) {
    volatile uint8_t bytes[20000];
    uint8_t value = (uint8_t)test_random();
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = value;
}

static void run_layer(Layer *l, const int32_t *ids, int n) {
    const Ops *ops = backend_ops(l->cuda);
    dirty_the_stack();
    int32_t positions[16] = {0};
    StepInputs inputs = backend_begin(l->cuda, ids, positions, n);
    ops->embed(l->cuda, l->hidden.address, l->table.device, inputs.ids, n);
    for (int i = 0; i < 2; i++) { /* twice, so that every buffer is written again */
        ops->rms_norm(l->cuda, l->normed.address, l->hidden.address, l->norm.address, n, WIDTH, 1e-5f);
        Gated gated = {l->gate.device, l->up.device, l->gated.address};
        ops->gated(l->cuda, &gated, l->normed.address, WIDTH, n);
        MatMul down = {l->down.device, NULL, l->hidden.address, WIDTH, true};
        ops->matmul(l->cuda, &down, 1, l->gated.address, INNER, n);
    }
}

static void close_layer(Layer *l) {
    close_matrix(l->cuda, &l->table), close_matrix(l->cuda, &l->gate);
    close_matrix(l->cuda, &l->up), close_matrix(l->cuda, &l->down);
    backend_free(l->cuda, &l->norm), backend_free(l->cuda, &l->hidden);
    backend_free(l->cuda, &l->normed), backend_free(l->cuda, &l->gated);
}

/* The same bits launch by launch, from a graph, and row by row. */
static void test_steps_replay(void) {
    Backend *cuda = open_cuda(), *ref = open_ref();
    Layer l = open_layer(cuda, ref);
    int32_t ids[5];
    for (int i = 0; i < 5; i++)
        ids[i] = random_below(WORDS);
    float *rows[5];
    for (int i = 0; i < 5; i++) {
        run_layer(&l, ids + i, 1);
        rows[i] = get_floats(cuda, l.hidden);
        QueueCounters seen = counters_of(cuda);
        CHECK_INT(seen.graphs_started, i < 2 ? 0 : i - 1); /* the second step rounds within the norm */
        CHECK_INT(seen.graphs_built, i < 2 ? 0 : 1);
    }
    for (int round = 0; round < 3; round++) {
        run_layer(&l, ids, 5);
        float *all = get_floats(cuda, l.hidden);
        for (int i = 0; i < 5; i++)
            CHECK_MSG(same_bits(all + i * WIDTH, rows[i], WIDTH), "row %d differs in a batch", i);
        free(all);
    }
    QueueCounters seen = counters_of(cuda);
    CHECK_INT(seen.graphs_built, 2);
    for (int i = 0; i < 5; i++) {
        run_layer(&l, ids + i, 1);
        float *again = get_floats(cuda, l.hidden);
        CHECK(same_bits(again, rows[i], WIDTH));
        free(again);
    }
    CHECK_INT(counters_of(cuda).launches, seen.launches); /* all from graphs, as they are */
    CHECK_INT(counters_of(cuda).graphs_changed, 0);
    for (int i = 0; i < 5; i++)
        free(rows[i]);
    close_layer(&l);
    CHECK(held_by(cuda) == 0);
    backend_close(cuda), backend_close(ref);
}

/* Launches that differ in arguments only end up in changed graphs, with the right results. */
static void test_changing_steps(void) {
    Backend *cuda = open_cuda();
    enum { N = 64, STEPS = 30 };
    float x[N], sum[STEPS + 1][N];
    Mem x_mem, out[STEPS];
    random_small(x, N);
    put_floats(cuda, &x_mem, x, N);
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < N; i++)
            sum[step][i] = (float)step;
        put_floats(cuda, &out[step], sum[step], N);
    }
    for (int step = 0; step < STEPS; step++) {
        backend_begin(cuda, (int32_t[]){0}, (int32_t[]){0}, 1);
        backend_ops(cuda)->add(cuda, out[step].address, x_mem.address, N - step);
        backend_ops(cuda)->add(cuda, out[step].address, x_mem.address, N - step);
        wait_for(cuda);
    }
    QueueCounters seen = counters_of(cuda);
    CHECK(seen.graphs_changed > STEPS / 2 && seen.graphs_built <= 4);
    for (int step = 0; step < STEPS; step++) {
        float *got = get_floats(cuda, out[step]);
        for (int i = 0; i < N; i++)
            CHECK(got[i] == (i < N - step ? (float)step + x[i] + x[i] : (float)step));
        backend_free(cuda, &out[step]);
        free(got);
    }
    backend_free(cuda, &x_mem);
    backend_close(cuda);
}

/* Copies in the middle of a step come where they stand. */
static void test_order_within_a_step(void) {
    Backend *cuda = open_cuda();
    enum { N = 32 };
    float one[N], two[N], got[N], early[N];
    for (int i = 0; i < N; i++)
        one[i] = 1, two[i] = 2;
    Mem a, b;
    for (int round = 0; round < 3; round++) {
        put_floats(cuda, &a, one, N), put_floats(cuda, &b, one, N);
        backend_begin(cuda, (int32_t[]){0}, (int32_t[]){0}, 1);
        backend_ops(cuda)->add(cuda, a.address, b.address, N); /* a = 2 */
        backend_get(cuda, early, a, 0, sizeof early);
        backend_put(cuda, b, 0, two, sizeof two);
        backend_ops(cuda)->add(cuda, a.address, b.address, N); /* a = 4 */
        backend_flush(cuda);
        backend_ops(cuda)->add(cuda, a.address, a.address, N); /* a = 8 */
        backend_get(cuda, got, a, 0, sizeof got);
        wait_for(cuda);
        for (int i = 0; i < N; i++)
            CHECK(early[i] == 2 && got[i] == 8);
        backend_free(cuda, &a), backend_free(cuda, &b);
    }
    backend_close(cuda);
}

/* Rounded activations are made anew whenever something wrote their source, whatever it was. */
static void test_rounding_is_never_stale(void) {
    Backend *cuda = open_cuda(), *ref = open_ref();
    enum { N = 256 };
    Matrix m = open_matrix(ref, cuda, DTYPE_Q8_0, N, N);
    float ones[N], values[N], truth[N];
    Mem x, y, w;
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    const Ops *ops = backend_ops(cuda);
    for (int way = 0; way < 6; way++) {
        random_small(values, N);
        put_floats(cuda, &x, values, N), put_floats(cuda, &y, values, N), put_floats(cuda, &w, ones, N);
        StepInputs inputs = backend_begin(cuda, (int32_t[]){7}, (int32_t[]){1}, 1);
        MatMul job = {m.device, NULL, y.address, N, false};
        ops->matmul(cuda, &job, 1, x.address, N, 1); /* x is rounded */
        random_small(values, N);
        switch (way) {
        case 0: backend_put(cuda, x, 0, values, sizeof values); break;
        case 1: ops->add(cuda, (float *)x.address + 40, w.address, 10); break;
        case 2: ops->rms_norm(cuda, x.address, x.address, w.address, 1, N, 1e-5f); break;
        case 3: ops->embed(cuda, x.address, m.device, inputs.ids, 1); break;
        case 4: ops->swiglu(cuda, x.address, w.address, y.address, N); break;
        default: ops->rope(cuda, x.address, inputs.positions, 1, 2, 128, 128, ROPE_NEOX, 1e4f, NULL); break;
        }
        ops->matmul(cuda, &job, 1, x.address, N, 1);
        float *now = get_floats(cuda, x), *got = get_floats(cuda, y);
        MatMul ref_job = {m.ref, NULL, truth, N, false};
        backend_ops(ref)->matmul(ref, &ref_job, 1, now, N, 1);
        double far = distance(got, truth, N); /* the old x would be far off */
        CHECK_MSG(far < 0.01, "way %d: off by %g", way, far);
        backend_free(cuda, &x), backend_free(cuda, &y), backend_free(cuda, &w);
        free(now), free(got);
    }
    close_matrix(cuda, &m);
    backend_close(cuda), backend_close(ref);
}

/* Several choices in one step, with masks and draws of their own, the same again from a graph. */
static void test_choices(void) {
    Backend *cuda = open_cuda();
    enum { WORDS_HERE = 1000, ROWS = 10 };
    float logits[ROWS * WORDS_HERE];
    Mem mem;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < ROWS * WORDS_HERE; i++)
            logits[i] = (float)random_below(1 << 20) / 100000;
        put_floats(cuda, &mem, logits, ROWS * WORDS_HERE);
        int32_t ids[ROWS], best[ROWS];
        uint64_t mask[(WORDS_HERE + 63) / 64];
        backend_begin(cuda, (int32_t[]){0}, (int32_t[]){0}, 1);
        for (int row = 0; row < ROWS; row++) {
            const float *at = logits + row * WORDS_HERE;
            best[row] = -1;
            for (size_t i = 0; i < sizeof mask / sizeof *mask; i++)
                mask[i] = row == 3 ? 0 : test_random();
            for (int i = 0; i < WORDS_HERE; i++)
                if (mask[i / 64] >> (i % 64) & 1 && (best[row] < 0 || at[i] > at[best[row]]))
                    best[row] = i;
            ids[row] = 77;
            Pick pick = {
                .logits = (float *)mem.address + row * WORDS_HERE, .count = WORDS_HERE, .mask = mask};
            backend_ops(cuda)->pick(cuda, &ids[row], &pick);
        }
        wait_for(cuda);
        for (int row = 0; row < ROWS; row++)
            CHECK_INT(ids[row], best[row]);
        backend_free(cuda, &mem);
    }
    backend_close(cuda);
}

/* Attention of one sequence in pages that lie in any order, by every way there is: as "ref" has it with rows
 * in one piece. Bound: F16 keys and values are the same numbers for all; q and the probabilities are rounded
 * to F16 on the tensor cores, 2^-11 each. */
static void check_attention(Backend *cuda, Backend *ref, int n, int start) {
    enum { HEADS = 4, KV_HEADS = 2, DIM = 64, PAGE = 64, PAGES = 4, ROW = KV_HEADS * DIM };
    float q[100 * HEADS * DIM], rows[PAGES * PAGE * ROW], truth[100 * HEADS * DIM];
    int32_t positions[PAGES * PAGE], ids[100] = {0}, pages[PAGES] = {2, 0, 3, 1};
    int count = start + n;
    size_t row_bytes = kv_row_bytes(DTYPE_F16, ROW), page_bytes = 2 * PAGE * row_bytes;
    Mem q_mem, out, x, arena, table, ref_kv[2];
    random_small(q, n * HEADS * DIM);
    put_floats(cuda, &q_mem, q, n * HEADS * DIM);
    CHECK(backend_alloc(cuda, (size_t)(n * HEADS * DIM) * sizeof(float), &out));
    CHECK(backend_alloc(cuda, PAGES * page_bytes, &arena) && backend_alloc(cuda, sizeof pages, &table));
    CHECK(backend_alloc(cuda, sizeof rows, &x));
    backend_put(cuda, table, 0, pages, sizeof pages);
    KvRows kv[2], ref_rows[2];
    for (int i = 0; i < count; i++)
        positions[i] = i;
    for (int which = 0; which < 2; which++) { /* in a page the keys come first, then the values */
        kv[which] = (KvRows){(char *)arena.address + (size_t)which * PAGE * row_bytes,
                             DTYPE_F16,
                             ROW,
                             row_bytes,
                             table.address,
                             PAGE,
                             page_bytes};
        CHECK(backend_alloc(ref, (size_t)count * row_bytes, &ref_kv[which]));
        ref_rows[which] = (KvRows){ref_kv[which].address, DTYPE_F16, ROW, row_bytes, NULL, 0, 0};
        random_small(rows, count * ROW);
        backend_put(cuda, x, 0, rows, (size_t)(count * ROW) * sizeof(float));
        StepInputs inputs = backend_begin(cuda, positions, positions, count);
        backend_ops(cuda)->kv_write(cuda, kv[which], x.address, inputs.positions, count);
        backend_ops(ref)->kv_write(ref, ref_rows[which], rows, positions, count);
        wait_for(cuda);
    }
    Attend attend = {
        .out = truth, .q = q, .keys = ref_rows[0], .values = ref_rows[1], .positions = positions + start};
    attend.n = n, attend.last_position = count - 1, attend.heads = HEADS, attend.kv_heads = KV_HEADS;
    attend.head_dim = DIM, attend.value_dim = DIM, attend.scale = 0.125f;
    backend_ops(ref)->attend(ref, &attend);
    StepInputs inputs = backend_begin(cuda, ids, positions + start, n);
    attend.out = out.address, attend.q = q_mem.address, attend.keys = kv[0], attend.values = kv[1];
    attend.positions = inputs.positions;
    backend_ops(cuda)->attend(cuda, &attend);
    float *got = get_floats(cuda, out);
    double far = distance(got, truth, n * HEADS * DIM);
    CHECK_MSG(far < 2e-3, "%d rows from %d: off by %g", n, start, far);
    Mem *all[] = {&q_mem, &out, &x, &arena, &table};
    for (int i = 0; i < 5; i++)
        backend_free(cuda, all[i]);
    backend_free(ref, &ref_kv[0]), backend_free(ref, &ref_kv[1]);
    free(got);
}

static void test_attention(void) {
    Backend *cuda = open_cuda(), *ref = open_ref();
    for (int round = 0; round < 2; round++) {
        ((CudaBackend *)cuda)->uses_hopper_attention = round == 1;
        check_attention(cuda, ref, 1, 0);
        check_attention(cuda, ref, 3, 130);
        check_attention(cuda, ref, 70, 100);
    }
    backend_close(cuda), backend_close(ref);
}

/* Gaps between members hold anything, and steps that are the same are still seen to be. */
static void test_gaps(void) {
    enum { DIM = 64, ROWS = 8, EXPERTS = 8 };
    Backend *cuda = open_cuda();
    Mem floats, rows;
    CHECK(backend_alloc(cuda, 8 * DIM * sizeof(float), &floats));
    CHECK(backend_alloc(cuda, 2 * ROWS * kv_row_bytes(DTYPE_F16, DIM), &rows));
    float *at = floats.address;
    for (int step = 0; step < 6; step++) {
        KvRows kv;
        Remember r;
        Attend a;
        Route route;
        int noise = (int)test_random();
        memset(&kv, noise, sizeof kv), memset(&r, noise, sizeof r);
        memset(&a, noise, sizeof a), memset(&route, noise, sizeof route);
        kv.base = rows.address, kv.type = DTYPE_F16, kv.row_values = DIM;
        kv.row_bytes = kv_row_bytes(DTYPE_F16, DIM), kv.pages = NULL, kv.page_rows = 0, kv.page_bytes = 0;
        StepInputs inputs = backend_begin(cuda, (int32_t[]){0}, (int32_t[]){step}, 1);
        r.q = at, r.k = at + DIM, r.v = at + 2 * DIM, r.q_norm = r.k_norm = NULL, r.eps = 0;
        memcpy(&r.keys, &kv, sizeof kv), memcpy(&r.values, &kv, sizeof kv);
        r.values.base = (char *)rows.address + ROWS * kv.row_bytes;
        r.positions = inputs.positions, r.n = r.heads = r.kv_heads = 1;
        r.head_dim = r.value_dim = r.n_rot = DIM, r.kind = ROPE_NEOX, r.base = 1e4f, r.factors = NULL;
        backend_ops(cuda)->remember(cuda, &r);
        backend_ops(cuda)->kv_write(cuda, kv, at, inputs.positions, 1);
        a.out = at + 3 * DIM, a.q = at, a.positions = inputs.positions, a.n = 1, a.last_position = step;
        memcpy(&a.keys, &kv, sizeof kv), memcpy(&a.values, &r.values, sizeof kv);
        a.heads = a.kv_heads = 1, a.head_dim = a.value_dim = DIM, a.scale = 1, a.window = 0, a.softcap = 0;
        a.sinks = NULL;
        backend_ops(cuda)->attend(cuda, &a);
        route.ids = (int32_t *)(void *)(at + 4 * DIM), route.weights = at + 5 * DIM, route.logits = at;
        route.n = 1, route.experts = EXPERTS, route.used = 2, route.normalise = true;
        backend_ops(cuda)->route(cuda, &route);
        wait_for(cuda);
    }
    QueueCounters seen = counters_of(cuda);
    CHECK_INT(seen.graphs_built, 1);
    CHECK_INT(seen.graphs_changed, 0);
    CHECK_INT(seen.graphs_started, 5);
    backend_free(cuda, &floats), backend_free(cuda, &rows);
    backend_close(cuda);
}

/* ---- failures ---- */

static void test_no_such_device(void) {
    Backend *cuda = open_cuda(); /* one is there, so 99 is the reason */
    KernelError error;
    CHECK(backend_open(&(BackendConfig){.name = "cuda", .device = 99}, &error) == NULL);
    CHECK(strstr(error.text, "device 99"));
    CHECK(backend_open(&(BackendConfig){.name = "cuda", .device = -1}, &error) == NULL);
    backend_close(cuda);
}

#ifdef MUX_EMULATED
static void check_refused(const char *words) {
    KernelError error;
    Backend *cuda = backend_open(&(BackendConfig){.name = "cuda"}, &error);
    CHECK(cuda == NULL);
    CHECK_MSG(strstr(error.text, words), "\"%s\" says nothing of \"%s\"", error.text, words);
}

static void check_refusal(const char *words) {
    check_refused(words);
    KernelError error;
    Backend *other = backend_open(&(BackendConfig){0}, &error); /* the best that opens */
    CHECK_MSG(other, "%s", error.text);
    DeviceInfo info;
    backend_info(other, &info);
    CHECK(strcmp(info.name, "cpu") == 0);
    backend_close(other);
}

static void test_refusals(void) {
    KernelError why;
    emulator_reset();
    emulator_set_devices(0);
    check_refusal("no NVIDIA GPU");
    CHECK(backend_cuda_devices(NULL, 0, &why) == 0 && strstr(why.text, "no NVIDIA GPU"));
    emulator_reset();
    emulator_set_driver(0);
    check_refusal("no NVIDIA driver");
    emulator_reset();
    emulator_set_driver(11040);
    check_refusal("serves CUDA 11.4");
    emulator_reset();
    emulator_set_capability(75);
    check_refusal("compute capability 7.5");
    emulator_reset();
    emulator_fail_next("cudaLaunchKernel", 0, cudaErrorNoKernelImageForDevice);
    check_refused("no code for this GPU");
    emulator_reset();
    emulator_fail_next("cudaStreamCreateWithFlags", 0, cudaErrorMemoryAllocation);
    check_refused("opening a stream");
    emulator_reset();
}

static void test_no_room(void) {
    emulator_reset();
    emulator_set_memory(64 << 20);
    Backend *cuda = open_named("cuda");
    Mem a, b;
    KernelError room;
    CHECK(backend_alloc(cuda, 40 << 20, &a));
    CHECK(!backend_alloc(cuda, 40 << 20, &b) && b.address == NULL);
    backend_no_room(cuda, 40 << 20, &room);
    CHECK_MSG(strstr(room.text, "41.9 MB are needed") && strstr(room.text, "emulated"), "%s", room.text);
    size_t held = held_by(cuda);
    CHECK(backend_reserve(cuda, 1 << 30, &b));
    CHECK(backend_commit(cuda, &b, 3 << 20));
    CHECK(!backend_commit(cuda, &b, 100 << 20));
    CHECK(b.bytes == 3 << 20 && held_by(cuda) == held + (4 << 20));
    CHECK(backend_commit(cuda, &b, 5 << 20)); /* what there is can still be had */
    backend_free(cuda, &b);
    CHECK(held_by(cuda) == held);
    /* no room to work in: the step fails, the next one does not */
    Backend *ref = open_ref();
    Matrix m = open_matrix(ref, cuda, DTYPE_Q8_0, 32, 32);
    Mem x, out;
    float ones[32 * 8] = {1};
    put_floats(cuda, &x, ones, 32 * 8);
    CHECK(backend_alloc(cuda, 32 * 8 * sizeof(float), &out));
    MatMul job = {m.device, NULL, out.address, 32, false};
    wait_for(cuda);
    emulator_fail_next("cudaMalloc", 0, cudaErrorMemoryAllocation);
    backend_ops(cuda)->matmul(cuda, &job, 1, x.address, 32, 1);
    CHECK(!backend_wait(cuda, &room));
    CHECK_MSG(strstr(room.text, "no room to work in") && strstr(room.text, "are free"), "%s", room.text);
    CHECK(!backend_is_lost(cuda));
    backend_ops(cuda)->matmul(cuda, &job, 1, x.address, 32, 1);
    wait_for(cuda);
    backend_free(cuda, &x), backend_free(cuda, &out), backend_free(cuda, &a);
    close_matrix(cuda, &m);
    backend_close(cuda), backend_close(ref);
    emulator_reset();
}

/* A device lost in the middle of a step: the step fails with a sentence, whatever comes then does nothing,
 * and after closing a new one opens. */
static void test_loss(void) {
    Backend *cuda = open_cuda();
    float ones[64];
    for (int i = 0; i < 64; i++)
        ones[i] = 1;
    Mem mem, range;
    put_floats(cuda, &mem, ones, 64);
    CHECK(backend_reserve(cuda, 8 << 20, &range) && backend_commit(cuda, &range, 1000));
    wait_for(cuda);
    KernelError error;
    emulator_set_loud(false);
    emulator_fail_launch(0, cudaErrorIllegalAddress);
    backend_begin(cuda, (int32_t[]){0}, (int32_t[]){0}, 1);
    backend_ops(cuda)->add(cuda, mem.address, mem.address, 64);
    CHECK(!backend_wait(cuda, &error));
    CHECK_MSG(strstr(error.text, "the GPU stopped") && strstr(error.text, "elements_kernel"), "%s",
              error.text);
    CHECK(backend_is_lost(cuda));
    backend_begin(cuda, (int32_t[]){0}, (int32_t[]){0}, 1);
    backend_ops(cuda)->add(cuda, mem.address, mem.address, 64);
    backend_get(cuda, ones, mem, 0, sizeof ones);
    CHECK(!backend_wait(cuda, &error) && error.text[0]);
    Mem more;
    CHECK(!backend_alloc(cuda, 100, &more));
    backend_free(cuda, &mem), backend_free(cuda, &range);
    CHECK(held_by(cuda) == 0);
    backend_close(cuda);
    cuda = open_named("cuda"); /* closing healed it */
    put_floats(cuda, &mem, ones, 64);
    backend_ops(cuda)->add(cuda, mem.address, mem.address, 64);
    float *got = get_floats(cuda, mem);
    CHECK(got[0] == 2 && got[63] == 2);
    free(got);
    backend_free(cuda, &mem);
    backend_close(cuda);
    emulator_reset();
}

/* Every runtime call that a step makes fails once: never a crash, always a sentence, and not for ever. */
static void test_failing_calls(void) {
    static const char *const CALLS[] = {"cudaLaunchKernel",
                                        "cudaMemcpyAsync",
                                        "cudaMallocHost",
                                        "cudaEventCreateWithFlags",
                                        "cudaGraphCreate",
                                        "cudaGraphAddKernelNode",
                                        "cudaGraphInstantiate",
                                        "cudaGraphLaunch",
                                        "cudaStreamSynchronize",
                                        "cudaMalloc",
                                        "cudaMemsetAsync",
                                        "cuMemCreate",
                                        "cuMemMap",
                                        "cuMemSetAccess",
                                        "cuMemAddressReserve"};
    static const uint8_t LARGE[300 << 10]; /* copied by way of the large ring, which is made when needed */
    for (size_t c = 0; c < sizeof CALLS / sizeof *CALLS; c++) {
        Backend *cuda = open_cuda();
        float ones[64] = {1}, got[64];
        int sentences = 0;
        emulator_fail_next(CALLS[c], 2, cudaErrorMemoryAllocation);
        for (int step = 0; step < 6; step++) {
            KernelError error;
            Mem mem = {0}, range = {0};
            bool ok = backend_alloc(cuda, sizeof LARGE, &mem) && backend_reserve(cuda, 4 << 20, &range) &&
                      backend_commit(cuda, &range, 2000);
            if (ok) {
                backend_put(cuda, mem, 0, LARGE, sizeof LARGE);
                backend_put(cuda, mem, 0, ones, sizeof ones);
                backend_begin(cuda, (int32_t[]){0}, (int32_t[]){0}, 1);
                backend_ops(cuda)->add(cuda, range.address, mem.address, 64);
                backend_get(cuda, got, range, 0, sizeof got);
                ok = backend_wait(cuda, &error);
                CHECK(ok || error.text[0]);
                CHECK(!ok || got[0] == 1);
            }
            sentences += !ok;
            backend_free(cuda, &mem), backend_free(cuda, &range);
            CHECK(held_by(cuda) == 0);
            CHECK_MSG(ok || step < 5, "%s goes on failing", CALLS[c]);
        }
        CHECK_MSG(sentences <= 1, "%s failed once and %d steps with it", CALLS[c], sentences);
        backend_close(cuda);
    }
    emulator_reset();
}

/* Closing returns everything, also what its user forgot. */
static void test_nothing_is_left(void) {
    emulator_reset();
    EmulatorCounters before, after;
    emulator_counters(&before);
    Backend *cuda = open_named("cuda"), *ref = open_ref();
    Layer l = open_layer(cuda, ref);
    for (int i = 0; i < 3; i++)
        run_layer(&l, (int32_t[]){1, 2, 3}, 3);
    wait_for(cuda);
    Mem forgotten;
    CHECK(backend_reserve(cuda, 16 << 20, &forgotten) && backend_commit(cuda, &forgotten, 9 << 20));
    size_t held, own;
    backend_memory(cuda, &held, &own);
    emulator_counters(&after);
    CHECK_INT(after.bytes - before.bytes, held + own); /* the accounts are exact */
    free(l.table.host), free(l.table.values), free(l.gate.host), free(l.gate.values);
    free(l.up.host), free(l.up.values), free(l.down.host), free(l.down.values);
    backend_close(cuda), backend_close(ref);
    emulator_counters(&after);
    CHECK_INT(after.bytes, before.bytes);
    CHECK_INT(after.pinned_bytes, before.pinned_bytes);
    CHECK_INT(after.allocations, before.allocations);
    CHECK_INT(after.streams, before.streams);
    CHECK_INT(after.events, before.events);
    CHECK_INT(after.graphs, before.graphs);
}
#endif

static void test_options(void) {
    KernelError error;
    BackendConfig config = {.name = "cuda", .gpu_options = "wait-each,wgmma"};
    Backend *cuda = backend_open(&config, &error);
    CHECK_MSG(cuda != NULL, "%s", error.text);
    CHECK(((CudaBackend *)cuda)->uses_hopper_attention);
    Mem mem;
    float one = 1;
    CHECK(backend_alloc(cuda, sizeof one, &mem));
    backend_put(cuda, mem, 0, &one, sizeof one);
    backend_ops(cuda)->add(cuda, mem.address, mem.address, 1);
    backend_get(cuda, &one, mem, 0, sizeof one);
    CHECK_MSG(backend_wait(cuda, &error) && one == 2, "%s", error.text);
    backend_free(cuda, &mem);
    backend_close(cuda);
    config.gpu_options = "wait-each,warp";
    CHECK(!backend_open(&config, &error) && strstr(error.text, "\"warp\""));
}

static const TestCase CASES[] = {
    {"info", test_info},
    {"options", test_options},
    {"copies", test_copies},
    {"growing memory", test_growing},
    {"memory from other threads", test_threads},
    {"matrices of every type", test_matrices},
    {"random matrices", test_random_matrices},
    {"products of every tier", test_products},
    {"steps replay", test_steps_replay},
    {"changing steps", test_changing_steps},
    {"order within a step", test_order_within_a_step},
    {"rounding is never stale", test_rounding_is_never_stale},
    {"choices", test_choices},
    {"attention in pages", test_attention},
    {"gaps are not compared", test_gaps},
    {"no such device", test_no_such_device},
#ifdef MUX_EMULATED
    {"refusals", test_refusals},
    {"no room", test_no_room},
    {"loss of the device", test_loss},
    {"failing calls", test_failing_calls},
    {"nothing is left", test_nothing_is_left},
#endif
};
TEST_SUITE(CUDA_BACKEND_SUITE, "backend", CASES);
