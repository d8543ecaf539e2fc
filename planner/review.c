/* Review: the diff of every changed file is shown, permission asked where the mode says so, and what is kept
 * is applied at once. */
#include <string.h>

#include "planner/planner_internal.h"

static bool is_moved(const FileWork *file) {
    return file->moved_to.absolute.len > 0;
}

static bool needs_consent(const FileWork *file) {
    return ws_needs_consent(file->path) || (is_moved(file) && ws_needs_consent(file->moved_to));
}

/* A file that goes or moves is shown, and made anew, with its own mode. */
static void find_mode(Turn *turn, FileWork *file) {
    Arena scratch = {0};
    Path path;
    Entry entry;
    if ((file->is_deleted || is_moved(file)) &&
        ws_entry(turn->ws, file->path.relative, FILE_MAX_BYTES, &scratch, &path, &entry, NULL) &&
        entry.exists)
        file->mode = entry.mode & 0111 ? 0100755 : 0100644;
    arena_free(&scratch);
}

/* Hunks and unified text of the file's change; the text is read back and applied before anybody sees it. */
static bool make_diff(Turn *turn, FileWork *file, Err *err) {
    find_mode(turn, file);
    if (!diff_lines(file->path.relative, file->seen.text, file->new_text, &turn->arena, &file->hunks, err))
        return false;
    FileDiff diff = {.old_path = file->path.relative,
                     .new_path = is_moved(file) ? file->moved_to.relative : file->path.relative,
                     .is_new = file->is_new,
                     .is_deleted = file->is_deleted,
                     .old_mode = file->mode,
                     .new_mode = file->mode,
                     .hunks = file->hunks};
    Buf out = {0};
    bool ok = diff_print_verified(&diff, 3, &out, err);
    file->unified = buf_copy(&out, &turn->arena);
    buf_free(&out);
    return ok || err_wrap(err, "nothing was changed");
}

static ToolDiff tool_diff(Turn *turn, const FileWork *file) {
    uint64_t *ids = ARENA_ARRAY(&turn->arena, uint64_t, file->hunks.count + 1);
    for (size_t i = 0; i < file->hunks.count; i++)
        ids[i] = file->hunks.items[i].id;
    return (ToolDiff){.path = file->path.absolute,
                      .relative = file->path.relative,
                      .old_text = file->seen.text,
                      .new_text = file->new_text,
                      .is_new = file->is_new,
                      .is_deleted = file->is_deleted,
                      .moved_to = is_moved(file) ? file->moved_to.relative : S(""),
                      .hunk_count = file->hunks.count,
                      .hunk_ids = ids,
                      .unified = file->unified};
}

static Str tool_title(Turn *turn, const FileWork *file) {
    size_t added, removed;
    diff_count(&file->hunks, &added, &removed);
    if (is_moved(file))
        return str_printf(&turn->arena, "Move %.*s to %.*s (+%zu -%zu)", STR_ARG(file->path.relative),
                          STR_ARG(file->moved_to.relative), added, removed);
    const char *verb = file->is_new ? "Create" : file->is_deleted ? "Delete" : "Edit";
    return str_printf(&turn->arena, "%s %.*s (+%zu -%zu)", verb, STR_ARG(file->path.relative), added,
                      removed);
}

static ToolEvent tool_event(Turn *turn, const FileWork *file, ToolStatus status, const ToolDiff *diff,
                            const ToolLocation *location) {
    return (ToolEvent){.id = file->tool_id,
                       .title = tool_title(turn, file),
                       .kind = TOOL_EDIT,
                       .status = status,
                       .locations = location,
                       .location_count = 1,
                       .text = file->rationale,
                       .diffs = diff,
                       .diff_count = 1};
}

static ToolLocation first_location(const FileWork *file) {
    return (ToolLocation){file->path.absolute, file->hunks.count ? file->hunks.items[0].new_start + 1 : 1};
}

static void show_file(Turn *turn, const FileWork *file, ToolStatus status, bool is_first) {
    ToolDiff diff = tool_diff(turn, file);
    ToolLocation location = first_location(file);
    ToolEvent event = tool_event(turn, file, status, &diff, &location);
    event.is_first = is_first;
    turn_tool(turn, &event);
}

static Str question_title(Turn *turn, const FileWork *file) {
    if (is_moved(file))
        return str_printf(&turn->arena, "Move %.*s to %.*s?", STR_ARG(file->path.relative),
                          STR_ARG(file->moved_to.relative));
    if (file->is_deleted)
        return str_printf(&turn->arena, "Delete %.*s?", STR_ARG(file->path.relative));
    return str_printf(&turn->arena, "Apply %zu change%s to %.*s?", file->hunks.count,
                      file->hunks.count == 1 ? "" : "s", STR_ARG(file->path.relative));
}

/* The session's memory of "always" is kept here; it does not allow what needs consent of its own. */
static Decision ask_user(Turn *turn, const FileWork *file) {
    Session *s = turn->session;
    bool is_special = needs_consent(file);
    pthread_mutex_lock(&s->lock);
    bool allowed = s->allows_all && !is_special, rejected = s->rejects_all;
    pthread_mutex_unlock(&s->lock);
    if (allowed || rejected)
        return (Decision){.kind = allowed ? DECISION_ALLOW_ONCE : DECISION_REJECT_ONCE};
    ToolDiff diff = tool_diff(turn, file);
    ToolLocation location = first_location(file);
    QuestionEvent question = {.tool = tool_event(turn, file, TOOL_PENDING, &diff, &location),
                              .title = question_title(turn, file),
                              .grain = GRAIN_FILE};
    Decision decision = turn_ask(turn, &question);
    pthread_mutex_lock(&s->lock);
    if (decision.kind == DECISION_ALLOW_ALWAYS && !is_special)
        s->allows_all = true;
    if (decision.kind == DECISION_REJECT_ALWAYS)
        s->rejects_all = true;
    pthread_mutex_unlock(&s->lock);
    return decision;
}

/* keep[i] for the hunks that the decision names; each of its ids must be one of this diff. */
static bool find_kept(const FileWork *file, const Decision *decision, bool *keep, Err *err) {
    const Hunks *hunks = &file->hunks;
    for (size_t i = 0, next = 0; i < decision->keep_count; i++) { /* they mostly come in order */
        size_t tries = 0;
        while (tries < hunks->count &&
               hunks->items[(next + tries) % hunks->count].id != decision->keep_ids[i])
            tries++;
        if (tries == hunks->count)
            return err_set(
                err, ERR_INVALID,
                "the answer names a change that the diff of %.*s does not hold; nothing was applied",
                STR_ARG(file->path.relative));
        next = (next + tries) % hunks->count;
        keep[next] = true;
    }
    return true;
}

/* Rebuilds the new text from the hunks the user kept, never by matching again. */
static bool keep_hunks(Turn *turn, FileWork *file, const Decision *decision, Err *err) {
    bool *keep = ARENA_ARRAY(&turn->arena, bool, file->hunks.count + 1);
    size_t kept = 0;
    if (!find_kept(file, decision, keep, err))
        return false;
    for (size_t i = 0; i < file->hunks.count; i++)
        kept += keep[i];
    if (kept == file->hunks.count)
        return true;
    if (kept == 0 || file->is_deleted) {
        file->is_accepted = false;
        return true;
    }
    turn_note(turn, str_printf(&turn->arena, "%zu of %zu changes of %.*s were left out by you",
                               file->hunks.count - kept, file->hunks.count, STR_ARG(file->path.relative)));
    return diff_keep(&file->hunks, keep, &turn->arena, &file->new_text, err) && make_diff(turn, file, err);
}

static bool take_own_text(Turn *turn, FileWork *file, Str text, Err *err) {
    if (file->is_deleted)
        return err_set(err, ERR_INVALID, "%.*s is to be deleted; it cannot be given a text of its own",
                       STR_ARG(file->path.relative));
    file->new_text = str_copy(&turn->arena, text);
    file->is_accepted = file_is_changed(file);
    turn_note(turn, str_printf(&turn->arena, "%.*s has your own version of the changes",
                               STR_ARG(file->path.relative)));
    return make_diff(turn, file, err);
}

static bool take_decision(Turn *turn, FileWork *file, const Decision *decision, Err *err) {
    if (decision->kind == DECISION_CANCELLED)
        turn_cancel(turn->session); /* the client withdrew: the turn ends, nothing is written */
    file->is_accepted = decision->kind == DECISION_ALLOW_ONCE || decision->kind == DECISION_ALLOW_ALWAYS;
    if (file->is_accepted && decision->has_text)
        return take_own_text(turn, file, decision->text, err);
    return !file->is_accepted || !decision->keep_ids || keep_hunks(turn, file, decision, err);
}

static bool review_file(Turn *turn, FileWork *file, ReviewMode mode, Err *err) {
    file->is_accepted = true;
    show_file(turn, file, TOOL_PENDING, true);
    if (mode == REVIEW_PLAN || (mode == REVIEW_AUTO && !needs_consent(file)))
        return true;
    Decision decision = ask_user(turn, file);
    if (!take_decision(turn, file, &decision, err))
        return false;
    if (!file->is_accepted) {
        show_file(turn, file, TOOL_FAILED, false);
        turn_note(turn, str_printf(&turn->arena, "the changes to %.*s were rejected",
                                   STR_ARG(file->path.relative)));
    }
    return true;
}

bool review_run(Turn *turn, Err *err) {
    ReviewMode mode = session_review(turn->session);
    Buf all = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < turn->file_count; i++)
        ok = !file_is_changed(turn->files[i]) || make_diff(turn, turn->files[i], err);
    for (size_t i = 0; ok && i < turn->file_count && !turn_is_cancelled(turn); i++)
        if (file_is_changed(turn->files[i]))
            ok = review_file(turn, turn->files[i], mode, err);
    for (size_t i = 0; ok && i < turn->file_count; i++) {
        FileWork *file = turn->files[i];
        if (!file_is_changed(file) || !file->is_accepted)
            continue;
        turn->kept_files++;
        buf_str(&all, file->unified);
        if (mode == REVIEW_PLAN)
            show_file(turn, file, TOOL_COMPLETED, false);
    }
    turn->unified = buf_copy(&all, &turn->arena);
    buf_free(&all);
    return ok;
}

/* ---- applying ---- */

static void put_file(Change *change, const FileWork *file) {
    if (file->is_deleted || is_moved(file))
        change_remove(change, file->path, file->seen.stamp);
    if (is_moved(file)) {
        change_put(change, file->moved_to, (Stamp){0}, file->new_text);
        if (file->mode == 0100755)
            change_set_mode(change, file->moved_to, 0755);
    } else if (!file->is_deleted)
        change_put(change, file->path, file->seen.stamp, file->new_text);
}

/* What came out otherwise than the diff says, or touches more than the diff shows. */
static void tell_report(Turn *turn, const ChangeReport *report) {
    for (size_t i = 0; i < report->count; i++) {
        const ChangedFile *file = &report->items[i];
        Hunks hunks;
        size_t added = 0, removed = 0;
        if (file->is_reformatted &&
            diff_lines(file->path.relative, file->sent, file->found, &turn->arena, &hunks, NULL)) {
            diff_count(&hunks, &added, &removed);
            turn_note(turn,
                      str_printf(&turn->arena,
                                 "the editor changed %.*s further while saving it (+%zu -%zu lines), as its "
                                 "formatter does",
                                 STR_ARG(file->path.relative), added, removed));
        }
        if (file->had_hard_links)
            turn_note(turn,
                      str_printf(&turn->arena, "%.*s had other names (hard links); those keep the old text",
                                 STR_ARG(file->path.relative)));
    }
}

bool review_apply(Turn *turn, Err *err) {
    Change *change = change_begin(turn->ws, err);
    if (!change)
        return false;
    ChangeReport report = {0};
    change_describe(change, str_slice(turn->request.text, 0, 200));
    change_report(change, &turn->arena, &report);
    for (size_t i = 0; i < turn->file_count; i++) {
        FileWork *file = turn->files[i];
        if (!file_is_changed(file) || !file->is_accepted)
            continue;
        show_file(turn, file, TOOL_RUNNING, false);
        put_file(change, file);
    }
    ChangeInfo info = {0};
    bool ok = change_commit(change, &info, err);
    for (size_t i = 0; i < turn->file_count; i++)
        if (file_is_changed(turn->files[i]) && turn->files[i]->is_accepted)
            show_file(turn, turn->files[i], ok ? TOOL_COMPLETED : TOOL_FAILED, false);
    if (!ok)
        return err_wrap(err, "nothing was applied");
    tell_report(turn, &report);
    turn->was_applied = true;
    turn->backup_id = str_copy(&turn->arena, str_of(info.id));
    return true;
}
