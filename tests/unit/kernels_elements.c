#define _GNU_SOURCE
#include "tests/unit/kernels_support.h"

#include <math.h>
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
    static const DType TYPES[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0};
    Backend *ref = open_ref();
    for (int t = 0; t < 5; t++) {
        Tensor table = random_tensor(TYPES[t], 11, 96);
        float truth[4 * 96], *out = poisoned(1, 4 * 96);
        static const int32_t IDS[] = {10, 0, 3, 3};
        backend_ops(ref)->embed(ref, truth, table, IDS, 4);
        backend_ops(cpu)->embed(cpu, out, table, IDS, 4);
        CHECK(is_clean(out, 1, 4 * 96));
        CHECK(same_bits(truth, out, 4 * 96));
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
    CHECK(strstr(error.text, "abacus") && strstr(error.text, "ref"));
    Backend *cpu = backend_open(&(BackendConfig){.threads = 2}, &error);
    CHECK_MSG(cpu != NULL, "%s", error.text);
    DeviceInfo info;
    backend_info(cpu, &info);
    CHECK(strcmp(info.name, "cpu") == 0);
    CHECK_INT(info.threads, 2);
    Mem mem, alias, none;
    CHECK(backend_alloc(cpu, 1000, &mem));
    CHECK_INT((uintptr_t)mem.address % 64, 0);
    CHECK(!backend_alloc(cpu, SIZE_MAX - 3, &none));
    CHECK(none.address == NULL);
    char text[6] = "";
    backend_put(cpu, mem, 995, "abcde", 5);
    backend_get(cpu, text, mem, 995, 5);
    CHECK(strcmp(text, "abcde") == 0);
    CHECK(backend_wait(cpu, &error));
    backend_put(cpu, mem, 996, "abcde", 5);
    CHECK(!backend_wait(cpu, &error));
    CHECK(strstr(error.text, "1000"));
    CHECK(backend_wait(cpu, &error));
    CHECK(backend_weights(cpu, text, sizeof text, &alias) && alias.address == text);
    backend_free(cpu, &alias);
    backend_free(cpu, &mem);
    backend_free(cpu, &mem);
    backend_close(cpu);
    backend_close(NULL);
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

static const TestCase CASES[] = {{"norms", test_norms},
                                 {"gates", test_gates},
                                 {"embed", test_embed},
                                 {"door", test_door},
                                 {"pool", test_pool}};
TEST_SUITE(KERNELS_ELEMENTS_SUITE, "elements", CASES);
