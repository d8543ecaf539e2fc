#define _GNU_SOURCE
#include "tests/unit/diff_patch_support.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/os.h"
#include "tests/runner.h"

enum { TEXT_MOST = 64 << 20, KIND = 0170000 };

/* ---- in memory ---- */

void tree_from(const TreeItem *items, size_t most, Tree *out) {
    *out = (Tree){0};
    for (size_t i = 0; i < most && items[i].path; i++) {
        Str text = items[i].len ? (Str){items[i].text, items[i].len} : str_of(items[i].text);
        tree_put(out, str_of(items[i].path), items[i].mode ? items[i].mode : PLAIN, text);
    }
}

TreeFile *tree_find(Tree *tree, Str path) {
    for (size_t i = 0; i < tree->count; i++)
        if (str_eq(tree->files[i].path, path))
            return &tree->files[i];
    return NULL;
}

void tree_put(Tree *tree, Str path, unsigned mode, Str text) {
    TreeFile *file = tree_find(tree, path);
    CHECK(file || tree->count < sizeof tree->files / sizeof *tree->files);
    file = file ? file : &tree->files[tree->count++];
    *file = (TreeFile){path, text, mode};
}

void tree_remove(Tree *tree, Str path) {
    TreeFile *file = tree_find(tree, path);
    CHECK(file);
    *file = tree->files[--tree->count];
}

static int by_path(const void *a, const void *b) {
    const TreeFile *x = a, *y = b;
    return str_cmp(x->path, y->path);
}

static Tree sorted_files(const Tree *tree) {
    Tree out = {0};
    for (size_t i = 0; i < tree->count; i++)
        if (tree->files[i].mode != FOLDER)
            out.files[out.count++] = tree->files[i];
    qsort(out.files, out.count, sizeof *out.files, by_path);
    return out;
}

bool tree_same(const Tree *a, const Tree *b) {
    Tree x = sorted_files(a), y = sorted_files(b);
    bool same = x.count == y.count;
    for (size_t i = 0; i < x.count && same; i++)
        same = str_eq(x.files[i].path, y.files[i].path) && str_eq(x.files[i].text, y.files[i].text) &&
               x.files[i].mode == y.files[i].mode;
    return same;
}

Str tree_print(const Tree *tree, Arena *arena) {
    Tree files = sorted_files(tree);
    Buf out = {0};
    for (size_t i = 0; i < files.count; i++)
        buf_printf(&out, "[%.*s %o]\n%.*s\n", STR_ARG(files.files[i].path), files.files[i].mode,
                   STR_ARG(str_slice(files.files[i].text, 0, 2000)));
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static bool look(void *ctx, Str path, Arena *arena, PatchEntry *out, Err *err) {
    Tree *tree = ctx;
    Str below = str_printf(arena, "%.*s/", STR_ARG(path));
    tree->looks++;
    *out = (PatchEntry){0};
    for (size_t i = 0; i < tree->count; i++) {
        const TreeFile *file = &tree->files[i];
        if (str_eq(file->path, path))
            *out = (PatchEntry){.exists = true,
                                .is_folder = file->mode == FOLDER,
                                .mode = file->mode,
                                .text = file->text,
                                .tag = file};
        else if (str_starts(file->path, below))
            *out = (PatchEntry){.exists = true, .is_folder = true};
        else if (file->mode == LINK && str_starts(path, file->path) && path.ptr[file->path.len] == '/')
            return err_set(err, ERR_DENIED, "%.*s is beyond a link", STR_ARG(path));
    }
    return true;
}

static bool list(void *ctx, Str folder, Arena *arena, Str **names, size_t *count, Err *err) {
    Tree *tree = ctx;
    Str lead = str_printf(arena, "%.*s/", STR_ARG(folder)), last = S("");
    Tree files = *tree;
    size_t capacity = 0;
    (void)err;
    *names = NULL;
    *count = 0;
    qsort(files.files, files.count, sizeof *files.files, by_path);
    for (size_t i = 0; i < files.count; i++) {
        if (!str_starts(files.files[i].path, lead))
            continue;
        Str name = str_from(files.files[i].path, lead.len);
        name = str_slice(name, 0, str_find_char(name, '/', 0));
        if (!str_eq(name, last))
            LIST_PUSH(arena, *names, *count, capacity, name);
        last = name;
    }
    return true;
}

PatchSource tree_source(Tree *tree) {
    return (PatchSource){tree, look, list};
}

bool tree_apply(Tree *tree, Str patch_text, const PatchOptions *options, Arena *arena, PatchPlan *plan,
                Err *err) {
    Patch patch;
    *plan = (PatchPlan){0};
    if (!patch_parse(patch_text, options, arena, &patch, err) ||
        !patch_plan(&patch, options, tree_source(tree), arena, plan, err))
        return false;
    for (size_t i = 0; i < plan->count; i++) {
        const PatchStep *step = &plan->items[i];
        TreeFile *file = tree_find(tree, step->path);
        CHECK_INT(file != NULL && file->mode != FOLDER, step->before.exists && !step->before.is_folder);
        CHECK(!step->before.exists || step->before.is_folder ||
              (step->before.tag == file && str_eq(step->before.text, file->text)));
    }
    for (size_t i = 0; i < plan->count; i++)
        if (tree_find(tree, plan->items[i].path))
            tree_remove(tree, plan->items[i].path);
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].after.exists)
            tree_put(tree, plan->items[i].path, plan->items[i].after.mode, plan->items[i].after.text);
    return true;
}

/* ---- on disk, by git ---- */

int git_run(const char *folder, const char *const *arguments) {
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR);
        if (chdir(folder) != 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
            _exit(126);
        setenv("GIT_CEILING_DIRECTORIES", "/", 1);
        setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
        setenv("HOME", test_tmp(), 1);
        execvp("git", (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128; /* git-apply aborts on some damaged patches */
}

bool git_is_there(void) {
    const char *const version[] = {"git", "--version", NULL};
    return git_run("/", version) == 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

static Str tree_folder(Arena *arena) {
    return str_printf(arena, "%s/tree", test_tmp());
}

void tree_write(const Tree *tree, Arena *arena) {
    Str root = tree_folder(arena);
    Err err = {0};
    nftw(root.ptr, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    CHECK_OK(os_make_dirs(root.ptr, &err), err);
    for (size_t i = 0; i < tree->count; i++) {
        const TreeFile *file = &tree->files[i];
        char *path = str_cstr(arena, str_printf(arena, "%.*s/%.*s", STR_ARG(root), STR_ARG(file->path)));
        char *slash = strrchr(path, '/');
        CHECK_OK(os_make_dirs(str_cstr(arena, str_range(path, slash)), &err), err);
        if (file->mode == FOLDER)
            CHECK(mkdir(path, 0755) == 0);
        else if (file->mode == LINK)
            CHECK(symlink(str_cstr(arena, file->text), path) == 0);
        else
            CHECK_OK(os_write_file(path, file->text, &err), err);
        if (file->mode == PLAIN || file->mode == PROGRAM)
            CHECK(chmod(path, file->mode & 0777) == 0);
    }
}

static Tree *walk_tree;
static Arena *walk_arena;
static size_t walk_root;

static int read_one(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)walk;
    Str text = S(""), name = str_copy(walk_arena, str_of(path + walk_root));
    if (kind == FTW_D)
        return 0;
    if (kind == FTW_SL) {
        char target[4096];
        ssize_t n = readlink(path, target, sizeof target);
        tree_put(walk_tree, name, LINK, str_copy(walk_arena, (Str){target, n > 0 ? (size_t)n : 0}));
        return 0;
    }
    CHECK(os_read_file(path, TEXT_MOST, walk_arena, &text, NULL));
    tree_put(walk_tree, name, st->st_mode & 0100 ? PROGRAM : PLAIN, text);
    return 0;
}

void tree_read(Tree *out, Arena *arena) {
    Str root = tree_folder(arena);
    *out = (Tree){0};
    walk_tree = out;
    walk_arena = arena;
    walk_root = root.len + 1;
    CHECK(nftw(root.ptr, read_one, 16, FTW_PHYS) == 0);
}

bool git_apply(Tree *tree, Str patch, const PatchOptions *options, Arena *arena) {
    const char *arguments[12] = {"git", "apply", str_printf(arena, "-p%d", options->strip).ptr};
    size_t n = 3;
    Err err = {0};
    if (options->reverse)
        arguments[n++] = "--reverse";
    if (options->recount)
        arguments[n++] = "--recount";
    if (options->unidiff_zero)
        arguments[n++] = "--unidiff-zero";
    if (options->ignore_whitespace)
        arguments[n++] = "--ignore-whitespace";
    if (options->has_least_context)
        arguments[n++] = str_printf(arena, "-C%d", options->least_context).ptr;
    arguments[n++] = "../patch";
    CHECK_OK(os_write_file(str_printf(arena, "%s/patch", test_tmp()).ptr, patch, &err), err);
    tree_write(tree, arena);
    bool ok = git_run(tree_folder(arena).ptr, arguments) == 0;
    tree_read(tree, arena);
    return ok;
}
