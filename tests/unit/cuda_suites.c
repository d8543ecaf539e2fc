#include "tests/runner.h"

/* One line per suite: declared, then listed. */
#ifdef MUX_EMULATED
extern const TestSuite CUDA_EMULATOR_SUITE;
extern const TestSuite EMULATOR_HOPPER_SUITE;
#endif
extern const TestSuite CUDA_BACKEND_SUITE;
extern const TestSuite CUDA_MEMORY_SUITE;
extern const TestSuite CUDA_GEMM_SUITE;
extern const TestSuite CUDA_GEMV_SUITE;
extern const TestSuite CUDA_REPACK_SUITE;
extern const TestSuite CUDA_HOPPER_SUITE;
extern const TestSuite CUDA_ATTENTION_SUITE;
extern const TestSuite CUDA_ROPE_SUITE;
extern const TestSuite CUDA_ELEMENTS_SUITE;
extern const TestSuite CUDA_SAMPLE_SUITE;
extern const TestSuite CUDA_MOE_SUITE;

const TestSuite *const TEST_SUITES[] = {
#ifdef MUX_EMULATED
    &CUDA_EMULATOR_SUITE, &EMULATOR_HOPPER_SUITE,
#endif
    &CUDA_BACKEND_SUITE,  &CUDA_MEMORY_SUITE,     &CUDA_GEMM_SUITE,      &CUDA_GEMV_SUITE,
    &CUDA_REPACK_SUITE,   &CUDA_HOPPER_SUITE,     &CUDA_ATTENTION_SUITE, &CUDA_ROPE_SUITE,
    &CUDA_ELEMENTS_SUITE, &CUDA_SAMPLE_SUITE,     &CUDA_MOE_SUITE,
};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
