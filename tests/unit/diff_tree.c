#define _GNU_SOURCE
/* Whole trees: golden cases (tests/golden/diff/print.txt), which git must print and apply in the same way,
 * and random trees, whose diffs git must take. What needs git is skipped where there is none. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "diff/patch.h"
#include "diff/tree.h"
#include "tests/runner.h"

enum { MOST_FILES = 64, RANDOM_TREES = 150, LINK = 0120000 };

/* A tree in memory, ascending by path. */
typedef struct Tree {
    TreeEntry entries[MOST_FILES];
    Str texts[MOST_FILES];
    size_t count;
} Tree;

static size_t find_path(const Tree *tree, Str path) {
    size_t i = 0;
    while (i < tree->count && !str_eq(tree->entries[i].path, path))
        i++;
    return i;
}

static void put_entry(Tree *tree, Str path, unsigned mode, Str text) {
    size_t i = 0;
    CHECK(tree->count < MOST_FILES);
    while (i < tree->count && str_cmp(tree->entries[i].path, path) < 0)
        i++;
    memmove(&tree->entries[i + 1], &tree->entries[i], (tree->count - i) * sizeof *tree->entries);
    memmove(&tree->texts[i + 1], &tree->texts[i], (tree->count - i) * sizeof *tree->texts);
    tree->count++;
    tree->entries[i] = (TreeEntry){path, mode, text.len};
    tree->texts[i] = text;
}

static void drop_entry(Tree *tree, size_t i) {
    tree->count--;
    memmove(&tree->entries[i], &tree->entries[i + 1], (tree->count - i) * sizeof *tree->entries);
    memmove(&tree->texts[i], &tree->texts[i + 1], (tree->count - i) * sizeof *tree->texts);
}

static void check_trees_equal(const Tree *actual, const Tree *expected) {
    for (size_t i = 0; i < actual->count && i < expected->count; i++) {
        CHECK_STR(actual->entries[i].path, expected->entries[i].path);
        CHECK_MSG(actual->entries[i].mode == expected->entries[i].mode, "%.*s has mode %o, expected %o",
                  STR_ARG(actual->entries[i].path), actual->entries[i].mode, expected->entries[i].mode);
        CHECK_STR(actual->texts[i], expected->texts[i]);
    }
    CHECK_INT(actual->count, expected->count);
}

/* ---- trees on the disk, and git ---- */

static Str in_tmp(Arena *arena, Str name) {
    return str_printf(arena, "%s/%.*s", test_tmp(), STR_ARG(name));
}

static void write_tree(const Tree *tree, Str folder, Arena *arena) {
    Err err = {0};
    CHECK_OK(os_make_dirs(in_tmp(arena, folder).ptr, &err), err);
    for (size_t i = 0; i < tree->count; i++) {
        Str path =
            in_tmp(arena, str_printf(arena, "%.*s/%.*s", STR_ARG(folder), STR_ARG(tree->entries[i].path)));
        CHECK_OK(os_make_dirs(str_cstr(arena, str_slice(path, 0, str_rfind_char(path, '/'))), &err), err);
        if (tree->entries[i].mode == LINK) {
            CHECK(symlink(str_cstr(arena, tree->texts[i]), path.ptr) == 0);
            continue;
        }
        CHECK_OK(os_write_file(path.ptr, tree->texts[i], &err), err);
        CHECK(chmod(path.ptr, tree->entries[i].mode & 0777) == 0);
    }
}

static Tree *walked;
static Arena *walk_arena;
static size_t walk_root;

static int read_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)walk;
    Str text, name = strlen(path) > walk_root ? str_copy(walk_arena, str_of(path + walk_root)) : S("");
    Err err = {0};
    if (kind == FTW_D)
        return str_eq(name, S(".git")) ? FTW_SKIP_SUBTREE : FTW_CONTINUE;
    if (S_ISLNK(st->st_mode)) {
        char target[512];
        ssize_t n = readlink(path, target, sizeof target);
        CHECK(n >= 0);
        put_entry(walked, name, LINK, str_copy(walk_arena, (Str){target, (size_t)n}));
        return FTW_CONTINUE;
    }
    CHECK_OK(os_read_file(path, 1 << 24, walk_arena, &text, &err), err);
    put_entry(walked, name, st->st_mode & 0100 ? 0100755 : 0100644, text);
    return FTW_CONTINUE;
}

static void read_tree(Str folder, Tree *out, Arena *arena) {
    Str path = in_tmp(arena, folder);
    out->count = 0;
    walked = out;
    walk_arena = arena;
    walk_root = path.len + 1;
    CHECK(nftw(path.ptr, read_entry, 16, FTW_PHYS | FTW_ACTIONRETVAL) == 0);
}

/* Runs git in a folder of the test; what it says goes to the file "out". */
static int run_git(Str folder, const char *const *arguments) {
    Arena arena = {0};
    const char *argv[24] = {"git",
                            "-c",
                            "core.fileMode=true",
                            "-c",
                            "user.name=t",
                            "-c",
                            "user.email=t@example.org",
                            "-c",
                            "core.autocrlf=false"};
    for (size_t n = 0; n < 14 && arguments[n]; n++)
        argv[9 + n] = arguments[n];
    Str out = in_tmp(&arena, S("out")), where = in_tmp(&arena, folder);
    pid_t child = fork();
    if (child == 0) {
        int file = open(out.ptr, O_WRONLY | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_RDWR);
        if (chdir(where.ptr) != 0 || dup2(file, 1) < 0 || dup2(file, 2) < 0 || dup2(null, 0) < 0)
            _exit(126);
        setenv("GIT_CEILING_DIRECTORIES", test_tmp(), 1);
        setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
        setenv("HOME", test_tmp(), 1);
        execvp("git", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = 0;
    arena_free(&arena);
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define GIT(folder, ...) run_git((folder), (const char *const[]){__VA_ARGS__, NULL})

static void need_git(void) {
    if (GIT(S(""), "--version") != 0)
        SKIP("git is not there");
}

static void remove_folder(Str folder, Arena *arena) {
    Tree *tree = ARENA_NEW(arena, Tree);
    read_tree(folder, tree, arena);
    for (size_t i = 0; i < tree->count; i++)
        CHECK(remove(in_tmp(arena,
                            str_printf(arena, "%.*s/%.*s", STR_ARG(folder), STR_ARG(tree->entries[i].path)))
                         .ptr) == 0);
}

/* ---- our own apply, on a tree in memory ---- */

static bool look(void *ctx, Str path, Arena *arena, PatchEntry *out, Err *err) {
    const Tree *tree = ctx;
    size_t at = find_path(tree, path);
    (void)arena;
    (void)err;
    *out = (PatchEntry){.text = S("")};
    if (at < tree->count)
        *out = (PatchEntry){.exists = true, .mode = tree->entries[at].mode, .text = tree->texts[at]};
    for (size_t i = 0; i < tree->count; i++)
        if (str_starts(tree->entries[i].path, path) && tree->entries[i].path.len > path.len &&
            tree->entries[i].path.ptr[path.len] == '/')
            *out = (PatchEntry){.exists = true, .is_folder = true, .text = S("")};
    return true;
}

/* The names below a folder: the next parts of the paths that begin with it. */
static bool list_names(void *ctx, Str folder, Arena *arena, Str **names, size_t *count, Err *err) {
    const Tree *tree = ctx;
    (void)err;
    *names = ARENA_ARRAY(arena, Str, tree->count);
    *count = 0;
    for (size_t i = 0; i < tree->count; i++) {
        Str path = tree->entries[i].path, rest = str_from(path, folder.len + 1);
        if (!str_starts(path, folder) || path.len <= folder.len || path.ptr[folder.len] != '/')
            continue;
        Str name = str_slice(rest, 0, str_find_char(rest, '/', 0));
        if (!*count || !str_eq((*names)[*count - 1], name))
            (*names)[(*count)++] = name;
    }
    return true;
}

static void apply_plan(Str patch_text, const Tree *before, Tree *out, bool reverse, int context,
                       Arena *arena) {
    PatchOptions options = {.strip = 1, .reverse = reverse, .unidiff_zero = !context};
    PatchSource source = {.ctx = (void *)(uintptr_t)before, .look = look, .list = list_names};
    Patch patch;
    PatchPlan plan;
    Err err = {0};
    *out = *before;
    if (!patch_text.len)
        return;
    CHECK_OK(patch_parse(patch_text, &options, arena, &patch, &err), err);
    CHECK_MSG(patch_plan(&patch, &options, source, arena, &plan, &err), "%s%s\n%.*s", err.text,
              reverse ? " (in reverse)" : "", STR_ARG(patch_text));
    for (size_t i = 0; i < plan.count; i++) {
        size_t at = find_path(out, plan.items[i].path);
        if (at < out->count)
            drop_entry(out, at);
        if (plan.items[i].after.exists)
            put_entry(out, plan.items[i].path, plan.items[i].after.mode, plan.items[i].after.text);
    }
}

/* ---- printing a tree ---- */

static Str print_trees(const Tree *before, const Tree *after, const TreeOptions *options, int context,
                       Arena *arena) {
    TreeSide old = {before->entries, before->count, (void *)(uintptr_t)before->texts, tree_load_text};
    TreeSide new = {after->entries, after->count, (void *)(uintptr_t)after->texts, tree_load_text};
    TreeDiff diff;
    FileDiff file;
    Buf out = {0};
    Err err = {0};
    CHECK_OK(tree_diff_begin(&old, &new, options, &diff, &err), err);
    for (bool found = true; found;) {
        CHECK_OK(tree_diff_next(&diff, arena, &file, &found, &err), err);
        size_t was = out.len;
        if (found)
            CHECK_OK(diff_print_verified(&file, context, &out, &err), err);
        CHECK(!found || out.len > was); /* equal entries are not told of */
    }
    tree_diff_end(&diff);
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

/* ---- golden cases ---- */

typedef struct Golden {
    Str title, printed, gits;
    bool has_gits;
    int context;
    TreeOptions options;
    Tree before, after;
} Golden;

/* C escapes, as in printed names. */
static Str unescaped(Str text, Arena *arena) {
    Buf out = {0};
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '\\') {
            buf_char(&out, text.ptr[i]);
            continue;
        }
        char c = text.ptr[++i];
        if (c >= '0' && c <= '3') {
            buf_char(&out, (char)((c - '0') * 64 + (text.ptr[i + 1] - '0') * 8 + text.ptr[i + 2] - '0'));
            i += 2;
        } else {
            buf_char(&out, c == 't' ? '\t' : c == 'n' ? '\n' : c);
        }
    }
    Str s = buf_copy(&out, arena);
    buf_free(&out);
    return s;
}

/* "MODE PATH" or "MODE PATH|crlf nonl escaped". */
static void golden_entry(Tree *tree, Str head, Str body, Arena *arena) {
    size_t bar = str_find_char(head, '|', 0);
    Str flags = bar == STR_NONE ? S("") : str_from(head, bar + 1);
    Str path = unescaped(str_slice(head, 7, bar), arena);
    Buf text = {0};
    if (str_contains(flags, S("nonl")) && body.len)
        body.len--;
    for (size_t i = 0; i < body.len; i++) {
        if (body.ptr[i] == '\n' && str_contains(flags, S("crlf")))
            buf_char(&text, '\r');
        buf_char(&text, body.ptr[i]);
    }
    Str s = buf_copy(&text, arena);
    put_entry(tree, path, (unsigned)strtoul(head.ptr, NULL, 8),
              str_contains(flags, S("escaped")) ? unescaped(s, arena) : s);
    buf_free(&text);
}

static Str without_index_lines(Str text, Arena *arena) {
    Buf out = {0};
    for (Str rest = text; rest.len;) {
        size_t end = str_find_char(rest, '\n', 0);
        Str line = str_slice(rest, 0, end == STR_NONE ? rest.len : end + 1);
        if (!str_starts(line, S("index ")))
            buf_str(&out, line);
        rest = str_from(rest, line.len);
    }
    Str s = buf_copy(&out, arena);
    buf_free(&out);
    return s;
}

static void check_with_git(const Golden *g, Arena *arena) {
    Str folder = str_printf(arena, "case-%zu", g->title.len ? (size_t)str_hash(g->title) % 1000000 : 0);
    Str context = str_printf(arena, "-U%d", g->context), text;
    Err err = {0};
    Tree *result = ARENA_NEW(arena, Tree);
    write_tree(&g->before, folder, arena);
    CHECK(GIT(folder, "init", "-q") == 0 && GIT(folder, "add", "-A") == 0 &&
          GIT(folder, "commit", "-q", "--allow-empty", "-m", "x") == 0);
    remove_folder(folder, arena);
    write_tree(&g->after, folder, arena);
    CHECK(GIT(folder, "add", "-A") == 0);
    CHECK(GIT(folder, "diff", "--cached", g->options.no_renames ? "--no-renames" : "-C", context.ptr,
              g->options.carries_binary ? "--binary" : "--no-color") == 0);
    CHECK_OK(os_read_file(in_tmp(arena, S("out")).ptr, 1 << 24, arena, &text, &err), err);
    if (!g->has_gits)
        CHECK_MSG(str_eq(without_index_lines(text, arena), without_index_lines(g->printed, arena)),
                  "%.*s: git prints\n%.*s", STR_ARG(g->title), STR_ARG(text));
    if (str_contains(g->printed, S("Binary files ")) || !g->printed.len)
        return;
    CHECK(GIT(folder, "reset", "-q", "--hard") == 0);
    CHECK_OK(os_write_file(in_tmp(arena, S("patch")).ptr, g->printed, &err), err);
    CHECK_MSG(GIT(folder, "apply", g->context ? "--index" : "--unidiff-zero", "../patch") == 0,
              "%.*s: git apply refuses it", STR_ARG(g->title));
    read_tree(folder, result, arena);
    check_trees_equal(result, &g->after);
}

static void check_golden(const Golden *g, bool has_git, Arena *arena) {
    Str text = print_trees(&g->before, &g->after, &g->options, g->context, arena);
    CHECK_MSG(str_eq(text, g->printed), "%.*s: printed is\n%.*s", STR_ARG(g->title), STR_ARG(text));
    if (has_git)
        check_with_git(g, arena);
}

static bool section(Str head, Str word, Str *rest) {
    *rest = str_starts(head, word) ? str_from(head, word.len) : S("");
    return str_starts(head, word);
}

static void golden_section(Golden *g, Str head, Str body, Arena *arena) {
    Str rest;
    if (section(head, S("old "), &rest))
        golden_entry(&g->before, rest, body, arena);
    else if (section(head, S("new "), &rest))
        golden_entry(&g->after, rest, body, arena);
    else if (section(head, S("printed"), &rest))
        g->printed = body;
    else if (section(head, S("git differs"), &rest))
        g->has_gits = true;
    else if (section(head, S("context "), &rest))
        g->context = rest.ptr[0] - '0';
    else if (section(head, S("binary"), &rest))
        g->options.carries_binary = true;
    else if (section(head, S("no renames"), &rest))
        g->options.no_renames = true;
    else
        CHECK_MSG(false, "%.*s: unknown section %.*s", STR_ARG(g->title), STR_ARG(head));
}

static void golden_trees(void) {
    Arena arena = {0};
    Err err = {0};
    Str rest;
    size_t cases = 0;
    bool has_git = GIT(S(""), "--version") == 0;
    Golden *g = ARENA_NEW(&arena, Golden);
    CHECK_OK(os_read_file(str_printf(&arena, "%s/tests/golden/diff/print.txt", test_source_dir()).ptr,
                          1 << 20, &arena, &rest, &err),
             err);
    while (rest.len) {
        CHECK(str_starts(rest, S("@@@ ")));
        size_t end = str_find_char(rest, '\n', 0), next = str_find(rest, S("\n@@@ "), 0);
        Str head = str_slice(rest, 4, end), title;
        Str body = str_slice(rest, end + 1, next == STR_NONE ? rest.len : next + 1);
        rest = next == STR_NONE ? S("") : str_from(rest, next + 1);
        if (!section(head, S("case "), &title)) {
            golden_section(g, head, body, &arena);
        } else {
            if (cases++)
                check_golden(g, has_git, &arena);
            *g = (Golden){.title = title, .context = 3};
        }
    }
    check_golden(g, has_git, &arena);
    CHECK(cases > 20);
    arena_free(&arena);
}

/* ---- random trees ---- */

static Str random_line(Arena *arena) {
    static const char *const WORDS[] = {
        "int f(void) {", "}",       "    x;", "",           "-- sql",
        "++ plus",       "\\ back", "@@ 1",   "f\xC3\xBCr", "diff --git a/x b/x"};
    const char *end = test_random() % 12 ? "\n" : "\r\n";
    if (test_random() % 3 == 0)
        return str_printf(arena, "%s%s", WORDS[test_random() % (sizeof WORDS / sizeof *WORDS)], end);
    return str_printf(arena, "  %llu;%s", (unsigned long long)(test_random() % 5000), end);
}

static Str random_text(Arena *arena) {
    Buf text = {0};
    size_t kind = test_random() % 10, lines = kind == 0  ? 0
                                              : kind < 4 ? test_random() % 4
                                                         : test_random() % 60;
    if (kind == 9) { /* binary */
        for (size_t i = test_random() % 300; i-- > 0;)
            buf_char(&text, (char)(test_random() % 5 ? test_random() : 0));
    }
    for (size_t i = 0; i < lines && kind < 9; i++)
        buf_str(&text, random_line(arena));
    if (text.len && test_random() % 5 == 0)
        text.len -= text.ptr[text.len - 1] == '\n';
    Str s = buf_copy(&text, arena);
    buf_free(&text);
    return s;
}

static Str edited_text(Str text, Arena *arena) {
    Buf out = {0};
    for (Str rest = text; rest.len;) {
        size_t end = str_find_char(rest, '\n', 0), deed = test_random() % 24;
        Str line = str_slice(rest, 0, end == STR_NONE ? rest.len : end + 1);
        if (deed != 0)
            buf_str(&out, line);
        if (deed < 2 && str_ends(line, S("\n")))
            buf_str(&out, random_line(arena));
        rest = str_from(rest, line.len);
    }
    if (test_random() % 6 == 0)
        buf_str(&out, random_line(arena));
    else if (out.len && test_random() % 8 == 0)
        out.len -= out.ptr[out.len - 1] == '\n';
    Str s = buf_copy(&out, arena);
    buf_free(&out);
    return s;
}

static Str random_path(Arena *arena) {
    static const char *const NAMES[] = {"plain.c",  "with blank", "tab\there", "new\nline", "quote\"d",
                                        "back\\sl", "f\xC3\xBCr", "\xFF\xFE",  "end ",      " start",
                                        "-dash",    "a => b",     "x\x01\x7F", "b/a/b",     "d/dev/null",
                                        "{brace}",  "d",          "d/e",       "star*",     ".hidden"};
    const char *name = NAMES[test_random() % (sizeof NAMES / sizeof *NAMES)];
    switch (test_random() % 4) {
    case 0: return str_of(name);
    case 1: return str_printf(arena, "%s/%llu", name, (unsigned long long)(test_random() % 3));
    case 2: return str_printf(arena, "deep er/%s", name);
    default: return str_printf(arena, "%s%llu", name, (unsigned long long)(test_random() % 30));
    }
}

/* Where a link points to: nowhere, so that git finds nothing behind it. */
static Str random_target(Arena *arena) {
    Str path = random_path(arena);
    return str_printf(arena, "to/%.*s", STR_ARG(path));
}

/* Neither a file twice, nor a file where a folder is needed. */
static bool is_free_path(const Tree *tree, Str path) {
    for (size_t i = 0; i < tree->count; i++) {
        Str other = tree->entries[i].path, longer = other.len > path.len ? other : path,
            shorter = other.len > path.len ? path : other;
        if (str_eq(other, path) || (str_starts(longer, shorter) && longer.ptr[shorter.len] == '/'))
            return false;
    }
    return true;
}

static void put_random(Tree *tree, Str text, unsigned mode, Arena *arena) {
    Str path = random_path(arena);
    if (is_free_path(tree, path))
        put_entry(tree, path, mode, text);
}

static void random_trees(Tree *before, Tree *after, Arena *arena) {
    for (size_t i = 4 + test_random() % 20; i-- > 0;) {
        size_t kind = test_random() % 8;
        put_random(before, kind == 0 ? random_target(arena) : random_text(arena),
                   kind == 0   ? LINK
                   : kind == 1 ? 0100755
                               : 0100644,
                   arena);
    }
    for (size_t i = 0; i < before->count; i++) {
        const TreeEntry *e = &before->entries[i];
        Str text = before->texts[i];
        size_t deed = test_random() % 12;
        bool is_link = e->mode == LINK;
        if (!is_free_path(after, e->path) || deed == 0)
            continue;
        if (deed == 1 || deed == 2) /* moved, perhaps changed */
            put_random(after, deed == 1 || is_link ? text : edited_text(text, arena), e->mode, arena);
        else if (deed == 3) /* another type or mode */
            put_entry(after, e->path, test_random() % 2 ? 0100755 : 0100644, text);
        else if (deed == 4 && !is_link)
            put_entry(after, e->path, LINK, random_target(arena));
        else
            put_entry(after, e->path, e->mode,
                      deed > 8    ? text
                      : is_link   ? random_target(arena)
                      : deed == 5 ? random_text(arena)
                                  : edited_text(text, arena));
        if (deed > 6 && deed < 10 && !is_link) /* and copied */
            put_random(after, edited_text(text, arena), e->mode, arena);
    }
    for (size_t i = test_random() % 4; i-- > 0;)
        put_random(after, random_text(arena), 0100644, arena);
}

static void count_words(Str text, size_t *renames, size_t *copies) {
    for (size_t at = 0; (at = str_find(text, S("\nrename from "), at)) != STR_NONE; at++)
        ++*renames;
    for (size_t at = 0; (at = str_find(text, S("\ncopy from "), at)) != STR_NONE; at++)
        ++*copies;
}

/* Forwards by git and by us, backwards by us. */
static void git_takes_random_trees(void) {
    size_t renames = 0, copies = 0, reversed = 0;
    need_git();
    for (int round = 0; round < RANDOM_TREES; round++) {
        Arena arena = {0};
        Tree *trees = ARENA_ARRAY(&arena, Tree, 3), *before = &trees[0], *after = &trees[1],
             *result = &trees[2];
        TreeOptions options = {
            .carries_binary = true, .no_renames = round % 8 == 0, .no_copies = round % 8 == 1};
        int context = round % 5;
        Str folder = str_printf(&arena, "round-%d", round);
        Err err = {0};
        random_trees(before, after, &arena);
        Str text = print_trees(before, after, &options, context, &arena);
        count_words(text, &renames, &copies);
        apply_plan(text, before, result, false, context, &arena);
        check_trees_equal(result, after);
        /* A copy cannot be undone, both names are there; without context a place may not be the only one. */
        if (context && !str_contains(text, S("\ncopy from "))) {
            apply_plan(text, after, result, true, context, &arena);
            check_trees_equal(result, before);
            reversed++;
        }
        if (text.len) {
            write_tree(before, folder, &arena);
            CHECK_OK(os_write_file(in_tmp(&arena, S("patch")).ptr, text, &err), err);
            int status =
                GIT(folder, "apply", context ? "../patch" : "--unidiff-zero", context ? NULL : "../patch");
            Str says;
            CHECK_OK(os_read_file(in_tmp(&arena, S("out")).ptr, 1 << 20, &arena, &says, &err), err);
            CHECK_MSG(status == 0, "round %d: git apply says\n%.*s%.*s", round, STR_ARG(says), STR_ARG(text));
            read_tree(folder, result, &arena);
            check_trees_equal(result, after);
        }
        arena_free(&arena);
    }
    CHECK(renames > 20 && copies > 20 && reversed > 20);
}

/* ---- the loader ---- */

typedef struct Counted {
    const Tree *tree;
    size_t loads, failing; /* the load that fails, from 1 */
} Counted;

static bool load_counted(void *ctx, size_t index, Buf *room, Str *text, Err *err) {
    Counted *c = ctx;
    if (++c->loads == c->failing)
        return err_set(err, ERR_IO, "cannot read %.*s", STR_ARG(c->tree->entries[index].path));
    CHECK_INT(room->len, 0);
    buf_str(room, c->tree->texts[index]);
    *text = buf_text(room);
    return true;
}

/* Every load that fails ends the comparison with its sentence; nothing leaks. */
static void failing_loads_end_it(void) {
    Arena arena = {0};
    Tree *before = ARENA_NEW(&arena, Tree), *after = ARENA_NEW(&arena, Tree);
    put_entry(before, S("gone"), 0100644, S("1\n2\n3\n4\n5\n"));
    put_entry(before, S("same"), 0100644, S("x\n"));
    put_entry(before, S("same size"), 0100644, S("x\ny\nz\n"));
    put_entry(after, S("come"), 0100644, S("1\n2\n3\n4\n6\n"));
    put_entry(after, S("copy"), 0100644, S("x\ny\nq\n"));
    put_entry(after, S("same"), 0100644, S("x\n"));
    put_entry(after, S("same size"), 0100644, S("x\ny\nw\n"));
    size_t failing = 1, failures = 0;
    for (bool failed = true; failed; failing++) {
        Counted counted[2] = {{before, 0, failing}, {after, 0, 0}};
        TreeSide old = {before->entries, before->count, &counted[0], load_counted};
        TreeSide new = {after->entries, after->count, &counted[1], load_counted};
        TreeOptions options = {0};
        TreeDiff diff;
        FileDiff file;
        Err err = {0};
        size_t changes = 0;
        bool ok = tree_diff_begin(&old, &new, &options, &diff, &err);
        for (bool found = true; ok && found; changes += ok && found)
            ok = tree_diff_next(&diff, &arena, &file, &found, &err);
        tree_diff_end(&diff);
        failed = !ok;
        failures += failed;
        if (failed)
            CHECK(err.code == ERR_IO && str_starts(str_of(err.text), S("cannot read ")));
        else
            CHECK_INT(changes, 3);
    }
    CHECK(failures >= 4);
    arena_free(&arena);
}

/* Trees without new files are read once, file by file. */
static void nothing_is_read_twice_without_need(void) {
    Arena arena = {0};
    Tree *before = ARENA_NEW(&arena, Tree), *after = ARENA_NEW(&arena, Tree);
    for (int i = 0; i < 20; i++) {
        put_entry(before, str_printf(&arena, "%02d", i), 0100644, S("x\ny\n"));
        if (i)
            put_entry(after, str_printf(&arena, "%02d", i), 0100644, i == 5 ? S("x\nz\n") : S("x\ny\n"));
    }
    Counted counted[2] = {{before, 0, 0}, {after, 0, 0}};
    TreeSide old = {before->entries, before->count, &counted[0], load_counted};
    TreeSide new = {after->entries, after->count, &counted[1], load_counted};
    TreeOptions options = {0};
    TreeDiff diff;
    FileDiff file;
    bool found;
    CHECK(tree_diff_begin(&old, &new, &options, &diff, NULL));
    CHECK(tree_diff_next(&diff, &arena, &file, &found, NULL) && found && file.is_deleted);
    CHECK(tree_diff_next(&diff, &arena, &file, &found, NULL) && found);
    CHECK_STR(file.hunks.after, S("x\nz\n"));
    CHECK(tree_diff_next(&diff, &arena, &file, &found, NULL) && !found);
    CHECK(tree_diff_next(&diff, &arena, &file, &found, NULL) && !found);
    tree_diff_end(&diff);
    CHECK_INT(counted[0].loads, 20);
    CHECK_INT(counted[1].loads, 19);
    arena_free(&arena);
}

static void entries_out_of_order_are_refused(void) {
    TreeEntry twice[] = {{S("a"), 0100644, 0}, {S("a"), 0100644, 0}};
    TreeEntry falling[] = {{S("b"), 0100644, 0}, {S("a"), 0100644, 0}};
    Str texts[] = {S(""), S("")};
    TreeOptions options = {0};
    TreeDiff diff;
    Err err = {0};
    TreeSide good = {falling + 1, 1, texts, tree_load_text}, bad = {twice, 2, texts, tree_load_text},
             worse = {falling, 2, texts, tree_load_text};
    CHECK(!tree_diff_begin(&bad, &good, &options, &diff, &err) && err.code == ERR_INVALID);
    tree_diff_end(&diff);
    CHECK(!tree_diff_begin(&good, &worse, &options, &diff, &err) && err.code == ERR_INVALID);
    tree_diff_end(&diff);
}

static const TestCase CASES[] = {{"golden_trees", golden_trees},
                                 {"git_takes_random_trees", git_takes_random_trees},
                                 {"failing_loads_end_it", failing_loads_end_it},
                                 {"nothing_is_read_twice_without_need", nothing_is_read_twice_without_need},
                                 {"entries_out_of_order_are_refused", entries_out_of_order_are_refused}};
TEST_SUITE(DIFF_TREE_SUITE, "tree", CASES);
