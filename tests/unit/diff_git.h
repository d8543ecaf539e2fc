/* git beside the tests of diffs and patches. */
#ifndef MUX_TESTS_DIFF_GIT_H
#define MUX_TESTS_DIFF_GIT_H

#include <stdbool.h>

bool git_is_there(void);
/* The exit status of git in a folder, in no repository above it and without settings; 128 when it aborted. */
int git_run(const char *folder, const char *const *arguments);

#endif
