/* A smaller case that still shows the same disagreement. */
#ifndef MUX_TESTS_DIFFERENTIAL_SHRINKING_H
#define MUX_TESTS_DIFFERENTIAL_SHRINKING_H

#include "tests/differential/applying.h"

/* Files, lines of the patch and lines of files are left out as long as is_failing(case) stays true. Results
 * live in the arena. */
void shrink_case(ApplyCase *test, bool (*is_failing)(const ApplyCase *test), Arena *arena);

#endif
