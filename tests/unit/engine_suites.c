#include "tests/runner.h"

extern const TestSuite ENGINE_GRAMMAR_SUITE;
extern const TestSuite ENGINE_SUFFIX_AUTOMATON_SUITE;
extern const TestSuite ENGINE_TOKENIZER_SUITE;
const TestSuite *const TEST_SUITES[] = {
    &ENGINE_GRAMMAR_SUITE,
    &ENGINE_SUFFIX_AUTOMATON_SUITE,
    &ENGINE_TOKENIZER_SUITE,
};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
