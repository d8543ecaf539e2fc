/* The table of what a patch may meet: tree before, patch, options, tree after or refused. */
#ifndef MUX_TESTS_DIFF_PATCH_CASES_H
#define MUX_TESTS_DIFF_PATCH_CASES_H

#include "tests/unit/diff_patch_support.h"

/* A row names only what it is about. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

typedef struct PatchCase {
    const char *name;
    TreeItem before[6];
    const char *patch;
    TreeItem after[6];   /* unless is_refused */
    const char *options; /* as on git's command line; "--fuzz=N" and "--tolerant" are ours alone */
    const char *says;    /* is_refused: part of the sentence */
    bool is_refused;
    const char *not_git; /* why git differs or is not asked */
    size_t offset_hunks, fuzzy_hunks;
    size_t patch_len; /* when the patch holds zero bytes */
} PatchCase;

#define HEAD(name) "diff --git a/" name " b/" name "\n"
#define FILES(name) "--- a/" name "\n+++ b/" name "\n"
#define CREATE(name) HEAD(name) "new file mode 100644\n--- /dev/null\n+++ b/" name "\n"
#define REMOVE(name) HEAD(name) "deleted file mode 100644\n--- a/" name "\n+++ /dev/null\n"
#define MOVE(from, to) "diff --git a/" from " b/" to "\nrename from " from "\nrename to " to "\n"
#define COPY(from, to) "diff --git a/" from " b/" to "\ncopy from " from "\ncopy to " to "\n"
#define EDIT(name, old, new) FILES(name) "@@ -1 +1 @@\n-" old "\n+" new "\n"
#define NO_NEWLINE "\\ No newline at end of file\n"
#define TEN "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"

extern const PatchCase PATCH_CASES_OF_TREES[];
extern const size_t PATCH_CASES_OF_TREES_COUNT;

#endif
