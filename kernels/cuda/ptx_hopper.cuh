/* PTX of compute 9.0a: barriers in shared memory, bulk tensor copies, products of a warpgroup. Included by
 * ptx.cuh. Elsewhere the functions exist so that the same sources compile, and stop the kernel. Names in
 * quotes are sections of the PTX ISA 9.0.
 *
 * A matrix operand in shared memory ("Shared Memory Matrix Layout" and "Matrix Descriptor" of 9.7.15).
 * Everything here uses 16-bit values and the 128-byte swizzle. Unit of the layout is a pattern of 8 lines of
 * 128 bytes (1024 bytes, on a multiple of 1024): a line holds 64 values that follow one another in the
 * matrix, and the 16-byte chunk c of line r lies at chunk c ^ r of that line. The hardware makes that XOR on
 * address bits 4-6 with bits 7-9, after it has added all offsets; so does the bulk tensor copy with
 * CU_TENSOR_MAP_SWIZZLE_128B, and a thread that stores by itself must do the same.
 *
 *  - K-major (both operands of Q K^T): a line is one row of A, or one column of B, 64 values along k. Eight
 *    rows make a pattern; the next eight lie `stride` bytes on (1024 when patterns touch). `leading` has no
 *    meaning. The product takes k in steps of 16 values: step s starts 32 s bytes into the line; beyond four
 *    steps in the next column of patterns.
 *  - MN-major (V, B transposed): a line is one k, 64 values along n. Eight k make a pattern; the next eight k
 *    lie `stride` bytes on, the next 64 n `leading` bytes on. A step of 16 k is two patterns.
 *
 * Descriptor, 64 bits: 0-13 start address / 16; 16-29 leading / 16; 32-45 stride / 16; 49-51 base offset, 0
 * as patterns lie on multiples of 1024; 62-63 swizzle, 1 = 128 bytes.
 *
 * Accumulator of m64nNk16 ("Register Fragments" of 9.7.15): with w = warp of the warpgroup, g = lane / 4, t =
 * lane % 4: d[4j + 2i + c] is row 16w + g + 8i, column 8j + 2t + c. A in registers is laid out per warp as in
 * mma_f16, so an accumulator of S packs into the A of the next product without any exchange.
 */
#ifndef MUX_KERNELS_CUDA_PTX_HOPPER_CUH
#define MUX_KERNELS_CUDA_PTX_HOPPER_CUH

#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || !defined(__CUDA_ARCH__)
#define HOPPER_ASM(...) asm volatile(__VA_ARGS__)
#else
#define HOPPER_ASM(...) __trap()
#endif

/* ---- barriers in shared memory ("mbarrier"): 8 aligned bytes. A phase ends when the expected arrivals have
 * come and the expected bytes have landed; then the next begins. ---- */
PTX void barrier_init(uint64_t *barrier, int arrivals) {
    HOPPER_ASM("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
               : "memory");
}
/* Makes the initialised barriers known to the copy engine; then a block_sync makes them known to the block.
 */
PTX void barrier_init_fence() {
    HOPPER_ASM("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory");
}
PTX void barrier_arrive(uint64_t *barrier) {
    HOPPER_ASM("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
/* Arrives, and this phase waits for `bytes` more of tensor_load. */
PTX void barrier_arrive_expect(uint64_t *barrier, int bytes) {
    HOPPER_ASM("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(bytes)
               : "memory");
}
/* Waits until the phase of this parity has ended: 0 is the first phase. Parity 1 on a new barrier goes on at
 * once. */
PTX void barrier_wait(uint64_t *barrier, int parity) {
    uint32_t done = 0;
    do {
        HOPPER_ASM("{\n\t.reg .pred p;\n\t"
                   "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
                   "selp.u32 %0, 1, 0, p;\n\t}"
                   : "=r"(done)
                   : "r"(shared_address(barrier)), "r"(parity)
                   : "memory");
    } while (!done);
}
/* What this thread stored to shared memory is seen by tensor copies and products that start after the next
 * barrier ("membar / fence", proxies). */
PTX void async_fence() {
    HOPPER_ASM("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- bulk tensor copy ("cp.async.bulk.tensor"): the box of the map at these coordinates, the innermost
 * first, to shared memory (a multiple of 1024); what lies outside the tensor is zero. Its bytes, all of the
 * box, count at the barrier. One thread. map: 128 bytes on a multiple of 64, in the kernel's own
 * __grid_constant__ arguments
 * ---- */
PTX void tensor_map_prefetch(const void *map) {
    HOPPER_ASM("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
PTX void tensor_load_4d(void *shared, const void *map, int c0, int c1, int c2, int c3, uint64_t *barrier) {
    HOPPER_ASM("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
               "[%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(shared_address(shared)),
               "l"(map), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(shared_address(barrier))
               : "memory");
}

/* ---- registers move between warpgroups ("setmaxnreg"): a multiple of 8, by all warps of a warpgroup ---- */
template <int count> PTX void registers_take() {
    HOPPER_ASM("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count));
}
template <int count> PTX void registers_give() {
    HOPPER_ASM("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count));
}

/* ---- products of a warpgroup ("wgmma", 9.7.15): issued by all 128 threads, done at the wait. Until then
 * neither the accumulators, nor A in registers, nor the shared memory they read may be touched. ---- */
PTX uint64_t matrix_descriptor(const void *start, int leading, int stride) {
    return (uint64_t)((shared_address(start) & 0x3FFFF) >> 4) | (uint64_t)(leading >> 4) << 16 |
           (uint64_t)(stride >> 4) << 32 | (uint64_t)1 << 62;
}
/* The same matrix further on in shared memory. */
PTX uint64_t descriptor_advance(uint64_t descriptor, int bytes) {
    return descriptor + (uint64_t)(bytes >> 4);
}
/* Before the first product, and again whenever registers of the next one were written by other means. */
PTX void wgmma_fence() {
    HOPPER_ASM("wgmma.fence.sync.aligned;" ::: "memory");
}
PTX void wgmma_commit() { /* the products since the last commit are one group */
    HOPPER_ASM("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int pending> PTX void wgmma_wait() { /* until at most `pending` groups are under way */
    HOPPER_ASM("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}
/* Uses of these registers stay on their side of this line: after a wait, and before a fence. */
template <int count> PTX void wgmma_keep(float (&d)[count]) {
    _Pragma("unroll") for (int i = 0; i < count; i++) asm volatile("" : "+f"(d[i])::"memory");
}
template <int count> PTX void wgmma_keep(uint32_t (&a)[count]) {
    _Pragma("unroll") for (int i = 0; i < count; i++) asm volatile("" : "+r"(a[i])::"memory");
}

#define D8(i)                                                                                                \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),              \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define D32(i) D8(i), D8(i + 8), D8(i + 16), D8(i + 24)
#define T32_0                                                                                                \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                                 \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define T32_32                                                                                               \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                       \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define T32_64                                                                                               \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "                       \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define T32_96                                                                                               \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "           \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define T8_32 "%32, %33, %34, %35, %36, %37, %38, %39"
#define T16_32 T8_32 ", %40, %41, %42, %43, %44, %45, %46, %47"

/* wgmma_shared: d[64 x N] = A B (+ d), A and B by descriptors, both K-major. wgmma_registers: A in registers,
 * B by an MN-major descriptor. N is twice the length of d; k is 16. s0 and following are the numbers of the
 * operands behind d. */
#define WGMMA(n, kind, D, T, s0, s1, s2, s3, s4, s5)                                                         \
    PTX void wgmma_shared_##kind(float(&d)[n / 2], uint64_t a, uint64_t b, bool accumulate) {                \
        HOPPER_ASM("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" #s2 ", 0;\n\t"                                   \
                   "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." #kind "." #kind " {" T "}, %" #s0       \
                   ", %" #s1 ", p, 1, 1, 0, 0;\n\t}"                                                         \
                   : D                                                                                       \
                   : "l"(a), "l"(b), "r"((int)accumulate)                                                    \
                   : "memory");                                                                              \
    }                                                                                                        \
    PTX void wgmma_registers_##kind(float(&d)[n / 2], const uint32_t a[4], uint64_t b, bool accumulate) {    \
        HOPPER_ASM("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %" #s5 ", 0;\n\t"                                   \
                   "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." #kind "." #kind " {" T "}, {%" #s0      \
                   ", %" #s1 ", %" #s2 ", %" #s3 "}, %" #s4 ", p, 1, 1, 1;\n\t}"                             \
                   : D                                                                                       \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)accumulate)                \
                   : "memory");                                                                              \
    }
#define LIST(...) __VA_ARGS__
WGMMA(64, f16, LIST(D32(0)), T32_0, 32, 33, 34, 35, 36, 37)
WGMMA(64, bf16, LIST(D32(0)), T32_0, 32, 33, 34, 35, 36, 37)
WGMMA(80, f16, LIST(D32(0), D8(32)), T32_0 ", " T8_32, 40, 41, 42, 43, 44, 45)
WGMMA(80, bf16, LIST(D32(0), D8(32)), T32_0 ", " T8_32, 40, 41, 42, 43, 44, 45)
WGMMA(96, f16, LIST(D32(0), D8(32), D8(40)), T32_0 ", " T16_32, 48, 49, 50, 51, 52, 53)
WGMMA(96, bf16, LIST(D32(0), D8(32), D8(40)), T32_0 ", " T16_32, 48, 49, 50, 51, 52, 53)
WGMMA(128, f16, LIST(D32(0), D32(32)), T32_0 ", " T32_32, 64, 65, 66, 67, 68, 69)
WGMMA(128, bf16, LIST(D32(0), D32(32)), T32_0 ", " T32_32, 64, 65, 66, 67, 68, 69)
WGMMA(256, f16, LIST(D32(0), D32(32), D32(64), D32(96)), T32_0 ", " T32_32 ", " T32_64 ", " T32_96, 128, 129,
      130, 131, 132, 133)
WGMMA(256, bf16, LIST(D32(0), D32(32), D32(64), D32(96)), T32_0 ", " T32_32 ", " T32_64 ", " T32_96, 128, 129,
      130, 131, 132, 133)

#undef WGMMA
#undef LIST
#undef D8
#undef D32
#undef T32_0
#undef T32_32
#undef T32_64
#undef T32_96
#undef T8_32
#undef T16_32

#endif
