#include "tests/runner.h"

extern const TestSuite ACP_FRAMING_SUITE, ACP_TURNS_SUITE, ACP_TRANSCRIPTS_SUITE, ACP_REPLAY_SUITE,
    ACP_PROGRAM_SUITE, ACP_HUNKS_SUITE, ACP_HUNKS_EDITOR_SUITE, ACP_DIFF_SUITE, ACP_APPLY_SUITE,
    ACP_PARAMS_SUITE;
const TestSuite *const TEST_SUITES[] = {&ACP_FRAMING_SUITE,      &ACP_TURNS_SUITE,   &ACP_TRANSCRIPTS_SUITE,
                                        &ACP_REPLAY_SUITE,       &ACP_PROGRAM_SUITE, &ACP_HUNKS_SUITE,
                                        &ACP_HUNKS_EDITOR_SUITE, &ACP_DIFF_SUITE,    &ACP_APPLY_SUITE,
                                        &ACP_PARAMS_SUITE};
const size_t TEST_SUITE_COUNT = sizeof TEST_SUITES / sizeof *TEST_SUITES;
