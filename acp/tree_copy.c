#define _GNU_SOURCE
#include "acp/tree_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES_MAX ((uint64_t)2 << 30)
#define COPY_DEPTH_MAX 200

typedef struct Copying {
    uint64_t bytes;
    Err *err;
} Copying;

static bool copy_file(Copying *copying, int from_dir, int to_dir, const char *name, const struct stat *st) {
    copying->bytes += (uint64_t)st->st_size;
    if (copying->bytes > COPY_BYTES_MAX)
        return err_set(copying->err, ERR_LIMIT,
                       "the folder is too large to be copied; give a smaller one with --cwd");
    int in = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int out =
        in < 0 ? -1
               : openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (st->st_mode & 0777) | 0600);
    bool ok = out >= 0;
    ssize_t n = 1;
    static char bytes[1 << 16];
    while (ok && (n = read(in, bytes, sizeof bytes)) > 0)
        ok = write(out, bytes, (size_t)n) == n;
    if (!ok || n < 0)
        ok = err_set_errno(copying->err, errno, "cannot copy %s", name);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return ok;
}

static bool copy_link(Copying *copying, int from_dir, int to_dir, const char *name) {
    char target[PATH_MAX];
    ssize_t n = readlinkat(from_dir, name, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    return (n > 0 && symlinkat(target, to_dir, name) == 0) ||
           err_set_errno(copying->err, errno, "cannot copy the link %s", name);
}

/* Takes both descriptors over. */
static bool copy_folder(Copying *copying, int from_fd, int to_fd, int depth) {
    DIR *dir = from_fd >= 0 && to_fd >= 0 && depth < COPY_DEPTH_MAX ? fdopendir(from_fd) : NULL;
    bool ok = dir || err_set_errno(copying->err, errno, "cannot copy a folder");
    for (struct dirent *entry; ok && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        struct stat st;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
            fstatat(from_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISREG(st.st_mode))
            ok = copy_file(copying, from_fd, to_fd, name, &st);
        else if (S_ISLNK(st.st_mode))
            ok = copy_link(copying, from_fd, to_fd, name);
        else if (S_ISDIR(st.st_mode))
            ok = mkdirat(to_fd, name, 0700) == 0 &&
                 copy_folder(copying, openat(from_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW),
                             openat(to_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), depth + 1);
    }
    if (dir)
        closedir(dir);
    else if (from_fd >= 0)
        close(from_fd);
    if (to_fd >= 0)
        close(to_fd);
    return ok;
}

bool tree_copy(Str from, Arena *arena, Str *to, Err *err) {
    const char *base = getenv("TMPDIR");
    char *path = str_cstr(arena, str_printf(arena, "%s/mux-replay-XXXXXX", base ? base : "/tmp"));
    if (!mkdtemp(path))
        return err_set_errno(err, errno, "cannot make a temporary folder");
    *to = str_of(path);
    Copying copying = {.err = err};
    if (copy_folder(&copying, open(str_cstr(arena, from), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                    open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0))
        return true;
    tree_remove(*to);
    return false;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st, (void)kind, (void)walk;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

void tree_remove(Str folder) {
    Arena arena = {0};
    nftw(str_cstr(&arena, folder), remove_entry, 32, FTW_DEPTH | FTW_PHYS);
    arena_free(&arena);
}
