#define _GNU_SOURCE
#include "tests/unit/kernels_support.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void norms(Backend *cpu) {
    Backend *ref = open_ref();
    for (int d = 1; d < 300; d += 1 + d / 3) {
        int rows = 1 + random_below(9);
        float *x = malloc((size_t)(rows * d) * sizeof *x), *weight = malloc((size_t)d * sizeof *weight);
        float *truth = malloc((size_t)(rows * d) * sizeof *truth), *out = poisoned(1, rows * d);
        random_floats(x, rows * d);
        random_floats(weight, d);
        backend_ops(ref)->rms_norm(ref, truth, x, weight, rows, d, 1e-6f);
        backend_ops(cpu)->rms_norm(cpu, out, x, weight, rows, d, 1e-6f);
        CHECK(is_clean(out, 1, rows * d));
        for (int i = 0; i < rows * d; i++)
            CHECK_MSG(fabsf(out[i] - truth[i]) <= 1e-6f * (1e-6f + fabsf(truth[i])) * 4,
                      "%s: width %d, %g, ref %g", level_name(cpu), d, (double)out[i], (double)truth[i]);
        backend_ops(cpu)->rms_norm(cpu, x, x, weight, rows, d, 1e-6f); /* in place */
        CHECK(same_bits(x, out, rows * d));
        free(x), free(weight), free(truth), free(out);
    }
    backend_close(ref);
}

static void test_norms(void) {
    each_level(2, norms);
}

static void gates(Backend *cpu) {
    Backend *ref = open_ref();
    static const int COUNTS[] = {1, 7, 8, 15, 16, 17, 100, 40000};
    for (int c = 0; c < 8; c++) {
        int count = COUNTS[c];
        float *gate = malloc((size_t)count * 4), *up = malloc((size_t)count * 4),
              *truth = malloc((size_t)count * 4);
        float *out = poisoned(1, count);
        random_floats(gate, count);
        random_floats(up, count);
        backend_ops(ref)->swiglu(ref, truth, gate, up, count);
        backend_ops(cpu)->swiglu(cpu, out, gate, up, count);
        CHECK(is_clean(out, 1, count));
        for (int i = 0; i < count; i++)
            CHECK_MSG(fabsf(out[i] - truth[i]) <= (1e-6f + 2e-7f * fabsf(gate[i])) * fabsf(truth[i]) + 1e-25f,
                      "%s: gate %g up %g: %g, ref %g", level_name(cpu), (double)gate[i], (double)up[i],
                      (double)out[i], (double)truth[i]);
        for (int i = 0; i < count; i += 1 + i / 4) { /* one by one, the same bits */
            float one;
            backend_ops(cpu)->swiglu(cpu, &one, gate + i, up + i, 1);
            CHECK(same_bits(&one, out + i, 1));
        }
        memcpy(truth, out, (size_t)count * 4);
        backend_ops(cpu)->add(cpu, out, up, count);
        CHECK(is_clean(out, 1, count));
        for (int i = 0; i < count; i++)
            CHECK(out[i] == truth[i] + up[i]);
        free(gate), free(up), free(truth), free(out);
    }
    backend_close(ref);
}

static void test_gates(void) {
    each_level(2, gates);
}

static void embeds(Backend *cpu) {
    enum { COLS = 512 };
    Backend *ref = open_ref();
    for (int t = 0; t < TYPE_COUNT; t++) {
        Tensor table = random_tensor(TYPES[t], 11, COLS);
        float truth[4 * COLS], *out = poisoned(1, 4 * COLS);
        static const int32_t IDS[] = {10, 0, 3, 3};
        backend_ops(ref)->embed(ref, truth, table, IDS, 4);
        backend_ops(cpu)->embed(cpu, out, table, IDS, 4);
        CHECK(is_clean(out, 1, 4 * COLS));
        CHECK(same_bits(truth, out, 4 * COLS));
        free(table.data), free(out);
    }
    backend_close(ref);
}

static void test_embed(void) {
    each_level(2, embeds);
}

static void test_door(void) {
    KernelError error;
    CHECK(backend_open(&(BackendConfig){.name = "abacus"}, &error) == NULL);
    CHECK(strstr(error.text, "abacus") && strstr(error.text, "ref") && strstr(error.text, "cuda"));
    Backend *best = backend_open(&(BackendConfig){.threads = 1}, &error);
    CHECK_MSG(best != NULL, "%s", error.text);
    DeviceInfo info;
    backend_info(best, &info);
    bool has_cuda = backend_cuda_devices(NULL, 0, &error) > 0;
    CHECK(has_cuda || error.text[0]);
    CHECK_MSG(strcmp(info.name, has_cuda ? "cuda" : "cpu") == 0, "%s is the best", info.name);
    backend_close(best);
    Backend *cpu = backend_open(&(BackendConfig){.name = "cpu", .threads = 2}, &error);
    CHECK_MSG(cpu != NULL, "%s", error.text);
    backend_info(cpu, &info);
    CHECK(strcmp(info.name, "cpu") == 0 && info.is_host);
    CHECK_INT(info.threads, 2);
    CHECK(info.memory_free > 0 && info.memory_free <= info.memory_bytes);
    CHECK(info.kv_types >> DTYPE_F16 & 1);
    Mem mem, none;
    CHECK(backend_alloc(cpu, 1000, &mem));
    CHECK_INT((uintptr_t)mem.address % 64, 0);
    CHECK(!backend_alloc(cpu, SIZE_MAX - 3, &none));
    CHECK(none.address == NULL);
    backend_no_room(cpu, 3000000000, &error);
    CHECK_MSG(strncmp(error.text, "3.0 GB are needed and ", 22) == 0, "%s", error.text);
    char text[6] = "";
    backend_put(cpu, mem, 995, "abcde", 5);
    backend_get(cpu, text, mem, 995, 5);
    CHECK(strcmp(text, "abcde") == 0);
    CHECK(backend_wait(cpu, &error));
    backend_put(cpu, mem, 996, "abcde", 5);
    CHECK(!backend_wait(cpu, &error));
    CHECK(strstr(error.text, "1000"));
    CHECK(backend_wait(cpu, &error) && !backend_is_lost(cpu));
    backend_free(cpu, &mem);
    backend_free(cpu, &mem);
    backend_close(cpu);
    backend_close(NULL);
}

static size_t held_by(const Backend *backend) {
    size_t held, own;
    backend_memory(backend, &held, &own);
    return held;
}

/* Addresses stay, contents stay, new bytes are zero, counts are exact. */
static void test_reserve(void) {
    KernelError error;
    Backend *cpu = backend_open(&(BackendConfig){.name = "cpu", .threads = 1}, &error);
    CHECK_MSG(cpu != NULL, "%s", error.text);
    Mem mem, small, large;
    CHECK(!backend_reserve(cpu, SIZE_MAX - 3, &mem) && mem.address == NULL);
    CHECK(backend_reserve(cpu, (size_t)1 << 36, &mem)); /* more than this machine has */
    CHECK(mem.address != NULL && mem.bytes == 0 && held_by(cpu) == 0);
    unsigned char *bytes = mem.address;
    static const size_t STEPS[] = {1, 100, 4096, 5000, 3000000, 3000001};
    for (int i = 0; i < 6; i++) {
        size_t before = mem.bytes;
        CHECK(backend_commit(cpu, &mem, STEPS[i]));
        CHECK(mem.address == bytes && mem.bytes == STEPS[i] && held_by(cpu) == STEPS[i]);
        for (size_t at = 0; at < mem.bytes; at++)
            CHECK(bytes[at] == (at < before ? 0x5A : 0));
        memset(bytes, 0x5A, mem.bytes);
    }
    CHECK(backend_commit(cpu, &mem, 10) && mem.bytes == 3000001); /* enough is there */
    CHECK(!backend_commit(cpu, &mem, ((size_t)1 << 36) + 1) && mem.bytes == 3000001);
    CHECK(bytes[3000000] == 0x5A);
    CHECK(backend_alloc(cpu, 100, &small) && backend_alloc(cpu, 5000000, &large));
    CHECK(!backend_commit(cpu, &small, 200));
    CHECK_INT(held_by(cpu), 3000001 + 100 + 5000000);
    CHECK(((char *)large.address)[4999999] == 0);
    backend_free(cpu, &mem);
    CHECK(mem.address == NULL && held_by(cpu) == 5000100);
    backend_free(cpu, &small);
    backend_free(cpu, &large);
    CHECK_INT(held_by(cpu), 0);
    backend_close(cpu);
}

enum { CHATS = 40, CHAT_BYTES = 3000000 };

/* Chats come and go while another thread computes. */
static void *open_chats(void *argument) {
    Backend *cpu = argument;
    for (int i = 0; i < CHATS; i++) {
        Mem kv, small;
        if (!backend_reserve(cpu, CHAT_BYTES, &kv) || !backend_alloc(cpu, 1000, &small))
            return NULL;
        for (size_t bytes = 5000; bytes < CHAT_BYTES; bytes *= 10)
            if (!backend_commit(cpu, &kv, bytes))
                return NULL;
        ((char *)kv.address)[kv.bytes - 1] = 1;
        backend_free(cpu, &kv);
        backend_free(cpu, &small);
    }
    return argument;
}

static void test_memory_of_others(void) {
    KernelError error;
    Backend *cpu = backend_open(&(BackendConfig){.name = "cpu", .threads = 2}, &error);
    CHECK_MSG(cpu != NULL, "%s", error.text);
    Tensor weight = random_tensor(DTYPE_Q8_0, 64, 256);
    float x[256], out[64];
    random_floats(x, 256);
    pthread_t threads[2];
    size_t held, own;
    for (int t = 0; t < 2; t++)
        CHECK(pthread_create(&threads[t], NULL, open_chats, cpu) == 0);
    for (int i = 0; i < 50; i++) {
        backend_ops(cpu)->matmul(cpu, &(MatMul){weight, NULL, out, 64, false}, 1, x, 256, 1);
        backend_memory(cpu, &held, &own);
        CHECK(held <= 2 * (CHAT_BYTES + 1000) && own > 0);
    }
    for (int t = 0; t < 2; t++) {
        void *result;
        CHECK(pthread_join(threads[t], &result) == 0 && result == cpu);
    }
    CHECK_INT(held_by(cpu), 0);
    CHECK(backend_wait(cpu, &error));
    backend_close(cpu);
    free(weight.data);
}

static void test_steps(void) {
    Backend *ref = open_ref();
    KernelError error;
    int32_t ids[3] = {7, 8, 9}, positions[3] = {100, 101, 102};
    StepInputs inputs = backend_begin(ref, ids, positions, 3);
    ids[0] = positions[2] = 0; /* copied already */
    CHECK(inputs.ids[0] == 7 && inputs.ids[2] == 9 && inputs.positions[2] == 102);
    backend_flush(ref);
    CHECK(backend_wait(ref, &error));
    CHECK(backend_begin(ref, ids, positions, 0).ids == NULL);
    CHECK(!backend_wait(ref, &error));
    CHECK(backend_begin(ref, ids, positions, BACKEND_STEP_ROWS + 1).ids == NULL);
    CHECK(!backend_wait(ref, &error) && strstr(error.text, "2049"));
    backend_close(ref);
}

/* The host's bytes in place; random blocks of usual size, the same for the same seed. */
static void test_matrices(void) {
    Backend *ref = open_ref();
    for (int t = 0; t < TYPE_COUNT; t++) {
        enum { ROWS = 8, COLS = 1024 };
        size_t row_bytes = dtype_row_bytes(TYPES[t], COLS);
        Mem mem;
        CHECK_INT(backend_matrix_bytes(ref, TYPES[t], ROWS, COLS), 0);
        CHECK(backend_alloc(ref, 256 + ROWS * row_bytes, &mem));
        Tensor random = backend_random_matrix(ref, mem, 256, TYPES[t], ROWS, COLS, 5);
        Tensor alias = backend_matrix(ref, (Mem){0}, 0, random.data, TYPES[t], ROWS, COLS);
        CHECK((char *)random.data == (char *)mem.address + 256 && alias.data == random.data);
        CHECK(alias.row_bytes == row_bytes && alias.rows == ROWS && alias.cols == COLS && !alias.is_planar);
        double sum = 0, squares = 0;
        float row[COLS];
        for (int r = 0; r < ROWS; r++) {
            dtype_to_floats(TYPES[t], tensor_row(&alias, r), COLS, row);
            for (int c = 0; c < COLS; c++)
                sum += row[c], squares += (double)row[c] * row[c];
        }
        double mean = sum / (ROWS * COLS), deviation = sqrt(squares / (ROWS * COLS));
        CHECK_MSG(fabs(mean) < 0.004 && deviation > 0.012 && deviation < 0.03, "%s: mean %g, deviation %g",
                  dtype_info((uint32_t)TYPES[t])->name, mean, deviation);
        uint8_t *again = malloc(ROWS * row_bytes);
        CHECK(again != NULL);
        dtype_random_blocks(TYPES[t], again, ROWS * COLS, 5);
        CHECK(memcmp(again, random.data, ROWS * row_bytes) == 0);
        dtype_random_blocks(TYPES[t], again, ROWS * COLS, 6);
        CHECK(memcmp(again, random.data, ROWS * row_bytes) != 0);
        free(again);
        backend_free(ref, &mem);
    }
    backend_close(ref);
}

typedef struct Tally {
    _Atomic int seen[64];
    _Atomic int workers[8];
} Tally;

static void count_item(void *context, int item, int worker) {
    Tally *tally = context;
    tally->seen[item]++;
    tally->workers[worker]++;
}

/* Every item once, whatever the threads and the pauses between jobs. */
static void test_pool(void) {
    for (int threads = 1; threads <= 5; threads += 2) {
        Pool *pool = pool_open(threads);
        CHECK(pool != NULL);
        for (int round = 0; round < 200; round++) {
            Tally tally = {0};
            int items = random_below(64);
            pool_run(pool, count_item, &tally, items);
            for (int i = 0; i < 64; i++)
                CHECK_INT(tally.seen[i], i < items);
            if (round % 50 == 0)
                nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* let the workers fall asleep */
        }
        pool_close(pool);
    }
    for (int i = 0; i < 500; i++) { /* closed while workers are still on their way to a round */
        Tally tally = {0};
        Pool *pool = pool_open(3);
        CHECK(pool != NULL);
        for (int round = 0; round < i % 4; round++)
            pool_run(pool, count_item, &tally, 2);
        pool_close(pool);
        CHECK_INT(tally.seen[0] + tally.seen[1], 2 * (i % 4));
    }
    pool_close(NULL);
}

static const TestCase CASES[] = {
    {"norms", test_norms}, {"gates", test_gates},       {"embed", test_embed},
    {"door", test_door},   {"reserve", test_reserve},   {"memory_of_others", test_memory_of_others},
    {"steps", test_steps}, {"matrices", test_matrices}, {"pool", test_pool}};
TEST_SUITE(KERNELS_ELEMENTS_SUITE, "elements", CASES);
