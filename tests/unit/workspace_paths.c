/* Nothing leads out of the tree, into version control or into our own state, however it is spelled. */
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/workspace_fixture.h"

typedef struct PathCase {
    const char *given;
    ErrCode code;         /* ERR_NONE: allowed */
    const char *relative; /* what an allowed path comes out as */
} PathCase;

/* ROOT stands for the tree's absolute path, OUT for a folder beside it. */
static const PathCase CASES[] = {
    {"a.txt", ERR_NONE, "a.txt"},
    {"./a.txt", ERR_NONE, "a.txt"},
    {"sub/b.txt", ERR_NONE, "sub/b.txt"},
    {"sub//b.txt", ERR_NONE, "sub/b.txt"},
    {"sub/./b.txt", ERR_NONE, "sub/b.txt"},
    {"sub/../a.txt", ERR_NONE, "a.txt"},
    {"sub/", ERR_NONE, "sub"},
    {".", ERR_NONE, "."},
    {"missing.txt", ERR_NONE, "missing.txt"},
    {"no/such/folder/x.c", ERR_NONE, "no/such/folder/x.c"},
    {"no/../a.txt", ERR_NONE, "a.txt"},
    {"ROOT/a.txt", ERR_NONE, "a.txt"},
    {"ROOT", ERR_NONE, "."},
    {"ROOT/sub/../../tree/a.txt", ERR_NONE, "a.txt"},
    {"file://ROOT/a.txt", ERR_NONE, "a.txt"},
    {"file://localhostROOT/a.txt", ERR_NONE, "a.txt"},
    {"file:ROOT/a.txt", ERR_NONE, "a.txt"},
    {"FILE://ROOT/a.txt", ERR_NONE, "a.txt"},
    {"file://ROOT/with%20blank.txt", ERR_NONE, "with blank.txt"},
    {"file://ROOT/sub%2Fb.txt", ERR_NONE, "sub/b.txt"},
    {"file://ROOT/a.txt#L10", ERR_NONE, "a.txt"},
    {"file://ROOT/a.txt?x=1", ERR_NONE, "a.txt"},
    {"inner", ERR_NONE, "sub"},
    {"inner/b.txt", ERR_NONE, "sub/b.txt"},
    {"pointer.txt", ERR_NONE, "a.txt"},
    {"absolute-pointer.txt", ERR_NONE, "a.txt"},
    {"dangling", ERR_NONE, "not-yet.txt"},
    {".gitignore", ERR_NONE, ".gitignore"},
    {".github/workflow.yml", ERR_NONE, ".github/workflow.yml"},
    {"git/config", ERR_NONE, "git/config"},
    {".gitx", ERR_NONE, ".gitx"},
    {"x.git", ERR_NONE, "x.git"},
    {"a:b", ERR_NONE, "a:b"},
    {"..a", ERR_NONE, "..a"},
    {"...", ERR_NONE, "..."},
    {"", ERR_INVALID, NULL},
    {"..", ERR_DENIED, NULL},
    {"../", ERR_DENIED, NULL},
    {"../tree2/x", ERR_DENIED, NULL},
    {"../tree-beside", ERR_DENIED, NULL},
    {"sub/../../secret.txt", ERR_DENIED, NULL},
    {"sub/../../../../../../../etc/passwd", ERR_DENIED, NULL},
    {"no/../../secret.txt", ERR_DENIED, NULL},
    {"no/such/../../../secret.txt", ERR_DENIED, NULL},
    {"/etc/passwd", ERR_DENIED, NULL},
    {"/", ERR_DENIED, NULL},
    {"//etc/passwd", ERR_DENIED, NULL},
    {"ROOT/../secret.txt", ERR_DENIED, NULL},
    {"ROOT2/x", ERR_DENIED, NULL},
    {"OUT/secret.txt", ERR_DENIED, NULL},
    {"outer", ERR_DENIED, NULL},
    {"outer/secret.txt", ERR_DENIED, NULL},
    {"outer/new.txt", ERR_DENIED, NULL},
    {"escape.txt", ERR_DENIED, NULL},
    {"escape-dangling", ERR_DENIED, NULL},
    {"sub/up", ERR_DENIED, NULL},
    {"sub/up/secret.txt", ERR_DENIED, NULL},
    {"chain1", ERR_DENIED, NULL},
    {"missing/../outer/secret.txt", ERR_DENIED, NULL},
    {"/proc/self/root/etc/passwd", ERR_DENIED, NULL},
    {"proc-root/etc/passwd", ERR_DENIED, NULL},
    {"loop", ERR_INVALID, NULL},
    {"loop/x", ERR_INVALID, NULL},
    {"a.txt/x", ERR_NOT_FOUND, NULL},
    {".git", ERR_DENIED, NULL},
    {".git/config", ERR_DENIED, NULL},
    {".git/hooks/pre-commit", ERR_DENIED, NULL},
    {".GIT/config", ERR_DENIED, NULL},
    {".Git/hooks/x", ERR_DENIED, NULL},
    {".git./config", ERR_DENIED, NULL},
    {".git /config", ERR_DENIED, NULL},
    {".git. . ./config", ERR_DENIED, NULL},
    {".git::$INDEX_ALLOCATION/config", ERR_DENIED, NULL},
    {"git~1/config", ERR_DENIED, NULL},
    {"GIT~1/config", ERR_DENIED, NULL},
    {".g\xE2\x80\x8Cit/config", ERR_DENIED, NULL},
    {"\xEF\xBB\xBF.git/config", ERR_DENIED, NULL},
    {"sub/.git/config", ERR_DENIED, NULL},
    {"sub/../.git/config", ERR_DENIED, NULL},
    {"to-git", ERR_DENIED, NULL},
    {"to-git/config", ERR_DENIED, NULL},
    {".mux", ERR_DENIED, NULL},
    {".mux/lock", ERR_DENIED, NULL},
    {".MUX/txn", ERR_DENIED, NULL},
    {"ROOT/.git/config", ERR_DENIED, NULL},
    {"file://ROOT/.git/config", ERR_DENIED, NULL},
    {"file://ROOT/%2Egit/config", ERR_DENIED, NULL},
    {"file://ROOT/%2e%2e/secret.txt", ERR_DENIED, NULL},
    {"file://ROOT%2F..%2Fsecret.txt", ERR_DENIED, NULL},
    {"file:///etc/passwd", ERR_DENIED, NULL},
    {"file://elsewhere/etc/passwd", ERR_DENIED, NULL},
    {"file://ROOT/a%00.txt", ERR_INVALID, NULL},
    {"file://ROOT/a%2", ERR_INVALID, NULL},
    {"file://ROOT/a%zz", ERR_INVALID, NULL},
    {"file://", ERR_INVALID, NULL},
    {"file:a.txt", ERR_INVALID, NULL},
    {"http://example.org/a.txt", ERR_INVALID, NULL},
    {"untitled://x", ERR_INVALID, NULL},
};

static void replace_word(Arena *arena, Str *s, const char *word, Str with) {
    size_t at = str_find(*s, str_of(word), 0);
    if (at != STR_NONE)
        *s = str_printf(arena, "%.*s%.*s%.*s", (int)at, s->ptr, STR_ARG(with),
                        STR_ARG(str_from(*s, at + strlen(word))));
}

static void make_tree(Fixture *fixture) {
    fixture_init(fixture);
    fixture_git_init(fixture);
    fixture_write(fixture, "a.txt", S("a\n"));
    fixture_write(fixture, "sub/b.txt", S("b\n"));
    fixture_write(fixture, "../secret.txt", S("secret\n"));
    fixture_write(fixture, "../tree2/x", S("x\n"));
    static const char *const LINKS[][2] = {
        {"sub", "inner"},
        {"a.txt", "pointer.txt"},
        {"..", "outer"},
        {"../secret.txt", "escape.txt"},
        {"../none", "escape-dangling"},
        {"../..", "sub/up"},
        {"chain2", "chain1"},
        {"sub/up/secret.txt", "chain2"},
        {"loop", "loop"},
        {".git", "to-git"},
        {"not-yet.txt", "dangling"},
        {"/proc/self/root", "proc-root"},
    };
    for (size_t i = 0; i < sizeof LINKS / sizeof *LINKS; i++)
        CHECK(symlink(LINKS[i][0], fixture_path(fixture, LINKS[i][1])) == 0);
    CHECK(symlink(fixture_path(fixture, "a.txt"), fixture_path(fixture, "absolute-pointer.txt")) == 0);
    fixture_open(fixture, file_io_disk());
}

static void test_cases(void) {
    Fixture fixture;
    make_tree(&fixture);
    Str out = str_slice(fixture.root, 0, fixture.root.len - 5);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Str given = str_of(CASES[i].given);
        Path path = {0};
        Err err = {0};
        replace_word(&fixture.arena, &given, "ROOT", fixture.root);
        replace_word(&fixture.arena, &given, "OUT", out);
        bool ok = ws_path(fixture.ws, given, &fixture.arena, &path, &err);
        CHECK_MSG(ok == (CASES[i].code == ERR_NONE) && (ok || err.code == CASES[i].code), "%s: %s %s",
                  CASES[i].given, ok ? "allowed" : err_name(err.code), err.text);
        if (!ok)
            continue;
        CHECK_STR(path.relative, str_of(CASES[i].relative));
        CHECK(str_eq(path.absolute, fixture.root) ||
              str_starts(path.absolute, str_concat(&fixture.arena, fixture.root, S("/"))));
    }
    fixture_close(&fixture);
}

static void test_odd_lengths(void) {
    Fixture fixture;
    Path path;
    Err err = {0};
    make_tree(&fixture);
    CHECK(!ws_path(fixture.ws, (Str){"a\0b", 3}, &fixture.arena, &path, &err) && err.code == ERR_INVALID);
    static char name[PATH_MAX + 10];
    memset(name, 'x', sizeof name);
    CHECK(!ws_path(fixture.ws, (Str){name, 300}, &fixture.arena, &path, &err) && err.code == ERR_INVALID);
    CHECK(!ws_path(fixture.ws, (Str){name, sizeof name}, &fixture.arena, &path, &err) &&
          err.code == ERR_INVALID);
    for (size_t i = 0; i < sizeof name; i += 2)
        name[i] = '/';
    CHECK(!ws_path(fixture.ws, (Str){name + 1, PATH_MAX - 20}, &fixture.arena, &path, &err) &&
          err.code == ERR_INVALID);
    fixture_close(&fixture);
}

static void test_roots(void) {
    Fixture fixture;
    Err err = {0};
    Path path;
    FileText text;
    make_tree(&fixture);
    ws_close(fixture.ws);
    Str extra = str_of(fixture_path(&fixture, "../tree2"));
    WorkspaceConfig config = {.root = fixture.root, .extra_roots = &extra, .extra_root_count = 1};
    fixture.ws = ws_open(&config, file_io_disk(), &err);
    CHECK_OK(fixture.ws != NULL, err);
    CHECK_STR(ws_root(fixture.ws), fixture.root);
    CHECK_OK(ws_path(fixture.ws, S("../tree2/x"), &fixture.arena, &path, &err), err);
    CHECK_STR(path.relative, path.absolute);
    CHECK_OK(ws_read(fixture.ws, path, &fixture.arena, &text, &err), err);
    CHECK_STR(text.text, S("x\n"));
    CHECK(!ws_path(fixture.ws, S("../tree2/.git/x"), &fixture.arena, &path, &err) && err.code == ERR_DENIED);

    static const struct {
        const char *root;
        ErrCode code;
    } BAD[] = {{"relative/folder", ERR_INVALID},
               {"", ERR_INVALID},
               {"/no/such/folder", ERR_NOT_FOUND},
               {"a.txt", ERR_INVALID}};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        bool is_file = strcmp(BAD[i].root, "a.txt") == 0;
        config = (WorkspaceConfig){.root = str_of(is_file ? fixture_path(&fixture, "a.txt") : BAD[i].root)};
        Workspace *ws = ws_open(&config, file_io_disk(), &err);
        CHECK_MSG(!ws && err.code == BAD[i].code, "root %s: %s %s", BAD[i].root, err_name(err.code),
                  err.text);
    }
    fixture_close(&fixture);
}

/* A folder swapped for a symlink after ws_path: neither reading nor writing follows it. */
static void test_swapped_folder(void) {
    Fixture fixture;
    Err err = {0};
    FileText text;
    make_tree(&fixture);
    fixture_write(&fixture, "../tree2/b.txt", S("outside\n"));
    Path path = fixture_checked(&fixture, "sub/b.txt");
    CHECK_OK(ws_read(fixture.ws, path, &fixture.arena, &text, &err), err);
    CHECK(rename(fixture_path(&fixture, "sub"), fixture_path(&fixture, "moved")) == 0);
    CHECK(symlink("../tree2", fixture_path(&fixture, "sub")) == 0);
    FileText seen;
    CHECK(!ws_read(fixture.ws, path, &fixture.arena, &seen, &err));
    Change *change = change_begin(fixture.ws, &err);
    change_put(change, path, stamp_of(S("outside\n")), S("written\n"));
    CHECK(!change_commit(change, NULL, &err));
    CHECK_STR(fixture_text(&fixture, "../tree2/b.txt"), S("outside\n"));
    change = change_begin(fixture.ws, &err);
    path.absolute = str_of(fixture_path(&fixture, "sub/new.txt"));
    change_put(change, path, (Stamp){0}, S("written\n"));
    CHECK(!change_commit(change, NULL, &err));
    CHECK(!fixture_text(&fixture, "../tree2/new.txt").ptr);
    fixture_close(&fixture);
}

/* A Path that did not come from ws_path is refused as well. */
static void test_forged_paths(void) {
    static const char *const FORGED[] = {
        "/etc/passwd", "ROOT/../x", "ROOT/.git/config", "ROOT/.mux/x", "ROOT", "x", ""};
    Fixture fixture;
    make_tree(&fixture);
    for (size_t i = 0; i < sizeof FORGED / sizeof *FORGED; i++) {
        Err err = {0};
        Str forged = str_of(FORGED[i]);
        replace_word(&fixture.arena, &forged, "ROOT", fixture.root);
        Change *change = change_begin(fixture.ws, &err);
        change_put(change, (Path){forged, forged}, (Stamp){0}, S("x"));
        CHECK_MSG(!change_commit(change, NULL, &err) && err.code == ERR_DENIED, "%s: %s", FORGED[i],
                  err.text);
    }
    fixture_close(&fixture);
}

static void test_reading(void) {
    Fixture fixture;
    Err err = {0};
    FileText text;
    make_tree(&fixture);
    fixture_write(&fixture, "crlf.txt", S("one\r\ntwo\r\nthree\n"));
    fixture_write(&fixture, "binary", (Str){"a\0b", 3});
    fixture_write(&fixture, "empty", S(""));
    CHECK(mkfifo(fixture_path(&fixture, "fifo"), 0600) == 0);
    char *large = arena_alloc(&fixture.arena, FILE_MAX_BYTES + 1);
    memset(large, 'x', FILE_MAX_BYTES + 1);
    fixture_write(&fixture, "largest", (Str){large, FILE_MAX_BYTES});
    fixture_write(&fixture, "larger", (Str){large, FILE_MAX_BYTES + 1});
    static const struct {
        const char *name;
        ErrCode code;
    } READS[] = {{"crlf.txt", ERR_NONE},    {"empty", ERR_NONE},         {"largest", ERR_NONE},
                 {"larger", ERR_LIMIT},     {"binary", ERR_UNSUPPORTED}, {"sub", ERR_UNSUPPORTED},
                 {"fifo", ERR_UNSUPPORTED}, {"nothing", ERR_NOT_FOUND},  {"no/where", ERR_NOT_FOUND}};
    for (size_t i = 0; i < sizeof READS / sizeof *READS; i++) {
        err = (Err){0};
        bool ok = ws_read(fixture.ws, fixture_checked(&fixture, READS[i].name), &fixture.arena, &text, &err);
        CHECK_MSG(ok == (READS[i].code == ERR_NONE) && (ok || err.code == READS[i].code), "%s: %s",
                  READS[i].name, err.text);
    }
    CHECK_OK(ws_read(fixture.ws, fixture_checked(&fixture, "crlf.txt"), &fixture.arena, &text, &err), err);
    CHECK(text.has_crlf && text.stamp.exists);
    /* SHA-256 of "abc", FIPS 180-4 example */
    static const unsigned char ABC[4] = {0xba, 0x78, 0x16, 0xbf};
    CHECK(memcmp(stamp_of(S("abc")).sha256, ABC, sizeof ABC) == 0);
    fixture_close(&fixture);
}

static const TestCase TESTS[] = {
    {"cases", test_cases},     {"odd_lengths", test_odd_lengths},       {"roots", test_roots},
    {"reading", test_reading}, {"swapped_folder", test_swapped_folder}, {"forged_paths", test_forged_paths},
};
TEST_SUITE(WORKSPACE_PATHS_SUITE, "paths", TESTS);
