/* Planning a transaction on disk: the backup of every old file, the text of every new one, and all the checks
 * that can be made before anything is touched. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "workspace/workspace_internal.h"

int txn_create(int dir_fd, size_t index, unsigned mode, Err *err) {
    char name[32];
    snprintf(name, sizeof name, "%zu", index);
    int fd = open_retry(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (fd < 0)
        err_set_errno(err, errno, "cannot write the backup");
    return fd;
}

bool txn_is_writable(const Spot *spot, const struct stat *st, Err *err) {
    if (st && S_ISREG(st->st_mode) && !(st->st_mode & S_IWUSR))
        return err_set(err, ERR_DENIED, "%.*s is read-only; make it writable (chmod u+w) and try again",
                       STR_ARG(spot->shown));
    return spot_is_writable(spot, err);
}

static void copy_attribute(int from, int to, const char *name) {
    ssize_t size = fgetxattr(from, name, NULL, 0);
    if (size < 0 || size > 65536 || strcmp(name, "security.capability") == 0)
        return; /* rights of a program are lost when it is written to */
    char *value = malloc((size_t)size + 1);
    if (value && (size = fgetxattr(from, name, value, (size_t)size)) >= 0 &&
        fsetxattr(to, name, value, (size_t)size, 0) != 0)
        log_line(LOG_DEBUG, "the attribute %s of a replaced file is not kept", name);
    free(value);
}

void copy_attributes(int from, int to) {
    char few[1024], *names = few;
    ssize_t n = flistxattr(from, few, sizeof few);
    if (n < 0 && errno == ERANGE && (n = flistxattr(from, NULL, 0)) > 0) {
        names = malloc((size_t)n);
        n = names ? flistxattr(from, names, (size_t)n) : -1;
    }
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1)
        copy_attribute(from, to, names + at);
    if (names != few)
        free(names);
}

static unsigned with_executable(unsigned mode, bool is_executable) {
    return is_executable ? mode | (mode & 0444) >> 2 : mode & ~0111u;
}

/* As write() does, which takes the rights of its owner and group from a program that is changed. */
static unsigned without_set_id(unsigned mode) {
    return mode & ~(unsigned)S_ISUID & ~(mode & S_IXGRP ? (unsigned)S_ISGID : 0u);
}

/* owner is who owned the file, or NULL for a new one, whose group then follows a set-group-id folder. */
static void give_owner(int dir, const char *name, const struct stat *owner, const struct stat *folder) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    uid_t uid = owner ? owner->st_uid : st.st_uid;
    gid_t gid = owner ? owner->st_gid : folder && folder->st_mode & S_ISGID ? folder->st_gid : st.st_gid;
    if ((uid != st.st_uid || gid != st.st_gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
        log_line(LOG_INFO, "the owner of a replaced file could not be kept");
}

/* ---- the new text ---- */

/* What gives the new file its owner and attributes: the backup it is made from, the file it replaces, or
 * NULL. */
typedef struct Model {
    int fd;
    struct stat st;
    bool exists;
} Model;

static bool write_text(int fd, int backup_fd, const ChangeFile *file, TxnFile *record, Err *err) {
    if (!file->has_backup) {
        record->after = stamp_of(file->text);
        return os_write_all(fd, file->text, err);
    }
    record->after = (Stamp){.exists = true};
    if (!file_copy(backup_fd, fd, record->after.sha256, err))
        return false;
    return stamp_eq(record->after, file->restored) ||
           err_set(err, ERR_IO, "the backup of %.*s is damaged", STR_ARG(file->path.relative));
}

static bool stage_file(Txn *txn, size_t index, const ChangeFile *file, const Spot *spot, const Model *model,
                       Err *err) {
    TxnFile *record = &txn->manifest.files[index];
    bool is_executable = file->has_mode && file->mode & S_IXUSR;
    int fd = txn_create(txn->new_fd, index, is_executable ? 0777 : 0666, err);
    if (fd < 0)
        return false;
    struct stat st, folder;
    char name[32];
    snprintf(name, sizeof name, "%zu", index);
    bool has_folder = spot->dir >= 0 && fstat(spot->dir, &folder) == 0;
    bool ok = write_text(fd, model->fd, file, record, err);
    give_owner(txn->new_fd, name, model->exists ? &model->st : NULL, has_folder ? &folder : NULL);
    if (model->exists)
        copy_attributes(model->fd, fd);
    bool is_kept = model->exists && !file->is_exact_mode;
    unsigned mode = is_kept ? without_set_id(model->st.st_mode & 07777) : file->mode;
    if (is_kept && file->has_mode)
        mode = with_executable(mode, is_executable);
    if (ok && (is_kept || file->is_exact_mode) && fchmod(fd, mode) != 0)
        ok = err_set_errno(err, errno, "cannot keep the mode of %.*s", STR_ARG(record->path));
    ok = ok && (fstat(fd, &st) == 0 ||
                err_set_errno(err, errno, "cannot write the new text of %.*s", STR_ARG(record->path)));
    if (ok)
        record->mode_after = st.st_mode & 07777;
    sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* starts the writing; the sync comes later */
    close(fd);
    return ok;
}

static bool stage_link(Txn *txn, size_t index, const ChangeFile *file, const Model *model, Err *err) {
    TxnFile *record = &txn->manifest.files[index];
    Arena scratch = {0};
    char name[32];
    snprintf(name, sizeof name, "%zu", index);
    record->after = stamp_of_link(file->text);
    bool ok = symlinkat(str_cstr(&scratch, file->text), txn->new_fd, name) == 0 ||
              err_set_errno(err, errno, "cannot make the symbolic link %.*s", STR_ARG(record->path));
    if (ok)
        give_owner(txn->new_fd, name, model->exists ? &model->st : NULL, NULL);
    arena_free(&scratch);
    return ok;
}

/* ---- the old one ---- */

/* What stands there must be what was seen; *fd is left open for a regular file. */
static bool check_target(const Spot *spot, const ChangeFile *file, const TxnFile *record, struct stat *st,
                         int *fd, Err *err) {
    Str shown = file->path.relative;
    *fd = -1;
    bool is_there = spot->dir >= 0 && fstatat(spot->dir, spot->name, st, AT_SYMLINK_NOFOLLOW) == 0;
    if (spot->dir >= 0 && !is_there && errno != ENOENT)
        return err_set_errno(err, errno, "cannot look at %.*s", STR_ARG(shown));
    if (spot->is_beyond_link && file->seen.exists)
        return err_beyond_link(err, shown);
    if (!is_there || (S_ISDIR(st->st_mode) && record->shares_name))
        return !file->seen.exists ||
               err_set(err, ERR_CONFLICT, "%.*s was removed since it was read", STR_ARG(shown));
    if (S_ISDIR(st->st_mode))
        return err_set(err, ERR_UNSUPPORTED, "%.*s is a folder, not a file", STR_ARG(shown));
    if (!S_ISREG(st->st_mode) && !S_ISLNK(st->st_mode))
        return err_set(err, ERR_UNSUPPORTED, "%.*s is not a regular file", STR_ARG(shown));
    if (!file->seen.exists)
        return err_set(err, ERR_CONFLICT, "%.*s exists already", STR_ARG(shown));
    if (S_ISLNK(st->st_mode) != file->seen.is_link)
        return err_set(err, ERR_CONFLICT, "%.*s was replaced by a %s", STR_ARG(shown),
                       file->seen.is_link ? "regular file" : "symbolic link");
    if (S_ISLNK(st->st_mode))
        return true;
    *fd = open_retry(spot->dir, spot->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (*fd < 0)
        return err_set_errno(err, errno, "cannot open %.*s", STR_ARG(shown));
    if (fstat(*fd, st) != 0 || !S_ISREG(st->st_mode))
        return err_set(err, ERR_CONFLICT, "%.*s changed while it was read", STR_ARG(shown));
    return true;
}

/* A second name of the file itself saves copying it. It serves as a backup when no other name of it exists
 * and nobody has it open for writing: once displaced it cannot change any more. */
static bool link_old(Txn *txn, size_t index, const Spot *spot, const struct stat *st) {
    char name[32];
    struct stat linked;
    snprintf(name, sizeof name, "%zu", index);
    if (linkat(spot->dir, spot->name, txn->old_fd, name, 0) != 0)
        return false;
    if (fstatat(txn->old_fd, name, &linked, AT_SYMLINK_NOFOLLOW) == 0 && linked.st_ino == st->st_ino &&
        linked.st_dev == st->st_dev)
        return true;
    unlinkat(txn->old_fd, name, 0);
    return false;
}

static bool copy_old(Txn *txn, size_t index, int target, const struct stat *st, Err *err) {
    char name[32];
    TxnFile *record = &txn->manifest.files[index];
    snprintf(name, sizeof name, "%zu", index);
    int copy = txn_create(txn->old_fd, index, 0600, err);
    if (copy < 0)
        return false;
    bool ok = file_copy(target, copy, record->before.sha256, err) ||
              err_wrap(err, "backup of %.*s", STR_ARG(record->path));
    copy_attributes(target, copy);
    if (fchmod(copy, 0600) != 0)
        log_line(LOG_DEBUG, "the mode of a backup is not ours");
    give_owner(txn->old_fd, name, st, NULL);
    close(copy);
    return ok;
}

static bool stage_old_file(Txn *txn, size_t index, int target, const Spot *spot, Err *err) {
    TxnFile *record = &txn->manifest.files[index];
    const struct stat *st = &txn->seen[index];
    Quiet quiet = file_quiet(target);
    if (quiet == QUIET_NO)
        return err_busy(err, spot->shown);
    record->before = (Stamp){.exists = true};
    record->mode_before = st->st_mode & 07777;
    txn->manifest.old_bytes += (uint64_t)st->st_size;
    if (quiet == QUIET_YES && st->st_nlink == 1 && link_old(txn, index, spot, st))
        return hash_fd(target, -1, record->before.sha256, err) ||
               err_wrap(err, "%.*s", STR_ARG(record->path));
    return copy_old(txn, index, target, st, err);
}

static bool stage_old_link(Txn *txn, size_t index, const Spot *spot, Err *err) {
    TxnFile *record = &txn->manifest.files[index];
    char name[32];
    Str target;
    snprintf(name, sizeof name, "%zu", index);
    if (!link_target(spot->dir, spot->name, txn->arena, &target, err))
        return false;
    record->before = stamp_of_link(target);
    if (symlinkat(target.ptr, txn->old_fd, name) != 0)
        return err_set_errno(err, errno, "cannot write the backup");
    give_owner(txn->old_fd, name, &txn->seen[index], NULL);
    return true;
}

static bool stage_old(Txn *txn, size_t index, ChangeFile *file, int target, const Spot *spot, Err *err) {
    const TxnFile *record = &txn->manifest.files[index];
    if (!(target >= 0 ? stage_old_file(txn, index, target, spot, err)
                      : stage_old_link(txn, index, spot, err)))
        return false;
    if (!stamp_eq(record->before, file->seen))
        return err_set(err, ERR_CONFLICT, "%.*s changed since %s", STR_ARG(file->path.relative),
                       txn->manifest.undoes.len ? "then: undoing would lose that"
                                                : "it was read; read it again");
    file->had_hard_links = target >= 0 && txn->seen[index].st_nlink > 1;
    if (file->had_hard_links)
        log_line(LOG_INFO, "%.*s has other hard links: they keep the old text", STR_ARG(record->path));
    return true;
}

static bool stage_restored(Txn *txn, size_t index, const Change *change, const ChangeFile *file,
                           const Spot *spot, Err *err) {
    char name[32];
    snprintf(name, sizeof name, "%zu", file->backup_index);
    Model model = {.fd = open_retry(change->backup_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0)};
    if (model.fd < 0)
        return err_set_errno(err, errno, "the backup of %.*s is damaged or gone",
                             STR_ARG(file->path.relative));
    model.exists = fstat(model.fd, &model.st) == 0;
    bool ok = model.exists && stage_file(txn, index, file, spot, &model, err);
    close(model.fd);
    return ok;
}

static bool stage_new(Txn *txn, size_t index, const Change *change, const ChangeFile *file, const Spot *spot,
                      int target, Err *err) {
    Model model = {.fd = target, .st = txn->seen[index], .exists = target >= 0};
    if (file->has_backup)
        return stage_restored(txn, index, change, file, spot, err);
    return file->is_link ? stage_link(txn, index, file, &model, err)
                         : stage_file(txn, index, file, spot, &model, err);
}

bool txn_stage(Txn *txn, size_t index, const Change *change, ChangeFile *file, Err *err) {
    const TxnFile *record = &txn->manifest.files[index];
    Spot spot;
    if (!spot_open(txn->ws, record->path, txn->arena, &spot, err))
        return false;
    spot.shown = file->path.relative;
    int target;
    struct stat *st = &txn->seen[index];
    bool ok = check_target(&spot, file, record, st, &target, err);
    ok = ok && txn_is_writable(&spot, file->seen.exists ? st : NULL, err);
    ok = ok && (!file->seen.exists || stage_old(txn, index, file, target, &spot, err));
    ok = ok && (file->is_removal || stage_new(txn, index, change, file, &spot, target, err));
    if (target >= 0)
        close(target);
    spot_close(&spot);
    return ok;
}

typedef struct Identity {
    dev_t dev;
    ino_t ino;
    size_t index;
} Identity;

static int by_identity(const void *a, const void *b) {
    const Identity *x = a, *y = b;
    return x->dev != y->dev ? (x->dev > y->dev) - (x->dev < y->dev) : (x->ino > y->ino) - (x->ino < y->ino);
}

bool txn_check_twins(const Txn *txn, Err *err) {
    const Manifest *m = &txn->manifest;
    Identity *all = ARENA_ARRAY(txn->arena, Identity, m->count);
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++)
        if (m->files[i].before.exists)
            all[n++] = (Identity){txn->seen[i].st_dev, txn->seen[i].st_ino, i};
    if (n)
        qsort(all, n, sizeof *all, by_identity);
    for (size_t i = 1; i < n; i++)
        /* the name of the one that was staged first is a link's only one, before the backup is another */
        if (by_identity(&all[i - 1], &all[i]) == 0 &&
            (txn->seen[all[i - 1].index].st_nlink == 1 || txn->seen[all[i].index].st_nlink == 1))
            return err_set(err, ERR_CONFLICT, "%.*s and %.*s are one and the same file",
                           STR_ARG(m->files[all[i - 1].index].path), STR_ARG(m->files[all[i].index].path));
    return true;
}
