/* The CUDA backend as the engine uses it: steps and their graphs, rounded activations, choices, failures.
 * What single kernels compute is tested elsewhere. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cuda_backend_support.h"
#ifdef MUX_EMULATED
#include "tests/emulator/control.h"
#endif

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
    {"options", test_options},
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
