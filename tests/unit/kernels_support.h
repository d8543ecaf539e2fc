/* Shared by the kernel tests: backends at every level this machine has, random data with extremes, guarded
 * outputs. */
#ifndef MUX_TESTS_KERNELS_SUPPORT_H
#define MUX_TESTS_KERNELS_SUPPORT_H

#include "kernels/cpu/cpu_internal.h"
#include "tests/runner.h"

/* Runs check on a cpu backend of each level, opened with the given threads. */
void each_level(int threads, void (*check)(Backend *cpu));
Backend *open_ref(void);
const char *level_name(const Backend *cpu);

/* Every type that has kernels. */
static const DType TYPES[] = {DTYPE_F32,  DTYPE_F16,  DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0,
                              DTYPE_Q5_0, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K, DTYPE_MXFP4};
enum { TYPE_COUNT = sizeof TYPES / sizeof *TYPES };

int random_below(int limit);
float random_float(void);   /* mostly within 4, some zero, tiny or large */
uint16_t random_half(void); /* finite, within 4, some subnormal */
void random_floats(float *out, int64_t count);
/* A weight matrix of any type with rows apart by more than they need; free with free(tensor.data). */
Tensor random_tensor(DType type, int64_t rows, int64_t cols);

enum { GUARD = 5 };
/* n rows of width values and GUARD more each, all a recognisable NaN; free with free. */
float *poisoned(int64_t n, int64_t width);
/* Whether the guards are untouched and nothing else is poison. */
bool is_clean(const float *out, int64_t n, int64_t width);
bool same_bits(const float *a, const float *b, int64_t count);

#endif
