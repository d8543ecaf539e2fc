/* `mux-acp apply` as a program: what it writes, what it tells, and that a refusal leaves no trace. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/os.h"
#include "tests/fakes/pty.h"
#include "tests/runner.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"

typedef struct Place {
    Arena arena;
    Str out, err; /* of the last run */
} Place;

static char *path_in(Place *place, const char *name) {
    return str_cstr(&place->arena, str_printf(&place->arena, "%s/%s", test_tmp(), name));
}

static void write_text(Place *place, const char *name, const char *text) {
    Err err = {0};
    Str path = str_of(path_in(place, name));
    CHECK_OK(os_make_dirs(str_cstr(&place->arena, str_slice(path, 0, str_rfind_char(path, '/'))), &err), err);
    CHECK_OK(os_write_file(path.ptr, str_of(text), &err), err);
}

static Str read_text(Place *place, const char *name) {
    Err err = {0};
    Str text = S("");
    CHECK_OK(os_read_file(path_in(place, name), 1 << 24, &place->arena, &text, &err), err);
    return text;
}

static bool exists(Place *place, const char *name) {
    struct stat st;
    return lstat(path_in(place, name), &st) == 0;
}

static int run(Place *place, const char *const *argv) {
    static const char *const ENVIRONMENT[] = {"GIT_CONFIG_NOSYSTEM=1", "HOME=/nowhere", NULL};
    Pty pty;
    PtyConfig config = {.argv = argv,
                        .folder = path_in(place, "tree"),
                        .environment = ENVIRONMENT,
                        .out_path = path_in(place, "out"),
                        .err_path = path_in(place, "err"),
                        .has_no_terminal = true};
    CHECK_MSG(access(PROGRAM, X_OK) == 0, "the program %s is not built", PROGRAM);
    pty_spawn(&pty, &config);
    int status = pty_end(&pty);
    pty_free(&pty);
    place->out = read_text(place, "out");
    place->err = read_text(place, "err");
    return status;
}

#define APPLY(place, ...) run(place, (const char *const[]){PROGRAM, "apply", __VA_ARGS__, NULL})

static Json *told(Place *place) {
    Err err = {0};
    Json *json = json_parse(place->out, &err);
    CHECK_OK(json != NULL, err);
    return json;
}

static void check_err(const Place *place, const char *text) {
    CHECK_MSG(str_contains(place->err, str_of(text)), "stderr is \"%.*s\", without \"%s\"",
              STR_ARG(place->err), text);
}

#define TREE_PATCH                                                                                           \
    "diff --git a/f b/g/f\nrename from f\nrename to g/f\n--- a/f\n+++ b/g/f\n@@ -1,3 +1,3 @@\n "             \
    "1\n-2\n+two\n 3\n"                                                                                      \
    "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+g/f\n"                \
    "\\ No newline at end of file\n"                                                                         \
    "diff --git a/run b/run\nold mode 100644\nnew mode 100755\n"                                             \
    "diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"

static void write_tree(Place *place) {
    write_text(place, "tree/f", "1\n2\n3\n");
    write_text(place, "tree/run", "#!/bin/sh\n");
    write_text(place, "tree/gone", "x\n");
    write_text(place, "patch", TREE_PATCH);
}

static void a_tree_there_and_back(void) {
    Place place = {0};
    struct stat st;
    write_tree(&place);
    CHECK_INT(APPLY(&place, "--json", "../patch"), 0);
    Json *json = told(&place);
    CHECK(json_bool(json, "ok", false) && json_bool(json, "applied", false));
    CHECK(!json_bool(json, "already_applied", true));
    CHECK_INT(json_int(json, "files", 0), 5);
    CHECK_INT(json_int(json, "offset_hunks", -1), 0);
    CHECK_INT(json_int(json, "fuzzy_hunks", -1), 0);
    CHECK(json_str(json, "backup").len > 0);
    json_free(json);
    CHECK_STR(read_text(&place, "tree/g/f"), S("1\ntwo\n3\n"));
    CHECK(!exists(&place, "tree/f") && !exists(&place, "tree/gone"));
    CHECK(lstat(path_in(&place, "tree/l"), &st) == 0 && S_ISLNK(st.st_mode));
    CHECK(lstat(path_in(&place, "tree/run"), &st) == 0 && st.st_mode & 0100);
    CHECK_INT(APPLY(&place, "--json", "../patch"), 1);
    json = told(&place);
    CHECK(!json_bool(json, "ok", true) && json_bool(json, "already_applied", false));
    CHECK(str_contains(json_str(json, "error"), S("applied already")));
    json_free(json);
    CHECK_INT(APPLY(&place, "--reverse", "../patch"), 0);
    CHECK_STR(read_text(&place, "tree/f"), S("1\n2\n3\n"));
    CHECK_STR(read_text(&place, "tree/gone"), S("x\n"));
    CHECK(!exists(&place, "tree/l") && !exists(&place, "tree/g/f"));
    CHECK(lstat(path_in(&place, "tree/run"), &st) == 0 && !(st.st_mode & 0100));
    arena_free(&place.arena);
}

static void a_check_leaves_no_trace(void) {
    Place place = {0};
    write_tree(&place);
    CHECK_INT(APPLY(&place, "--check", "--json", "../patch"), 0);
    Json *json = told(&place);
    CHECK(json_bool(json, "ok", false) && !json_bool(json, "applied", true));
    CHECK_INT(json_int(json, "files", 0), 5);
    json_free(json);
    CHECK(!exists(&place, "tree/.mux") && !exists(&place, "tree/g") && exists(&place, "tree/gone"));
    arena_free(&place.arena);
}

static void a_refusal_names_the_line(void) {
    Place place = {0};
    struct stat before, after;
    write_tree(&place);
    write_text(&place, "tree/gone", "x\nand more\n");
    CHECK(lstat(path_in(&place, "tree/f"), &before) == 0);
    CHECK_INT(APPLY(&place, "../patch"), 1);
    check_err(&place, "gone");
    CHECK(lstat(path_in(&place, "tree/f"), &after) == 0);
    CHECK(before.st_mtim.tv_nsec == after.st_mtim.tv_nsec && before.st_ino == after.st_ino);
    CHECK(!exists(&place, "tree/g") && !exists(&place, "tree/l"));
    write_text(&place, "tree/gone", "x\n");
    write_text(&place, "tree/f", "1\n2\nthree\n");
    CHECK_INT(APPLY(&place, "../patch"), 1);
    check_err(&place, "f: hunk 1 does not apply: line 3 should be \"3\" but is \"three\"");
    arena_free(&place.arena);
}

static void offsets_and_links_are_told(void) {
    Place place = {0};
    write_text(&place, "tree/d/f", "0\n1\n2\n3\n4\n");
    CHECK(link(path_in(&place, "tree/d/f"), path_in(&place, "tree/d/other")) == 0);
    write_text(&place, "patch", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n");
    CHECK_INT(APPLY(&place, "--root", "d", "../patch"), 1);
    write_text(&place, "patch", "--- a/f\n+++ b/f\n@@ -3,3 +3,3 @@\n 1\n-2\n+two\n 3\n");
    CHECK_INT(APPLY(&place, "--root", "d", "../patch"), 0);
    check_err(&place, "1 hunk stood at another line");
    check_err(&place, "f had other names");
    CHECK_STR(read_text(&place, "tree/d/f"), S("0\n1\ntwo\n3\n4\n"));
    CHECK_STR(read_text(&place, "tree/d/other"), S("0\n1\n2\n3\n4\n"));
    arena_free(&place.arena);
}

static void files_and_folders_change_places(void) {
    Place place = {0};
    write_text(&place, "tree/a/b", "x\n");
    write_text(&place, "tree/c", "y\n");
    write_text(
        &place, "patch",
        "diff --git a/a/b b/a/b\ndeleted file mode 100644\n--- a/a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        "diff --git a/a b/a\nnew file mode 100644\n--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+now a file\n"
        "diff --git a/c b/c/d\nrename from c\nrename to c/d\n");
    CHECK_INT(APPLY(&place, "../patch"), 0);
    CHECK_STR(read_text(&place, "tree/a"), S("now a file\n"));
    CHECK_STR(read_text(&place, "tree/c/d"), S("y\n"));
    CHECK_INT(APPLY(&place, "-R", "../patch"), 0);
    CHECK_STR(read_text(&place, "tree/a/b"), S("x\n"));
    CHECK_STR(read_text(&place, "tree/c"), S("y\n"));
    arena_free(&place.arena);
}

static void options_reach_the_hunks(void) {
    static const struct {
        const char *option, *value, *patch;
    } ROWS[] = {
        {"--ignore-whitespace", NULL, "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n 1  x\n-2\n+two\n 3\n"},
        {"--tolerant", NULL, "--- f\n+++ f\n@@ -7,9 +7,2 @@\n 1 x\n-2\n+two\n 3"},
        {"--fuzz", "1", "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n 1 x\n-2\n+two\n 3\n four\n"},
        {"-C", "1", "--- a/f\n+++ b/f\n@@ -1,4 +1,4 @@\n 1 x\n-2\n+two\n 3\n four\n"},
        {"--recount", NULL, "--- a/f\n+++ b/f\n@@ -1,9 +1,1 @@\n 1 x\n-2\n+two\n 3\n"},
        {"--unidiff-zero", NULL, "--- a/f\n+++ b/f\n@@ -2 +2 @@\n-2\n+two\n"},
    };
    Place place = {0};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        write_text(&place, "tree/f", "1 x\n2\n3\n4\n5\n");
        write_text(&place, "patch", ROWS[i].patch);
        CHECK_INT(APPLY(&place, "../patch"), 1);
        int status = ROWS[i].value ? APPLY(&place, ROWS[i].option, ROWS[i].value, "../patch")
                                   : APPLY(&place, ROWS[i].option, "../patch");
        CHECK_MSG(status == 0, "%s: %.*s", ROWS[i].option, STR_ARG(place.err));
        CHECK_STR(read_text(&place, "tree/f"), S("1 x\ntwo\n3\n4\n5\n"));
    }
    arena_free(&place.arena);
}

/* ---- as part of a command line ---- */

#define SHELL(place, script) run(place, (const char *const[]){"/bin/sh", "-c", script, PROGRAM, NULL})
#define ONE_LINE "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-1\n+one\n"

static void patches_come_from_pipes(void) {
    Place place = {0};
    write_text(&place, "tree/f", "1\n");
    write_text(&place, "patch", ONE_LINE);
    CHECK_INT(SHELL(&place, "cat ../patch | \"$0\" apply"), 0);
    CHECK_STR(read_text(&place, "tree/f"), S("one\n"));
    CHECK_INT(SHELL(&place, "cat ../patch | \"$0\" apply -R /dev/stdin"), 0);
    CHECK_STR(read_text(&place, "tree/f"), S("1\n"));
    CHECK_INT(SHELL(&place, "mkfifo pipe && { cat ../patch > pipe & } && \"$0\" apply pipe"), 0);
    CHECK_STR(read_text(&place, "tree/f"), S("one\n"));
    CHECK_INT(APPLY(&place, "."), 1);
    check_err(&place, "the patch cannot be read: Is a directory");
    arena_free(&place.arena);
}

static void failures_are_json_too(void) {
    static const char *const ROWS[] = {
        "\"$0\" apply --json --root none ../patch",
        "\"$0\" apply --json none",
        "\"$0\" undo --json",
        "\"$0\" backups --json --root none",
        "\"$0\" recover --json --root none",
        "\"$0\" ask --json --model echo --cwd none words",
        "\"$0\" ask --json --model none words",
        "\"$0\" ask --json --model echo --hunks words",
    };
    Place place = {0};
    write_text(&place, "tree/f", "1\n");
    write_text(&place, "patch", ONE_LINE);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        int status = SHELL(&place, ROWS[i]);
        CHECK_MSG(status == 1 || status == 3, "%s ends with %d", ROWS[i], status);
        Json *json = told(&place); /* one object, nothing behind it */
        CHECK_MSG(json_str(json, "error").len > 0, "%s: %.*s", ROWS[i], STR_ARG(place.out));
        json_free(json);
    }
    CHECK_INT(SHELL(&place, "\"$0\" backups words"), 2);
    CHECK_INT(SHELL(&place, "\"$0\" recover words"), 2);
    arena_free(&place.arena);
}

/* A full disk behind stdout is told; a closed stream's number is not given to a file of the change. */
static void lost_output_is_a_failure(void) {
    static const char *const COMMANDS[] = {"backups", "backups --json", "recover", "undo --help",
                                           "--version"};
    Place place = {0};
    write_text(&place, "tree/f", "1\n");
    write_text(&place, "patch", ONE_LINE);
    CHECK_INT(APPLY(&place, "../patch"), 0);
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++) {
        Str script = str_printf(&place.arena, "exec \"$0\" %s >/dev/full", COMMANDS[i]);
        CHECK_INT(SHELL(&place, script.ptr), 1);
        check_err(&place, "cannot write to stdout: No space left on device");
    }
    CHECK_INT(SHELL(&place, "exec \"$0\" apply -R --json ../patch >&- 2>&-"), 1);
    CHECK_STR(read_text(&place, "tree/f"), S("1\n"));
    CHECK_INT(SHELL(&place, "exec \"$0\" apply <&-"), 1);
    check_err(&place, "the patch cannot be read");
    arena_free(&place.arena);
}

static void a_file_that_may_not_grow_is_told(void) {
#ifdef __SANITIZE_THREAD__
    SKIP("the thread sanitizer needs a file of its own");
#endif
    Place place = {0};
    write_text(&place, "tree/f", "1\n");
    write_text(&place, "patch", ONE_LINE);
    CHECK_INT(SHELL(&place, "(ulimit -f 0 && exec \"$0\" apply --json ../patch) | cat"), 0);
    Json *json = told(&place);
    CHECK(!json_bool(json, "ok", true));
    CHECK(str_contains(json_str(json, "error"), S("nothing was changed")));
    CHECK(str_contains(json_str(json, "error"), S("File too large")));
    json_free(json);
    CHECK_STR(read_text(&place, "tree/f"), S("1\n"));
    arena_free(&place.arena);
}

static void no_backups_means_the_newest_alone(void) {
    static const char *const LIMITS[] = {"--backup-count=0", "--backup-mib=0"};
    Place place = {0};
    write_text(&place, "tree/f", "1\n");
    write_text(&place, "patch", ONE_LINE);
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        CHECK_INT(APPLY(&place, "../patch"), 0);
        CHECK_INT(APPLY(&place, "-R", LIMITS[i], "../patch"), 0);
        CHECK_INT(SHELL(&place, "exec \"$0\" backups --json"), 0);
        Json *json = told(&place);
        CHECK_INT(json_len(json_find(json, "backups")), 1);
        json_free(json);
    }
    CHECK_INT(SHELL(&place, "exec \"$0\" undo"), 0);
    CHECK_STR(read_text(&place, "tree/f"), S("one\n"));
    arena_free(&place.arena);
}

/* Whenever the interrupt comes: all files or none, and no start of the program is needed for that. */
static void an_interrupt_leaves_all_or_nothing(void) {
    enum { FILES = 400 };
    static const char SCRIPT[] = "\"$0\" apply ../patch & "
                                 "until grep -q new f0 || ! kill -0 $! 2>/dev/null; do :; done; "
                                 "kill -INT $! 2>/dev/null; wait $!";
    Place place = {0};
    Buf patch = {0};
    for (int i = 0; i < FILES; i++) {
        write_text(&place, str_printf(&place.arena, "tree/f%d", i).ptr, "old\n");
        buf_printf(&patch, "--- a/f%d\n+++ b/f%d\n@@ -1 +1 @@\n-old\n+new\n", i, i);
    }
    buf_char(&patch, 0);
    write_text(&place, "patch", patch.ptr);
    int status = run(&place, (const char *const[]){"/bin/bash", "-c", SCRIPT, PROGRAM, NULL});
    CHECK_MSG(status == 0 || status == 1, "it ends with %d", status);
    if (status == 1)
        check_err(&place, "the change was cancelled; nothing was changed");
    for (int i = 0; i < FILES; i++)
        CHECK_STR(read_text(&place, str_printf(&place.arena, "tree/f%d", i).ptr),
                  status == 0 ? S("new\n") : S("old\n"));
    buf_free(&patch);
    arena_free(&place.arena);
}

/* Of a file's name, on a terminal. */
static void control_characters_are_made_visible(void) {
    Place place = {0};
    Pty pty;
    write_text(&place, "tree/f\033[31m", "1\n");
    CHECK(link(path_in(&place, "tree/f\033[31m"), path_in(&place, "tree/other")) == 0);
    write_text(&place, "patch", "--- \"a/f\\033[31m\"\n+++ \"b/f\\033[31m\"\n@@ -1 +1 @@\n-1\n+one\n");
    PtyConfig config = {.argv = (const char *const[]){PROGRAM, "apply", "../patch", NULL},
                        .folder = path_in(&place, "tree")};
    pty_spawn(&pty, &config);
    CHECK(pty_expect(&pty, "f^[[31m had other names"));
    CHECK_INT(pty_end(&pty), 0);
    CHECK(!str_contains(buf_text(&pty.seen), S("\033")));
    pty_free(&pty);
    arena_free(&place.arena);
}

static const TestCase CASES[] = {
    {"a_tree_there_and_back", a_tree_there_and_back},
    {"a_check_leaves_no_trace", a_check_leaves_no_trace},
    {"a_refusal_names_the_line", a_refusal_names_the_line},
    {"offsets_and_links_are_told", offsets_and_links_are_told},
    {"files_and_folders_change_places", files_and_folders_change_places},
    {"options_reach_the_hunks", options_reach_the_hunks},
    {"patches_come_from_pipes", patches_come_from_pipes},
    {"failures_are_json_too", failures_are_json_too},
    {"lost_output_is_a_failure", lost_output_is_a_failure},
    {"a_file_that_may_not_grow_is_told", a_file_that_may_not_grow_is_told},
    {"no_backups_means_the_newest_alone", no_backups_means_the_newest_alone},
    {"an_interrupt_leaves_all_or_nothing", an_interrupt_leaves_all_or_nothing},
    {"control_characters_are_made_visible", control_characters_are_made_visible}};
TEST_SUITE(ACP_APPLY_SUITE, "apply", CASES);
