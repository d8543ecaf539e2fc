#define _GNU_SOURCE
/* What only a disk shows: other names of a file, things that are no files, protection, size. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/differential/git.h"
#include "tests/runner.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"
#define EDIT(name, old, new) "--- a/" name "\n+++ b/" name "\n@@ -1 +1 @@\n-" old "\n+" new "\n"
#define CREATE(name)                                                                                         \
    "diff --git a/" name " b/" name "\nnew file mode 100644\n--- /dev/null\n+++ b/" name                     \
    "\n@@ -0,0 +1 @@\n+x\n"

/* Two folders of the test, "git" and "ours", made alike and patched each by its program. */
typedef struct Pair {
    Arena arena;
    int git, ours; /* exit statuses */
} Pair;

static const char *const SIDES[] = {"git", "ours"};

static const char *place(Pair *pair, const char *side, const char *name) {
    return str_printf(&pair->arena, "%s/%s/%s", test_tmp(), side, name).ptr;
}

static void pair_begin(Pair *pair) {
    const char *const version[] = {"git", "--version", NULL};
    *pair = (Pair){0};
    if (program_run(version, test_tmp(), NULL) != 0)
        SKIP("git is not there");
    for (size_t i = 0; i < 2; i++)
        CHECK(mkdir(place(pair, SIDES[i], ""), 0777) == 0);
}

static void put(Pair *pair, const char *name, Str text) {
    Err err = {0};
    for (size_t i = 0; i < 2; i++)
        CHECK_OK(os_write_file(place(pair, SIDES[i], name), text, &err), err);
}

static void patch_both(Pair *pair, Str patch) {
    Err err = {0};
    const char *file = str_printf(&pair->arena, "%s/patch", test_tmp()).ptr;
    CHECK_OK(os_write_file(file, patch, &err), err);
    const char *const git[] = {"git", "apply", file, NULL}, *const ours[] = {PROGRAM, "apply", file, NULL};
    pair->git = program_run(git, place(pair, "git", ""), NULL);
    pair->ours = program_run(ours, place(pair, "ours", ""), NULL);
}

static Str text_of(Pair *pair, const char *side, const char *name) {
    Str text = S("(nothing)");
    os_read_file(place(pair, side, name), SIZE_MAX, &pair->arena, &text, NULL);
    return text;
}

static void pair_same(Pair *pair, const char *name) {
    CHECK_INT(pair->git, 0);
    CHECK_INT(pair->ours, 0);
    CHECK(str_eq(text_of(pair, "git", name), text_of(pair, "ours", name)));
    arena_free(&pair->arena);
}

static void other_names_keep_the_old_text(void) {
    Pair pair;
    pair_begin(&pair);
    put(&pair, "f", S("a\n"));
    for (size_t i = 0; i < 2; i++)
        CHECK(link(place(&pair, SIDES[i], "f"), place(&pair, SIDES[i], "g")) == 0);
    patch_both(&pair, S(EDIT("f", "a", "b")));
    for (size_t i = 0; i < 2; i++)
        CHECK_STR(text_of(&pair, SIDES[i], "g"), S("a\n"));
    pair_same(&pair, "f");
}

static void pipes_are_refused(void) {
    Pair pair;
    static const char *const PATCHES[] = {EDIT("p", "a", "b"), CREATE("p"),
                                          "--- a/p\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"};
    pair_begin(&pair);
    for (size_t i = 0; i < 2; i++)
        CHECK(mkfifo(place(&pair, SIDES[i], "p"), 0666) == 0);
    for (size_t i = 0; i < sizeof PATCHES / sizeof *PATCHES; i++) {
        patch_both(&pair, str_of(PATCHES[i]));
        CHECK(pair.git != 0);
        CHECK_INT(pair.ours, 1);
    }
    struct stat st;
    CHECK(lstat(place(&pair, "ours", "p"), &st) == 0 && S_ISFIFO(st.st_mode));
    arena_free(&pair.arena);
}

/* git replaces such a file and forgets that it was protected. */
static void read_only_files_stay(void) {
    Pair pair;
    pair_begin(&pair);
    put(&pair, "f", S("a\n"));
    for (size_t i = 0; i < 2; i++)
        CHECK(chmod(place(&pair, SIDES[i], "f"), 0444) == 0);
    patch_both(&pair, S(EDIT("f", "a", "b")));
    CHECK_INT(pair.git, 0);
    CHECK_INT(pair.ours, 1);
    CHECK_STR(text_of(&pair, "ours", "f"), S("a\n"));
    arena_free(&pair.arena);
}

/* git protects its own folder, we also our state and other people's version control. */
static void protected_folders(void) {
    static const char *const OURS_ALONE[] = {CREATE(".mux/x"), CREATE(".MUX/x"),  CREATE(".hg/x"),
                                             CREATE(".svn/x"), CREATE("a/.jj/x"), CREATE("a/.bzr/x")};
    static const char *const BOTH[] = {
        CREATE(".git/x"),  CREATE("a/.GiT/x"),  CREATE(".git"),
        CREATE("../x"),    CREATE("a/../../x"), CREATE("git~1/x"),
        CREATE(".git./x"), CREATE(".git /x"),   CREATE(".git::$INDEX_ALLOCATION/x"),
        CREATE("a/./x"),   CREATE("/x")};
    Pair pair;
    pair_begin(&pair);
    for (size_t i = 0; i < sizeof OURS_ALONE / sizeof *OURS_ALONE; i++) {
        patch_both(&pair, str_of(OURS_ALONE[i]));
        CHECK_INT(pair.git, 0);
        CHECK_INT(pair.ours, 1);
    }
    for (size_t i = 0; i < sizeof BOTH / sizeof *BOTH; i++) {
        patch_both(&pair, str_of(BOTH[i]));
        CHECK_MSG(pair.git != 0, "git takes %s", BOTH[i]);
        CHECK_MSG(pair.ours == 1, "we take %s", BOTH[i]);
    }
    arena_free(&pair.arena);
}

/* git removes a folder that it empties; for us a folder may be there for a reason. */
static void emptied_folders_stay(void) {
    Pair pair;
    pair_begin(&pair);
    for (size_t i = 0; i < 2; i++)
        CHECK(mkdir(place(&pair, SIDES[i], "d"), 0777) == 0);
    put(&pair, "d/f", S("a\n"));
    patch_both(&pair, S("--- a/d/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"));
    CHECK(access(place(&pair, "git", "d"), F_OK) != 0);
    CHECK(access(place(&pair, "ours", "d"), F_OK) == 0);
    pair_same(&pair, "d/f");
}

static void links_of_the_patch_itself(void) {
    Pair pair;
    static const char *const PATCHES[] = {
        "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+..\n" CREATE(
            "l/x"),
        CREATE(
            "l/x") "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+..\n",
        CREATE("out/x"), "diff --git a/f b/out/f\nrename from f\nrename to out/f\n",
        "diff --git a/out/f b/f2\ncopy from out/f\ncopy to f2\n"};
    pair_begin(&pair);
    put(&pair, "f", S("a\n"));
    for (size_t i = 0; i < 2; i++)
        CHECK(symlink("..", place(&pair, SIDES[i], "out")) == 0);
    for (size_t i = 0; i < sizeof PATCHES / sizeof *PATCHES; i++) {
        patch_both(&pair, str_of(PATCHES[i]));
        CHECK_MSG(pair.git != 0, "git takes patch %zu", i);
        CHECK_MSG(pair.ours == 1, "we take patch %zu", i);
    }
    CHECK(access(str_printf(&pair.arena, "%s/x", test_tmp()).ptr, F_OK) != 0);
    arena_free(&pair.arena);
}

/* Hunks by the thousand, lines by the hundred thousand, one line of a megabyte. */
static void large_ones(void) {
    enum { LINES = 120000, EVERY = 30 };
    Pair pair;
    Buf text = {0}, patch = {0};
    pair_begin(&pair);
    buf_cstr(&patch, "--- a/f\n+++ b/f\n");
    for (size_t i = 1; i <= LINES; i++) {
        buf_printf(&text, "line %zu\n", i % 7 ? i : 0);
        if (i % EVERY == 2)
            buf_printf(&patch, "@@ -%zu,3 +%zu,4 @@\n line %zu\n-line %zu\n+other %zu\n+more\n line %zu\n", i,
                       i + i / EVERY, i % 7 ? i : 0, (i + 1) % 7 ? i + 1 : 0, i, (i + 2) % 7 ? i + 2 : 0);
    }
    put(&pair, "f", buf_text(&text));
    patch_both(&pair, buf_text(&patch));
    CHECK_INT(pair.git, 0);
    CHECK_INT(pair.ours, 0);
    CHECK(str_eq(text_of(&pair, "git", "f"), text_of(&pair, "ours", "f")));
    buf_clear(&text);
    buf_clear(&patch);
    buf_repeat(&text, 'x', 1 << 20);
    buf_cstr(&patch, "--- a/g\n+++ b/g\n@@ -1 +1 @@\n-");
    buf_str(&patch, buf_text(&text));
    buf_cstr(&patch, "\n+y");
    buf_str(&patch, buf_text(&text));
    buf_char(&patch, '\n');
    buf_char(&text, '\n');
    put(&pair, "g", buf_text(&text));
    patch_both(&pair, buf_text(&patch));
    buf_free(&text);
    buf_free(&patch);
    pair_same(&pair, "g");
}

static const TestCase CASES[] = {{"other_names_keep_the_old_text", other_names_keep_the_old_text},
                                 {"pipes_are_refused", pipes_are_refused},
                                 {"read_only_files_stay", read_only_files_stay},
                                 {"protected_folders", protected_folders},
                                 {"emptied_folders_stay", emptied_folders_stay},
                                 {"links_of_the_patch_itself", links_of_the_patch_itself},
                                 {"large_ones", large_ones}};
TEST_SUITE(DIFFERENTIAL_EDGES_SUITE, "edges", CASES);
