#include "tests/runner.h"

extern const TestSuite BASE_STR_SUITE, BASE_JSON_SUITE, BASE_LOG_SUITE;
const TestSuite *const TEST_SUITES[] = {&BASE_STR_SUITE, &BASE_JSON_SUITE, &BASE_LOG_SUITE};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
