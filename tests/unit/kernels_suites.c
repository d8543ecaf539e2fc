#include "tests/runner.h"

extern const TestSuite KERNELS_DTYPE_SUITE;
const TestSuite *const TEST_SUITES[] = {&KERNELS_DTYPE_SUITE};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
