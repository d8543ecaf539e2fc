/* Review: the diff of every changed file is shown, permission asked where the mode says so, and what is kept
 * is applied at once. */
#include <string.h>

#include "planner/planner_internal.h"
#include "planner/written.h"

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
    ToolHunk *hunks = ARENA_ARRAY(&turn->arena, ToolHunk, file->hunks.count + 1);
    for (size_t i = 0; i < file->hunks.count; i++) {
        const Hunk *hunk = &file->hunks.items[i];
        ids[i] = hunk->id;
        hunks[i] = (ToolHunk){.line = hunk->old_start + 1,
                              .line_count = hunk->old_count,
                              .old_begin = hunk->old_begin,
                              .old_end = hunk->old_end,
                              .new_begin = hunk->new_begin,
                              .new_end = hunk->new_end};
    }
    return (ToolDiff){.path = file->path.absolute,
                      .relative = file->path.relative,
                      .old_text = file->seen.text,
                      .new_text = file->new_text,
                      .is_new = file->is_new,
                      .is_deleted = file->is_deleted,
                      .moved_to = is_moved(file) ? file->moved_to.relative : S(""),
                      .hunk_count = file->hunks.count,
                      .hunk_ids = ids,
                      .hunks = hunks,
                      .unified = file->unified};
}

/* ---- units: the files that are shown and asked about as one; they share a tool call ---- */

typedef struct Unit {
    FileWork **files;
    size_t count;
} Unit;

static Unit unit_of(Turn *turn, const FileWork *first) {
    Unit unit = {.files = ARENA_ARRAY(&turn->arena, FileWork *, turn->file_count)};
    for (size_t i = 0; i < turn->file_count; i++)
        if (file_is_changed(turn->files[i]) && str_eq(turn->files[i]->tool_id, first->tool_id))
            unit.files[unit.count++] = turn->files[i];
    return unit;
}

static bool is_first_of_unit(const Turn *turn, size_t index) {
    const FileWork *file = turn->files[index];
    for (size_t i = 0; i < index; i++)
        if (file_is_changed(turn->files[i]) && str_eq(turn->files[i]->tool_id, file->tool_id))
            return false;
    return file_is_changed(file);
}

static Str unit_title(Turn *turn, Unit unit) {
    const FileWork *file = unit.files[0];
    size_t added = 0, removed = 0;
    for (size_t i = 0; i < unit.count; i++) {
        size_t plus, minus;
        diff_count(&unit.files[i]->hunks, &plus, &minus);
        added += plus;
        removed += minus;
    }
    if (unit.count > 1)
        return str_printf(&turn->arena, "Change %zu files (+%zu -%zu)", unit.count, added, removed);
    if (is_moved(file))
        return str_printf(&turn->arena, "Move %.*s to %.*s (+%zu -%zu)", STR_ARG(file->path.relative),
                          STR_ARG(file->moved_to.relative), added, removed);
    const char *verb = file->is_new ? "Create" : file->is_deleted ? "Delete" : "Edit";
    return str_printf(&turn->arena, "%s %.*s (+%zu -%zu)", verb, STR_ARG(file->path.relative), added,
                      removed);
}

static ToolKind unit_kind(Unit unit) {
    const FileWork *file = unit.files[0];
    return unit.count > 1     ? TOOL_EDIT
           : is_moved(file)   ? TOOL_MOVE
           : file->is_deleted ? TOOL_DELETE
                              : TOOL_EDIT;
}

static ToolLocation first_location(const FileWork *file) {
    return (ToolLocation){file->path.absolute, file->hunks.count ? file->hunks.items[0].new_start + 1 : 1};
}

static ToolEvent unit_event(Turn *turn, Unit unit, ToolStatus status) {
    ToolDiff *diffs = ARENA_ARRAY(&turn->arena, ToolDiff, unit.count);
    ToolLocation *locations = ARENA_ARRAY(&turn->arena, ToolLocation, unit.count);
    for (size_t i = 0; i < unit.count; i++) {
        diffs[i] = tool_diff(turn, unit.files[i]);
        locations[i] = first_location(unit.files[i]);
    }
    return (ToolEvent){.id = unit.files[0]->tool_id,
                       .title = unit_title(turn, unit),
                       .kind = unit_kind(unit),
                       .status = status,
                       .locations = locations,
                       .location_count = unit.count,
                       .text = unit.files[0]->rationale,
                       .diffs = diffs,
                       .diff_count = unit.count};
}

static void show_unit(Turn *turn, Unit unit, ToolStatus status, bool is_first) {
    ToolEvent event = unit_event(turn, unit, status);
    event.is_first = is_first;
    turn_tool(turn, &event);
}

/* What is to be applied of each unit. */
static void show_accepted(Turn *turn, ToolStatus status) {
    for (size_t i = 0; i < turn->file_count; i++) {
        if (!is_first_of_unit(turn, i))
            continue;
        Unit all = unit_of(turn, turn->files[i]), unit = {.files = all.files};
        for (size_t f = 0; f < all.count; f++)
            if (all.files[f]->is_accepted)
                unit.files[unit.count++] = all.files[f];
        if (unit.count)
            show_unit(turn, unit, status, false);
    }
}

/* ---- asking ---- */

static Str question_title(Turn *turn, Unit unit) {
    const FileWork *file = unit.files[0];
    if (unit.count > 1)
        return str_printf(&turn->arena, "Apply the changes to %zu files?", unit.count);
    if (is_moved(file))
        return str_printf(&turn->arena, "Move %.*s to %.*s?", STR_ARG(file->path.relative),
                          STR_ARG(file->moved_to.relative));
    if (file->is_deleted)
        return str_printf(&turn->arena, "Delete %.*s?", STR_ARG(file->path.relative));
    return str_printf(&turn->arena, "Apply %zu change%s to %.*s?", file->hunks.count,
                      file->hunks.count == 1 ? "" : "s", STR_ARG(file->path.relative));
}

/* Hunk by hunk makes a difference only where there are several. */
static ReviewGrain question_grain(const Turn *turn, Unit unit) {
    const FileWork *file = unit.files[0];
    if (turn->grain == GRAIN_TURN && !needs_consent(file))
        return GRAIN_TURN;
    bool has_choice = file->hunks.count > 1 && !file->is_deleted && !needs_consent(file);
    return turn->grain == GRAIN_HUNK && has_choice ? GRAIN_HUNK : GRAIN_FILE;
}

/* The session's memory of "always" is kept here; it does not allow what needs consent of its own. */
static Decision ask_user(Turn *turn, Unit unit) {
    Session *s = turn->session;
    bool is_special = needs_consent(unit.files[0]);
    pthread_mutex_lock(&s->lock);
    bool allowed = s->allows_all && !is_special, rejected = s->rejects_all;
    pthread_mutex_unlock(&s->lock);
    if (allowed || rejected)
        return (Decision){.kind = allowed ? DECISION_ALLOW_ONCE : DECISION_REJECT_ONCE};
    QuestionEvent question = {.tool = unit_event(turn, unit, TOOL_PENDING),
                              .title = question_title(turn, unit),
                              .grain = question_grain(turn, unit)};
    Decision decision = turn_ask(turn, &question);
    pthread_mutex_lock(&s->lock);
    if (decision.kind == DECISION_ALLOW_ALWAYS && !is_special)
        s->allows_all = true;
    if (decision.kind == DECISION_REJECT_ALWAYS)
        s->rejects_all = true;
    pthread_mutex_unlock(&s->lock);
    return decision;
}

/* ---- taking the answer ---- */

/* keep[i] for the hunks of this file that the decision names; their ids mostly come in order. */
static void find_kept(const FileWork *file, const Decision *decision, bool *keep, bool *is_known) {
    const Hunks *hunks = &file->hunks;
    for (size_t i = 0, next = 0; i < decision->keep_count && hunks->count; i++) {
        size_t tries = 0;
        while (tries < hunks->count &&
               hunks->items[(next + tries) % hunks->count].id != decision->keep_ids[i])
            tries++;
        if (tries == hunks->count)
            continue;
        next = (next + tries) % hunks->count;
        keep[next] = is_known[i] = true;
    }
}

/* Rebuilds the new text from the hunks the user kept, never by matching again. */
static bool keep_hunks(Turn *turn, FileWork *file, const bool *keep, Err *err) {
    size_t kept = 0;
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
    written_left_out(turn, file, keep);
    return diff_keep(&file->hunks, keep, &turn->arena, &file->new_text, err) && make_diff(turn, file, err);
}

/* Each of the ids must be one of a diff that was asked about. */
static bool keep_named(Turn *turn, Unit unit, const Decision *decision, Err *err) {
    bool *is_known = ARENA_ARRAY(&turn->arena, bool, decision->keep_count + 1);
    bool **keep = ARENA_ARRAY(&turn->arena, bool *, unit.count);
    for (size_t i = 0; i < unit.count; i++) {
        keep[i] = ARENA_ARRAY(&turn->arena, bool, unit.files[i]->hunks.count + 1);
        find_kept(unit.files[i], decision, keep[i], is_known);
    }
    for (size_t i = 0; i < decision->keep_count; i++)
        if (!is_known[i])
            return err_set(err, ERR_INVALID,
                           "the answer names a change that the diff of %.*s%s does not hold; nothing was "
                           "applied",
                           STR_ARG(unit.files[0]->path.relative), unit.count > 1 ? " and the others" : "");
    for (size_t i = 0; i < unit.count; i++)
        if (!keep_hunks(turn, unit.files[i], keep[i], err))
            return false;
    return true;
}

static bool take_own_text(Turn *turn, Unit unit, Str text, Err *err) {
    FileWork *file = unit.files[0];
    if (unit.count > 1)
        return err_set(err, ERR_INVALID,
                       "a text of its own was given for several files; nothing was applied");
    if (file->is_deleted)
        return err_set(err, ERR_INVALID, "%.*s is to be deleted; it cannot be given a text of its own",
                       STR_ARG(file->path.relative));
    file->new_text = str_copy(&turn->arena, text);
    file->is_accepted = file_is_changed(file);
    turn_note(turn, str_printf(&turn->arena, "%.*s has your own version of the changes",
                               STR_ARG(file->path.relative)));
    return make_diff(turn, file, err);
}

static bool take_decision(Turn *turn, Unit unit, const Decision *decision, Err *err) {
    bool is_allowed = decision->kind == DECISION_ALLOW_ONCE || decision->kind == DECISION_ALLOW_ALWAYS;
    if (decision->kind == DECISION_CANCELLED)
        turn_cancel(turn->session); /* the client withdrew: the turn ends, nothing is written */
    for (size_t i = 0; i < unit.count; i++)
        unit.files[i]->is_accepted = is_allowed;
    if (is_allowed && decision->has_text)
        return take_own_text(turn, unit, decision->text, err);
    return !is_allowed || !decision->keep_ids || keep_named(turn, unit, decision, err);
}

static void tell_rejected(Turn *turn, Unit unit) {
    bool is_any_accepted = false;
    for (size_t i = 0; i < unit.count; i++) {
        is_any_accepted |= unit.files[i]->is_accepted;
        if (unit.files[i]->is_accepted || turn_is_cancelled(turn))
            continue;
        turn_note(turn, str_printf(&turn->arena, "the changes to %.*s were rejected",
                                   STR_ARG(unit.files[i]->path.relative)));
        written_left_out(turn, unit.files[i], NULL);
    }
    if (!is_any_accepted)
        show_unit(turn, unit, TOOL_FAILED, false);
}

static bool review_unit(Turn *turn, Unit unit, Err *err) {
    for (size_t i = 0; i < unit.count; i++)
        unit.files[i]->is_accepted = true;
    show_unit(turn, unit, TOOL_PENDING, true);
    if (turn->review == REVIEW_PLAN || (turn->review == REVIEW_AUTO && !needs_consent(unit.files[0])))
        return true;
    Decision decision = ask_user(turn, unit);
    if (!take_decision(turn, unit, &decision, err))
        return false;
    tell_rejected(turn, unit);
    return true;
}

/* By turn: one tool call for all that does not need consent of its own. */
static void join_files(Turn *turn) {
    const FileWork *first = NULL;
    for (size_t i = 0; i < turn->file_count; i++) {
        FileWork *file = turn->files[i];
        if (!file_is_changed(file) || needs_consent(file))
            continue;
        if (first)
            file->tool_id = first->tool_id;
        else
            first = file;
    }
}

bool review_run(Turn *turn, Err *err) {
    Buf all = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < turn->file_count; i++)
        ok = !file_is_changed(turn->files[i]) || make_diff(turn, turn->files[i], err);
    if (turn->review == REVIEW_ASK && turn->grain == GRAIN_TURN)
        join_files(turn);
    for (size_t i = 0; ok && i < turn->file_count && !turn_is_cancelled(turn); i++)
        if (is_first_of_unit(turn, i))
            ok = review_unit(turn, unit_of(turn, turn->files[i]), err);
    for (size_t i = 0; ok && i < turn->file_count; i++) {
        FileWork *file = turn->files[i];
        if (!file_is_changed(file) || !file->is_accepted)
            continue;
        turn->kept_files++;
        buf_str(&all, file->unified);
    }
    if (ok && turn->review == REVIEW_PLAN)
        show_accepted(turn, TOOL_COMPLETED);
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

/* What an editor refuses, leaves unanswered or has changed meanwhile is told, and no end of the turn. */
static bool take_failure(Turn *turn, Err *why, Err *err) {
    bool is_told = turn->session->has_client_files && !turn_is_cancelled(turn) &&
                   (why->code == ERR_DENIED || why->code == ERR_IO || why->code == ERR_CONFLICT);
    err_wrap(why, "nothing was applied");
    if (is_told)
        turn_problem(turn, str_of(why->text));
    else
        *err = *why;
    return is_told;
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
        put_file(change, file);
    }
    show_accepted(turn, TOOL_RUNNING);
    ChangeInfo info = {0};
    Err why = {0};
    bool ok = change_commit(change, &info, &why);
    show_accepted(turn, ok ? TOOL_COMPLETED : TOOL_FAILED);
    if (!ok)
        return take_failure(turn, &why, err);
    tell_report(turn, &report);
    written_remember(turn, &report);
    turn->was_applied = true;
    turn->backup_id = str_copy(&turn->arena, str_of(info.id));
    return true;
}
