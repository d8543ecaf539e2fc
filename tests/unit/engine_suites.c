#include "tests/runner.h"

extern const TestSuite ENGINE_TOKENIZER_SUITE;
const TestSuite *const TEST_SUITES[] = {
    &ENGINE_TOKENIZER_SUITE,
};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
