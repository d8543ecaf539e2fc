/* Twins of kernels/cuda/ptx.cuh: the same names and meanings on the host, checked. */
#ifndef MUX_TESTS_EMULATOR_PTX_TWINS_H
#define MUX_TESTS_EMULATOR_PTX_TWINS_H

#include "tests/emulator/emulator.h"

#define PTX static inline

PTX unsigned char *block_shared() {
    return emulated_shared();
}
PTX uint32_t shared_address(const void *pointer, EMULATED_SITE) {
    return emulated_shared_address(pointer, file, line);
}

/* ---- barriers ---- */
PTX void block_sync(EMULATED_SITE) {
    emulated_block_sync(file, line);
}
PTX void warp_sync(EMULATED_SITE) {
    emulated_warp_sync(file, line);
}
PTX void named_sync(int id, int threads, EMULATED_SITE) {
    emulated_named_barrier("named_sync", id, threads, true, file, line);
}
PTX void named_arrive(int id, int threads, EMULATED_SITE) {
    emulated_named_barrier("named_arrive", id, threads, false, file, line);
}

/* ---- numbers as bits ---- */
PTX float float_from_bits(uint32_t bits) {
    return __builtin_bit_cast(float, bits);
}
PTX uint32_t bits_from_float(float value) {
    return __builtin_bit_cast(uint32_t, value);
}

/* ---- lanes ---- */
PTX int emulated_lane() {
    return emulated_thread_number() & 31;
}
PTX float shuffle_xor(float value, int mask, EMULATED_SITE) {
    return float_from_bits(
        emulated_shuffle("shuffle_xor", bits_from_float(value), emulated_lane() ^ mask, file, line));
}
PTX int shuffle_xor(int value, int mask, EMULATED_SITE) {
    return (int)emulated_shuffle("shuffle_xor", (uint32_t)value, emulated_lane() ^ mask, file, line);
}
PTX uint32_t shuffle_xor(uint32_t value, int mask, EMULATED_SITE) {
    return emulated_shuffle("shuffle_xor", value, emulated_lane() ^ mask, file, line);
}
PTX float shuffle(float value, int lane, EMULATED_SITE) {
    return float_from_bits(emulated_shuffle("shuffle", bits_from_float(value), lane & 31, file, line));
}
PTX int shuffle(int value, int lane, EMULATED_SITE) {
    return (int)emulated_shuffle("shuffle", (uint32_t)value, lane & 31, file, line);
}
PTX int emulated_lane_below(int by) {
    int lane = emulated_lane();
    return (unsigned)by > (unsigned)lane ? lane : lane - by;
}
PTX int shuffle_up(int value, int by, EMULATED_SITE) {
    return (int)emulated_shuffle("shuffle_up", (uint32_t)value, emulated_lane_below(by), file, line);
}
PTX float shuffle_up(float value, int by, EMULATED_SITE) {
    return float_from_bits(
        emulated_shuffle("shuffle_up", bits_from_float(value), emulated_lane_below(by), file, line));
}
PTX uint32_t warp_ballot(bool claim, EMULATED_SITE) {
    return emulated_ballot(claim, file, line);
}

/* ---- memory ---- */
PTX uint4 load16(const void *at, EMULATED_SITE) {
    return emulated_load16(at, file, line);
}
PTX uint4 load16_once(const void *at, EMULATED_SITE) {
    return emulated_load16_once(at, file, line);
}
PTX void store16(void *at, uint4 value, EMULATED_SITE) {
    emulated_store16(at, value, file, line);
}
PTX uint2 load8(const void *at, EMULATED_SITE) {
    emulated_read(at, 8, 8, file, line);
    uint2 value;
    __builtin_memcpy(&value, at, 8);
    return value;
}
PTX uint32_t load4(const void *at, EMULATED_SITE) {
    emulated_read(at, 4, 4, file, line);
    uint32_t value;
    __builtin_memcpy(&value, at, 4);
    return value;
}
PTX uint16_t load2(const void *at, EMULATED_SITE) {
    emulated_read(at, 2, 2, file, line);
    uint16_t value;
    __builtin_memcpy(&value, at, 2);
    return value;
}
/* Blocks run one after another: what is written is seen. */
PTX void device_fence() {}
int emulated_add_int(int *at, int value, const char *file, int line);
float emulated_add_float(float *at, float value, const char *file, int line);
int emulated_max_int(int *at, int value, const char *file, int line);
unsigned long long emulated_max_long(unsigned long long *at, unsigned long long value, const char *file,
                                     int line);
PTX int atomic_add(int *at, int value, EMULATED_SITE) {
    return emulated_add_int(at, value, file, line);
}
PTX float atomic_add(float *at, float value, EMULATED_SITE) {
    return emulated_add_float(at, value, file, line);
}
PTX int atomic_max(int *at, int value, EMULATED_SITE) {
    return emulated_max_int(at, value, file, line);
}
PTX unsigned long long atomic_max(unsigned long long *at, unsigned long long value, EMULATED_SITE) {
    return emulated_max_long(at, value, file, line);
}

/* ---- copies to shared memory that run by themselves ---- */
PTX void copy_async16(void *shared, const void *global, bool valid, EMULATED_SITE) {
    emulated_copy_async(shared, global, valid, file, line);
}
PTX void copy_async_commit() {
    emulated_copy_commit();
}
template <int pending> PTX void copy_async_wait() {
    emulated_copy_wait(pending);
}

/* ---- integer and half arithmetic ---- */
PTX int dot4(int a, int b, int sum) {
    uint32_t total = (uint32_t)sum;
    for (int i = 0; i < 4; i++)
        total += (uint32_t)((int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i));
    return (int)total;
}
PTX int subtract_bytes(int a, int b) {
    uint32_t out = 0;
    for (int i = 0; i < 4; i++) {
        int difference = (int8_t)(a >> 8 * i) - (int8_t)(b >> 8 * i);
        difference = difference < -128 ? -128 : difference > 127 ? 127 : difference;
        out |= (uint32_t)(uint8_t)difference << 8 * i;
    }
    return (int)out;
}
PTX uint32_t pick_bytes(uint32_t a, uint32_t b, uint32_t selector, EMULATED_SITE) {
    if (selector & 0x8888u)
        emulated_fault(EMULATED_LAUNCH_FAILURE, file, line, "pick_bytes: selector %08x names no byte",
                       selector);
    uint64_t bytes = (uint64_t)b << 32 | a;
    uint32_t out = 0;
    for (int i = 0; i < 4; i++)
        out |= (uint32_t)(uint8_t)(bytes >> 8 * (selector >> 4 * i & 7)) << 8 * i;
    return out;
}
PTX float half_value(uint16_t half) {
    return emulated_half_value(half);
}
PTX float bf16_value(uint16_t value) {
    return float_from_bits((uint32_t)value << 16);
}
PTX uint16_t half_bits(float value) {
    return emulated_half_bits(value);
}
PTX uint16_t bf16_bits(float value) {
    return emulated_bf16_bits(value);
}
PTX uint32_t pack_half2(float low, float high) {
    return (uint32_t)half_bits(high) << 16 | half_bits(low);
}
PTX uint32_t pack_bf16x2(float low, float high) {
    return (uint32_t)bf16_bits(high) << 16 | bf16_bits(low);
}
PTX float2 unpack_half2(uint32_t packed) {
    return make_float2(half_value((uint16_t)packed), half_value((uint16_t)(packed >> 16)));
}
PTX float2 unpack_bf16x2(uint32_t packed) {
    return make_float2(float_from_bits(packed << 16), float_from_bits(packed & 0xFFFF0000u));
}

/* ---- fast functions ---- */
PTX float emulated_flush(float x) { /* subnormals are zeros there */
    return fabsf(x) < 1.17549435e-38f ? copysignf(0, x) : x;
}
PTX float fast_exp2(float x) {
    return emulated_flush(exp2f(emulated_flush(x)));
}
PTX float fast_reciprocal(float x) {
    return emulated_flush(1.0f / emulated_flush(x));
}
PTX int round_to_int(float value) {
    if (value != value)
        return 0;
    if (value >= 2147483648.0f)
        return INT32_MAX;
    return value < -2147483648.0f ? INT32_MIN : (int)rintf(value);
}

/* ---- matrices ---- */
PTX void ldmatrix_x4(uint32_t out[4], const void *row, EMULATED_SITE) {
    uint32_t got[4];
    emulated_ldmatrix("ldmatrix_x4", got, 4, false, row, file, line);
    for (int i = 0; i < 4; i++)
        out[i] = got[i];
}
PTX void ldmatrix_x2(uint32_t out[2], const void *row, EMULATED_SITE) {
    uint32_t got[2];
    emulated_ldmatrix("ldmatrix_x2", got, 2, false, row, file, line);
    for (int i = 0; i < 2; i++)
        out[i] = got[i];
}
PTX void ldmatrix_x4_trans(uint32_t out[4], const void *row, EMULATED_SITE) {
    uint32_t got[4];
    emulated_ldmatrix("ldmatrix_x4_trans", got, 4, true, row, file, line);
    for (int i = 0; i < 4; i++)
        out[i] = got[i];
}
PTX void ldmatrix_x2_trans(uint32_t out[2], const void *row, EMULATED_SITE) {
    uint32_t got[2];
    emulated_ldmatrix("ldmatrix_x2_trans", got, 2, true, row, file, line);
    for (int i = 0; i < 2; i++)
        out[i] = got[i];
}
PTX void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2], EMULATED_SITE) {
    emulated_mma("mma_f16", EMULATED_F16, d, a, b, file, line);
}
PTX void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], EMULATED_SITE) {
    emulated_mma("mma_bf16", EMULATED_BF16, d, a, b, file, line);
}
PTX void mma_s8(int d[4], const uint32_t a[4], const uint32_t b[2], EMULATED_SITE) {
    emulated_mma("mma_s8", EMULATED_S8, d, a, b, file, line);
}

#if __has_include("tests/emulator/ptx_hopper_twins.h")
#include "tests/emulator/ptx_hopper_twins.h"
#endif

#endif
