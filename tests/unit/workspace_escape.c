/* No spelling of a name, through no door, reaches a file outside of the roots, version control or our own
 * state.
 *
 * A table of names goes through every way a change can be made; patches go through `mux-acp apply`. After
 * each case the folders around the tree, the repository's own folder and our state's neighbours must be as
 * before. Beside that, folders are swapped for links while changes run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/powerloss/disk.h"
#include "tests/unit/workspace_scenarios.h"

typedef struct EscapeRun {
    Fixture fixture;
    const char *prepared;   /* a copy of the tree */
    const char *watched[3]; /* outside, the second tree, .git */
    uint64_t key;           /* of what is watched */
    const char *extra;      /* another root */
} EscapeRun;

/* ROOT stands for the tree, OUT for the folder beside it. */
typedef struct NameCase {
    const char *name;
    bool is_fine; /* a name inside like any other: it must work */
} NameCase;

static const NameCase NAMES[] = {
    {"plain.txt", true},
    {"sub/b.txt", true},
    {"new/folder/x.txt", true},
    {"...", true},
    {"..a/b", true},
    {"a..", true},
    {"a.txt.", true},
    {"a.txt ", true},
    {" leading", true},
    {"-p1", true},
    {"a:b", true},
    {"git/config", true},
    {"x.git/config", true},
    {".gitx/y", true},
    {"dot.mux/x", true},
    {"back\\slash", true},
    {"C:\\windows", true},
    {"%2e%2e/x", true},
    {"\xC3\xA9t\xC3\xA9", true},
    {"\xFF\xFE", true},
    {"..", false},
    {".", false},
    {"", false},
    {"/", false},
    {"../outside/secret.txt", false},
    {"../outside/new.txt", false},
    {"../tree2/b.txt", false},
    {"../tree-beside", false},
    {"./../outside/secret.txt", false},
    {"sub/../../outside/secret.txt", false},
    {"sub/../../outside/new.txt", false},
    {"missing/../../outside/new.txt", false},
    {"missing/../outer/secret.txt", false},
    {"sub//..//..//outside/new.txt", false},
    {"sub/./../../outside/new.txt", false},
    {"../tree/../outside/new.txt", false},
    {"../../../../../../../../../../OUT/secret.txt", false},
    {"OUT/secret.txt", false},
    {"OUT/new.txt", false},
    {"//OUT/secret.txt", false},
    {"ROOT/../outside/new.txt", false},
    {"ROOT2/x", false},
    {"ROOT-beside", false},
    {"file://OUT/secret.txt", false},
    {"file:OUT/new.txt", false},
    {"FILE://localhostOUT/new.txt", false},
    {"file://ROOT/../outside/new.txt", false},
    {"file://ROOT/%2e%2e/outside/new.txt", false},
    {"file://ROOT%2f..%2foutside%2fnew.txt", false},
    {"file://ROOT/%2E%2E%2Foutside/new.txt", false},
    {"file://ROOT/a%00.txt", false},
    {"file://elsewhereROOT/a.txt", false},
    {"http://localhost/a.txt", false},
    {"outer/secret.txt", false},
    {"outer/new.txt", false},
    {"outer/deep/new.txt", false},
    {"absolute-outer/secret.txt", false},
    {"absolute-outer/new.txt", false},
    {"escape.txt", false},
    {"escape-dangling", false},
    {"absolute-escape.txt", false},
    {"sub/up/outside/secret.txt", false},
    {"sub/up/outside/new.txt", false},
    {"chain1", false},
    {"chain-folder1/new.txt", false},
    {"loop", false},
    {"loop/x", false},
    {"knot1/x", false},
    {"proc-root/OUT/new.txt", false},
    {"proc-cwd/../outside/new.txt", false},
    {"/proc/self/root/OUT/new.txt", false},
    {"/proc/self/cwd/x", false},
    {"/dev/fd/0", false},
    {"a.txt/x", false},
    {"a.txt/../../outside/new.txt", false},
    {".git", false},
    {".git/config", false},
    {".git/hooks/post-checkout", false},
    {".git/info/exclude", false},
    {".git/new/deep", false},
    {".GIT/config", false},
    {".Git/hooks/x", false},
    {".giT", false},
    {".git./config", false},
    {".git /config", false},
    {".git. . ./config", false},
    {".git...", false},
    {".git::$INDEX_ALLOCATION/config", false},
    {".git:stream", false},
    {".git./x", false},
    {"git~1/config", false},
    {"GIT~1/hooks/x", false},
    {".g\xE2\x80\x8Cit/config", false},
    {".gi\xE2\x80\x8Dt/config", false},
    {".git\xE2\x80\xAE/config", false},
    {"\xEF\xBB\xBF.git/config", false},
    {".\xE2\x81\xAAgit/config", false},
    {"sub/.git/config", false},
    {"sub/.GIT", false},
    {"new/.git/hooks/x", false},
    {"./.git/config", false},
    {"sub/../.git/config", false},
    {"to-git/config", false},
    {"to-git/hooks/x", false},
    {"to-config", false},
    {"ROOT/.git/config", false},
    {"file://ROOT/.git/config", false},
    {"file://ROOT/%2Egit/config", false},
    {"file://ROOT/.g%69t/config", false},
    {".mux", false},
    {".mux/lock", false},
    {".mux/txn/1-000000/manifest", false},
    {".MUX/txn", false},
    {".mux./x", false},
    {"sub/.mux/x", false},
    {"to-state/lock", false},
    {".hg/hgrc", false},
    {".svn/entries", false},
    {".jj/repo", false},
    {".bzr/branch", false},
    {"sub/.HG/hgrc", false},
};
enum { NAME_COUNT = sizeof NAMES / sizeof *NAMES };

static void replace_word(Arena *arena, Str *s, const char *word, const char *with) {
    size_t at = str_find(*s, str_of(word), 0);
    if (at != STR_NONE)
        *s = str_printf(arena, "%.*s%s%.*s", (int)at, s->ptr, with, STR_ARG(str_from(*s, at + strlen(word))));
}

static void make_links(Fixture *fixture) {
    static const char *const LINKS[][2] = {
        {"../outside", "outer"},
        {"OUT", "absolute-outer"},
        {"../outside/secret.txt", "escape.txt"},
        {"../outside/none", "escape-dangling"},
        {"OUT/secret.txt", "absolute-escape.txt"},
        {"../..", "sub/up"},
        {"chain2", "chain1"},
        {"sub/up/outside/secret.txt", "chain2"},
        {"chain-folder2", "chain-folder1"},
        {"outer", "chain-folder2"},
        {"loop", "loop"},
        {"knot2", "knot1"},
        {"knot1", "knot2"},
        {"/proc/self/root", "proc-root"},
        {"/proc/self/cwd", "proc-cwd"},
        {".git", "to-git"},
        {".git/config", "to-config"},
        {".git/mux", "to-state"},
    };
    for (size_t i = 0; i < sizeof LINKS / sizeof *LINKS; i++) {
        Str target = str_of(LINKS[i][0]);
        replace_word(&fixture->arena, &target, "OUT", fixture_path(fixture, "../outside"));
        /* folders of a path with ".." are canonical only when they are written so */
        if (str_contains(target, S("/tree/../")))
            replace_word(&fixture->arena, &target, "/tree/..", "");
        CHECK(symlink(target.ptr, fixture_path(fixture, LINKS[i][1])) == 0);
    }
}

static uint64_t watched_key(EscapeRun *run) {
    Arena arena = {0};
    Image image, kept = {0};
    image_read(run->watched, 3, &arena, &image);
    for (size_t i = 0; i < image.count; i++)
        if (!str_starts(image.items[i].path, S("2/mux")))
            LIST_PUSH(&arena, kept.items, kept.count, kept.capacity, image.items[i]);
    uint64_t key = image_key(&kept);
    arena_free(&arena);
    return key;
}

static void escape_init(EscapeRun *run) {
    *run = (EscapeRun){0};
    Fixture *fixture = &run->fixture;
    use_memory_folder();
    fixture_init(fixture);
    fixture_git_init(fixture);
    fixture_write(fixture, "a.txt", S("a\n"));
    fixture_write(fixture, "sub/b.txt", S("b\n"));
    fixture_write(fixture, "../outside/secret.txt", S("secret\n"));
    fixture_write(fixture, "../outside/b.txt", S("b\n"));
    fixture_write(fixture, "../outside/deep/b.txt", S("b\n"));
    fixture_write(fixture, "../tree2/b.txt", S("b\n"));
    fixture_write(fixture, "../extra/e.txt", S("e\n"));
    make_links(fixture);
    run->prepared = str_printf(&fixture->arena, "%s/prepared", test_tmp()).ptr;
    copy_tree(&fixture->arena, fixture->root.ptr, run->prepared);
    run->watched[0] = fixture_path(fixture, "../outside");
    run->watched[1] = fixture_path(fixture, "../tree2");
    run->watched[2] = fixture_path(fixture, ".git");
    run->extra = str_printf(&fixture->arena, "%s/extra", test_tmp()).ptr;
    run->key = watched_key(run);
}

static void escape_close(EscapeRun *run) {
    fixture_close(&run->fixture);
}

static void escape_reset(EscapeRun *run) {
    Arena scratch = {0};
    ws_close(run->fixture.ws);
    run->fixture.ws = NULL;
    remove_tree(run->fixture.root.ptr);
    copy_tree(&scratch, run->prepared, run->fixture.root.ptr);
    arena_free(&scratch);
}

/* ---- the doors ---- */

typedef enum Door {
    DOOR_CHECKED,   /* ws_path, ws_read, change_put: as a planner does */
    DOOR_ENTRY,     /* ws_entry, change_put: as patches do */
    DOOR_FORGED,    /* a Path that nobody checked */
    DOOR_LINK,      /* a symbolic link at that name */
    DOOR_REMOVE,    /* removal, with the stamp of what lies outside */
    DOOR_RENAME,    /* put there what another file was, as a rename does */
    DOOR_EDITOR,    /* written through an editor */
    DOOR_NEXT_ROOT, /* with a second root, whose neighbour the tree is */
    DOOR_COUNT
} Door;

static bool was_written_outside; /* by an editor */
static EscapeRun *editor_run;

static bool editor_write(void *ctx, Str path, Str text, Err *err) {
    (void)ctx;
    (void)text;
    Str root = editor_run->fixture.root;
    Str below = str_starts(path, root) ? str_from(path, root.len) : S("");
    if (!str_starts(below, S("/")) || str_contains(below, S("/../")) || str_starts(below, S("/.git/")) ||
        str_starts(below, S("/outer/")))
        was_written_outside = true;
    return err_set(err, ERR_IO, "the editor is not interested");
}

static void open_door(EscapeRun *run, Door door) {
    Err err = {0};
    FileIo io = file_io_disk();
    Str extra = str_of(run->extra);
    if (door == DOOR_EDITOR)
        io.write = editor_write;
    WorkspaceConfig config = {
        .root = run->fixture.root, .extra_roots = &extra, .extra_root_count = door == DOOR_NEXT_ROOT};
    run->fixture.ws = ws_open(&config, io, &err);
    CHECK_OK(run->fixture.ws != NULL, err);
    editor_run = run;
}

/* Where a path for the change comes from; false when it is refused here already. */
static bool find_path(EscapeRun *run, Door door, Str name, Path *path, Stamp *stamp, Err *err) {
    Arena *arena = &run->fixture.arena;
    FileText text;
    Entry entry;
    *stamp = (Stamp){0};
    if (door == DOOR_ENTRY || door == DOOR_RENAME) {
        if (!ws_entry(run->fixture.ws, name, 1 << 20, arena, path, &entry, err))
            return false;
        *stamp = entry.stamp;
        return true;
    }
    if (door == DOOR_FORGED || door == DOOR_LINK || door == DOOR_REMOVE) {
        bool is_absolute = str_starts(name, S("/"));
        path->relative = name;
        Str below = str_concat(arena, S("/"), name); /* a zero byte stays */
        path->absolute = is_absolute ? name : str_concat(arena, run->fixture.root, below);
        Str found;
        if (os_read_file(str_cstr(arena, path->absolute), 1 << 20, arena, &found, NULL))
            *stamp = stamp_of(found);
        return true;
    }
    if (!ws_path(run->fixture.ws, name, arena, path, err))
        return false;
    if (ws_read(run->fixture.ws, *path, arena, &text, NULL))
        *stamp = text.stamp;
    return true;
}

static bool go_through(EscapeRun *run, Door door, Str name, Err *err) {
    Path path, source;
    Stamp stamp, source_stamp;
    if (!find_path(run, door, name, &path, &stamp, err))
        return false;
    Change *change = change_begin(run->fixture.ws, err);
    if (door == DOOR_LINK) {
        change_put_link(change, path, stamp, S("../outside"));
    } else if (door == DOOR_REMOVE) {
        stamp.exists = true;
        change_remove(change, path, stamp);
    } else {
        change_put(change, path, stamp, S("written by mux\n"));
    }
    if (door == DOOR_RENAME && find_path(run, door, S("a.txt"), &source, &source_stamp, err))
        change_remove(change, source, source_stamp);
    return change_commit(change, NULL, err);
}

static void try_name(EscapeRun *run, Door door, const NameCase *item) {
    Arena *arena = &run->fixture.arena;
    Err err = {0};
    Str name = str_of(item->name);
    escape_reset(run);
    replace_word(arena, &name, "ROOT", run->fixture.root.ptr);
    replace_word(arena, &name, "OUT", str_printf(arena, "%s/outside", test_tmp()).ptr);
    open_door(run, door);
    was_written_outside = false;
    bool ok = go_through(run, door, name, &err);
    CHECK_MSG(watched_key(run) == run->key && !was_written_outside, "\"%s\" escaped through door %d",
              item->name, door);
    bool must_work = item->is_fine && (door == DOOR_CHECKED || door == DOOR_ENTRY || door == DOOR_NEXT_ROOT);
    CHECK_MSG(!must_work || ok, "\"%s\" through door %d: %s", item->name, door, err.text);
    bool is_uri =
        str_eq_nocase(str_slice(name, 0, 5), S("file:")); /* to all but ws_path a name like others */
    bool must_fail =
        !item->is_fine && (door == DOOR_CHECKED || (!is_uri && (door == DOOR_ENTRY || door == DOOR_FORGED)));
    /* a link at the end of a path may itself be replaced by those that do not follow it */
    struct stat st;
    bool is_link =
        lstat(str_printf(arena, "%s/%s", run->prepared, item->name).ptr, &st) == 0 && S_ISLNK(st.st_mode);
    CHECK_MSG(!must_fail || is_link || !ok, "\"%s\" was taken by door %d", item->name, door);
    CHECK_MSG(ok || strlen(err.text) > 10, "\"%s\" was refused by door %d without a reason", item->name,
              door);
}

static void test_names(void) {
    EscapeRun run;
    int cases = 0;
    escape_init(&run);
    for (size_t i = 0; i < NAME_COUNT; i++)
        for (int door = 0; door < DOOR_COUNT; door++, cases++)
            try_name(&run, (Door)door, &NAMES[i]);
    if (is_full_run())
        printf("    %d names, %d cases, 0 escapes\n", (int)NAME_COUNT, cases);
    CHECK(cases >= 800);
    escape_close(&run);
}

/* Names that no literal can hold. */
static void test_long_and_zero(void) {
    EscapeRun run;
    escape_init(&run);
    Arena *arena = &run.fixture.arena;
    Str component = {memset(arena_alloc(arena, 300), 'x', 300), 300}, deep = S("x");
    for (int i = 0; i < 2500; i++)
        deep = str_concat(arena, S("x/"), deep);
    Str ups = S("secret.txt");
    for (int i = 0; i < 1500; i++)
        ups = str_concat(arena, S("../"), ups);
    const Str odd[] = {component,
                       deep,
                       ups,
                       {"a\0/../../outside/new.txt", 25},
                       {".git\0x", 6},
                       {"a.txt\0", 6},
                       str_printf(arena, "sub/%.*s", STR_ARG(component)),
                       str_printf(arena, ".git/%.*s", STR_ARG(str_slice(component, 0, 255)))};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        for (int door = 0; door < DOOR_COUNT; door++) {
            Err err = {0};
            escape_reset(&run);
            open_door(&run, (Door)door);
            was_written_outside = false;
            bool ok = go_through(&run, (Door)door, odd[i], &err);
            CHECK_MSG(!ok && err.text[0], "odd name %zu was taken by door %d", i, door);
            CHECK_MSG(watched_key(&run) == run.key && !was_written_outside, "odd name %zu escaped through %d",
                      i, door);
        }
    }
    escape_close(&run);
}

/* Several steps in one change: each is fine or not by what stood there before the change. */
static void test_link_of_the_same_change(void) {
    static const char *const BELOW[] = {"fresh/new.txt", "fresh/secret.txt", "sub/new.txt", "sub/b.txt"};
    EscapeRun run;
    escape_init(&run);
    Arena *arena = &run.fixture.arena;
    for (size_t i = 0; i < sizeof BELOW / sizeof *BELOW; i++) {
        for (int order = 0; order < 2; order++) {
            Err err = {0};
            Path link = {0}, file = {0}, inside = {0};
            Entry entry;
            escape_reset(&run);
            open_door(&run, DOOR_ENTRY);
            bool is_sub = BELOW[i][0] == 's';
            Change *change = change_begin(run.fixture.ws, &err);
            CHECK(ws_entry(run.fixture.ws, S("sub/b.txt"), 1 << 20, arena, &inside, &entry, &err));
            Stamp seen = entry.stamp;
            CHECK(ws_entry(run.fixture.ws, S("sub/up"), 1 << 20, arena, &file, &entry, &err));
            if (is_sub && i != 3) { /* empty the folder, put a link in its place, and then go through that */
                change_remove(change, inside, seen);
                change_remove(change, file, entry.stamp);
            }
            link = (Path){str_printf(arena, "%.*s/%s", STR_ARG(run.fixture.root), is_sub ? "sub" : "fresh"),
                          is_sub ? S("sub") : S("fresh")};
            file =
                (Path){str_printf(arena, "%.*s/%s", STR_ARG(run.fixture.root), BELOW[i]), str_of(BELOW[i])};
            if (order == 0)
                change_put_link(change, link, (Stamp){0}, S("../outside"));
            change_put(change, file, i == 3 ? seen : (Stamp){0}, S("written by mux\n"));
            if (order == 1)
                change_put_link(change, link, (Stamp){0}, S("../outside"));
            bool ok = change_commit(change, NULL, &err);
            CHECK_MSG(!ok && watched_key(&run) == run.key, "%s after a link, order %d: %s", BELOW[i], order,
                      ok ? "taken" : "escaped");
        }
    }
    escape_close(&run);
}

/* ---- patches ---- */

#define PATCH_PROGRAM MUX_BINARY_DIR "/mux-acp"

/* NAME stands for the name, as it is or quoted. */
static const char *const SHAPES[] = {
    "diff --git a/NAME b/NAME\nnew file mode 100644\n--- /dev/null\n+++ b/NAME\n@@ -0,0 +1 @@\n+written\n",
    "--- /dev/null\n+++ b/NAME\n@@ -0,0 +1 @@\n+written\n",
    "diff --git a/NAME b/NAME\nnew file mode 120000\n--- /dev/null\n+++ b/NAME\n@@ -0,0 +1 @@\n+../outside\n"
    "\\ No newline at end of file\n",
    "diff --git a/a.txt b/NAME\nsimilarity index 100%\nrename from a.txt\nrename to NAME\n",
    "diff --git a/a.txt b/NAME\nsimilarity index 100%\ncopy from a.txt\ncopy to NAME\n",
    "--- a/NAME\n+++ b/NAME\n@@ -1 +1 @@\n-b\n+written\n",
    "--- a/NAME\n+++ b/NAME\n@@ -1 +1 @@\n-secret\n+written\n",
    "diff --git a/NAME b/NAME\ndeleted file mode 100644\n--- a/NAME\n+++ /dev/null\n@@ -1 +0,0 @@\n-secret\n",
    "diff --git a/NAME b/NAME\nold mode 100644\nnew mode 100755\n",
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES, FIRST_IN_PLACE = 5 };

typedef struct PatchCase {
    const char *text;
    const char *option; /* NULL: none */
} PatchCase;

/* Each would write outside if it were taken at its word. */
static const PatchCase PATCHES[] = {
    {"--- /dev/null\n+++ \"b/\\056\\056/outside/new.txt\"\n@@ -0,0 +1 @@\n+w\n", NULL},
    {"--- /dev/null\n+++ \"b/sub/\\056./../outside/new.txt\"\n@@ -0,0 +1 @@\n+w\n", NULL},
    {"--- /dev/null\n+++ \"b/\\056git/config\"\n@@ -0,0 +1 @@\n+w\n", NULL},
    {"--- /dev/null\n+++ \"b/a\\000/../../outside/new.txt\"\n@@ -0,0 +1 @@\n+w\n", NULL},
    {"--- /dev/null\n+++ ../outside/new.txt\n@@ -0,0 +1 @@\n+w\n", "-p0"},
    {"--- /dev/null\n+++ ../outside/new.txt\n@@ -0,0 +1 @@\n+w\n", "--tolerant"},
    {"--- a/b/../../outside/b.txt\n+++ a/b/../../outside/b.txt\n@@ -1 +1 @@\n-b\n+w\n", "-p2"},
    {"--- x//OUT/b.txt\n+++ x//OUT/b.txt\n@@ -1 +1 @@\n-b\n+w\n", "-p1"},
    {"--- OUT/b.txt\n+++ OUT/b.txt\n@@ -1 +1 @@\n-b\n+w\n", "-p0"},
    {"--- OUT/b.txt\n+++ OUT/b.txt\n@@ -1 +1 @@\n-b\n+w\n", "-p1"},
    {"diff --git a/a.txt b/a.txt\n--- a/../outside/b.txt\n+++ b/../outside/b.txt\n@@ -1 +1 @@\n-b\n+w\n",
     NULL},
    {"diff --git a/../outside/b.txt b/../outside/b.txt\nold mode 100644\nnew mode 100755\n", NULL},
    {"diff --git a/fresh b/fresh\nnew file mode 120000\n--- /dev/null\n+++ b/fresh\n@@ -0,0 +1 "
     "@@\n+../outside\n"
     "\\ No newline at end of file\n"
     "diff --git a/fresh/new.txt b/fresh/new.txt\nnew file mode 100644\n--- /dev/null\n+++ b/fresh/new.txt\n"
     "@@ -0,0 +1 @@\n+w\n",
     NULL},
    {"diff --git a/fresh b/fresh\nnew file mode 120000\n--- /dev/null\n+++ b/fresh\n@@ -0,0 +1 "
     "@@\n+../outside\n"
     "\\ No newline at end of file\n"
     "--- a/fresh/b.txt\n+++ b/fresh/b.txt\n@@ -1 +1 @@\n-b\n+w\n",
     NULL},
    {"diff --git a/fresh b/fresh\nnew file mode 120000\n--- /dev/null\n+++ b/fresh\n@@ -0,0 +1 "
     "@@\n+../outside\n"
     "\\ No newline at end of file\n"
     "diff --git a/a.txt b/fresh/a.txt\nsimilarity index 100%\nrename from a.txt\nrename to fresh/a.txt\n",
     NULL},
    {"diff --git a/inner b/inner\nnew file mode 120000\n--- /dev/null\n+++ b/inner\n@@ -0,0 +1 @@\n+outer\n"
     "\\ No newline at end of file\n"
     "--- /dev/null\n+++ b/inner/new.txt\n@@ -0,0 +1 @@\n+w\n",
     NULL},
    {"diff --git a/outer b/moved\nsimilarity index 100%\nrename from outer\nrename to moved\n"
     "--- a/moved/b.txt\n+++ b/moved/b.txt\n@@ -1 +1 @@\n-b\n+w\n",
     NULL},
    {"diff --git a/outer b/second\nsimilarity index 100%\ncopy from outer\ncopy to second\n"
     "--- a/second/b.txt\n+++ b/second/b.txt\n@@ -1 +1 @@\n-b\n+w\n",
     NULL},
    {"diff --git a/sub/b.txt b/sub/b.txt\ndeleted file mode 100644\n--- a/sub/b.txt\n+++ /dev/null\n"
     "@@ -1 +0,0 @@\n-b\n"
     "diff --git a/sub/up b/sub/up\ndeleted file mode 120000\n--- a/sub/up\n+++ /dev/null\n@@ -1 +0,0 "
     "@@\n-../..\n"
     "\\ No newline at end of file\n"
     "diff --git a/sub b/sub\nnew file mode 120000\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n+../outside\n"
     "\\ No newline at end of file\n"
     "--- a/sub/b.txt\n+++ b/sub/b.txt\n@@ -1 +1 @@\n-b\n+w\n",
     NULL},
    {"diff --git a/escape.txt b/escape.txt\n--- a/escape.txt\n+++ b/escape.txt\n@@ -1 +1 @@\n-secret\n+w\n",
     NULL},
    {"diff --git a/escape.txt b/escape.txt\n--- a/escape.txt\n+++ b/escape.txt\n@@ -1 +1 @@\n-secret\n+w\n",
     "--tolerant"},
    {"diff --git a/x b/../outside/new.txt\nnew file mode 100644\nindex 0000000..1\nGIT binary patch\nliteral "
     "1\n"
     "Ic${Nk2LJ#7\n\n",
     NULL},
    {"--- a/../outside/new.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-w\n", "--reverse"},
    {"diff --git a/../outside/new.txt b/a.txt\nsimilarity index 100%\nrename from ../outside/new.txt\n"
     "rename to a.txt\n",
     "--reverse"},
};

static int apply_patch(EscapeRun *run, const char *root, Str text, const char *option) {
    Arena *arena = &run->fixture.arena;
    Err err = {0};
    const char *file = str_printf(arena, "%s/patch", test_tmp()).ptr;
    CHECK_OK(os_write_file(file, text, &err), err);
    const char *const argv[] = {PATCH_PROGRAM, "apply", "--root", root, file, option, NULL};
    return run_program(argv, NULL);
}

static void try_patch(EscapeRun *run, Str text, const char *option, bool must_fail, const char *what) {
    escape_reset(run);
    int status = apply_patch(run, run->fixture.root.ptr, text, option);
    CHECK_MSG(status == 0 || status == 1, "%s: status %d of\n%.*s", what, status, STR_ARG(text));
    CHECK_MSG(watched_key(run) == run->key, "%s escaped by\n%.*s", what, STR_ARG(text));
    CHECK_MSG(!must_fail || status == 1, "%s was taken:\n%.*s", what, STR_ARG(text));
}

static Str named(Arena *arena, const char *shape, Str name) {
    Str text = str_of(shape);
    for (size_t at; (at = str_find(text, S("NAME"), 0)) != STR_NONE;)
        text = str_concat(arena, str_slice(text, 0, at), str_concat(arena, name, str_from(text, at + 4)));
    return text;
}

static void test_patches(void) {
    EscapeRun run;
    int cases = 0, at = 0, stride = is_full_run() ? 1 : 7;
    if (access(PATCH_PROGRAM, X_OK) != 0)
        SKIP("mux-acp is not built");
    escape_init(&run);
    Arena *arena = &run.fixture.arena;
    const char *out = str_printf(arena, "%s/outside", test_tmp()).ptr;
    for (size_t i = 0; i < sizeof PATCHES / sizeof *PATCHES; i++, cases++) {
        Str text = str_of(PATCHES[i].text);
        for (int k = 0; k < 2; k++)
            replace_word(arena, &text, "OUT", out);
        try_patch(&run, text, PATCHES[i].option, true, "a patch");
    }
    for (size_t i = 0; i < NAME_COUNT; i++) {
        Str name = str_of(NAMES[i].name);
        struct stat st;
        replace_word(arena, &name, "ROOT", run.fixture.root.ptr);
        replace_word(arena, &name, "OUT", out);
        bool is_link = lstat(str_printf(arena, "%s/%s", run.prepared, NAMES[i].name).ptr, &st) == 0 &&
                       S_ISLNK(st.st_mode);
        bool is_uri = str_eq_nocase(str_slice(name, 0, 5), S("file:")) || str_contains(name, S("://"));
        for (int shape = 0; shape < SHAPE_COUNT; shape++) {
            if (at++ % stride)
                continue;
            bool is_moved = str_eq(name, S("a.txt/x")); /* a rename of a.txt makes room for it */
            bool must_fail =
                !is_moved && !NAMES[i].is_fine && !is_link && !is_uri && !str_starts(name, S("/"));
            try_patch(&run, named(arena, SHAPES[shape], name), NULL, must_fail, NAMES[i].name);
            cases++;
        }
    }
    if (is_full_run())
        printf("    %d patches, 0 escapes\n", cases);
    CHECK(cases >= 100);
    escape_close(&run);
}

/* ---- a folder that turns into a link ---- */

typedef struct Swapper {
    const char *folder, *link; /* two names that are exchanged again and again */
    _Atomic bool stops;
    long swaps;
} Swapper;

static void *swap_names(void *arg) {
    Swapper *swapper = arg;
    while (!atomic_load(&swapper->stops))
        swapper->swaps += renameat2(AT_FDCWD, swapper->folder, AT_FDCWD, swapper->link, RENAME_EXCHANGE) == 0;
    return NULL;
}

static void change_once(EscapeRun *run, int round, int *done) {
    static const char *const TARGETS[] = {"sub/b.txt", "sub/new.txt", "sub/deep/b.txt", "sub/deep/x/y.txt"};
    Arena scratch = {0};
    Err err = {0};
    Str name = str_of(TARGETS[round % 4]);
    Path path = {str_printf(&scratch, "%.*s/%.*s", STR_ARG(run->fixture.root), STR_ARG(name)), name};
    Entry entry = {0};
    Stamp seen = {0};
    if (round % 3 == 0 && ws_entry(run->fixture.ws, name, 1 << 20, &scratch, &path, &entry, &err))
        seen = entry.stamp;
    else if (round % 4 == 0 || round % 4 == 2)
        seen = stamp_of(S("b\n")); /* what the file outside holds too */
    Change *change = change_begin(run->fixture.ws, &err);
    if (round % 5 == 4 && seen.exists)
        change_remove(change, path, seen);
    else if (round % 7 == 6)
        change_put_link(change, path, seen, S("/etc"));
    else
        change_put(change, path, seen, S("written by mux\n"));
    ChangeInfo info;
    if (change_commit(change, &info, &err)) {
        *done += 1;
        if (round % 2)
            ws_undo(run->fixture.ws, str_of(info.id), NULL, &err);
    }
    arena_free(&scratch);
}

static void test_swapped_while_changing(void) {
    EscapeRun run;
    pthread_t thread;
    int done = 0, rounds = is_full_run() ? 2000 : 300;
    escape_init(&run);
    fixture_write(&run.fixture, "sub/deep/b.txt", S("b\n"));
    CHECK(symlink("../outside", fixture_path(&run.fixture, "swap")) == 0);
    open_door(&run, DOOR_ENTRY);
    Swapper swapper = {.folder = fixture_path(&run.fixture, "sub"),
                       .link = fixture_path(&run.fixture, "swap")};
    CHECK(pthread_create(&thread, NULL, swap_names, &swapper) == 0);
    for (int i = 0; i < rounds; i++)
        change_once(&run, i, &done);
    atomic_store(&swapper.stops, true);
    pthread_join(thread, NULL);
    CHECK_MSG(watched_key(&run) == run.key, "something was written outside in %ld swaps", swapper.swaps);
    if (is_full_run())
        printf("    %d changes tried, %d done, %ld swaps, 0 escapes\n", rounds, done, swapper.swaps);
    CHECK_MSG(swapper.swaps > rounds, "only %ld swaps", swapper.swaps);
    escape_close(&run);
}

static const TestCase TESTS[] = {
    {"names", test_names},
    {"long_and_zero", test_long_and_zero},
    {"link_of_the_same_change", test_link_of_the_same_change},
    {"patches", test_patches},
    {"swapped_while_changing", test_swapped_while_changing},
};
TEST_SUITE(WORKSPACE_ESCAPE_SUITE, "escape", TESTS);
