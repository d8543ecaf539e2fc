/* The installed git, as a maker of patches and as the oracle of applying them.
 *
 * git_open once (it makes a scratch repository for git_diff); git_close at the end. No repository ever stands
 * above the trees that are patched: git-apply would pass over files there. One thread.
 */
#ifndef MUX_TESTS_DIFFERENTIAL_GIT_H
#define MUX_TESTS_DIFFERENTIAL_GIT_H

#include "tests/differential/small_tree.h"

/* folder: absolute, empty, stays. False when git is not installed. */
bool git_open(const char *folder);
void git_close(void);

/* What git-diff-tree prints with these arguments (a list ended by NULL) for the change from one tree to the
 * other. */
Str git_diff(const SmallTree *before, const SmallTree *after, const char *const *arguments, Arena *arena);

/* Runs a program found in PATH, its input empty and output thrown away (or, output given, written to that
 * file), inside a folder. The exit status, or 128 + the signal. */
int program_run(const char *const *arguments, const char *folder, const char *output);

#endif
