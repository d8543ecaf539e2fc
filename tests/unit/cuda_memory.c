/* The CUDA backend's memory, weights and products in every tier. Steps and failures are in cuda_backend.c. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cuda_backend_support.h"
#ifdef MUX_EMULATED
#include "tests/emulator/control.h"
#endif

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

static const TestCase CASES[] = {
    {"info", test_info},
    {"copies", test_copies},
    {"growing memory", test_growing},
    {"memory from other threads", test_threads},
    {"matrices of every type", test_matrices},
    {"random matrices", test_random_matrices},
    {"products of every tier", test_products},
};
TEST_SUITE(CUDA_MEMORY_SUITE, "backend_memory", CASES);
