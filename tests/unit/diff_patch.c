#define _GNU_SOURCE
/* Patches: printed ones go through git-apply, random and damaged ones must be taken or refused as git-apply
 * does, with the same result. Everything that needs git is skipped where there is none. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "diff/diff.h"
#include "diff/patch.h"
#include "tests/runner.h"
#include "tests/unit/diff_git.h"

enum { MOST_BYTES = 1 << 20, GIT_CASES = 400 };

static Str path_in_tmp(Arena *arena, const char *name) {
    return str_printf(arena, "%s/%s", test_tmp(), name);
}

static void need_git(void) {
    if (!git_is_there())
        SKIP("git is not there");
}

static void write_file(Arena *arena, const char *name, Str text) {
    Str path = path_in_tmp(arena, name);
    Err err = {0};
    char *folder = str_cstr(arena, str_slice(path, 0, str_rfind_char(path, '/')));
    CHECK_OK(os_make_dirs(folder, &err), err);
    CHECK_OK(os_write_file(path.ptr, text, &err), err);
}

/* ---- random texts ---- */

/* A few random edits of whole lines. */
static Str edited(Arena *arena, Str text, size_t edits, bool crlf) {
    Str *lines = ARENA_ARRAY(arena, Str, text.len + 1);
    size_t count = 0;
    for (Str rest = text; rest.len; rest = str_from(rest, lines[count++].len)) {
        size_t end = str_find_char(rest, '\n', 0);
        lines[count] = str_slice(rest, 0, end == STR_NONE ? rest.len : end + 1);
    }
    unsigned char *deeds = ARENA_ARRAY(arena, unsigned char, count + 1);
    for (size_t i = 0; i < edits; i++)
        deeds[test_random() % (count + 1)] = (unsigned char)(1 + test_random() % 4);
    Buf out = {0};
    for (size_t i = 0; i <= count; i++) {
        if (deeds[i] == 1 || deeds[i] == 2)
            buf_printf(&out, "%s%u%s", test_random() % 3 ? "new " : "-- ", (unsigned)(test_random() % 9),
                       crlf ? "\r\n" : "\n");
        if (i < count && (deeds[i] == 0 || deeds[i] == 1))
            buf_str(&out, lines[i]);
        if (i < count && deeds[i] == 4 && count < 4000)
            buf_str(&out, lines[test_random() % count]);
    }
    if (out.len && test_random() % 8 == 0)
        out.len -= out.ptr[out.len - 1] == '\n';
    Str s = buf_copy(&out, arena);
    buf_free(&out);
    return s;
}

static Str random_file(Arena *arena, bool crlf) {
    static const char *const WORDS[] = {"a",    "b",    "",     "}",    "    x",
                                        "-- c", "++ d", "\\ e", "@@ f", "long line of text"};
    Buf text = {0};
    size_t lines = test_random() % 5 ? test_random() % 40 : test_random() % 3;
    size_t words = 2 + test_random() % 9;
    for (size_t i = 0; i < lines; i++) {
        buf_cstr(&text, WORDS[test_random() % words]);
        if (test_random() % 2)
            buf_printf(&text, "%u", (unsigned)(test_random() % 20));
        if (i + 1 < lines || test_random() % 4)
            buf_cstr(&text, crlf ? "\r\n" : "\n");
    }
    Str s = buf_copy(&text, arena);
    buf_free(&text);
    return s;
}

static void print_diff(const char *path, Str before, Str after, int context, Arena *arena, Buf *out,
                       bool is_new, bool is_deleted) {
    FileDiff file = {
        .old_path = str_of(path), .new_path = str_of(path), .is_new = is_new, .is_deleted = is_deleted};
    CHECK(diff_lines(S(""), before, after, arena, &file.hunks, NULL));
    diff_print(&file, context, out);
}

/* ---- git takes what is printed ---- */

typedef struct RealFile {
    Str before, after;
    const char *name;
    bool is_new, is_deleted;
} RealFile;

static Str real_files[48];
static size_t real_file_count;
static Arena real_arena;

static int collect_real_file(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)walk;
    Str text;
    if (kind == FTW_F && st->st_size < 200000 && test_random() % 12 == 0 &&
        os_read_file(path, MOST_BYTES, &real_arena, &text, NULL) && !text_is_binary(text))
        real_files[real_file_count++] = text;
    return real_file_count == sizeof real_files / sizeof *real_files;
}

static void collect_real_files(void) {
    static const char *const FOLDERS[] = {"diff", "base", "planner", "tests/unit"};
    real_file_count = 0;
    nftw("/usr/lib/python3.11", collect_real_file, 16, FTW_PHYS);
    real_file_count = real_file_count > 20 ? 20 : real_file_count;
    nftw("/usr/include", collect_real_file, 16, FTW_PHYS);
    real_file_count = real_file_count > 36 ? 36 : real_file_count;
    for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++)
        nftw(str_printf(&real_arena, "%s/%s", test_source_dir(), FOLDERS[i]).ptr, collect_real_file, 16,
             FTW_PHYS);
    CHECK(real_file_count > 0);
}

static void git_takes_printed_patches(void) {
    static const char *const NAMES[] = {"plain%zu.c",    "d/with blank %zu", "d/tab\t%zu",
                                        "quote\"%zu",    "back\\%zu",        "f\xC3\xBCr%zu",
                                        "d/e/f/%zu.txt", "end %zu ",         "new\nline%zu"};
    need_git();
    collect_real_files();
    for (int context = 0; context < 5; context++) {
        Arena arena = {0};
        RealFile files[48];
        Buf patch = {0};
        for (size_t i = 0; i < real_file_count; i++) {
            RealFile *f = &files[i];
            char name[64];
            snprintf(name, sizeof name, NAMES[test_random() % (sizeof NAMES / sizeof *NAMES)], i);
            *f = (RealFile){.before = real_files[i], .name = str_cstr(&arena, str_of(name))};
            size_t kind = test_random() % 12;
            f->before = kind == 1 ? S("") : f->before;
            f->after = edited(&arena, f->before, 1 + test_random() % 20, false);
            f->is_new = kind == 2;
            f->is_deleted = kind == 3;
            f->before = f->is_new ? S("") : f->before;
            f->after = f->is_deleted || kind == 4 ? S("") : f->after;
            if (!f->is_new)
                write_file(&arena, f->name, f->before);
            print_diff(f->name, f->before, f->after, context, &arena, &patch, f->is_new, f->is_deleted);
        }
        write_file(&arena, "patch", buf_text(&patch));
        const char *const apply[] = {"git", "apply", context ? "patch" : "--unidiff-zero",
                                     context ? NULL : "patch", NULL};
        CHECK_INT(git_run(test_tmp(), apply), 0);
        for (size_t i = 0; i < real_file_count; i++) {
            Str text, path = path_in_tmp(&arena, files[i].name);
            if (files[i].is_deleted) {
                CHECK(access(path.ptr, F_OK) != 0);
                continue;
            }
            CHECK(os_read_file(path.ptr, MOST_BYTES, &arena, &text, NULL));
            CHECK_STR(text, files[i].after);
            unlink(path.ptr);
        }
        buf_free(&patch);
        arena_free(&arena);
    }
    arena_free(&real_arena);
}

/* ---- the same verdict and the same result as git ---- */

static Str damaged(Arena *arena, Str patch) {
    Buf out = {0};
    size_t lines = 0, line = 0;
    for (size_t i = 0; i < patch.len; i++)
        lines += patch.ptr[i] == '\n';
    size_t target = lines ? test_random() % (lines + 1) : 0, kind = test_random() % 8;
    for (Str rest = patch; rest.len; line++) {
        size_t end = str_find_char(rest, '\n', 0);
        Str text = str_slice(rest, 0, end == STR_NONE ? rest.len : end + 1);
        rest = str_from(rest, text.len);
        if (line != target) {
            buf_str(&out, text);
            continue;
        }
        if (kind == 1)
            buf_str(&out, text);
        if (kind != 0)
            buf_str(&out, text);
        if (kind >= 2 && kind <= 5 && out.len > 1)
            out.ptr[out.len - 1 - test_random() % text.len] = "+- @\\1290ax\n"[test_random() % 12];
        if (kind == 6)
            buf_cstr(&out, "\\ No newline at end of file\n");
        if (kind == 7)
            break;
    }
    Str s = buf_copy(&out, arena);
    buf_free(&out);
    return s;
}

typedef struct Tree {
    bool exists;
    Str text;
} Tree;

/* What patch_parse and patch_apply make of the one file of the tree. */
static bool apply_ours(Str patch_text, const PatchOptions *options, Str path, Tree *tree, Arena *arena,
                       Err *err) {
    Patch patch;
    if (!patch_parse(patch_text, options, arena, &patch, err))
        return false;
    bool was_on_disk = tree->exists; /* what git asks before it creates */
    for (size_t i = 0; i < patch.count; i++) {
        const PatchFile *file = &patch.files[i];
        bool creates = file->kind == PATCH_CREATE;
        Str name = creates ? file->new_path : file->old_path;
        bool is_ours = str_eq(name, path);
        if (!creates && (!is_ours || !tree->exists))
            return err_set(err, ERR_NOT_FOUND, "no file %.*s", STR_ARG(name));
        if (creates && is_ours && tree->exists && was_on_disk)
            return err_set(err, ERR_CONFLICT, "%.*s exists", STR_ARG(name));
        Str text;
        if (!patch_apply(file, creates ? S("") : tree->text, options, arena, &text, NULL, err))
            return false;
        if (is_ours)
            *tree = (Tree){file->kind != PATCH_DELETE && str_eq(file->new_path, path), text};
    }
    return true;
}

static bool apply_git(Str patch, const PatchOptions *options, Str path, Tree *tree, Arena *arena) {
    const char *arguments[8] = {"git", "apply", str_printf(arena, "-p%d", options->strip).ptr};
    size_t n = 3;
    if (options->reverse)
        arguments[n++] = "--reverse";
    if (options->recount)
        arguments[n++] = "--recount";
    if (options->unidiff_zero)
        arguments[n++] = "--unidiff-zero";
    arguments[n++] = "the.patch";
    Str full = path_in_tmp(arena, str_cstr(arena, path));
    write_file(arena, "the.patch", patch);
    unlink(path_in_tmp(arena, "d/f").ptr); /* of the case before */
    unlink(path_in_tmp(arena, "f").ptr);
    if (tree->exists)
        write_file(arena, str_cstr(arena, path), tree->text);
    bool ok = git_run(test_tmp(), arguments) == 0;
    tree->exists = os_read_file(full.ptr, MOST_BYTES, arena, &tree->text, NULL);
    return ok;
}

static void same_verdict_as_git(void) {
    size_t accepted = 0, refused = 0;
    need_git();
    for (int i = 0; i < GIT_CASES; i++) {
        Arena arena = {0};
        bool crlf = test_random() % 6 == 0;
        int shape = (int)(test_random() % 10), context = (int)(test_random() % 4);
        Str before = random_file(&arena, crlf), after = edited(&arena, before, 1 + test_random() % 4, crlf);
        bool is_new = shape == 0, is_deleted = shape == 1;
        before = is_new ? S("") : before;
        after = is_deleted ? S("") : after;
        Buf patch = {0};
        print_diff("d/f", before, after, context, &arena, &patch, is_new, is_deleted);
        PatchOptions options = {.strip = test_random() % 8 ? 1 : 2,
                                .reverse = test_random() % 5 == 0,
                                .recount = test_random() % 5 == 0,
                                .unidiff_zero =
                                    context == 0 ? test_random() % 4 > 0 : test_random() % 8 == 0};
        Str text = buf_copy(&patch, &arena), path = options.strip == 1 ? S("d/f") : S("f");
        if (shape == 2) /* the old form, without git's headers */
            text =
                str_from(text, str_find(text, S("--- "), 0) == STR_NONE ? 0 : str_find(text, S("--- "), 0));
        if (test_random() % 2)
            text = damaged(&arena, text);
        Tree before_tree = {!is_new, before};
        if (options.reverse)
            before_tree = (Tree){!is_deleted, after};
        if (before_tree.exists && test_random() % 3 == 0)
            before_tree.text = test_random() % 2
                                   ? str_concat(&arena, S("x\ny\nz\n"), before_tree.text)
                                   : edited(&arena, before_tree.text, 1 + test_random() % 2, crlf);
        Tree git = before_tree, ours = before_tree;
        Err err = {0};
        bool git_ok = apply_git(text, &options, path, &git, &arena);
        bool ours_ok = apply_ours(text, &options, path, &ours, &arena, &err);
        CHECK_MSG(git_ok == ours_ok && (!git_ok || git.exists == ours.exists),
                  "case %d (-p%d%s%s%s): git %s, we %s %s\n%.*s----\n%.*s----", i, options.strip,
                  options.reverse ? " --reverse" : "", options.recount ? " --recount" : "",
                  options.unidiff_zero ? " --unidiff-zero" : "", git_ok ? "takes" : "refuses",
                  ours_ok ? "take" : "refuse:", err.text, STR_ARG(text), STR_ARG(before_tree.text));
        if (git_ok && git.exists)
            CHECK_MSG(str_eq(git.text, ours.text),
                      "case %d: git gives\n%.*s---- we give\n%.*s---- patch\n%.*s", i, STR_ARG(git.text),
                      STR_ARG(ours.text), STR_ARG(text));
        *(git_ok ? &accepted : &refused) += 1;
        buf_free(&patch);
        arena_free(&arena);
    }
    CHECK(accepted > GIT_CASES / 4 && refused > GIT_CASES / 8);
}

/* ---- hunks far from where they say ---- */

/* A text of few different lines, so that a place is told by several of them. */
static Str few_words(Arena *arena, size_t lines, size_t words, size_t **begins) {
    Buf text = {0};
    *begins = ARENA_ARRAY(arena, size_t, lines + 1);
    for (size_t i = 0; i < lines; i++) {
        (*begins)[i] = text.len;
        buf_printf(&text, "w%u\n", (unsigned)(test_random() % words));
    }
    (*begins)[lines] = text.len;
    Str s = buf_copy(&text, arena);
    buf_free(&text);
    return s;
}

static void put_lines(Str text, const size_t *begins, size_t first, size_t count, Buf *out) {
    for (size_t i = first; i < first + count; i++) {
        buf_char(out, ' ');
        buf_str(out, str_slice(text, begins[i], begins[i + 1]));
    }
}

/* Every hunk changes one line and names any line of the file as its place. */
static Str misplaced_hunks(Arena *arena, Str text, const size_t *begins, size_t lines, size_t hunks) {
    Buf out = {0};
    buf_cstr(&out, "--- a/f\n+++ b/f\n");
    for (size_t i = 0; i < hunks; i++) {
        size_t at = 10 + i * ((lines - 20) / hunks), said = 2 + test_random() % (lines - 10);
        buf_printf(&out, "@@ -%zu,7 +%zu,7 @@\n", said, said);
        put_lines(text, begins, at - 3, 3, &out);
        buf_printf(&out, "-%.*s+new %zu\n", STR_ARG(str_slice(text, begins[at], begins[at + 1])), i);
        put_lines(text, begins, at + 1, 3, &out);
    }
    Str s = buf_copy(&out, arena);
    buf_free(&out);
    return s;
}

static void far_places_as_git(void) {
    enum { LINES = 20000, HUNKS = 150 };
    size_t accepted = 0;
    need_git();
    for (int i = 0; i < 12; i++) {
        Arena arena = {0};
        size_t *begins;
        Err err = {0};
        PatchOptions options = {.strip = 1};
        Str text = few_words(&arena, LINES, i % 2 ? 12 : 400, &begins);
        Str patch = misplaced_hunks(&arena, text, begins, LINES, HUNKS);
        Tree git = {true, text}, ours = git;
        bool git_ok = apply_git(patch, &options, S("f"), &git, &arena);
        CHECK_MSG(apply_ours(patch, &options, S("f"), &ours, &arena, &err) == git_ok, "case %d: %s", i,
                  err.text);
        CHECK_MSG(!git_ok || str_eq(ours.text, git.text), "case %d: other places than git's", i);
        accepted += git_ok;
        arena_free(&arena);
    }
    CHECK(accepted > 4);
}

/* With context: a hunk without any may fit next to its place, to git as well. */
static void own_patches_round_trip(void) {
    for (int i = 0; i < 3000; i++) {
        Arena arena = {0};
        bool crlf = test_random() % 6 == 0;
        int context = 1 + (int)(test_random() % 3);
        Str before = random_file(&arena, crlf), after = edited(&arena, before, 1 + test_random() % 4, crlf),
            back;
        Buf text = {0};
        print_diff("a b/\"c\"", before, after, context, &arena, &text, false, false);
        for (int reverse = 0; text.len && reverse < 2; reverse++) {
            PatchOptions options = {.strip = 1, .reverse = reverse, .recount = i % 2};
            Patch patch;
            Err err = {0};
            CHECK_OK(patch_parse(buf_text(&text), &options, &arena, &patch, &err), err);
            CHECK_INT(patch.count, 1);
            CHECK_STR(patch.files[0].new_path, S("a b/\"c\""));
            CHECK_OK(
                patch_apply(&patch.files[0], reverse ? after : before, &options, &arena, &back, NULL, &err),
                err);
            CHECK_MSG(str_eq(back, reverse ? before : after),
                      "case %d, reverse %d:\n%.*s---- gives\n%.*s---- from\n%.*s", i, reverse,
                      STR_ARG(buf_text(&text)), STR_ARG(back), STR_ARG(reverse ? after : before));
        }
        buf_free(&text);
        arena_free(&arena);
    }
}

static const TestCase CASES[] = {{"own_patches_round_trip", own_patches_round_trip},
                                 {"git_takes_printed_patches", git_takes_printed_patches},
                                 {"same_verdict_as_git", same_verdict_as_git},
                                 {"far_places_as_git", far_places_as_git}};
TEST_SUITE(DIFF_PATCH_SUITE, "patch", CASES);
