#define _GNU_SOURCE
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double os_monotonic_ms(void) {
    return seconds_of(CLOCK_MONOTONIC) * 1e3;
}

double os_unix_seconds(void) {
    return seconds_of(CLOCK_REALTIME);
}

int os_cpu_count(void) {
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return n > 0 ? n : 1;
}

size_t os_resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    size_t total = 0, resident = 0;
    if (file) {
        if (fscanf(file, "%zu %zu", &total, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Opens a regular file for reading; *size is its length. Never blocks on a FIFO. */
static int open_regular(const char *path, size_t *size, Err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int e = errno;
        err_set_errno(err, e, "cannot open %s", path);
        if (err && (e == ENOENT || e == ENOTDIR))
            err->code = ERR_NOT_FOUND;
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        err_set_errno(err, errno, "cannot read %s", path);
        close(fd);
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_UNSUPPORTED, "%s is not a regular file", path);
        close(fd);
        return -1;
    }
    *size = (size_t)st.st_size;
    return fd;
}

bool os_map(const char *path, MappedFile *out, Err *err) {
    *out = (MappedFile){.bytes = S("")};
    size_t size;
    int fd = open_regular(path, &size, err);
    if (fd < 0)
        return false;
    bool ok = true;
    if (size) {
        void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED) {
            ok = err_set_errno(err, errno, "cannot map %s", path);
        } else {
            out->mapping = p;
            out->bytes = (Str){p, size};
        }
    }
    close(fd);
    return ok;
}

void os_unmap(MappedFile *file) {
    if (file->mapping)
        munmap(file->mapping, file->bytes.len);
    *file = (MappedFile){.bytes = S("")};
}

bool os_read_file(const char *path, size_t max_bytes, Arena *arena, Str *out, Err *err) {
    size_t size;
    int fd = open_regular(path, &size, err);
    if (fd < 0)
        return false;
    bool ok = false;
    if (size > max_bytes) {
        err_set(err, ERR_LIMIT, "%s is %zu bytes, more than the limit of %zu", path, size, max_bytes);
        goto done;
    }
    char *p = arena_alloc(arena, size + 1);
    size_t have = 0;
    while (have < size) {
        ssize_t n = read(fd, p + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err_set_errno(err, errno, "cannot read %s", path);
            goto done;
        }
        if (n == 0)
            break;
        have += (size_t)n;
    }
    *out = (Str){p, have};
    ok = true;
done:
    close(fd);
    return ok;
}

bool os_write_all(int fd, Str bytes, Err *err) {
    size_t at = 0;
    while (at < bytes.len) {
        ssize_t n = write(fd, bytes.ptr + at, bytes.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set_errno(err, n < 0 ? errno : EIO, "cannot write");
        at += (size_t)n;
    }
    return true;
}

bool os_write_file(const char *path, Str bytes, Err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot create %s", path);
    bool ok = os_write_all(fd, bytes, err);
    if (!ok)
        err_wrap(err, "%s", path);
    if (close(fd) != 0 && ok)
        ok = err_set_errno(err, errno, "cannot write %s", path);
    return ok;
}

bool os_make_dirs(const char *path, Err *err) {
    Arena scratch = {0};
    char *p = str_cstr(&scratch, str_of(path));
    bool ok = true;
    for (char *slash = p + 1; ok; slash++) {
        if (*slash != '/' && *slash != 0)
            continue;
        char kept = *slash;
        *slash = 0;
        if (mkdir(p, 0700) != 0 && errno != EEXIST)
            ok = err_set_errno(err, errno, "cannot create the folder %s", p);
        *slash = kept;
        if (!kept)
            break;
    }
    arena_free(&scratch);
    return ok;
}

Str os_program_dir(Arena *arena) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n <= 0)
        return S(".");
    Str s = str_copy(arena, (Str){path, (size_t)n});
    size_t slash = str_rfind_char(s, '/');
    return slash == STR_NONE ? S(".") : str_copy(arena, str_slice(s, 0, slash ? slash : 1));
}

/* sched_setattr(2); the C library has no name for its argument. For ordinary threads `runtime` is the length
 * of a slice in nanoseconds, and a waking thread with a shorter one goes first. */
struct SchedAttr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

void os_prefer_thread(void) {
    struct SchedAttr attr = {.size = sizeof attr};
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0 || attr.policy != SCHED_OTHER)
        return;
    attr.size = sizeof attr;
    attr.flags |= 1; /* SCHED_FLAG_RESET_ON_FORK: the threads it starts are ordinary ones */
    attr.runtime = 100000;
    syscall(SYS_sched_setattr, 0, &attr, 0);
}
