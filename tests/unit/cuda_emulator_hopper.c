/* The twins of compute 9.0: products of every form against plain loops, and a ring of tiles in which planted
 * mistakes are found. */
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/emulator/control.h"
#include "tests/emulator/planted_hopper.h"
#include "tests/runner.h"
#include "tests/unit/kernels_support.h"

static void *new_copy(const void *host, size_t bytes) {
    void *at = NULL;
    CHECK_INT(cudaMalloc(&at, bytes), cudaSuccess);
    CHECK_INT(cudaMemcpy(at, host, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    return at;
}

static float bits_value(uint16_t bits, bool is_bf16) {
    return is_bf16 ? bf16_to_float(bits) : half_to_float(bits);
}

static uint16_t *random_bits(int count, bool is_bf16) {
    uint16_t *out = malloc((size_t)count * sizeof *out);
    CHECK(out != NULL);
    for (int i = 0; i < count; i++)
        out[i] = is_bf16 ? bf16_from_float(random_float()) : random_half();
    return out;
}

/* Sums of 64 float32 products, each rounded once: 64 steps of half a last bit of the sum of sizes. */
static void check_sum(double actual, double expected, double size, const char *what, int row, int column) {
    CHECK_MSG(fabs(actual - expected) <= size * 64 * 0x1p-24, "%s: row %d column %d is %g, expected %g", what,
              row, column, actual, expected);
}

static void check_product(int columns, bool is_bf16) {
    uint16_t *a = random_bits(64 * 64, is_bf16), *b = random_bits(columns * 64, is_bf16),
             *v = random_bits(64 * columns, is_bf16);
    size_t bytes = (size_t)(64 * columns) * sizeof(float);
    float *first = malloc(bytes), *second = malloc(bytes);
    CHECK(first && second);
    memset(first, 0xFF, bytes);
    ProductArgs args = {new_copy(a, 64 * 64 * 2), new_copy(b, (size_t)columns * 64 * 2),
                        new_copy(v, (size_t)columns * 64 * 2), new_copy(first, bytes),
                        new_copy(first, bytes)};
    const void *kernel = product_kernel(columns, is_bf16);
    size_t shared = product_shared_bytes(columns);
    CHECK_INT(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared),
              cudaSuccess);
    CHECK_INT(cudaLaunchKernel(kernel, (dim3){1, 1, 1}, (dim3){128, 1, 1}, (void *[]){&args}, shared, NULL),
              cudaSuccess);
    CHECK_INT(cudaDeviceSynchronize(), cudaSuccess);
    CHECK_INT(cudaMemcpy(first, args.by_descriptors, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    CHECK_INT(cudaMemcpy(second, args.by_registers, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    for (int row = 0; row < 64; row++)
        for (int column = 0; column < columns; column++) {
            double sums[2] = {0, 0}, sizes[2] = {0, 0};
            for (int k = 0; k < 64; k++) {
                double left = bits_value(a[row * 64 + k], is_bf16);
                double terms[2] = {left * bits_value(b[column * 64 + k], is_bf16),
                                   left * bits_value(v[k * columns + column], is_bf16)};
                for (int i = 0; i < 2; i++)
                    sums[i] += terms[i], sizes[i] += fabs(terms[i]);
            }
            check_sum(first[row * columns + column], sums[0], sizes[0], "by descriptors", row, column);
            check_sum(second[row * columns + column], sums[1], sizes[1], "by registers", row, column);
        }
    free(a), free(b), free(v), free(first), free(second);
    cudaFree((void *)args.a), cudaFree((void *)args.b), cudaFree((void *)args.v);
    cudaFree(args.by_descriptors), cudaFree(args.by_registers);
}

static void test_products(void) {
    static const int columns[] = {64, 80, 96, 128, 256};
    emulator_reset();
    for (size_t i = 0; i < 2 * sizeof columns / sizeof *columns; i++)
        check_product(columns[i / 2], i % 2);
}

typedef struct Ring {
    uint16_t *a, *tiles; /* host */
    RingArgs args;
    KvRows rows;
} Ring;

static Ring make_ring(void) {
    Ring ring = {.a = random_bits(64 * 64, false), .tiles = random_bits(RING_TILES * RING_ROWS * 64, false)};
    size_t out_bytes = 64 * RING_ROWS * sizeof(float);
    float *poison = malloc(out_bytes);
    CHECK(poison != NULL);
    memset(poison, 0xFF, out_bytes);
    ring.args.a = new_copy(ring.a, 64 * 64 * 2);
    ring.args.out = new_copy(poison, out_bytes);
    free(poison);
    void *base = new_copy(ring.tiles, RING_TILES * RING_ROWS * 128);
    ring.rows = (KvRows){base, DTYPE_F16, 64, 128, NULL, 0, 0};
    CUtensorMap map;
    cuuint64_t dims[] = {64, 1, RING_TILES * RING_ROWS, 1},
               strides[] = {128, 128, RING_TILES * RING_ROWS * 128};
    cuuint32_t box[] = {64, 1, RING_ROWS, 1}, steps[] = {1, 1, 1, 1};
    CHECK_INT(cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 4, base, dims, strides, box,
                                     steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                     CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
              CUDA_SUCCESS);
    memcpy(&ring.args.map, &map, sizeof map);
    return ring;
}

static void free_ring(Ring *ring) {
    free(ring->a), free(ring->tiles);
    cudaFree((void *)ring->args.a), cudaFree(ring->args.out), cudaFree(ring->rows.base);
}

static cudaError_t run_ring(Ring *ring, RingMistake mistake) {
    ring->args.mistake = mistake;
    CHECK_INT(cudaLaunchKernel(ring_kernel(), (dim3){1, 1, 1}, (dim3){RING_THREADS, 1, 1},
                               (void *[]){&ring->args}, RING_SHARED_BYTES, NULL),
              cudaSuccess);
    return cudaDeviceSynchronize();
}

static float *ring_result(const Ring *ring) {
    float *out = malloc(64 * RING_ROWS * sizeof *out);
    CHECK(out != NULL);
    CHECK_INT(cudaMemcpy(out, ring->args.out, 64 * RING_ROWS * sizeof *out, cudaMemcpyDeviceToHost),
              cudaSuccess);
    return out;
}

static void check_ring(const Ring *ring) {
    float *out = ring_result(ring);
    for (int row = 0; row < 64; row++)
        for (int column = 0; column < RING_ROWS; column++) {
            double sum = 0, size = 0;
            for (int i = 0; i < RING_TILES * 64; i++) {
                double term = (double)half_to_float(ring->a[row * 64 + i % 64]) *
                              half_to_float(ring->tiles[(i / 64 * RING_ROWS + column) * 64 + i % 64]);
                sum += term;
                size += fabs(term);
            }
            check_sum(out[row * RING_ROWS + column], sum, RING_TILES * size, "ring", row, column);
        }
    free(out);
}

/* Whatever the order of warps and lanes. */
static void test_ring(void) {
    emulator_reset();
    for (uint64_t seed = 1; seed <= 8; seed++) {
        emulator_set_seed(seed);
        Ring ring = make_ring();
        CHECK_MSG(run_ring(&ring, RING_CORRECT) == cudaSuccess, "%s", emulator_report());
        check_ring(&ring);
        free_ring(&ring);
    }
}

typedef struct Mistake {
    const char *words; /* in the report; NULL: the values tell */
    bool needs_memory; /* only found where the emulator sees each access */
} Mistake;
static const Mistake MISTAKES[RING_MISTAKES] = {
    [RING_RELEASED_EARLY] = {"shared memory", true},
    [RING_NOT_WAITED_FOR] = {"shared memory", true},
    [RING_BYTES_MISSING] = {"deadlock", false},
    [RING_BYTES_TOO_MANY] = {"bytes", false},
    [RING_ARRIVALS_TOO_MANY] = {"more arrivals", false},
    [RING_NOT_INITIALISED] = {"never initialised", false},
    [RING_NO_FENCE] = {"no wgmma_fence", false},
    [RING_NO_ASYNC_FENCE] = {"async_fence", true},
    [RING_ACCUMULATOR_CHANGED] = {"register 3 changed while", false},
    [RING_ACCUMULATOR_READ] = {NULL, false},
    [RING_WARP_DIFFERS] = {"issued another product", false},
    [RING_PATTERN_MISPLACED] = {"1024", false},
};

static void check_mistake(RingMistake mistake) {
    Ring ring = make_ring();
    cudaError_t error = run_ring(&ring, mistake);
    if (MISTAKES[mistake].words) {
        CHECK_MSG(error != cudaSuccess, "mistake %d is not found", mistake);
        CHECK_MSG(strstr(emulator_report(), MISTAKES[mistake].words), "mistake %d: %s", mistake,
                  emulator_report());
        emulator_clear_report();
    } else {
        CHECK_INT(error, cudaSuccess);
        float *out = ring_result(&ring);
        for (int i = 0; i < 64 * RING_ROWS; i++)
            CHECK_MSG(isnan(out[i]), "register %d was %g while the products were under way", i,
                      (double)out[i]);
        free(out);
    }
    free_ring(&ring);
}

static void test_mistakes(void) {
    emulator_reset();
    emulator_set_loud(false);
    for (uint64_t seed = 1; seed <= 6; seed++)
        for (int mistake = RING_CORRECT + 1; mistake < RING_MISTAKES; mistake++) {
            emulator_set_seed(seed);
            if (emulator_sees_memory() || !MISTAKES[mistake].needs_memory)
                check_mistake((RingMistake)mistake);
        }
    emulator_reset();
}

/* What the driver would not encode. */
static void test_maps(void) {
    CUtensorMap map;
    uint16_t *base = new_copy((uint16_t[128]){0}, 256);
    for (int wrong = 0; wrong <= 6; wrong++) {
        cuuint64_t dims[] = {64, 1, 2, wrong == 1 ? 0 : 1}, strides[] = {128, wrong == 2 ? 136 : 128, 256};
        cuuint32_t box[] = {wrong == 3 ? 128 : 64, 1, wrong == 4 ? 257 : 8, 1}, steps[] = {1, 1, 1, 1};
        CUresult result = cuTensorMapEncodeTiled(
            &map, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, wrong == 5 ? 6 : 4, base + (wrong == 6), dims, strides,
            box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
            CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
        CHECK_INT(result, wrong ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS);
    }
    cudaFree(base);
}

static const TestCase CASES[] = {
    {"products", test_products},
    {"ring", test_ring},
    {"mistakes", test_mistakes},
    {"maps", test_maps},
};
TEST_SUITE(EMULATOR_HOPPER_SUITE, "emulator hopper", CASES);
