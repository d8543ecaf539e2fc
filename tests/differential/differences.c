#include "tests/differential/differences.h"

#include <string.h>

#include "tests/differential/git.h"
#include "tests/runner.h"

/* ---- which difference it is ---- */

/* What git takes and we refuse, by our sentence. */
static const struct {
    const char *says, *name;
} REFUSED[] = {
    {"submodules cannot be patched", "means: submodule"},
    {"is a folder, but the patch is for a file", "means: folder taken for a submodule"},
    {"binary data", "means: damaged binary section"},
    {"is no target for a symbolic link", "means: link without a target"},
    {"does not end on its line", "means: quote left open"},
    {"does not say what it holds", "means: unread file overwritten"},
};

/* git sees no name in "diff --git a/end /f b/end /f". */
static bool has_blank_before_slash(Str patch) {
    for (size_t at = 0; (at = str_find(patch, S("diff --git "), at)) != STR_NONE; at++) {
        size_t end = str_find_char(patch, '\n', at);
        if (str_contains(str_slice(patch, at, end), S(" /")))
            return true;
    }
    return false;
}

/* "diff --git" and no header below: git keeps the name for the section that follows, also when that deletes.
 */
static bool has_stray_header(Str patch) {
    static const char *const HEADERS[] = {"index ",    "old mode ",  "new mode ", "deleted file ",
                                          "new file ", "similarity", "dissimil",  "rename ",
                                          "copy ",     "--- "};
    Str rest = patch, line;
    while (str_next_line(&rest, &line)) {
        bool has_header = !str_starts(line, S("diff --git "));
        for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++)
            has_header = has_header || str_starts(rest, str_of(HEADERS[i]));
        if (!has_header)
            return true;
    }
    return false;
}

/* git cannot look behind such a link, even when the patch takes it away. */
static bool has_link_to_itself(const SmallTree *tree) {
    for (size_t i = 0; i < tree->count; i++) {
        Str path = tree->items[i].path;
        if (tree->items[i].mode == TREE_LINK &&
            str_eq(tree->items[i].text, str_from(path, str_rfind_char(path, '/') + 1)))
            return true;
    }
    return false;
}

/* git-apply --check does not look for folders in the way. */
static bool is_only_checked(const ApplyCase *test, Arena *arena) {
    ApplyCase writes = *test;
    writes.only_check = false;
    return test->only_check && !apply_with_git(&writes, arena).is_accepted;
}

static bool is_written_and_deleted(const Patch *patch, Str path) {
    bool is_written = false, is_deleted = false;
    for (size_t i = 0; i < patch->count; i++) {
        is_deleted =
            is_deleted || (patch->files[i].kind == PATCH_DELETE && str_eq(patch->files[i].old_path, path));
        is_written = is_written || str_eq(patch->files[i].new_path, path);
    }
    return is_written && is_deleted;
}

/* A file of the tree lies below the path, or the path below a file. */
static bool meets_folder(const SmallTree *tree, Str path) {
    Arena arena = {0};
    SmallTree others = tree_copy(tree, &arena);
    tree_remove(&others, path);
    bool meets = !tree_has_room(&others, path);
    arena_free(&arena);
    return meets;
}

/* git keeps a file that one section writes and a later one deletes; then it cannot make a folder of that
 * name. */
static bool forgets_deletion(const ApplyCase *test, const Outcome *git, const Outcome *ours, Arena *arena) {
    Patch patch;
    Str why;
    SmallTree kept = tree_copy(&git->tree, arena);
    if (!patch_parse(test->patch, &test->options, arena, &patch, NULL))
        return false;
    for (size_t i = 0; i < patch.count && git->is_accepted != ours->is_accepted; i++)
        if (meets_folder(&ours->tree, patch.files[i].old_path) &&
            is_written_and_deleted(&patch, patch.files[i].old_path))
            return true;
    SmallTree mine = tree_copy(&ours->tree, arena);
    for (size_t i = 0; i < git->tree.count; i++) {
        Str path = git->tree.items[i].path;
        const SmallEntry *there = tree_find(&ours->tree, path);
        if ((there && there->mode != TREE_FOLDER) || !is_written_and_deleted(&patch, path))
            continue;
        tree_remove(&kept, path);
        for (size_t n = mine.count; n-- > 0;) /* what we could make in a folder of that name */
            if (str_eq(mine.items[n].path, path) ||
                (str_starts(mine.items[n].path, path) && mine.items[n].path.ptr[path.len] == '/'))
                tree_remove(&mine, mine.items[n].path);
    }
    return git->is_accepted && ours->is_accepted && tree_same(&kept, &mine, arena, &why);
}

static bool same_but_newlines(Str a, Str b) {
    size_t i = 0, n = 0;
    for (;; i++, n++) {
        while (i < a.len && a.ptr[i] == '\n')
            i++;
        while (n < b.len && b.ptr[n] == '\n')
            n++;
        if (i == a.len || n == b.len)
            return i == a.len && n == b.len;
        if (a.ptr[i] != b.ptr[n])
            return false;
    }
}

/* With -C git writes a line without its newline into the middle of a file, where the patch claims it. */
static bool loses_newline(const ApplyCase *test, const Outcome *git, const Outcome *ours) {
    if (!test->options.has_least_context || !str_contains(test->patch, S("\n\\ ")))
        return false;
    for (size_t i = 0; i < ours->tree.count; i++) {
        const SmallEntry *mine = &ours->tree.items[i], *theirs = tree_find(&git->tree, mine->path);
        if (mine->mode != TREE_FOLDER && (!theirs || !same_but_newlines(theirs->text, mine->text)))
            return false;
    }
    return true;
}

const char *known_difference(const ApplyCase *test, const Outcome *git, const Outcome *ours, Arena *arena) {
    for (size_t i = 0; git->is_accepted && !ours->is_accepted && i < sizeof REFUSED / sizeof *REFUSED; i++)
        if (str_contains(ours->reason, str_of(REFUSED[i].says)))
            return REFUSED[i].name;
    if (has_blank_before_slash(test->patch))
        return "means: blank before a slash";
    if (!git->is_accepted && has_stray_header(test->patch))
        return "means: header without lines";
    if (!git->is_accepted && has_link_to_itself(&test->tree))
        return "means: link to itself";
    if (git->is_accepted && !ours->is_accepted && is_only_checked(test, arena))
        return "means: --check sees folders";
    if (forgets_deletion(test, git, ours, arena))
        return "means: written, then deleted";
    if (git->is_accepted && ours->is_accepted && loses_newline(test, git, ours))
        return "means: newline kept";
    return NULL;
}

/* ---- each of them is there, and is one ---- */

typedef struct Row {
    const char *name; /* the difference */
    const char *path, *text;
    unsigned mode;
    Str patch;
    bool git_accepts, we_accept, only_check, drops_context;
} Row;

static const Row ROWS[] = {
    {"means: submodule", "f", "x\n", TREE_FILE,
     STR_INIT(
         "diff --git a/sub b/sub\nnew file mode 160000\nindex 0000000..1234567\n--- /dev/null\n+++ b/sub\n"
         "@@ -0,0 +1 @@\n+Subproject commit 1234567890123456789012345678901234567890\n"),
     true, false, false, false},
    {"means: folder taken for a submodule", "d/f", "x\n", TREE_FILE,
     STR_INIT("--- a/d\n+++ b/d\n@@ -1 +1 @@\n-a\n+b\n"), true, false, false, false},
    {"means: damaged binary section", "f", "a\n", TREE_FILE,
     STR_INIT("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\ndiff --git a/g b/g\nindex "
              "1111111111111111111111111111111111111111..2222222222222222222222222222222222222222\nGIT "
              "binary patch\n"
              "damaged\n"),
     true, false, false, false},
    {"means: link without a target", "f", "a\n", TREE_FILE,
     STR_INIT("diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+a\0b\n"),
     true, false, false, false},
    {"means: quote left open", "f", "a\n", TREE_FILE,
     STR_INIT(
         "diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to \"g\ndiff --git \"a/h\" b/h\n"),
     true, false, false, false},
    {"means: unread file overwritten", "f", "only copy\n", TREE_FILE,
     STR_INIT("diff --git a/f b/f\nnew file mode 100644\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n"
              "diff --git a/f b/f\ndeleted file mode 100644\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"),
     true, false, false, false},
    {"means: blank before a slash", "end /f", "a\n", TREE_FILE,
     STR_INIT("diff --git a/end /f b/end /f\nold mode 100644\nnew mode 100755\n"), false, true, false, false},
    {"means: header without lines", "f", "x\n", TREE_FILE,
     STR_INIT("diff --git a/f b/f\n\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
              "--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+y\n"),
     false, true, false, false},
    {"means: --check sees folders", "d/f", "x\n", TREE_FILE,
     STR_INIT("--- /dev/null\n+++ b/d\n@@ -0,0 +1 @@\n+x\n"), true, false, true, false},
    {"means: written, then deleted", "f", "a\n", TREE_FILE,
     STR_INIT("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n"), true,
     true, false, false},
    {"means: newline kept", "f", "1\n2\n3\n4\n5\n", TREE_FILE,
     STR_INIT("--- a/f\n+++ b/f\n@@ -1,5 +1,5 @@\n 1\n-2\n+two\n 3\n 4\n\\ No newline at end of file\n x\n"),
     true, true, false, true},
    {"means: link to itself", "b", "b", TREE_LINK,
     STR_INIT("diff --git a/b b/b\ndeleted file mode 120000\n--- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n"
              "\\ No newline at end of file\ndiff --git a/b/f b/b/f\nnew file mode 100644\n"),
     false, true, false, false},
};

static void each_is_one(void) {
    const char *scratch = test_tmp();
    if (!git_open(scratch))
        SKIP("git is not there");
    applying_open(scratch);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        Arena arena = {0};
        const Row *row = &ROWS[i];
        Str damage;
        ApplyCase test = {.patch = row->patch, .only_check = row->only_check};
        test.options =
            (PatchOptions){.strip = 1, .has_least_context = row->drops_context, .least_context = 1};
        tree_put(&test.tree, &arena, str_of(row->path), row->mode, str_of(row->text));
        Outcome git = apply_with_git(&test, &arena), ours = apply_in_memory(&test, &arena);
        Outcome on_disk = apply_with_program(&test, &arena, &damage);
        CHECK_MSG(git.is_accepted == row->git_accepts, "%s: git has changed its mind", row->name);
        CHECK_MSG(ours.is_accepted == row->we_accept && on_disk.is_accepted == row->we_accept, "%s: %.*s%.*s",
                  row->name, STR_ARG(ours.reason), STR_ARG(on_disk.reason));
        CHECK_MSG(damage.len == 0, "%s: %.*s", row->name, STR_ARG(damage));
        const char *known = known_difference(&test, &git, &ours, &arena);
        CHECK_MSG(known && strcmp(known, row->name) == 0, "%s is seen as %s", row->name,
                  known ? known : "none");
        arena_free(&arena);
    }
    git_close();
}

static const TestCase CASES[] = {{"each_is_one", each_is_one}};
TEST_SUITE(DIFFERENTIAL_DIFFERENCES_SUITE, "differences", CASES);
