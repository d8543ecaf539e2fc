#include "tests/runner.h"

extern const TestSuite PLANNER_REQUEST_SUITE, PLANNER_LINE_CHECK_SUITE, PLANNER_PROMPTS_SUITE,
    PLANNER_TURN_SUITE;
const TestSuite *const TEST_SUITES[] = {&PLANNER_REQUEST_SUITE, &PLANNER_LINE_CHECK_SUITE,
                                        &PLANNER_PROMPTS_SUITE, &PLANNER_TURN_SUITE};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
