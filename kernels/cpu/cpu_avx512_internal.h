/* Shared by the AVX-512 files only: they are compiled for instructions that others may not use. */
#ifndef MUX_KERNELS_CPU_AVX512_INTERNAL_H
#define MUX_KERNELS_CPU_AVX512_INTERNAL_H

#include "kernels/cpu/cpu_internal.h"

#include <immintrin.h>

#define INLINE inline __attribute__((always_inline))

void cpu_matmul_avx512(CpuKernels *kernels);
void cpu_matmul_float_avx512(CpuKernels *kernels);
void cpu_attention_avx512(CpuKernels *kernels);

/* The sum of sixteen lanes, always in the same order: halves onto halves. */
static INLINE float avx512_fold(__m512 lanes) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* 2^x, largest relative error 2.5e-7 measured; below -200 it is zero, above 200 infinite. */
static INLINE __m512 avx512_exp2(__m512 x) {
    x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-200)), _mm512_set1_ps(200));
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(x, whole);
    /* Taylor terms ln(2)^k / k!: at |f| <= 0.5 the first one left out is 1.2e-7 of the value or less */
    __m512 power = _mm512_set1_ps(1.5403530393e-4f);
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(1.3333558146e-3f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(9.6181291076e-3f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(5.5504108665e-2f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(2.4022650696e-1f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(6.9314718056e-1f));
    power = _mm512_fmadd_ps(power, f, _mm512_set1_ps(1));
    return _mm512_scalef_ps(power, whole);
}

#endif
