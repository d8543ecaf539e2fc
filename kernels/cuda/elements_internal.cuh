/* What several kernels do to single values: SiLU, and rounding to 8 bits. */
#ifndef MUX_KERNELS_CUDA_ELEMENTS_INTERNAL_CUH
#define MUX_KERNELS_CUDA_ELEMENTS_INTERNAL_CUH

#include "kernels/cuda/common.cuh"

/* x / (1 + e^-x); -0 where e^-x is beyond the floats. */
DEVICE float silu(float x) {
    return x / (1.0f + expf(-x));
}

/* value / d to the nearest of -127 .. 127, even among equals; a NaN becomes -127. */
DEVICE int round_to_q8(float value, float inverse) {
    return round_to_int(fminf(fmaxf(value * inverse, -127.0f), 127.0f));
}

/* Four values from index `at`, as many as lie before `end`, zeros for the others. WIDE: x and `at` allow
 * 16-byte accesses. */
template <bool WIDE> DEVICE void load_four(float out[4], const float *x, int64_t at, int64_t end) {
    if (WIDE && at + 4 <= end) {
        uint4 bits = load16(x + at);
        out[0] = float_from_bits(bits.x), out[1] = float_from_bits(bits.y);
        out[2] = float_from_bits(bits.z), out[3] = float_from_bits(bits.w);
    } else {
        UNROLL for (int j = 0; j < 4; j++) out[j] = at + j < end ? x[at + j] : 0.0f;
    }
}

template <bool WIDE> DEVICE void store_four(float *out, const float x[4], int64_t at, int64_t end) {
    if (WIDE && at + 4 <= end) {
        store16(out + at, make_uint4(bits_from_float(x[0]), bits_from_float(x[1]), bits_from_float(x[2]),
                                     bits_from_float(x[3])));
    } else {
        UNROLL for (int j = 0; j < 4; j++) if (at + j < end) out[at + j] = x[j];
    }
}

DEVICE uint32_t pack_bytes(int a, int b, int c, int d) {
    return (uint32_t)(a & 255) | (uint32_t)(b & 255) << 8 | (uint32_t)(c & 255) << 16 | (uint32_t)d << 24;
}

/* One block of 32 values held by 8 neighbouring lanes, 4 each; every lane of the warp calls. Lanes that hold
 * nothing give `valid` false. `at` is the index of the lane's first value in Q8Rows.q, all rows counted. */
DEVICE void store_q8(const Q8Rows &out, int64_t at, const float x[4], bool valid) {
    float largest = 0;
    UNROLL for (int j = 0; j < 4; j++) largest = fmaxf(largest, fabsf(x[j]));
    UNROLL for (int step = 1; step < 8; step *= 2) largest = fmaxf(largest, shuffle_xor(largest, step));
    float d = largest / 127.0f, inverse = d > 0 ? 1.0f / d : 0.0f;
    int q[4], sum = 0;
    UNROLL for (int j = 0; j < 4; j++) sum += q[j] = round_to_q8(x[j], inverse);
    UNROLL for (int step = 1; step < 8; step *= 2) sum += shuffle_xor(sum, step);
    if (!valid)
        return;
    *(uint32_t *)(out.q + at) = pack_bytes(q[0], q[1], q[2], q[3]);
    if (lane_id() % 8 == 0)
        *(float2 *)(out.scale + at / 32 * 2) = make_float2(d, d * (float)sum);
}

/* Where 16-byte accesses may begin. */
static inline bool is_aligned(const void *at) {
    return ((uintptr_t)at & 15) == 0;
}

#endif
