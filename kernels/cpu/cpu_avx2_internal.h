/* Shared by the AVX2 files only: they are compiled for instructions that others may not use. */
#ifndef MUX_KERNELS_CPU_AVX2_INTERNAL_H
#define MUX_KERNELS_CPU_AVX2_INTERNAL_H

#include "kernels/cpu/cpu_internal.h"

#include <immintrin.h>
#include <string.h>

#define INLINE inline __attribute__((always_inline))

void cpu_matmul_avx2(CpuKernels *kernels);
void cpu_attention_avx2(CpuKernels *kernels);

/* The sum of eight lanes, always in the same order: halves onto halves. */
static INLINE float avx2_fold(__m256 lanes) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* The first `count` (1..7) of eight values, the rest zero. */
static INLINE __m256 avx2_load_some(const float *at, int64_t count) {
    float eight[8] = {0};
    memcpy(eight, at, (size_t)count * sizeof *at);
    return _mm256_loadu_ps(eight);
}

static INLINE void avx2_store_some(float *at, int64_t count, __m256 values) {
    float eight[8];
    _mm256_storeu_ps(eight, values);
    memcpy(at, eight, (size_t)count * sizeof *at);
}

/* 2^x for x in -126..127, others are taken as the nearer end; largest relative error 2.5e-7 measured. */
static INLINE __m256 avx2_exp2(__m256 x) {
    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-126)), _mm256_set1_ps(127));
    __m256i whole = _mm256_cvtps_epi32(x);
    __m256 f = _mm256_sub_ps(x, _mm256_cvtepi32_ps(whole)), power = _mm256_set1_ps(1.5403530393e-4f);
    power = _mm256_fmadd_ps(power, f, _mm256_set1_ps(1.3333558146e-3f));
    power = _mm256_fmadd_ps(power, f, _mm256_set1_ps(9.6181291076e-3f));
    power = _mm256_fmadd_ps(power, f, _mm256_set1_ps(5.5504108665e-2f));
    power = _mm256_fmadd_ps(power, f, _mm256_set1_ps(2.4022650696e-1f));
    power = _mm256_fmadd_ps(power, f, _mm256_set1_ps(6.9314718056e-1f));
    power = _mm256_fmadd_ps(power, f, _mm256_set1_ps(1));
    __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(whole, _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(power, _mm256_castsi256_ps(exponent));
}

#endif
