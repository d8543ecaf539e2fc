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

/* Keeps a `.mux` out of every version control that reads .gitignore. An empty one is what a full disk or a
 * crash left. */
static bool write_ignore(int state_fd) {
    struct stat st;
    int fd = open_retry(state_fd, ".gitignore", O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    ok = ok && (st.st_size > 0 || os_write_all(fd, S("*\n"), NULL));
    int e = errno;
    if (fd >= 0)
        close(fd);
    errno = e;
    return ok;
}

/* What was made before it went wrong goes again; what holds anything stays. */
static void state_unmake(int parent, int fd, const char *name) {
    struct stat st;
    if (fd >= 0) {
        unlinkat(fd, "txn", AT_REMOVEDIR);
        if (fstatat(fd, "txn", &st, AT_SYMLINK_NOFOLLOW) != 0)
            unlinkat(fd, ".gitignore", 0);
    }
    unlinkat(parent, name, AT_REMOVEDIR);
}

static bool state_make(const Workspace *ws, Err *err) {
    const char *name = state_name(ws);
    int parent = open_parent(ws), fd = -1;
    bool is_new = false, has_new_txn = false;
    bool ok = parent >= 0 && make_folder(parent, name, &is_new) && (fd = open_folder(parent, name)) >= 0 &&
              (ws->has_git || write_ignore(fd)) && make_folder(fd, "txn", &has_new_txn) &&
              (!(is_new || has_new_txn) || (sync_fd(fd) && sync_fd(parent)));
    int e = errno;
    if (!ok && is_new)
        state_unmake(parent, fd, name);
    if (fd >= 0)
        close(fd);
    if (parent >= 0)
        close(parent);
    Str folder = ws->has_git ? ws->git.path : ws->anchor.path;
    if (!ok && (e == ELOOP || e == ENOTDIR))
        return err_set(err, ERR_DENIED,
                       "%.*s/%s is no folder, so there is no place for backups; nothing was changed",
                       STR_ARG(folder), name);
    return ok || err_set_errno(err, e, "nothing was changed: cannot make the folder %.*s/%s for backups",
                               STR_ARG(folder), name);
}

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* ---- the lock ---- */

/* Which process this is, whatever becomes of its number: the boot and the moment of its start too. */
typedef struct Holder {
    long pid;
    unsigned long long start; /* clock ticks after the boot: field 22 of /proc/PID/stat */
    char boot[40];
} Holder;

static unsigned long long start_of(long pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open_retry(AT_FDCWD, path, O_RDONLY, 0);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    char *at = strrchr(text, ')'); /* the name may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

static void holder_self(Holder *out) {
    *out = (Holder){.pid = (long)getpid(), .start = start_of((long)getpid())};
    int fd = open_retry(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    ssize_t n = fd < 0 ? -1 : read(fd, out->boot, 36);
    if (fd >= 0)
        close(fd);
    snprintf(out->boot + (n == 36 ? 36 : 0), 2, "%s", n == 36 ? "" : "-");
}

/* The lock itself is flock's; the text says who holds it. */
static void lock_write(int fd) {
    Holder self;
    char text[160];
    holder_self(&self);
    int n = snprintf(text, sizeof text, "pid %ld start %llu boot %s\n", self.pid, self.start, self.boot);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        /* the lock holds without its text too */
    }
}

static bool lock_refuse(int fd, Err *err) {
    Holder holder = {0}, self;
    char text[160] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0 || sscanf(text, "pid %ld start %llu boot %39s", &holder.pid, &holder.start, holder.boot) != 3)
        return err_set(err, ERR_CONFLICT,
                       "another mux process is changing this tree; try again when it is done");
    holder_self(&self);
    bool is_alive = strcmp(self.boot, holder.boot) == 0 && start_of(holder.pid) == holder.start;
    return err_set(err, ERR_CONFLICT,
                   is_alive
                       ? "another mux process (pid %ld) is changing this tree; try again when it is done"
                       : "the lock of this tree is held in the name of process %ld, which is not running "
                         "here: on another computer or in another container, or as a child of that process",
                   holder.pid);
}

static bool lock_take(Workspace *ws, double wait_ms, Err *err) {
    int fd = open_retry(ws->state_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot open the lock in %s", state_name(ws));
    double until = os_monotonic_ms() + wait_ms;
    int e = 0;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        e = errno;
        if (ws->cancelled && atomic_load(ws->cancelled)) {
            close(fd);
            return err_set(err, ERR_CANCELLED, "cancelled while another mux process changes this tree");
        }
        if (e == EWOULDBLOCK && os_monotonic_ms() < until)
            sleep_ms(10);
        else if (e != EINTR)
            break;
        e = 0;
    }
    if (e) {
        if (e == EWOULDBLOCK)
            lock_refuse(fd, err);
        else
            err_set_errno(err, e, "cannot lock %s", state_name(ws));
        close(fd);
        return false;
    }
    lock_write(fd);
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
