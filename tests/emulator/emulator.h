/* Emulator: what a kernel file sees when it is compiled as C++ for the host.
 *
 * One block runs at a time; each of its threads is a fiber with a stack of its own. Lanes meet in the
 * functions of ptx_twins.h, which come here. A mistake (divergence, deadlock, an access outside, misaligned,
 * of unwritten bytes or unordered with another thread's) stops the launch with one line of report, see
 * README.md.
 *
 * Shared by kernels (functions named emulated_*), written for one host thread per launch.
 */
#ifndef MUX_TESTS_EMULATOR_EMULATOR_H
#define MUX_TESTS_EMULATOR_EMULATOR_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- the words of CUDA C ---- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define __constant__

typedef struct __align__(4) char4 {
    signed char x, y, z, w;
}
char4;
typedef struct __align__(4) uchar4 {
    unsigned char x, y, z, w;
}
uchar4;
typedef struct __align__(4) ushort2 {
    unsigned short x, y;
}
ushort2;
typedef struct __align__(8) int2 {
    int x, y;
}
int2;
typedef struct __align__(8) uint2 {
    unsigned x, y;
}
uint2;
typedef struct __align__(8) float2 {
    float x, y;
}
float2;
typedef struct uint3 {
    unsigned x, y, z;
} uint3;
typedef struct float3 {
    float x, y, z;
} float3;
typedef struct __align__(16) int4 {
    int x, y, z, w;
}
int4;
typedef struct __align__(16) uint4 {
    unsigned x, y, z, w;
}
uint4;
typedef struct __align__(16) float4 {
    float x, y, z, w;
}
float4;
typedef struct __align__(16) double2 {
    double x, y;
}
double2;

static inline char4 make_char4(signed char x, signed char y, signed char z, signed char w) {
    return {x, y, z, w};
}
static inline int2 make_int2(int x, int y) {
    return {x, y};
}
static inline int4 make_int4(int x, int y, int z, int w) {
    return {x, y, z, w};
}
static inline uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}
static inline float2 make_float2(float x, float y) {
    return {x, y};
}
static inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
static inline double2 make_double2(double x, double y) {
    return {x, y};
}

template <typename T> static inline T min(T a, T b) {
    return b < a ? b : a;
}
template <typename T> static inline T max(T a, T b) {
    return a < b ? b : a;
}
static inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline unsigned __brev(unsigned x) {
    unsigned out = 0;
    for (int i = 0; i < 32; i++)
        out |= (x >> i & 1) << (31 - i);
    return out;
}

/* Where the running thread is. The values never change while a thread lives. */
uint3 emulated_thread_index(void) __attribute__((const));
uint3 emulated_block_index(void) __attribute__((const));
uint3 emulated_block_extent(void) __attribute__((const));
uint3 emulated_grid_extent(void) __attribute__((const));
#define threadIdx (emulated_thread_index())
#define blockIdx (emulated_block_index())
#define blockDim (emulated_block_extent())
#define gridDim (emulated_grid_extent())

/* ---- kernels ---- */

typedef struct EmulatedKernel {
    uint64_t magic;
    void (*run)(const void *arguments);
    size_t argument_bytes;
    const char *name;
    int shared_allowed; /* what cudaFuncSetAttribute granted; 0 = the usual 48 KB */
} EmulatedKernel;
static const uint64_t EMULATED_KERNEL_MAGIC = 0x6d75786b65726e31u;

template <typename Args, void (*kernel)(const Args)> static void emulated_entry(const void *arguments) {
    kernel(*(const Args *)arguments);
}
#define EMULATED_KERNEL(Args, ...)                                                                           \
    ([]() -> const void * {                                                                                  \
        static EmulatedKernel emulated_kernel = {EMULATED_KERNEL_MAGIC, emulated_entry<Args, __VA_ARGS__>,   \
                                                 sizeof(Args), #__VA_ARGS__, 0};                             \
        return &emulated_kernel;                                                                             \
    }())

/* ---- for the twins ---- */

/* The place of the call, as the last two parameters of every twin. */
#define EMULATED_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* Stops the launch. error: a cudaError. Never returns. */
enum { EMULATED_ILLEGAL_ADDRESS = 700, EMULATED_MISALIGNED = 716, EMULATED_LAUNCH_FAILURE = 719 };
[[noreturn]] void emulated_fault(int error, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Rendezvous: every lane of the warp (or of the warpgroup: four warps, the first a multiple of four) comes
 * with a pointer to its operands; when all are there, `all` gets the pointers in lane order and runs once,
 * then everyone goes on. Lanes of one warp that come with different names, lines or functions have diverged.
 * It orders no memory: emulated_order_warp does, called in `all`. */
typedef void EmulatedMeeting(void **arguments, int count);
void emulated_meet_warp(const char *name, void *argument, EmulatedMeeting *all, const char *file, int line);
void emulated_meet_warpgroup(const char *name, void *argument, EmulatedMeeting *all, const char *file,
                             int line);
void emulated_order_warp(void);
void emulated_block_sync(const char *file, int line);
/* Waits until the barrier has been reached by `threads` threads, or (wait false) only counts. */
void emulated_named_barrier(const char *name, int id, int threads, bool wait, const char *file, int line);
/* Waits until ready(argument). ready is called now and then, as the waiting thread; it may deliver. */
void emulated_wait_until(const char *name, bool (*ready)(void *), void *argument, const char *file, int line);

/* What happened before: a clock that one thread releases into and another acquires from. */
typedef struct EmulatedClock {
    uint32_t epoch[32];
} EmulatedClock;
void emulated_release(EmulatedClock *clock);
void emulated_acquire(const EmulatedClock *clock);

/* One access by the running thread: bounds, alignment, unwritten bytes, order. What an access by
 * `__tsan_*` does by itself. */
void emulated_read(const void *at, size_t bytes, size_t alignment, const char *file, int line);
void emulated_write(void *at, size_t bytes, size_t alignment, const char *file, int line);
void emulated_atomic(void *at, size_t bytes, const char *file, int line);
/* Bytes of shared memory that something is going to write: checked as a write, poisoned, unreadable until
 * emulated_deliver copies `from` there (NULL: zeros) as a write of the running thread. */
void emulated_pending(void *at, size_t bytes, size_t alignment, const char *file, int line);
void emulated_deliver(void *at, const void *from, size_t bytes);

/* The block's shared memory and its 32-bit addresses. */
unsigned char *emulated_shared(void);
uint32_t emulated_shared_address(const void *pointer, const char *file, int line);
void *emulated_shared_pointer(uint32_t address); /* NULL when outside */
bool emulated_is_shared(const void *pointer);
/* A record of a twin that lives as long as the block, zeroed when first asked for; keys: addresses in shared
 * memory, or emulated_thread_number() + 1. */
void *emulated_record(uintptr_t key, size_t bytes);
int emulated_thread_number(void); /* in the block */
int emulated_capability(void);    /* 90 = 9.0 */

/* The collectives and copies of ptx_twins.h. */
uint32_t emulated_shuffle(const char *name, uint32_t value, int source, const char *file, int line);
uint32_t emulated_ballot(bool claim, const char *file, int line);
void emulated_warp_sync(const char *file, int line);
void emulated_ldmatrix(const char *name, uint32_t *out, int matrices, bool transposed, const void *row,
                       const char *file, int line);
enum EmulatedProduct { EMULATED_F16, EMULATED_BF16, EMULATED_S8 };
void emulated_mma(const char *name, EmulatedProduct kind, void *d, const uint32_t *a, const uint32_t *b,
                  const char *file, int line);
void emulated_copy_async(void *shared, const void *global, bool valid, const char *file, int line);
void emulated_copy_commit(void);
void emulated_copy_wait(int pending);
uint4 emulated_load16(const void *at, const char *file, int line);
uint4 emulated_load16_once(const void *at, const char *file, int line);
void emulated_store16(void *at, uint4 value, const char *file, int line);

/* Conversions, bit for bit those of the device. */
float emulated_half_value(uint16_t half) __attribute__((const));
uint16_t emulated_half_bits(float value) __attribute__((const));
uint16_t emulated_bf16_bits(float value) __attribute__((const));

#endif
