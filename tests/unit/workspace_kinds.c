/* Kinds of entries: symbolic links, folders that become files and the reverse, binary, large, sparse and
 * special files, and what a replaced file keeps. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/unit/workspace_fixture.h"

/* Under sanitizers memory that is only looked at costs memory of their own. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { IS_SHADOWED = 1 };
#else
enum { IS_SHADOWED = 0 };
#endif

static Entry look(Fixture *fixture, const char *name, Path *path) {
    Entry entry = {0};
    Err err = {0};
    CHECK_OK(ws_entry(fixture->ws, str_of(name), 1 << 28, &fixture->arena, path, &entry, &err), err);
    return entry;
}

static Change *begin(Fixture *fixture) {
    Err err = {0};
    Change *change = change_begin(fixture->ws, &err);
    CHECK_OK(change != NULL, err);
    return change;
}

static void put(Fixture *fixture, Change *change, const char *name, Str text) {
    Path path;
    Entry entry = look(fixture, name, &path);
    change_put(change, path, entry.is_folder ? (Stamp){0} : entry.stamp, text);
}

static void put_link(Fixture *fixture, Change *change, const char *name, const char *target) {
    Path path;
    Entry entry = look(fixture, name, &path);
    change_put_link(change, path, entry.is_folder ? (Stamp){0} : entry.stamp, str_of(target));
}

static void drop(Fixture *fixture, Change *change, const char *name) {
    Path path;
    Entry entry = look(fixture, name, &path);
    CHECK(entry.exists);
    change_remove(change, path, entry.stamp);
}

/* Commits, then undoes, redoes and undoes again; the trees must be the same each time. */
static void check_there_and_back(Fixture *fixture, Change *change) {
    Err err = {0};
    ChangeInfo info, undo, redo;
    Str before = fixture_snapshot(fixture);
    CHECK_OK(change_commit(change, &info, &err), err);
    Str after = fixture_snapshot(fixture);
    CHECK(!str_eq(before, after));
    CHECK_OK(ws_undo(fixture->ws, str_of(info.id), &undo, &err), err);
    CHECK_STR(fixture_snapshot(fixture), before);
    CHECK_OK(ws_undo(fixture->ws, str_of(undo.id), &redo, &err), err);
    CHECK_STR(fixture_snapshot(fixture), after);
    CHECK_OK(ws_undo(fixture->ws, str_of(redo.id), NULL, &err), err);
    CHECK_STR(fixture_snapshot(fixture), before);
}

static void refuse(Fixture *fixture, Change *change, ErrCode code, const char *words) {
    Err err = {0};
    Str before = fixture_snapshot(fixture);
    CHECK_MSG(!change_commit(change, NULL, &err), "committed, but should say: %s", words);
    CHECK_MSG(err.code == code && strstr(err.text, words), "%s: %s, expected %s", err_name(err.code),
              err.text, words);
    CHECK_STR(fixture_snapshot(fixture), before);
}

static void make_tree(Fixture *fixture) {
    fixture_init(fixture);
    fixture_write(fixture, "a.txt", S("a\n"));
    fixture_write(fixture, "b.txt", S("b\n"));
    fixture_write(fixture, "box/one.txt", S("one\n"));
    fixture_write(fixture, "box/deep/two.txt", S("two\n"));
    CHECK(chmod(fixture_path(fixture, "box/deep"), 0750) == 0);
    CHECK(symlink("a.txt", fixture_path(fixture, "pointer")) == 0);
    CHECK(symlink("box", fixture_path(fixture, "way")) == 0);
    fixture_open(fixture, file_io_disk());
}

static void test_entries(void) {
    Fixture fixture;
    Path path;
    make_tree(&fixture);
    fixture_write(&fixture, "binary", (Str){"a\0b", 3});
    CHECK(mkfifo(fixture_path(&fixture, "fifo"), 0600) == 0);
    CHECK(link(fixture_path(&fixture, "a.txt"), fixture_path(&fixture, "twin")) == 0);
    Entry entry = look(&fixture, "a.txt", &path);
    CHECK(entry.exists && !entry.is_folder && !entry.is_link && entry.links == 2);
    CHECK_STR(entry.text, S("a\n"));
    CHECK_STR(path.relative, S("a.txt"));
    CHECK_STR(path.absolute, str_of(fixture_path(&fixture, "a.txt")));
    entry = look(&fixture, "pointer", &path);
    CHECK(entry.exists && entry.is_link && entry.stamp.is_link);
    CHECK_STR(entry.text, S("a.txt"));
    CHECK(look(&fixture, "box", &path).is_folder && !look(&fixture, "none", &path).exists);
    CHECK(!look(&fixture, "no/such/file", &path).exists && !look(&fixture, "a.txt/below", &path).exists);
    CHECK_INT(look(&fixture, "binary", &path).text.len, 3);
    static const struct {
        const char *name;
        ErrCode code;
    } BAD[] = {{"way/one.txt", ERR_DENIED},   {"../x", ERR_DENIED},
               {"/etc/passwd", ERR_DENIED},   {"", ERR_DENIED},
               {"box/./one.txt", ERR_DENIED}, {".git/config", ERR_DENIED},
               {".mux/lock", ERR_DENIED},     {"fifo", ERR_UNSUPPORTED}};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        Err err = {0};
        CHECK_MSG(!ws_entry(fixture.ws, str_of(BAD[i].name), 1000, &fixture.arena, &path, &entry, &err) &&
                      err.code == BAD[i].code,
                  "%s: %s %s", BAD[i].name, err_name(err.code), err.text);
    }
    Err err = {0};
    CHECK(!ws_entry(fixture.ws, S("binary"), 2, &fixture.arena, &path, &entry, &err) &&
          err.code == ERR_LIMIT);
    fixture_close(&fixture);
}

static void test_links(void) {
    Fixture fixture;
    make_tree(&fixture);
    Change *change = begin(&fixture);
    put_link(&fixture, change, "new-link", "/nowhere/at all");
    put_link(&fixture, change, "pointer", "b.txt");
    put_link(&fixture, change, "a.txt", "b.txt"); /* a file becomes a link */
    put(&fixture, change, "way", S("a link becomes a file\n"));
    drop(&fixture, change, "b.txt");
    check_there_and_back(&fixture, change);

    change = begin(&fixture);
    drop(&fixture, change, "pointer");
    check_there_and_back(&fixture, change);
    CHECK(fixture_text(&fixture, "a.txt").ptr);

    Path path;
    Entry seen = look(&fixture, "pointer", &path);
    CHECK(unlink(fixture_path(&fixture, "pointer")) == 0);
    CHECK(symlink("b.txt", fixture_path(&fixture, "pointer")) == 0);
    change = begin(&fixture);
    put(&fixture, change, "b.txt", S("b2\n"));
    change_put_link(change, path, seen.stamp, S("x"));
    refuse(&fixture, change, ERR_CONFLICT, "pointer");
    /* a link whose target's name is the file's old text is not that file */
    fixture_write(&fixture, "word", S("a.txt"));
    seen = look(&fixture, "word", &path);
    CHECK(unlink(fixture_path(&fixture, "word")) == 0);
    CHECK(symlink("a.txt", fixture_path(&fixture, "word")) == 0);
    change = begin(&fixture);
    change_put(change, path, seen.stamp, S("x"));
    refuse(&fixture, change, ERR_CONFLICT, "word");
    change = begin(&fixture);
    put_link(&fixture, change, "empty", "");
    refuse(&fixture, change, ERR_INVALID, "empty");
    fixture_close(&fixture);
}

static void test_folders_and_files(void) {
    Fixture fixture;
    make_tree(&fixture);
    Change *change = begin(&fixture);
    drop(&fixture, change, "a.txt"); /* a file makes room for a folder */
    put(&fixture, change, "a.txt/in/here", S("below\n"));
    drop(&fixture, change, "box/one.txt"); /* and a folder for a file */
    drop(&fixture, change, "box/deep/two.txt");
    put(&fixture, change, "box", S("no folder any more\n"));
    put(&fixture, change, "b.txt", S("b2\n"));
    check_there_and_back(&fixture, change);
    struct stat st;
    CHECK(stat(fixture_path(&fixture, "box/deep"), &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0750);

    change = begin(&fixture);
    drop(&fixture, change, "box/one.txt");
    drop(&fixture, change, "box/deep/two.txt");
    put_link(&fixture, change, "box", "a.txt");
    check_there_and_back(&fixture, change);

    change = begin(&fixture);
    drop(&fixture, change, "box/one.txt");
    put(&fixture, change, "box", S("x"));
    refuse(&fixture, change, ERR_UNSUPPORTED, "box/deep is a folder");
    change = begin(&fixture);
    put(&fixture, change, "a.txt/in/here", S("x"));
    refuse(&fixture, change, ERR_CONFLICT, "a.txt is a file, not a folder");
    change = begin(&fixture);
    put(&fixture, change, "made", S("x"));
    put(&fixture, change, "made/below", S("x"));
    refuse(&fixture, change, ERR_INVALID, "to be a file");
    fixture_folder(&fixture, "module/.git");
    change = begin(&fixture);
    put(&fixture, change, "module", S("x"));
    refuse(&fixture, change, ERR_DENIED, "repository of its own");
    fixture_folder(&fixture, "hollow");
    change = begin(&fixture);
    put(&fixture, change, "hollow", S("an empty folder makes room\n"));
    check_there_and_back(&fixture, change);
    fixture_close(&fixture);
}

/* Folders stay when they become empty, except those that the change itself had made. */
static void test_emptied_folders(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    Change *change = begin(&fixture);
    drop(&fixture, change, "box/deep/two.txt");
    put(&fixture, change, "fresh/deep/x", S("x"));
    CHECK_OK(change_commit(change, NULL, &err), err);
    CHECK(access(fixture_path(&fixture, "box/deep"), F_OK) == 0);
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK(access(fixture_path(&fixture, "fresh"), F_OK) != 0);
    fixture_close(&fixture);
}

static void test_special_files(void) {
    Fixture fixture;
    make_tree(&fixture);
    CHECK(mkfifo(fixture_path(&fixture, "fifo"), 0600) == 0);
    Change *change = begin(&fixture);
    change_put(change, fixture_checked(&fixture, "fifo"), (Stamp){0}, S("x"));
    refuse(&fixture, change, ERR_UNSUPPORTED, "not a regular file");
    change = begin(&fixture);
    put(&fixture, change, "binary", (Str){"\0\1\2", 3});
    check_there_and_back(&fixture, change);
    fixture_close(&fixture);
}

/* Hard links are told, attributes and modes stay, the rights of a changed program do not. */
static void test_what_a_file_keeps(void) {
    Fixture fixture;
    Err err = {0};
    struct stat st;
    char value[8] = "";
    ChangeReport report;
    make_tree(&fixture);
    CHECK(link(fixture_path(&fixture, "b.txt"), fixture_path(&fixture, "twin")) == 0);
    bool has_attribute = setxattr(fixture_path(&fixture, "a.txt"), "user.mux", "kept", 4, 0) == 0;
    CHECK(chmod(fixture_path(&fixture, "a.txt"), 04751) == 0);
    Change *change = begin(&fixture);
    put(&fixture, change, "a.txt", S("new a\n"));
    put(&fixture, change, "b.txt", S("new b\n"));
    put(&fixture, change, "c.txt", S("new c\n"));
    change_report(change, &fixture.arena, &report);
    CHECK_OK(change_commit(change, NULL, &err), err);
    CHECK_INT(report.count, 3);
    CHECK(!report.items[0].had_hard_links && report.items[1].had_hard_links &&
          !report.items[2].had_hard_links);
    CHECK(!report.items[0].is_reformatted);
    CHECK_STR(report.items[0].path.relative, S("a.txt"));
    CHECK_STR(report.items[2].found, S("new c\n"));
    CHECK_STR(fixture_text(&fixture, "twin"), S("b\n"));
    CHECK(stat(fixture_path(&fixture, "a.txt"), &st) == 0);
    CHECK_INT(st.st_mode & 07777, 0751);
    if (has_attribute) {
        CHECK_INT(getxattr(fixture_path(&fixture, "a.txt"), "user.mux", value, sizeof value), 4);
        CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
        CHECK_INT(getxattr(fixture_path(&fixture, "a.txt"), "user.mux", value, sizeof value), 4);
    }
    fixture_close(&fixture);
}

/* A file that another program has open for writing is not pulled away from under it. */
static void test_open_elsewhere(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    int fd = open(fixture_path(&fixture, "a.txt"), O_WRONLY);
    CHECK(fd >= 0);
    Change *change = begin(&fixture);
    put(&fixture, change, "b.txt", S("new b\n"));
    put(&fixture, change, "a.txt", S("new a\n"));
    bool ok = change_commit(change, NULL, &err);
    if (ok) {
        close(fd);
        SKIP("this file system does not tell who writes");
    }
    CHECK_MSG(err.code == ERR_CONFLICT && strstr(err.text, "a.txt is open for writing"), "%s", err.text);
    CHECK_STR(fixture_text(&fixture, "b.txt"), S("b\n"));
    CHECK(write(fd, "A", 1) == 1);
    close(fd);
    CHECK_STR(fixture_text(&fixture, "a.txt"), S("A\n"));
    struct stat st;
    CHECK(stat(fixture_path(&fixture, "a.txt"), &st) == 0 && st.st_nlink == 1);
    fd = open(fixture_path(&fixture, "a.txt"), O_RDONLY); /* readers are no matter */
    change = begin(&fixture);
    put(&fixture, change, "a.txt", S("new a\n"));
    CHECK_OK(change_commit(change, NULL, &err), err);
    close(fd);
    fixture_close(&fixture);
}

enum { LARGE = 48 << 20 };

/* Above the limit of texts, with holes; the old file is never read into memory, nor the backup at undo. */
static void test_large_and_sparse(void) {
    Fixture fixture;
    Err err = {0};
    struct stat st;
    make_tree(&fixture);
    const char *name = fixture_path(&fixture, "large");
    int fd = open(name, O_WRONLY | O_CREAT, 0644);
    CHECK(fd >= 0 && ftruncate(fd, LARGE) == 0 && pwrite(fd, "end", 3, LARGE - 3) == 3);
    close(fd);
    Path path = fixture_checked(&fixture, "large");
    char *zeroes = calloc(1, LARGE);
    CHECK(zeroes != NULL);
    memcpy(zeroes + LARGE - 3, "end", 3);
    Stamp seen = stamp_of((Str){zeroes, LARGE});
    Change *change = begin(&fixture);
    memcpy(zeroes + LARGE - 3, "END", 3);
    change_put(change, path, seen, (Str){zeroes, LARGE});
    size_t at_rest = os_resident_bytes();
    CHECK_OK(change_commit(change, NULL, &err), err);
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    if (!IS_SHADOWED)
        CHECK_MSG(os_resident_bytes() < at_rest + LARGE / 2, "%zu more bytes", os_resident_bytes() - at_rest);
    CHECK(stat(name, &st) == 0 && st.st_size == LARGE);
    CHECK_MSG(st.st_blocks < 4096, "%lld blocks: the holes are filled", (long long)st.st_blocks);
    free(zeroes);
    fixture_close(&fixture);
}

static void test_spelling(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    fixture_write(&fixture, "caf\xC3\xA9", S("composed\n"));
    Change *change = begin(&fixture);
    put(&fixture, change, "cafe\xCC\x81", S("decomposed\n"));
    refuse(&fixture, change, ERR_CONFLICT, "other Unicode characters");
    change = begin(&fixture);
    put(&fixture, change, "n/\xC3\xA4", S("1"));
    put(&fixture, change, "n/a\xCC\x88", S("2"));
    refuse(&fixture, change, ERR_CONFLICT, "other Unicode characters");
    change = begin(&fixture);
    put(&fixture, change, "n/\xC3\xA4", S("1"));
    put(&fixture, change, "\xC3\xA4", S("another folder"));
    put(&fixture, change, "caf\xC3\xA9", S("itself\n"));
    CHECK_OK(change_commit(change, NULL, &err), err);
    change = begin(&fixture); /* from one spelling to the other */
    drop(&fixture, change, "caf\xC3\xA9");
    put(&fixture, change, "cafe\xCC\x81", S("decomposed\n"));
    check_there_and_back(&fixture, change);
    fixture_close(&fixture);
}

static void test_places_for_others(void) {
    static const char *const FIXED[] = {".hg/hgrc", "sub/.svn/entries", ".JJ/repo", ".bzr/x", ".hg./x"};
    static const char *const ASK[] = {".vscode/settings.json",
                                      "sub/.zed/tasks.json",
                                      ".Husky/pre-commit",
                                      ".github/workflows/ci.yml",
                                      ".envrc",
                                      ".idea/x.xml"};
    static const char *const FREE[] = {"vscode/settings.json", ".github/ISSUE.md", "workflows/x", "a.txt"};
    Fixture fixture;
    make_tree(&fixture);
    for (size_t i = 0; i < sizeof FIXED / sizeof *FIXED; i++) {
        Change *change = begin(&fixture);
        change_put(change, fixture_checked(&fixture, FIXED[i]), (Stamp){0}, S("x"));
        refuse(&fixture, change, ERR_DENIED, "version control");
    }
    for (size_t i = 0; i < sizeof ASK / sizeof *ASK; i++)
        CHECK_MSG(ws_needs_consent(fixture_checked(&fixture, ASK[i])), "%s", ASK[i]);
    for (size_t i = 0; i < sizeof FREE / sizeof *FREE; i++)
        CHECK_MSG(!ws_needs_consent(fixture_checked(&fixture, FREE[i])), "%s", FREE[i]);
    fixture_close(&fixture);
}

static const TestCase TESTS[] = {
    {"entries", test_entries},
    {"links", test_links},
    {"folders_and_files", test_folders_and_files},
    {"emptied_folders", test_emptied_folders},
    {"special_files", test_special_files},
    {"what_a_file_keeps", test_what_a_file_keeps},
    {"open_elsewhere", test_open_elsewhere},
    {"large_and_sparse", test_large_and_sparse},
    {"spelling", test_spelling},
    {"places_for_others", test_places_for_others},
};
TEST_SUITE(WORKSPACE_KINDS_SUITE, "kinds", TESTS);
