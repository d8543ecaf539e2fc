/* What is done in a session's folder without a turn: files are listed, a patch is applied, a change is taken
 * back. */
#include "planner/patch_change.h"
#include "planner/planner_internal.h"

Workspace *session_workspace(Session *s, bool read_only, Err *err) {
    const PlannerConfig *limits = &s->planner->config;
    WorkspaceConfig config = {.root = s->cwd,
                              .extra_roots = s->extra_roots,
                              .extra_root_count = s->extra_root_count,
                              .read_only = read_only,
                              .backup_count = limits->backup_count,
                              .backup_days = limits->backup_days,
                              .backup_bytes = limits->backup_bytes,
                              .cancelled = read_only ? NULL : &s->cancelled};
    return ws_open(&config, s->io, err);
}

bool session_list_files(Session *s, Arena *arena, Str **paths, size_t *count, bool *is_truncated, Err *err) {
    FileList list = {0};
    Workspace *ws = session_workspace(s, true, err);
    bool ok = ws && ws_list(ws, arena, &list, err);
    ws_close(ws);
    *paths = list.paths;
    *count = list.count;
    *is_truncated = list.is_truncated;
    return ok;
}

/* The session for one change; turn_cancel and session_close stop it as they stop a turn. */
static bool begin(Session *s, Err *err) {
    pthread_mutex_lock(&s->lock);
    bool is_free = !s->is_busy && !s->is_in_use;
    if (is_free) {
        s->is_in_use = true;
        atomic_store(&s->cancelled, false);
    }
    pthread_mutex_unlock(&s->lock);
    return is_free || err_set(err, ERR_CONFLICT, "this session is busy; wait for its end or cancel it");
}

static void end(Session *s) {
    pthread_mutex_lock(&s->lock);
    s->is_in_use = false;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static bool apply(Session *s, const PatchSourceText *source, bool check_only, Arena *arena, Applied *out,
                  Err *err) {
    PatchPlan plan = {0};
    ChangeInfo info = {0};
    ChangeReport report = {0};
    Workspace *ws = session_workspace(s, check_only, err);
    if (!ws)
        return false;
    bool ok = patch_change_plan(ws, source, arena, &plan, err);
    if (!ok && plan.is_applied_already) {
        Err why = *err;
        err_set(err, ERR_CONFLICT, "the patch is applied already, nothing was changed (%.400s)", why.text);
    }
    ok = ok && (check_only || patch_change_commit(ws, &plan, S("Apply a patch"), arena, &info, &report, err));
    ws_close(ws);
    if (!ok)
        return false;
    Str *paths = ARENA_ARRAY(arena, Str, plan.count + 1);
    for (size_t i = 0; i < plan.count; i++)
        paths[i] = str_copy(arena, plan.items[i].path);
    *out = (Applied){str_copy(arena, str_of(info.id)), paths, plan.count};
    return true;
}

bool session_apply_patch(Session *s, Str patch, bool is_tolerant, bool check_only, Arena *arena, Applied *out,
                         Err *err) {
    PatchSourceText source = {.text = patch,
                              .options = {.strip = 1, .guesses_strip = true, .is_tolerant = is_tolerant},
                              .is_through_editor = s->has_client_files};
    *out = (Applied){0};
    if (!begin(s, err))
        return false;
    bool ok = apply(s, &source, check_only, arena, out, err);
    end(s);
    return ok;
}

bool workspace_undo(Workspace *ws, Str id, Arena *arena, Applied *out, Err *err) {
    ChangeInfo info = {0};
    BackupList backups = {0};
    if (!ws_undo(ws, id, &info, err))
        return false;
    *out = (Applied){.backup_id = str_copy(arena, str_of(info.id))};
    Err ignored = {0}; /* it is undone, whatever comes of the list */
    ws_backups(ws, arena, &backups, &ignored);
    for (size_t i = 0; i < backups.count; i++) {
        if (!str_eq(backups.items[i].id, out->backup_id))
            continue;
        out->paths = backups.items[i].paths;
        out->count = backups.items[i].files;
    }
    return true;
}

bool session_undo(Session *s, Str id, Arena *arena, Applied *out, Err *err) {
    *out = (Applied){0};
    if (!begin(s, err))
        return false;
    Workspace *ws = session_workspace(s, false, err);
    bool ok = ws && workspace_undo(ws, id, arena, out, err);
    ws_close(ws);
    end(s);
    return ok;
}
