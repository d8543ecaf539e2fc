#include "tests/runner.h"

extern const TestSuite DIFF_COMPARE_SUITE, DIFF_EDIT_SUITE, DIFF_PATCH_SUITE, DIFF_PATCH_CASES_SUITE,
    DIFF_PRINT_SUITE, DIFF_TREE_SUITE, DIFF_SECTION_SUITE;
const TestSuite *const TEST_SUITES[] = {&DIFF_COMPARE_SUITE,     &DIFF_EDIT_SUITE,  &DIFF_PATCH_SUITE,
                                        &DIFF_PATCH_CASES_SUITE, &DIFF_PRINT_SUITE, &DIFF_TREE_SUITE,
                                        &DIFF_SECTION_SUITE};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
