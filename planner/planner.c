#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/os.h"
#include "planner/kept.h"
#include "planner/written.h"

Planner *planner_open(const PlannerConfig *config, Engine *engine, Err *err) {
    Planner *planner = calloc(1, sizeof *planner);
    if (!planner) {
        err_set(err, ERR_NO_MEMORY, "not enough memory to start");
        return NULL;
    }
    planner->config = *config;
    planner->engine = engine;
    planner->loads = model_loads_open(engine);
    pthread_mutex_init(&planner->lock, NULL);
    if (config->state_folder.len && !(planner->store = store_open(config->state_folder, &planner->keeping)))
        log_line(LOG_WARN, "sessions are not kept: %s", planner->keeping.text);
    return planner;
}

void planner_close(Planner *planner) {
    if (!planner)
        return;
    model_loads_close(planner->loads);
    store_close(planner->store);
    pthread_mutex_destroy(&planner->lock);
    free(planner);
}

static void enter(Session *s) {
    Planner *planner = s->planner;
    pthread_mutex_lock(&planner->lock);
    s->next_open = planner->sessions;
    planner->sessions = s;
    planner->stats.sessions_open++;
    pthread_mutex_unlock(&planner->lock);
}

static void leave(Session *s) {
    Planner *planner = s->planner;
    pthread_mutex_lock(&planner->lock);
    for (Session **place = &planner->sessions; *place; place = &(*place)->next_open) {
        if (*place == s) {
            *place = s->next_open;
            planner->stats.sessions_open--;
            break;
        }
    }
    pthread_mutex_unlock(&planner->lock);
}

Session *session_make(Planner *planner, const SessionConfig *config, FileIo io, Err *err) {
    WorkspaceConfig check = {.root = config->cwd, .read_only = true};
    Workspace *ws = ws_open(&check, io, err); /* says early when the folder cannot be used */
    if (!ws)
        return NULL;
    ws_close(ws);
    Session *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(err, ERR_NO_MEMORY, "not enough memory for a session");
        return NULL;
    }
    s->planner = planner;
    s->id = str_copy(&s->arena, config->id);
    s->cwd = str_copy(&s->arena, config->cwd);
    s->model = str_copy(&s->arena, config->model);
    s->title = S("");
    s->extra_roots = ARENA_ARRAY(&s->arena, Str, config->extra_root_count);
    for (size_t i = 0; i < config->extra_root_count; i++)
        s->extra_roots[i] = str_copy(&s->arena, config->extra_roots[i]);
    s->extra_root_count = config->extra_root_count;
    s->io = io;
    s->terminal = config->terminal;
    s->has_client_files = config->has_client_files;
    if (config->mcp_server_count)
        s->mcp = mcp_open(config->mcp_servers, config->mcp_server_count, s->cwd);
    s->review = config->review;
    s->grain = config->grain;
    s->is_terse = config->is_terse;
    s->next_question = 1;
    s->updated = os_unix_seconds();
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    enter(s);
    return s;
}

Session *session_open(Planner *planner, const SessionConfig *config, FileIo io, Err *err) {
    Session *s = session_make(planner, config, io, err);
    if (s)
        kept_put(s);
    return s;
}

static void join_thread(Session *s) {
    pthread_mutex_lock(&s->lock);
    bool has_thread = s->has_thread;
    s->has_thread = false;
    pthread_mutex_unlock(&s->lock);
    if (has_thread)
        pthread_join(s->thread, NULL);
}

static void wait_for_change(Session *s) {
    pthread_mutex_lock(&s->lock);
    while (s->is_in_use)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void session_close(Session *s) {
    if (!s)
        return;
    leave(s);
    turn_cancel(s);
    turn_wait(s);
    wait_for_change(s);
    join_thread(s);
    model_load_leave(s);
    chat_close(s->chat);
    mcp_close(s->mcp);
    history_free(&s->history);
    written_free(s);
    free(s->answer_ids);
    free(s->answer_text);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    arena_free(&s->arena);
    free(s);
}

Str session_id(const Session *s) {
    return s->id;
}

void session_set_review(Session *s, ReviewMode review) {
    pthread_mutex_lock(&s->lock);
    s->review = review;
    s->allows_all = s->rejects_all = false;
    pthread_mutex_unlock(&s->lock);
    kept_put(s);
}

ReviewMode session_review(Session *s) {
    return session_options(s).review;
}

SessionOptions session_options(Session *s) {
    pthread_mutex_lock(&s->lock);
    SessionOptions options = {
        .review = s->review, .grain = s->grain, .is_terse = s->is_terse, .model = s->model};
    pthread_mutex_unlock(&s->lock);
    return options;
}

void session_set_grain(Session *s, ReviewGrain grain) {
    pthread_mutex_lock(&s->lock);
    s->grain = grain;
    pthread_mutex_unlock(&s->lock);
    kept_put(s);
}

void session_set_terse(Session *s, bool is_terse) {
    pthread_mutex_lock(&s->lock);
    s->is_terse = is_terse;
    pthread_mutex_unlock(&s->lock);
    kept_put(s);
}

void session_set_news(Session *s, TurnSink sink) {
    pthread_mutex_lock(&s->lock);
    s->news = sink;
    pthread_mutex_unlock(&s->lock);
}

void session_set_model(Session *s, Str model) {
    pthread_mutex_lock(&s->lock);
    s->model = str_copy(&s->arena, model);
    pthread_mutex_unlock(&s->lock);
    model_load_begin(s, model);
    kept_put(s);
}

bool session_is_busy(Session *s) {
    pthread_mutex_lock(&s->lock);
    bool busy = s->is_busy;
    pthread_mutex_unlock(&s->lock);
    return busy;
}

static void copy_ask(Turn *turn, const Ask *ask) {
    turn->prompt = str_copy(&turn->arena, ask->text);
    turn->attachments = ARENA_ARRAY(&turn->arena, Attachment, ask->attachment_count);
    turn->attachment_count = ask->attachment_count;
    for (size_t i = 0; i < ask->attachment_count; i++)
        turn->attachments[i] = (Attachment){.uri = str_copy(&turn->arena, ask->attachments[i].uri),
                                            .text = str_copy(&turn->arena, ask->attachments[i].text),
                                            .has_text = ask->attachments[i].has_text,
                                            .first_line = ask->attachments[i].first_line,
                                            .last_line = ask->attachments[i].last_line};
}

static void *run_turn(void *argument) {
    Turn *turn = argument;
    Store *store = turn->session->planner->store;
    log_scope(S(""), turn->session->id);
    kept_turn_begins(turn);
    turn_main(turn);
    store_tidy(store);
    return NULL;
}

/* A turn that begins, or that could not. */
static void count_turn(Planner *planner, bool has_begun) {
    pthread_mutex_lock(&planner->lock);
    planner->stats.turns_running += has_begun ? 1 : (size_t)-1;
    pthread_mutex_unlock(&planner->lock);
}

bool turn_start(Session *s, const Ask *ask, TurnSink sink, Err *err) {
    pthread_mutex_lock(&s->lock);
    bool busy = s->is_busy || s->is_in_use;
    s->is_busy |= !busy;
    pthread_mutex_unlock(&s->lock);
    if (busy)
        return err_set(err, ERR_CONFLICT,
                       "this session is still working on the last prompt; cancel it or wait for its end");
    join_thread(s);
    Turn *turn = calloc(1, sizeof *turn);
    if (turn) {
        turn->session = s;
        s->turn++;
        turn->sink = sink;
        turn->review = session_review(s);
        turn->grain = session_options(s).grain;
        copy_ask(turn, ask);
        atomic_store(&s->cancelled, false);
        count_turn(s->planner, true);
        pthread_mutex_lock(&s->lock);
        s->updated = os_unix_seconds();
        s->has_thread = pthread_create(&s->thread, NULL, run_turn, turn) == 0;
        bool started = s->has_thread;
        pthread_mutex_unlock(&s->lock);
        if (started)
            return true;
        count_turn(s->planner, false);
        arena_free(&turn->arena);
        free(turn);
    }
    pthread_mutex_lock(&s->lock);
    s->is_busy = false;
    pthread_mutex_unlock(&s->lock);
    return err_set(err, ERR_NO_MEMORY, "cannot start a thread for the turn; close other programs and retry");
}

/* A copy; without memory for it the question counts as withdrawn. */
static void take_answer(Session *s, const Decision *decision) {
    free(s->answer_ids);
    free(s->answer_text);
    s->answer_ids = NULL;
    s->answer_text = NULL;
    s->answer = *decision;
    if (decision->has_text) {
        s->answer_text = malloc(decision->text.len + 1);
        if (s->answer_text && decision->text.len)
            memcpy(s->answer_text, decision->text.ptr, decision->text.len);
        s->answer.text.ptr = s->answer_text;
    } else if (decision->keep_ids) {
        s->answer_ids = calloc(decision->keep_count + 1, sizeof *s->answer_ids);
        if (s->answer_ids && decision->keep_count)
            memcpy(s->answer_ids, decision->keep_ids, decision->keep_count * sizeof *s->answer_ids);
        s->answer.keep_ids = s->answer_ids;
    }
    if ((decision->has_text && !s->answer_text) ||
        (!decision->has_text && decision->keep_ids && !s->answer_ids))
        s->answer = (Decision){.kind = DECISION_CANCELLED};
}

bool turn_answer(Session *s, uint64_t question, const Decision *decision) {
    pthread_mutex_lock(&s->lock);
    bool open = question != 0 && s->open_question == question && !s->is_answered;
    if (open) {
        take_answer(s, decision);
        s->is_answered = true;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    return open;
}

void turn_cancel(Session *s) {
    pthread_mutex_lock(&s->lock);
    if (s->is_busy || s->is_in_use) {
        atomic_store(&s->cancelled, true);
        Chat *chat = atomic_load(&s->running_chat);
        if (chat)
            chat_cancel(chat);
        mcp_interrupt(s->mcp);
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
}

void turn_wait(Session *s) {
    pthread_mutex_lock(&s->lock);
    while (s->is_busy)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

bool planner_context(Planner *planner, Str cwd, Str request, size_t most, Arena *arena, RankedFile **out,
                     size_t *count, Err *err) {
    (void)planner;
    WorkspaceConfig config = {.root = cwd, .read_only = true};
    Workspace *ws = ws_open(&config, file_io_disk(), err);
    if (!ws)
        return false;
    FileList listing;
    Ranking ranking = {0};
    bool ok = ws_list(ws, arena, &listing, err);
    if (ok) {
        Request read;
        request_read(str_copy(arena, request), listing.paths, listing.count, arena, &read);
        ok = context_rank(ws, &read, &listing, most, NULL, arena, &ranking, err);
    }
    ws_close(ws);
    *out = ranking.items;
    *count = ranking.count;
    return ok;
}
