/* What a crash left: each prepared transaction is undone, or finished when nothing is missing but its commit
 * point.
 *
 * A file is in one of four states by its content: BEFORE, AFTER, BOTH (the texts are equal) or OTHER, which
 * is what a third party wrote: that one is left alone and counted. Every step can be repeated, since a
 * recovery can be interrupted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "workspace/workspace_internal.h"

typedef enum FileState { FILE_BEFORE, FILE_AFTER, FILE_BOTH, FILE_OTHER } FileState;

static FileState state_of(const TxnFile *file, const Look *look) {
    bool is_before = look_is(file, look, file->before), is_after = look_is(file, look, file->after);
    return is_before && is_after ? FILE_BOTH : is_before ? FILE_BEFORE : is_after ? FILE_AFTER : FILE_OTHER;
}

/* The text stays the same and the mode is still the one before. */
static bool is_mode_pending(const TxnFile *file, FileState state, const Look *look) {
    return state == FILE_BOTH && look->stamp.exists && !look->stamp.is_link &&
           file->mode_before != file->mode_after && (look->st.st_mode & 07777) == file->mode_before;
}

bool txn_open(Workspace *ws, int state_fd, Str id, const char *manifest_name, Arena *arena, Txn *out,
              Err *err) {
    *out = (Txn){.ws = ws, .arena = arena, .txns_fd = -1, .fd = -1, .old_fd = -1, .new_fd = -1};
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    Str text;
    out->txns_fd = open_retry(state_fd, "txn", flags, 0);
    out->fd = out->txns_fd < 0 ? -1 : open_retry(out->txns_fd, str_cstr(arena, id), flags, 0);
    if (out->fd < 0) {
        err_set_errno(err, errno, "cannot open the backup %.*s", STR_ARG(id));
        txn_close(out);
        return false;
    }
    out->manifest.id = id;
    out->old_fd = open_retry(out->fd, "old", flags, 0);
    out->new_fd = open_retry(out->fd, "new", flags, 0);
    bool ok = read_at(out->fd, manifest_name, MANIFEST_MAX_BYTES, arena, &text, err) &&
              manifest_parse(text, arena, &out->manifest, err);
    if (ok && !str_eq(out->manifest.id, id))
        ok = err_set(err, ERR_INVALID, "the record of the change %.*s names another one", STR_ARG(id));
    out->has_temps = true;
    if (ok)
        out->is_written = ARENA_ARRAY(arena, bool, out->manifest.count);
    else
        txn_close(out);
    return ok;
}

static bool staged_hash(const Txn *txn, const char *name, Stamp *out) {
    Look look;
    bool ok = look_at(txn->fd, name, &look, NULL) && !look.is_other;
    *out = look.stamp;
    return ok && look.stamp.exists;
}

/* ---- displaced files ---- */

/* Where a file is that a change displaced: in our folder or, where that is on another mount, beside its
 * target. It is the file itself, so putting it back keeps its links and attributes. */
typedef struct Displaced {
    int dir; /* -1: there is none */
    char name[96];
    bool is_foreign; /* a third party's: displaced in the very moment of a crash, before it was put back */
} Displaced;

static bool judge(const TxnFile *file, int dir, const char *name, Displaced *out, Err *err) {
    Look look;
    if (dir < 0 || out->dir >= 0)
        return true;
    if (!look_at(dir, name, &look, err))
        return false;
    if (look.is_other || !look.stamp.exists || stamp_eq(look.stamp, file->after))
        return true;
    out->dir = dir;
    snprintf(out->name, sizeof out->name, "%s", name);
    out->is_foreign = !stamp_eq(look.stamp, file->before);
    return true;
}

static bool find_displaced(const Txn *txn, size_t index, const Spot *spot, Displaced *out, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    char name[96];
    *out = (Displaced){.dir = -1};
    txn_temp_name(txn, index, name);
    if (!judge(file, spot->dir, name, out, err))
        return false;
    if (file->after.exists)
        txn_new_name(index, name);
    else
        txn_gone_name(index, name);
    return judge(file, txn->fd, name, out, err);
}

static bool restore_copy(Txn *txn, size_t index, const Spot *spot, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    char old[32], back[32];
    Stamp copied;
    snprintf(old, sizeof old, "old/%zu", index);
    snprintf(back, sizeof back, "back-%zu", index);
    bool ok = txn_copy(txn, old, back, file->mode_before, &copied, err);
    if (ok && !stamp_eq(copied, file->before))
        ok = err_set(err, ERR_IO, "the backup of %.*s is damaged", STR_ARG(file->path));
    ok = ok && txn_place(txn, index, spot, back, file->after, err);
    unlinkat(txn->fd, back, 0);
    return ok;
}

/* The target holds what the change wrote (or is gone, as the change wanted). */
static bool restore(Txn *txn, size_t index, const Spot *spot, const Displaced *displaced, size_t *conflicts,
                    Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    Err why = {0};
    bool ok;
    if (displaced->dir >= 0)
        ok = spot_exchange(spot, displaced->dir, displaced->name, file->after, &why);
    else if (!file->before.exists)
        ok = txn_place(txn, index, spot, NULL, file->after, &why);
    else
        ok = restore_copy(txn, index, spot, &why);
    if (ok || why.code == ERR_CONFLICT) {
        *conflicts += !ok || displaced->is_foreign;
        return true;
    }
    if (err)
        *err = why;
    return false;
}

static bool restore_mode(const TxnFile *file, const Spot *spot, const Look *look, Err *err) {
    unsigned mode = look->st.st_mode & 07777;
    if (!file->before.exists || file->before.is_link || mode == file->mode_before || mode != file->mode_after)
        return true;
    int fd = open_retry(spot->dir, spot->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    bool ok = fd >= 0 && fchmod(fd, file->mode_before) == 0 && sync_fd(fd);
    if (!ok)
        err_set_errno(err, errno, "cannot restore the mode of %.*s", STR_ARG(file->path));
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Text the same, mode another: true when the file itself lies displaced in our folder and can go back. */
static bool is_mode_displaced(const Txn *txn, size_t index, const Look *look, char name[32]) {
    const TxnFile *file = &txn->manifest.files[index];
    struct stat st;
    txn_new_name(index, name);
    return file->mode_before != file->mode_after && (look->st.st_mode & 07777) == file->mode_after &&
           fstatat(txn->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           (st.st_mode & 07777) == file->mode_before;
}

static bool roll_back_file(Txn *txn, size_t index, size_t *conflicts, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    char name[32];
    Spot spot;
    Look look;
    if (!spot_open(txn->ws, file->path, txn->arena, &spot, err))
        return false;
    Displaced displaced;
    bool ok = find_displaced(txn, index, &spot, &displaced, err) && spot_look(&spot, &look, err);
    FileState state = ok ? state_of(file, &look) : FILE_OTHER;
    bool is_safe = ok && (displaced.dir < 0 || !displaced.is_foreign);
    if (ok && (state == FILE_AFTER || (state == FILE_BOTH && displaced.dir >= 0))) {
        ok = restore(txn, index, &spot, &displaced, conflicts, err);
        is_safe = ok;
    } else if (ok && state == FILE_BOTH && is_mode_displaced(txn, index, &look, name)) {
        ok = spot_exchange(&spot, txn->fd, name, file->after, err);
    } else if (ok && (state == FILE_BOTH || state == FILE_BEFORE)) {
        ok = restore_mode(file, &spot, &look, err);
    } else if (ok) {
        *conflicts += 1;
    }
    if (!txn_unlink_temp(txn, index, &spot, is_safe) && ok)
        ok = err_set_errno(err, errno, "cannot remove the temporary name beside %.*s", STR_ARG(file->path));
    spot_close(&spot);
    return ok;
}

static bool roll_back_some(Txn *txn, bool goes_first, size_t *conflicts, Err *err) {
    for (size_t i = txn->manifest.count; i-- > 0;)
        if (txn->manifest.files[i].goes_first == goes_first && !roll_back_file(txn, i, conflicts, err))
            return false;
    return true;
}

bool txn_roll_back(Txn *txn, size_t *conflicts, Err *err) {
    if (!roll_back_some(txn, false, conflicts, err))
        return false;
    return txn_remove_made_dirs(txn, err) && txn_restore_dirs(txn, err) &&
           roll_back_some(txn, true, conflicts, err) && txn_sync_dirs(txn, err);
}

bool txn_holds_foreign(Txn *txn) {
    bool found = false;
    for (size_t i = 0; !found && i < txn->manifest.count; i++) {
        Spot spot;
        if (!spot_open(txn->ws, txn->manifest.files[i].path, txn->arena, &spot, NULL))
            continue;
        Displaced displaced; /* what cannot be seen is kept too */
        found =
            !find_displaced(txn, i, &spot, &displaced, NULL) || (displaced.dir >= 0 && displaced.is_foreign);
        spot_close(&spot);
    }
    return found;
}

bool txn_holds_before(Txn *txn) {
    bool found = false;
    for (size_t i = 0; !found && i < txn->manifest.count; i++) {
        const TxnFile *file = &txn->manifest.files[i];
        Spot spot;
        Look look;
        if (!txn->is_written[i] || !file->before.exists)
            continue;
        found = true; /* also what cannot be seen */
        if (!spot_open(txn->ws, file->path, txn->arena, &spot, NULL))
            continue;
        if (spot_look(&spot, &look, NULL))
            found = !look_is(file, &look, file->before);
        spot_close(&spot);
    }
    return found;
}

/* What recovery sees before it decides. */
typedef struct Survey {
    size_t before, after, other;
    size_t lost_old; /* changed files whose backup is missing or damaged: they cannot go back */
    size_t lost_new; /* unchanged files whose new text is missing or damaged: they cannot go forward */
} Survey;

static bool survey_file(Txn *txn, size_t index, Survey *survey, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    char name[32];
    Spot spot;
    Look look;
    Stamp stamp;
    if (!spot_open(txn->ws, file->path, txn->arena, &spot, err))
        return false;
    Displaced displaced;
    bool ok = spot_look(&spot, &look, err) && find_displaced(txn, index, &spot, &displaced, err);
    spot_close(&spot);
    if (!ok)
        return false;
    FileState state = state_of(file, &look);
    if (is_mode_pending(file, state, &look))
        state = FILE_BEFORE;
    if (displaced.dir >= 0 && displaced.is_foreign) {
        survey->other++;
    } else if (state == FILE_AFTER) {
        survey->after++;
        snprintf(name, sizeof name, "old/%zu", index);
        survey->lost_old += file->before.exists && displaced.dir < 0 &&
                            !(staged_hash(txn, name, &stamp) && stamp_eq(stamp, file->before));
    } else if (state == FILE_BEFORE) {
        survey->before++;
        txn_new_name(index, name);
        survey->lost_new +=
            file->after.exists && !(staged_hash(txn, name, &stamp) && stamp_eq(stamp, file->after));
    } else {
        survey->other += state == FILE_OTHER;
    }
    return true;
}

static bool forward_file(Txn *txn, size_t index, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    Spot spot;
    Look look;
    if (!spot_open(txn->ws, file->path, txn->arena, &spot, err))
        return false;
    bool ok = spot_look(&spot, &look, err);
    spot_close(&spot);
    if (!ok)
        return false;
    FileState state = state_of(file, &look);
    return (state != FILE_BEFORE && !is_mode_pending(file, state, &look)) || txn_apply_file(txn, index, err);
}

static bool roll_forward(Txn *txn, Err *err) {
    const Manifest *m = &txn->manifest;
    for (size_t i = 0; i < m->count; i++)
        if (m->files[i].goes_first && !forward_file(txn, i, err))
            return false;
    if (!txn_clear_dirs(txn, err) || !txn_make_dirs(txn, err))
        return false;
    for (size_t i = 0; i < m->count; i++)
        if (!m->files[i].goes_first && !forward_file(txn, i, err))
            return false;
    return true;
}

/* A second name of a file that is in its place again is no backup: it would change with the file. */
static void drop_shared_backups(Txn *txn) {
    for (size_t i = 0; i < txn->manifest.count; i++) {
        char name[32];
        struct stat here, there;
        Spot spot;
        snprintf(name, sizeof name, "old/%zu", i);
        if (!spot_open(txn->ws, txn->manifest.files[i].path, txn->arena, &spot, NULL))
            continue;
        if (spot.dir >= 0 && fstatat(spot.dir, spot.name, &here, AT_SYMLINK_NOFOLLOW) == 0 &&
            fstatat(txn->fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && here.st_ino == there.st_ino &&
            here.st_dev == there.st_dev)
            unlinkat(txn->fd, name, 0);
        spot_close(&spot);
    }
}

bool txn_keep_aside(Txn *txn, Err *err) {
    drop_shared_backups(txn);
    if (renameat(txn->fd, "manifest", txn->fd, "kept") == 0 && sync_fd(txn->fd))
        return true;
    return err_set_errno(err, errno, "cannot put an interrupted change aside");
}

static bool recover_prepared(Txn *txn, RecoverReport *report, Err *err) {
    Survey survey = {0};
    for (size_t i = 0; i < txn->manifest.count; i++)
        if (!survey_file(txn, i, &survey, err))
            return false;
    bool is_done = survey.before == 0 && survey.other == 0;
    bool must_go_on =
        survey.lost_old > 0 && survey.lost_new == 0 && survey.other == 0 && !txn->manifest.is_by_editor;
    if (is_done || must_go_on) {
        if ((must_go_on && !roll_forward(txn, err)) || !txn_sync_dirs(txn, err) || !txn_commit(txn, err))
            return false;
        txn_tidy(txn);
        report->finished++;
        return true;
    }
    size_t conflicts = 0;
    if (!txn_roll_back(txn, &conflicts, err))
        return false;
    report->rolled_back++;
    report->conflicts += conflicts;
    if (conflicts)
        return txn_keep_aside(txn, err);
    txn_discard(txn);
    return true;
}

typedef enum TxnState { TXN_NONE, TXN_HALF, TXN_PREPARED, TXN_COMMITTED, TXN_UNTIDY, TXN_KEPT } TxnState;

static bool has_entry(int dir, const char *name) {
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static TxnState txn_state(int state_fd, Str id) {
    char path[64];
    snprintf(path, sizeof path, "txn/%.*s", STR_ARG(id));
    int fd = open_retry(state_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return TXN_NONE;
    TxnState state = TXN_HALF;
    if (has_entry(fd, "manifest"))
        state = TXN_PREPARED;
    else if (has_entry(fd, "committed"))
        state = has_entry(fd, "new") ? TXN_UNTIDY : TXN_COMMITTED;
    else if (has_entry(fd, "kept"))
        state = TXN_KEPT;
    close(fd);
    return state;
}

/* A record that cannot be read is put aside: nothing may be done in its name. */
static bool recover_damaged(Workspace *ws, Str id, const Err *why, RecoverReport *report) {
    char from[64], to[64];
    snprintf(from, sizeof from, "txn/%.*s/manifest", STR_ARG(id));
    snprintf(to, sizeof to, "txn/%.*s/kept", STR_ARG(id));
    log_line(LOG_WARN, "the interrupted change %.*s is put aside: %s", STR_ARG(id), why->text);
    report->conflicts++;
    return renameat(ws->state_fd, from, ws->state_fd, to) == 0;
}

static bool recover_one(Workspace *ws, Str id, Arena *arena, RecoverReport *report, Err *err) {
    char path[64];
    Txn txn;
    Err why = {0};
    TxnState state = txn_state(ws->state_fd, id);
    if (state == TXN_HALF) {
        snprintf(path, sizeof path, "txn/%.*s", STR_ARG(id));
        report->cleaned++;
        return remove_below(ws->state_fd, path) ||
               err_set_errno(err, errno, "cannot remove a half-made backup");
    }
    if (state == TXN_UNTIDY && txn_open(ws, ws->state_fd, id, "committed", arena, &txn, NULL)) {
        txn_tidy(&txn);
        txn_close(&txn);
        report->cleaned++;
    }
    if (state != TXN_PREPARED)
        return true;
    if (!txn_open(ws, ws->state_fd, id, "manifest", arena, &txn, &why)) {
        if (why.code == ERR_INVALID)
            return recover_damaged(ws, id, &why, report);
        if (err)
            *err = why;
        return false;
    }
    bool ok =
        recover_prepared(&txn, report, err) || err_wrap(err, "the interrupted change %.*s", STR_ARG(id));
    txn_close(&txn);
    return ok;
}

bool recover_locked(Workspace *ws, RecoverReport *out, Err *err) {
    Arena arena = {0};
    TxnNames names;
    *out = (RecoverReport){0};
    bool ok = txn_names(ws->state_fd, &arena, &names, err);
    for (size_t i = names.count; ok && i-- > 0;)
        ok = recover_one(ws, names.ids[i], &arena, out, err);
    arena_free(&arena);
    return ok;
}

static bool has_work(const Workspace *ws, Err *err, bool *ok) {
    Arena arena = {0};
    TxnNames names = {0};
    int state = state_peek(ws);
    bool found = false;
    *ok = state < 0 || txn_names(state, &arena, &names, err);
    for (size_t i = 0; !found && i < names.count; i++) {
        TxnState what = txn_state(state, names.ids[i]);
        found = what == TXN_HALF || what == TXN_PREPARED || what == TXN_UNTIDY;
    }
    if (state >= 0)
        close(state);
    arena_free(&arena);
    return found;
}

bool ws_recover(Workspace *ws, RecoverReport *out, Err *err) {
    bool ok;
    *out = (RecoverReport){0};
    if (ws->read_only)
        return err_set(err, ERR_DENIED, "the workspace was opened for reading only");
    if (!has_work(ws, err, &ok))
        return ok;
    if (!state_enter(ws, false, 0, err))
        return false;
    ok = recover_locked(ws, out, err);
    state_leave(ws);
    return ok;
}
