/* One transaction: many files from one state to another, all or nothing, whatever stops the process.
 *
 *   txn/ID/old/N        copy of file N before (backup, kept for undo)
 *   txn/ID/new/N        file N after, with owner and mode; placing it exchanges it with the old file
 *   txn/ID/manifest     the record (manifest.c). From the moment it has this name the transaction is
 * prepared: a start that finds it undoes what was done (txn_recover.c) txn/ID/committed    the same record
 * after the commit point, the rename of one name to the other txn/ID/kept         the same record of an
 * interrupted transaction that could not be undone wholly: for people
 *
 * Every file and folder is synced before the step that relies on it. A failed sync fails the transaction:
 * asking again could answer success for lost data. Targets are exchanged, not overwritten, so that what was
 * displaced can be hashed afterwards and put back when it is not what the change was made for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/os.h"
#include "workspace/workspace_internal.h"

void txn_new_name(size_t index, char out[32]) {
    snprintf(out, 32, "new/%zu", index);
}

void txn_gone_name(size_t index, char out[32]) {
    snprintf(out, 32, "gone-%zu", index);
}

static void temp_name(const Txn *txn, size_t index, char out[96]) {
    snprintf(out, 96, ".mux-%.*s-%zu.tmp", STR_ARG(txn->manifest.id), index);
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
    if (!path_is_plain(below) || path_is_protected(below))
        return err_set(err, ERR_DENIED, "%.*s belongs to version control or to mux itself",
                       STR_ARG(txn_path));
    Str parent = path_parent(below);
    out->name = str_cstr(arena, parent.len ? str_from(below, parent.len + 1) : below);
    out->dir = open_beneath(fence->fd, parent.len ? str_cstr(arena, parent) : ".", O_RDONLY | O_DIRECTORY);
    if (out->dir >= 0 || errno == ENOENT)
        return true;
    if (errno == ELOOP || errno == EXDEV)
        return err_set(err, ERR_DENIED, "%.*s goes through a symbolic link that was not there before",
                       STR_ARG(txn_path));
    return err_set_errno(err, errno, "cannot open the folder of %.*s", STR_ARG(txn_path));
}

void spot_close(Spot *spot) {
    if (spot->dir >= 0)
        close(spot->dir);
    spot->dir = -1;
}

static bool look_at(int dir, const char *name, Look *out, Err *err) {
    *out = (Look){0};
    int fd = open_retry(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        if (errno == ENOENT)
            return true;
        out->is_other = errno == ELOOP || errno == ENXIO;
        return out->is_other || err_set_errno(err, errno, "cannot open %s", name);
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

/* ---- placing ---- */

static bool changed_since(Err *err, const Spot *spot) {
    return err_set(err, ERR_CONFLICT, "%.*s changed on disk since it was read; read it again",
                   STR_ARG(spot->shown));
}

static bool is_unsupported(int error) {
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/* The displaced file must be the expected one; else both go back to where they were. */
static bool check_displaced(int dir, const char *name, const Spot *spot, Stamp expected, unsigned flags,
                            Err *err) {
    Look look;
    if (look_at(dir, name, &look, err) && !look.is_other && stamp_eq(look.stamp, expected))
        return true;
    if (renameat2(dir, name, spot->dir, spot->name, flags) != 0)
        return err_set_errno(err, errno,
                             "%.*s changed while it was replaced; its text is kept in the backup folder",
                             STR_ARG(spot->shown));
    return changed_since(err, spot);
}

/* For file systems without exchange: look, then replace. */
static bool replace_plainly(int dir, const char *name, const Spot *spot, Stamp expected, Err *err) {
    Look look;
    if (!spot_look(spot, &look, err))
        return false;
    if (look.is_other || !stamp_eq(look.stamp, expected))
        return changed_since(err, spot);
    if (name ? renameat(dir, name, spot->dir, spot->name) : unlinkat(spot->dir, spot->name, 0))
        return err_set_errno(err, errno, "cannot %s %.*s", name ? "write" : "remove", STR_ARG(spot->shown));
    return true;
}

/* *is_far: the staged file is on another mount. */
static bool place_from(int dir, const char *name, const Spot *spot, Stamp expected, bool *is_far, Err *err) {
    unsigned flags = expected.exists ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    *is_far = false;
    if (renameat2(dir, name, spot->dir, spot->name, flags) == 0)
        return !expected.exists || check_displaced(dir, name, spot, expected, flags, err);
    *is_far = errno == EXDEV;
    if (is_unsupported(errno))
        return replace_plainly(dir, name, spot, expected, err);
    if (errno == (expected.exists ? ENOENT : EEXIST))
        return changed_since(err, spot);
    return err_set_errno(err, errno, "cannot write %.*s", STR_ARG(spot->shown));
}

static bool remove_to(int dir, const char *name, const Spot *spot, Stamp expected, bool *is_far, Err *err) {
    *is_far = false;
    unlinkat(dir, name, 0);
    if (renameat2(spot->dir, spot->name, dir, name, RENAME_NOREPLACE) == 0)
        return check_displaced(dir, name, spot, expected, RENAME_NOREPLACE, err);
    *is_far = errno == EXDEV;
    if (is_unsupported(errno))
        return replace_plainly(-1, NULL, spot, expected, err);
    if (errno == ENOENT)
        return changed_since(err, spot);
    return err_set_errno(err, errno, "cannot remove %.*s", STR_ARG(spot->shown));
}

static bool copy_owner_and_mode(int fd, const struct stat *from, unsigned mode) {
    struct stat st;
    if (fstat(fd, &st) == 0 && (st.st_uid != from->st_uid || st.st_gid != from->st_gid) &&
        fchown(fd, from->st_uid, from->st_gid) != 0) {
        /* only root may give files away; the mode is kept all the same */
    }
    return fchmod(fd, mode) == 0;
}

static bool copy_between(int from_dir, const char *from, int to_dir, const char *to, unsigned mode,
                         unsigned char sha256[32], Err *err) {
    int in = open_retry(from_dir, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (in < 0)
        return err_set_errno(err, errno, "cannot open %s", from);
    unlinkat(to_dir, to, 0);
    int out = open_retry(to_dir, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    struct stat st;
    bool ok = out >= 0 || err_set_errno(err, errno, "cannot make %s", to);
    ok = ok && ((fstat(in, &st) == 0 && S_ISREG(st.st_mode)) ||
                err_set(err, ERR_IO, "%s is no regular file", from));
    ok = ok && hash_fd(in, out, sha256, err);
    ok = ok && ((copy_owner_and_mode(out, &st, mode) && sync_fd(out)) ||
                err_set_errno(err, errno, "cannot write %s", to));
    close(in);
    if (out >= 0)
        close(out);
    return ok;
}

bool txn_copy(Txn *txn, const char *from, const char *to, unsigned mode, unsigned char sha256[32], Err *err) {
    return copy_between(txn->fd, from, txn->fd, to, mode, sha256, err);
}

void txn_unlink_temp(const Txn *txn, size_t index, const Spot *spot) {
    char temp[96];
    temp_name(txn, index, temp);
    if (spot->dir >= 0)
        unlinkat(spot->dir, temp, 0);
}

bool txn_place(Txn *txn, size_t index, const Spot *spot, const char *staged, Stamp expected, Err *err) {
    if (spot->dir < 0)
        return err_set(err, ERR_CONFLICT, "the folder of %.*s is gone", STR_ARG(spot->shown));
    char gone[32], temp[96];
    bool is_far;
    txn_gone_name(index, gone);
    temp_name(txn, index, temp);
    bool ok = staged ? place_from(txn->fd, staged, spot, expected, &is_far, err)
                     : remove_to(txn->fd, gone, spot, expected, &is_far, err);
    if (ok || !is_far)
        return ok;
    /* another mount: the same by way of a temporary name beside the target */
    if (staged) {
        struct stat st;
        unsigned char sha256[32];
        ok = fstatat(txn->fd, staged, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
             err_set_errno(err, errno, "cannot find %s", staged);
        ok = ok && copy_between(txn->fd, staged, spot->dir, temp, st.st_mode & 07777, sha256, err);
        ok = ok && place_from(spot->dir, temp, spot, expected, &is_far, err);
    } else {
        ok = remove_to(spot->dir, temp, spot, expected, &is_far, err);
    }
    unlinkat(spot->dir, temp, 0);
    return ok;
}

/* ---- folders ---- */

/* Opens the parent folder of every file in turn; each folder once in a row is enough, syncing twice does no
 * harm. */
bool txn_sync_dirs(Txn *txn, Err *err) {
    const Manifest *m = &txn->manifest;
    bool ok = true;
    Str last = {0};
    for (size_t i = 0; ok && i < m->count + m->made_dir_count; i++) {
        Str path = i < m->count ? m->files[i].path : m->made_dirs[i - m->count];
        Str parent = path_parent(path);
        if (last.ptr && str_eq(parent, last))
            continue;
        last = (Str){parent.ptr ? parent.ptr : "", parent.len};
        Spot spot;
        ok = spot_open(txn->ws, path, txn->arena, &spot, err);
        if (ok && spot.dir >= 0)
            ok = sync_fd(spot.dir) ||
                 err_set_errno(err, errno, "cannot write the folder of %.*s", STR_ARG(path));
        spot_close(&spot);
    }
    return ok;
}

bool txn_make_dirs(Txn *txn, Err *err) {
    for (size_t i = 0; i < txn->manifest.made_dir_count; i++) {
        Spot spot;
        if (!spot_open(txn->ws, txn->manifest.made_dirs[i], txn->arena, &spot, err))
            return false;
        int failed;
        do
            failed = spot.dir < 0 || mkdirat(spot.dir, spot.name, 0777);
        while (failed && spot.dir >= 0 && errno == EINTR);
        bool ok = !failed || (spot.dir >= 0 && errno == EEXIST);
        if (!ok)
            err_set_errno(err, errno, "cannot make the folder %.*s", STR_ARG(spot.shown));
        spot_close(&spot);
        if (!ok)
            return false;
    }
    return true;
}

void txn_remove_dirs(Txn *txn, const Str *dirs, size_t count, bool is_reversed) {
    for (size_t i = 0; i < count; i++) {
        Spot spot;
        if (!spot_open(txn->ws, dirs[is_reversed ? count - 1 - i : i], txn->arena, &spot, NULL))
            continue;
        if (spot.dir >= 0 && unlinkat(spot.dir, spot.name, AT_REMOVEDIR) == 0)
            sync_fd(spot.dir);
        spot_close(&spot);
    }
}

/* Folders between the fence and a new file that are not there yet, outermost first. */
static void plan_dirs(Txn *txn, Str path, size_t *capacity) {
    Manifest *m = &txn->manifest;
    for (size_t end = 1; (end = str_find_char(path, '/', end)) != STR_NONE; end++) {
        Str dir = str_slice(path, 0, end);
        Spot spot;
        struct stat st;
        if (!spot_open(txn->ws, dir, txn->arena, &spot, NULL))
            continue;
        bool is_missing =
            spot.dir < 0 || (fstatat(spot.dir, spot.name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT);
        spot_close(&spot);
        for (size_t i = 0; is_missing && i < m->made_dir_count; i++)
            is_missing = !str_eq(m->made_dirs[i], dir);
        if (is_missing)
            LIST_PUSH(txn->arena, m->made_dirs, m->made_dir_count, *capacity, dir);
    }
}

/* ---- the steps ---- */

static bool make_id(Txn *txn, Err *err) {
    TxnNames names;
    unsigned char salt[3] = {0};
    if (!txn_names(txn->ws->state_fd, txn->arena, &names, err))
        return false;
    unsigned long number = names.count ? strtoul(names.ids[names.count - 1].ptr, NULL, 10) : 0;
    if (getrandom(salt, sizeof salt, 0) != sizeof salt)
        return err_set_errno(err, errno, "no random bytes for the name of a backup");
    txn->manifest.id = str_printf(txn->arena, "%lu-%02x%02x%02x", number + 1, salt[0], salt[1], salt[2]);
    return true;
}

static int make_and_open(int dir_fd, const char *name) {
    int failed;
    do
        failed = mkdirat(dir_fd, name, 0700);
    while (failed && errno == EINTR);
    return failed ? -1 : open_retry(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

bool txn_begin(Txn *txn, const Change *change, Err *err) {
    Workspace *ws = txn->ws = change->ws;
    Manifest *m = &txn->manifest;
    txn->txns_fd = txn->fd = txn->old_fd = txn->new_fd = -1;
    if (!make_id(txn, err))
        return false;
    m->undoes = change->undoes;
    m->title = change->title;
    m->unix_seconds = os_unix_seconds();
    m->is_by_editor = ws->io.write != NULL;
    m->count = change->count;
    m->files = ARENA_ARRAY(txn->arena, TxnFile, m->count);
    m->left_dirs = change->left_dirs;
    m->left_dir_count = change->left_dir_count;
    txn->seen = ARENA_ARRAY(txn->arena, struct stat, m->count);
    txn->is_written = ARENA_ARRAY(txn->arena, bool, m->count);
    size_t capacity = 0;
    for (size_t i = 0; i < m->count; i++) {
        m->files[i].path = txn_path_of(ws, change->files[i].path.absolute);
        if (!change->files[i].is_removal)
            plan_dirs(txn, m->files[i].path, &capacity);
    }
    txn->txns_fd = open_retry(ws->state_fd, "txn", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (txn->txns_fd >= 0 && (txn->fd = make_and_open(txn->txns_fd, m->id.ptr)) >= 0 &&
        (txn->old_fd = make_and_open(txn->fd, "old")) >= 0 &&
        (txn->new_fd = make_and_open(txn->fd, "new")) >= 0)
        return true;
    return err_set_errno(err, errno, "cannot make the folder for the backup");
}

bool txn_write_manifest(Txn *txn, Err *err) {
    Buf text = {0};
    manifest_print(&txn->manifest, &text);
    int fd = open_retry(txn->fd, "manifest.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 || err_set_errno(err, errno, "cannot make the record of the change");
    ok = ok && (!text.failed || err_set(err, ERR_NO_MEMORY, "no memory for the record of the change"));
    ok = ok && os_write_all(fd, buf_text(&text), err);
    ok = ok && (sync_fd(fd) || err_set_errno(err, errno, "cannot write the record of the change"));
    if (fd >= 0)
        close(fd);
    buf_free(&text);
    return ok && ((renameat(txn->fd, "manifest.tmp", txn->fd, "manifest") == 0 && sync_fd(txn->fd)) ||
                  err_set_errno(err, errno, "cannot put the record of the change in place"));
}

static bool sync_files(int dir_fd, size_t count, Err *err) {
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%zu", i);
        int fd = open_retry(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
        if (fd < 0 && errno == ENOENT)
            continue;
        bool ok = fd >= 0 && sync_fd(fd);
        if (!ok)
            err_set_errno(err, errno, "cannot write the backup");
        if (fd >= 0)
            close(fd);
        if (!ok)
            return false;
    }
    return sync_fd(dir_fd) || err_set_errno(err, errno, "cannot write the backup");
}

/* The files are synced in one go after all were written: the first sync then carries most of the others
 * along. */
bool txn_prepare(Txn *txn, Err *err) {
    size_t n = txn->manifest.count;
    if (!sync_files(txn->old_fd, n, err) || !sync_files(txn->new_fd, n, err))
        return false;
    if (!sync_fd(txn->fd) || !sync_fd(txn->txns_fd))
        return err_set_errno(err, errno, "cannot write the backup");
    return txn_write_manifest(txn, err);
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Looks once more at every target before the first is touched; the hash decides, size and time only save
 * reading. */
bool txn_check(Txn *txn, Err *err) {
    for (size_t i = 0; i < txn->manifest.count; i++) {
        const TxnFile *file = &txn->manifest.files[i];
        Spot spot;
        Look look = {0};
        struct stat st;
        if (!spot_open(txn->ws, file->path, txn->arena, &spot, err))
            return false;
        bool is_there = spot.dir >= 0 && fstatat(spot.dir, spot.name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        bool ok = is_there == file->before.exists;
        if (ok && is_there && !is_same_file(&st, &txn->seen[i]))
            ok = spot_look(&spot, &look, NULL) && !look.is_other && stamp_eq(look.stamp, file->before);
        spot_close(&spot);
        if (!ok)
            return changed_since(err, &spot);
    }
    return true;
}

bool txn_apply(Txn *txn, Err *err) {
    if (!txn_make_dirs(txn, err))
        return false;
    for (int is_removing = 0; is_removing < 2; is_removing++) {
        for (size_t i = 0; i < txn->manifest.count; i++) {
            const TxnFile *file = &txn->manifest.files[i];
            char staged[32];
            Spot spot;
            if (file->after.exists == is_removing)
                continue;
            txn_new_name(i, staged);
            if (!spot_open(txn->ws, file->path, txn->arena, &spot, err))
                return false;
            bool ok = txn_place(txn, i, &spot, is_removing ? NULL : staged, file->before, err);
            spot_close(&spot);
            if (!ok)
                return false;
        }
    }
    return true;
}

bool txn_commit(Txn *txn, Err *err) {
    if (renameat(txn->fd, "manifest", txn->fd, "committed") != 0)
        return err_set_errno(err, errno, "cannot finish the change");
    if (sync_fd(txn->fd))
        return true;
    err_set_errno(err, errno, "cannot finish the change");
    renameat(txn->fd, "committed", txn->fd, "manifest");
    return false;
}

void txn_tidy(Txn *txn) {
    txn_remove_dirs(txn, txn->manifest.left_dirs, txn->manifest.left_dir_count, false);
    for (size_t i = 0; i < txn->manifest.count; i++) {
        char gone[32];
        Spot spot;
        txn_gone_name(i, gone);
        unlinkat(txn->fd, gone, 0);
        if (spot_open(txn->ws, txn->manifest.files[i].path, txn->arena, &spot, NULL))
            txn_unlink_temp(txn, i, &spot);
        spot_close(&spot);
    }
    remove_below(txn->fd, "new");
}

void txn_close(Txn *txn) {
    int fds[] = {txn->new_fd, txn->old_fd, txn->fd, txn->txns_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    txn->txns_fd = txn->fd = txn->old_fd = txn->new_fd = -1;
}

/* The record goes first: without it the rest is a half-built folder, which every start removes. */
void txn_discard(Txn *txn) {
    if (txn->fd < 0)
        return;
    unlinkat(txn->fd, "manifest", 0);
    remove_below(txn->txns_fd, txn->manifest.id.ptr);
}
