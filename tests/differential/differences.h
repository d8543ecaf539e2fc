/* Where we do not do as git-apply does, on purpose: docs/decisions/patches.md gives the reasons. */
#ifndef MUX_TESTS_DIFFERENTIAL_DIFFERENCES_H
#define MUX_TESTS_DIFFERENTIAL_DIFFERENCES_H

#include "tests/differential/applying.h"

/* The name of the difference that explains these outcomes, which do not agree; NULL: none does. */
const char *known_difference(const ApplyCase *test, const Outcome *git, const Outcome *ours, Arena *arena);

#endif
