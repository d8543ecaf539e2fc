/* Review: the diff of every changed file is shown, permission asked where the mode says so, and what is kept
 * is applied at once. */
#include <string.h>

#include "planner/planner_internal.h"

/* Hunks and unified text of the file's change; verified: rebuilding from all hunks must give the new text. */
static bool make_diff(Turn *turn, FileWork *file, Err *err) {
    if (!diff_lines(file->path.relative, file->seen.text, file->new_text, &turn->arena, &file->hunks, err))
        return false;
    bool *all = ARENA_ARRAY(&turn->arena, bool, file->hunks.count + 1);
    memset(all, 1, file->hunks.count);
    Str rebuilt;
    if (!diff_keep(&file->hunks, all, &turn->arena, &rebuilt, err))
        return false;
    if (!str_eq(rebuilt, file->new_text))
        return err_set(err, ERR_INTERNAL,
                       "the diff of %.*s does not rebuild the new text; nothing was changed",
                       STR_ARG(file->path.relative));
    FileDiff diff = {.old_path = file->path.relative,
                     .new_path = file->path.relative,
                     .is_new = file->is_new,
                     .hunks = file->hunks};
    Buf out = {0};
    diff_print(&diff, 3, &out);
    file->unified = buf_copy(&out, &turn->arena);
    buf_free(&out);
    return true;
}

static ToolDiff tool_diff(const FileWork *file) {
    return (ToolDiff){.path = file->path.absolute,
                      .relative = file->path.relative,
                      .old_text = file->seen.text,
                      .new_text = file->new_text,
                      .is_new = file->is_new,
                      .hunk_count = file->hunks.count,
                      .unified = file->unified};
}

static ToolEvent tool_event(Turn *turn, const FileWork *file, ToolStatus status, const ToolDiff *diff,
                            const ToolLocation *location) {
    size_t added, removed;
    diff_count(&file->hunks, &added, &removed);
    return (ToolEvent){.id = file->tool_id,
                       .title =
                           str_printf(&turn->arena, "%s %.*s (+%zu -%zu)", file->is_new ? "Create" : "Edit",
                                      STR_ARG(file->path.relative), added, removed),
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
    ToolDiff diff = tool_diff(file);
    ToolLocation location = first_location(file);
    ToolEvent event = tool_event(turn, file, status, &diff, &location);
    event.is_first = is_first;
    turn_tool(turn, &event);
}

/* Waits for turn_answer or a cancel. The session's memory of "always" is kept here. */
static Decision ask_user(Turn *turn, const FileWork *file) {
    Session *s = turn->session;
    pthread_mutex_lock(&s->lock);
    bool allowed = s->allows_all, rejected = s->rejects_all;
    uint64_t id = s->next_question++;
    s->open_question = id;
    s->is_answered = false;
    pthread_mutex_unlock(&s->lock);
    if (allowed || rejected)
        return (Decision){.kind = allowed ? DECISION_ALLOW_ONCE : DECISION_REJECT_ONCE};
    ToolDiff diff = tool_diff(file);
    ToolLocation location = first_location(file);
    QuestionEvent question = {.id = id, .tool = tool_event(turn, file, TOOL_PENDING, &diff, &location)};
    question.title = str_printf(&turn->arena, "Apply %zu change%s to %.*s?", file->hunks.count,
                                file->hunks.count == 1 ? "" : "s", STR_ARG(file->path.relative));
    turn->sink.event(turn->sink.ctx, &(TurnEvent){.kind = TURN_QUESTION, .question = &question});
    pthread_mutex_lock(&s->lock);
    while (!s->is_answered && !turn_is_cancelled(turn))
        pthread_cond_wait(&s->changed, &s->lock);
    Decision decision = s->is_answered ? s->answer : (Decision){.kind = DECISION_CANCELLED};
    s->open_question = 0;
    if (decision.kind == DECISION_ALLOW_ALWAYS)
        s->allows_all = true;
    if (decision.kind == DECISION_REJECT_ALWAYS)
        s->rejects_all = true;
    pthread_mutex_unlock(&s->lock);
    return decision;
}

/* Rebuilds the new text from the hunks the user kept, never by matching again. */
static bool keep_hunks(Turn *turn, FileWork *file, const Decision *decision, Err *err) {
    if (!decision->keep_hunks)
        return true;
    bool *keep = ARENA_ARRAY(&turn->arena, bool, file->hunks.count + 1);
    size_t kept = 0;
    for (size_t i = 0; i < file->hunks.count; i++)
        kept += keep[i] = i < decision->keep_count && decision->keep_hunks[i];
    if (kept == file->hunks.count)
        return true;
    if (kept == 0) {
        file->is_accepted = false;
        return true;
    }
    turn_problem(turn, str_printf(&turn->arena, "%zu of %zu changes of %.*s were left out by you",
                                  file->hunks.count - kept, file->hunks.count, STR_ARG(file->path.relative)));
    return diff_keep(&file->hunks, keep, &turn->arena, &file->new_text, err) && make_diff(turn, file, err);
}

static bool review_file(Turn *turn, FileWork *file, ReviewMode mode, Err *err) {
    file->is_accepted = true;
    show_file(turn, file, TOOL_PENDING, true);
    if (mode != REVIEW_ASK)
        return true;
    Decision decision = ask_user(turn, file);
    if (decision.kind == DECISION_CANCELLED)
        turn_cancel(turn->session); /* the client withdrew: the turn ends, nothing is written */
    file->is_accepted = decision.kind == DECISION_ALLOW_ONCE || decision.kind == DECISION_ALLOW_ALWAYS;
    if (file->is_accepted && !keep_hunks(turn, file, &decision, err))
        return false;
    if (!file->is_accepted) {
        show_file(turn, file, TOOL_FAILED, false);
        turn_problem(
            turn, str_printf(&turn->arena, "you rejected the changes to %.*s", STR_ARG(file->path.relative)));
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

bool review_apply(Turn *turn, Err *err) {
    Change *change = change_begin(turn->ws, err);
    if (!change)
        return false;
    change_describe(change, str_slice(turn->request.text, 0, 200));
    for (size_t i = 0; i < turn->file_count; i++) {
        FileWork *file = turn->files[i];
        if (!file_is_changed(file) || !file->is_accepted)
            continue;
        show_file(turn, file, TOOL_RUNNING, false);
        change_put(change, file->path, file->seen.stamp, file->new_text);
    }
    ChangeInfo info = {0};
    bool ok = change_commit(change, &info, err);
    for (size_t i = 0; i < turn->file_count; i++)
        if (file_is_changed(turn->files[i]) && turn->files[i]->is_accepted)
            show_file(turn, turn->files[i], ok ? TOOL_COMPLETED : TOOL_FAILED, false);
    if (!ok)
        return err_wrap(err, "nothing was applied");
    turn->was_applied = true;
    turn->backup_id = str_copy(&turn->arena, str_of(info.id));
    return true;
}
