/* Planning a transaction on disk: the copy of every old file, the text of every new one, and all the checks
 * that can be made before anything is touched. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "workspace/workspace_internal.h"

int txn_create(int dir_fd, size_t index, unsigned mode, Err *err) {
    char name[32];
    snprintf(name, sizeof name, "%zu", index);
    int fd = open_retry(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (fd < 0)
        err_set_errno(err, errno, "cannot write the backup");
    return fd;
}

bool txn_is_writable(const Spot *spot, const struct stat *st, Err *err) {
    if (st && !(st->st_mode & S_IWUSR))
        return err_set(err, ERR_DENIED, "%.*s is read-only; make it writable (chmod u+w) and try again",
                       STR_ARG(spot->shown));
    if (spot->dir >= 0 && faccessat(spot->dir, ".", W_OK | X_OK, AT_EACCESS) != 0)
        return err_set(err, ERR_DENIED, "the folder of %.*s is not writable", STR_ARG(spot->shown));
    return true;
}

/* Access lists and other attributes, as far as the file system and our rights allow. */
static void copy_attributes(int from, int to) {
    char names[4096], value[4096];
    ssize_t n = flistxattr(from, names, sizeof names);
    for (ssize_t at = 0; at < n;) {
        Str name = str_of(names + at);
        ssize_t size = fgetxattr(from, name.ptr, value, sizeof value);
        if (size >= 0 && fsetxattr(to, name.ptr, value, (size_t)size, 0) != 0)
            log_line(LOG_DEBUG, "the attribute %s of a replaced file is not kept", name.ptr);
        at += (ssize_t)name.len + 1;
    }
}

static unsigned with_executable(unsigned mode, bool is_executable) {
    return is_executable ? mode | (mode & 0444) >> 2 : mode & ~0111u;
}

/* owner is who owned the file, or NULL for a new one, whose group then follows a set-group-id folder. */
static void give_owner(int fd, const struct stat *owner, const struct stat *folder) {
    struct stat st;
    if (fstat(fd, &st) != 0)
        return;
    uid_t uid = owner ? owner->st_uid : st.st_uid;
    gid_t gid = owner ? owner->st_gid : folder && folder->st_mode & S_ISGID ? folder->st_gid : st.st_gid;
    if ((uid != st.st_uid || gid != st.st_gid) && fchown(fd, uid, gid) != 0)
        log_line(LOG_INFO, "the owner of a replaced file could not be kept");
}

/* old_fd: the file being replaced, or -1. */
static bool stage_new(Txn *txn, size_t index, const ChangeFile *file, const Spot *spot, int old_fd,
                      Err *err) {
    TxnFile *record = &txn->manifest.files[index];
    bool is_executable = file->has_mode && file->mode & S_IXUSR;
    int fd = txn_create(txn->new_fd, index, is_executable ? 0777 : 0666, err);
    if (fd < 0)
        return false;
    struct stat st, folder;
    bool has_folder = spot->dir >= 0 && fstat(spot->dir, &folder) == 0;
    bool ok = os_write_all(fd, file->text, err);
    give_owner(fd, old_fd >= 0 ? &txn->seen[index] : file->owner, has_folder ? &folder : NULL);
    if (old_fd >= 0)
        copy_attributes(old_fd, fd);
    bool is_kept = old_fd >= 0 && !file->is_exact_mode;
    unsigned mode = is_kept ? record->mode_before : file->mode;
    if (is_kept && file->has_mode)
        mode = with_executable(mode, is_executable);
    if (ok && (is_kept || file->is_exact_mode) && fchmod(fd, mode) != 0)
        ok = err_set_errno(err, errno, "cannot keep the mode of %.*s", STR_ARG(record->path));
    ok = ok && (fstat(fd, &st) == 0 ||
                err_set_errno(err, errno, "cannot write the new text of %.*s", STR_ARG(record->path)));
    if (ok) {
        record->mode_after = st.st_mode & 07777;
        record->after = stamp_of(file->text);
    }
    close(fd);
    return ok;
}

/* Opens the target; -1 with *ok true when it is rightly missing. */
static int open_target(const Spot *spot, const ChangeFile *file, struct stat *st, bool *ok, Err *err) {
    int fd = spot->dir >= 0
                 ? open_retry(spot->dir, spot->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0)
                 : -1;
    int e = spot->dir >= 0 ? errno : ENOENT;
    Str shown = file->path.relative;
    *ok = false;
    if (fd < 0 && e == ENOENT) {
        *ok = !file->seen.exists ||
              err_set(err, ERR_CONFLICT, "%.*s was removed since it was read", STR_ARG(shown));
        return -1;
    }
    if (fd < 0 && e == ELOOP)
        err_set(err, ERR_CONFLICT, "%.*s was replaced by a symbolic link", STR_ARG(shown));
    else if (fd < 0)
        err_set_errno(err, e, "cannot open %.*s", STR_ARG(shown));
    else if (fstat(fd, st) != 0)
        err_set_errno(err, errno, "cannot look at %.*s", STR_ARG(shown));
    else if (S_ISDIR(st->st_mode))
        err_set(err, ERR_UNSUPPORTED, "%.*s is a folder, not a file", STR_ARG(shown));
    else if (!S_ISREG(st->st_mode))
        err_set(err, ERR_UNSUPPORTED, "%.*s is not a regular file", STR_ARG(shown));
    else if (!file->seen.exists)
        err_set(err, ERR_CONFLICT, "%.*s exists already", STR_ARG(shown));
    else
        *ok = true;
    if (!*ok && fd >= 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool stage_old(Txn *txn, size_t index, const ChangeFile *file, int target, Err *err) {
    TxnFile *record = &txn->manifest.files[index];
    const struct stat *st = &txn->seen[index];
    int copy = txn_create(txn->old_fd, index, 0600, err);
    if (copy < 0)
        return false;
    record->before.exists = true;
    record->mode_before = st->st_mode & 07777;
    bool ok = hash_fd(target, copy, record->before.sha256, err) ||
              err_wrap(err, "backup of %.*s", STR_ARG(record->path));
    give_owner(copy, st, NULL);
    close(copy);
    if (ok && !stamp_eq(record->before, file->seen))
        ok = err_set(err, ERR_CONFLICT, "%.*s changed since it was read; read it again",
                     STR_ARG(file->path.relative));
    if (st->st_nlink > 1)
        log_line(LOG_INFO, "%.*s has other hard links: they keep the old text", STR_ARG(record->path));
    txn->manifest.old_bytes += (uint64_t)st->st_size;
    return ok;
}

bool txn_stage(Txn *txn, size_t index, const ChangeFile *file, Err *err) {
    Spot spot;
    if (!spot_open(txn->ws, txn->manifest.files[index].path, txn->arena, &spot, err))
        return false;
    spot.shown = file->path.relative;
    bool ok;
    int target = open_target(&spot, file, &txn->seen[index], &ok, err);
    ok = ok && txn_is_writable(&spot, target >= 0 ? &txn->seen[index] : NULL, err);
    ok = ok && (target < 0 || stage_old(txn, index, file, target, err));
    ok = ok && (file->is_removal || stage_new(txn, index, file, &spot, target, err));
    if (target >= 0)
        close(target);
    spot_close(&spot);
    return ok;
}
