/* Whole texts of files: from the disk, or from whoever the workspace was given. */
#define _GNU_SOURCE
#include "workspace/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "workspace/workspace_internal.h"

/* The rules of FileIo.read for an open descriptor; shown names the file in sentences. */
static bool read_text(int fd, Str shown, Arena *arena, Str *text, Err *err) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_set_errno(err, errno, "cannot read %.*s", STR_ARG(shown));
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_UNSUPPORTED, "%.*s is a folder, not a file", STR_ARG(shown));
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_UNSUPPORTED, "%.*s is not a regular file", STR_ARG(shown));
    size_t size = st.st_size > (off_t)FILE_MAX_BYTES ? FILE_MAX_BYTES + 1 : (size_t)st.st_size;
    size_t have = 0;
    char *p = arena_alloc(arena, size + 1);
    while (have <= FILE_MAX_BYTES) {
        if (have == size + 1) { /* it grew since fstat */
            p = arena_grow(arena, p, have, FILE_MAX_BYTES + 2);
            size = FILE_MAX_BYTES + 1;
        }
        ssize_t n = read(fd, p + have, size + 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, errno, "cannot read %.*s", STR_ARG(shown));
        if (n == 0)
            break;
        have += (size_t)n;
    }
    if (have > FILE_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "%.*s is larger than the limit of %zu MiB for texts", STR_ARG(shown),
                       FILE_MAX_BYTES >> 20);
    if (memchr(p, 0, have))
        return err_set(err, ERR_UNSUPPORTED, "%.*s is a binary file: it has zero bytes in it",
                       STR_ARG(shown));
    *text = (Str){p, have};
    return true;
}

static bool open_failed(int error, Str shown, Err *err) {
    if (error == ENOENT || error == ENOTDIR)
        return err_set(err, ERR_NOT_FOUND, "there is no file %.*s", STR_ARG(shown));
    if (error == ELOOP || error == EXDEV)
        return err_set(err, ERR_DENIED, "%.*s goes through a symbolic link that was not there before",
                       STR_ARG(shown));
    return err_set_errno(err, error, "cannot open %.*s", STR_ARG(shown));
}

/* Paths that the workspace checked are canonical: a link on the way is one that was put there since. */
bool disk_read(void *ctx, Str path, Arena *arena, Str *text, Err *err) {
    (void)ctx;
    if (!str_starts(path, S("/")))
        return err_set(err, ERR_INVALID, "%.*s is not an absolute path", STR_ARG(path));
    int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = top < 0 ? -1
                     : open_beneath(top, str_cstr(arena, path_below(S("/"), path)),
                                    O_RDONLY | O_NONBLOCK | O_NOCTTY);
    int e = errno;
    if (top >= 0)
        close(top);
    if (fd < 0)
        return open_failed(e, path, err);
    bool ok = read_text(fd, path, arena, text, err);
    close(fd);
    return ok;
}

FileIo file_io_disk(void) {
    return (FileIo){.read = disk_read};
}

/* Our own disk reads stay behind the fence even when a folder is swapped for a symlink after ws_path. */
static bool fenced_read(Workspace *ws, Path path, Arena *arena, Str *text, Err *err) {
    const Fence *fence = path_fence(ws, path.absolute, false);
    if (!fence)
        return err_set(err, ERR_DENIED, "%.*s is outside of the workspace", STR_ARG(path.absolute));
    int fd = open_beneath(fence->fd, str_cstr(arena, path_below(fence->path, path.absolute)),
                          O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return open_failed(errno, path.relative, err);
    bool ok = read_text(fd, path.relative, arena, text, err);
    close(fd);
    return ok;
}

static bool is_mostly_crlf(Str text) {
    size_t line_ends = 0, with_cr = 0;
    for (size_t at = 0; (at = str_find_char(text, '\n', at)) != STR_NONE; at++) {
        line_ends++;
        with_cr += at > 0 && text.ptr[at - 1] == '\r';
    }
    return with_cr * 2 > line_ends;
}

bool ws_read(Workspace *ws, Path path, Arena *arena, FileText *out, Err *err) {
    bool ok = ws->io.read == disk_read ? fenced_read(ws, path, arena, &out->text, err)
                                       : ws->io.read(ws->io.ctx, path.absolute, arena, &out->text, err);
    if (!ok)
        return false;
    out->stamp = stamp_of(out->text);
    out->has_crlf = is_mostly_crlf(out->text);
    return true;
}
