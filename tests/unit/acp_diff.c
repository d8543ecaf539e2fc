/* `mux-acp diff` as a program: files and trees on the disk, what it passes over, what it refuses, colours. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/fakes/pty.h"
#include "tests/runner.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"

typedef struct Place {
    Arena arena;
    Str tmp;
    Str out, err; /* of the last run */
} Place;

static void place_open(Place *place) {
    *place = (Place){.tmp = str_of(test_tmp())};
    CHECK_MSG(access(PROGRAM, X_OK) == 0, "the program %s is not built", PROGRAM);
}

static char *path_in(Place *place, const char *name) {
    return (char *)(uintptr_t)str_printf(&place->arena, "%.*s/%s", STR_ARG(place->tmp), name).ptr;
}

static void write_bytes(Place *place, const char *name, Str bytes) {
    Err err = {0};
    Str path = str_of(path_in(place, name));
    CHECK_OK(os_make_dirs(str_cstr(&place->arena, str_slice(path, 0, str_rfind_char(path, '/'))), &err), err);
    CHECK_OK(os_write_file(path.ptr, bytes, &err), err);
}

static void write_text(Place *place, const char *name, const char *text) {
    write_bytes(place, name, str_of(text));
}

static Str read_bytes(Place *place, const char *name) {
    Err err = {0};
    Str text = S("");
    CHECK_OK(os_read_file(path_in(place, name), 1 << 26, &place->arena, &text, &err), err);
    return text;
}

/* Runs argv in a folder of the place, stdout and stderr into files. */
static int run(Place *place, const char *folder, const char *const *argv) {
    static const char *const ENVIRONMENT[] = {"GIT_CONFIG_NOSYSTEM=1", "GIT_CEILING_DIRECTORIES=/",
                                              "HOME=/nowhere", NULL};
    Pty pty;
    PtyConfig config = {.argv = argv,
                        .folder = path_in(place, folder),
                        .environment = ENVIRONMENT,
                        .out_path = path_in(place, "out"),
                        .err_path = path_in(place, "err"),
                        .has_no_terminal = true};
    pty_spawn(&pty, &config);
    int status = pty_end(&pty);
    pty_free(&pty);
    place->out = read_bytes(place, "out");
    place->err = read_bytes(place, "err");
    return status;
}

#define RUN(place, folder, ...) run(place, folder, (const char *const[]){__VA_ARGS__, NULL})
#define DIFF(place, ...) RUN(place, "", PROGRAM, "diff", __VA_ARGS__)

static void check_err(const Place *place, const char *text) {
    CHECK_MSG(str_contains(place->err, str_of(text)), "stderr is \"%.*s\", without \"%s\"",
              STR_ARG(place->err), text);
}

/* ---- files ---- */

static void two_files(void) {
    Place place;
    place_open(&place);
    write_text(&place, "d/a.c", "one\ntwo\n");
    write_text(&place, "d/b.c", "one\n2\n");
    CHECK_INT(DIFF(&place, "d/a.c", "d/b.c"), 0);
    CHECK_STR(place.out,
              S("diff --git a/d/a.c b/d/a.c\n--- a/d/a.c\n+++ b/d/a.c\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"));
    CHECK_INT(DIFF(&place, "--root", "d", "-U0", "a.c", "b.c"), 0);
    CHECK_STR(place.out, S("diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -2 +2 @@ one\n-two\n+2\n"));
    CHECK_INT(DIFF(&place, "d/a.c", "d/a.c"), 0);
    CHECK_STR(place.out, S(""));
    CHECK_STR(place.err, S(""));
    CHECK_INT(DIFF(&place, "/dev/null", "d/a.c"), 0);
    CHECK_STR(place.out, S("diff --git a/d/a.c b/d/a.c\nnew file mode 100644\n--- /dev/null\n+++ b/d/a.c\n"
                           "@@ -0,0 +1,2 @@\n+one\n+two\n"));
    CHECK_INT(DIFF(&place, "d/a.c", "/dev/null"), 0);
    CHECK_STR(place.out,
              S("diff --git a/d/a.c b/d/a.c\ndeleted file mode 100644\n--- a/d/a.c\n+++ /dev/null\n"
                "@@ -1,2 +0,0 @@\n-one\n-two\n"));
    arena_free(&place.arena);
}

/* Without context the line that goes could be taken for the one above it, which only has a line end more. */
static void too_little_context_is_not_shown(void) {
    Place place;
    place_open(&place);
    write_text(&place, "a", "x\none\ntwo\ntwo");
    write_text(&place, "b", "one\ntwo\n");
    CHECK_INT(DIFF(&place, "-U0", "a", "b"), 0);
    CHECK_STR(place.out, S("diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,4 +1,2 @@\n-x\n one\n two\n-two\n"
                           "\\ No newline at end of file\n"));
    check_err(&place, "a is shown with more context");
    CHECK_INT(DIFF(&place, "-U0", "b", "a"), 0);
    CHECK_STR(place.err, S(""));
    arena_free(&place.arena);
}

static void what_cannot_be_compared(void) {
    Place place;
    place_open(&place);
    write_text(&place, "a", "x\n");
    write_text(&place, "tree/a", "x\n");
    CHECK(mkfifo(path_in(&place, "fifo"), 0600) == 0 && symlink("loop", path_in(&place, "loop")) == 0);
    static const struct {
        const char *a, *b, *words;
    } CASES[] = {{"a", "nowhere", "cannot read nowhere"}, {"nowhere", "a", "cannot read nowhere"},
                 {"a", "tree", "a file and a folder"},    {"tree", "a", "a file and a folder"},
                 {"fifo", "a", "not a regular file"},     {"a", "loop", "cannot read loop"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        CHECK_INT(DIFF(&place, CASES[i].a, CASES[i].b), 1);
        check_err(&place, CASES[i].words);
        CHECK_STR(place.out, S(""));
        CHECK_INT(str_find_char(place.err, '\n', 0), place.err.len - 1); /* one sentence */
    }
    CHECK_INT(DIFF(&place, "a"), 2);
    CHECK_INT(DIFF(&place, "-U", "x", "a", "a"), 2);
    arena_free(&place.arena);
}

static void an_empty_name_is_not_the_root(void) {
    Place place;
    place_open(&place);
    write_text(&place, "a", "1\n");
    CHECK_INT(RUN(&place, "", PROGRAM, "diff", "", "a"), 1);
    check_err(&place, "an empty name");
    CHECK_INT(RUN(&place, "", PROGRAM, "diff", "a", ""), 1);
    CHECK_STR(place.out, S(""));
    arena_free(&place.arena);
}

static void unreadable_files_stop_it(void) {
    Place place;
    place_open(&place);
    if (geteuid() == 0)
        SKIP("root may read everything");
    write_text(&place, "a/secret", "x\n");
    write_text(&place, "b/secret", "y\n");
    CHECK(chmod(path_in(&place, "a/secret"), 0) == 0);
    CHECK_INT(DIFF(&place, "a", "b"), 1);
    check_err(&place, "/a/secret: Permission denied");
    arena_free(&place.arena);
}

static void a_full_disk_is_told(void) {
    Place place;
    place_open(&place);
    write_text(&place, "a", "x\n");
    write_text(&place, "b", "y\n");
    CHECK_INT(RUN(&place, "", "/bin/sh", "-c", "exec \"$0\" diff a b >/dev/full", PROGRAM), 1);
    check_err(&place, "No space left");
    arena_free(&place.arena);
}

/* ---- trees ---- */

static void write_trees(Place *place) {
    Buf big = {0};
    write_text(place, "a/same", "same\n");
    write_text(place, "b/same", "same\n");
    write_text(place, "a/d/moved.c", "1\n2\n3\n4\n5\n");
    write_text(place, "b/e f/moved.c", "1\n2\n3\n4\nfive\n");
    write_text(place, "a/gone", "gone\n");
    write_text(place, "b/new\nline", "new");
    write_text(place, "a/run", "x\n");
    write_text(place, "b/run", "x\n");
    write_bytes(place, "a/bin", S("a\0b\n"));
    write_bytes(place, "b/bin", S("a\0c\n"));
    write_text(place, "b/node", "was a link\n");
    write_text(place, "a/.git/config", "not part of it\n");
    write_text(place, "b/.git/config", "nor this\n");
    write_text(place, "a/d/.git/x", "nor this\n");
    CHECK(chmod(path_in(place, "b/run"), 0755) == 0 && symlink("same", path_in(place, "a/node")) == 0 &&
          symlink("same", path_in(place, "a/link")) == 0 && symlink("gone", path_in(place, "b/link")) == 0 &&
          symlink("/nowhere", path_in(place, "b/dangling")) == 0);
    for (int i = 0; i < 30000; i++) { /* more than one write */
        buf_printf(&big, "line %d %s\n", i, test_random() % 50 ? "as it was" : "odd");
        if (i == 29999)
            write_bytes(place, "a/big", buf_text(&big));
    }
    buf_clear(&big);
    for (int i = 0; i < 30000; i++)
        buf_printf(&big, i % 10 ? "line %d %s\n" : "row %d %s\n", i, "as it was");
    write_bytes(place, "b/big", buf_text(&big));
    buf_free(&big);
}

static void trees_become_equal(void) {
    Place place;
    place_open(&place);
    if (RUN(&place, "", "/usr/bin/env", "git", "--version") != 0)
        SKIP("git is not there");
    write_trees(&place);
    CHECK_INT(DIFF(&place, "--binary", "a", "b"), 0);
    CHECK_STR(place.err, S(""));
    CHECK(str_contains(place.out, S("similarity index 61%\nrename from d/moved.c\nrename to e f/moved.c\n")));
    CHECK(str_contains(place.out, S("old mode 100644\nnew mode 100755\n")));
    CHECK(!str_contains(place.out, S("same b/same")) && !str_contains(place.out, S("config")));
    write_bytes(&place, "patch", place.out);
    CHECK(rename(path_in(&place, "a/.git"), path_in(&place, "a/kept")) == 0); /* no repository */
    CHECK_INT(RUN(&place, "a", "/usr/bin/env", "git", "apply", "../patch"), 0);
    CHECK(rename(path_in(&place, "a/kept"), path_in(&place, "a/.git")) == 0);
    CHECK_INT(DIFF(&place, "--binary", "a", "b"), 0);
    CHECK_STR(place.out, S(""));
    arena_free(&place.arena);
}

static void our_apply_takes_it_too(void) {
    Place place;
    place_open(&place);
    write_trees(&place);
    CHECK_INT(DIFF(&place, "--binary", "--no-renames", "a", "b"), 0);
    CHECK(!str_contains(place.out, S("rename from")));
    write_bytes(&place, "patch", place.out);
    CHECK_INT(RUN(&place, "", PROGRAM, "apply", "--root", "a", "patch"), 0);
    CHECK_INT(DIFF(&place, "--binary", "a", "b"), 0);
    CHECK_STR(place.out, S(""));
    arena_free(&place.arena);
}

static void odd_entries_are_passed_over(void) {
    Place place;
    place_open(&place);
    write_text(&place, "a/x", "x\n");
    write_text(&place, "b/x", "y\n");
    write_text(&place, "b/.GiT/config", "never\n");
    write_text(&place, "b/git~1/x", "never\n");
    write_text(&place, "b/.git. /x", "never\n");
    write_text(&place, "b/a\\.git:s", "never\n");
    write_text(&place, "b/.gitignore", "shown\n");
    write_bytes(&place, "b/bin", S("a\0b"));
    CHECK(mkfifo(path_in(&place, "a/fifo"), 0600) == 0);
    CHECK_INT(DIFF(&place, "a", "b"), 0);
    check_err(&place, "fifo is passed over");
    check_err(&place, ".GiT is passed over");
    check_err(&place, "git~1 is passed over");
    check_err(&place, ".git.  is passed over");
    check_err(&place, "a\\.git:s is passed over");
    check_err(&place, "bin is binary");
    CHECK(str_contains(place.out, S("+shown\n")) && !str_contains(place.out, S("never")));
    CHECK(str_contains(place.out, S("Binary files /dev/null and b/bin differ\n")));
    CHECK(str_contains(place.out, S("-x\n+y\n")) && !str_contains(place.out, S("fifo")));
    arena_free(&place.arena);
}

/* ---- on a terminal ---- */

static Str shown(Place *place, const char *no_colour) {
    static const char *const ARGV[] = {PROGRAM, "diff", "a", "b", NULL};
    const char *environment[] = {"TERM=xterm", no_colour, NULL};
    Pty pty;
    PtyConfig config = {.argv = ARGV, .folder = place->tmp.ptr, .environment = environment};
    pty_spawn(&pty, &config);
    CHECK_INT(pty_end(&pty), 0);
    Str text = buf_copy(&pty.seen, &place->arena);
    pty_free(&pty);
    return text;
}

static void terminals_get_colours_and_marks(void) {
    Place place;
    place_open(&place);
    write_text(&place, "a", "call(one, two);\nlast");
    write_text(&place, "b", "call(one, \033[2J2);\nlast\n");
    CHECK_STR(shown(&place, "NO_COLOR"), /* removed */
              S("\033[1mdiff --git a/a b/a\033[m\n\033[1m--- a/a\033[m\n\033[1m+++ b/a\033[m\n"
                "\033[36m@@ -1,2 +1,2 @@\033[m\n"
                "\033[31m-call(one, \033[7mtwo\033[27m);\033[m\n"
                "\033[31m-last\033[m\n"
                "\\ No newline at end of file\n"
                "\033[32m+call(one, \033[7m^[[2J2\033[27m);\033[m\n"
                "\033[32m+last\033[m\n"));
    CHECK_STR(shown(&place, "NO_COLOR=1"), S("diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n"
                                             "-call(one, two);\n-last\n\\ No newline at end of file\n"
                                             "+call(one, \033[2J2);\n+last\n"));
    arena_free(&place.arena);
}

static const TestCase CASES[] = {{"two_files", two_files},
                                 {"too_little_context_is_not_shown", too_little_context_is_not_shown},
                                 {"what_cannot_be_compared", what_cannot_be_compared},
                                 {"an_empty_name_is_not_the_root", an_empty_name_is_not_the_root},
                                 {"unreadable_files_stop_it", unreadable_files_stop_it},
                                 {"a_full_disk_is_told", a_full_disk_is_told},
                                 {"trees_become_equal", trees_become_equal},
                                 {"our_apply_takes_it_too", our_apply_takes_it_too},
                                 {"odd_entries_are_passed_over", odd_entries_are_passed_over},
                                 {"terminals_get_colours_and_marks", terminals_get_colours_and_marks}};
TEST_SUITE(ACP_DIFF_SUITE, "diff", CASES);
