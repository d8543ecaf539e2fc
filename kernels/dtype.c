#include "kernels/backend_internal.h"

#include <string.h>

static const struct {
    uint32_t id;
    DTypeInfo info;
} SUPPORTED[] = {
    {DTYPE_F32, {"F32", 1, 4}},     {DTYPE_F16, {"F16", 1, 2}},   {DTYPE_Q4_0, {"Q4_0", 32, 18}},
    {DTYPE_Q8_0, {"Q8_0", 32, 34}}, {DTYPE_BF16, {"BF16", 1, 2}},
};

/* Every id of the GGUF format that is neither retired nor private to one program. */
static const char *const NAMES[] = {
    [0] = "F32",     [1] = "F16",    [2] = "Q4_0",     [3] = "Q4_1",    [6] = "Q5_0",     [7] = "Q5_1",
    [8] = "Q8_0",    [9] = "Q8_1",   [10] = "Q2_K",    [11] = "Q3_K",   [12] = "Q4_K",    [13] = "Q5_K",
    [14] = "Q6_K",   [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
    [20] = "IQ4_NL", [21] = "IQ3_S", [22] = "IQ2_S",   [23] = "IQ4_XS", [24] = "I8",      [25] = "I16",
    [26] = "I32",    [27] = "I64",   [28] = "F64",     [29] = "IQ1_M",  [30] = "BF16",    [34] = "TQ1_0",
    [35] = "TQ2_0",  [39] = "MXFP4", [40] = "NVFP4",   [41] = "Q1_0",   [42] = "Q2_0",
};

const DTypeInfo *dtype_info(uint32_t ggml_type_id) {
    for (size_t i = 0; i < sizeof SUPPORTED / sizeof *SUPPORTED; i++)
        if (SUPPORTED[i].id == ggml_type_id)
            return &SUPPORTED[i].info;
    return NULL;
}

const char *dtype_name(uint32_t ggml_type_id) {
    return ggml_type_id < sizeof NAMES / sizeof *NAMES ? NAMES[ggml_type_id] : NULL;
}

size_t dtype_row_bytes(DType type, int64_t cols) {
    const DTypeInfo *info = dtype_info((uint32_t)type);
    if (!info || cols <= 0 || cols % info->block_values != 0)
        return 0;
    uint64_t blocks = (uint64_t)(cols / info->block_values);
    if (blocks > SIZE_MAX / (size_t)info->block_bytes)
        return 0;
    return (size_t)blocks * (size_t)info->block_bytes;
}

static float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_from_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) /* infinity, or a NaN made quiet as the hardware does */
        return float_from_bits(sign | 0x7F800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24, exact in float */
        float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t half_from_float(float value) {
    uint32_t bits = bits_from_float(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000)
        return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
    if (magnitude >= 0x477FF000) /* 65520 and up round beyond the largest half */
        return (uint16_t)(sign | 0x7C00);
    if (magnitude <
        0x38800000) { /* below 2^-14: adding 0.5 leaves fraction * 2^-24, rounded, in the low bits */
        float shifted = float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (bits_from_float(shifted) - 0x3F000000));
    }
    uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (rounded - (112u << 23)) >> 13);
}

float bf16_to_float(uint16_t value) {
    return float_from_bits((uint32_t)value << 16);
}

uint16_t bf16_from_float(float value) {
    uint32_t bits = bits_from_float(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static uint16_t load_u16(const uint8_t *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void q8_0_to_floats(const uint8_t *block, int64_t values, float *out) {
    for (; values > 0; values -= 32, block += 34, out += 32) {
        float d = half_to_float(load_u16(block));
        for (int j = 0; j < 32; j++)
            out[j] = d * (float)(int8_t)block[2 + j];
    }
}

static void q4_0_to_floats(const uint8_t *block, int64_t values, float *out) {
    for (; values > 0; values -= 32, block += 18, out += 32) {
        float d = half_to_float(load_u16(block));
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)((block[2 + j] & 15) - 8);
            out[j + 16] = d * (float)((block[2 + j] >> 4) - 8);
        }
    }
}

void dtype_to_floats(DType type, const void *blocks, int64_t values, float *out) {
    const uint8_t *bytes = blocks;
    switch (type) {
    case DTYPE_F32: memcpy(out, bytes, (size_t)values * sizeof *out); break;
    case DTYPE_F16:
        for (int64_t i = 0; i < values; i++)
            out[i] = half_to_float(load_u16(bytes + 2 * i));
        break;
    case DTYPE_BF16:
        for (int64_t i = 0; i < values; i++)
            out[i] = bf16_to_float(load_u16(bytes + 2 * i));
        break;
    case DTYPE_Q4_0: q4_0_to_floats(bytes, values, out); break;
    case DTYPE_Q8_0: q8_0_to_floats(bytes, values, out); break;
    }
}
