#include "tests/unit/kernels_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t POISON = 0x7FC0DEAD;

void each_level(int threads, void (*check)(Backend *cpu)) {
    for (int level = 0; level < CPU_LEVEL_COUNT; level++) {
        KernelError error;
        Backend *cpu = backend_open(&(BackendConfig){.name = "cpu", .threads = threads}, &error);
        CHECK_MSG(cpu != NULL, "%s", error.text);
        if (cpu_force_level(cpu, (CpuLevel)level)) {
            check(cpu);
            CHECK_MSG(backend_wait(cpu, &error), "%s", error.text);
        }
        backend_close(cpu);
    }
}

Backend *open_ref(void) {
    KernelError error;
    Backend *ref = backend_open(&(BackendConfig){.name = "ref"}, &error);
    CHECK_MSG(ref != NULL, "%s", error.text);
    return ref;
}

const char *level_name(const Backend *cpu) {
    return ((const CpuBackend *)cpu)->kernels.name;
}

int random_below(int limit) {
    return (int)(test_random() % (uint64_t)limit);
}

float random_float(void) {
    float value = (float)((double)(test_random() >> 11) * 0x1p-53 * 8 - 4);
    switch (random_below(64)) {
    case 0: return 0;
    case 1: return value * 1e-7f;
    case 2: return value * 100;
    default: return value;
    }
}

uint16_t random_half(void) {
    int kind = random_below(32);
    if (kind == 0)
        return (uint16_t)(test_random() & 0x83FF); /* zero and subnormal */
    return half_from_float(random_float() / 128);
}

void random_floats(float *out, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        out[i] = random_float();
}

/* Where a block keeps its half scales; the rest may be any bits. */
static void random_scales(DType type, uint8_t *at) {
    uint16_t half = random_half(), second = random_half();
    switch (type) {
    case DTYPE_Q6_K: memcpy(at + 208, &half, sizeof half); break;
    case DTYPE_Q4_K:
    case DTYPE_Q5_K:
        memcpy(at, &half, sizeof half);
        memcpy(at + 2, &second, sizeof second);
        break;
    case DTYPE_MXFP4: /* 2^-11 and less, now and then subnormal */
        at[0] = (uint8_t)(random_below(16) ? 110 + random_below(7) : random_below(3));
        break;
    default: memcpy(at, &half, sizeof half);
    }
}

static void random_block(DType type, uint8_t *at) {
    float value = random_float();
    uint16_t half = type == DTYPE_BF16 ? bf16_from_float(value) : random_half();
    if (type == DTYPE_F32)
        memcpy(at, &value, sizeof value);
    else if (type == DTYPE_F16 || type == DTYPE_BF16)
        memcpy(at, &half, sizeof half);
    if (type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16)
        return;
    int fill = random_below(8);
    for (int i = 0; i < dtype_info((uint32_t)type)->block_bytes; i++)
        at[i] = fill == 0 ? 0x80 : fill == 1 ? 0x7F : fill == 2 ? 0xFF : (uint8_t)test_random();
    random_scales(type, at);
}

Tensor random_tensor(DType type, int64_t rows, int64_t cols) {
    const DTypeInfo *info = dtype_info((uint32_t)type);
    size_t gap = random_below(2) ? 0 : (size_t)info->block_bytes;
    Tensor tensor = {
        .type = type, .rows = rows, .cols = cols, .row_bytes = dtype_row_bytes(type, cols) + gap};
    tensor.data = malloc((size_t)rows * tensor.row_bytes);
    CHECK(tensor.data != NULL);
    memset(tensor.data, 0xFF, (size_t)rows * tensor.row_bytes); /* NaN in every type of float */
    for (int64_t r = 0; r < rows; r++)
        for (int64_t b = 0; b < cols / info->block_values; b++)
            random_block(type, (uint8_t *)tensor.data + (size_t)r * tensor.row_bytes + b * info->block_bytes);
    return tensor;
}

float *poisoned(int64_t n, int64_t width) {
    float *out = malloc((size_t)(n * (width + GUARD)) * sizeof *out);
    CHECK(out != NULL);
    for (int64_t i = 0; i < n * (width + GUARD); i++)
        memcpy(&out[i], &POISON, sizeof POISON);
    return out;
}

bool is_clean(const float *out, int64_t n, int64_t width) {
    for (int64_t i = 0; i < n * (width + GUARD); i++) {
        bool is_poison = memcmp(&out[i], &POISON, sizeof POISON) == 0;
        if (is_poison != (i % (width + GUARD) >= width))
            return false;
    }
    return true;
}

bool same_bits(const float *a, const float *b, int64_t count) {
    return memcmp(a, b, (size_t)count * sizeof *a) == 0;
}
