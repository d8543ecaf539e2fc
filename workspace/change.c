/* The door to changing files: collects what should be, then commits it as one transaction. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "workspace/workspace_internal.h"

#define LOCK_WAIT_MS 10000.0

Change *change_begin(Workspace *ws, Err *err) {
    Change *change = calloc(1, sizeof *change);
    if (!change) {
        err_set(err, ERR_NO_MEMORY, "no memory for a change");
        return NULL;
    }
    change->ws = ws;
    change->backup_dir = -1;
    change->title = S("Change files");
    if (ws->read_only)
        change->has_failed = !err_set(&change->err, ERR_DENIED, "the workspace was opened for reading only");
    return change;
}

void change_abandon(Change *change) {
    if (!change)
        return;
    if (change->backup_dir >= 0)
        close(change->backup_dir);
    arena_free(&change->arena);
    free(change);
}

static ChangeFile *change_add(Change *change, Path path, Stamp seen) {
    if (change->has_failed)
        return NULL;
    const Fence *fence = path_fence(change->ws, path.absolute, false);
    Str below = fence ? path_below(fence->path, path.absolute) : S("");
    if (!fence || !path_is_plain(below) || path_is_forbidden(change->ws, path.absolute, below) ||
        path_is_fixed(below)) {
        change->has_failed = !err_set(&change->err, ERR_DENIED,
                                      "%.*s may not be changed: it is outside of the workspace, "
                                      "or belongs to version control or to mux itself",
                                      STR_ARG(path.absolute));
        return NULL;
    }
    ChangeFile file = {
        .path = {str_copy(&change->arena, path.absolute), str_copy(&change->arena, path.relative)},
        .seen = seen};
    LIST_PUSH(&change->arena, change->files, change->count, change->capacity, file);
    return &change->files[change->count - 1];
}

void change_put(Change *change, Path path, Stamp seen, Str text) {
    ChangeFile *file = change_add(change, path, seen);
    if (file)
        file->text = text;
}

void change_put_link(Change *change, Path path, Stamp seen, Str target) {
    ChangeFile *file = change_add(change, path, seen);
    if (!file)
        return;
    file->text = target;
    file->is_link = true;
    if (!target.len || target.len >= PATH_MAX || memchr(target.ptr, 0, target.len))
        change->has_failed = !err_set(&change->err, ERR_INVALID,
                                      "%.*s cannot be a symbolic link to that: the target is empty, too long "
                                      "or has a zero byte",
                                      STR_ARG(file->path.relative));
}

void change_report(Change *change, Arena *arena, ChangeReport *out) {
    *out = (ChangeReport){0};
    change->report_arena = arena;
    change->report = out;
}

void change_remove(Change *change, Path path, Stamp seen) {
    ChangeFile *file = change_add(change, path, seen);
    if (!file)
        return;
    file->is_removal = true;
    if (!seen.exists)
        change->has_failed =
            !err_set(&change->err, ERR_NOT_FOUND, "%.*s cannot be removed: it does not exist",
                     STR_ARG(file->path.relative));
}

void change_set_mode(Change *change, Path path, unsigned mode) {
    for (size_t i = change->count; i-- > 0;) {
        ChangeFile *file = &change->files[i];
        if (!str_eq(file->path.absolute, path.absolute))
            continue;
        file->has_mode = true;
        file->mode = mode & 0777;
        return;
    }
    if (!change->has_failed)
        change->has_failed = !err_set(&change->err, ERR_INTERNAL, "the mode of %.*s was set before its text",
                                      STR_ARG(path.relative));
}

void change_describe(Change *change, Str title) {
    change->title = str_copy(&change->arena, str_slice(title, 0, 500));
}

static int by_path(const void *a, const void *b) {
    const ChangeFile *const *x = a, *const *y = b;
    return str_cmp((*x)->path.absolute, (*y)->path.absolute);
}

/* No file twice. */
static bool check_paths(Change *change, Err *err) {
    const ChangeFile **sorted = ARENA_ARRAY(&change->arena, const ChangeFile *, change->count);
    for (size_t i = 0; i < change->count; i++)
        sorted[i] = &change->files[i];
    qsort(sorted, change->count, sizeof *sorted, by_path);
    for (size_t i = 1; i < change->count; i++)
        if (str_eq(sorted[i - 1]->path.absolute, sorted[i]->path.absolute))
            return err_set(err, ERR_INVALID, "%.*s is changed twice in one go",
                           STR_ARG(sorted[i]->path.relative));
    return true;
}

/* After a failure in the middle: everything back, from our own copies. Tells in the sentence how that went.
 */
static void undo_halfway(Txn *txn, const Change *change, Err *err) {
    size_t conflicts = 0;
    Err why = {0};
    bool ok = !txn->manifest.is_by_editor || editor_roll_back(txn, change, &conflicts, &why);
    /* what an editor has not saved yet differs on disk: only its own count says that somebody typed */
    bool is_told = conflicts > 0 || !txn->manifest.is_by_editor;
    ok = ok && txn_roll_back(txn, &conflicts, &why);
    if (!ok) {
        log_line(LOG_ERROR, "a half-made change could not be undone: %s", why.text);
        err_note(
            err,
            "the change is half made: free the cause, and mux undoes it at its next start (mux-acp recover)");
    } else if (conflicts && (txn_holds_foreign(txn) || txn_holds_before(txn)) && txn_keep_aside(txn, &why)) {
        err_note(err, "the change was undone, and what somebody else wrote meanwhile was left as it is; "
                      "texts that would be lost are kept beside the backups");
    } else if (conflicts && is_told) {
        txn_discard(txn);
        err_note(err, "the change was undone, and what somebody else wrote meanwhile was left as it is");
    } else {
        txn_discard(txn);
        err_note(err, "nothing was changed");
    }
}

static bool stage_all(Txn *txn, Change *change, Err *err) {
    if (!txn_begin(txn, change, err))
        return false;
    for (size_t i = 0; i < change->count; i++) {
        ChangeFile *file = &change->files[i];
        if (txn_is_cancelled(txn, err) ||
            !(txn->manifest.is_by_editor ? editor_stage(txn, i, change, file, err)
                                         : txn_stage(txn, i, change, file, err)))
            return false;
    }
    return txn_check_twins(txn, err);
}

static void fill_report(const Change *change) {
    Arena *arena = change->report_arena;
    if (!change->report)
        return;
    change->report->count = change->count;
    change->report->items = ARENA_ARRAY(arena, ChangedFile, change->count);
    for (size_t i = 0; i < change->count; i++) {
        const ChangeFile *file = &change->files[i];
        ChangedFile *out = &change->report->items[i];
        out->path = (Path){str_copy(arena, file->path.absolute), str_copy(arena, file->path.relative)};
        out->had_hard_links = file->had_hard_links;
        out->is_reformatted = file->is_reformatted;
        out->sent = file->is_removal ? S("") : file->text;
        out->found = file->is_reformatted ? str_copy(arena, file->found) : out->sent;
    }
}

static bool run(Txn *txn, Change *change, ChangeInfo *out, Err *err) {
    bool is_by_editor = change->ws->io.write != NULL;
    if (!stage_all(txn, change, err) || !txn_prepare(txn, err)) {
        txn_discard(txn);
        return err_note(err, "nothing was changed");
    }
    bool ok = is_by_editor ? editor_apply(txn, change, err) : txn_check(txn, err) && txn_apply(txn, err);
    if (!ok || !txn_sync_dirs(txn, err) || !txn_commit(txn, err)) {
        undo_halfway(txn, change, err);
        return false;
    }
    txn_tidy(txn);
    backup_prune(change->ws);
    fill_report(change);
    snprintf(out->id, sizeof out->id, "%.*s", STR_ARG(txn->manifest.id));
    out->files = change->count;
    return true;
}

static bool commit(Change *change, ChangeInfo *out, Err *err) {
    if (change->has_failed) {
        if (err)
            *err = change->err;
        return false;
    }
    if (!change->count)
        return err_set(err, ERR_INVALID, "the change is empty");
    RecoverReport report;
    if (!check_paths(change, err) || !state_enter(change->ws, true, LOCK_WAIT_MS, err))
        return false;
    bool ok = recover_locked(change->ws, &report, err);
    if (ok) {
        Txn txn = {.arena = &change->arena};
        ok = run(&txn, change, out, err);
        txn_close(&txn);
    }
    state_leave(change->ws);
    return ok;
}

bool change_commit(Change *change, ChangeInfo *out, Err *err) {
    ChangeInfo ignored;
    Err local = {0};
    bool ok = commit(change, out ? out : &ignored, err ? err : &local);
    change_abandon(change);
    return ok;
}
