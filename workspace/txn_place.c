/* Spots of a transaction: opened below a fence, looked at, and changed by exchanging names, so that what was
 * displaced can be seen afterwards and put back when it is not what the change was made for. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "workspace/workspace_internal.h"

void txn_new_name(size_t index, char out[32]) {
    snprintf(out, 32, "new/%zu", index);
}

void txn_gone_name(size_t index, char out[32]) {
    snprintf(out, 32, "gone-%zu", index);
}

void txn_temp_name(const Txn *txn, size_t index, char out[96]) {
    snprintf(out, 96, ".mux-%.*s-%zu.tmp", STR_ARG(txn->manifest.id), index);
}

/* What is not copied wholly yet: a file of the other name is always somebody's. */
static void part_name(const Txn *txn, size_t index, char out[96]) {
    snprintf(out, 96, ".mux-%.*s-%zu.part", STR_ARG(txn->manifest.id), index);
}

Str txn_path_of(const Workspace *ws, Str absolute) {
    return path_is_inside(ws->anchor.path, absolute) ? path_below(ws->anchor.path, absolute) : absolute;
}

Str txn_absolute(const Workspace *ws, Str path, Arena *arena) {
    if (str_starts(path, S("/")))
        return path;
    Str anchor = ws->anchor.path;
    return str_printf(arena, "%.*s/%.*s", anchor.len > 1 ? (int)anchor.len : 0, anchor.ptr, STR_ARG(path));
}

/* ---- spots ---- */

bool spot_open(const Workspace *ws, Str txn_path, Arena *arena, Spot *out, Err *err) {
    *out = (Spot){.dir = -1, .shown = txn_path};
    Str absolute = txn_absolute(ws, txn_path, arena);
    const Fence *fence =
        path_is_inside(ws->anchor.path, absolute) ? &ws->anchor : path_fence(ws, absolute, false);
    if (!fence)
        return err_set(err, ERR_DENIED, "%.*s is outside of this workspace", STR_ARG(absolute));
    Str below = path_below(fence->path, absolute);
    if (!path_is_plain(below) || path_is_forbidden(ws, absolute, below) || path_is_fixed(below))
        return err_set(err, ERR_DENIED, "%.*s belongs to version control or to mux itself",
                       STR_ARG(txn_path));
    Str parent = path_parent(below);
    out->name = str_cstr(arena, parent.len ? str_from(below, parent.len + 1) : below);
    out->dir = open_beneath(fence->fd, parent.len ? str_cstr(arena, parent) : ".", O_RDONLY | O_DIRECTORY);
    out->is_beyond_link = out->dir < 0 && (errno == ELOOP || errno == EXDEV);
    if (out->dir >= 0 || out->is_beyond_link || errno == ENOENT || errno == ENOTDIR)
        return true;
    return err_set_errno(err, errno, "cannot open the folder of %.*s", STR_ARG(txn_path));
}

void spot_close(Spot *spot) {
    if (spot->dir >= 0)
        close(spot->dir);
    spot->dir = -1;
}

static bool look_at_link(int dir, const char *name, Look *out, Err *err) {
    Arena scratch = {0};
    Str target;
    bool ok = link_target(dir, name, &scratch, &target, err);
    if (ok)
        out->stamp = stamp_of_link(target);
    arena_free(&scratch);
    return ok;
}

bool err_beyond_link(Err *err, Str shown) {
    return err_set(err, ERR_DENIED, "%.*s goes through a symbolic link that was not there before",
                   STR_ARG(shown));
}

bool look_at(int dir, const char *name, Look *out, Err *err) {
    *out = (Look){0};
    if (fstatat(dir, name, &out->st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || err_set_errno(err, errno, "cannot look at %s", name);
    if (S_ISLNK(out->st.st_mode))
        return look_at_link(dir, name, out, err);
    out->is_folder = S_ISDIR(out->st.st_mode);
    out->is_other = !S_ISREG(out->st.st_mode);
    if (out->is_other)
        return true;
    int fd = open_retry(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        bool is_gone = errno == ENOENT;
        out->is_other = errno == ELOOP || errno == ENXIO; /* replaced this moment */
        return is_gone || out->is_other || err_set_errno(err, errno, "cannot open %s", name);
    }
    bool ok = fstat(fd, &out->st) == 0 || err_set_errno(err, errno, "cannot look at %s", name);
    if (ok && !S_ISREG(out->st.st_mode)) {
        out->is_other = true;
    } else if (ok) {
        out->stamp.exists = true;
        ok = hash_fd(fd, -1, out->stamp.sha256, err) || err_wrap(err, "%s", name);
    }
    close(fd);
    return ok;
}

bool spot_look(const Spot *spot, Look *out, Err *err) {
    if (spot->dir >= 0)
        return look_at(spot->dir, spot->name, out, err);
    *out = (Look){0};
    return true;
}

bool look_is(const TxnFile *file, const Look *look, Stamp expected) {
    if (look->is_folder && file->shares_name)
        return !expected.exists;
    return !look->is_other && stamp_eq(look->stamp, expected);
}

/* ---- open elsewhere ---- */

Quiet file_quiet(int fd) {
    /* Whoever opens the file for writing while the lease is held makes the kernel signal its holder: it must
     * be a signal that nobody dies of. */
    if (fcntl(fd, F_SETSIG, SIGURG) != 0 || fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return errno == EAGAIN ? QUIET_NO : QUIET_UNKNOWN;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return QUIET_YES;
}

static bool is_written_elsewhere(int dir, const char *name) {
    int fd = open_retry(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    bool found = fd >= 0 && file_quiet(fd) == QUIET_NO;
    if (fd >= 0)
        close(fd);
    return found;
}

bool err_busy(Err *err, Str shown) {
    return err_set(err, ERR_CONFLICT, "%.*s is open for writing in another program; close it there first",
                   STR_ARG(shown));
}

/* ---- placing ---- */

bool txn_changed_since(Err *err, const Spot *spot) {
    return err_set(err, ERR_CONFLICT, "%.*s changed on disk since it was read; read it again",
                   STR_ARG(spot->shown));
}

static bool is_unsupported(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* To a name that must be free, on every file system that knows links: 0, or -1 and errno. */
static int move_to_free(int dir, const char *name, const Spot *spot) {
    int failed = linkat(dir, name, spot->dir, spot->name, 0);
    if (!failed)
        unlinkat(dir, name, 0);
    return failed;
}

static int give_back(int dir, const char *name, const Spot *spot, unsigned flags) {
    int failed = renameat2(dir, name, spot->dir, spot->name, flags);
    return failed && flags == RENAME_NOREPLACE && is_unsupported(errno) ? move_to_free(dir, name, spot)
                                                                        : failed;
}

/* The displaced file must be the expected one, and nobody may have it open for writing: from then on nobody
 * can, for it has no name outside of our folder. Else both go back to where they were. */
static bool check_displaced(int dir, const char *name, const Spot *spot, Stamp expected, unsigned flags,
                            Err *err) {
    Look look;
    Err why = {0};
    bool is_busy = is_written_elsewhere(dir, name);
    bool is_seen = is_busy || look_at(dir, name, &look, &why);
    if (!is_busy && is_seen && !look.is_other && stamp_eq(look.stamp, expected))
        return true;
    if (give_back(dir, name, spot, flags) != 0)
        return err_set_errno(err, errno,
                             "%.*s changed while it was replaced; its text is kept in the backup folder",
                             STR_ARG(spot->shown));
    if (!is_seen && err)
        *err = why;
    return is_seen && (is_busy ? err_busy(err, spot->shown) : txn_changed_since(err, spot));
}

/* For file systems without exchange: a new name replaces nothing; an old one is looked at, then replaced. */
static bool replace_plainly(int dir, const char *name, const Spot *spot, Stamp expected, bool *is_far,
                            Err *err) {
    Look look;
    if (!expected.exists && move_to_free(dir, name, spot) == 0)
        return true;
    if (!expected.exists && errno == EEXIST)
        return txn_changed_since(err, spot);
    if (expected.exists && is_written_elsewhere(spot->dir, spot->name))
        return err_busy(err, spot->shown);
    if (!spot_look(spot, &look, err))
        return false;
    if (look.is_other || !stamp_eq(look.stamp, expected))
        return txn_changed_since(err, spot);
    if (renameat(dir, name, spot->dir, spot->name) == 0)
        return true;
    *is_far = errno == EXDEV;
    return err_set_errno(err, errno, "cannot write %.*s", STR_ARG(spot->shown));
}

/* *is_far: the staged file is on another mount. */
static bool place_from(int dir, const char *name, const Spot *spot, Stamp expected, bool *is_far, Err *err) {
    unsigned flags = expected.exists ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    *is_far = false;
    if (renameat2(dir, name, spot->dir, spot->name, flags) == 0)
        return !expected.exists || check_displaced(dir, name, spot, expected, flags, err);
    *is_far = errno == EXDEV;
    if (is_unsupported(errno))
        return replace_plainly(dir, name, spot, expected, is_far, err);
    if (errno == (expected.exists ? ENOENT : EEXIST))
        return txn_changed_since(err, spot);
    return err_set_errno(err, errno, "cannot write %.*s", STR_ARG(spot->shown));
}

static bool remove_to(int dir, const char *name, const Spot *spot, Stamp expected, bool *is_far, Err *err) {
    *is_far = false;
    unlinkat(dir, name, 0);
    if (renameat2(spot->dir, spot->name, dir, name, RENAME_NOREPLACE) == 0 ||
        (is_unsupported(errno) && renameat(spot->dir, spot->name, dir, name) == 0))
        return check_displaced(dir, name, spot, expected, RENAME_NOREPLACE, err);
    *is_far = errno == EXDEV;
    if (errno == ENOENT)
        return txn_changed_since(err, spot);
    return err_set_errno(err, errno, "cannot remove %.*s", STR_ARG(spot->shown));
}

static void copy_owner(int dir, const char *name, const struct stat *from) {
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        (st.st_uid != from->st_uid || st.st_gid != from->st_gid) &&
        fchownat(dir, name, from->st_uid, from->st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
        /* only root may give files away; the rest is kept all the same */
    }
}

static bool copy_link(int from_dir, const char *from, int to_dir, const char *to, Stamp *stamp, Err *err) {
    Arena scratch = {0};
    Str target;
    bool ok = link_target(from_dir, from, &scratch, &target, err);
    if (ok) {
        *stamp = stamp_of_link(target);
        ok = symlinkat(target.ptr, to_dir, to) == 0 || err_set_errno(err, errno, "cannot make %s", to);
    }
    arena_free(&scratch);
    return ok;
}

static bool copy_regular(int from_dir, const char *from, int to_dir, const char *to, unsigned mode,
                         Stamp *stamp, Err *err) {
    int in = open_retry(from_dir, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (in < 0)
        return err_set_errno(err, errno, "cannot open %s", from);
    int out = open_retry(to_dir, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    bool ok = out >= 0 || err_set_errno(err, errno, "cannot make %s", to);
    *stamp = (Stamp){.exists = true};
    ok = ok && file_copy(in, out, stamp->sha256, err);
    if (ok)
        copy_attributes(in, out);
    ok = ok && ((fchmod(out, mode) == 0 && sync_fd(out)) || err_set_errno(err, errno, "cannot write %s", to));
    close(in);
    if (out >= 0)
        close(out);
    return ok;
}

/* A copy with owner, attributes and this mode, synced; what it holds in *stamp. */
static bool copy_between(int from_dir, const char *from, int to_dir, const char *to, unsigned mode,
                         Stamp *stamp, Err *err) {
    struct stat st;
    if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return err_set_errno(err, errno, "cannot find %s", from);
    unlinkat(to_dir, to, 0);
    bool ok = S_ISLNK(st.st_mode)   ? copy_link(from_dir, from, to_dir, to, stamp, err)
              : S_ISREG(st.st_mode) ? copy_regular(from_dir, from, to_dir, to, mode, stamp, err)
                                    : err_set(err, ERR_IO, "%s is no regular file", from);
    if (ok) {
        copy_owner(to_dir, to, &st);
        if (S_ISREG(st.st_mode) && mode & 07000) /* giving it away took the set-id bits */
            ok = fchmodat(to_dir, to, mode, 0) == 0 || err_set_errno(err, errno, "cannot write %s", to);
    }
    return ok;
}

bool txn_copy(Txn *txn, const char *from, const char *to, unsigned mode, Stamp *stamp, Err *err) {
    return copy_between(txn->fd, from, txn->fd, to, mode, stamp, err);
}

bool txn_unlink_temp(const Txn *txn, size_t index, const Spot *spot, bool is_safe) {
    char name[96];
    if (spot->dir < 0)
        return true;
    part_name(txn, index, name);
    bool ok = unlinkat(spot->dir, name, 0) == 0 || errno == ENOENT;
    txn_temp_name(txn, index, name);
    return !is_safe || ((unlinkat(spot->dir, name, 0) == 0 || errno == ENOENT) && ok);
}

/* Somebody saved once more while the text before was on its way back to its place: what was taken out for it
 * is theirs, and the newest. */
static void put_newest(const TxnFile *file, int dir, const char *name, const Spot *spot) {
    Look look;
    if (look_at(dir, name, &look, NULL) && !look.is_other && look.stamp.exists &&
        !stamp_eq(look.stamp, file->before) && !stamp_eq(look.stamp, file->after))
        renameat2(dir, name, spot->dir, spot->name, RENAME_EXCHANGE);
}

static bool copy_beside(const Txn *txn, size_t index, const Spot *spot, const char *staged, const char *temp,
                        Err *err) {
    char part[96];
    struct stat st;
    Stamp copied;
    part_name(txn, index, part);
    bool ok = fstatat(txn->fd, staged, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
              err_set_errno(err, errno, "cannot find %s", staged);
    ok = ok && copy_between(txn->fd, staged, spot->dir, part, st.st_mode & 07777, &copied, err);
    ok = ok && (renameat(spot->dir, part, spot->dir, temp) == 0 ||
                err_set_errno(err, errno, "cannot write beside %.*s", STR_ARG(spot->shown)));
    if (!ok)
        unlinkat(spot->dir, part, 0);
    return ok;
}

/* Another mount: the same by way of a temporary name beside the target. */
static bool place_far(Txn *txn, size_t index, const Spot *spot, const char *staged, Stamp expected,
                      Err *err) {
    char temp[96];
    bool is_far;
    Err why = {0};
    txn_temp_name(txn, index, temp);
    txn->has_temps = true;
    bool ok = !staged || copy_beside(txn, index, spot, staged, temp, &why);
    bool is_copied = ok;
    ok = ok && (staged ? place_from(spot->dir, temp, spot, expected, &is_far, &why)
                       : remove_to(spot->dir, temp, spot, expected, &is_far, &why));
    if (!ok && is_copied && staged)
        put_newest(&txn->manifest.files[index], spot->dir, temp, spot);
    /* after a conflict our own copy is back under that name; after anything worse it may be somebody's text
     */
    if ((ok || !is_copied || why.code == ERR_CONFLICT) && unlinkat(spot->dir, temp, 0) != 0 &&
        errno != ENOENT && ok)
        ok = err_set_errno(&why, errno, "cannot remove the temporary name beside %.*s", STR_ARG(spot->shown));
    if (!ok && err)
        *err = why;
    return ok;
}

bool spot_exchange(const Spot *spot, int dir, const char *name, Stamp expected, Err *err) {
    bool is_far;
    if (spot->dir < 0)
        return err_set(err, ERR_CONFLICT, "the folder of %.*s is gone", STR_ARG(spot->shown));
    return place_from(dir, name, spot, expected, &is_far, err);
}

bool txn_place(Txn *txn, size_t index, const Spot *spot, const char *staged, Stamp expected, Err *err) {
    if (spot->dir < 0)
        return err_set(err, ERR_CONFLICT, "the folder of %.*s is gone", STR_ARG(spot->shown));
    char gone[32];
    bool is_far;
    txn_gone_name(index, gone);
    bool ok = staged ? place_from(txn->fd, staged, spot, expected, &is_far, err)
                     : remove_to(txn->fd, gone, spot, expected, &is_far, err);
    if (!ok && staged && !is_far)
        put_newest(&txn->manifest.files[index], txn->fd, staged, spot);
    return ok || (is_far && place_far(txn, index, spot, staged, expected, err));
}
