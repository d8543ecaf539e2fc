/* Changes on disk and through an editor: all or nothing, with a way back. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/workspace_fixture.h"

static void make_tree(Fixture *fixture) {
    fixture_init(fixture);
    fixture_write(fixture, "a.txt", S("old a\n"));
    fixture_write(fixture, "crlf.txt", S("one\r\ntwo\r\n"));
    fixture_write(fixture, "sub/run.sh", S("#!/bin/sh\n"));
    fixture_write(fixture, "gone.txt", S("gone\n"));
    CHECK(chmod(fixture_path(fixture, "sub/run.sh"), 0750) == 0);
    CHECK(chmod(fixture_path(fixture, "gone.txt"), 0640) == 0);
}

static Change *make_change(Fixture *fixture) {
    Err err = {0};
    Change *change = change_begin(fixture->ws, &err);
    CHECK_OK(change != NULL, err);
    fixture_put(fixture, change, "a.txt", S("new a\n"));
    fixture_put(fixture, change, "crlf.txt", S("one\r\n2\r\n"));
    fixture_put(fixture, change, "sub/run.sh", S("#!/bin/sh\necho\n"));
    fixture_put(fixture, change, "made/here/b.txt", S(""));
    fixture_remove(fixture, change, "gone.txt");
    change_describe(change, S("A title, with \"all\" \xC3\xA4 and %"));
    return change;
}

static void check_commit_undo_redo(bool has_git) {
    Fixture fixture;
    Err err = {0};
    ChangeInfo info, undo, redo;
    BackupList backups;
    make_tree(&fixture);
    if (has_git)
        fixture_git_init(&fixture);
    fixture_open(&fixture, file_io_disk());
    Str before = fixture_snapshot(&fixture);
    CHECK_OK(change_commit(make_change(&fixture), &info, &err), err);
    CHECK_INT(info.files, 5);
    Str after = fixture_snapshot(&fixture);
    CHECK_STR(fixture_text(&fixture, "crlf.txt"), S("one\r\n2\r\n"));
    CHECK(!fixture_text(&fixture, "gone.txt").ptr && fixture_text(&fixture, "made/here/b.txt").ptr);
    struct stat st;
    CHECK(stat(fixture_path(&fixture, "sub/run.sh"), &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0750);
    CHECK_INT(access(fixture_path(&fixture, has_git ? ".git/mux" : ".mux/.gitignore"), F_OK), 0);

    CHECK_OK(ws_undo(fixture.ws, S(""), &undo, &err), err);
    CHECK_STR(fixture_snapshot(&fixture), before);
    CHECK(!ws_undo(fixture.ws, S(""), NULL, &err) && err.code == ERR_NOT_FOUND);
    CHECK(!ws_undo(fixture.ws, str_of(info.id), NULL, &err) && err.code == ERR_INVALID);
    CHECK_OK(ws_undo(fixture.ws, str_of(undo.id), &redo, &err), err);
    CHECK_STR(fixture_snapshot(&fixture), after);
    CHECK_OK(ws_backups(fixture.ws, &fixture.arena, &backups, &err), err);
    CHECK_INT(backups.count, 3);
    CHECK_STR(backups.items[0].id, str_of(redo.id));
    CHECK_STR(backups.items[2].title, S("A title, with \"all\" \xC3\xA4 and %"));
    CHECK_INT(backups.items[2].files, 5);
    CHECK_STR(backups.items[2].paths[3], S("made/here/b.txt"));
    CHECK(!backups.items[0].is_undone && backups.items[1].is_undone && !backups.items[2].is_undone);
    CHECK_OK(ws_undo(fixture.ws, S("1"), NULL, &err), err);
    CHECK_STR(fixture_snapshot(&fixture), before);
    CHECK(!ws_undo(fixture.ws, S("99"), NULL, &err) && err.code == ERR_NOT_FOUND);
    fixture_close(&fixture);
}

static void test_commit_undo_redo(void) {
    check_commit_undo_redo(false);
}

static void test_with_git(void) {
    check_commit_undo_redo(true);
}

static void expect_refusal(Fixture *fixture, Change *change, ErrCode code, const char *words) {
    Err err = {0};
    Str before = fixture_snapshot(fixture);
    CHECK_MSG(!change_commit(change, NULL, &err), "committed, but should say: %s", words);
    CHECK_MSG(err.code == code && strstr(err.text, words), "%s: %s, expected %s", err_name(err.code),
              err.text, words);
    CHECK_STR(fixture_snapshot(fixture), before);
}

static void test_conflicts(void) {
    Fixture fixture;
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    Change *change = make_change(&fixture);
    fixture_write(&fixture, "crlf.txt", S("somebody else\n"));
    expect_refusal(&fixture, change, ERR_CONFLICT, "crlf.txt");
    fixture_write(&fixture, "crlf.txt", S("one\r\ntwo\r\n"));
    change = make_change(&fixture);
    fixture_write(&fixture, "made/here/b.txt", S("somebody else\n"));
    expect_refusal(&fixture, change, ERR_CONFLICT, "made/here/b.txt");
    unlink(fixture_path(&fixture, "made/here/b.txt"));
    change = make_change(&fixture);
    unlink(fixture_path(&fixture, "gone.txt"));
    expect_refusal(&fixture, change, ERR_CONFLICT, "gone.txt");
    fixture_write(&fixture, "gone.txt", S("gone\n"));
    change = make_change(&fixture);
    unlink(fixture_path(&fixture, "a.txt"));
    CHECK(symlink("crlf.txt", fixture_path(&fixture, "a.txt")) == 0);
    expect_refusal(&fixture, change, ERR_CONFLICT, "a.txt");
    fixture_close(&fixture);
}

static void test_cancelled(void) {
    Fixture fixture;
    Err err = {0};
    atomic_bool cancelled = false;
    make_tree(&fixture);
    WorkspaceConfig config = {.root = fixture.root, .cancelled = &cancelled};
    fixture.ws = ws_open(&config, file_io_disk(), &err);
    CHECK_OK(fixture.ws != NULL, err);
    cancelled = true;
    expect_refusal(&fixture, make_change(&fixture), ERR_CANCELLED, "cancelled; nothing was changed");
    cancelled = false;
    CHECK_OK(change_commit(make_change(&fixture), NULL, &err), err);
    Str after = fixture_snapshot(&fixture);
    cancelled = true;
    CHECK(!ws_undo(fixture.ws, S(""), NULL, &err) && err.code == ERR_CANCELLED);
    CHECK_STR(fixture_snapshot(&fixture), after);
    cancelled = false;
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    fixture_close(&fixture);
}

static void test_undo_conflict(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    CHECK_OK(change_commit(make_change(&fixture), NULL, &err), err);
    fixture_write(&fixture, "a.txt", S("edited afterwards\n"));
    Str before = fixture_snapshot(&fixture);
    CHECK(!ws_undo(fixture.ws, S(""), NULL, &err) && err.code == ERR_CONFLICT &&
          strstr(err.text, "a.txt changed since then: undoing would lose that; nothing was changed"));
    CHECK_STR(fixture_snapshot(&fixture), before);
    fixture_close(&fixture);
}

static void test_refusals(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    CHECK(chmod(fixture_path(&fixture, "a.txt"), 0444) == 0);
    expect_refusal(&fixture, make_change(&fixture), ERR_DENIED, "a.txt is read-only");
    CHECK(chmod(fixture_path(&fixture, "a.txt"), 0644) == 0);
    CHECK(chmod(fixture_path(&fixture, "gone.txt"), 0444) == 0);
    expect_refusal(&fixture, make_change(&fixture), ERR_DENIED, "gone.txt is read-only");

    Change *change = change_begin(fixture.ws, &err);
    change_put(change, fixture_checked(&fixture, "sub"), (Stamp){0}, S("x"));
    expect_refusal(&fixture, change, ERR_UNSUPPORTED, "folder");
    change = change_begin(fixture.ws, &err);
    fixture_put(&fixture, change, "a.txt", S("1"));
    fixture_put(&fixture, change, "./sub/../a.txt", S("2"));
    expect_refusal(&fixture, change, ERR_INVALID, "twice");
    expect_refusal(&fixture, change_begin(fixture.ws, &err), ERR_INVALID, "empty");
    change = change_begin(fixture.ws, &err);
    fixture_put(&fixture, change, "made/x", S("1"));
    fixture_put(&fixture, change, "made/x/y", S("2"));
    Str before = fixture_snapshot(&fixture);
    CHECK(!change_commit(change, NULL, &err));
    CHECK_STR(fixture_snapshot(&fixture), before);
    change = change_begin(fixture.ws, &err);
    change_remove(change, fixture_checked(&fixture, "nothing"), (Stamp){0});
    expect_refusal(&fixture, change, ERR_NOT_FOUND, "nothing");
    fixture_close(&fixture);
}

static void test_read_only_workspace(void) {
    Fixture fixture;
    Err err = {0};
    RecoverReport report;
    make_tree(&fixture);
    WorkspaceConfig config = {.root = fixture.root, .read_only = true};
    fixture.ws = ws_open(&config, file_io_disk(), &err);
    CHECK_OK(fixture.ws != NULL, err);
    expect_refusal(&fixture, make_change(&fixture), ERR_DENIED, "reading only");
    CHECK(!ws_recover(fixture.ws, &report, &err));
    CHECK(access(fixture_path(&fixture, ".mux"), F_OK) != 0);
    fixture_close(&fixture);
}

static void test_modes_and_links(void) {
    Fixture fixture;
    Err err = {0};
    struct stat st;
    make_tree(&fixture);
    CHECK(symlink("sub/run.sh", fixture_path(&fixture, "link.sh")) == 0);
    CHECK(link(fixture_path(&fixture, "a.txt"), fixture_path(&fixture, "hard.txt")) == 0);
    fixture_open(&fixture, file_io_disk());
    mode_t mask = umask(022);
    Change *change = change_begin(fixture.ws, &err);
    fixture_put(&fixture, change, "link.sh", S("through the link\n"));
    fixture_put(&fixture, change, "a.txt", S("new a\n"));
    change_set_mode(change, fixture_checked(&fixture, "a.txt"), 0755);
    fixture_put(&fixture, change, "new.sh", S("new\n"));
    change_set_mode(change, fixture_checked(&fixture, "new.sh"), 0755);
    fixture_put(&fixture, change, "new.txt", S("new\n"));
    CHECK_OK(change_commit(change, NULL, &err), err);
    umask(mask);
    CHECK(lstat(fixture_path(&fixture, "link.sh"), &st) == 0 && S_ISLNK(st.st_mode));
    CHECK_STR(fixture_text(&fixture, "sub/run.sh"), S("through the link\n"));
    CHECK_STR(fixture_text(&fixture, "hard.txt"), S("old a\n"));
    static const struct {
        const char *name;
        unsigned mode;
    } MODES[] = {{"a.txt", 0755}, {"new.sh", 0755}, {"new.txt", 0644}, {"sub/run.sh", 0750}};
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
        CHECK(stat(fixture_path(&fixture, MODES[i].name), &st) == 0);
        CHECK_INT(st.st_mode & 07777, MODES[i].mode);
    }
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK(stat(fixture_path(&fixture, "a.txt"), &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0644);
    fixture_close(&fixture);
}

/* A root below the top of a repository, and an extra root: their changes are undone and listed where they
 * belong. */
static void test_other_roots(void) {
    Fixture fixture;
    Err err = {0};
    BackupList backups;
    make_tree(&fixture);
    fixture_git_init(&fixture);
    fixture_write(&fixture, "../beside/x.txt", S("x\n"));
    Str sub = str_of(fixture_path(&fixture, "sub")), beside = str_of(fixture_path(&fixture, "../beside"));
    WorkspaceConfig config = {.root = sub, .extra_roots = &beside, .extra_root_count = 1};
    fixture.ws = ws_open(&config, file_io_disk(), &err);
    CHECK_OK(fixture.ws != NULL, err);
    Change *change = change_begin(fixture.ws, &err);
    fixture_put(&fixture, change, "run.sh", S("changed\n"));
    fixture_put(&fixture, change, "../../beside/x.txt", S("changed\n"));
    CHECK_OK(change_commit(change, NULL, &err), err);
    CHECK_OK(ws_backups(fixture.ws, &fixture.arena, &backups, &err), err);
    CHECK_INT(backups.count, 1);
    CHECK_STR(backups.items[0].paths[0], S("run.sh"));
    Workspace *both = fixture.ws;
    fixture.ws = NULL;
    fixture_open(&fixture, file_io_disk());
    CHECK_OK(ws_backups(fixture.ws, &fixture.arena, &backups, &err), err);
    CHECK_INT(backups.count, 0);
    CHECK(!ws_undo(fixture.ws, S("1"), NULL, &err) && err.code == ERR_DENIED);
    CHECK_OK(ws_undo(both, S(""), NULL, &err), err);
    CHECK_STR(fixture_text(&fixture, "../beside/x.txt"), S("x\n"));
    ws_close(both);
    fixture_close(&fixture);
}

static void test_pruning(void) {
    Fixture fixture;
    Err err = {0};
    BackupList backups;
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    for (int i = 0; i < 60; i++) {
        Change *change = change_begin(fixture.ws, &err);
        fixture_put(&fixture, change, "a.txt", str_printf(&fixture.arena, "%d\n", i));
        CHECK_OK(change_commit(change, NULL, &err), err);
    }
    CHECK_OK(ws_backups(fixture.ws, &fixture.arena, &backups, &err), err);
    CHECK_INT(backups.count, 50);
    CHECK(str_starts(backups.items[0].id, S("60-")) && str_starts(backups.items[49].id, S("11-")));
    for (int i = 59; i > 10; i--) {
        CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
        if (i % 10 == 0)
            CHECK_STR(fixture_text(&fixture, "a.txt"), str_printf(&fixture.arena, "%d\n", i - 1));
        if (i < 40)
            break;
    }
    fixture_close(&fixture);
}

static void test_many_files(void) {
    Fixture fixture;
    Err err = {0};
    struct rlimit few, usual;
    make_tree(&fixture);
    CHECK(getrlimit(RLIMIT_NOFILE, &usual) == 0);
    few = usual;
    few.rlim_cur = 64; /* however many files, few are open at a time */
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    fixture_open(&fixture, file_io_disk());
    Str before = fixture_snapshot(&fixture);
    Change *change = change_begin(fixture.ws, &err);
    for (int i = 0; i < 200; i++)
        fixture_put(&fixture, change, str_printf(&fixture.arena, "many/%d/f%d.txt", i % 7, i).ptr,
                    str_printf(&fixture.arena, "%d\n", i));
    CHECK_OK(change_commit(change, NULL, &err), err);
    CHECK_STR(fixture_text(&fixture, "many/3/f199.txt"), S("199\n"));
    Str middle = fixture_snapshot(&fixture);
    change = change_begin(fixture.ws, &err);
    for (int i = 0; i < 200; i++)
        fixture_put(&fixture, change, str_printf(&fixture.arena, "many/%d/f%d.txt", i % 7, i).ptr,
                    S("new\n"));
    CHECK_OK(change_commit(change, NULL, &err), err);
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK_STR(fixture_snapshot(&fixture), middle);
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK_STR(fixture_snapshot(&fixture), before);
    CHECK(setrlimit(RLIMIT_NOFILE, &usual) == 0);
    fixture_close(&fixture);
}

/* ---- an editor ---- */

typedef struct Editor {
    Fixture *fixture;
    int writes, fail_at; /* the write that fails, from 1; 0: none */
    bool has_formatter;  /* doubles the last byte of what it saves */
    Str unsaved_path, unsaved_text;
} Editor;

static bool editor_read_text(void *ctx, Str path, Arena *arena, Str *text, Err *err) {
    Editor *editor = ctx;
    FileIo disk = file_io_disk();
    if (editor->unsaved_path.len && str_eq(path, editor->unsaved_path)) {
        *text = editor->unsaved_text;
        return true;
    }
    return disk.read(disk.ctx, path, arena, text, err);
}

static bool editor_write_text(void *ctx, Str path, Str text, Err *err) {
    Editor *editor = ctx;
    if (++editor->writes == editor->fail_at)
        return err_set(err, ERR_IO, "the editor said no");
    CHECK(str_starts(path, editor->fixture->root));
    if (editor->has_formatter && text.len)
        text = str_concat(&editor->fixture->arena, text, S("\n"));
    fixture_write(editor->fixture, path.ptr + editor->fixture->root.len + 1, text);
    if (str_eq(path, editor->unsaved_path))
        editor->unsaved_text = str_copy(&editor->fixture->arena, text);
    return true;
}

static void test_editor(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    Editor editor = {.fixture = &fixture};
    fixture_open(&fixture, (FileIo){&editor, editor_read_text, editor_write_text});
    Str before = fixture_snapshot(&fixture);
    CHECK_OK(change_commit(make_change(&fixture), NULL, &err), err);
    CHECK_INT(editor.writes, 4);
    CHECK_STR(fixture_text(&fixture, "crlf.txt"), S("one\r\n2\r\n"));
    CHECK(!fixture_text(&fixture, "gone.txt").ptr);
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK_STR(fixture_snapshot(&fixture), before);

    /* the n-th write fails: what was written goes back */
    for (int n = 1; n <= 4; n++) {
        editor.writes = 0;
        editor.fail_at = n;
        expect_refusal(&fixture, make_change(&fixture), ERR_IO, "the editor said no");
        CHECK_STR(fixture_snapshot(&fixture), before);
    }
    editor.fail_at = 0;

    editor.has_formatter = true;
    CHECK_OK(change_commit(make_change(&fixture), NULL, &err), err);
    CHECK_STR(fixture_text(&fixture, "a.txt"), S("new a\n\n"));
    editor.has_formatter = false;
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK_STR(fixture_snapshot(&fixture), before);

    /* unsaved text in the editor wins over the disk */
    Change *change = make_change(&fixture);
    editor.unsaved_path = str_of(fixture_path(&fixture, "a.txt"));
    editor.unsaved_text = S("typed just now\n");
    expect_refusal(&fixture, change, ERR_CONFLICT, "a.txt");
    CHECK_OK(change_commit(make_change(&fixture), NULL, &err), err);
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK_STR(fixture_text(&fixture, "a.txt"), S("typed just now\n"));
    fixture_close(&fixture);
}

/* A formatter's work is told apart from ours, undo knows what the editor had, and refuses when that moved. */
static void test_editor_report(void) {
    Fixture fixture;
    Err err = {0};
    ChangeReport report;
    make_tree(&fixture);
    Editor editor = {.fixture = &fixture, .has_formatter = true};
    fixture_open(&fixture, (FileIo){&editor, editor_read_text, editor_write_text});
    Str before = fixture_snapshot(&fixture);
    Change *change = make_change(&fixture);
    change_report(change, &fixture.arena, &report);
    CHECK_OK(change_commit(change, NULL, &err), err);
    CHECK_INT(report.count, 5);
    CHECK(report.items[0].is_reformatted && !report.items[4].is_reformatted);
    CHECK_STR(report.items[0].sent, S("new a\n"));
    CHECK_STR(report.items[0].found, S("new a\n\n"));
    editor.has_formatter = false;
    fixture_write(&fixture, "a.txt", S("formatted once more\n"));
    Str moved = fixture_snapshot(&fixture);
    CHECK(!ws_undo(fixture.ws, S(""), NULL, &err) && err.code == ERR_CONFLICT && strstr(err.text, "a.txt"));
    CHECK_STR(fixture_snapshot(&fixture), moved);
    fixture_write(&fixture, "a.txt", S("new a\n\n"));
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK_STR(fixture_snapshot(&fixture), before);
    fixture_close(&fixture);
}

/* What an editor cannot hold goes to the disk, in the same change and the same undo. */
static void test_editor_kinds(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    CHECK(symlink("a.txt", fixture_path(&fixture, "pointer")) == 0);
    fixture_write(&fixture, "binary", (Str){"\0old", 4});
    Editor editor = {.fixture = &fixture};
    fixture_open(&fixture, (FileIo){&editor, editor_read_text, editor_write_text});
    Str before = fixture_snapshot(&fixture);
    Path path;
    Entry link, binary, below;
    for (int fails = 1; fails >= 0; fails--) {
        Change *change = change_begin(fixture.ws, &err);
        CHECK_OK(ws_entry(fixture.ws, S("binary"), 100, &fixture.arena, &path, &binary, &err), err);
        change_put(change, path, binary.stamp, (Str){"\0new", 4});
        CHECK_OK(ws_entry(fixture.ws, S("pointer"), 100, &fixture.arena, &path, &link, &err), err);
        change_put_link(change, path, link.stamp, S("gone.txt"));
        fixture_put(&fixture, change, "a.txt", S("new a\n"));
        fixture_remove(&fixture, change, "gone.txt");
        CHECK_OK(ws_entry(fixture.ws, S("gone.txt/below"), 100, &fixture.arena, &path, &below, &err), err);
        change_put(change, path, below.stamp, S("a folder now\n"));
        editor.writes = 0;
        editor.fail_at = fails ? 2 : 0;
        if (fails) {
            expect_refusal(&fixture, change, ERR_IO, "the editor said no");
            continue;
        }
        CHECK_OK(change_commit(change, NULL, &err), err);
        CHECK_INT(editor.writes, 2);
        CHECK_STR(fixture_text(&fixture, "binary"), ((Str){"\0new", 4}));
        CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
        CHECK_STR(fixture_snapshot(&fixture), before);
    }
    fixture_close(&fixture);
}

static void commit_one(Fixture *fixture, Str text) {
    Err err = {0};
    Change *change = change_begin(fixture->ws, &err);
    fixture_put(fixture, change, "a.txt", text);
    CHECK_OK(change_commit(change, NULL, &err), err);
}

static size_t count_backups(Fixture *fixture) {
    BackupList backups;
    Err err = {0};
    CHECK_OK(ws_backups(fixture->ws, &fixture->arena, &backups, &err), err);
    return backups.count;
}

static void test_backup_limits(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    WorkspaceConfig few = {.root = fixture.root, .backup_count = 3};
    fixture.ws = ws_open(&few, file_io_disk(), &err);
    for (int i = 0; i < 6; i++)
        commit_one(&fixture, str_printf(&fixture.arena, "%d\n", i));
    CHECK_INT(count_backups(&fixture), 3);
    ws_close(fixture.ws);
    char *large = arena_alloc(&fixture.arena, 6000);
    memset(large, 'x', 6000);
    WorkspaceConfig small = {.root = fixture.root, .backup_bytes = 10000};
    fixture.ws = ws_open(&small, file_io_disk(), &err);
    for (int i = 0; i < 4; i++) {
        large[0] = (char)('a' + i);
        commit_one(&fixture, str_copy(&fixture.arena, (Str){large, 6000}));
    }
    CHECK_INT(count_backups(&fixture), 1);
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    large[0] = 'c';
    CHECK_STR(fixture_text(&fixture, "a.txt"), ((Str){large, 6000}));
    fixture_close(&fixture);
}

/* Where there is no place for backups nothing is changed, and nothing of ours is left. */
static void test_no_place_for_backups(void) {
    Fixture fixture;
    make_tree(&fixture);
    fixture_write(&fixture, ".mux", S("a file\n"));
    fixture_open(&fixture, file_io_disk());
    expect_refusal(&fixture, make_change(&fixture), ERR_DENIED, "nothing was changed");
    CHECK_STR(fixture_text(&fixture, ".mux"), S("a file\n"));
    CHECK(unlink(fixture_path(&fixture, ".mux")) == 0);
    fixture_folder(&fixture, "../elsewhere");
    CHECK(symlink("../elsewhere", fixture_path(&fixture, ".mux")) == 0);
    expect_refusal(&fixture, make_change(&fixture), ERR_DENIED, "no folder");
    CHECK(rmdir(fixture_path(&fixture, "../elsewhere")) == 0);
    fixture_close(&fixture);
}

/* Rights count for those who are not root. */
static void test_read_only_folders(void) {
    Fixture fixture;
    make_tree(&fixture);
    bool is_root = geteuid() == 0;
    fixture_open(&fixture, file_io_disk());
    fixture_folder(&fixture, "closed/box");
    if (is_root) {
        const char *const argv[] = {"chown", "-R", "65534", test_tmp(), NULL};
        CHECK_INT(run_program(argv, NULL), 0);
    }
    CHECK(chmod(fixture_path(&fixture, "closed"), 0555) == 0);
    CHECK(chmod(fixture_path(&fixture, "sub"), 0555) == 0);
    if (is_root && seteuid(65534) != 0)
        SKIP("rights cannot be given up here");
    Err err = {0};
    Change *change = change_begin(fixture.ws, &err);
    fixture_put(&fixture, change, "a.txt", S("new a\n"));
    fixture_put(&fixture, change, "closed/new/deep.txt", S("x\n"));
    bool ok = change_commit(change, NULL, &err), ok_2;
    change = change_begin(fixture.ws, &err);
    Err err_2 = {0};
    fixture_put(&fixture, change, "sub/run.sh", S("x\n"));
    ok_2 = change_commit(change, NULL, &err_2);
    CHECK(!is_root || seteuid(0) == 0);
    CHECK_MSG(!ok && err.code == ERR_DENIED && strstr(err.text, "not writable"), "%s", err.text);
    CHECK_MSG(!ok_2 && err_2.code == ERR_DENIED && strstr(err_2.text, "not writable"), "%s", err_2.text);
    CHECK_STR(fixture_text(&fixture, "a.txt"), S("old a\n"));
    CHECK(chmod(fixture_path(&fixture, "closed"), 0755) == 0);
    CHECK(chmod(fixture_path(&fixture, "sub"), 0755) == 0);
    fixture_close(&fixture);
}

/* The second of two agents is told who the first one is. */
static void test_lock_names_its_holder(void) {
    Fixture fixture;
    Err err = {0};
    RecoverReport report;
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    commit_one(&fixture, S("1\n"));
    fixture_folder(&fixture, ".mux/txn/9-abcdef"); /* work for recovery, which does not wait */
    int fd = open(fixture_path(&fixture, ".mux/lock"), O_RDWR);
    CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0);
    CHECK(!ws_recover(fixture.ws, &report, &err) && err.code == ERR_CONFLICT);
    CHECK_MSG(strstr(err.text, str_printf(&fixture.arena, "(pid %ld)", (long)getpid()).ptr), "%s", err.text);
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, "pid 1 start 0 boot none\n", 24, 0) == 24);
    CHECK(!ws_recover(fixture.ws, &report, &err) && strstr(err.text, "not running here"));
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(!ws_recover(fixture.ws, &report, &err) && strstr(err.text, "another mux process"));
    close(fd);
    CHECK_OK(ws_recover(fixture.ws, &report, &err), err);
    CHECK_INT(report.cleaned, 1);
    fixture_close(&fixture);
}

/* Nobody waits for another process's change once he is told to stop. */
static void test_cancelled_while_waiting(void) {
    Fixture fixture;
    atomic_bool cancelled = false;
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    commit_one(&fixture, S("1\n"));
    ws_close(fixture.ws);
    WorkspaceConfig config = {.root = fixture.root, .cancelled = &cancelled};
    fixture.ws = ws_open(&config, file_io_disk(), NULL);
    int fd = open(fixture_path(&fixture, ".mux/lock"), O_RDWR);
    CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0);
    cancelled = true;
    expect_refusal(&fixture, make_change(&fixture), ERR_CANCELLED, "cancelled while another");
    close(fd);
    fixture_close(&fixture);
}

static const TestCase TESTS[] = {
    {"commit_undo_redo", test_commit_undo_redo},
    {"commit_undo_redo_with_git", test_with_git},
    {"conflicts", test_conflicts},
    {"cancelled", test_cancelled},
    {"cancelled_while_waiting", test_cancelled_while_waiting},
    {"undo_conflict", test_undo_conflict},
    {"refusals", test_refusals},
    {"read_only_workspace", test_read_only_workspace},
    {"modes_and_links", test_modes_and_links},
    {"other_roots", test_other_roots},
    {"pruning", test_pruning},
    {"many_files", test_many_files},
    {"editor", test_editor},
    {"editor_report", test_editor_report},
    {"editor_kinds", test_editor_kinds},
    {"backup_limits", test_backup_limits},
    {"no_place_for_backups", test_no_place_for_backups},
    {"read_only_folders", test_read_only_folders},
    {"lock_names_its_holder", test_lock_names_its_holder},
};
TEST_SUITE(WORKSPACE_CHANGE_SUITE, "change", TESTS);
