/* Listing, ignore rules, search and git facts. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <git2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/unit/workspace_fixture.h"
#include "workspace/ignore.h"

/* ---- ignore rules ---- */

typedef struct GlobCase {
    const char *pattern, *text;
    bool matches;
} GlobCase;

static const GlobCase GLOBS[] = {
    {"*.o", "a.o", true},
    {"*.o", ".o", true},
    {"*.o", "a.oo", false},
    {"a*b*c", "aXXbYYc", true},
    {"a*b*c", "aXXbYY", false},
    {"a?c", "abc", true},
    {"a?c", "a/c", false},
    {"a*c", "a/c", false},
    {"a/*/c", "a/b/c", true},
    {"a/*/c", "a/b/b/c", false},
    {"a/**/c", "a/c", true},
    {"a/**/c", "a/b/c", true},
    {"a/**/c", "a/b/b/c", true},
    {"a/**/c", "ab/c", false},
    {"**/c", "c", true},
    {"**/c", "a/b/c", true},
    {"**/c", "a/bc", false},
    {"a/**", "a/b/c", true},
    {"a/**", "a", false},
    {"**", "a/b", true},
    {"a**b", "aXb", true},
    {"a**b", "a/b", false},
    {"**/a*/**/b", "x/y/ab/z/z/b", true},
    {"**/a*/**/b", "x/y/b/z/z/b", false},
    {"[abc]x", "bx", true},
    {"[!abc]x", "bx", false},
    {"[^abc]x", "dx", true},
    {"[a-c]x", "cx", true},
    {"[a-c]x", "dx", false},
    {"[]x]", "]", true},
    {"[[:digit:]]", "7", true},
    {"[[:alpha:][:digit:]]", "_", false},
    {"[!a]b", "/b", false},
    {"[a", "[a", false},
    {"\\*x", "*x", true},
    {"\\*x", "ax", false},
    {"", "", true},
    {"*", "", true},
    {"?", "", false},
};

static void test_globs(void) {
    for (size_t i = 0; i < sizeof GLOBS / sizeof *GLOBS; i++)
        CHECK_MSG(ignore_glob(str_of(GLOBS[i].pattern), str_of(GLOBS[i].text)) == GLOBS[i].matches,
                  "%s on %s", GLOBS[i].pattern, GLOBS[i].text);
    static char stars[2001], text[20001];
    memset(stars, '*', sizeof stars - 1);
    for (size_t i = 0; i + 1 < sizeof stars; i += 2)
        stars[i] = 'a';
    memset(text, 'a', sizeof text - 1);
    stars[sizeof stars - 2] = 'b';
    CHECK(!ignore_glob(str_of(stars), str_of(text))); /* quadratic at worst: it ends */
}

static void test_rules(void) {
    Arena arena = {0};
    IgnoreFile rules;
    ignore_parse(S("\xEF\xBB\xBF# comment\n\n*.o\r\n/top\nsub/deep\nfolder/\n!keep.o\n\\#odd\n\\!odd\ntrail  "
                   "\nheld\\ \n"
                   "x/\n!x/y\n"),
                 S(""), &arena, &rules);
    static const struct {
        const char *path;
        bool is_dir;
        IgnoreVerdict verdict;
    } WANTED[] = {
        {"a.o", false, IGNORE_YES},          {"s/t/a.o", false, IGNORE_YES},
        {"keep.o", false, IGNORE_NO},        {"s/keep.o", false, IGNORE_NO},
        {"top", false, IGNORE_YES},          {"s/top", false, IGNORE_SILENT},
        {"sub/deep", true, IGNORE_YES},      {"s/sub/deep", true, IGNORE_SILENT},
        {"folder", true, IGNORE_YES},        {"folder", false, IGNORE_SILENT},
        {"s/folder", true, IGNORE_YES},      {"#odd", false, IGNORE_YES},
        {"!odd", false, IGNORE_YES},         {"trail", false, IGNORE_YES},
        {"held ", false, IGNORE_YES},        {"held", false, IGNORE_SILENT},
        {"# comment", false, IGNORE_SILENT}, {"x/y", false, IGNORE_NO},
    };
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++)
        CHECK_MSG(ignore_match(&rules, str_of(WANTED[i].path), WANTED[i].is_dir) == WANTED[i].verdict, "%s",
                  WANTED[i].path);
    ignore_parse(S("/only\ninner/x\n"), S("base"), &arena, &rules);
    CHECK(ignore_match(&rules, S("base/only"), false) == IGNORE_YES);
    CHECK(ignore_match(&rules, S("base/in/only"), false) == IGNORE_SILENT);
    CHECK(ignore_match(&rules, S("base/inner/x"), false) == IGNORE_YES);
    arena_free(&arena);
}

static Str random_path(Arena *arena) {
    static const char *const NAMES[] = {"a", "b", "ab", "ba", "aab", "c"};
    Str path = S("");
    for (size_t i = 1 + test_random() % 3; i > 0; i--)
        path = str_printf(arena, "%.*s%s%s", STR_ARG(path), path.len ? "/" : "",
                          NAMES[test_random() % (sizeof NAMES / sizeof *NAMES)]);
    return path;
}

static Str random_rules(Arena *arena) {
    static const char *const PARTS[] = {"a",  "b",    "ab", "*", "?", "**",  "a*",
                                        "*b", "[ab]", "/",  "/", "!", "\\a", "[!a]"};
    Str rules = S("");
    for (int line = 0; line < 4; line++) {
        for (size_t i = 1 + test_random() % 4; i > 0; i--)
            rules = str_printf(arena, "%.*s%s", STR_ARG(rules),
                               PARTS[test_random() % (sizeof PARTS / sizeof *PARTS)]);
        rules = str_concat(arena, rules, S("\n"));
    }
    return rules;
}

static bool is_ignored_by(const IgnoreFile *file, Str path) {
    for (size_t end = str_find_char(path, '/', 0);; end = str_find_char(path, '/', end + 1)) {
        if (ignore_match(file, str_slice(path, 0, end), end != STR_NONE) == IGNORE_YES)
            return true;
        if (end == STR_NONE)
            return false;
    }
}

/* Random rules and paths, judged by git itself. */
static void test_rules_like_git(void) {
    if (!has_program("git"))
        SKIP("git is not installed");
    Fixture fixture;
    fixture_init(&fixture);
    fixture_git_init(&fixture);
    setenv("XDG_CONFIG_HOME", fixture.root.ptr, 1);
    const char *command =
        str_printf(&fixture.arena, "cd %s && git check-ignore --no-index --stdin < ../paths",
                   fixture.root.ptr)
            .ptr;
    const char *const argv[] = {"sh", "-c", command, NULL};
    int ignored = 0;
    for (int round = 0; round < 100; round++) {
        Str paths[40], list = S("\n"), rules = random_rules(&fixture.arena);
        for (size_t i = 0; i < 40; i++) {
            paths[i] = random_path(&fixture.arena);
            list = str_printf(&fixture.arena, "%.*s%.*s\n", STR_ARG(list), STR_ARG(paths[i]));
        }
        fixture_write(&fixture, ".gitignore", rules);
        fixture_write(&fixture, "../paths", str_from(list, 1));
        CHECK(run_program(argv, fixture_path(&fixture, "../said")) <= 1);
        Str said = str_concat(&fixture.arena, S("\n"), fixture_text(&fixture, "../said"));
        IgnoreFile file;
        ignore_parse(rules, S(""), &fixture.arena, &file);
        for (size_t i = 0; i < 40; i++) {
            bool theirs = str_contains(said, str_printf(&fixture.arena, "\n%.*s\n", STR_ARG(paths[i])));
            CHECK_MSG(is_ignored_by(&file, paths[i]) == theirs, "%.*s: git says %d of the rules\n%.*s",
                      STR_ARG(paths[i]), theirs, STR_ARG(rules));
            ignored += theirs;
        }
    }
    CHECK(ignored > 300);
    fixture_close(&fixture);
}

/* ---- listing ---- */

static Str joined(Fixture *fixture, const FileList *list) {
    Str out = S("");
    for (size_t i = 0; i < list->count; i++)
        out = str_printf(&fixture->arena, "%.*s%.*s\n", STR_ARG(out), STR_ARG(list->paths[i]));
    return out;
}

static void make_tree(Fixture *fixture) {
    static const char *const FILES[] = {
        "a.c",  "b.o",   "sub/c.c", "sub/d.log",    "sub/keep.log",   "build/x.c",    ".hidden/e.c",
        ".env", "a/z.c", "a.b/y.c", "deep/1/2/3.c", "deep/1/2/4.tmp", "named.ignored"};
    fixture_init(fixture);
    setenv("XDG_CONFIG_HOME", fixture->root.ptr, 1); /* no rules of the user who runs the tests */
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        fixture_write(fixture, FILES[i], S("needle here\n"));
    fixture_write(fixture, ".gitignore", S("*.o\nbuild/\n*.log\n"));
    fixture_write(fixture, "sub/.gitignore", S("!keep.log\n"));
    fixture_write(fixture, "deep/1/.gitignore", S("/2/*.tmp\n"));
    fixture_write(fixture, ".ignore", S("*.ignored\n"));
    fixture_write(fixture, ".mux/txn/x", S("needle\n"));
    CHECK(symlink("a.c", fixture_path(fixture, "link.c")) == 0);
    CHECK(mkfifo(fixture_path(fixture, "fifo"), 0600) == 0);
}

static void git_add(Fixture *fixture, const char *name) {
    git_repository *repository = NULL;
    git_index *index = NULL;
    git_libgit2_init();
    CHECK(git_repository_open(&repository, fixture->root.ptr) == 0 &&
          git_repository_index(&index, repository) == 0);
    CHECK(git_index_add_bypath(index, name) == 0 && git_index_write(index) == 0);
    git_index_free(index);
    git_repository_free(repository);
    git_libgit2_shutdown();
}

static void test_list(void) {
    Fixture fixture;
    FileList list;
    Err err = {0};
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    CHECK_OK(ws_list(fixture.ws, &fixture.arena, &list, &err), err);
    CHECK_STR(joined(&fixture, &list),
              S(".env\n.gitignore\n.hidden/e.c\n.ignore\na.b/y.c\na.c\na/z.c\ndeep/1/.gitignore\n"
                "deep/1/2/3.c\nsub/.gitignore\nsub/c.c\nsub/keep.log\n"));

    fixture_git_init(&fixture);
    fixture_write(&fixture, ".git/info/exclude", S("/.env\n"));
    fixture_write(&fixture, "nested/.git/HEAD", S("ref: refs/heads/x\n"));
    fixture_write(&fixture, "nested/n.c", S("needle\n"));
    git_add(&fixture, "b.o"); /* tracked though ignored */
    git_add(&fixture, "a.c");
    git_add(&fixture, "sub/c.c");
    unlink(fixture_path(&fixture, "sub/c.c"));
    fixture_open(&fixture, file_io_disk());
    CHECK_OK(ws_list(fixture.ws, &fixture.arena, &list, &err), err);
    CHECK_STR(joined(&fixture, &list),
              S(".gitignore\n.hidden/e.c\n.ignore\na.b/y.c\na.c\na/z.c\nb.o\ndeep/1/.gitignore\n"
                "deep/1/2/3.c\nnamed.ignored\nsub/.gitignore\nsub/keep.log\n"));
    static const struct {
        const char *name;
        bool is_ignored;
    } WANTED[] = {{"a.c", false},          {"b.o", true},       {"build/x.c", true},
                  {"sub/keep.log", false}, {"sub/d.log", true}, {"deep/1/2/4.tmp", true},
                  {"deep/1/2/3.c", false}, {".env", true},      {"build", true},
                  {"new/b.o", true},       {"new/b.c", false}};
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++)
        CHECK_MSG(ws_is_ignored(fixture.ws, fixture_checked(&fixture, WANTED[i].name)) ==
                      WANTED[i].is_ignored,
                  "%s", WANTED[i].name);
    fixture_close(&fixture);
}

static void test_list_below_root(void) {
    Fixture fixture;
    FileList list;
    Err err = {0};
    make_tree(&fixture);
    fixture_git_init(&fixture);
    git_add(&fixture, "deep/1/2/3.c");
    WorkspaceConfig config = {.root = str_of(fixture_path(&fixture, "deep/1"))};
    fixture.ws = ws_open(&config, file_io_disk(), &err);
    CHECK_OK(fixture.ws != NULL, err);
    fixture_write(&fixture, "deep/1/2/5.o", S("ignored by the rules of the top\n"));
    CHECK_OK(ws_list(fixture.ws, &fixture.arena, &list, &err), err);
    CHECK_STR(joined(&fixture, &list), S(".gitignore\n2/3.c\n"));
    fixture_close(&fixture);
}

static void test_git_facts(void) {
    Fixture fixture;
    GitFacts facts;
    Err err = {0};
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    CHECK_OK(ws_git(fixture.ws, &fixture.arena, &facts, &err), err);
    CHECK(!facts.has_repository);
    fixture_git_init(&fixture);
    fixture_open(&fixture, file_io_disk());
    CHECK_OK(ws_git(fixture.ws, &fixture.arena, &facts, &err), err);
    CHECK(facts.has_repository && !facts.branch.len && !facts.is_dirty);
    CHECK_STR(facts.workdir, fixture.root);
    git_add(&fixture, "a.c");
    fixture_open(&fixture, file_io_disk());
    CHECK_OK(ws_git(fixture.ws, &fixture.arena, &facts, &err), err);
    CHECK(facts.is_dirty);
    fixture_close(&fixture);
}

/* A linked worktree keeps its state in its own git folder. */
static void test_worktree(void) {
    Fixture fixture;
    Err err = {0};
    make_tree(&fixture);
    fixture_write(&fixture, "../main/.git/worktrees/tree/HEAD", S("ref: refs/heads/x\n"));
    fixture_write(&fixture, ".git", S("gitdir: ../main/.git/worktrees/tree\n"));
    fixture_open(&fixture, file_io_disk());
    Change *change = change_begin(fixture.ws, &err);
    fixture_put(&fixture, change, "a.c", S("changed\n"));
    CHECK_OK(change_commit(change, NULL, &err), err);
    CHECK_INT(access(fixture_path(&fixture, "../main/.git/worktrees/tree/mux/txn"), F_OK), 0);
    CHECK_OK(ws_undo(fixture.ws, S(""), NULL, &err), err);
    CHECK_STR(fixture_text(&fixture, "a.c"), S("needle here\n"));
    fixture_close(&fixture);
}

/* ---- search ---- */

static Str found(Fixture *fixture, Query query) {
    Hits hits;
    Err err = {0};
    CHECK_OK(ws_find(fixture->ws, &query, &fixture->arena, &hits, &err), err);
    Buf out = {0};
    for (size_t i = 0; i < hits.count; i++) {
        const Hit *hit = &hits.items[i];
        buf_printf(&out, "%.*s:%zu:%zu+%zu:%.*s\n", STR_ARG(hit->path), hit->line, hit->column, hit->length,
                   STR_ARG(hit->text));
    }
    Str text = buf_copy(&out, &fixture->arena);
    buf_free(&out);
    return text;
}

static void test_find_order(void) {
    Fixture fixture;
    make_tree(&fixture);
    fixture_open(&fixture, file_io_disk());
    CHECK_STR(
        found(&fixture, (Query){.pattern = S("needle"), .is_fixed = true}),
        S("a/z.c:1:0+6:needle here\na.b/y.c:1:0+6:needle here\na.c:1:0+6:needle here\n"
          "deep/1/2/3.c:1:0+6:needle here\nsub/c.c:1:0+6:needle here\nsub/keep.log:1:0+6:needle here\n"));
    CHECK(str_contains(found(&fixture, (Query){.pattern = S("needle"), .include_hidden = true}),
                       S(".hidden/e.c:1")));
    fixture_close(&fixture);
}

typedef struct FindCase {
    const char *pattern, *flags; /* F fixed, i ignore case, w whole words */
    const char *text, *hits;
} FindCase;

static const FindCase FINDS[] = {
    {"a.c", "F", "abc\na.c\n", "2:0+3:a.c\n"},
    {"a.c", "", "abc\na.c", "1:0+3:abc\n2:0+3:a.c\n"},
    {"NEEDLE", "i", "x needle\n", "1:2+6:x needle\n"},
    {"NEEDLE", "Fi", "x needle\n", "1:2+6:x needle\n"},
    {"is", "w", "this\nit is\nis_x\nis\n", "2:3+2:it is\n4:0+2:is\n"},
    {"is", "Fw", "this is\n", "1:5+2:this is\n"},
    {"\xC3\xA4", "i", "\xC3\x84 x\n", "1:0+2:\xC3\x84 x\n"},
    {"t", "Fw", "\xC3\xA9t\nt\n", "2:0+1:t\n"},
    {"^$", "", "a\n\nb\n\n", "2:0+0:\n4:0+0:\n"},
    {"$", "", "a\nb", "1:1+0:a\n2:1+0:b\n"},
    {"x*", "", "a\nxx\n", "1:0+0:a\n2:0+2:xx\n"},
    {"^b", "", "ab\nba\n", "2:0+1:ba\n"},
    {"a\\s+b", "", "a\nb\na  b\n", "3:0+4:a  b\n"},
    {"[^x]b", "", "a\nb\nab\n", "3:0+2:ab\n"},
    {"\\n", "", "a\nb\n", ""},
    {"colou?r", "", "color\ncolour\ncolr\n", "1:0+5:color\n2:0+6:colour\n"},
    {"(foo|bar)baz", "", "foobaz\nbarbaz\nbaz\n", "1:0+6:foobaz\n2:0+6:barbaz\n"},
    {"foo|bar", "", "bar\nfoo\n", "1:0+3:bar\n2:0+3:foo\n"},
    {"abc+d", "", "abccd\nabd\n", "1:0+5:abccd\n"},
    {"abcd{0}x", "", "abcx\n", "1:0+4:abcx\n"},
    {"abc\\.d", "", "abc.d\nabcxd\n", "1:0+5:abc.d\n"},
    {"(\\w)\\1", "", "abc\nabb\n", "2:1+2:abb\n"},
    {"(?<=a)b", "", "ab\nb\n", "1:1+1:ab\n"},
    {"(?i)abc", "", "ABC\n", "1:0+3:ABC\n"},
    {"\\Qa.b\\E", "", "a.b\naxb\n", "1:0+3:a.b\n"},
    {"one", "", "one one one\n", "1:0+3:one one one\n"},
    {"one\r", "F", "one\r\ntwo\r\n", "1:0+4:one\r\n"},
    {"caf\xFF", "F", "caf\xFF\n", "1:0+4:caf\xFF\n"},
    {"caf.", "", "\xFF caf\xC3\xA9\n", "1:2+5:\xFF caf\xC3\xA9\n"},
    {"^bom", "",
     "\xEF\xBB\xBF"
     "bom\n",
     "1:0+3:bom\n"},
    {"[]a]]", "", "]]\n", "1:0+2:]]\n"},
    {"-?>x+y", "", "->xxy\n", "1:0+5:->xxy\n"},
    {"\xC3\xA4\xC3\xB6?bcd", "",
     "\xC3\xA4"
     "bcd\n",
     "1:0+5:\xC3\xA4"
     "bcd\n"},
};

static void test_find_cases(void) {
    Fixture fixture;
    fixture_init(&fixture);
    fixture_open(&fixture, file_io_disk());
    for (size_t i = 0; i < sizeof FINDS / sizeof *FINDS; i++) {
        const FindCase *c = &FINDS[i];
        Query query = {.pattern = str_of(c->pattern),
                       .is_fixed = strchr(c->flags, 'F') != NULL,
                       .ignore_case = strchr(c->flags, 'i') != NULL,
                       .whole_word = strchr(c->flags, 'w') != NULL};
        fixture_write(&fixture, "f", str_of(c->text));
        Str wanted = S(""), rest = str_of(c->hits);
        for (size_t end; (end = str_find_char(rest, '\n', 0)) != STR_NONE; rest = str_from(rest, end + 1))
            wanted = str_printf(&fixture.arena, "%.*sf:%.*s\n", STR_ARG(wanted), (int)end, rest.ptr);
        Str got = found(&fixture, query);
        CHECK_MSG(str_eq(got, wanted), "pattern %s found\n%.*s", c->pattern, STR_ARG(got));
    }
    fixture_close(&fixture);
}

static void *cancel_soon(void *flag) {
    usleep(20000);
    atomic_store((atomic_bool *)flag, true);
    return NULL;
}

/* One file in which a pattern takes minutes, a little at each place: whenever the cancel comes, it is heard.
 */
static void test_find_hears_a_cancel_inside_a_file(void) {
    Fixture fixture;
    Hits hits;
    Err err = {0};
    Buf text = {0};
    pthread_t thread;
    atomic_bool cancelled = false;
    fixture_init(&fixture);
    for (int i = 0; i < 60000; i++)
        buf_cstr(&text, "aaaaaaaaaaaaaaa\n");
    fixture_write(&fixture, "slow", buf_text(&text));
    fixture_open(&fixture, file_io_disk());
    Query query = {.pattern = S("(a+)+[bc]"), .cancelled = &cancelled};
    CHECK(pthread_create(&thread, NULL, cancel_soon, &cancelled) == 0);
    CHECK(!ws_find(fixture.ws, &query, &fixture.arena, &hits, &err));
    CHECK_MSG(err.code == ERR_CANCELLED, "%s", err.text);
    pthread_join(thread, NULL);
    buf_free(&text);
    fixture_close(&fixture);
}

/* A match is looked for in pieces of the text: it begins and ends where it does without them. */
static void test_find_across_its_pieces(void) {
    Fixture fixture;
    Hits hits;
    Err err = {0};
    Buf text = {0};
    fixture_init(&fixture);
    while (text.len < 40000) {
        buf_repeat(&text, 'x', 4090);
        buf_cstr(&text, "\xc3\xa4\xc3\xb6\xc3\xbc 7\n");
    }
    fixture_write(&fixture, "a", buf_text(&text));
    fixture_open(&fixture, file_io_disk());
    Query query = {.pattern = S("[\xc3\xa4-\xc3\xb6]+\xc3\xbc? [0-9]$")};
    CHECK_OK(ws_find(fixture.ws, &query, &fixture.arena, &hits, &err), err);
    CHECK_INT(hits.count, 10);
    for (size_t i = 0; i < hits.count; i++)
        CHECK(hits.items[i].line == i + 1 && hits.items[i].column == 4090 && hits.items[i].length == 8);
    query.pattern = S("x{4090}[\xc3\xa4-\xc3\xbc]");
    CHECK_OK(ws_find(fixture.ws, &query, &fixture.arena, &hits, &err), err);
    CHECK_INT(hits.count, 10);
    buf_free(&text);
    fixture_close(&fixture);
}

static void test_find_limits(void) {
    Fixture fixture;
    Hits hits;
    Err err = {0};
    fixture_init(&fixture);
    for (int i = 0; i < 300; i++)
        fixture_write(&fixture, str_printf(&fixture.arena, "f%03d", i).ptr, S("needle\nneedle\n"));
    fixture_write(&fixture, "binary", (Str){"needle\n\0", 8});
    fixture_open(&fixture, file_io_disk());
    Query query = {.pattern = S("needle"), .max_hits = 7};
    CHECK_OK(ws_find(fixture.ws, &query, &fixture.arena, &hits, &err), err);
    CHECK(hits.count == 7 && hits.is_truncated);
    CHECK_STR(hits.items[6].path, S("f003"));
    query.max_hits = 600;
    CHECK_OK(ws_find(fixture.ws, &query, &fixture.arena, &hits, &err), err);
    CHECK(hits.count == 600 && !hits.is_truncated && hits.files_searched == 300);

    static const char *const BAD[] = {"(", "a[", "*a", "a\\", "(?<n", "a)b(c"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        query = (Query){.pattern = str_of(BAD[i]), .whole_word = i % 2};
        CHECK_MSG(!ws_find(fixture.ws, &query, &fixture.arena, &hits, &err) && err.code == ERR_INVALID, "%s",
                  BAD[i]);
        CHECK(strstr(err.text, "offset"));
    }
    atomic_bool cancelled = true;
    query = (Query){.pattern = S("x"), .cancelled = &cancelled};
    CHECK(!ws_find(fixture.ws, &query, &fixture.arena, &hits, &err) && err.code == ERR_CANCELLED);

    char *line = arena_alloc(&fixture.arena, 5001);
    memset(line, 'a', 5000);
    line[4999] = '\n';
    fixture_write(&fixture, "long", (Str){line, 5000});
    query = (Query){.pattern = S("aaaa$")};
    CHECK_OK(ws_find(fixture.ws, &query, &fixture.arena, &hits, &err), err);
    CHECK(hits.count == 1 && hits.items[0].text.len == 4096);
    query = (Query){.pattern = S("(a+a+)+[bc]")};
    CHECK(!ws_find(fixture.ws, &query, &fixture.arena, &hits, &err) && err.code == ERR_LIMIT);
    fixture_close(&fixture);
}

static const TestCase TESTS[] = {
    {"globs", test_globs},
    {"rules", test_rules},
    {"rules_like_git", test_rules_like_git},
    {"list", test_list},
    {"list_below_root", test_list_below_root},
    {"git_facts", test_git_facts},
    {"worktree", test_worktree},
    {"order", test_find_order},
    {"cases", test_find_cases},
    {"limits", test_find_limits},
    {"find_hears_a_cancel_inside_a_file", test_find_hears_a_cancel_inside_a_file},
    {"find_across_its_pieces", test_find_across_its_pieces},
};
TEST_SUITE(WORKSPACE_FIND_SUITE, "find", TESTS);
