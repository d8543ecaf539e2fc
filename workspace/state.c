/* The state folder: .git/mux of the repository's git folder, else .mux beside the files with an ignore entry
 * of its own.
 *
 *   lock        held by flock while a change is made; the text in it only names the holder
 *   txn/ID/     one transaction each (txn.c)
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "workspace/workspace_internal.h"

int open_retry(int dir_fd, const char *name, int flags, unsigned mode) {
    int fd;
    do
        fd = openat(dir_fd, name, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

bool sync_fd(int fd) {
    int failed;
    do
        failed = fsync(fd);
    while (failed && errno == EINTR);
    return !failed;
}

bool err_note(Err *err, const char *note) {
    if (err) {
        size_t n = strlen(err->text);
        snprintf(err->text + n, sizeof err->text - n, "; %s", note);
    }
    return false;
}

bool read_at(int dir_fd, const char *name, size_t max_bytes, Arena *arena, Str *out, Err *err) {
    int fd = open_retry(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0) {
        int e = errno;
        err_set_errno(err, e, "cannot open %s", name);
        if (err && e == ENOENT)
            err->code = ERR_NOT_FOUND;
        return false;
    }
    struct stat st;
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    if (!ok)
        err_set(err, ERR_IO, "%s is not a regular file", name);
    else if ((uintmax_t)st.st_size > max_bytes)
        ok = err_set(err, ERR_LIMIT, "%s is too large", name);
    size_t size = ok ? (size_t)st.st_size : 0, have = 0;
    char *p = ok ? arena_alloc(arena, size + 1) : NULL;
    while (ok && have < size) {
        ssize_t n = read(fd, p + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ok = err_set_errno(err, errno, "cannot read %s", name);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    close(fd);
    if (ok)
        *out = (Str){p, have};
    return ok;
}

/* *is_new is set when the folder was not there. */
static bool make_folder(int dir_fd, const char *name, bool *is_new) {
    int failed;
    do
        failed = mkdirat(dir_fd, name, 0700);
    while (failed && errno == EINTR);
    *is_new |= !failed;
    return !failed || errno == EEXIST;
}

static int open_parent(const Workspace *ws) {
    return openat(ws->has_git ? ws->git.fd : ws->anchor.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static const char *state_name(const Workspace *ws) {
    return ws->has_git ? "mux" : ".mux";
}

static int open_folder(int dir_fd, const char *name) {
    return open_retry(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

int state_peek(const Workspace *ws) {
    int parent = open_parent(ws);
    if (parent < 0)
        return -1;
    int fd = open_folder(parent, state_name(ws));
    close(parent);
    return fd;
}

/* Keeps a `.mux` out of every version control that reads .gitignore. */
static bool write_ignore(int state_fd) {
    int fd = open_retry(state_fd, ".gitignore", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno == EEXIST;
    bool ok = os_write_all(fd, S("*\n"), NULL);
    close(fd);
    return ok;
}

static bool state_make(const Workspace *ws, Err *err) {
    int parent = open_parent(ws);
    int fd = -1;
    bool is_new = false;
    bool ok = parent >= 0 && make_folder(parent, state_name(ws), &is_new) &&
              (fd = open_folder(parent, state_name(ws))) >= 0 && (ws->has_git || write_ignore(fd)) &&
              make_folder(fd, "txn", &is_new) && (!is_new || (sync_fd(fd) && sync_fd(parent)));
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (parent >= 0)
        close(parent);
    if (!ok)
        err_set_errno(err, e, "cannot make the folder %.*s/%s for backups",
                      STR_ARG(ws->has_git ? ws->git.path : ws->anchor.path), state_name(ws));
    return ok;
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static bool lock_take(Workspace *ws, double wait_ms, Err *err) {
    int fd = open_retry(ws->state_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot open the lock in %s", state_name(ws));
    double until = os_monotonic_ms() + wait_ms;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int e = errno;
        if (e == EINTR)
            continue;
        if (e == EWOULDBLOCK && os_monotonic_ms() < until) {
            sleep_ms(10);
            continue;
        }
        char holder[64] = "";
        ssize_t n = e == EWOULDBLOCK ? pread(fd, holder, sizeof holder - 1, 0) : -1;
        close(fd);
        if (e != EWOULDBLOCK)
            return err_set_errno(err, e, "cannot lock %s", state_name(ws));
        return err_set(err, ERR_CONFLICT,
                       "another mux process (%s) is changing this tree; try again when it is done",
                       n > 0 ? holder : "unknown");
    }
    char text[64];
    int n = snprintf(text, sizeof text, "pid %ld", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        /* the lock holds without its text too */
    }
    ws->lock_fd = fd;
    return true;
}

bool state_enter(Workspace *ws, bool make, double wait_ms, Err *err) {
    if (make && !state_make(ws, err))
        return false;
    ws->state_fd = state_peek(ws);
    if (ws->state_fd < 0)
        return err_set(err, ERR_NOT_FOUND, "nothing has been changed here by mux yet");
    if (lock_take(ws, wait_ms, err))
        return true;
    state_leave(ws);
    return false;
}

void state_leave(Workspace *ws) {
    if (ws->lock_fd >= 0)
        close(ws->lock_fd);
    if (ws->state_fd >= 0)
        close(ws->state_fd);
    ws->lock_fd = ws->state_fd = -1;
}

/* Ids are a running number, a dash and six random hex digits: they sort by age whatever the clock does. */
static bool is_txn_id(const char *name, unsigned long *number) {
    char *end;
    if (name[0] < '0' || name[0] > '9')
        return false;
    *number = strtoul(name, &end, 10);
    return end - name <= 9 && end[0] == '-' && strlen(end + 1) == 6 &&
           strspn(end + 1, "0123456789abcdef") == 6;
}

static int by_number(const void *a, const void *b) {
    const Str *x = a, *y = b;
    unsigned long m = strtoul(x->ptr, NULL, 10), n = strtoul(y->ptr, NULL, 10);
    return m != n ? (m > n) - (m < n) : str_cmp(*x, *y);
}

bool txn_names(int state_fd, Arena *arena, TxnNames *out, Err *err) {
    *out = (TxnNames){0};
    int fd = open_folder(state_fd, "txn");
    if (fd < 0)
        return errno == ENOENT || err_set_errno(err, errno, "cannot open the folder of backups");
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return err_set_errno(err, errno, "cannot read the folder of backups");
    }
    size_t capacity = 0;
    unsigned long number;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (is_txn_id(entry->d_name, &number))
            LIST_PUSH(arena, out->ids, out->count, capacity, str_copy(arena, str_of(entry->d_name)));
    closedir(dir);
    if (out->count)
        qsort(out->ids, out->count, sizeof *out->ids, by_number);
    return true;
}

bool remove_below(int dir_fd, const char *name) {
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return false;
    int fd = open_folder(dir_fd, name);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool ok = true;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = remove_below(dirfd(dir), entry->d_name) && ok;
    closedir(dir);
    return ok && unlinkat(dir_fd, name, AT_REMOVEDIR) == 0;
}
