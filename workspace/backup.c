/* Committed transactions are the backups: listing them, taking one back, letting old ones go. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "workspace/workspace_internal.h"

static bool read_record(int state_fd, Str id, const char *name, Arena *arena, Manifest *out) {
    char path[80];
    Str text;
    snprintf(path, sizeof path, "txn/%.*s/%s", STR_ARG(id), name);
    return read_at(state_fd, path, MANIFEST_MAX_BYTES, arena, &text, NULL) &&
           manifest_parse(text, arena, out, NULL);
}

typedef struct Record {
    Manifest manifest;
    bool is_undone;
} Record;

/* Committed records, newest first. A change is undone when a later one, itself not undone, takes it back. */
static bool read_records(int state_fd, Arena *arena, Record **out, size_t *count, Err *err) {
    TxnNames names;
    *count = 0;
    if (!txn_names(state_fd, arena, &names, err))
        return false;
    *out = ARENA_ARRAY(arena, Record, names.count);
    for (size_t i = names.count; i-- > 0;) {
        Record *record = &(*out)[*count];
        if (!read_record(state_fd, names.ids[i], "committed", arena, &record->manifest))
            continue;
        for (size_t j = 0; j < *count; j++)
            if (!(*out)[j].is_undone && str_eq((*out)[j].manifest.undoes, record->manifest.id))
                record->is_undone = true;
        *count += 1;
    }
    return true;
}

static bool shown_path(const Workspace *ws, Str txn_path, Arena *arena, Path *out) {
    out->absolute = txn_absolute(ws, txn_path, arena);
    const Fence *fence = path_fence(ws, out->absolute, false);
    if (!fence)
        return false;
    out->relative = fence == ws->roots ? path_below(fence->path, out->absolute) : out->absolute;
    return true;
}

/* False when a file lies outside of this workspace's roots: another root's change. */
static bool fill_backup(const Workspace *ws, const Record *record, Arena *arena, Backup *out) {
    const Manifest *m = &record->manifest;
    *out = (Backup){.id = m->id,
                    .title = m->title,
                    .unix_seconds = m->unix_seconds,
                    .files = m->count,
                    .paths = ARENA_ARRAY(arena, Str, m->count),
                    .is_undone = record->is_undone,
                    .is_undo = m->undoes.len > 0};
    for (size_t i = 0; i < m->count; i++) {
        Path path;
        if (!shown_path(ws, m->files[i].path, arena, &path))
            return false;
        out->paths[i] = path.relative;
    }
    return true;
}

bool ws_backups(Workspace *ws, Arena *arena, BackupList *out, Err *err) {
    *out = (BackupList){0};
    Record *records;
    size_t count;
    int state = state_peek(ws);
    if (state < 0)
        return true;
    bool ok = read_records(state, arena, &records, &count, err);
    close(state);
    if (!ok)
        return false;
    out->items = ARENA_ARRAY(arena, Backup, count);
    for (size_t i = 0; i < count; i++)
        out->count += fill_backup(ws, &records[i], arena, &out->items[out->count]);
    return true;
}

/* id empty: the newest that is neither undone nor an undo itself. Else the id, or its number alone;
 * takes_undone: whether it was undone meanwhile or not. */
static const Record *choose(const Workspace *ws, const Record *records, size_t count, Str id,
                            bool takes_undone, Arena *arena, Err *err) {
    for (size_t i = 0; i < count; i++) {
        const Manifest *m = &records[i].manifest;
        Backup backup;
        bool is_it = id.len ? str_eq(m->id, id) || (str_starts(m->id, id) && m->id.ptr[id.len] == '-')
                            : !records[i].is_undone && !m->undoes.len;
        if (!is_it)
            continue;
        if (records[i].is_undone && !takes_undone) {
            err_set(err, ERR_INVALID, "the change %.*s is already undone", STR_ARG(m->id));
            return NULL;
        }
        if (fill_backup(ws, &records[i], arena, &backup))
            return &records[i];
        if (id.len) {
            err_set(err, ERR_DENIED, "the change %.*s was made in files outside of this workspace",
                    STR_ARG(m->id));
            return NULL;
        }
    }
    if (id.len)
        err_set(err, ERR_NOT_FOUND, "there is no backup %.*s; mux-acp backups lists them", STR_ARG(id));
    else
        err_set(err, ERR_NOT_FOUND, "there is no change left to undo");
    return NULL;
}

/* ---- what a change did ---- */

/* The text a record keeps of one of its files, if it is what the record says. */
static bool kept_text(Workspace *ws, int state, const Manifest *m, size_t index, Arena *arena, Str *out) {
    Txn txn;
    char name[32];
    if (m->files[index].before.is_link || !txn_open(ws, state, m->id, "committed", arena, &txn, NULL))
        return false;
    snprintf(name, sizeof name, "%zu", index);
    bool ok = read_at(txn.old_fd, name, FILE_MAX_BYTES, arena, out, NULL) &&
              stamp_eq(stamp_of(*out), m->files[index].before);
    txn_close(&txn);
    return ok;
}

/* What a file became: the next later change of it keeps that, or else it is still there. */
static bool text_after(Workspace *ws, int state, const Record *records, size_t at, const TxnFile *file,
                       Path path, Arena *arena, Str *out) {
    for (size_t i = at; i-- > 0;) {
        const Manifest *later = &records[i].manifest;
        for (size_t j = 0; j < later->count; j++)
            if (str_eq(later->files[j].path, file->path))
                return stamp_eq(later->files[j].before, file->after) &&
                       kept_text(ws, state, later, j, arena, out);
    }
    FileText now;
    *out = S("");
    if (!ws_read(ws, path, arena, &now, NULL) || !stamp_eq(now.stamp, file->after))
        return false;
    *out = now.text;
    return true;
}

static void fill_file(Workspace *ws, int state, const Record *records, size_t at, size_t index, Arena *arena,
                      BackupFile *out) {
    const Manifest *m = &records[at].manifest;
    const TxnFile *file = &m->files[index];
    out->existed = file->before.exists;
    out->exists = file->after.exists;
    out->before = out->after = S("");
    bool ok = shown_path(ws, file->path, arena, &out->path) && !file->after.is_link;
    if (ok && out->existed)
        ok = kept_text(ws, state, m, index, arena, &out->before);
    if (ok && out->exists)
        ok = text_after(ws, state, records, at, file, out->path, arena, &out->after);
    out->has_texts = ok;
}

bool ws_backup_files(Workspace *ws, Str id, Arena *arena, BackupFile **out, size_t *count, Err *err) {
    Record *records;
    size_t record_count;
    int state = state_peek(ws);
    *count = 0;
    if (state < 0)
        return err_set(err, ERR_NOT_FOUND, "mux has changed nothing here");
    const Record *record = NULL;
    if (read_records(state, arena, &records, &record_count, err))
        record = choose(ws, records, record_count, id, true, arena, err);
    if (record) {
        const Manifest *m = &record->manifest;
        *out = ARENA_ARRAY(arena, BackupFile, m->count + 1);
        for (; *count < m->count; *count += 1)
            fill_file(ws, state, records, (size_t)(record - records), *count, arena, &(*out)[*count]);
    }
    close(state);
    return record != NULL;
}

/* ---- taking back ---- */

static bool undo_link(Change *change, const Txn *txn, size_t index, Path path, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    char name[32];
    Str target;
    snprintf(name, sizeof name, "%zu", index);
    if (!link_target(txn->old_fd, name, &change->arena, &target, err))
        return err_wrap(err, "the backup of %.*s", STR_ARG(path.relative));
    if (!stamp_eq(stamp_of_link(target), file->before))
        return err_set(err, ERR_IO, "the backup of %.*s is damaged", STR_ARG(path.relative));
    change_put_link(change, path, file->after, target);
    return true;
}

/* Through an editor the text itself is needed, if an editor can hold it. */
static bool undo_text(Change *change, const Txn *txn, size_t index, Path path, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    char name[32];
    Str text = {0};
    Err why = {0};
    snprintf(name, sizeof name, "%zu", index);
    bool ok = read_at(txn->old_fd, name, FILE_MAX_BYTES, &change->arena, &text, &why);
    if (!ok && why.code != ERR_LIMIT)
        return err_set(err, ERR_IO, "the backup of %.*s is damaged: %s", STR_ARG(path.relative), why.text);
    if (ok && !stamp_eq(stamp_of(text), file->before))
        return err_set(err, ERR_IO, "the backup of %.*s is damaged", STR_ARG(path.relative));
    change_put(change, path, file->after, text);
    if (!ok && !change->has_failed)
        change->files[change->count - 1].has_backup = true;
    return true;
}

static bool undo_file(Workspace *ws, Change *change, const Txn *txn, size_t index, Err *err) {
    const TxnFile *file = &txn->manifest.files[index];
    Path path;
    bool ok = true;
    if (!shown_path(ws, file->path, &change->arena, &path))
        return err_set(err, ERR_DENIED, "%.*s is outside of this workspace", STR_ARG(file->path));
    if (!file->before.exists) {
        change_remove(change, path, file->after);
        return true;
    }
    if (file->before.is_link)
        ok = undo_link(change, txn, index, path, err);
    else if (ws->io.write)
        ok = undo_text(change, txn, index, path, err);
    else
        change_put(change, path, file->after, S(""));
    if (!ok || change->has_failed)
        return ok; /* change_commit tells */
    ChangeFile *added = &change->files[change->count - 1];
    added->has_backup |= !file->before.is_link && !ws->io.write;
    added->backup_index = index;
    added->restored = file->before;
    added->has_mode = added->is_exact_mode = true;
    added->mode = file->mode_before;
    return true;
}

static bool undo_into(Workspace *ws, Change *change, const Txn *txn, Err *err) {
    const Manifest *m = &txn->manifest;
    Arena *arena = &change->arena;
    change->undoes = m->id;
    change_describe(change, str_printf(arena, "Undo: %.*s", STR_ARG(m->title)));
    change->left_dirs = ARENA_ARRAY(arena, Str, m->made_dir_count);
    for (size_t i = m->made_dir_count; i-- > 0;)
        change->left_dirs[change->left_dir_count++] = m->made_dirs[i].path;
    change->backup_dir = fcntl(txn->old_fd, F_DUPFD_CLOEXEC, 0);
    if (change->backup_dir < 0)
        return err_set_errno(err, errno, "cannot open the backup %.*s", STR_ARG(m->id));
    change->made_modes = m->cleared_dirs;
    change->made_mode_count = m->cleared_dir_count;
    for (size_t i = 0; i < m->count; i++)
        if (!undo_file(ws, change, txn, i, err))
            return false;
    return true;
}

bool ws_undo(Workspace *ws, Str id, ChangeInfo *out, Err *err) {
    Change *change = NULL;
    Record *records;
    Txn txn;
    size_t count;
    int state = state_peek(ws);
    if (state < 0)
        return err_set(err, ERR_NOT_FOUND, "there is no change to undo: mux has changed nothing here");
    if (!(change = change_begin(ws, err))) {
        close(state);
        return false;
    }
    const Record *record = NULL;
    if (read_records(state, &change->arena, &records, &count, err))
        record = choose(ws, records, count, id, false, &change->arena, err);
    bool ok = record && txn_open(ws, state, record->manifest.id, "committed", &change->arena, &txn, err);
    if (ok) {
        ok = undo_into(ws, change, &txn, err);
        txn_close(&txn);
    }
    close(state);
    if (ok)
        return change_commit(change, out, err);
    change_abandon(change);
    return false;
}

void backup_prune(const Workspace *ws) {
    int state_fd = ws->state_fd;
    Arena arena = {0};
    TxnNames names;
    double now = os_unix_seconds();
    uint64_t bytes = 0;
    bool ok = txn_names(state_fd, &arena, &names, NULL);
    for (size_t i = ok ? names.count : 0, kept = 0; i-- > 0;) {
        Manifest m;
        char path[80];
        if (!read_record(state_fd, names.ids[i], "committed", &arena, &m) &&
            !read_record(state_fd, names.ids[i], "kept", &arena, &m))
            continue;
        bytes += m.old_bytes;
        kept++;
        if (kept == 1 || (kept <= ws->keep_count && now - m.unix_seconds <= (double)ws->keep_days * 86400.0 &&
                          bytes <= ws->keep_bytes))
            continue;
        /* the record goes first: what is left without it is removed by the next start */
        snprintf(path, sizeof path, "txn/%.*s/committed", STR_ARG(names.ids[i]));
        unlinkat(state_fd, path, 0);
        snprintf(path, sizeof path, "txn/%.*s", STR_ARG(names.ids[i]));
        if (!remove_below(state_fd, path))
            log_line(LOG_WARN, "the old backup %.*s could not be removed: %s", STR_ARG(names.ids[i]),
                     strerror(errno));
    }
    arena_free(&arena);
}
