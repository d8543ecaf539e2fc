/* diff: what turns one file or tree into another, as `git apply` takes it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/commands/diff_paint.h"
#include "acp/commands/terminal.h"
#include "base/os.h"
#include "diff/tree.h"

#define DIFF_FILE_MAX ((size_t)1 << 30)

enum { DIFF_DEPTH_MAX = 100, WRITE_BYTES = 64 * 1024, CONTEXT_LINES = 3, MODE_LINK = 0120000 };

/* One of the two things to compare, on the disk. */
typedef struct DiffSide {
    Str base;
    bool is_tree;
    int root; /* the tree's folder, or AT_FDCWD */
    TreeEntry *entries;
    size_t count, capacity;
    Arena *arena;
} DiffSide;

typedef struct DiffJob {
    Arena arena;
    Str root;
    int context;
    bool has_colour;
    Buf out;
} DiffJob;

static void note(Str name, const char *what) {
    command_say("mux-acp diff: %.*s %s", STR_ARG(name), what);
}

static unsigned git_mode(mode_t mode) {
    return S_ISLNK(mode) ? MODE_LINK : mode & S_IXUSR ? 0100755 : 0100644;
}

/* ---- trees ---- */

static bool list_folder(DiffSide *side, int folder, Str relative, int depth, Err *err);

/* ".git" as some file system might take it: in any case, in its short form, with dots, blanks or a stream's
 * name behind it. git-apply takes no such name. */
static bool means_git(Str part) {
    Str name = str_eq_nocase(str_slice(part, 0, 4), S(".git"))    ? str_from(part, 4)
               : str_eq_nocase(str_slice(part, 0, 5), S("git~1")) ? str_from(part, 5)
                                                                  : S("x");
    while (name.len && (name.ptr[0] == '.' || name.ptr[0] == ' '))
        name = str_from(name, 1);
    return !name.len || name.ptr[0] == ':';
}

/* Git's own folder is no part of a tree, nor are the backups of this program. */
static bool is_no_part(DiffSide *side, Str relative, const char *name) {
    if (strcmp(name, ".git") == 0 || (!relative.len && strcmp(name, ".mux") == 0))
        return true;
    bool is_git = false;
    for (Str rest = str_of(name); rest.len && !is_git;) { /* a backslash parts names elsewhere */
        size_t end = str_find_char(rest, '\\', 0);
        is_git = means_git(str_slice(rest, 0, end));
        rest = end == STR_NONE ? S("") : str_from(rest, end + 1);
    }
    if (is_git)
        note(str_printf(side->arena, "%.*s%s", STR_ARG(relative), name),
             "is passed over: no patch may name it");
    return is_git;
}

static bool list_entry(DiffSide *side, int folder, Str relative, const char *name, int depth, Err *err) {
    struct stat st;
    if (is_no_part(side, relative, name))
        return true;
    Str path = str_printf(side->arena, "%.*s%s", STR_ARG(relative), name);
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ||
               err_set_errno(err, errno, "cannot look at %.*s/%.*s", STR_ARG(side->base), STR_ARG(path));
    if (S_ISDIR(st.st_mode)) {
        int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner < 0)
            return err_set_errno(err, errno, "cannot list the folder %.*s/%.*s", STR_ARG(side->base),
                                 STR_ARG(path));
        return list_folder(side, inner, str_concat(side->arena, path, S("/")), depth + 1, err);
    }
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
        note(path, "is passed over: it is neither a file, a folder nor a link");
        return true;
    }
    TreeEntry entry = {path, git_mode(st.st_mode), (size_t)st.st_size};
    LIST_PUSH(side->arena, side->entries, side->count, side->capacity, entry);
    return true;
}

/* Everything below a folder, whose descriptor it takes over; relative is empty or ends with a slash. */
static bool list_folder(DiffSide *side, int folder, Str relative, int depth, Err *err) {
    DIR *dir = depth < DIFF_DEPTH_MAX ? fdopendir(folder) : NULL;
    if (!dir) {
        int why = depth < DIFF_DEPTH_MAX ? errno : ELOOP;
        close(folder);
        return err_set_errno(err, why, "cannot list the folder %.*s/%.*s", STR_ARG(side->base),
                             STR_ARG(relative));
    }
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = list_entry(side, folder, relative, entry->d_name, depth, err);
    closedir(dir);
    return ok;
}

static int by_path(const void *a, const void *b) {
    return str_cmp(((const TreeEntry *)a)->path, ((const TreeEntry *)b)->path);
}

static bool list_tree(DiffSide *side, Err *err) {
    int folder = open(side->base.ptr, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    side->root = folder < 0 ? -1 : fcntl(folder, F_DUPFD_CLOEXEC, 0);
    if (side->root < 0) {
        err_set_errno(err, errno, "cannot list the folder %.*s", STR_ARG(side->base));
        if (folder >= 0)
            close(folder);
        return false;
    }
    if (!list_folder(side, folder, S(""), 0, err))
        return false;
    if (side->count)
        qsort(side->entries, side->count, sizeof *side->entries, by_path);
    return true;
}

/* ---- texts ---- */

static bool read_link(const DiffSide *side, const char *name, size_t size, Buf *room, Err *err) {
    for (size_t most = size + 2; buf_reserve(room, most); most *= 2) {
        ssize_t n = readlinkat(side->root, name, room->ptr, most);
        if (n < 0)
            return err_set_errno(err, errno, "cannot read the link %.*s/%s", STR_ARG(side->base), name);
        room->len = (size_t)n;
        if (room->len < most)
            return true;
    }
    return true; /* room->failed tells */
}

static bool read_open(int fd, const char *shown, Buf *room, Err *err) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_set_errno(err, errno, "cannot read %s", shown);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s is not a regular file; only files and folders can be compared",
                       shown);
    size_t size = (size_t)st.st_size;
    if (size > DIFF_FILE_MAX)
        return err_set(err, ERR_LIMIT, "%s is %zu bytes, more than the limit of %zu", shown, size,
                       DIFF_FILE_MAX);
    while (room->len < size && buf_reserve(room, size - room->len)) {
        ssize_t n = read(fd, room->ptr + room->len, size - room->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, errno, "cannot read %s", shown);
        if (n == 0)
            break;
        room->len += (size_t)n;
    }
    return true;
}

static bool load_side(void *ctx, size_t index, Buf *room, Str *text, Err *err) {
    const DiffSide *side = ctx;
    const TreeEntry *entry = &side->entries[index];
    const char *name = side->is_tree ? entry->path.ptr : side->base.ptr;
    bool ok = true;
    if (entry->mode == MODE_LINK) {
        ok = read_link(side, name, entry->size, room, err);
    } else {
        char shown[PATH_MAX + 256];
        snprintf(shown, sizeof shown, "%.*s%s%s", STR_ARG(side->base), side->is_tree ? "/" : "",
                 side->is_tree ? name : "");
        int fd = openat(side->root, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return err_set_errno(err, errno, "cannot read %s", shown);
        ok = read_open(fd, shown, room, err);
        close(fd);
    }
    *text = buf_text(room);
    return ok;
}

/* ---- output ---- */

static bool write_out(DiffJob *job, Err *err) {
    bool ok = job->out.failed ? err_set(err, ERR_NO_MEMORY, "the diff does not fit into memory")
                              : os_write_all(STDOUT_FILENO, buf_text(&job->out), err);
    buf_clear(&job->out);
    return ok || err_wrap(err, "the diff");
}

/* Too little context may fit at more than one place; then what was asked for would not apply. */
static bool print_file(DiffJob *job, const FileDiff *file, Err *err) {
    if (job->context >= CONTEXT_LINES)
        return diff_print_verified(file, job->context, &job->out, err);
    if (diff_print_verified(file, job->context, &job->out, NULL))
        return true;
    note(file->new_path, "is shown with more context: with less, the diff would not apply");
    return diff_print_verified(file, CONTEXT_LINES, &job->out, err);
}

static bool show_file(DiffJob *job, const FileDiff *file, Err *err) {
    size_t begin = job->out.len;
    if (file->is_binary && !file->carries_binary && !str_eq(file->hunks.before, file->hunks.after))
        note(file->new_path, "is binary; the diff names it but only carries it with --binary");
    if (!print_file(job, file, err))
        return false;
    if (job->has_colour) {
        Buf plain = job->out;
        job->out = (Buf){0};
        diff_paint(file, str_from(buf_text(&plain), begin), &job->out);
        buf_free(&plain);
    }
    return job->out.len < (job->has_colour ? 1 : WRITE_BYTES) || write_out(job, err);
}

static bool show_all(DiffJob *job, const TreeSide *before, const TreeSide *after, const TreeOptions *options,
                     Err *err) {
    TreeDiff diff;
    FileDiff file;
    bool found = true, ok = tree_diff_begin(before, after, options, &diff, err);
    while (ok && found) {
        Arena arena = {0};
        ok = tree_diff_next(&diff, &arena, &file, &found, err) && (!found || show_file(job, &file, err));
        arena_free(&arena);
    }
    tree_diff_end(&diff);
    return write_out(job, ok ? err : NULL) && ok; /* what was compared before a failure is still shown */
}

/* ---- what was given ---- */

/* How a file is called in the diff: relative to the root when it lies below, else by its last part. */
static Str shown_name(const DiffJob *job, Str path) {
    if (str_starts(path, job->root) && path.len > job->root.len && path.ptr[job->root.len] == '/')
        return str_from(path, job->root.len + 1);
    return str_from(path, str_rfind_char(path, '/') + 1);
}

/* Links that the user names himself are followed. /dev/null is a file that is not there. */
static bool open_side(DiffJob *job, const char *given, DiffSide *side, Err *err) {
    char path[PATH_MAX];
    struct stat st;
    *side = (DiffSide){.root = AT_FDCWD, .arena = &job->arena};
    Str full =
        given[0] == '/' ? str_of(given) : str_printf(&job->arena, "%.*s/%s", STR_ARG(job->root), given);
    if (strcmp(given, "/dev/null") == 0)
        return true;
    if (!given[0]) /* as of a variable that is not set; not the root folder */
        return err_set(err, ERR_INVALID, "an empty name is neither a file nor a folder");
    if (!realpath(full.ptr, path) || stat(path, &st) != 0)
        return err_set_errno(err, errno, "cannot read %s", given);
    side->base = str_copy(&job->arena, str_of(path));
    side->is_tree = S_ISDIR(st.st_mode);
    if (side->is_tree)
        return list_tree(side, err);
    side->entries = ARENA_NEW(&job->arena, TreeEntry);
    side->entries[side->count++] =
        (TreeEntry){shown_name(job, side->base), git_mode(st.st_mode), (size_t)st.st_size};
    return true;
}

static bool compare_sides(DiffJob *job, DiffSide *a, DiffSide *b, TreeOptions options, Err *err) {
    if (a->base.len && b->base.len && a->is_tree != b->is_tree)
        return err_set(err, ERR_INVALID, "a file and a folder cannot be compared");
    if (a->count && b->count && !a->is_tree)
        b->entries[0].path = a->entries[0].path; /* the diff turns A into B under the name of A */
    TreeSide before = {a->entries, a->count, a, load_side}, after = {b->entries, b->count, b, load_side};
    return show_all(job, &before, &after, &options, err);
}

static bool diff_given(DiffJob *job, const Settings *settings, Err *err) {
    char root[PATH_MAX];
    DiffSide a = {.root = AT_FDCWD}, b = {.root = AT_FDCWD};
    TreeOptions options = {.no_renames = settings_has(settings, OPT_NO_RENAMES),
                           .carries_binary = settings_has(settings, OPT_BINARY)};
    if (!realpath(settings_has(settings, OPT_ROOT) ? settings->values[OPT_ROOT] : ".", root))
        return err_set_errno(err, errno, "the root folder cannot be used");
    job->root = str_copy(&job->arena, str_of(root));
    bool ok = open_side(job, settings->words[0], &a, err) && open_side(job, settings->words[1], &b, err) &&
              compare_sides(job, &a, &b, options, err);
    if (a.root >= 0)
        close(a.root);
    if (b.root >= 0)
        close(b.root);
    return ok;
}

static int run(const Settings *settings) {
    if (settings->word_count != 2)
        return command_usage(&COMMAND_DIFF, "name two files or two folders");
    size_t context = settings_count(settings, OPT_UNIFIED, CONTEXT_LINES);
    DiffJob job = {.context = context > INT_MAX ? INT_MAX : (int)context,
                   .has_colour = terminal_takes_colour(STDOUT_FILENO)};
    Err err = {0};
    bool ok = diff_given(&job, settings, &err);
    buf_free(&job.out);
    arena_free(&job.arena);
    return ok ? STATUS_DONE : command_fail("diff", STATUS_FAILED, &err);
}

const Command COMMAND_DIFF = {
    "diff",
    "[--root DIR] [-U N] [--binary] [--no-renames] A B",
    "unified diff of two files or trees",
    OPTION(ROOT) | OPTION(UNIFIED) | OPTION(BINARY) | OPTION(NO_RENAMES),
    run,
};
