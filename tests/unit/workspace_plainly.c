/* File systems without exchange of names (network and user-space ones): the same changes, and what somebody
 * else does in the moment before a name is taken or removed. The calls of this file stand in front of the C
 * library's for the whole program and do as those do until a test asks for more. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/workspace_fixture.h"

typedef struct Plain {
    bool is_on;       /* no flags of renameat2 */
    const char *name; /* somebody saves it, */
    const char *text; /* with this text, right before the first call that would take or free that name */
    Fixture *fixture;
} Plain;
static Plain plain;

static void save_first(const char *name) {
    if (!plain.name || strcmp(name, plain.name) != 0)
        return;
    const char *target = plain.name;
    plain.name = NULL;
    fixture_write(plain.fixture, "saved", str_of(plain.text));
    CHECK(rename(fixture_path(plain.fixture, "saved"), fixture_path(plain.fixture, target)) == 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    if (plain.is_on && flags) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    save_first(from);
    save_first(to);
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    save_first(to);
    return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *name, int flags) {
    save_first(name);
    return (int)syscall(SYS_unlinkat, dir, name, flags);
}

static void plain_init(Fixture *fixture) {
    log_init("error");
    fixture_init(fixture);
    fixture_write(fixture, "a.txt", S("old a\n"));
    fixture_write(fixture, "gone.txt", S("old gone\n"));
    fixture_write(fixture, "box/in.txt", S("in the box\n"));
    CHECK(symlink("a.txt", fixture_path(fixture, "pointer")) == 0);
    plain = (Plain){.is_on = true, .fixture = fixture};
    fixture_open(fixture, file_io_disk());
}

static Change *every_kind(Fixture *fixture) {
    Err err = {0};
    Path path;
    Entry entry;
    Change *change = change_begin(fixture->ws, &err);
    fixture_put(fixture, change, "a.txt", S("new a\n"));
    fixture_put(fixture, change, "sub/new.txt", S("new\n"));
    fixture_remove(fixture, change, "gone.txt");
    fixture_remove(fixture, change, "box/in.txt");
    CHECK_OK(ws_entry(fixture->ws, S("box"), 100, &fixture->arena, &path, &entry, &err), err);
    change_put(change, path, (Stamp){0}, S("was a folder\n"));
    CHECK_OK(ws_entry(fixture->ws, S("pointer"), 100, &fixture->arena, &path, &entry, &err), err);
    change_put_link(change, path, entry.stamp, S("gone.txt"));
    CHECK_OK(ws_entry(fixture->ws, S("fresh"), 100, &fixture->arena, &path, &entry, &err), err);
    change_put_link(change, path, entry.stamp, S("a.txt"));
    return change;
}

static void test_every_kind(void) {
    Fixture fixture;
    Err err = {0};
    plain_init(&fixture);
    Str before = fixture_snapshot(&fixture);
    for (int round = 0; round < 2; round++) {
        CHECK_OK(change_commit(every_kind(&fixture), NULL, &err), err);
        CHECK_STR(fixture_text(&fixture, "box"), S("was a folder\n"));
        CHECK_STR(fixture_text(&fixture, "sub/new.txt"), S("new\n"));
        struct stat st;
        CHECK(stat(fixture_path(&fixture, "sub/new.txt"), &st) == 0 && st.st_nlink == 1);
        CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
        CHECK_STR(fixture_snapshot(&fixture), before);
    }
    fixture_close(&fixture);
}

/* The change is refused, all of it but their text is as before, and that is where they put it. */
static void refuse_after_save(const char *name) {
    Fixture fixture;
    Err err = {0};
    plain_init(&fixture);
    Change *change = every_kind(&fixture);
    plain.name = name;
    plain.text = "theirs\n";
    CHECK(!change_commit(change, NULL, &err));
    CHECK_MSG(err.code == ERR_CONFLICT && strstr(err.text, name), "%s", err.text);
    CHECK(!plain.name);
    CHECK_STR(fixture_text(&fixture, name), S("theirs\n"));
    CHECK_STR(fixture_text(&fixture, "a.txt"), S("old a\n"));
    CHECK_STR(fixture_text(&fixture, "box/in.txt"), S("in the box\n"));
    fixture_close(&fixture);
}

static void test_made_by_others_first(void) {
    refuse_after_save("fresh");
}

static void test_saved_before_removal(void) {
    refuse_after_save("gone.txt");
}

static void test_open_for_writing(void) {
    Fixture fixture;
    Err err = {0};
    plain_init(&fixture);
    Str before = fixture_snapshot(&fixture);
    int fd = open(fixture_path(&fixture, "gone.txt"), O_WRONLY);
    CHECK(fd >= 0);
    CHECK(!change_commit(every_kind(&fixture), NULL, &err));
    CHECK_MSG(err.code == ERR_CONFLICT && strstr(err.text, "open for writing"), "%s", err.text);
    CHECK_STR(fixture_snapshot(&fixture), before);
    close(fd);
    fixture_close(&fixture);
}

static const TestCase TESTS[] = {
    {"every_kind", test_every_kind},
    {"made_by_others_first", test_made_by_others_first},
    {"saved_before_removal", test_saved_before_removal},
    {"open_for_writing", test_open_for_writing},
};
TEST_SUITE(WORKSPACE_PLAINLY_SUITE, "plainly", TESTS);
