/* Weights cut into planes on the device, byte for byte as the host would, and random ones made there. */
#include <math.h>
#include <string.h>

#include "tests/unit/cuda_support.h"

static int64_t random_cols(DType type) {
    bool is_k = type == DTYPE_Q4_K || type == DTYPE_Q5_K || type == DTYPE_Q6_K;
    return is_k                     ? 256 * (1 + random_below(5))
           : layout_is_planar(type) ? 32 * (1 + random_below(19))
                                    : 1 + random_below(50);
}

static size_t used_bytes(DType type, int64_t cols) {
    return layout_is_planar(type) ? (size_t)planar_row(type, cols).row_bytes
                                  : (size_t)layout_round16((int64_t)gguf_row_bytes(type, cols));
}

/* The two readers of the test support agree on what a row stands for: the layouts hold the same numbers. */
static void check_layouts(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        device_open();
        DType type = WEIGHT_TYPES[t], kept = device_type(type);
        int64_t cols = random_cols(type);
        uint8_t *gguf = random_gguf(type, 1, cols), *row = host_new(used_bytes(kept, cols));
        float *from = host_new((size_t)cols * sizeof *from), *to = host_new((size_t)cols * sizeof *to);
        gguf_to_planar(type, gguf, cols, row);
        gguf_to_floats(type, gguf, cols, from);
        planar_to_floats(kept, row, cols, to);
        for (int64_t c = 0; c < cols; c++)
            CHECK_MSG(from[c] == to[c], "%s: %g became %g", dtype_name((uint32_t)type), (double)from[c],
                      (double)to[c]);
        device_close();
    }
}

/* Rows row0 .. row0 + rows - 1 arrive in planes, zeros between them; every other byte stays. */
static void check_window(DType type, int64_t all, int64_t row0, int64_t rows, int offset) {
    CudaQueue *queue = device_open();
    DType kept = device_type(type);
    int64_t cols = random_cols(type);
    size_t used = used_bytes(kept, cols), stride = used + 16 * (size_t)random_below(3);
    size_t file_row = gguf_row_bytes(type, cols), file_bytes = (size_t)rows * file_row;
    uint8_t *gguf = random_gguf(type, rows, cols), *shifted = host_new(file_bytes + (size_t)offset);
    memset(shifted, 0xEE, (size_t)offset);
    memcpy(shifted + offset, gguf, file_bytes);
    uint8_t *expected = host_new((size_t)all * stride), *actual = host_new((size_t)all * stride);
    memset(expected, 0xA5, (size_t)all * stride);
    Tensor out = {
        device_put(expected, (size_t)all * stride), kept, all, cols, stride, layout_is_planar(kept)};
    for (int64_t r = 0; r < rows; r++) {
        uint8_t *row = expected + (size_t)(row0 + r) * stride;
        memset(row, 0, used);
        gguf_to_planar(type, gguf + (size_t)r * file_row, cols, row);
    }
    const uint8_t *from = device_put(shifted, file_bytes + (size_t)offset);
    CHECK(cuda_repack(queue, out, from + offset, type, row0, rows));
    device_read(actual, out.data, (size_t)all * stride);
    for (size_t i = 0; i < (size_t)all * stride; i++)
        CHECK_MSG(actual[i] == expected[i], "%s %lld columns: byte %zu of row %zu is %02x, not %02x",
                  dtype_name((uint32_t)type), (long long)cols, i % stride, i / stride, actual[i],
                  expected[i]);
    device_close();
}

static void check_repack(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        check_window(WEIGHT_TYPES[t], 3, 0, 3, 0);
        check_window(WEIGHT_TYPES[t], 5, 2, 2, 1 + random_below(15));
        check_window(WEIGHT_TYPES[t], 4, 3, 1, 1);
        check_window(WEIGHT_TYPES[t], 2, 1, 0, 0);
    }
}

static void check_refusals(void) {
    CudaQueue *queue = device_open();
    Weights w = weights_random(DTYPE_Q8_0, 2, 64);
    const void *gguf = device_put(w.gguf, 2 * w.gguf_row_bytes);
    CHECK(!cuda_repack(queue, w.device, gguf, DTYPE_Q4_0, 0, 2)); /* another type than the tensor's */
    CHECK(!cuda_repack(queue, w.device, gguf, (DType)77, 0, 2));
    Tensor odd = w.device;
    odd.cols = 48;
    CHECK(!cuda_repack(queue, odd, gguf, DTYPE_Q8_0, 0, 2));
    CHECK(!cuda_fill_random(queue, odd, 1));
    CHECK(cuda_repack(queue, w.device, gguf, DTYPE_Q8_0, 0, 2));
    device_close();
}

/* The values of a device matrix filled with `seed`. */
static float *random_values(CudaQueue *queue, DType type, int64_t rows, int64_t cols, uint64_t seed) {
    size_t used = used_bytes(type, cols), stride = used + 32;
    uint8_t *bytes = host_new((size_t)rows * stride);
    memset(bytes, 0xFF, (size_t)rows * stride);
    Tensor out = {device_put(bytes, (size_t)rows * stride), type, rows, cols, stride, layout_is_planar(type)};
    CHECK(cuda_fill_random(queue, out, seed));
    device_read(bytes, out.data, (size_t)rows * stride);
    float *values = host_new((size_t)(rows * cols) * sizeof *values);
    for (int64_t r = 0; r < rows; r++) {
        planar_to_floats(type, bytes + (size_t)r * stride, cols, values + r * cols);
        for (size_t i = used; i < stride; i++)
            CHECK_INT(bytes[(size_t)r * stride + i], 0xFF);
    }
    return values;
}

/* Mean and deviation over 8192 values whose scales differ from block to block: 0.02 within a third for the
 * halves of one block's scale, MXFP4 between the powers of two, 0.0114 and 0.0229. The mean lies within 6
 * deviations / sqrt(blocks), as the values of a block may share a mean. */
static void check_random(void) {
    int64_t rows = 4, cols = 2048;
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        DType type = WEIGHT_TYPES[t];
        if (type == DTYPE_Q5_0)
            continue;
        CudaQueue *queue = device_open();
        float *values = random_values(queue, type, rows, cols, 5);
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < rows * cols; i++) {
            CHECK(isfinite(values[i]));
            sum += values[i];
            squares += (double)values[i] * values[i];
        }
        double mean = sum / (double)(rows * cols),
               deviation = sqrt(squares / (double)(rows * cols) - mean * mean);
        double least = type == DTYPE_MXFP4 ? 0.011 : 0.0133, most = 0.0267;
        CHECK_MSG(deviation > least && deviation < most && fabs(mean) < 6 * 0.02 / 16,
                  "%s: mean %g, deviation %g", dtype_name((uint32_t)type), mean, deviation);
        CHECK(same_bits(random_values(queue, type, rows, cols, 5), values, rows * cols));
        CHECK(!same_bits(random_values(queue, type, rows, cols, 6), values, cols));
        CHECK(!same_bits(values, values + cols, cols)); /* rows differ */
        device_close();
    }
}

static const TestCase CASES[] = {
    {"both layouts hold the same numbers", check_layouts},
    {"rows of every type", check_repack},
    {"refusals", check_refusals},
    {"random matrices", check_random},
};
TEST_SUITE(CUDA_REPACK_SUITE, "repack", CASES);
