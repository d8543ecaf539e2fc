#include "tests/runner.h"

extern const TestSuite DIFFERENTIAL_APPLY_SUITE;

const TestSuite *const TEST_SUITES[] = {&DIFFERENTIAL_APPLY_SUITE};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
