/* Kernels with planted mistakes, each beside its correct twin, and kernels that call one twin of an
 * instruction each. For the tests of the emulator. */
#ifndef MUX_TESTS_EMULATOR_PLANTED_H
#define MUX_TESTS_EMULATOR_PLANTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct PlantedArgs {
    const void *in, *in2;
    void *out;
    int count;
} PlantedArgs;

/* The kernel of that name, wrong or right; NULL when there is none. For cudaLaunchKernel. */
const void *planted_kernel(const char *name, bool is_wrong);

#ifdef __cplusplus
}
#endif
#endif
