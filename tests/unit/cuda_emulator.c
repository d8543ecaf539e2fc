/* The emulator itself: planted mistakes are found and called by their names, the correct twins of the same
 * kernels pass, instructions do what the PTX ISA says, and the runtime calls are as late as on a device. */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/tensor.h"
#include "tests/emulator/control.h"
#include "tests/emulator/planted.h"
#include "tests/runner.h"
#include "tests/unit/kernels_support.h"

enum { THREADS = 64 };

/* ---- helpers ---- */

static void begin(void) {
    emulator_reset();
    emulator_set_loud(false);
}

static void *new_memory(size_t bytes) {
    void *at = NULL;
    CHECK_INT(cudaMalloc(&at, bytes), cudaSuccess);
    return at;
}
static void *new_copy(const void *host, size_t bytes) {
    void *at = new_memory(bytes);
    CHECK_INT(cudaMemcpy(at, host, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    return at;
}

static cudaError_t launch(const void *kernel, unsigned blocks, unsigned threads, size_t shared_bytes,
                          PlantedArgs args) {
    void *arguments[] = {&args};
    dim3 grid = {blocks, 1, 1}, block = {threads, 1, 1};
    return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, NULL);
}

static cudaError_t run(const char *name, bool is_wrong, unsigned blocks, unsigned threads,
                       size_t shared_bytes, PlantedArgs args) {
    const void *kernel = planted_kernel(name, is_wrong);
    CHECK_MSG(kernel != NULL, "no kernel %s", name);
    CHECK_INT(launch(kernel, blocks, threads, shared_bytes, args), cudaSuccess);
    return cudaDeviceSynchronize();
}

/* ---- mistakes ---- */

typedef struct Mistake {
    const char *kernel;
    unsigned blocks;
    size_t shared_bytes;
    cudaError_t error;
    const char *words[3]; /* all of them in the report */
} Mistake;

static const Mistake MISTAKES[] = {
    {"race_of_warps", 1, 256, cudaErrorLaunchFailure, {"race: ", "shared memory", "planted.cu:"}},
    {"race_of_lanes", 1, 256, cudaErrorLaunchFailure, {"race: ", "shared memory", "lane"}},
    {"race_past_shuffle", 1, 256, cudaErrorLaunchFailure, {"race: ", "shared memory"}},
    {"race_of_rounds", 1, 256, cudaErrorLaunchFailure, {"race: ", "shared memory"}},
    {"race_of_reader", 1, 256, cudaErrorLaunchFailure, {"race: ", "shared memory"}},
    {"race_of_counter", 1, 256, cudaErrorLaunchFailure, {"race: ", "shared memory at byte 0"}},
    {"race_in_device_memory", 1, 0, cudaErrorLaunchFailure, {"reads "}},
    {"race_of_blocks",
     2,
     0,
     cudaErrorLaunchFailure,
     {"race: writes device memory that block", "same launch"}},
    {"reading_of_blocks", 2, 0, cudaErrorLaunchFailure, {"reads "}},
    {"diverged_shuffle", 1, 0, cudaErrorLaunchFailure, {"divergence: ", "shuffle_xor", "exited"}},
    {"diverged_barrier", 1, 256, cudaErrorLaunchFailure, {"divergence: ", "block_sync", "exited"}},
    {"two_barriers",
     1,
     256,
     cudaErrorLaunchFailure,
     {"divergence: ", " at block_sync (planted.cu:", "running"}},
    {"exit_before_shuffle", 1, 0, cudaErrorLaunchFailure, {"divergence: ", "lane 5 exited", "shuffle_xor"}},
    {"deadlock",
     1,
     256,
     cudaErrorLaunchFailure,
     {"deadlock", "warp 0: lanes 0-31 at named_sync", "warp 1: "}},
    {"barrier_of_two_sizes",
     1,
     256,
     cudaErrorLaunchFailure,
     {"divergence: barrier 1", "96 threads", "64 threads"}},
    {"producer_and_consumer", 1, 256, cudaErrorLaunchFailure, {": "}},
    {"read_past_end",
     1,
     0,
     cudaErrorIllegalAddress,
     {"reads 4 bytes out of bounds", "byte 256 of an allocation of 256"}},
    {"write_before_begin",
     1,
     0,
     cudaErrorIllegalAddress,
     {"writes 4 bytes out of bounds", "4 bytes before an allocation"}},
    {"write_past_shared",
     1,
     256,
     cudaErrorIllegalAddress,
     {"writes 4 bytes out of bounds", "byte 256 of 256 bytes of shared"}},
    {"misaligned_load",
     1,
     0,
     cudaErrorMisalignedAddress,
     {"reads 16 bytes misaligned", "4 past a multiple of 16"}},
    {"misaligned_pointer",
     1,
     0,
     cudaErrorMisalignedAddress,
     {"reads 16 bytes misaligned", "8 past a multiple of 16"}},
    {"copy_not_waited_for", 1, 256, cudaErrorLaunchFailure, {"that a copy under way will write"}},
    {"copy_without_barrier", 1, 256, cudaErrorLaunchFailure, {"shared memory"}},
    {"copy_never_waited_for", 1, 1024, cudaErrorLaunchFailure, {"never waited for"}},
    {"unwritten_shared",
     1,
     256,
     cudaErrorLaunchFailure,
     {"reads 4 unwritten bytes of shared memory at byte 28"}},
};

static bool report_has(const char *words) {
    return !words || strstr(emulator_report(), words) != NULL;
}

/* Whether this build can find it: meetings always, accesses where the emulator sees them. */
static bool is_found(const Mistake *mistake) {
    return emulator_sees_memory() || strncmp(mistake->words[0], "divergence", 10) == 0 ||
           strncmp(mistake->words[0], "deadlock", 8) == 0;
}

static void check_mistake(const Mistake *mistake, bool is_wrong) {
    if (is_wrong && !is_found(mistake))
        return;
    float in[2 * THREADS], out[THREADS];
    random_floats(in, 2 * THREADS);
    PlantedArgs args = {new_copy(in, THREADS * sizeof(float)), NULL, new_memory(THREADS * sizeof(float)),
                        THREADS};
    /* As many threads as floats, whatever the number of blocks. */
    cudaError_t error = run(mistake->kernel, is_wrong, mistake->blocks, THREADS / mistake->blocks,
                            mistake->shared_bytes, args);
    if (is_wrong) {
        CHECK_MSG(error == mistake->error, "%s: %s", mistake->kernel, cudaGetErrorName(error));
        for (int i = 0; i < 3; i++)
            CHECK_MSG(report_has(mistake->words[i]), "%s: no \"%s\" in: %s", mistake->kernel,
                      mistake->words[i], emulator_report());
        CHECK_MSG(report_has(mistake->kernel), "%s", emulator_report());
    } else {
        CHECK_MSG(error == cudaSuccess && !*emulator_report(), "%s: %s: %s", mistake->kernel,
                  cudaGetErrorName(error), emulator_report());
        CHECK_INT(cudaMemcpy(out, args.out, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
    }
    emulator_clear_report();
    CHECK_INT(cudaFree((void *)args.in), cudaSuccess);
    CHECK_INT(cudaFree(args.out), cudaSuccess);
    if (is_wrong)
        return;
    for (int i = 0; i < THREADS;
         i++) { /* each takes another's value: of the other warp, or of its neighbour */
        float expected[] = {in[i ^ 32], in[i ^ 1]};
        CHECK_MSG(out[i] == expected[0] || out[i] == expected[1] ||
                      strcmp(mistake->kernel, "misaligned_load") == 0 ||
                      strcmp(mistake->kernel, "misaligned_pointer") == 0,
                  "%s: %d: %g", mistake->kernel, i, (double)out[i]);
    }
}

/* Whatever the order of warps and lanes. */
static void test_mistakes(void) {
    begin();
    for (uint64_t seed = 1; seed <= 12; seed++)
        for (size_t i = 0; i < sizeof MISTAKES / sizeof *MISTAKES; i++) {
            emulator_set_seed(seed);
            check_mistake(&MISTAKES[i], true);
        }
}
static void test_correct_twins(void) {
    begin();
    for (uint64_t seed = 1; seed <= 12; seed++)
        for (size_t i = 0; i < sizeof MISTAKES / sizeof *MISTAKES; i++) {
            emulator_set_seed(seed);
            check_mistake(&MISTAKES[i], false);
        }
}

static void check_second_input(const void *in2, cudaError_t error, const char *words) {
    float in[THREADS] = {0};
    PlantedArgs args = {new_copy(in, sizeof in), in2, new_memory(sizeof in), THREADS};
    CHECK_INT(run("read_second_input", false, 1, THREADS, 0, args), cudaSuccess);
    CHECK_INT(run("read_second_input", true, 1, THREADS, 0, args), error);
    CHECK_MSG(report_has(words), "%s", emulator_report());
    emulator_clear_report();
    cudaFree((void *)args.in), cudaFree(args.out);
}

static void test_places(void) {
    if (!emulator_sees_memory())
        SKIP("this build sees no accesses of kernels");
    begin();
    float host[THREADS] = {0};
    float *device = new_memory(THREADS * sizeof(float)), *pinned = NULL;
    check_second_input(host, cudaErrorIllegalAddress, "reads host memory");
    check_second_input(NULL, cudaErrorIllegalAddress, "null pointer");
    check_second_input(device, cudaErrorLaunchFailure, "unwritten bytes at byte");
    CHECK_INT(cudaMallocHost((void **)&pinned, THREADS * sizeof(float)), cudaSuccess);
    check_second_input(pinned, cudaErrorIllegalAddress, "host memory");
    CHECK_INT(cudaMemset(device, 0, THREADS * sizeof(float) - 1), cudaSuccess);
    check_second_input(device, cudaErrorLaunchFailure, "unwritten bytes at byte 252");
    CHECK_INT(cudaMemset(device, 0, THREADS * sizeof(float)), cudaSuccess);
    check_second_input(device, cudaSuccess, "");
    CHECK_INT(cudaFree(device), cudaSuccess);
    CHECK_INT(cudaFreeHost(pinned), cudaSuccess);
    check_second_input(device, cudaErrorIllegalAddress, "reads ");
}

/* A copy on the device carries unwritten bytes with it. */
static void test_copied_holes(void) {
    if (!emulator_sees_memory())
        SKIP("this build sees no accesses of kernels");
    begin();
    char *from = new_memory(THREADS * sizeof(float)), *to = new_memory(THREADS * sizeof(float));
    CHECK_INT(cudaMemset(to, 0, THREADS * sizeof(float)), cudaSuccess);
    CHECK_INT(cudaMemset(from, 0, 100), cudaSuccess);
    CHECK_INT(cudaMemset(from + 104, 0, THREADS * sizeof(float) - 104), cudaSuccess);
    CHECK_INT(cudaMemcpy(to, from, THREADS * sizeof(float), cudaMemcpyDeviceToDevice), cudaSuccess);
    check_second_input(to, cudaErrorLaunchFailure, "unwritten bytes at byte 100");
    cudaFree(from), cudaFree(to);
}

static void test_last_block(void) {
    begin();
    float in[16], out[2];
    random_floats(in, 16);
    double sum = 0, size = 0;
    for (int i = 0; i < 16; i++) {
        sum += (double)in[i];
        size += fabs((double)in[i]);
    }
    for (int is_wrong = 0; is_wrong < 1 + emulator_sees_memory(); is_wrong++) {
        PlantedArgs args = {new_copy(in, sizeof in), new_memory(sizeof in), new_memory(sizeof out), 16};
        CHECK_INT(cudaMemset(args.out, 0, sizeof out), cudaSuccess);
        CHECK_INT(run("last_block", is_wrong, 16, 32, 4, args),
                  is_wrong ? cudaErrorLaunchFailure : cudaSuccess);
        if (!is_wrong) {
            CHECK_INT(cudaMemcpy(out, args.out, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
            CHECK(fabs((double)out[1] - sum) <= 16 * 6e-8 * size); /* 16 roundings */
        }
        emulator_clear_report();
        cudaFree((void *)args.in), cudaFree((void *)args.in2), cudaFree(args.out);
    }
}

/* ---- instructions ---- */

static void test_product_of_halves(void) {
    begin();
    for (int is_bf16 = 0; is_bf16 < 2; is_bf16++) {
        uint16_t a[16 * 16], b[16 * 8];
        float d[16 * 8], out[16 * 8];
        random_floats(d, 16 * 8);
        for (int i = 0; i < 16 * 16; i++)
            a[i] = is_bf16 ? bf16_from_float(random_float()) : half_from_float(random_float());
        for (int i = 0; i < 16 * 8; i++)
            b[i] = is_bf16 ? bf16_from_float(random_float()) : half_from_float(random_float());
        PlantedArgs args = {new_copy(a, sizeof a), new_copy(b, sizeof b), new_copy(d, sizeof d), 0};
        CHECK_INT(run("product_of_halves", is_bf16, 1, 32, 0, args), cudaSuccess);
        CHECK_INT(cudaMemcpy(out, args.out, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
        for (int row = 0; row < 16; row++)
            for (int column = 0; column < 8; column++) {
                double sum = (double)d[row * 8 + column], size = fabs(sum);
                for (int k = 0; k < 16; k++) {
                    uint16_t x = a[row * 16 + k], y = b[k * 8 + column];
                    double product = is_bf16 ? (double)bf16_to_float(x) * (double)bf16_to_float(y)
                                             : (double)half_to_float(x) * (double)half_to_float(y);
                    sum += product;
                    size += fabs(product);
                }
                /* one rounding to float */
                CHECK(fabs((double)out[row * 8 + column] - sum) <= 6e-8 * size + 1e-30);
            }
        cudaFree((void *)args.in), cudaFree((void *)args.in2), cudaFree(args.out);
    }
}

static void test_product_of_bytes(void) {
    begin();
    int8_t a[16 * 32], b[32 * 8];
    int32_t d[16 * 8], out[16 * 8];
    for (int i = 0; i < 16 * 32; i++)
        a[i] = (int8_t)test_random();
    for (int i = 0; i < 32 * 8; i++)
        b[i] = (int8_t)test_random();
    for (int i = 0; i < 16 * 8; i++)
        d[i] = (int32_t)(test_random() % 1000000);
    PlantedArgs args = {new_copy(a, sizeof a), new_copy(b, sizeof b), new_copy(d, sizeof d), 0};
    CHECK_INT(run("product_of_bytes", false, 1, 32, 0, args), cudaSuccess);
    CHECK_INT(cudaMemcpy(out, args.out, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            int sum = d[row * 8 + column];
            for (int k = 0; k < 32; k++)
                sum += a[row * 32 + k] * b[k * 8 + column];
            CHECK_INT(out[row * 8 + column], sum);
        }
    cudaFree((void *)args.in), cudaFree((void *)args.in2), cudaFree(args.out);
}

static void test_matrices(void) {
    begin();
    uint16_t in[4][8][8];
    uint32_t out[32][12];
    for (int i = 0; i < 256; i++)
        (&in[0][0][0])[i] = (uint16_t)test_random();
    PlantedArgs args = {new_copy(in, sizeof in), NULL, new_memory(sizeof out), 0};
    CHECK_INT(run("matrices", false, 1, 32, sizeof in, args), cudaSuccess);
    CHECK_INT(cudaMemcpy(out, args.out, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
    for (int lane = 0; lane < 32; lane++)
        for (int m = 0; m < 4; m++) {
            int row = lane / 4, column = lane % 4 * 2;
            uint32_t plain = in[m][row][column] | (uint32_t)in[m][row][column + 1] << 16;
            uint32_t turned = in[m][column][row] | (uint32_t)in[m][column + 1][row] << 16;
            CHECK(out[lane][m] == plain && out[lane][4 + m] == turned);
            CHECK(m > 1 || (out[lane][8 + m] == plain && out[lane][10 + m] == turned));
        }
    cudaFree((void *)args.in), cudaFree(args.out);
}

static void test_lanes(void) {
    begin();
    int in[32], out[32][5], sum = 0;
    unsigned odd = 0;
    for (int i = 0; i < 32; i++) {
        in[i] = (int)(test_random() % 1000);
        sum += in[i];
        odd |= (unsigned)(in[i] & 1) << i;
    }
    PlantedArgs args = {new_copy(in, sizeof in), NULL, new_memory(sizeof out), 0};
    CHECK_INT(run("lanes", false, 1, 32, 0, args), cudaSuccess);
    CHECK_INT(cudaMemcpy(out, args.out, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
    for (int i = 0; i < 32; i++) {
        CHECK_INT(out[i][0], in[i ^ 3]);
        CHECK_INT(out[i][1], in[7]);
        CHECK_INT(out[i][2], in[i < 4 ? i : i - 4]);
        CHECK_INT((unsigned)out[i][3], odd);
        CHECK_INT(out[i][4], sum);
    }
    CHECK_INT(run("lanes", false, 1, 16, 0, args), cudaErrorLaunchFailure);
    CHECK_MSG(report_has("by a warp of 16 lanes"), "%s", emulator_report());
    emulator_clear_report();
    cudaFree((void *)args.in), cudaFree(args.out);
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}
static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}
static int8_t byte_of(uint32_t word, int i) {
    return (int8_t)(word >> 8 * i);
}

static void check_number(uint32_t x, uint32_t y, const uint32_t *out) {
    float fx = float_of(x), fy = float_of(y);
    int dot = (int)(x ^ y);
    for (int i = 0; i < 4; i++) {
        dot = (int)((unsigned)dot + (unsigned)(byte_of(x, i) * byte_of(y, i)));
        int difference = byte_of(x, i) - byte_of(y, i);
        CHECK_INT(byte_of(out[1], i), difference > 127 ? 127 : difference < -128 ? -128 : difference);
        unsigned selected = x >> 4 * i & 7;
        CHECK_INT(byte_of(out[2], i), byte_of(selected < 4 ? x : y, (int)selected % 4));
    }
    CHECK_INT((int)out[0], dot);
    if (fx == fx && fy == fy) { /* what becomes of a NaN's bits is not the same everywhere */
        CHECK_INT(out[4], half_from_float(fx));
        CHECK_INT(out[5], bf16_from_float(fx));
        CHECK_INT(out[6], (uint32_t)half_from_float(fy) << 16 | half_from_float(fx));
        CHECK_INT(out[7], (uint32_t)bf16_from_float(fy) << 16 | bf16_from_float(fx));
    }
    if (fabsf(fx) < 1e9f)
        CHECK_INT((int)out[8], lrintf(fx));
    float half = half_to_float((uint16_t)x), high = half_to_float((uint16_t)(y >> 16));
    CHECK(half != half || out[3] == bits_of(half));
    CHECK(high != high || out[9] == bits_of(high));
}

static void test_numbers(void) {
    begin();
    enum { COUNT = 65536 };
    uint32_t *in = malloc(COUNT * 8), *out = malloc(COUNT * 40);
    for (uint32_t i = 0; i < COUNT; i++) { /* every half; floats of every size, ties among them */
        uint32_t random = (uint32_t)test_random();
        in[2 * i] = i % 3 == 0   ? (random & 0xFFFF0000u) | i
                    : i % 3 == 1 ? random
                                 : bits_of(half_to_float((uint16_t)i)) + (random & 1) * 0x1000u;
        in[2 * i + 1] = (uint32_t)test_random();
    }
    for (uint32_t i = 0; i < COUNT; i++) /* x's low half counts through all of them */
        in[2 * i] = i % 2 ? in[2 * i] : (in[2 * i] & 0xFFFF0000u) | i;
    PlantedArgs args = {new_copy(in, COUNT * 8), NULL, new_memory(COUNT * 40), COUNT};
    CHECK_INT(run("numbers", false, COUNT / 256, 256, 0, args), cudaSuccess);
    CHECK_INT(cudaMemcpy(out, args.out, COUNT * 40, cudaMemcpyDeviceToHost), cudaSuccess);
    for (int i = 0; i < COUNT; i++)
        check_number(in[2 * i], in[2 * i + 1], out + 10 * i);
    cudaFree((void *)args.in), cudaFree(args.out);
    free(in), free(out);
}

/* ---- the runtime ---- */

/* Nothing has happened before somebody waits. */
static void test_lateness(void) {
    begin();
    float host[THREADS], *pinned, *out;
    random_floats(host, THREADS);
    CHECK_INT(cudaMallocHost((void **)&pinned, sizeof host), cudaSuccess);
    CHECK_INT(cudaMallocHost((void **)&out, sizeof host), cudaSuccess);
    PlantedArgs args = {new_memory(sizeof host), NULL, new_memory(sizeof host), THREADS};
    cudaStream_t stream;
    CHECK_INT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    /* Pageable memory is taken at the call, pinned memory when the copy runs. */
    float saved = host[0];
    CHECK_INT(cudaMemcpyAsync((void *)args.in, host, sizeof host, cudaMemcpyHostToDevice, stream),
              cudaSuccess);
    host[0] += 1;
    void *arguments[] = {&args};
    dim3 grid = {1, 1, 1}, block = {THREADS, 1, 1};
    CHECK_INT(cudaLaunchKernel(planted_kernel("add_one", false), grid, block, arguments, 0, stream),
              cudaSuccess);
    CHECK_INT(cudaMemcpyAsync(out, args.out, sizeof host, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    CHECK(out[1] != out[1]); /* not yet */
    CHECK_INT(cudaStreamSynchronize(stream), cudaSuccess);
    CHECK(out[0] == saved + 1 && out[5] == host[5] + 1);
    memcpy(pinned, host, sizeof host);
    CHECK_INT(cudaMemcpyAsync((void *)args.in, pinned, sizeof host, cudaMemcpyHostToDevice, stream),
              cudaSuccess);
    pinned[3] = 77;
    CHECK_INT(cudaMemcpyAsync(out, args.in, sizeof host, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    CHECK_INT(cudaStreamSynchronize(stream), cudaSuccess);
    CHECK(out[3] == 77);
    CHECK_INT(cudaStreamDestroy(stream), cudaSuccess);
    cudaFree((void *)args.in), cudaFree(args.out), cudaFreeHost(pinned), cudaFreeHost(out);
}

static void test_events(void) {
    begin();
    float zero[THREADS] = {0}, out[THREADS];
    cudaStream_t first, second;
    cudaEvent_t event, end;
    CHECK_INT(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking), cudaSuccess);
    CHECK_INT(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking), cudaSuccess);
    CHECK_INT(cudaEventCreate(&event), cudaSuccess);
    CHECK_INT(cudaEventCreate(&end), cudaSuccess);
    PlantedArgs args = {new_copy(zero, sizeof zero), NULL, new_memory(sizeof zero), THREADS};
    PlantedArgs next = {args.out, NULL, new_memory(sizeof zero), THREADS};
    void *arguments[] = {&args}, *next_arguments[] = {&next};
    dim3 grid = {1, 1, 1}, block = {THREADS, 1, 1};
    CHECK_INT(cudaLaunchKernel(planted_kernel("add_one", false), grid, block, arguments, 0, first),
              cudaSuccess);
    CHECK_INT(cudaEventRecord(event, first), cudaSuccess);
    CHECK_INT(cudaStreamWaitEvent(second, event, 0), cudaSuccess);
    CHECK_INT(cudaLaunchKernel(planted_kernel("add_one", false), grid, block, next_arguments, 0, second),
              cudaSuccess);
    CHECK_INT(cudaEventRecord(end, second), cudaSuccess);
    float ms = -1;
    CHECK_INT(cudaEventElapsedTime(&ms, event, end), cudaErrorNotReady);
    CHECK_INT(cudaEventSynchronize(end), cudaSuccess);
    CHECK_INT(cudaEventElapsedTime(&ms, event, end), cudaSuccess);
    CHECK(ms >= 0);
    CHECK_INT(cudaMemcpy(out, next.out, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
    CHECK(out[0] == 2 && out[THREADS - 1] == 2);
    cudaEventDestroy(event), cudaEventDestroy(end), cudaStreamDestroy(first), cudaStreamDestroy(second);
    cudaFree((void *)args.in), cudaFree(args.out), cudaFree(next.out);
}

static cudaGraphNode_t add_node(cudaGraph_t graph, const char *kernel, const PlantedArgs *args,
                                const cudaGraphNode_t *after) {
    void *arguments[] = {(void *)args};
    struct cudaKernelNodeParams params;
    memset(&params, 0, sizeof params);
    params.func = (void *)planted_kernel(kernel, false);
    params.gridDim = (dim3){1, 1, 1};
    params.blockDim = (dim3){THREADS, 1, 1};
    params.kernelParams = arguments;
    cudaGraphNode_t node;
    CHECK_INT(cudaGraphAddKernelNode(&node, graph, after, after ? 1 : 0, &params), cudaSuccess);
    return node;
}

static void test_graphs(void) {
    begin();
    float in[THREADS], out[THREADS];
    random_floats(in, THREADS);
    float *a = new_copy(in, sizeof in), *b = new_memory(sizeof in), *c = new_memory(sizeof in);
    PlantedArgs one = {a, NULL, b, THREADS}, two = {b, NULL, c, THREADS}, other = {c, NULL, b, THREADS};
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CHECK_INT(cudaGraphCreate(&graph, 0), cudaSuccess);
    cudaGraphNode_t first = add_node(graph, "add_one", &one, NULL);
    cudaGraphNode_t second = add_node(graph, "double_it", &two, &first);
    CHECK_INT(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    CHECK_INT(cudaGraphLaunch(exec, NULL), cudaSuccess);
    CHECK_INT(cudaMemcpy(out, c, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
    for (int i = 0; i < THREADS; i++)
        CHECK(out[i] == (in[i] + 1) * 2);
    void *arguments[] = {&other};
    struct cudaKernelNodeParams params = {
        (void *)planted_kernel("double_it", false), {1, 1, 1}, {THREADS, 1, 1}, 0, arguments, NULL};
    CHECK_INT(cudaGraphExecKernelNodeSetParams(exec, second, &params), cudaSuccess);
    CHECK_INT(cudaGraphLaunch(exec, NULL), cudaSuccess);
    CHECK_INT(cudaMemcpy(out, b, sizeof out, cudaMemcpyDeviceToHost), cudaSuccess);
    for (int i = 0; i < THREADS; i++)
        CHECK(out[i] == (in[i] + 1) * 4);
    CHECK_INT(cudaGraphExecDestroy(exec), cudaSuccess);
    CHECK_INT(cudaGraphDestroy(graph), cudaSuccess);
    cudaFree(a), cudaFree(b), cudaFree(c);
}

/* Nodes that nothing orders run in any order: some seed shows the forgotten dependency. */
static void test_unordered_nodes(void) {
    if (!emulator_sees_memory())
        SKIP("this build sees no accesses of kernels");
    begin();
    float *a = new_memory(256), *b = new_memory(256), *c = new_memory(256);
    CHECK_INT(cudaMemset(a, 0, 256), cudaSuccess);
    PlantedArgs one = {a, NULL, b, THREADS}, two = {b, NULL, c, THREADS};
    int failures = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        emulator_set_seed(seed);
        cudaFree(b), cudaFree(c);
        one.out = b = new_memory(256);
        two.in = b;
        two.out = c = new_memory(256);
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        CHECK_INT(cudaGraphCreate(&graph, 0), cudaSuccess);
        add_node(graph, "add_one", &one, NULL);
        add_node(graph, "double_it", &two, NULL);
        CHECK_INT(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
        CHECK_INT(cudaGraphLaunch(exec, NULL), cudaSuccess);
        failures += cudaDeviceSynchronize() != cudaSuccess;
        emulator_clear_report();
        cudaGraphExecDestroy(exec), cudaGraphDestroy(graph);
    }
    CHECK(failures > 0 && failures < 20);
    cudaFree(a), cudaFree(b), cudaFree(c);
}

static void test_launch_limits(void) {
    begin();
    PlantedArgs none = {NULL, NULL, NULL, 0};
    const void *kernel = planted_kernel("add_one", false);
    CHECK_INT(launch(kernel, 1, 1025, 0, none), cudaErrorInvalidConfiguration);
    CHECK_INT(launch(kernel, 0, 32, 0, none), cudaErrorInvalidConfiguration);
    CHECK_INT(launch(kernel, 1, 0, 0, none), cudaErrorInvalidConfiguration);
    CHECK_INT(launch(kernel, 1, 1024, 48 * 1024, none), cudaSuccess);
    CHECK_INT(launch(kernel, 1, 32, 48 * 1024 + 1, none), cudaErrorInvalidValue);
    enum cudaFuncAttribute most = cudaFuncAttributeMaxDynamicSharedMemorySize;
    CHECK_INT(cudaFuncSetAttribute(kernel, most, 227 * 1024 + 1), cudaErrorInvalidValue);
    CHECK_INT(cudaFuncSetAttribute(kernel, most, 227 * 1024), cudaSuccess);
    CHECK_INT(launch(kernel, 1, 32, 227 * 1024, none), cudaSuccess);
    CHECK_INT(cudaDeviceSynchronize(), cudaSuccess);
    emulator_set_capability(80);
    CHECK_INT(cudaFuncSetAttribute(kernel, most, 163 * 1024 + 1), cudaErrorInvalidValue);
    CHECK_INT(cudaFuncSetAttribute(kernel, most, 163 * 1024), cudaSuccess);
    int major = 0;
    CHECK_INT(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), cudaSuccess);
    CHECK_INT(major, 8);
    CHECK_INT(cudaFuncSetAttribute(kernel, most, 0), cudaSuccess);
}

static void test_failures(void) {
    begin();
    void *at = NULL;
    emulator_set_memory(1 << 20);
    CHECK_INT(cudaMalloc(&at, (1 << 20) + 1), cudaErrorMemoryAllocation);
    CHECK_INT(cudaGetLastError(), cudaErrorMemoryAllocation);
    CHECK_INT(cudaGetLastError(), cudaSuccess);
    emulator_fail_next("cudaMalloc", 1, cudaErrorMemoryAllocation);
    void *first = new_memory(256);
    CHECK_INT(cudaMalloc(&at, 256), cudaErrorMemoryAllocation);
    void *second = new_memory(256);
    float zero[THREADS] = {0};
    PlantedArgs args = {new_copy(zero, sizeof zero), NULL, first, THREADS};
    emulator_fail_launch(1, cudaErrorIllegalAddress);
    CHECK_INT(run("add_one", false, 1, THREADS, 0, args), cudaSuccess);
    CHECK_INT(run("add_one", false, 1, THREADS, 0, args), cudaErrorIllegalAddress);
    CHECK_INT(cudaMalloc(&at, 256), cudaErrorIllegalAddress); /* lost */
    CHECK_INT(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
    emulator_clear_report();
    CHECK_INT(run("add_one", false, 1, THREADS, 0, args), cudaSuccess);
    cudaFree(first), cudaFree(second), cudaFree((void *)args.in);
    CHECK_INT(cudaMemcpy(zero, first, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue); /* freed */
    int count = 7;
    emulator_set_devices(0);
    CHECK_INT(cudaGetDeviceCount(&count), cudaErrorNoDevice);
    emulator_set_driver(12040);
    CHECK_INT(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    emulator_reset();
}

static void test_copies_are_checked(void) {
    begin();
    float host[8] = {0};
    char *device = new_memory(32);
    CHECK_INT(cudaMemcpy(device, host, 33, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    CHECK_INT(cudaMemcpy(device, host, 32, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    CHECK_INT(cudaMemcpy(host, device + 1, 32, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    CHECK_INT(cudaMemset(host, 0, 32), cudaErrorInvalidValue);
    CHECK_INT(cudaMemset(device, 0, 32), cudaSuccess);
    CHECK_INT(cudaFree(device + 16), cudaErrorInvalidValue);
    CHECK_INT(cudaFree(device), cudaSuccess);
    CHECK_INT(cudaFree(device), cudaErrorInvalidValue);
    CHECK_INT(cudaFree(NULL), cudaSuccess);
}

/* Memory that grows in its place; the entry points are found by name, as with the real driver. */
static void test_virtual_memory(void) {
    begin();
    const size_t step = 2 << 20;
    EmulatorCounters before, after;
    emulator_counters(&before);
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {CU_MEM_LOCATION_TYPE_DEVICE, 0}};
    CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUdeviceptr at;
    CUmemGenericAllocationHandle handles[2];
    CHECK_INT(cuMemAddressReserve(&at, 4 * step, 0, 0, 0), CUDA_SUCCESS);
    char *base = (char *)(uintptr_t)at;
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(cuMemCreate(&handles[i], step, &prop, 0), CUDA_SUCCESS);
        CHECK_INT(cuMemMap(at + i * step, step, 0, handles[i], 0), CUDA_SUCCESS);
        CHECK_INT(cudaMemset(base + i * step, 0, step), cudaErrorInvalidValue); /* no access yet */
        CHECK_INT(cuMemSetAccess(at + i * step, step, &access, 1), CUDA_SUCCESS);
    }
    CHECK_INT(cudaMemset(base, 0, 2 * step), cudaSuccess);
    check_second_input(base + 2 * step - THREADS * sizeof(float), cudaSuccess, "");
    if (emulator_sees_memory())
        check_second_input(base + 2 * step, cudaErrorIllegalAddress, "out of bounds");
    for (size_t i = 0; i < 2; i++)
        CHECK_INT(cuMemRelease(handles[i]), CUDA_SUCCESS);
    CHECK_INT(cuMemAddressFree(at, 4 * step), CUDA_ERROR_INVALID_VALUE); /* still mapped */
    CHECK_INT(cuMemUnmap(at, 2 * step), CUDA_SUCCESS);
    CHECK_INT(cuMemAddressFree(at, 4 * step), CUDA_SUCCESS);
    emulator_counters(&after);
    CHECK_INT(after.bytes, before.bytes);
    CHECK_INT(after.allocations, before.allocations);
    void *found = NULL;
    enum cudaDriverEntryPointQueryResult status;
    CHECK_INT(cudaGetDriverEntryPointByVersion("cuMemCreate", &found, 12000, cudaEnableDefault, &status),
              cudaSuccess);
    CHECK(found != NULL && status == cudaDriverEntryPointSuccess);
    CHECK_INT(cudaGetDriverEntryPointByVersion("cuNothing", &found, 12000, cudaEnableDefault, &status),
              cudaSuccess);
    CHECK_INT(status, cudaDriverEntryPointSymbolNotFound);
}

/* Every block once, in an order that the seed decides. */
static void test_block_order(void) {
    begin();
    enum { BLOCKS = 60 };
    int orders[3][BLOCKS + 1];
    for (int i = 0; i < 3; i++) {
        PlantedArgs args = {NULL, NULL, new_memory(sizeof orders[0]), 0};
        CHECK_INT(cudaMemset(args.out, 0, sizeof orders[0]), cudaSuccess);
        emulator_set_seed(i < 2 ? 5 : 6);
        CHECK_INT(run("block_order", false, BLOCKS, 32, 0, args), cudaSuccess);
        CHECK_INT(cudaMemcpy(orders[i], args.out, sizeof orders[0], cudaMemcpyDeviceToHost), cudaSuccess);
        CHECK_INT(orders[i][0], BLOCKS);
        bool seen[BLOCKS] = {false};
        for (int b = 1; b <= BLOCKS; b++)
            seen[orders[i][b]] = true;
        for (int b = 0; b < BLOCKS; b++)
            CHECK(seen[b]);
        cudaFree(args.out);
    }
    CHECK(memcmp(orders[0], orders[2], sizeof orders[0]) != 0);
}

static const TestCase CASES[] = {
    {"mistakes are found", test_mistakes},
    {"correct twins pass", test_correct_twins},
    {"places", test_places},
    {"holes are copied", test_copied_holes},
    {"the last block", test_last_block},
    {"products of halves", test_product_of_halves},
    {"products of bytes", test_product_of_bytes},
    {"matrices", test_matrices},
    {"lanes", test_lanes},
    {"numbers", test_numbers},
    {"work is late", test_lateness},
    {"events", test_events},
    {"graphs", test_graphs},
    {"unordered nodes", test_unordered_nodes},
    {"launch limits", test_launch_limits},
    {"failures", test_failures},
    {"copies are checked", test_copies_are_checked},
    {"virtual memory", test_virtual_memory},
    {"order of blocks", test_block_order},
};
TEST_SUITE(CUDA_EMULATOR_SUITE, "emulator", CASES);
