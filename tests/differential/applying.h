/* One patch on one tree, tried three ways: by git-apply, by the diff room in memory, by our program on disk.
 * One thread.
 */
#ifndef MUX_TESTS_DIFFERENTIAL_APPLYING_H
#define MUX_TESTS_DIFFERENTIAL_APPLYING_H

#include "tests/differential/small_tree.h"

typedef struct ApplyCase {
    SmallTree tree;
    Str patch;
    PatchOptions options;
    bool only_check;
} ApplyCase;

typedef struct Outcome {
    bool is_accepted;
    SmallTree tree; /* after it; of what was refused: as it was left */
    Str reason;     /* ours, when refused */
} Outcome;

/* folder: absolute, for scratch; kept by reference. */
void applying_open(const char *folder);
/* The options, as on a command line. */
Str case_arguments(const ApplyCase *test, Arena *arena);
Outcome apply_with_git(const ApplyCase *test, Arena *arena);
Outcome apply_in_memory(const ApplyCase *test, Arena *arena);
/* *damage: a refused patch (or one only checked) touched something. */
Outcome apply_with_program(const ApplyCase *test, Arena *arena, Str *damage);
/* Accepted or refused alike, and the same tree if accepted. */
bool outcomes_agree(const Outcome *git, const Outcome *ours, Arena *arena, Str *why);

#endif
