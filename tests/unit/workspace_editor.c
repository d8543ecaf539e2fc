/* A change through an editor whose user types, and whose writes stop half way, while it is made: what was
 * typed stays, and so does the text before. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/workspace_fixture.h"

/* Whoever else works in the editor, called before its n-th write is answered. */
typedef struct Editor Editor;
typedef bool (*Meanwhile)(Editor *editor, int write, Str path, Str text, Err *err);

struct Editor {
    Fixture fixture;
    Meanwhile meanwhile;
    int writes;
};

static bool read_text(void *ctx, Str path, Arena *arena, Str *text, Err *err) {
    (void)ctx;
    FileIo disk = file_io_disk();
    return disk.read(disk.ctx, path, arena, text, err);
}

static void save(Editor *editor, Str path, Str text) {
    fixture_write(&editor->fixture, path.ptr + editor->fixture.root.len + 1, text);
}

static bool write_text(void *ctx, Str path, Str text, Err *err) {
    Editor *editor = ctx;
    if (editor->meanwhile && !editor->meanwhile(editor, ++editor->writes, path, text, err))
        return false;
    save(editor, path, text);
    return true;
}

static void editor_init(Editor *editor, Meanwhile meanwhile) {
    *editor = (Editor){.meanwhile = meanwhile};
    log_init("error");
    fixture_init(&editor->fixture);
    fixture_write(&editor->fixture, "a.txt", S("old a\n"));
    fixture_write(&editor->fixture, "b.txt", S("old b\n"));
    fixture_write(&editor->fixture, "binary", (Str){"\0old", 4});
    fixture_open(&editor->fixture, (FileIo){editor, read_text, write_text});
}

/* New texts for a.txt and b.txt, which must be refused. */
static void refuse_both(Editor *editor, ErrCode code, const char *part) {
    Err err = {0};
    Change *change = change_begin(editor->fixture.ws, &err);
    fixture_put(&editor->fixture, change, "a.txt", S("new a\n"));
    fixture_put(&editor->fixture, change, "b.txt", S("new b\n"));
    CHECK(!change_commit(change, NULL, &err));
    CHECK_MSG(err.code == code && strstr(err.text, part), "%s", err.text);
}

static bool type_into_next(Editor *editor, int write, Str path, Str text, Err *err) {
    (void)path, (void)text, (void)err;
    if (write == 1)
        fixture_write(&editor->fixture, "b.txt", S("typed b\n"));
    return true;
}

/* Typed while the file before it was written: every text is looked at again right before it is replaced. */
static void test_typed_before_the_write(void) {
    Editor editor;
    editor_init(&editor, type_into_next);
    refuse_both(&editor, ERR_CONFLICT, "b.txt changed since it was read");
    CHECK_STR(fixture_text(&editor.fixture, "a.txt"), S("old a\n"));
    CHECK_STR(fixture_text(&editor.fixture, "b.txt"), S("typed b\n"));
    fixture_close(&editor.fixture);
}

static bool type_into_last(Editor *editor, int write, Str path, Str text, Err *err) {
    (void)path, (void)text;
    if (write != 2)
        return true;
    fixture_write(&editor->fixture, "a.txt", S("new a\nand typed\n"));
    return err_set(err, ERR_IO, "the editor said no");
}

/* What the tree's state folder holds of a text, in any file. */
static bool is_kept(Editor *editor, const char *text) {
    const char *const argv[] = {"grep", "-rqF", text, fixture_path(&editor->fixture, ".mux/txn"), NULL};
    return run_program(argv, NULL) == 0;
}

/* Typed after our text was taken: a later failure does not put the old text over it, and that one is kept. */
static void test_typed_after_the_write(void) {
    Editor editor;
    editor_init(&editor, type_into_last);
    refuse_both(&editor, ERR_IO, "the editor said no");
    CHECK_STR(fixture_text(&editor.fixture, "a.txt"), S("new a\nand typed\n"));
    CHECK_STR(fixture_text(&editor.fixture, "b.txt"), S("old b\n"));
    CHECK(is_kept(&editor, "old a"));
    fixture_close(&editor.fixture);
}

static atomic_bool was_stopped;

static bool stop_at_first(Editor *editor, int write, Str path, Str text, Err *err) {
    (void)editor, (void)path, (void)text, (void)err;
    if (write == 1)
        atomic_store(&was_stopped, true);
    return true;
}

/* Between two files of a change: the first gets its old text back. */
static void test_cancelled_half_way(void) {
    Editor editor;
    Err err = {0};
    editor_init(&editor, stop_at_first);
    ws_close(editor.fixture.ws);
    atomic_store(&was_stopped, false);
    WorkspaceConfig config = {.root = editor.fixture.root, .cancelled = &was_stopped};
    editor.fixture.ws = ws_open(&config, (FileIo){&editor, read_text, write_text}, &err);
    CHECK_OK(editor.fixture.ws != NULL, err);
    refuse_both(&editor, ERR_CANCELLED, "cancelled; nothing was changed");
    CHECK_INT(editor.writes, 2);
    CHECK_STR(fixture_text(&editor.fixture, "a.txt"), S("old a\n"));
    CHECK_STR(fixture_text(&editor.fixture, "b.txt"), S("old b\n"));
    FileList list;
    CHECK(!ws_list(editor.fixture.ws, &editor.fixture.arena, &list, &err) && err.code == ERR_CANCELLED);
    fixture_close(&editor.fixture);
}

static bool write_half(Editor *editor, int write, Str path, Str text, Err *err) {
    if (write != 2)
        return true;
    save(editor, path, str_slice(text, 0, text.len / 2));
    return err_set(err, ERR_IO, "the editor stopped half way");
}

static void test_half_written(void) {
    Editor editor;
    editor_init(&editor, write_half);
    refuse_both(&editor, ERR_IO, "nothing was changed");
    CHECK_STR(fixture_text(&editor.fixture, "a.txt"), S("old a\n"));
    CHECK_STR(fixture_text(&editor.fixture, "b.txt"), S("old b\n"));
    fixture_close(&editor.fixture);
}

static bool remove_other(Editor *editor, int write, Str path, Str text, Err *err) {
    (void)path, (void)text;
    if (write == 2) {
        CHECK(remove(fixture_path(&editor->fixture, "a.txt")) == 0);
        return err_set(err, ERR_IO, "the editor said no");
    }
    return true;
}

/* Removed by its user after our text was taken: it stays removed, and the old text is kept. */
static void test_removed_after_the_write(void) {
    Editor editor;
    editor_init(&editor, remove_other);
    refuse_both(&editor, ERR_IO, "the editor said no");
    CHECK(!fixture_text(&editor.fixture, "a.txt").ptr);
    CHECK_STR(fixture_text(&editor.fixture, "b.txt"), S("old b\n"));
    CHECK(is_kept(&editor, "old a"));
    fixture_close(&editor.fixture);
}

static bool write_over_binary(Editor *editor, int write, Str path, Str text, Err *err) {
    (void)write, (void)path, (void)text;
    fixture_write(&editor->fixture, "binary", (Str){"\0else", 5});
    return err_set(err, ERR_IO, "the editor said no");
}

/* A file that was replaced on disk already, and then by somebody else: the text before it all is kept. */
static void test_replaced_on_disk_meanwhile(void) {
    Editor editor;
    Err err = {0};
    Entry binary;
    Path path;
    editor_init(&editor, write_over_binary);
    Change *change = change_begin(editor.fixture.ws, &err);
    CHECK_OK(ws_entry(editor.fixture.ws, S("binary"), 100, &editor.fixture.arena, &path, &binary, &err), err);
    change_put(change, path, binary.stamp, (Str){"\0new", 4});
    fixture_put(&editor.fixture, change, "a.txt", S("new a\n"));
    CHECK(!change_commit(change, NULL, &err) && err.code == ERR_IO);
    CHECK_STR(fixture_text(&editor.fixture, "binary"), ((Str){"\0else", 5}));
    CHECK_STR(fixture_text(&editor.fixture, "a.txt"), S("old a\n"));
    CHECK(is_kept(&editor, "old"));
    CHECK_MSG(strstr(err.text, "kept beside the backups"), "%s", err.text);
    fixture_close(&editor.fixture);
}

static bool type_into_new(Editor *editor, int write, Str path, Str text, Err *err) {
    (void)write, (void)text;
    save(editor, path, S("typed at once\n"));
    return err_set(err, ERR_IO, "the editor said no");
}

/* A new file that holds what its user typed stays, and the sentence says so. */
static void test_new_file_typed_into(void) {
    Editor editor;
    Err err = {0};
    editor_init(&editor, type_into_new);
    Change *change = change_begin(editor.fixture.ws, &err);
    fixture_put(&editor.fixture, change, "c.txt", S("new c\n"));
    CHECK(!change_commit(change, NULL, &err));
    CHECK_MSG(err.code == ERR_IO && strstr(err.text, "left as it is"), "%s", err.text);
    CHECK_STR(fixture_text(&editor.fixture, "c.txt"), S("typed at once\n"));
    fixture_close(&editor.fixture);
}

static bool write_part_of_new(Editor *editor, int write, Str path, Str text, Err *err) {
    (void)write;
    save(editor, path, str_slice(text, 0, 2));
    return err_set(err, ERR_IO, "the editor stopped half way");
}

static void test_new_file_half_written(void) {
    Editor editor;
    Err err = {0};
    editor_init(&editor, write_part_of_new);
    Str before = fixture_snapshot(&editor.fixture);
    Change *change = change_begin(editor.fixture.ws, &err);
    fixture_put(&editor.fixture, change, "new/c.txt", S("new c\n"));
    CHECK(!change_commit(change, NULL, &err));
    CHECK_MSG(err.code == ERR_IO && strstr(err.text, "nothing was changed"), "%s", err.text);
    CHECK_STR(fixture_snapshot(&editor.fixture), before);
    fixture_close(&editor.fixture);
}

static bool die_at_second(Editor *editor, int write, Str path, Str text, Err *err) {
    (void)editor, (void)path, (void)text, (void)err;
    if (write == 2)
        _exit(7);
    return true;
}

/* Only a mode is missing when the process ends: the next start does not take that for done. */
static void test_ended_before_a_mode(void) {
    Editor editor;
    Err err = {0};
    editor_init(&editor, die_at_second);
    Str before = fixture_snapshot(&editor.fixture);
    pid_t child = fork();
    if (child == 0) {
        Change *change = change_begin(editor.fixture.ws, &err);
        fixture_put(&editor.fixture, change, "a.txt", S("new a\n"));
        fixture_put(&editor.fixture, change, "b.txt", S("old b\n"));
        change_set_mode(change, fixture_checked(&editor.fixture, "b.txt"), 0755);
        change_commit(change, NULL, &err);
        _exit(1);
    }
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK_STR(fixture_text(&editor.fixture, "a.txt"), S("new a\n"));
    fixture_open(&editor.fixture, file_io_disk());
    CHECK_STR(fixture_snapshot(&editor.fixture), before);
    fixture_close(&editor.fixture);
}

static const TestCase TESTS[] = {
    {"typed_before_the_write", test_typed_before_the_write},
    {"typed_after_the_write", test_typed_after_the_write},
    {"cancelled_half_way", test_cancelled_half_way},
    {"half_written", test_half_written},
    {"removed_after_the_write", test_removed_after_the_write},
    {"new_file_typed_into", test_new_file_typed_into},
    {"new_file_half_written", test_new_file_half_written},
    {"ended_before_a_mode", test_ended_before_a_mode},
    {"replaced_on_disk_meanwhile", test_replaced_on_disk_meanwhile},
};
TEST_SUITE(WORKSPACE_EDITOR_SUITE, "editor", TESTS);
