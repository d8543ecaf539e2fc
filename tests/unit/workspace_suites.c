#include "tests/runner.h"

extern const TestSuite WORKSPACE_SYNTAX_SUITE, WORKSPACE_PATHS_SUITE, WORKSPACE_CHANGE_SUITE,
    WORKSPACE_CRASH_SUITE, WORKSPACE_FIND_SUITE;
const TestSuite *const TEST_SUITES[] = {&WORKSPACE_SYNTAX_SUITE, &WORKSPACE_PATHS_SUITE,
                                        &WORKSPACE_CHANGE_SUITE, &WORKSPACE_FIND_SUITE,
                                        &WORKSPACE_CRASH_SUITE};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
