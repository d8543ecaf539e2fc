#include "tests/unit/cuda_support.h"

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/queue_internal.h"

const DType WEIGHT_TYPES[WEIGHT_TYPE_COUNT] = {DTYPE_F32,  DTYPE_F16,   DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0,
                                               DTYPE_Q5_0, DTYPE_MXFP4, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};

/* ---- what a test took, given back by device_close ---- */

enum { MOST_TAKEN = 4096 };
static struct {
    CudaQueue *queue;
    void *on_device[MOST_TAKEN], *on_host[MOST_TAKEN];
    int on_device_count, on_host_count;
} open_device;

static void give_back(void) {
    if (open_device.queue)
        queue_close(open_device.queue);
    for (int i = 0; i < open_device.on_device_count; i++)
        cudaFree(open_device.on_device[i]);
    for (int i = 0; i < open_device.on_host_count; i++)
        free(open_device.on_host[i]);
    memset(&open_device, 0, sizeof open_device);
}

CudaQueue *device_open(void) {
    give_back();
    KernelError error;
    open_device.queue = queue_open(0, &error);
    CHECK_MSG(open_device.queue != NULL, "%s", error.text);
    return open_device.queue;
}

void device_wait(void) {
    KernelError error;
    CHECK_MSG(queue_wait(open_device.queue, &error), "%s", error.text);
}

void device_close(void) {
    device_wait();
    give_back();
}

static void check_cuda(cudaError_t status, const char *what) {
    CHECK_MSG(status == cudaSuccess, "%s: %s", what, cudaGetErrorString(status));
}

void *device_new(size_t bytes) {
    CHECK(open_device.on_device_count < MOST_TAKEN);
    void *address = NULL;
    check_cuda(cudaMalloc(&address, bytes), "cudaMalloc");
    open_device.on_device[open_device.on_device_count++] = address;
    return address;
}

void *host_new(size_t bytes) {
    CHECK(open_device.on_host_count < MOST_TAKEN);
    void *address = malloc(bytes ? bytes : 1);
    CHECK(address != NULL);
    open_device.on_host[open_device.on_host_count++] = address;
    return address;
}

void device_write(void *device, const void *host, size_t bytes) {
    device_wait();
    check_cuda(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
}

void device_read(void *host, const void *device, size_t bytes) {
    device_wait();
    check_cuda(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
}

void *device_put(const void *host, size_t bytes) {
    void *device = device_new(bytes);
    device_write(device, host, bytes);
    return device;
}

float *device_poisoned(int64_t n, int64_t width) {
    float *host = poisoned(n, width);
    float *device = device_put(host, (size_t)(n * (width + GUARD)) * sizeof *host);
    free(host);
    return device;
}

float *device_floats(const float *host, int64_t count) {
    return device_put(host, (size_t)count * sizeof *host);
}

float *device_values(const float *device, int64_t count) {
    float *host = host_new((size_t)count * sizeof *host);
    device_read(host, device, (size_t)count * sizeof *host);
    return host;
}

float *device_result(const float *device, int64_t n, int64_t width) {
    float *host = device_values(device, n * (width + GUARD));
    CHECK_MSG(is_clean(host, n, width), "a guard was written or a value was not (%lld rows of %lld)",
              (long long)n, (long long)width);
    return host;
}

/* ---- the types, read and cut apart in plain C ---- */

static uint16_t get_u16(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

static void put_u16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static float get_half(const uint8_t *at) {
    return half_to_float(get_u16(at));
}

/* The planes of one block, wherever they lie. */
typedef struct Block {
    const uint8_t *low, *high, *scales, *deltas;
} Block;

static void k_scale(const uint8_t *packed, int j, int *scale, int *min) {
    if (j < 4) {
        *scale = packed[j] & 63;
        *min = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) + (packed[j - 4] >> 6) * 16;
        *min = (packed[j + 4] >> 4) + (packed[j] >> 6) * 16;
    }
}

static void k_block_to_floats(DType type, Block block, float *out) {
    float d = get_half(block.deltas), dmin = get_half(block.deltas + 2);
    for (int i = 0; i < 256; i++) {
        int s = i / 32, scale, min;
        k_scale(block.scales, s, &scale, &min);
        int q = block.low[s / 2 * 32 + i % 32] >> (s % 2 * 4) & 15;
        if (type == DTYPE_Q5_K)
            q += (block.high[i % 32] >> s & 1) * 16;
        out[i] = d * (float)scale * (float)q - dmin * (float)min;
    }
}

static void q6_block_to_floats(Block block, float *out) {
    float d = get_half(block.deltas);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, quarter = i % 128 / 32, l = i % 32;
        int low = block.low[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
        int high = block.high[half * 32 + l] >> (2 * quarter) & 3;
        out[i] = d * (float)(int8_t)block.scales[i / 16] * (float)(low + 16 * high - 32);
    }
}

static void small_block_to_floats(DType type, Block block, float *out) {
    static const float E2M1[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    for (int i = 0; i < 32; i++) {
        int nibble = block.low[i % 16] >> (i / 16 * 4) & 15;
        if (type == DTYPE_Q8_0)
            out[i] = get_half(block.deltas) * (float)(int8_t)block.low[i];
        else if (type == DTYPE_Q4_0)
            out[i] = get_half(block.deltas) * (float)(nibble - 8);
        else if (type == DTYPE_Q5_0)
            out[i] = get_half(block.deltas) * (float)(nibble + (block.high[i / 8] >> (i % 8) & 1) * 16 - 16);
        else
            out[i] = ldexpf(E2M1[nibble & 7], block.scales[0] - 127) * (nibble & 8 ? -1.0f : 1.0f);
    }
}

static int block_values(DType type) {
    switch (type) {
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
    case DTYPE_Q6_K: return 256;
    default: return layout_is_planar(type) ? 32 : 1;
    }
}

/* Where the planes of one GGUF block lie, and the bytes of a block. */
static size_t gguf_block(DType type, const uint8_t *at, Block *out) {
    switch (type) {
    case DTYPE_F32: return 4;
    case DTYPE_F16:
    case DTYPE_BF16: return 2;
    case DTYPE_Q8_0: *out = (Block){.deltas = at, .low = at + 2}; return 34;
    case DTYPE_Q4_0: *out = (Block){.deltas = at, .low = at + 2}; return 18;
    case DTYPE_Q5_0: *out = (Block){.deltas = at, .high = at + 2, .low = at + 6}; return 22;
    case DTYPE_MXFP4: *out = (Block){.scales = at, .low = at + 1}; return 17;
    case DTYPE_Q4_K: *out = (Block){.deltas = at, .scales = at + 4, .low = at + 16}; return 144;
    case DTYPE_Q5_K:
        *out = (Block){.deltas = at, .scales = at + 4, .high = at + 16, .low = at + 48};
        return 176;
    case DTYPE_Q6_K:
        *out = (Block){.low = at, .high = at + 128, .scales = at + 192, .deltas = at + 208};
        return 210;
    }
    return 0;
}

/* The bytes that one block of a device type has in each plane. */
typedef struct PlaneBytes {
    int low, high, scales, deltas;
} PlaneBytes;

static PlaneBytes plane_bytes(DType type) {
    switch (type) {
    case DTYPE_Q8_0: return (PlaneBytes){32, 0, 0, 2};
    case DTYPE_Q4_0: return (PlaneBytes){16, 0, 0, 2};
    case DTYPE_MXFP4: return (PlaneBytes){16, 0, 1, 0};
    case DTYPE_Q4_K: return (PlaneBytes){128, 0, 12, 4};
    case DTYPE_Q5_K: return (PlaneBytes){128, 32, 12, 4};
    case DTYPE_Q6_K: return (PlaneBytes){128, 64, 16, 2};
    default: return (PlaneBytes){0, 0, 0, 0};
    }
}

static Block planar_block(DType type, const uint8_t *row, int64_t cols, int64_t b) {
    PlanarRow plane = planar_row(type, cols);
    PlaneBytes bytes = plane_bytes(type);
    return (Block){.low = row + b * bytes.low,
                   .high = row + plane.high + b * bytes.high,
                   .scales = row + plane.scales + b * bytes.scales,
                   .deltas = row + plane.deltas + b * bytes.deltas};
}

static void block_to_floats(DType type, Block block, float *out) {
    if (type == DTYPE_Q6_K)
        q6_block_to_floats(block, out);
    else if (block_values(type) == 256)
        k_block_to_floats(type, block, out);
    else
        small_block_to_floats(type, block, out);
}

static void plain_to_floats(DType type, const uint8_t *row, int64_t cols, float *out) {
    for (int64_t i = 0; i < cols; i++) {
        if (type == DTYPE_F32)
            memcpy(&out[i], row + 4 * i, 4);
        else
            out[i] = type == DTYPE_F16 ? get_half(row + 2 * i) : bf16_to_float(get_u16(row + 2 * i));
    }
}

void planar_to_floats(DType type, const uint8_t *row, int64_t cols, float *out) {
    if (!layout_is_planar(type)) {
        plain_to_floats(type, row, cols, out);
        return;
    }
    for (int64_t b = 0; b < cols / block_values(type); b++)
        block_to_floats(type, planar_block(type, row, cols, b), out + b * block_values(type));
}

void gguf_to_floats(DType type, const uint8_t *row, int64_t cols, float *out) {
    if (!layout_is_planar(type)) {
        plain_to_floats(type, row, cols, out);
        return;
    }
    for (int64_t b = 0; b < cols / block_values(type); b++) {
        Block block;
        row += gguf_block(type, row, &block);
        block_to_floats(type, block, out + b * block_values(type));
    }
}

size_t gguf_row_bytes(DType type, int64_t cols) {
    static const uint8_t NOWHERE[256];
    Block block;
    return (size_t)(cols / block_values(type)) * gguf_block(type, NOWHERE, &block);
}

void gguf_to_planar(DType type, const uint8_t *gguf, int64_t cols, uint8_t *row) {
    if (!layout_is_planar(type)) {
        memcpy(row, gguf, gguf_row_bytes(type, cols));
        return;
    }
    DType kept = device_type(type);
    PlaneBytes bytes = plane_bytes(kept);
    for (int64_t b = 0; b < cols / block_values(type); b++) {
        Block from, to = planar_block(kept, row, cols, b);
        gguf += gguf_block(type, gguf, &from);
        memcpy((uint8_t *)to.low, from.low, type == DTYPE_Q5_0 ? 0 : (size_t)bytes.low);
        for (int i = 0; type == DTYPE_Q5_0 && i < 32; i++)
            ((uint8_t *)to.low)[i] = (uint8_t)((from.low[i % 16] >> (i / 16 * 4) & 15) +
                                               (from.high[i / 8] >> (i % 8) & 1) * 16 - 16);
        if (bytes.high)
            memcpy((uint8_t *)to.high, from.high, (size_t)bytes.high);
        if (bytes.scales)
            memcpy((uint8_t *)to.scales, from.scales, (size_t)bytes.scales);
        if (bytes.deltas)
            memcpy((uint8_t *)to.deltas, from.deltas, (size_t)bytes.deltas);
    }
}

/* ---- random weights ---- */

static void random_block(DType type, uint8_t *at) {
    Block block;
    size_t bytes = gguf_block(type, at, &block);
    float value = random_float();
    if (type == DTYPE_F32) {
        memcpy(at, &value, sizeof value);
        return;
    }
    if (!layout_is_planar(type)) {
        put_u16(at, type == DTYPE_BF16 ? bf16_from_float(value) : random_half());
        return;
    }
    int fill = random_below(16);
    for (size_t i = 0; i < bytes; i++)
        at[i] = fill == 0   ? 0x00
                : fill == 1 ? 0x80
                : fill == 2 ? 0x7F
                : fill == 3 ? 0xFF
                            : (uint8_t)test_random();
    if (type == DTYPE_MXFP4) { /* mostly 2^-9 to 2^0 */
        at[0] = (uint8_t)(random_below(16) ? 118 + random_below(10) : random_below(3));
        return;
    }
    put_u16((uint8_t *)block.deltas, random_half());
    if (type == DTYPE_Q4_K || type == DTYPE_Q5_K)
        put_u16((uint8_t *)block.deltas + 2, random_half());
}

uint8_t *random_gguf(DType type, int64_t rows, int64_t cols) {
    size_t row_bytes = gguf_row_bytes(type, cols);
    uint8_t *bytes = host_new((size_t)rows * row_bytes);
    size_t block = gguf_row_bytes(type, block_values(type));
    for (size_t at = 0; at < (size_t)rows * row_bytes; at += block)
        random_block(type, bytes + at);
    return bytes;
}

static size_t device_row_bytes(DType type, int64_t cols) {
    if (layout_is_planar(type))
        return (size_t)planar_row(type, cols).row_bytes;
    return (size_t)layout_round16((int64_t)gguf_row_bytes(type, cols));
}

Weights weights_from_gguf(DType type, const void *gguf, int64_t rows, int64_t cols) {
    DType kept = device_type(type);
    Weights weights = {
        .type = type, .rows = rows, .cols = cols, .gguf_row_bytes = gguf_row_bytes(type, cols)};
    uint8_t *copy = host_new((size_t)rows * weights.gguf_row_bytes);
    memcpy(copy, gguf, (size_t)rows * weights.gguf_row_bytes);
    float *values = host_new((size_t)(rows * cols) * sizeof *values);
    size_t stride = device_row_bytes(kept, cols) + (random_below(2) ? 0 : 16 * (size_t)(1 + random_below(3)));
    uint8_t *planar = host_new((size_t)rows * stride);
    memset(planar, 0xFF, (size_t)rows * stride); /* NaN where no value lies */
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *row = copy + (size_t)r * weights.gguf_row_bytes;
        gguf_to_floats(type, row, cols, values + r * cols);
        gguf_to_planar(type, row, cols, planar + (size_t)r * stride);
    }
    weights.gguf = copy;
    weights.values = values;
    weights.host = (Tensor){planar, kept, rows, cols, stride, layout_is_planar(kept)};
    weights.device = weights.host;
    weights.device.data = device_put(planar, (size_t)rows * stride);
    return weights;
}

Weights weights_random(DType type, int64_t rows, int64_t cols) {
    return weights_from_gguf(type, random_gguf(type, rows, cols), rows, cols);
}

/* ---- activations ---- */

static void round_block(const float *x, int8_t *q, float *scale, float *values) {
    float largest = 0;
    for (int i = 0; i < 32; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    float d = largest / 127, inverse = d > 0 ? 1 / d : 0;
    int sum = 0;
    for (int i = 0; i < 32; i++) {
        q[i] = (int8_t)lrintf(fminf(fmaxf(x[i] * inverse, -127), 127));
        values[i] = d * (float)q[i];
        sum += q[i];
    }
    scale[0] = d;
    scale[1] = d * (float)sum;
}

Activations activations_from(const float *x, int64_t n, int64_t cols) {
    Activations made = {.n = n, .cols = cols};
    size_t count = (size_t)(n * cols), blocks = count / 32;
    float *copy = host_new(count * sizeof *copy);
    memcpy(copy, x, count * sizeof *copy);
    made.x = copy;
    made.device_x = device_floats(copy, (int64_t)count);
    if (cols % 32 != 0)
        return made;
    int8_t *q = host_new(count);
    float *scale = host_new(2 * blocks * sizeof *scale), *values = host_new(count * sizeof *values);
    for (size_t b = 0; b < blocks; b++)
        round_block(copy + 32 * b, q + 32 * b, scale + 2 * b, values + 32 * b);
    made.q = q;
    made.scale = scale;
    made.values = values;
    made.device = (Q8Rows){device_put(q, count), device_put(scale, 2 * blocks * sizeof *scale), cols};
    return made;
}

Activations activations_random(int64_t n, int64_t cols) {
    float *x = host_new((size_t)(n * cols) * sizeof *x);
    random_floats(x, n * cols);
    return activations_from(x, n, cols);
}

Activations activations_first(Activations all, int64_t n) {
    CHECK(n <= all.n);
    all.n = n;
    return all;
}
