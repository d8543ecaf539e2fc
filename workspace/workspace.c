/* Roots: which folders are the user's tree, and where our state belongs. */
#define _GNU_SOURCE
#include "workspace/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "workspace/workspace_internal.h"

static bool fence_open(Arena *arena, Str given, Fence *out, Err *err) {
    if (!given.len || given.ptr[0] != '/' || memchr(given.ptr, 0, given.len))
        return err_set(err, ERR_INVALID, "the folder \"%.*s\" must be given as an absolute path",
                       STR_ARG(given));
    char canonical[PATH_MAX];
    if (given.len >= PATH_MAX || !realpath(str_cstr(arena, given), canonical)) {
        int e = given.len >= PATH_MAX ? ENAMETOOLONG : errno;
        err_set_errno(err, e, "cannot open the folder %.*s", STR_ARG(given));
        if (err && (e == ENOENT || e == ENOTDIR))
            err->code = ERR_NOT_FOUND;
        return false;
    }
    out->path = str_copy(arena, str_of(canonical));
    out->fd = open(canonical, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (out->fd >= 0 && faccessat(out->fd, ".", R_OK | X_OK, 0) == 0)
        return true;
    int e = errno;
    err_set_errno(err, e, "cannot open the folder %s", canonical);
    if (err && e == ENOTDIR)
        err->code = ERR_INVALID;
    return false;
}

static bool is_missing(int error) {
    return error == ENOENT || error == ENOTDIR || error == EACCES || error == ELOOP;
}

/* What a `.git` entry of a folder stands for: the repository's git folder, or empty. A file there holds
 * "gitdir: PATH" (linked worktrees, submodules). False when it cannot be told: a git folder overlooked would
 * be one left open to changes. */
static bool git_dir_at(Arena *arena, Str folder, Str *out, Err *err) {
    Str entry = str_printf(arena, "%.*s/.git", folder.len > 1 ? (int)folder.len : 0, folder.ptr);
    struct stat st;
    *out = S("");
    if (stat(entry.ptr, &st) != 0)
        return is_missing(errno) || err_set_errno(err, errno, "cannot look at %s", entry.ptr);
    Str dir = entry;
    if (S_ISREG(st.st_mode)) {
        Str text;
        if (st.st_size > PATH_MAX)
            return true;
        if (!os_read_file(entry.ptr, PATH_MAX, arena, &text, err))
            return false;
        if (!str_starts(text, S("gitdir:")))
            return true;
        dir = str_trim(str_from(text, 7));
        if (!str_starts(dir, S("/")))
            dir = str_printf(arena, "%.*s/%.*s", STR_ARG(folder), STR_ARG(dir));
    }
    char canonical[PATH_MAX];
    Str head = str_printf(arena, "%.*s/HEAD", STR_ARG(dir));
    if (lstat(head.ptr, &st) != 0 || !realpath(str_cstr(arena, dir), canonical))
        return is_missing(errno) || err_set_errno(err, errno, "cannot look at %s", head.ptr);
    *out = str_copy(arena, str_of(canonical));
    return true;
}

static bool take_repository(Workspace *ws, Str folder, Str git_dir, Err *err) {
    int fd = open_retry(AT_FDCWD, str_cstr(&ws->arena, folder), O_PATH | O_DIRECTORY, 0);
    int git_fd = fd < 0 ? -1 : open_retry(AT_FDCWD, git_dir.ptr, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
    if (git_fd < 0) {
        err_set_errno(err, errno, "cannot open the repository %.*s", STR_ARG(folder));
        if (fd >= 0)
            close(fd);
        return false;
    }
    ws->anchor = (Fence){str_copy(&ws->arena, folder), fd};
    ws->git = (Fence){git_dir, git_fd};
    ws->has_git = true;
    return true;
}

/* The repository around the root, as git finds it: upwards, on the same file system. */
static bool find_repository(Workspace *ws, Err *err) {
    struct stat root_st, st;
    ws->anchor = ws->roots[0];
    if (fstat(ws->roots[0].fd, &root_st) != 0)
        return err_set_errno(err, errno, "cannot look at %.*s", STR_ARG(ws->roots[0].path));
    for (Str folder = ws->roots[0].path;;) {
        Str name = folder.len ? folder : S("/"), git_dir;
        if (stat(str_cstr(&ws->arena, name), &st) != 0 || st.st_dev != root_st.st_dev)
            return true;
        if (!git_dir_at(&ws->arena, name, &git_dir, err))
            return false;
        if (git_dir.len)
            return take_repository(ws, name, git_dir, err);
        if (!folder.len || str_eq(folder, S("/")))
            return true;
        folder = path_parent(folder);
    }
}

/* A failed recovery does not keep the tree from being read; the next change tries again and refuses if it
 * must. */
static void recover_at_open(Workspace *ws) {
    int state = state_peek(ws);
    if (state < 0)
        return;
    close(state);
    RecoverReport report = {0};
    Err err = {0};
    if (!ws_recover(ws, &report, &err) && err.code != ERR_CONFLICT)
        log_line(LOG_WARN, "what an interrupted change left could not be undone: %s", err.text);
    if (report.finished + report.rolled_back + report.conflicts)
        log_line(LOG_WARN,
                 "interrupted changes: %zu finished, %zu undone, %zu files left as somebody else wrote them",
                 report.finished, report.rolled_back, report.conflicts);
}

Workspace *ws_open(const WorkspaceConfig *config, FileIo io, Err *err) {
    Workspace *ws = calloc(1, sizeof *ws);
    if (!ws) {
        err_set(err, ERR_NO_MEMORY, "no memory for a workspace");
        return NULL;
    }
    ws->io = io;
    ws->read_only = config->read_only;
    ws->cancelled = config->cancelled;
    ws->keep_count = config->backup_count ? config->backup_count : BACKUP_KEEP_COUNT;
    ws->keep_days = config->backup_days ? config->backup_days : BACKUP_KEEP_DAYS;
    ws->keep_bytes = config->backup_bytes ? config->backup_bytes : BACKUP_KEEP_BYTES;
    ws->state_fd = ws->lock_fd = -1;
    ws->roots = ARENA_ARRAY(&ws->arena, Fence, config->extra_root_count + 1);
    for (size_t i = 0; i <= config->extra_root_count; i++) {
        ws->roots[i].fd = -1;
        ws->root_count++;
        if (!fence_open(&ws->arena, i ? config->extra_roots[i - 1] : config->root, &ws->roots[i], err)) {
            ws_close(ws);
            return NULL;
        }
    }
    if (!find_repository(ws, err)) {
        ws_close(ws);
        return NULL;
    }
    if (!ws->read_only && !config->recovers_later)
        recover_at_open(ws);
    return ws;
}

void ws_close(Workspace *ws) {
    if (!ws)
        return;
    state_leave(ws);
    if (ws->repository) {
        git_repository_free(ws->repository);
        git_libgit2_shutdown();
    }
    if (ws->has_git) {
        close(ws->anchor.fd);
        close(ws->git.fd);
    }
    for (size_t i = 0; i < ws->root_count; i++)
        if (ws->roots[i].fd >= 0)
            close(ws->roots[i].fd);
    arena_free(&ws->arena);
    free(ws);
}

Str ws_root(const Workspace *ws) {
    return ws->roots[0].path;
}
