/* A patch from one tree to another: by git-diff or by our own diff, in any of the forms people send. */
#ifndef MUX_TESTS_DIFFERENTIAL_MAKING_H
#define MUX_TESTS_DIFFERENTIAL_MAKING_H

#include "tests/differential/damage.h"

/* Fills trial->test with the patch of trial->before and trial->after, the options it needs and the tree it is
 * for; all else stays as it is. The maker's name, for statistics. */
const char *make_patch(Trial *trial, Arena *arena);

#endif
