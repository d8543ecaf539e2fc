#include "tests/runner.h"

extern const TestSuite ENGINE_GRAMMAR_SUITE;
extern const TestSuite ENGINE_SUFFIX_AUTOMATON_SUITE;
extern const TestSuite ENGINE_TOKENIZER_SUITE;
extern const TestSuite ENGINE_TOKENIZER_SMALL_SUITE;
extern const TestSuite ENGINE_CHAT_SUITE;
extern const TestSuite ENGINE_GGUF_SUITE;
extern const TestSuite ENGINE_MODEL_SUITE;
extern const TestSuite ENGINE_SAMPLE_SUITE;
extern const TestSuite ENGINE_SCRIPT_SUITE;
extern const TestSuite ENGINE_DEVICES_SUITE;
extern const TestSuite ENGINE_TINY_SUITE;
const TestSuite *const TEST_SUITES[] = {
    &ENGINE_TINY_SUITE,      &ENGINE_SCRIPT_SUITE,
    &ENGINE_SAMPLE_SUITE,    &ENGINE_MODEL_SUITE,
    &ENGINE_GGUF_SUITE,      &ENGINE_CHAT_SUITE,
    &ENGINE_GRAMMAR_SUITE,   &ENGINE_SUFFIX_AUTOMATON_SUITE,
    &ENGINE_TOKENIZER_SUITE, &ENGINE_TOKENIZER_SMALL_SUITE,
    &ENGINE_DEVICES_SUITE,
};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
