/* Names and numbers in headers, read letter for letter as git-apply reads them. */
#include <stdio.h>

#include "tests/differential/applying.h"
#include "tests/differential/git.h"
#include "tests/runner.h"

#define BODY "@@ -1 +1 @@\n-a\n+b\n"
#define GONE "@@ -1 +0,0 @@\n-a\n"

typedef struct Row {
    const char *path; /* holds "a\n" */
    const char *patch;
    bool guesses_strip, is_taken;
} Row;

static const Row ROWS[] = {
    /* dates behind names */
    {"f", "--- a/f 2020-01-01 10:00:00 +0000\n+++ b/f 2020-01-01 10:00:00 +0000\n" BODY, false, true},
    {"f", "--- a/f 2020-01-01 10:00:00\n+++ b/f 2020-01-01\n" BODY, false, true},
    {"f", "--- a/f\t20-01-01 10:00:00.5 +00:00\n+++ b/f   2020-01-01 -0800\n" BODY, false, true},
    {"f", "--- a/f 2020-01-01 10:00:00 +0000\t\n+++ b/f 2020-01-01 10:00:00 +0000\t\n" BODY, false, false},
    {"f 2020-01-01", "--- a/f 2020-01-01\t\n+++ b/f 2020-01-01\t\n" BODY, false, true},
    {"f\r", "--- a/f\r\t2020-01-01 10:00:00 +0000\n+++ b/f\r\t2020-01-01 10:00:00 +0000\n" BODY, false, true},
    {"f", "--- a/f\v\n+++ b/f\v\n" BODY, false, false},
    {"f\v", "--- a/f\v\n+++ b/f\v\n" BODY, false, true},
    /* dates that say "not there" */
    {"f", "--- a/f\t2020-01-01 00:00:00 +0000\n+++ b/f\t1970-01-01 01:00:00.00 +0100\n" GONE, false, true},
    {"f", "--- a/f\t2020-01-01 00:00:00 +0000\n+++ b/f\t1969-12-31 16:00:00 -08:00\n" GONE, false, true},
    {"f", "--- a/f\tx\n+++ b/f\t1970-01-01 00:00:00.1 +0000\n" GONE, false, true},
    {"f", "--- a/f\tx\n+++ b/f\ty\t1970-01-01 00:00:00 +0000\n" GONE, false, true},
    /* without -p */
    {"f", "--- f\n+++ f\n" BODY, true, true},
    {"f", "--- f\n+++ f\n" BODY, false, false},
    {"f", "--- a/f\n+++ f\n" BODY, true, true},
    {"f", "--- f\n+++ /dev/null\n" GONE, true, false},
    {"f", "--- a/f\n+++ b/f\n" BODY, true, true},
    {"f", "diff --git a/f b/f\n--- a/f\n+++ b/f\n" BODY "--- f\n+++ f\n@@ -1 +1 @@\n-b\n+c\n", true, true},
    {"f", "--- f\n+++ f\n" BODY "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-b\n+c\n", true, false},
    /* quotes */
    {"f", "--- \"a/f\"\n+++ \"b/f\"\n" BODY, false, true},
    {"f", "--- \"a/\"f\n+++ \"b/\"f\n" BODY, false, false},
    /* modes and numbers */
    {"f", "diff --git a/f b/f\nindex 1..2  0000000000100644\n--- a/f\n+++ b/f\n" BODY, false, true},
    {"f",
     "diff --git a/n b/n\nnew file mode 040000\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+a\n"
     "diff --git a/n b/n\nindex 1..2 100644\n--- a/n\n+++ b/n\n" BODY,
     false, false},
    {"f",
     "diff --git a/n b/n\nnew file mode 040000\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+a\n"
     "diff --git a/n b/n\n--- a/n\n+++ b/n\n" BODY,
     false, true},
    {"f", "diff --git a/f b/f\nindex 1..2 100648\n--- a/f\n+++ b/f\n" BODY, false, false},
    {"f", "--- a/f\n+++ b/f\n@@ -1,1 +18446744073709551615,1 @@\n-a\n+b\n", false, true},
    {"f", "--- a/f\n+++ b/f\n@@ -1,99999999999999999999 +1,1 @@\n-a\n+b\n", false, false},
    {"f", "--- a/f\n+++ b/f\n" BODY "--- a/f\n+++ b/f\n@@ -1", false, true},
    {"f", "--- a/f\n+++ b/f\n" BODY "--- a/f\n+++ b/f\n@@ -1 +", false, false},
};

static void as_git_reads_them(void) {
    const char *scratch = test_tmp();
    size_t wrong = 0;
    if (!git_open(scratch))
        SKIP("git is not there");
    applying_open(scratch);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        Arena arena = {0};
        const Row *row = &ROWS[i];
        Str why = S("");
        ApplyCase test = {.patch = str_of(row->patch)};
        test.options = (PatchOptions){.strip = 1, .guesses_strip = row->guesses_strip};
        tree_put(&test.tree, &arena, str_of(row->path), TREE_FILE, S("a\n"));
        Outcome git = apply_with_git(&test, &arena), ours = apply_in_memory(&test, &arena);
        bool agrees = outcomes_agree(&git, &ours, &arena, &why);
        if (!agrees || git.is_accepted != row->is_taken) {
            wrong++;
            fprintf(stderr, "git %s row %zu: %.*s\n%s", git.is_accepted ? "takes" : "refuses", i,
                    STR_ARG(why), row->patch);
        }
        arena_free(&arena);
    }
    git_close();
    CHECK_INT(wrong, 0);
}

static const TestCase CASES[] = {{"as_git_reads_them", as_git_reads_them}};
TEST_SUITE(DIFFERENTIAL_HEADERS_SUITE, "headers", CASES);
