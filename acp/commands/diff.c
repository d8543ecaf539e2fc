/* diff: what turns one file or tree into another, as `git apply` takes it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "acp/commands/commands.h"
#include "base/os.h"
#include "diff/diff.h"

#define DIFF_FILE_MAX ((size_t)256 << 20)
#define DIFF_DEPTH_MAX 100

typedef struct DiffJob {
    Arena arena;
    Str root;
    Str *names; /* relative, of both trees, sorted, each once */
    size_t count, capacity;
} DiffJob;

typedef struct Side {
    Str text;
    bool exists;
    unsigned mode;
} Side;

/* The regular files below a folder; links and .git are passed over. */
static bool list_files(DiffJob *job, Str base, Str relative, int depth, Err *err) {
    Str folder = relative.len ? str_printf(&job->arena, "%.*s/%.*s", STR_ARG(base), STR_ARG(relative)) : base;
    DIR *dir = depth < DIFF_DEPTH_MAX ? opendir(str_cstr(&job->arena, folder)) : NULL;
    if (!dir)
        return err_set_errno(err, errno, "cannot list the folder %.*s", STR_ARG(folder));
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || !strcmp(entry->d_name, ".git"))
            continue;
        Str name = relative.len ? str_printf(&job->arena, "%.*s/%s", STR_ARG(relative), entry->d_name)
                                : str_copy(&job->arena, str_of(entry->d_name));
        Str full = str_printf(&job->arena, "%.*s/%.*s", STR_ARG(base), STR_ARG(name));
        struct stat st;
        if (lstat(full.ptr, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            ok = list_files(job, base, name, depth + 1, err);
        else if (S_ISREG(st.st_mode))
            LIST_PUSH(&job->arena, job->names, job->count, job->capacity, name);
    }
    closedir(dir);
    return ok;
}

static int by_name(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static bool read_side(Str path, Arena *arena, Side *out, Err *err) {
    *out = (Side){.text = S("")};
    struct stat st;
    const char *name = str_cstr(arena, path);
    if (stat(name, &st) != 0 || strcmp(name, "/dev/null") == 0)
        return true;
    out->exists = true;
    out->mode = st.st_mode & 0111 ? 0100755 : 0100644;
    return os_read_file(name, DIFF_FILE_MAX, arena, &out->text, err);
}

static bool print_file(Str name, Str a, Str b, Err *err) {
    Arena arena = {0};
    Side before, after;
    bool ok = read_side(a, &arena, &before, err) && read_side(b, &arena, &after, err);
    if (ok && (before.exists || after.exists)) {
        FileDiff file = {
            .old_path = name, .new_path = name, .is_new = !before.exists, .is_deleted = !after.exists};
        file.old_mode = before.exists ? before.mode : after.mode;
        file.new_mode = after.exists ? after.mode : before.mode;
        file.is_binary = text_is_binary(before.text) || text_is_binary(after.text);
        bool is_equal = before.exists == after.exists && str_eq(before.text, after.text);
        if (file.is_binary && !is_equal)
            fprintf(stderr, "mux-acp diff: %.*s is binary; the diff names it but cannot carry it\n",
                    STR_ARG(name));
        ok = diff_lines(name, before.text, after.text, &arena, &file.hunks, err);
        Buf out = {0};
        if (ok && !(is_equal && file.old_mode == file.new_mode))
            diff_print(&file, 3, &out);
        if (out.len && fwrite(out.ptr, 1, out.len, stdout) != out.len)
            ok = err_set(err, ERR_IO, "cannot write the diff");
        buf_free(&out);
    }
    arena_free(&arena);
    return ok;
}

static bool diff_trees(DiffJob *job, Str a, Str b, Err *err) {
    if (!list_files(job, a, S(""), 0, err) || !list_files(job, b, S(""), 0, err))
        return false;
    qsort(job->names, job->count, sizeof *job->names, by_name);
    for (size_t i = 0; i < job->count; i++) {
        Str name = job->names[i];
        if (i > 0 && str_eq(name, job->names[i - 1]))
            continue;
        if (!print_file(name, str_printf(&job->arena, "%.*s/%.*s", STR_ARG(a), STR_ARG(name)),
                        str_printf(&job->arena, "%.*s/%.*s", STR_ARG(b), STR_ARG(name)), err))
            return false;
    }
    return true;
}

/* How a file is called in the diff: relative to the root when it lies below, else by its last part. */
static Str shown_name(const DiffJob *job, Str path) {
    if (str_starts(path, job->root) && path.len > job->root.len && path.ptr[job->root.len] == '/')
        return str_from(path, job->root.len + 1);
    return str_from(path, str_rfind_char(path, '/') + 1);
}

static bool resolve(DiffJob *job, const char *given, Str *out, Err *err) {
    char path[PATH_MAX];
    Str full =
        given[0] == '/' ? str_of(given) : str_printf(&job->arena, "%.*s/%s", STR_ARG(job->root), given);
    if (strcmp(given, "/dev/null") == 0) {
        *out = full;
        return true;
    }
    if (!realpath(full.ptr, path))
        return err_set_errno(err, errno, "cannot read %s", given);
    *out = str_copy(&job->arena, str_of(path));
    return true;
}

static bool is_folder(Str path) {
    struct stat st;
    return stat(path.ptr, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool diff_given(DiffJob *job, const Settings *settings, Err *err) {
    char root[PATH_MAX];
    Str a, b;
    if (!realpath(settings_has(settings, OPT_ROOT) ? settings->values[OPT_ROOT] : ".", root))
        return err_set_errno(err, errno, "the root folder cannot be used");
    job->root = str_copy(&job->arena, str_of(root));
    if (!resolve(job, settings->words[0], &a, err) || !resolve(job, settings->words[1], &b, err))
        return false;
    if (is_folder(a) != is_folder(b))
        return err_set(err, ERR_INVALID, "a file and a folder cannot be compared");
    if (is_folder(a))
        return diff_trees(job, a, b, err);
    return print_file(shown_name(job, str_eq(a, S("/dev/null")) ? b : a), a, b, err);
}

static int run(const Settings *settings) {
    if (settings->word_count != 2)
        return command_usage(&COMMAND_DIFF, "name two files or two folders");
    DiffJob job = {0};
    Err err = {0};
    bool ok = diff_given(&job, settings, &err);
    if (ok && fflush(stdout) != 0)
        ok = err_set(&err, ERR_IO, "cannot write the diff");
    arena_free(&job.arena);
    return ok ? STATUS_DONE : command_fail("diff", STATUS_FAILED, &err);
}

const Command COMMAND_DIFF = {
    "diff", "[--root DIR] A B", "unified diff of two files or trees", OPTION(ROOT), run,
};
