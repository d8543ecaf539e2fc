/* twins OUT: every instruction of kernels/cuda/ptx.cuh on the same inputs, results written to OUT. Built
 * twice, by nvcc (twins-gpu) and for the emulator (twins-emulated): the two files are the same, or a twin is
 * wrong.
 *
 * Matrix products take whole numbers small enough that every order of additions gives the same float. The
 * fast functions, which hardware only approximates, are not written but held against double here, with the
 * bound that ptx.cuh states.
 */
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/queue_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 64, WORDS = 96, FLOATS = 4096 };

typedef struct TwinArgs {
    const uint32_t *in; /* [ROUNDS, 32 lanes, 8 words] random bits */
    uint32_t *out;      /* [ROUNDS, 32, WORDS] */
    float *fast;        /* [FLOATS, 2] fast_exp2 and fast_reciprocal of from_fast */
    const float *from_fast;
} TwinArgs;

/* A half or bfloat16 pair of whole numbers from -8 to 8. */
DEVICE uint32_t small_halves(uint32_t bits) {
    return pack_half2((float)(int)(bits % 17) - 8, (float)(int)((bits >> 8) % 17) - 8);
}
DEVICE uint32_t small_bf16s(uint32_t bits) {
    return pack_bf16x2((float)(int)(bits % 17) - 8, (float)(int)((bits >> 8) % 17) - 8);
}

DEVICE uint32_t *put_lanes(uint32_t *at, const uint32_t *x) {
    *at++ = bits_from_float(shuffle_xor((float)(x[0] % 1000), 5));
    *at++ = (uint32_t)shuffle_xor((int)x[1], 17);
    *at++ = shuffle_xor(x[1], 8);
    *at++ = (uint32_t)shuffle((int)x[2], (int)(x[3] & 31));
    *at++ = bits_from_float(shuffle((float)(x[2] % 999), (int)(x[4] & 31)));
    *at++ = (uint32_t)shuffle_up((int)x[5], 3);
    *at++ = warp_ballot((x[6] & 1) != 0);
    *at++ = bits_from_float(warp_sum((float)(x[0] % 100)));
    *at++ = bits_from_float(warp_max((float)(x[0] % 100)));
    return at;
}

DEVICE uint32_t *put_arithmetic(uint32_t *at, const uint32_t *x) {
    *at++ = (uint32_t)dot4((int)x[0], (int)x[1], (int)x[2]);
    *at++ = (uint32_t)subtract_bytes((int)x[0], (int)x[1]);
    *at++ = pick_bytes(x[0], x[1], x[2] & 0x7777u);
    *at++ = bits_from_float(half_value((uint16_t)(x[3] & 0xFBFFu)));
    *at++ = bits_from_float(bf16_value((uint16_t)x[3]));
    float moderate = ((float)(int)x[4]) * 3.0517578125e-05f;
    *at++ = half_bits(moderate);
    *at++ = bf16_bits(moderate);
    *at++ = half_bits(moderate * 1e-9f);
    *at++ = pack_half2(moderate, -moderate);
    *at++ = pack_bf16x2(moderate, moderate * 3);
    *at++ = (uint32_t)round_to_int(moderate);
    *at++ = (uint32_t)round_to_int((float)(int)(x[5] % 64) * 0.5f);
    float2 halves = unpack_half2(x[6] & 0x7BFF7BFFu);
    *at++ = bits_from_float(halves.x);
    *at++ = bits_from_float(halves.y);
    return at;
}

DEVICE uint32_t *put_matrices(uint32_t *at, const uint32_t *x, unsigned char *shared) {
    /* 32 rows of 16 bytes, 16 apart from one another by an odd number of rows */
    unsigned char *row = shared + ((lane_id() * 5) % 32) * 16;
    uint4 four;
    four.x = x[0], four.y = x[1], four.z = x[2], four.w = x[3];
    store16(row, four);
    warp_sync();
    uint32_t r[4];
    ldmatrix_x4(r, shared + lane_id() * 16);
    UNROLL for (int i = 0; i < 4; i++) *at++ = r[i];
    ldmatrix_x4_trans(r, shared + ((lane_id() * 3) % 32) * 16);
    UNROLL for (int i = 0; i < 4; i++) *at++ = r[i];
    ldmatrix_x2(r, shared + lane_id() * 16);
    *at++ = r[0], *at++ = r[1];
    ldmatrix_x2_trans(r, shared + lane_id() * 16);
    *at++ = r[0], *at++ = r[1];
    warp_sync();
    return at;
}

DEVICE uint32_t *put_products(uint32_t *at, const uint32_t *x) {
    uint32_t a[4], b[2];
    float d[4];
    UNROLL for (int i = 0; i < 4; i++) a[i] = small_halves(x[i]), d[i] = (float)(int)(x[i + 4] % 50);
    b[0] = small_halves(x[4]), b[1] = small_halves(x[5]);
    mma_f16(d, a, b);
    UNROLL for (int i = 0; i < 4; i++) *at++ = bits_from_float(d[i]);
    UNROLL for (int i = 0; i < 4; i++) a[i] = small_bf16s(x[i]), d[i] = -(float)(int)(x[i + 4] % 50);
    b[0] = small_bf16s(x[4]), b[1] = small_bf16s(x[5]);
    mma_bf16(d, a, b);
    UNROLL for (int i = 0; i < 4; i++) *at++ = bits_from_float(d[i]);
    int s[4];
    UNROLL for (int i = 0; i < 4; i++) s[i] = (int)(x[i] % 1000);
    mma_s8(s, x, x + 4);
    UNROLL for (int i = 0; i < 4; i++) *at++ = (uint32_t)s[i];
    return at;
}

/* Each lane copies another lane's words by way of shared memory; every third copy is of nothing: zeros. */
DEVICE uint32_t *put_copies(uint32_t *at, const TwinArgs &a, int round, unsigned char *shared) {
    int other = (lane_id() + 7) % 32;
    const uint32_t *from = a.in + ((size_t)round * 32 + other) * 8;
    copy_async16(shared + lane_id() * 32, from, lane_id() % 3 != 0);
    copy_async_commit();
    copy_async16(shared + lane_id() * 32 + 16, from + 4, true);
    copy_async_commit();
    copy_async_wait<1>();
    uint4 first = load16(shared + lane_id() * 32);
    copy_async_wait<0>();
    uint4 second = load16(shared + lane_id() * 32 + 16), plain = load16_once(from);
    *at++ = first.x, *at++ = first.y, *at++ = first.z, *at++ = first.w;
    *at++ = second.x, *at++ = second.y, *at++ = second.z, *at++ = second.w;
    *at++ = plain.x, *at++ = plain.w;
    warp_sync();
    return at;
}

static __global__ void twin_kernel(const TwinArgs a) {
    unsigned char *shared = block_shared();
    int round = (int)blockIdx.x;
    const uint32_t *in = a.in + ((size_t)round * 32 + lane_id()) * 8;
    uint32_t x[8], *at = a.out + ((size_t)round * 32 + lane_id()) * WORDS;
    UNROLL for (int i = 0; i < 8; i++) x[i] = in[i];
    at = put_lanes(at, x);
    at = put_arithmetic(at, x);
    at = put_matrices(at, x, shared);
    at = put_products(at, x);
    at = put_copies(at, a, round, shared);
    uint32_t *end = a.out + ((size_t)round * 32 + lane_id() + 1) * WORDS;
    while (at < end)
        *at++ = 0;
    for (int i = round * 32 + lane_id(); i < FLOATS; i += ROUNDS * 32) {
        a.fast[2 * i] = fast_exp2(a.from_fast[i]);
        a.fast[2 * i + 1] = fast_reciprocal(a.from_fast[i]);
    }
}

static uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static uint32_t in[ROUNDS * 32 * 8], out[ROUNDS * 32 * WORDS];
static float from_fast[FLOATS], fast[2 * FLOATS];

static bool fast_functions_are_close(void) {
    double worst = 0;
    for (int i = 0; i < FLOATS; i++) {
        double x = from_fast[i];
        worst = fmax(worst, fabs(fast[2 * i] / exp2(x) - 1));
        worst = fmax(worst, fabs(fast[2 * i + 1] * x - 1));
    }
    printf("fast functions: relative error at most 2^%.1f\n", log2(worst));
    return worst < 0x1p-21;
}

int main(int argc, char **argv) {
    KernelError error = {""};
    CudaQueue *queue = argc == 2 ? queue_open(0, &error) : NULL;
    if (!queue) {
        fprintf(stderr, "twins OUT: %s\n", error.text);
        return 1;
    }
    uint64_t state = 1;
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        in[i] = (uint32_t)random_next(&state);
    for (int i = 0; i < FLOATS; i++)
        from_fast[i] =
            (float)((double)(random_next(&state) >> 11) * 0x1p-53 * 60 + 0.01) * (i % 2 ? -1.0f : 1.0f);
    char *memory;
    size_t in_at = 0, out_at = sizeof in, from_at = out_at + sizeof out, fast_at = from_at + sizeof from_fast;
    if (!queue_check(queue, cudaMalloc((void **)&memory, fast_at + sizeof fast), "allocating"))
        return queue_wait(queue, &error), fprintf(stderr, "%s\n", error.text), 1;
    TwinArgs args = {(const uint32_t *)(memory + in_at), (uint32_t *)(memory + out_at),
                     (float *)(memory + fast_at), (const float *)(memory + from_at)};
    queue_upload(queue, memory + in_at, in, sizeof in);
    queue_upload(queue, memory + from_at, from_fast, sizeof from_fast);
    Extent grid = {ROUNDS, 1, 1}, block = {32, 1, 1};
    LAUNCH(queue, grid, block, 1024, args, twin_kernel);
    queue_download(queue, out, memory + out_at, sizeof out);
    queue_download(queue, fast, memory + fast_at, sizeof fast);
    bool ok = queue_wait(queue, &error);
    if (!ok)
        fprintf(stderr, "twins: %s\n", error.text);
    cudaFree(memory);
    queue_close(queue);
    FILE *file = ok ? fopen(argv[1], "wb") : NULL;
    ok = file && fwrite(out, sizeof out, 1, file) == 1;
    if (file && fclose(file))
        ok = false;
    return ok && fast_functions_are_close() ? 0 : 1;
}
