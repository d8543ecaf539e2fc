/* The kernels of planted.h: `is_wrong` leaves out what makes them correct. */
#include "tests/emulator/planted.h"

#include "kernels/cuda/common.cuh"

DEVICE float *shared_floats() {
    return (float *)block_shared();
}
DEVICE float input(const PlantedArgs &a, int i) {
    return ((const float *)a.in)[i];
}

/* So that nothing is unwritten afterwards. */
DEVICE void clear(float *s, int i) {
    s[i] = 0;
    block_sync();
}

/* out[i] = in[i of another warp], through shared memory. */
template <bool is_wrong> static __global__ void race_of_warps(const PlantedArgs a) {
    float *s = shared_floats();
    int i = (int)threadIdx.x;
    clear(s, i);
    s[i] = input(a, i);
    if (!is_wrong)
        block_sync();
    ((float *)a.out)[i] = s[i ^ 32];
}
template <bool is_wrong> static __global__ void race_of_lanes(const PlantedArgs a) {
    float *s = shared_floats();
    int i = (int)threadIdx.x;
    clear(s, i);
    s[i] = input(a, i);
    if (!is_wrong)
        warp_sync();
    ((float *)a.out)[i] = s[i ^ 1];
}
/* A shuffle brings values across but orders no memory. */
template <bool is_wrong> static __global__ void race_past_shuffle(const PlantedArgs a) {
    float *s = shared_floats();
    int i = (int)threadIdx.x;
    clear(s, i);
    s[i] = input(a, i);
    int other = shuffle_xor(i, 1);
    if (!is_wrong)
        warp_sync();
    ((float *)a.out)[i] = s[other];
}
/* The second round writes what others of the first may still have to read. */
template <bool is_wrong> static __global__ void race_of_rounds(const PlantedArgs a) {
    float *s = shared_floats();
    int i = (int)threadIdx.x;
    clear(s, i);
    float sum = 0;
    for (int round = 0; round < 2; round++) {
        s[i] = input(a, i);
        block_sync();
        sum += s[i ^ 32];
        if (!is_wrong)
            block_sync();
    }
    ((float *)a.out)[i] = sum / 2;
}
/* One warp reads what the other is about to write over; whoever comes first. */
template <bool is_wrong> static __global__ void race_of_reader(const PlantedArgs a) {
    float *s = shared_floats();
    int i = (int)threadIdx.x;
    s[i] = input(a, i ^ 32);
    block_sync();
    if (warp_id() == 0)
        ((float *)a.out)[i] = s[i];
    if (!is_wrong)
        block_sync();
    if (warp_id() == 1) {
        ((float *)a.out)[i] = s[i];
        s[i - 32] = 0;
    }
}
template <bool is_wrong> static __global__ void race_of_counter(const PlantedArgs a) {
    int *s = (int *)block_shared();
    int i = (int)threadIdx.x;
    if (i == 0)
        s[0] = 0;
    block_sync();
    if (is_wrong)
        s[0] = s[0] + 1;
    else
        atomic_add(s, 1);
    block_sync();
    ((float *)a.out)[i] = s[0] == (int)blockDim.x ? input(a, i ^ 32) : 0;
}
template <bool is_wrong> static __global__ void race_in_device_memory(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *out = (float *)a.out;
    out[i] = input(a, i);
    if (!is_wrong)
        block_sync();
    float other = out[i ^ 32];
    block_sync();
    out[i] = other;
}
/* Two blocks: both write the same place, or each its own. */
template <bool is_wrong> static __global__ void race_of_blocks(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    int at = is_wrong ? i : (int)(blockIdx.x * blockDim.x) + i;
    if (at < a.count)
        ((float *)a.out)[at] = input(a, at ^ 32);
}
template <bool is_wrong> static __global__ void reading_of_blocks(const PlantedArgs a) {
    int i = (int)threadIdx.x + (int)(blockIdx.x * blockDim.x);
    float *out = (float *)a.out;
    if (i < a.count)
        out[i] = input(a, i ^ 32);
    if (is_wrong && out[a.count - 1 - i % a.count] == 12345.0f)
        out[0] = 0;
}

template <bool is_wrong> static __global__ void diverged_shuffle(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float value = input(a, i), other = 0;
    if (!is_wrong || lane_id() < 16)
        other = shuffle_xor(value, 1);
    ((float *)a.out)[i] = other;
}
template <bool is_wrong> static __global__ void diverged_barrier(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *s = shared_floats();
    s[i] = input(a, i);
    if (!is_wrong)
        block_sync();
    else if (i % 2)
        block_sync();
    if (!is_wrong)
        ((float *)a.out)[i] = s[i ^ 32];
}
/* Half of a warp comes to one barrier, the other half to another. */
template <bool is_wrong> static __global__ void two_barriers(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *s = shared_floats();
    s[i] = input(a, i);
    if (is_wrong && lane_id() < 16)
        block_sync();
    else
        block_sync();
    ((float *)a.out)[i] = s[i ^ 32];
}
template <bool is_wrong> static __global__ void exit_before_shuffle(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    if (is_wrong && i == 5)
        return;
    ((float *)a.out)[i] = shuffle_xor(input(a, i), 1);
}
template <bool is_wrong> static __global__ void deadlock(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *s = shared_floats();
    s[i] = input(a, i);
    if (!is_wrong || warp_id() == 0)
        named_sync(1, 64);
    if (warp_id() == 1 && is_wrong)
        named_sync(2, 64);
    ((float *)a.out)[i] = s[i ^ 32];
}
template <bool is_wrong> static __global__ void barrier_of_two_sizes(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *s = shared_floats();
    s[i] = input(a, i);
    named_sync(1, is_wrong && warp_id() ? 96 : 64);
    ((float *)a.out)[i] = s[i ^ 32];
}
/* Warp 1 takes what warp 0 made, in turns, over two named barriers; warp 0 likewise. */
template <bool is_wrong> static __global__ void producer_and_consumer(const PlantedArgs a) {
    int i = (int)threadIdx.x, lane = lane_id();
    float *s = shared_floats();
    for (int round = 0; round < 3; round++) {
        if (warp_id() == 0) {
            s[lane] = input(a, lane + 32 * (round % 2));
            named_arrive(1, 64);
            if (!is_wrong)
                named_sync(2, 64);
        } else {
            named_sync(1, 64);
            ((float *)a.out)[lane + 32 * ((round + 1) % 2)] = s[lane];
            if (!is_wrong)
                named_arrive(2, 64);
        }
    }
    (void)i;
}

template <bool is_wrong> static __global__ void read_past_end(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    ((float *)a.out)[i] = input(a, is_wrong ? i + 1 : i ^ 32);
}
template <bool is_wrong> static __global__ void write_before_begin(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    ((float *)a.out)[i - is_wrong] = input(a, i ^ 32);
}
template <bool is_wrong> static __global__ void write_past_shared(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *s = shared_floats();
    s[i + is_wrong] = input(a, i);
    block_sync();
    ((float *)a.out)[i] = s[i ^ 32];
}
template <bool is_wrong> static __global__ void misaligned_load(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    if (i < 16) {
        uint4 four = load16((const float *)a.in + 4 * (i ^ 8) + is_wrong);
        store16((float *)a.out + 4 * i, four);
    }
}
template <bool is_wrong> static __global__ void misaligned_pointer(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    if (i < 16)
        ((float4 *)a.out)[i] = *(const float4 *)((const float *)a.in + 4 * (i ^ 8) + 2 * is_wrong);
}
template <bool is_wrong> static __global__ void copy_not_waited_for(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *s = shared_floats();
    if (i < 16)
        copy_async16(s + 4 * i, (const float *)a.in + 4 * i, true);
    copy_async_commit();
    if (!is_wrong)
        copy_async_wait<0>();
    block_sync();
    ((float *)a.out)[i] = s[i ^ 32];
    copy_async_wait<0>();
}
/* A wait alone shows a thread its own bytes, not those that others copied. */
template <bool is_wrong> static __global__ void copy_without_barrier(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *s = shared_floats();
    clear(s, i);
    if (i < 16)
        copy_async16(s + 4 * i, (const float *)a.in + 4 * i, true);
    copy_async_commit();
    copy_async_wait<0>();
    if (!is_wrong)
        block_sync();
    else
        for (int spin = 0; spin < 4; spin++)
            warp_ballot(spin);
    ((float *)a.out)[i] = s[i ^ 32];
}
template <bool is_wrong> static __global__ void copy_never_waited_for(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    ((float *)a.out)[i] = input(a, i ^ 32);
    copy_async16(shared_floats() + 4 * i, a.in, i % 2 == 0);
    copy_async_commit();
    copy_async_wait<is_wrong ? 1 : 0>();
}
template <bool is_wrong> static __global__ void unwritten_shared(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float *s = shared_floats();
    if (!is_wrong || i != 7)
        s[i] = input(a, i);
    block_sync();
    ((float *)a.out)[i] = s[i ^ 32];
}
/* The second input is memory that nobody wrote (or a host pointer, or nothing). */
template <bool is_wrong> static __global__ void read_second_input(const PlantedArgs a) {
    int i = (int)threadIdx.x;
    float more = is_wrong ? ((const float *)a.in2)[i] : 0;
    ((float *)a.out)[i] = input(a, i ^ 32) + more;
}

/* ---- instructions ---- */

/* in: a [16, 16] and b [16, 8] of 16-bit values by rows; d [16, 8] floats, added to. */
template <bool is_bf16> static __global__ void product_of_halves(const PlantedArgs a) {
    const uint16_t *left = (const uint16_t *)a.in, *right = (const uint16_t *)a.in2;
    float *out = (float *)a.out;
    int g = lane_id() / 4, t = lane_id() % 4;
    uint32_t ra[4], rb[2];
    float d[4];
    for (int i = 0; i < 4; i++) {
        int row = g + i % 2 * 8, k = 2 * t + i / 2 * 8;
        ra[i] = (uint32_t)left[row * 16 + k + 1] << 16 | left[row * 16 + k];
        d[i] = out[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    }
    for (int i = 0; i < 2; i++) {
        int k = 2 * t + i * 8;
        rb[i] = (uint32_t)right[(k + 1) * 8 + g] << 16 | right[k * 8 + g];
    }
    if (is_bf16)
        mma_bf16(d, ra, rb);
    else
        mma_f16(d, ra, rb);
    for (int i = 0; i < 4; i++)
        out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
/* in: a [16, 32] and b [32, 8] of int8 by rows; d [16, 8] ints, added to. */
template <bool> static __global__ void product_of_bytes(const PlantedArgs a) {
    const uint8_t *left = (const uint8_t *)a.in, *right = (const uint8_t *)a.in2;
    int *out = (int *)a.out, d[4];
    int g = lane_id() / 4, t = lane_id() % 4;
    uint32_t ra[4] = {0, 0, 0, 0}, rb[2] = {0, 0};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++)
            ra[i] |= (uint32_t)left[(g + i % 2 * 8) * 32 + 4 * t + i / 2 * 16 + j] << 8 * j;
        d[i] = out[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            rb[i] |= (uint32_t)right[(4 * t + i * 16 + j) * 8 + g] << 8 * j;
    mma_s8(d, ra, rb);
    for (int i = 0; i < 4; i++)
        out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}
/* in: four 8 x 8 matrices of 16-bit values; out: what each lane got, [32][12]: x4, x4 transposed, x2, x2
 * transposed. */
template <bool> static __global__ void matrices(const PlantedArgs a) {
    uint16_t *s = (uint16_t *)block_shared();
    uint32_t *out = (uint32_t *)a.out + 12 * threadIdx.x;
    store16(s + 8 * threadIdx.x, load16((const uint16_t *)a.in + 8 * threadIdx.x));
    warp_sync();
    uint32_t got[4];
    ldmatrix_x4(got, s + 8 * lane_id());
    for (int i = 0; i < 4; i++)
        out[i] = got[i];
    ldmatrix_x4_trans(got, s + 8 * lane_id());
    for (int i = 0; i < 4; i++)
        out[4 + i] = got[i];
    ldmatrix_x2(got, s + 8 * lane_id());
    for (int i = 0; i < 2; i++)
        out[8 + i] = got[i];
    ldmatrix_x2_trans(got, s + 8 * lane_id());
    for (int i = 0; i < 2; i++)
        out[10 + i] = got[i];
}
/* in: 32 ints; out [32][5]: from lane ^ 3, from lane 7, from 4 lanes below, odd ones, sum. */
template <bool> static __global__ void lanes(const PlantedArgs a) {
    int value = ((const int *)a.in)[threadIdx.x], *out = (int *)a.out + 5 * threadIdx.x;
    out[0] = shuffle_xor(value, 3);
    out[1] = shuffle(value, 7);
    out[2] = shuffle_up(value, 4);
    out[3] = (int)warp_ballot(value & 1);
    out[4] = (int)warp_sum((float)value);
}
/* in: pairs of words; out [count][10]. */
template <bool> static __global__ void numbers(const PlantedArgs a) {
    int i = (int)threadIdx.x + (int)(blockIdx.x * blockDim.x);
    if (i >= a.count)
        return;
    const uint32_t *in = (const uint32_t *)a.in + 2 * i;
    uint32_t *out = (uint32_t *)a.out + 10 * i, x = in[0], y = in[1];
    float fx = float_from_bits(x), fy = float_from_bits(y);
    out[0] = (uint32_t)dot4((int)x, (int)y, (int)(x ^ y));
    out[1] = (uint32_t)subtract_bytes((int)x, (int)y);
    out[2] = pick_bytes(x, y, x & 0x7777u);
    out[3] = bits_from_float(half_value((uint16_t)x));
    out[4] = half_bits(fx);
    out[5] = bf16_bits(fx);
    out[6] = pack_half2(fx, fy);
    out[7] = pack_bf16x2(fx, fy);
    out[8] = (uint32_t)round_to_int(fx);
    out[9] = bits_from_float(unpack_half2(y).y);
}
/* Adds 1 to count counters of device memory from every thread of every block; the last block sees all. */
template <bool is_wrong> static __global__ void last_block(const PlantedArgs a) {
    int *out = (int *)a.out, *flag = (int *)block_shared();
    float *parts = (float *)a.in2;
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = input(a, (int)blockIdx.x);
        device_fence();
        *flag = is_wrong ? blockIdx.x == gridDim.x - 1 : atomic_add(out, 1) == (int)gridDim.x - 1;
    }
    block_sync();
    if (*flag && threadIdx.x == 0) {
        float sum = 0;
        for (unsigned b = 0; b < gridDim.x; b++)
            sum += parts[b];
        ((float *)a.out)[1] = sum;
    }
}
template <bool> static __global__ void add_one(const PlantedArgs a) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < a.count)
        ((float *)a.out)[i] = input(a, i) + 1;
}
template <bool> static __global__ void double_it(const PlantedArgs a) {
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < a.count)
        ((float *)a.out)[i] = input(a, i) * 2;
}
/* out: the order in which the blocks ran. */
template <bool> static __global__ void block_order(const PlantedArgs a) {
    if (threadIdx.x == 0) {
        int *out = (int *)a.out;
        out[1 + atomic_add(out, 1)] = (int)blockIdx.x;
    }
}

#define PLANTED(name)                                                                                        \
    if (strcmp(wanted, #name) == 0)                                                                          \
        return is_wrong ? KERNEL_ADDRESS(PlantedArgs, name<true>) : KERNEL_ADDRESS(PlantedArgs, name<false>);

const void *planted_kernel(const char *wanted, bool is_wrong) {
    PLANTED(race_of_warps)
    PLANTED(race_of_lanes)
    PLANTED(race_past_shuffle)
    PLANTED(race_of_rounds)
    PLANTED(race_of_reader)
    PLANTED(race_of_counter)
    PLANTED(race_in_device_memory)
    PLANTED(race_of_blocks)
    PLANTED(reading_of_blocks)
    PLANTED(diverged_shuffle)
    PLANTED(diverged_barrier)
    PLANTED(two_barriers)
    PLANTED(exit_before_shuffle)
    PLANTED(deadlock)
    PLANTED(barrier_of_two_sizes)
    PLANTED(producer_and_consumer)
    PLANTED(read_past_end)
    PLANTED(write_before_begin)
    PLANTED(write_past_shared)
    PLANTED(misaligned_load)
    PLANTED(misaligned_pointer)
    PLANTED(copy_not_waited_for)
    PLANTED(copy_without_barrier)
    PLANTED(copy_never_waited_for)
    PLANTED(unwritten_shared)
    PLANTED(read_second_input)
    PLANTED(product_of_halves)
    PLANTED(product_of_bytes)
    PLANTED(matrices)
    PLANTED(lanes)
    PLANTED(numbers)
    PLANTED(last_block)
    PLANTED(add_one)
    PLANTED(double_it)
    PLANTED(block_order)
    return NULL;
}
