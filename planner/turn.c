/* The story of a prompt: understand, gather, ask the model, review, apply, report. */
#include <stdlib.h>
#include <string.h>

#include "planner/kept.h"
#include "planner/slash.h"
#include "planner/written.h"

enum { PLAN_GATHER, PLAN_WRITE, PLAN_REVIEW, PLAN_APPLY, PLAN_STEPS };

/* ---- telling ---- */

void turn_emit(Turn *turn, const TurnEvent *event) {
    Session *s = turn->session;
    kept_event(s, event);
    turn->sink.event(turn->sink.ctx, event);
}

static void emit(Turn *turn, TurnEvent event) {
    turn_emit(turn, &event);
}

bool turn_is_cancelled(const Turn *turn) {
    return atomic_load(&turn->session->cancelled);
}

void turn_text(Turn *turn, Str text) {
    if (text.len)
        emit(turn, (TurnEvent){.kind = TURN_TEXT, .text = text});
}

void turn_thought(Turn *turn, Str text) {
    if (text.len)
        emit(turn, (TurnEvent){.kind = TURN_THOUGHT, .text = text});
}

void turn_tool(Turn *turn, const ToolEvent *tool) {
    emit(turn, (TurnEvent){.kind = TURN_TOOL, .tool = tool});
}

Str turn_tool_id(Turn *turn) {
    return str_printf(&turn->arena, "call_%llu", (unsigned long long)turn->session->next_tool++);
}

static bool is_told(const Str *told, size_t count, Str sentence) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(told[i], sentence))
            return true;
    return false;
}

void turn_problem(Turn *turn, Str sentence) {
    if (!is_told(turn->problems, turn->problem_count, sentence))
        LIST_PUSH(&turn->arena, turn->problems, turn->problem_count, turn->problem_capacity,
                  str_copy(&turn->arena, sentence));
}

void turn_note(Turn *turn, Str sentence) {
    if (!is_told(turn->notes, turn->note_count, sentence))
        LIST_PUSH(&turn->arena, turn->notes, turn->note_count, turn->note_capacity,
                  str_copy(&turn->arena, sentence));
}

void turn_left_out(Turn *turn, Str sentence) {
    if (!is_told(turn->left_out, turn->left_out_count, sentence))
        LIST_PUSH(&turn->arena, turn->left_out, turn->left_out_count, turn->left_out_capacity,
                  str_copy(&turn->arena, sentence));
}

Decision turn_ask(Turn *turn, QuestionEvent *question) {
    Session *s = turn->session;
    pthread_mutex_lock(&s->lock);
    s->open_question = question->id = s->next_question++;
    s->is_answered = false;
    pthread_mutex_unlock(&s->lock);
    emit(turn, (TurnEvent){.kind = TURN_QUESTION, .question = question});
    pthread_mutex_lock(&s->lock);
    while (!s->is_answered && !turn_is_cancelled(turn))
        pthread_cond_wait(&s->changed, &s->lock);
    Decision decision = s->is_answered ? s->answer : (Decision){.kind = DECISION_CANCELLED};
    s->open_question = 0;
    pthread_mutex_unlock(&s->lock);
    return decision;
}

void turn_add_usage(Turn *turn, const Usage *usage) {
    turn->usage.prompt_tokens += usage->prompt_tokens;
    turn->usage.cached_tokens += usage->cached_tokens;
    turn->usage.output_tokens += usage->output_tokens;
    turn->usage.context_used = usage->prompt_tokens + usage->output_tokens;
    turn->usage.context_size = chat_context(turn->chat);
    turn->usage.prompts++;
    size_t most = turn->session->planner->config.prompt_tokens_max;
    turn->usage.budget = turn->usage.context_size / 4 * 3;
    if (most && most < turn->usage.budget)
        turn->usage.budget = most;
    const Difference *difference = &usage->difference;
    if (!difference->exists || turn->usage.has_difference)
        return;
    turn->usage.has_difference = true;
    turn->usage.differs_at = difference->at;
    turn->usage.differs_had = str_copy(&turn->arena, str_of(difference->had));
    turn->usage.differs_has = str_copy(&turn->arena, str_of(difference->has));
}

/* Steps before `active` are completed, it is under way, the rest pending; PLAN_STEPS completes all. */
static void show_plan(Turn *turn, int active) {
    static const Str STEPS[PLAN_STEPS] = {STR_INIT("Find the places"), STR_INIT("Write and check the edits"),
                                          STR_INIT("Review"), STR_INIT("Apply")};
    for (int i = 0; i < PLAN_STEPS; i++)
        turn->plan[i] = (PlanEntry){STEPS[i], i < active    ? PLAN_COMPLETED
                                              : i == active ? PLAN_ACTIVE
                                                            : PLAN_PENDING};
    emit(turn, (TurnEvent){.kind = TURN_PLAN, .plan = turn->plan, .plan_count = PLAN_STEPS});
}

/* ---- files ---- */

static FileWork *add_file(Turn *turn, Path path) {
    FileWork *file = ARENA_NEW(&turn->arena, FileWork);
    file->path = path;
    file->language = language_of(path.relative);
    file->tool_id = turn_tool_id(turn);
    LIST_PUSH(&turn->arena, turn->files, turn->file_count, turn->file_capacity, file);
    return file;
}

static FileWork *known_file(Turn *turn, Str absolute) {
    for (size_t i = 0; i < turn->file_count; i++)
        if (str_eq(turn->files[i]->path.absolute, absolute))
            return turn->files[i];
    return NULL;
}

FileWork *turn_file(Turn *turn, Str given_path, Err *err) {
    Path path;
    if (!ws_path(turn->ws, given_path, &turn->arena, &path, err))
        return NULL;
    FileWork *file = known_file(turn, path.absolute);
    if (file)
        return file;
    FileText seen;
    if (!ws_read(turn->ws, path, &turn->arena, &seen, err))
        return NULL;
    file = add_file(turn, path);
    file->seen = seen;
    file->new_text = seen.text;
    return file;
}

FileWork *turn_new_file(Turn *turn, Str given_path, Err *err) {
    Path path;
    if (!ws_path(turn->ws, given_path, &turn->arena, &path, err))
        return NULL;
    FileWork *file = known_file(turn, path.absolute);
    if (file)
        return file;
    FileText seen;
    Err missing = {0};
    if (ws_read(turn->ws, path, &turn->arena, &seen, &missing)) {
        err_set(err, ERR_CONFLICT, "%.*s exists already", STR_ARG(path.relative));
        return NULL;
    }
    if (missing.code != ERR_NOT_FOUND) {
        *err = missing;
        return NULL;
    }
    file = add_file(turn, path);
    file->is_new = true;
    file->seen.text = S("");
    file->new_text = (Str){0};
    return file;
}

static bool is_path_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '/' || (unsigned char)c >= 0x80;
}

/* The request's paths are those of the listing; what git ignores is not in it. */
static bool is_in_prompt(const Turn *turn, Str relative) {
    Str text = turn->prompt;
    for (size_t at = 0; (at = str_find(text, relative, at)) != STR_NONE; at++) {
        bool begins = at == 0 || (!is_path_byte(text.ptr[at - 1]) && text.ptr[at - 1] != '.') ||
                      str_ends(str_slice(text, 0, at), S(" ./"));
        size_t end = at + relative.len;
        if (begins && (end == text.len || !is_path_byte(text.ptr[end])))
            return true;
    }
    return false;
}

bool turn_may_show(Turn *turn, Path path, Err *err) {
    for (size_t i = 0; i < turn->request.path_count; i++)
        if (str_eq(turn->request.paths[i], path.relative))
            return true;
    return !ws_is_ignored(turn->ws, path) || is_in_prompt(turn, path.relative) ||
           err_set(err, ERR_DENIED, "%.*s is ignored by git and only the user may show it",
                   STR_ARG(path.relative));
}

bool file_is_changed(const FileWork *file) {
    if (file->is_deleted || file->moved_to.absolute.len)
        return true;
    return file->is_new ? file->new_text.ptr != NULL : !str_eq(file->new_text, file->seen.text);
}

/* ---- steps ---- */

static bool open_workspace(Turn *turn, Err *err) {
    Session *s = turn->session;
    const PlannerConfig *limits = &s->planner->config;
    WorkspaceConfig config = {.root = s->cwd,
                              .extra_roots = s->extra_roots,
                              .extra_root_count = s->extra_root_count,
                              .read_only = turn->review == REVIEW_PLAN,
                              .backup_count = limits->backup_count,
                              .backup_days = limits->backup_days,
                              .backup_bytes = limits->backup_bytes,
                              .cancelled = &s->cancelled};
    turn->ws = ws_open(&config, s->io, err);
    return turn->ws && ws_list(turn->ws, &turn->arena, &turn->listing, err);
}

bool turn_open_chat(Turn *turn, Err *err) {
    Session *s = turn->session;
    pthread_mutex_lock(&s->lock);
    Str model = str_copy(&turn->arena, s->model);
    pthread_mutex_unlock(&s->lock);
    if (!s->chat || !str_eq(model, s->chat_model)) { /* another model reads what was said so far */
        Chat *chat = model_load_wait(turn, model, err) ? chat_open(s->planner->engine, model, err) : NULL;
        if (!chat)
            return false;
        chat_close(s->chat);
        s->chat = chat;
        pthread_mutex_lock(&s->lock);
        s->chat_model = str_copy(&s->arena, model);
        pthread_mutex_unlock(&s->lock);
    }
    turn->chat = s->chat;
    chat_set_thinking(s->chat, !session_options(s).is_terse);
    chat_clear_cancel(s->chat);
    atomic_store(&s->running_chat, s->chat);
    if (turn_is_cancelled(turn)) /* a cancel that came before the chat was known */
        chat_cancel(s->chat);
    return true;
}

static Str attachment_path(Str uri) {
    size_t fragment = str_find_char(uri, '#', 0);
    return fragment == STR_NONE ? uri : str_slice(uri, 0, fragment);
}

/* Attached files count as named in the request. */
static void add_attachments(Turn *turn) {
    Request *r = &turn->request;
    for (size_t i = 0; i < turn->attachment_count; i++) {
        Path path;
        Err err = {0};
        if (!ws_path(turn->ws, attachment_path(turn->attachments[i].uri), &turn->arena, &path, &err)) {
            if (!turn->attachments[i].has_text) /* else its text is shown */
                turn_thought(turn, str_printf(&turn->arena, "Attachment left out: %s\n", err.text));
            continue;
        }
        bool known = false;
        for (size_t j = 0; j < r->path_count && !known; j++)
            known = str_eq(r->paths[j], path.relative);
        if (known)
            continue;
        Str *paths = ARENA_ARRAY(&turn->arena, Str, r->path_count + 1);
        if (r->path_count)
            memcpy(paths, r->paths, r->path_count * sizeof *paths);
        paths[r->path_count++] = path.relative;
        r->paths = paths;
    }
}

static bool gather(Turn *turn, Err *err) {
    if (!open_workspace(turn, err))
        return false;
    request_read(turn->prompt, turn->listing.paths, turn->listing.count, &turn->arena, &turn->request);
    if (turn->request.text.len == 0)
        return err_set(err, ERR_INVALID, "the prompt is empty; say what to change");
    if (turn->listing.count == 0 && turn->attachment_count == 0)
        turn_thought(turn, S("This folder holds no files yet.\n"));
    add_attachments(turn);
    return turn_open_chat(turn, err);
}

static bool write_edits(Turn *turn, Err *err) {
    if (chat_card(turn->chat)->style != PROMPT_LABELS)
        return blocks_run(turn, err);
    Buf ignored = {0}; /* the user is told; this model would not understand */
    bool ok = written_compare(turn, &ignored, err) && labels_run(turn, err);
    buf_free(&ignored);
    return ok;
}

static size_t changed_files(const Turn *turn) {
    size_t n = 0;
    for (size_t i = 0; i < turn->file_count; i++)
        n += file_is_changed(turn->files[i]);
    return n;
}

static bool check_cancelled(const Turn *turn, Err *err) {
    return turn_is_cancelled(turn) ? err_set(err, ERR_CANCELLED, "cancelled") : true;
}

static bool run_steps(Turn *turn, Err *err) {
    show_plan(turn, PLAN_GATHER);
    if (!gather(turn, err) || !check_cancelled(turn, err))
        return false;
    show_plan(turn, PLAN_WRITE);
    if (!write_edits(turn, err) || !check_cancelled(turn, err))
        return false;
    bool wanted = changed_files(turn) && !(turn->must_be_whole && turn->problem_count);
    if (!wanted)
        return true;
    show_plan(turn, PLAN_REVIEW);
    if (!review_run(turn, err) || !check_cancelled(turn, err))
        return false;
    if (turn->review == REVIEW_PLAN || turn->kept_files == 0)
        return true;
    show_plan(turn, PLAN_APPLY);
    if (!review_apply(turn, err))
        return false;
    show_plan(turn, PLAN_STEPS);
    return true;
}

static void finish(Turn *turn, bool ok, const Err *err) {
    Session *s = turn->session;
    atomic_store(&s->running_chat, NULL);
    TurnDone done = {.stop = TURN_STOP_END,
                     .usage = turn->usage,
                     .unified_diff = turn->unified,
                     .files_changed = turn->kept_files,
                     .was_applied = turn->was_applied,
                     .backup_id = turn->backup_id,
                     .problems = turn->problems,
                     .problem_count = turn->problem_count,
                     .notes = turn->notes,
                     .note_count = turn->note_count,
                     .left_out = turn->left_out,
                     .left_out_count = turn->left_out_count};
    if (turn_is_cancelled(turn) && !turn->was_applied)
        done.stop = TURN_STOP_CANCELLED;
    else if (!ok) {
        done.stop = TURN_STOP_FAILED;
        done.error = *err;
    } else if (turn->has_hit_length && turn->kept_files == 0)
        done.stop = TURN_STOP_MAX_TOKENS;
    else if (turn->has_hit_requests)
        done.stop = TURN_STOP_MAX_REQUESTS;
    if (turn->usage.prompts) {
        s->last_usage = turn->usage;
        s->last_usage.differs_had = s->last_usage.differs_has = (Str){0}; /* they go with the turn */
        emit(turn, (TurnEvent){.kind = TURN_USAGE, .usage = &turn->usage});
    }
    emit(turn, (TurnEvent){.kind = TURN_DONE, .done = &done});
    ws_close(turn->ws);
    arena_free(&turn->arena);
    free(turn);
    pthread_mutex_lock(&s->lock);
    s->open_question = 0;
    s->is_busy = false;
    atomic_store(&s->cancelled, false); /* it was meant for this turn */
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void *turn_main(void *argument) {
    Turn *turn = argument;
    Err err = {0};
    Str rest;
    const SlashCommand *command = slash_find(turn->prompt, &rest);
    bool ok = command ? command->run(turn, rest, &err) : run_steps(turn, &err);
    if (ok && !command && !turn_is_cancelled(turn))
        report_turn(turn);
    finish(turn, ok, &err);
    return NULL;
}
