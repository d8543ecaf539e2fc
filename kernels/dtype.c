#include "kernels/backend_internal.h"

#include <string.h>

static const struct {
    uint32_t id;
    DTypeInfo info;
} SUPPORTED[] = {
    {DTYPE_F32, {"F32", 1, 4}},       {DTYPE_F16, {"F16", 1, 2}},       {DTYPE_Q4_0, {"Q4_0", 32, 18}},
    {DTYPE_Q5_0, {"Q5_0", 32, 22}},   {DTYPE_Q8_0, {"Q8_0", 32, 34}},   {DTYPE_Q4_K, {"Q4_K", 256, 144}},
    {DTYPE_Q5_K, {"Q5_K", 256, 176}}, {DTYPE_Q6_K, {"Q6_K", 256, 210}}, {DTYPE_BF16, {"BF16", 1, 2}},
    {DTYPE_MXFP4, {"MXFP4", 32, 17}},
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

static void q5_0_to_floats(const uint8_t *block, int64_t values, float *out) {
    for (; values > 0; values -= 32, block += 22, out += 32) {
        float d = half_to_float(load_u16(block));
        uint32_t fifth = load_u16(block + 2) | (uint32_t)load_u16(block + 4) << 16;
        for (int j = 0; j < 16; j++) {
            int low = (block[6 + j] & 15) | (int)(fifth >> j & 1) << 4;
            int high = block[6 + j] >> 4 | (int)(fifth >> (j + 16) & 1) << 4;
            out[j] = d * (float)(low - 16);
            out[j + 16] = d * (float)(high - 16);
        }
    }
}

void k_scale_and_min(const uint8_t *packed, int j, int *scale, int *min) {
    if (j < 4) {
        *scale = packed[j] & 63;
        *min = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
        *min = packed[j + 4] >> 4 | packed[j] >> 6 << 4;
    }
}

/* Q4_K, and Q5_K with its fifth bits: value = d * scale * q - dmin * min. Products of a half and a small
 * integer are exact, so that only the difference rounds. */
static void k_to_floats(const uint8_t *block, int64_t values, float *out, bool has_fifth) {
    for (; values > 0; values -= 256, block += has_fifth ? 176 : 144, out += 256) {
        float d = half_to_float(load_u16(block)), dmin = half_to_float(load_u16(block + 2));
        const uint8_t *fifth = block + 16, *nibbles = has_fifth ? block + 48 : block + 16;
        for (int s = 0; s < 8; s++) {
            int scale, min;
            k_scale_and_min(block + 4, s, &scale, &min);
            float ds = d * (float)scale, dm = dmin * (float)min;
            for (int j = 0; j < 32; j++) {
                int q = nibbles[s / 2 * 32 + j] >> (s & 1) * 4 & 15;
                if (has_fifth)
                    q |= (fifth[j] >> s & 1) << 4;
                out[s * 32 + j] = ds * (float)q - dm;
            }
        }
    }
}

static void q6_k_to_floats(const uint8_t *block, int64_t values, float *out) {
    for (; values > 0; values -= 256, block += 210, out += 256) {
        float d = half_to_float(load_u16(block + 208));
        for (int v = 0; v < 256; v++) {
            int half = v / 128, quarter = v / 32 % 4, l = v % 32; /* each quarter has its bits and nibbles */
            int low = block[half * 64 + (quarter & 1) * 32 + l] >> (quarter >> 1) * 4 & 15;
            int high = block[128 + half * 32 + l] >> 2 * quarter & 3;
            float ds = d * (float)(int8_t)block[192 + v / 16];
            out[v] = ds * (float)((low | high << 4) - 32);
        }
    }
}

const int8_t E2M1_DOUBLED[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void mxfp4_to_floats(const uint8_t *block, int64_t values, float *out) {
    for (; values > 0; values -= 32, block += 17, out += 32) {
        float half_d = mxfp4_half_scale(block[0]);
        for (int j = 0; j < 16; j++) {
            out[j] = half_d * (float)E2M1_DOUBLED[block[1 + j] & 15];
            out[j + 16] = half_d * (float)E2M1_DOUBLED[block[1 + j] >> 4];
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
    case DTYPE_Q5_0: q5_0_to_floats(bytes, values, out); break;
    case DTYPE_Q8_0: q8_0_to_floats(bytes, values, out); break;
    case DTYPE_Q4_K: k_to_floats(bytes, values, out, false); break;
    case DTYPE_Q5_K: k_to_floats(bytes, values, out, true); break;
    case DTYPE_Q6_K: q6_k_to_floats(bytes, values, out); break;
    case DTYPE_MXFP4: mxfp4_to_floats(bytes, values, out); break;
    }
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void store_u16(uint8_t *at, uint16_t value) {
    memcpy(at, &value, sizeof value);
}

/* Evenly spread over -0.035 .. 0.035. */
static float random_weight(uint64_t *state) {
    return ((float)(next_random(state) >> 40) * 0x1p-23f - 1) * 0.035f;
}

static void random_floats(DType type, uint8_t *bytes, int64_t values, uint64_t *state) {
    for (int64_t i = 0; i < values; i++) {
        float value = random_weight(state);
        if (type == DTYPE_F32)
            memcpy(bytes + 4 * i, &value, sizeof value);
        else
            store_u16(bytes + 2 * i, type == DTYPE_F16 ? half_from_float(value) : bf16_from_float(value));
    }
}

/* The scales that make evenly spread bits of a block values of usual size. */
static void set_scales(DType type, uint8_t *block) {
    switch (type) {
    case DTYPE_Q8_0: store_u16(block, half_from_float(0.035f / 127)); break;
    case DTYPE_Q4_0: store_u16(block, half_from_float(0.035f / 8)); break;
    case DTYPE_Q5_0: store_u16(block, half_from_float(0.035f / 16)); break;
    case DTYPE_Q4_K: /* scales and mins are about 32, and the middle of the values is the min */
        store_u16(block, half_from_float(0.035f / 8 / 40));
        store_u16(block + 2, half_from_float(0.035f / 40));
        break;
    case DTYPE_Q5_K:
        store_u16(block, half_from_float(0.035f / 16 / 40));
        store_u16(block + 2, half_from_float(0.035f / 40));
        break;
    case DTYPE_Q6_K: store_u16(block + 208, half_from_float(0.035f / 32 / 64)); break;
    case DTYPE_MXFP4: block[0] = 127 - 7; break;
    default: break;
    }
}

void dtype_random_blocks(DType type, void *blocks, int64_t values, uint64_t seed) {
    const DTypeInfo *info = dtype_info((uint32_t)type);
    uint8_t *block = blocks;
    if (info->block_values == 1) {
        random_floats(type, block, values, &seed);
        return;
    }
    for (; values > 0; values -= info->block_values, block += info->block_bytes) {
        for (int at = 0; at < info->block_bytes; at += 8) {
            uint64_t bits = next_random(&seed);
            memcpy(block + at, &bits, (size_t)(info->block_bytes - at < 8 ? info->block_bytes - at : 8));
        }
        set_scales(type, block);
    }
}
