/* PTX: every instruction that is not C, one function each. Section numbers are those of the PTX ISA 9.0.
 *
 * Under the emulator (MUX_EMULATED) its ptx_twins.h defines functions of the same names and
 * meanings for the host; what is documented here is what the twins must do. `tests/cuda/twins.cu` compares
 * the two on a real device. Lanes of a warp meet in: shuffle*, warp_ballot, warp_sync, ldmatrix*, mma_*; a
 * warpgroup in wgmma_*; a block in block_sync.
 */
#ifndef MUX_KERNELS_CUDA_PTX_CUH
#define MUX_KERNELS_CUDA_PTX_CUH

#include <stdint.h>

#ifdef MUX_EMULATED
#include <ptx_twins.h>
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define PTX static __device__ __forceinline__

/* The dynamic shared memory of the block, aligned to 1024 bytes. */
PTX unsigned char *block_shared() {
    extern __shared__ __align__(1024) unsigned char mux_block_shared[];
    return mux_block_shared;
}
PTX uint32_t shared_address(const void *pointer) {
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

/* ---- barriers (9.7.13) ---- */
PTX void block_sync() {
    __syncthreads();
}
PTX void warp_sync() {
    __syncwarp();
}
/* Barrier `id` (1 to 15) of `threads` threads, a multiple of 32: waiting, or only arriving. */
PTX void named_sync(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
PTX void named_arrive(int id, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* ---- lanes (9.7.9) ---- */
PTX float shuffle_xor(float value, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}
PTX int shuffle_xor(int value, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}
PTX uint32_t shuffle_xor(uint32_t value, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}
PTX float shuffle(float value, int lane) {
    return __shfl_sync(0xFFFFFFFFu, value, lane);
}
PTX int shuffle(int value, int lane) {
    return __shfl_sync(0xFFFFFFFFu, value, lane);
}
PTX int shuffle_up(int value, int by) { /* lanes below `by` keep their own */
    return __shfl_up_sync(0xFFFFFFFFu, value, (unsigned)by);
}
PTX float shuffle_up(float value, int by) {
    return __shfl_up_sync(0xFFFFFFFFu, value, (unsigned)by);
}
PTX uint32_t warp_ballot(bool claim) {
    return __ballot_sync(0xFFFFFFFFu, claim);
}

/* ---- memory (9.7.8) ---- */
/* 16 aligned bytes of device or shared memory. */
PTX uint4 load16(const void *at) {
    return *(const uint4 *)at;
}
/* The same for device memory that nothing writes meanwhile and that is read once (weights): past the L1. */
PTX uint4 load16_once(const void *at) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(at));
    return v;
}
PTX void store16(void *at, uint4 value) {
    *(uint4 *)at = value;
}
PTX uint2 load8(const void *at) {
    return *(const uint2 *)at;
}
PTX uint32_t load4(const void *at) {
    return *(const uint32_t *)at;
}
PTX uint16_t load2(const void *at) {
    return *(const uint16_t *)at;
}
/* What this thread wrote is seen by all who see what it writes next. */
PTX void device_fence() {
    __threadfence();
}
PTX int atomic_add(int *at, int value) {
    return atomicAdd(at, value);
}
PTX float atomic_add(float *at, float value) {
    return atomicAdd(at, value);
}
PTX int atomic_max(int *at, int value) {
    return atomicMax(at, value);
}
PTX unsigned long long atomic_max(unsigned long long *at, unsigned long long value) {
    return atomicMax(at, value);
}

/* ---- copies to shared memory that run by themselves (9.7.9.25): 16 bytes, zeros when not valid ---- */
PTX void copy_async16(void *shared, const void *global, bool valid) {
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(bytes)
                 : "memory");
}
PTX void copy_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Until at most `pending` of this thread's groups are under way; others see the bytes after a barrier. */
template <int pending> PTX void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

/* ---- integer and half arithmetic ---- */
PTX int dot4(int a, int b, int sum) { /* four int8 products added to sum; 9.7.1.23 */
    return __dp4a(a, b, sum);
}
PTX int subtract_bytes(int a, int b) { /* four int8 differences, saturated */
    return (int)__vsubss4((unsigned)a, (unsigned)b);
}
/* Byte i of the result is byte (selector nibble i) of {b, a}; 9.7.7.7. */
PTX uint32_t pick_bytes(uint32_t a, uint32_t b, uint32_t selector) {
    return __byte_perm(a, b, selector);
}
PTX float half_value(uint16_t half) {
    return __half2float(__ushort_as_half(half));
}
PTX float bf16_value(uint16_t value) {
    return __uint_as_float((uint32_t)value << 16);
}
PTX uint16_t half_bits(float value) {
    return __half_as_ushort(__float2half_rn(value));
}
PTX uint16_t bf16_bits(float value) {
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
/* low in the low 16 bits, both rounded to nearest even. */
PTX uint32_t pack_half2(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}
PTX uint32_t pack_bf16x2(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}
PTX float2 unpack_half2(uint32_t packed) {
    return make_float2(half_value((uint16_t)packed), half_value((uint16_t)(packed >> 16)));
}
PTX float2 unpack_bf16x2(uint32_t packed) {
    return make_float2(__uint_as_float(packed << 16), __uint_as_float(packed & 0xFFFF0000u));
}

/* ---- fast functions: relative error 2^-22 or so, 9.7.3 ---- */
PTX float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
PTX float fast_reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
PTX float float_from_bits(uint32_t bits) {
    return __uint_as_float(bits);
}
PTX uint32_t bits_from_float(float value) {
    return __float_as_uint(value);
}
PTX int round_to_int(float value) { /* nearest even */
    return __float2int_rn(value);
}

/* ---- matrices from shared memory (9.7.14.5.15): lane l gives the address of row l % 8 of matrix l / 8, 16
 * aligned bytes; register i of lane l holds the 16-bit values 2(l % 4) and + 1 of row l / 4 of matrix i ----
 */
PTX void ldmatrix_x4(uint32_t out[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(row))
                 : "memory");
}
PTX void ldmatrix_x2(uint32_t out[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(shared_address(row))
                 : "memory");
}
/* Each matrix transposed. */
PTX void ldmatrix_x4_trans(uint32_t out[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(row))
                 : "memory");
}
PTX void ldmatrix_x2_trans(uint32_t out[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(shared_address(row))
                 : "memory");
}

/* ---- products of a warp (9.7.14.5): d[16x8] += a[16xk] b[kx8]; a by rows, b by columns.
 * g = lane / 4, t = lane % 4. d: 0,1 = row g, columns 2t, 2t + 1; 2,3 = row g + 8.
 * 16-bit (k 16): a 0: row g, k 2t..2t+1; 1: row g + 8; 2: row g, k 2t + 8..; 3: row g + 8, k 2t + 8..;
 *                b 0: k 2t..2t+1 of column g; 1: k 2t + 8...
 * int8 (k 32):   a 0: row g, k 4t..4t+3; 1: row g + 8; 2: row g, k 4t + 16..; 3: row g + 8, k 4t + 16..;
 *                b 0: k 4t..4t+3 of column g; 1: k 4t + 16... ---- */
PTX void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
PTX void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
        "%9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
PTX void mma_s8(int d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#include "kernels/cuda/ptx_hopper.cuh"

#endif
#endif
