/* One transaction: many files from one state to another, all or nothing, whatever stops the process.
 *
 *   txn/ID/old/N        file N before (the backup, kept for undo): a second name of the file itself where
 *                       nobody else can write to it any more once it is displaced, else a copy
 *   txn/ID/new/N        file N after, with owner and mode; placing it exchanges it with the old file
 *   txn/ID/gone-N       what a removal displaced
 *   txn/ID/late/N       a displaced file that another program may still write to
 *   txn/ID/manifest     the record (manifest.c). From the moment it has this name the transaction is
 *                       prepared: a start that finds it undoes what was done (txn_recover.c)
 *   txn/ID/committed    the same record after the commit point, the rename of one name to the other
 *   txn/ID/kept         the same record of an interrupted transaction that could not be undone wholly: for
 *                       people
 *
 * Every file and folder is synced before the step that relies on it. A failed sync fails the transaction:
 * asking again could answer success for lost data. Targets are exchanged, not overwritten, so that what was
 * displaced can be hashed afterwards and put back when it is not what the change was made for.
 *
 * Order: removals that make room, folders that give their name to a file, new folders, new files, the other
 * removals. The way back is the same in reverse.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "workspace/workspace_internal.h"

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

static bool open_folders(Txn *txn) {
    txn->txns_fd = open_retry(txn->ws->state_fd, "txn", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return txn->txns_fd >= 0 && (txn->fd = make_and_open(txn->txns_fd, txn->manifest.id.ptr)) >= 0 &&
           (txn->old_fd = make_and_open(txn->fd, "old")) >= 0 &&
           (txn->new_fd = make_and_open(txn->fd, "new")) >= 0;
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
    for (size_t i = 0; i < m->count; i++)
        m->files[i].path = txn_path_of(ws, change->files[i].path.absolute);
    if (!txn_plan(txn, change, err))
        return false;
    return open_folders(txn) || err_set_errno(err, errno, "cannot make the folder for the backup");
}

bool txn_write_manifest(Txn *txn, Err *err) {
    Buf text = {0};
    manifest_print(&txn->manifest, &text);
    int fd = open_retry(txn->fd, "manifest.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 || err_set_errno(err, errno, "cannot make the record of the change");
    ok = ok && (!text.failed || err_set(err, ERR_NO_MEMORY, "no memory for the record of the change"));
    ok = ok && (text.len <= MANIFEST_MAX_BYTES || /* else no start could read it */
                err_set(err, ERR_LIMIT, "the change has too many files; make it in several parts"));
    ok = ok && os_write_all(fd, buf_text(&text), err);
    ok = ok && (sync_fd(fd) || err_set_errno(err, errno, "cannot write the record of the change"));
    if (fd >= 0)
        close(fd);
    buf_free(&text);
    return ok && ((renameat(txn->fd, "manifest.tmp", txn->fd, "manifest") == 0 && sync_fd(txn->fd)) ||
                  err_set_errno(err, errno, "cannot put the record of the change in place"));
}

bool txn_is_cancelled(const Txn *txn, Err *err) {
    bool is_cancelled = txn->ws->cancelled && atomic_load(txn->ws->cancelled);
    if (is_cancelled)
        err_set(err, ERR_CANCELLED, "the change was cancelled");
    return is_cancelled;
}

/* Links need no sync of their own: a folder's sync carries them. */
static bool sync_files(const Txn *txn, int dir_fd, size_t count, Err *err) {
    for (size_t i = 0; i < count; i++) {
        char name[32];
        if (txn_is_cancelled(txn, err))
            return false;
        snprintf(name, sizeof name, "%zu", i);
        int fd = open_retry(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
        if (fd < 0 && (errno == ENOENT || errno == ELOOP))
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

/* The files are synced in one go after the writing of all was started: the first sync then carries most of
 * the others along. */
bool txn_prepare(Txn *txn, Err *err) {
    size_t n = txn->manifest.count;
    if (!sync_files(txn, txn->old_fd, n, err) || !sync_files(txn, txn->new_fd, n, err))
        return false;
    if (!sync_fd(txn->fd) || !sync_fd(txn->txns_fd))
        return err_set_errno(err, errno, "cannot write the backup");
    return txn_write_manifest(txn, err);
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool is_as_planned(Txn *txn, size_t index, const Spot *spot) {
    const TxnFile *file = &txn->manifest.files[index];
    Look look = {0};
    struct stat st;
    if (file->before.exists && !file->before.is_link && spot->dir >= 0 &&
        fstatat(spot->dir, spot->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_same_file(&st, &txn->seen[index]))
        return true;
    return spot_look(spot, &look, NULL) && look_is(file, &look, file->before);
}

/* Looks once more at every target before the first is touched; the hash decides, size and time only save
 * reading. */
bool txn_check(Txn *txn, Err *err) {
    for (size_t i = 0; i < txn->manifest.count; i++) {
        Spot spot;
        if (!spot_open(txn->ws, txn->manifest.files[i].path, txn->arena, &spot, err))
            return false;
        bool ok = is_as_planned(txn, i, &spot);
        spot_close(&spot);
        if (!ok)
            return txn_changed_since(err, &spot);
    }
    return true;
}

/* Two new names that fold to one on this file system: the second finds the first. */
static bool explain_twin(const Txn *txn, size_t index, Err *err) {
    const Manifest *m = &txn->manifest;
    for (size_t i = 0; i < m->count; i++)
        if (i != index && m->files[i].after.exists && str_eq_nocase(m->files[i].path, m->files[index].path))
            return err_set(err, ERR_CONFLICT, "%.*s and %.*s are one and the same name on this file system",
                           STR_ARG(m->files[i].path), STR_ARG(m->files[index].path));
    return false;
}

bool txn_apply_file(Txn *txn, size_t index, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    char staged[32];
    Spot spot;
    Err why = {0};
    txn_new_name(index, staged);
    bool ok = spot_open(txn->ws, file->path, txn->arena, &spot, &why) &&
              txn_place(txn, index, &spot, file->after.exists ? staged : NULL, file->before, &why);
    spot_close(&spot);
    txn->is_written[index] |= ok;
    if (!ok && why.code == ERR_CONFLICT && !file->before.exists)
        explain_twin(txn, index, &why);
    if (!ok && err)
        *err = why;
    return ok;
}

static bool apply_some(Txn *txn, bool is_removing, bool goes_first, size_t *placed, Err *err) {
    for (size_t i = 0; i < txn->manifest.count; i++) {
        const TxnFile *file = &txn->manifest.files[i];
        if (file->after.exists == is_removing || file->goes_first != goes_first)
            continue;
        if (txn_is_cancelled(txn, err) || !txn_apply_file(txn, i, err))
            return false;
        *placed += 1;
    }
    return true;
}

bool txn_apply(Txn *txn, Err *err) {
    size_t placed = 0;
    return apply_some(txn, true, true, &placed, err) && txn_clear_dirs(txn, err) && txn_make_dirs(txn, err) &&
           apply_some(txn, false, false, &placed, err) && apply_some(txn, true, false, &placed, err) &&
           (placed == txn->manifest.count ||
            err_set(err, ERR_INTERNAL, "%zu of %zu files were changed", placed, txn->manifest.count));
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

/* True when the displaced file may go: it is a second name of the backup, or nobody can write to it any more
 * and nobody did. */
static bool is_spent(const TxnFile *file, int dir, const char *name) {
    Look look;
    int fd = open_retry(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return true; /* a link, or nothing */
    bool is_quiet = (fstat(fd, &look.st) == 0 && look.st.st_nlink > 1) || file_quiet(fd) == QUIET_YES;
    close(fd);
    return is_quiet &&
           (look.st.st_nlink > 1 || (look_at(dir, name, &look, NULL) && (stamp_eq(look.stamp, file->before) ||
                                                                         stamp_eq(look.stamp, file->after))));
}

static void tidy_displaced(Txn *txn, size_t index, const char *name) {
    const TxnFile *file = &txn->manifest.files[index];
    char late[32];
    if (is_spent(file, txn->fd, name)) {
        unlinkat(txn->fd, name, 0);
        return;
    }
    snprintf(late, sizeof late, "late/%zu", index);
    mkdirat(txn->fd, "late", 0700);
    if (renameat(txn->fd, name, txn->fd, late) == 0)
        log_line(LOG_WARN,
                 "another program may still be writing to the old file of %.*s; it is kept as %.*s/%s beside "
                 "the backup",
                 STR_ARG(file->path), STR_ARG(txn->manifest.id), late);
}

static bool tidy_temp(Txn *txn, size_t index) {
    Spot spot;
    if (!txn->has_temps || !spot_open(txn->ws, txn->manifest.files[index].path, txn->arena, &spot, NULL))
        return true;
    bool ok = txn_unlink_temp(txn, index, &spot, true);
    spot_close(&spot);
    return ok;
}

/* new/ goes last: as long as it is there, the next start tidies up again. */
void txn_tidy(Txn *txn) {
    bool ok = true;
    for (size_t i = 0; i < txn->manifest.count; i++) {
        char name[32];
        txn_gone_name(i, name);
        tidy_displaced(txn, i, name);
        txn_new_name(i, name);
        if (txn->manifest.files[i].before.exists)
            tidy_displaced(txn, i, name);
        ok = tidy_temp(txn, i) && ok;
    }
    ok = txn_remove_left_dirs(txn) && ok;
    if (ok && (!txn->has_temps || txn_sync_dirs(txn, NULL)))
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
