#include "kernels/backend_internal.h"

#include <math.h>
#include <string.h>

#include "tests/runner.h"

static uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Every half is exact in float and comes back as itself (NaNs come back quiet). */
static void test_half_all(void) {
    for (uint32_t h = 0; h < 65536; h++) {
        float value = half_to_float((uint16_t)h);
        int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
        if (exponent == 31 && fraction) {
            CHECK(isnan(value));
            CHECK_INT(half_from_float(value), (h | 0x200));
            continue;
        }
        double truth = exponent == 31  ? INFINITY
                       : exponent == 0 ? ldexp(fraction, -24)
                                       : ldexp(1024 + fraction, exponent - 25);
        CHECK_MSG(value == (h & 0x8000 ? -truth : truth), "half %04x is %g", h, value);
        CHECK_INT(signbit(value) != 0, h >> 15);
        CHECK_INT(half_from_float(value), h);
    }
}

/* Between two neighbouring halves: the nearer one, at the middle the even one. */
static void test_half_rounding(void) {
    for (uint32_t h = 0; h < 0x7C00; h++) {
        double low = half_to_float((uint16_t)h),
               high = h == 0x7BFF ? 65536 : half_to_float((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2);
        CHECK_INT(half_from_float(middle), h + (h & 1));
        CHECK_INT(half_from_float(nextafterf(middle, -1)), h);
        CHECK_INT(half_from_float(nextafterf(middle, 1e9f)), h + 1);
        CHECK_INT(half_from_float(-middle), 0x8000 | (h + (h & 1)));
    }
    CHECK_INT(half_from_float(1e30f), 0x7C00);
    CHECK_INT(half_from_float(-INFINITY), 0xFC00);
    CHECK_INT(half_from_float(1e-30f), 0);
}

static void test_bf16(void) {
    for (uint32_t b = 0; b < 65536; b++) {
        float value = bf16_to_float((uint16_t)b);
        CHECK_INT(float_bits(value), b << 16);
        CHECK_INT(bf16_from_float(value), isnan(value) ? (b | 0x40) : b);
    }
    CHECK_INT(bf16_from_float(1.00390625f), 0x3F80); /* halfway: to even */
    CHECK_INT(bf16_from_float(1.01171875f), 0x3F82);
    CHECK_INT(bf16_from_float(3.4e38f), 0x7F80);
}

static void test_info(void) {
    CHECK_INT(dtype_info(DTYPE_Q8_0)->block_bytes, 34);
    CHECK_INT(dtype_info(DTYPE_Q4_0)->block_values, 32);
    CHECK(strcmp(dtype_info(DTYPE_BF16)->name, "BF16") == 0);
    CHECK(dtype_info(10) == NULL);
    CHECK(strcmp(dtype_name(12), "Q4_K") == 0);
    CHECK(dtype_name(4) == NULL);
    CHECK(dtype_name(4000000000u) == NULL);
    CHECK_INT(dtype_row_bytes(DTYPE_Q8_0, 896), 28 * 34);
    CHECK_INT(dtype_row_bytes(DTYPE_Q5_0, 64), 2 * 22);
    CHECK_INT(dtype_row_bytes(DTYPE_Q4_K, 512), 2 * 144);
    CHECK_INT(dtype_row_bytes(DTYPE_Q5_K, 512), 2 * 176);
    CHECK_INT(dtype_row_bytes(DTYPE_Q6_K, 512), 2 * 210);
    CHECK_INT(dtype_row_bytes(DTYPE_MXFP4, 64), 2 * 17);
    CHECK_INT(dtype_row_bytes(DTYPE_Q4_K, 128), 0);
    CHECK_INT(dtype_row_bytes(DTYPE_Q4_0, 33), 0);
    CHECK_INT(dtype_row_bytes(DTYPE_F32, -4), 0);
    CHECK_INT(dtype_row_bytes(DTYPE_F32, INT64_MAX), 0);
    CHECK_INT(dtype_row_bytes((DType)10, 256), 0);
}

static void put_half(uint8_t *at, float value) {
    uint16_t half = half_from_float(value);
    memcpy(at, &half, sizeof half);
}

/* Each block below is written out bit by bit from the format's description, with values that a wrong order of
 * nibbles, bits or scales would change. */
static void test_q4_0_and_q5_0(void) {
    uint8_t q4[18] = {0}, q5[22] = {0};
    float out[32];
    put_half(q4, 0.5f);
    q4[2] = 0xF0, q4[2 + 15] = 0x39;
    dtype_to_floats(DTYPE_Q4_0, q4, 32, out);
    CHECK(out[0] == -4 && out[16] == 3.5f && out[15] == 0.5f && out[31] == -2.5f && out[7] == -4);
    memcpy(q5, (uint8_t[]){1, 0}, 2); /* the smallest subnormal half: 2^-24 */
    q5[2] = 0x02, q5[5] = 0x80;       /* fifth bits of values 1 and 31 */
    q5[6] = 0xF3, q5[7] = 0x5F, q5[21] = 0x70;
    dtype_to_floats(DTYPE_Q5_0, q5, 32, out);
    CHECK(out[0] == -13 * 0x1p-24f && out[16] == -1 * 0x1p-24f);
    CHECK(out[1] == 15 * 0x1p-24f && out[17] == -11 * 0x1p-24f && out[31] == 7 * 0x1p-24f);
}

static void test_mxfp4(void) {
    static const float VALUES[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    static const uint8_t EXPONENTS[] = {0, 1, 2, 3, 127, 130, 254, 255};
    for (int i = 0; i < 8; i++) {
        uint8_t block[17] = {EXPONENTS[i]};
        float out[32];
        for (int j = 0; j < 16; j++)
            block[1 + j] = (uint8_t)(j | (15 - j) << 4);
        dtype_to_floats(DTYPE_MXFP4, block, 32, out);
        for (int j = 0; j < 16; j++) { /* subnormal, and beyond the largest float, as float rounds */
            CHECK(out[j] == (float)ldexp(VALUES[j], EXPONENTS[i] - 127));
            CHECK(out[j + 16] == (float)ldexp(VALUES[15 - j], EXPONENTS[i] - 127));
        }
    }
    uint8_t smallest[17] = {0, 1};
    float out[32];
    dtype_to_floats(DTYPE_MXFP4, smallest, 32, out);
    CHECK_INT(float_bits(out[0]), 0x00200000); /* 2^-128 */
}

/* Scale and min of each part: 6 bits apart from all others, so that a wrong bit shows. */
static void test_k_scales(void) {
    static const int SCALES[8] = {1, 62, 35, 20, 41, 22, 63, 9}, MINS[8] = {50, 3, 17, 44, 30, 61, 8, 37};
    uint8_t block[144] = {0}, fifth[176] = {0}, *packed = block + 4;
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(SCALES[j] | SCALES[j + 4] >> 4 << 6);
        packed[j + 4] = (uint8_t)(MINS[j] | MINS[j + 4] >> 4 << 6);
        packed[j + 8] = (uint8_t)((SCALES[j + 4] & 15) | (MINS[j + 4] & 15) << 4);
    }
    put_half(block, 2);
    put_half(block + 2, 0.25f);
    for (int i = 0; i < 128; i++)
        block[16 + i] = (uint8_t)(i % 16 | (15 - i % 16) << 4);
    float out[256];
    dtype_to_floats(DTYPE_Q4_K, block, 256, out);
    for (int v = 0; v < 256; v++) {
        int part = v / 32, q = part % 2 ? 15 - v % 16 : v % 16;
        CHECK_MSG(out[v] == (float)(2 * SCALES[part] * q) - 0.25f * (float)MINS[part], "value %d is %g", v,
                  (double)out[v]);
    }
    memcpy(fifth, block, 16);
    memcpy(fifth + 48, block + 16, 128);
    for (int l = 0; l < 32; l++)
        fifth[16 + l] = (uint8_t)(1 << l % 8); /* bit s of byte l belongs to value l of part s */
    dtype_to_floats(DTYPE_Q5_K, fifth, 256, out);
    for (int v = 0; v < 256; v++) {
        int part = v / 32, q = (part % 2 ? 15 - v % 16 : v % 16) + (v % 8 == part ? 16 : 0);
        CHECK_MSG(out[v] == (float)(2 * SCALES[part] * q) - 0.25f * (float)MINS[part], "value %d is %g", v,
                  (double)out[v]);
    }
}

static void test_q6_k(void) {
    uint8_t block[210] = {0};
    float out[256];
    put_half(block + 208, -0x1p-20f); /* subnormal */
    for (int s = 0; s < 16; s++)
        block[192 + s] = (uint8_t)(int8_t)(s % 2 ? -128 + s : 127 - s);
    for (int v = 0; v < 256; v++) { /* q from 0 to 63, laid out as the format says */
        int q = v * 11 % 64, half = v / 128, l = v % 32, quarter = v % 128 / 32;
        block[half * 64 + l + quarter % 2 * 32] |= (uint8_t)((q & 15) << (quarter >= 2 ? 4 : 0));
        block[128 + half * 32 + l] |= (uint8_t)(q >> 4 << 2 * quarter);
    }
    dtype_to_floats(DTYPE_Q6_K, block, 256, out);
    for (int v = 0; v < 256; v++) {
        int scale = v / 16 % 2 ? -128 + v / 16 : 127 - v / 16;
        CHECK_MSG(out[v] == -0x1p-20f * (float)(scale * (v * 11 % 64 - 32)), "value %d is %g", v,
                  (double)out[v]);
    }
}

static const TestCase CASES[] = {{"half_all", test_half_all},
                                 {"half_rounding", test_half_rounding},
                                 {"bf16", test_bf16},
                                 {"info", test_info},
                                 {"q4_0_and_q5_0", test_q4_0_and_q5_0},
                                 {"mxfp4", test_mxfp4},
                                 {"k_scales", test_k_scales},
                                 {"q6_k", test_q6_k}};
TEST_SUITE(KERNELS_DTYPE_SUITE, "dtype", CASES);
