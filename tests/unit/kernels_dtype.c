#include "kernels/tensor.h"

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
    CHECK_INT(dtype_row_bytes(DTYPE_Q4_0, 33), 0);
    CHECK_INT(dtype_row_bytes(DTYPE_F32, -4), 0);
    CHECK_INT(dtype_row_bytes(DTYPE_F32, INT64_MAX), 0);
    CHECK_INT(dtype_row_bytes((DType)10, 256), 0);
}

static const TestCase CASES[] = {{"half_all", test_half_all},
                                 {"half_rounding", test_half_rounding},
                                 {"bf16", test_bf16},
                                 {"info", test_info}};
TEST_SUITE(KERNELS_DTYPE_SUITE, "dtype", CASES);
