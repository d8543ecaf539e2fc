/* What stands at a name, seen without following any link. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "workspace/workspace_internal.h"

bool link_target(int dir, const char *name, Arena *arena, Str *out, Err *err) {
    char target[PATH_MAX];
    ssize_t n = readlinkat(dir, name, target, sizeof target);
    if (n < 0)
        return err_set_errno(err, errno, "cannot read the symbolic link %s", name);
    if ((size_t)n >= sizeof target)
        return err_set(err, ERR_LIMIT, "the target of the symbolic link %s is too long", name);
    *out = str_copy(arena, (Str){target, (size_t)n});
    return true;
}

static bool is_unchanged(const struct stat *a, const struct stat *b) {
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool read_regular(int dir, const char *name, size_t max_bytes, Arena *arena, Entry *out, Err *err) {
    struct stat st, later;
    int fd = open_retry(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot open it");
    bool ok = fstat(fd, &st) == 0 || err_set_errno(err, errno, "cannot look at it");
    ok = ok && (S_ISREG(st.st_mode) || err_set(err, ERR_CONFLICT, "it changed while it was read"));
    ok = ok && ((uintmax_t)st.st_size <= max_bytes ||
                err_set(err, ERR_LIMIT, "it is larger than %zu MiB, the limit", max_bytes >> 20));
    size_t size = ok ? (size_t)st.st_size : 0, have = 0;
    char *p = ok ? arena_alloc(arena, size + 1) : NULL;
    while (ok && have <= size) {
        ssize_t n = read(fd, p + have, size + 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ok = err_set_errno(err, errno, "cannot read it");
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    ok = ok && ((fstat(fd, &later) == 0 && have == size && is_unchanged(&st, &later)) ||
                err_set(err, ERR_CONFLICT, "it changed while it was read; try again"));
    close(fd);
    if (!ok)
        return false;
    out->mode = st.st_mode & 07777;
    out->links = st.st_nlink;
    out->text = (Str){p, size};
    out->stamp = stamp_of(out->text);
    return true;
}

static bool read_entry(int dir, const char *name, size_t max_bytes, Arena *arena, Entry *out, Err *err) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || err_set_errno(err, errno, "cannot look at it");
    out->exists = true;
    if (S_ISDIR(st.st_mode)) {
        out->is_folder = true;
        out->mode = st.st_mode & 07777;
        return true;
    }
    if (S_ISLNK(st.st_mode)) {
        out->is_link = true;
        out->mode = 0777;
        if (!link_target(dir, name, arena, &out->text, err))
            return false;
        out->stamp = stamp_of_link(out->text);
        return true;
    }
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_UNSUPPORTED, "it is neither a file nor a folder nor a symbolic link");
    return read_regular(dir, name, max_bytes, arena, out, err);
}

bool ws_entry(Workspace *ws, Str relative, size_t max_bytes, Arena *arena, Path *path, Entry *out, Err *err) {
    *out = (Entry){0};
    const Fence *fence = &ws->roots[0];
    if (!path_is_plain(relative))
        return err_set(err, ERR_DENIED, "\"%.*s\" is no plain path below the workspace",
                       STR_ARG(str_slice(relative, 0, 200)));
    path->relative = str_copy(arena, relative);
    path->absolute = str_printf(arena, "%.*s/%.*s", fence->path.len > 1 ? (int)fence->path.len : 0,
                                fence->path.ptr, STR_ARG(relative));
    if (path_is_forbidden(ws, path->absolute, relative))
        return err_set(err, ERR_DENIED, "%.*s belongs to version control or to mux itself",
                       STR_ARG(relative));
    Str parent = path_parent(relative);
    const char *name = parent.len ? path->relative.ptr + parent.len + 1 : path->relative.ptr;
    int dir = open_beneath(fence->fd, parent.len ? str_cstr(arena, parent) : ".", O_RDONLY | O_DIRECTORY);
    if (dir < 0 && (errno == ENOENT || errno == ENOTDIR))
        return true;
    if (dir < 0 && (errno == ELOOP || errno == EXDEV))
        return err_set(err, ERR_DENIED, "%.*s is beyond a symbolic link", STR_ARG(relative));
    if (dir < 0)
        return err_set_errno(err, errno, "cannot open the folder of %.*s", STR_ARG(relative));
    bool ok = read_entry(dir, name, max_bytes, arena, out, err);
    close(dir);
    return ok || err_wrap(err, "%.*s", STR_ARG(relative));
}
