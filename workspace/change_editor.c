/* The same transaction written through an editor: it holds the texts, shows every write to its user and may
 * reformat what it saves. Backup and record come first, on disk, so that undo and recovery work as for plain
 * files. What the editor cannot do (removing files, modes, folders) is done on disk. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "workspace/workspace_internal.h"

/* The text as the editor has it; a missing file is a stamp that does not exist. */
static bool editor_read(Txn *txn, Str absolute, Str *text, Stamp *stamp, Err *err) {
    Err why = {0};
    *stamp = (Stamp){0};
    *text = S("");
    if (txn->ws->io.read(txn->ws->io.ctx, absolute, txn->arena, text, &why)) {
        *stamp = stamp_of(*text);
        return true;
    }
    if (why.code == ERR_NOT_FOUND)
        return true;
    if (err)
        *err = why;
    return false;
}

/* An editor holds texts: no links, nothing binary, nothing very large. */
static bool is_for_editor(const ChangeFile *file) {
    return !file->is_link && !file->seen.is_link && !file->has_backup && file->text.len <= FILE_MAX_BYTES &&
           !(file->text.len && memchr(file->text.ptr, 0, file->text.len));
}

static bool stage_by_disk(Txn *txn, size_t index, const Change *change, ChangeFile *file, Err *err) {
    file->is_by_disk = true;
    return txn_stage(txn, index, change, file, err);
}

static bool stage_text(Txn *txn, size_t index, Str text, Err *err) {
    int fd = txn_create(txn->old_fd, index, 0600, err);
    bool ok = fd >= 0 && os_write_all(fd, text, err);
    if (fd >= 0)
        close(fd);
    txn->manifest.old_bytes += text.len;
    return ok;
}

static unsigned mode_wanted(const ChangeFile *file, unsigned mode) {
    if (!file->has_mode)
        return mode;
    bool is_executable = file->mode & S_IXUSR;
    return file->is_exact_mode ? file->mode : is_executable ? mode | (mode & 0444) >> 2 : mode & ~0111u;
}

bool editor_stage(Txn *txn, size_t index, const Change *change, ChangeFile *file, Err *err) {
    TxnFile *record = &txn->manifest.files[index];
    Str shown = file->path.relative, text;
    Spot spot;
    struct stat st;
    Err why = {0};
    if (!is_for_editor(file))
        return stage_by_disk(txn, index, change, file, err);
    if (!editor_read(txn, file->path.absolute, &text, &record->before, &why)) {
        if (why.code == ERR_UNSUPPORTED || why.code == ERR_LIMIT)
            return stage_by_disk(txn, index, change, file, err);
        if (err)
            *err = why;
        return false;
    }
    if (!stamp_eq(record->before, file->seen)) {
        const char *how = !file->seen.exists      ? "exists already"
                          : record->before.exists ? "changed"
                                                  : "was removed";
        return err_set(err, ERR_CONFLICT, "%.*s %s since it was read; read it again", STR_ARG(shown), how);
    }
    if (!spot_open(txn->ws, record->path, txn->arena, &spot, err))
        return false;
    bool is_on_disk = spot.dir >= 0 && fstatat(spot.dir, spot.name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    spot.shown = shown;
    bool ok = !is_on_disk || S_ISREG(st.st_mode) || (S_ISDIR(st.st_mode) && record->shares_name) ||
              err_set(err, ERR_UNSUPPORTED, "%.*s is not a regular file", STR_ARG(shown));
    ok = ok && txn_is_writable(&spot, is_on_disk ? &st : NULL, err);
    file->had_hard_links = false; /* editors write in place */
    spot_close(&spot);
    if (!ok || (record->before.exists && !stage_text(txn, index, text, err)))
        return false;
    record->mode_before = record->before.exists ? is_on_disk ? st.st_mode & 07777 : 0644 : 0;
    record->after = file->is_removal ? (Stamp){0} : stamp_of(file->text);
    record->mode_after =
        file->is_removal ? 0 : mode_wanted(file, record->mode_before ? record->mode_before : 0644);
    return true;
}

static bool set_mode(const Spot *spot, const ChangeFile *file, TxnFile *record, Err *err) {
    struct stat st;
    int fd = spot->dir >= 0 ? open_retry(spot->dir, spot->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0) : -1;
    if (fd < 0)
        return true; /* not saved yet: there is nothing to carry a mode */
    bool ok = fstat(fd, &st) == 0;
    if (ok && file->has_mode)
        ok = fchmod(fd, mode_wanted(file, st.st_mode & 07777)) == 0 && fstat(fd, &st) == 0;
    if (ok)
        record->mode_after = st.st_mode & 07777;
    else
        err_set_errno(err, errno, "cannot set the mode of %.*s", STR_ARG(record->path));
    close(fd);
    return ok;
}

/* Sends one text and records what came of it: a formatter in the editor may have the last word. */
static bool write_one(Txn *txn, size_t index, ChangeFile *file, const Spot *spot, Err *err) {
    TxnFile *record = &txn->manifest.files[index];
    Str text;
    Stamp stamp;
    struct stat st;
    if (spot->is_beyond_link) /* an editor would follow it */
        return err_beyond_link(err, file->path.relative);
    if (spot->dir >= 0 && fstatat(spot->dir, spot->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISREG(st.st_mode))
        return err_set(err, ERR_CONFLICT, "%.*s is no regular file any more", STR_ARG(file->path.relative));
    /* once more, right before it: staging many files takes a while, and the editor's user types on */
    if (!editor_read(txn, file->path.absolute, &text, &stamp, err))
        return false;
    if (!stamp_eq(stamp, record->before))
        return err_set(err, ERR_CONFLICT, "%.*s changed since it was read; read it again",
                       STR_ARG(file->path.relative));
    txn->is_written[index] = true; /* also when it fails: nobody knows how far it came */
    if (!txn->ws->io.write(txn->ws->io.ctx, file->path.absolute, file->text, err) ||
        !editor_read(txn, file->path.absolute, &text, &stamp, err))
        return false;
    if (!stamp.exists)
        return err_set(err, ERR_IO, "the editor took the text of %.*s but does not have the file",
                       STR_ARG(file->path.relative));
    bool is_as_sent = stamp_eq(stamp, record->after);
    file->is_reformatted = !is_as_sent;
    file->found = text;
    file->is_taken = true;
    record->after = stamp;
    unsigned mode = record->mode_after;
    if (!set_mode(spot, file, record, err))
        return false;
    return (is_as_sent && mode == record->mode_after) || txn_write_manifest(txn, err);
}

static bool remove_one(Txn *txn, size_t index, const Spot *spot, Err *err) {
    Look look;
    txn->is_written[index] = true;
    if (!spot_look(spot, &look, err))
        return false;
    if (!look.stamp.exists)
        return true; /* the editor had a text that was never saved */
    return txn_place(txn, index, spot, NULL, txn->manifest.files[index].before, err);
}

static bool apply_one(Txn *txn, size_t index, ChangeFile *file, Err *err) {
    Spot spot;
    if (file->is_by_disk)
        return txn_apply_file(txn, index, err);
    if (!spot_open(txn->ws, txn->manifest.files[index].path, txn->arena, &spot, err))
        return false;
    bool ok = file->is_removal ? remove_one(txn, index, &spot, err) : write_one(txn, index, file, &spot, err);
    spot_close(&spot);
    return ok;
}

static bool apply_some(Txn *txn, Change *change, bool is_removal, bool goes_first, Err *err) {
    for (size_t i = 0; i < change->count; i++) {
        ChangeFile *file = &change->files[i];
        if (file->is_removal == is_removal && txn->manifest.files[i].goes_first == goes_first &&
            (txn_is_cancelled(txn, err) || !apply_one(txn, i, file, err)))
            return false;
    }
    return true;
}

bool editor_apply(Txn *txn, Change *change, Err *err) {
    return apply_some(txn, change, true, true, err) && txn_clear_dirs(txn, err) && txn_make_dirs(txn, err) &&
           apply_some(txn, change, false, false, err) && apply_some(txn, change, true, false, err);
}

/* What we sent, all of it or as far as a write came that failed. Anything else was typed since. */
static bool is_ours(const TxnFile *record, const ChangeFile *file, Stamp now, Str now_text) {
    return stamp_eq(now, record->after) ||
           (!file->is_taken && now.exists && str_starts(file->text, now_text));
}

/* A new file that the editor wrote in part; one that is whole is txn_roll_back's. */
static bool remove_part(Txn *txn, size_t index, Stamp now, size_t *conflicts, Err *err) {
    Spot spot;
    Err why = {0};
    if (!spot_open(txn->ws, txn->manifest.files[index].path, txn->arena, &spot, err))
        return false;
    bool ok = txn_place(txn, index, &spot, NULL, now, &why);
    spot_close(&spot);
    *conflicts += !ok;
    if (!ok && why.code != ERR_CONFLICT && err)
        *err = why;
    return ok || why.code == ERR_CONFLICT;
}

static bool put_back(Txn *txn, size_t index, const ChangeFile *file, size_t *conflicts, Err *err) {
    const TxnFile *record = &txn->manifest.files[index];
    Str now_text, old_text;
    Stamp now;
    char name[32];
    if (file->is_removal || file->is_by_disk)
        return true; /* on disk: txn_roll_back restores it */
    if (!editor_read(txn, file->path.absolute, &now_text, &now, err))
        return false;
    if (!stamp_eq(now, record->before) && !is_ours(record, file, now, now_text)) {
        *conflicts += 1;
        return true;
    }
    if (!record->before.exists)
        return !now.exists || stamp_eq(now, record->after) || remove_part(txn, index, now, conflicts, err);
    snprintf(name, sizeof name, "%zu", index);
    if (!stamp_eq(now, record->before) &&
        (!read_at(txn->old_fd, name, FILE_MAX_BYTES, txn->arena, &old_text, err) ||
         !txn->ws->io.write(txn->ws->io.ctx, file->path.absolute, old_text, err)))
        return false;
    txn->is_written[index] = false;
    return true;
}

bool editor_roll_back(Txn *txn, const Change *change, size_t *conflicts, Err *err) {
    bool ok = true;
    for (size_t i = change->count; i-- > 0;)
        if (txn->is_written[i] && !put_back(txn, i, &change->files[i], conflicts, err))
            ok = false;
    return ok;
}
