/* Sessions that outlive the process: taken up again, forked, replayed, listed; and what a turn leaves. */
#include <string.h>

#include "base/log.h"
#include "base/os.h"
#include "base/utf8.h"
#include "planner/kept.h"
#include "planner/slash.h"

/* ---- keeping ---- */

void kept_put(Session *s) {
    pthread_mutex_lock(&s->lock);
    StoredSession row = {.id = s->id,
                         .cwd = s->cwd,
                         .title = s->title,
                         .model = s->model,
                         .extra_roots = s->extra_roots,
                         .extra_root_count = s->extra_root_count,
                         .review = s->review,
                         .grain = s->grain,
                         .is_terse = s->is_terse,
                         .turns = s->turn};
    pthread_mutex_unlock(&s->lock);
    store_put_session(s->planner->store, &row, NULL);
}

static void count_done(PlannerStats *stats, const TurnDone *done) {
    stats->turns_running--;
    stats->turns++;
    stats->turns_cancelled += done->stop == TURN_STOP_CANCELLED;
    stats->turns_failed += done->stop == TURN_STOP_FAILED;
    stats->prompts += done->usage.prompts;
    stats->prompt_tokens += done->usage.prompt_tokens;
    stats->cached_tokens += done->usage.cached_tokens;
    stats->output_tokens += done->usage.output_tokens;
    stats->files_changed += done->was_applied ? done->files_changed : 0;
}

void kept_event(Session *s, const TurnEvent *event) {
    Planner *planner = s->planner;
    if (event->kind == TURN_DONE || (event->kind == TURN_TOOL && event->tool->is_first)) {
        pthread_mutex_lock(&planner->lock);
        if (event->kind == TURN_DONE)
            count_done(&planner->stats, event->done);
        else
            planner->stats.tool_calls++;
        pthread_mutex_unlock(&planner->lock);
    }
    store_event(planner->store, s->id, s->turn, event);
}

/* The line that says what a text is about: blanks and control characters become one blank, and it is cut at
 * a word after at most `most` characters. */
static Str title_of(Str text, size_t most, Arena *arena) {
    Buf out = {0};
    size_t count = 0, last_word = 0;
    bool is_cut = false;
    text = str_trim(text);
    for (size_t at = 0; at < text.len;) {
        uint32_t c = utf8_next(text, &at);
        bool is_blank = c <= ' ' || c == 0x7f || c == 0xa0 || (c >= 0x2028 && c <= 0x2029);
        if (is_blank && (c == '\n' || c == '\r'))
            break;
        if (is_blank && (!out.len || out.ptr[out.len - 1] == ' '))
            continue;
        if (count == most) {
            is_cut = !is_blank;
            break;
        }
        if (is_blank)
            last_word = out.len;
        utf8_put(&out, is_blank ? ' ' : c);
        count++;
    }
    Str title = str_trim(str_slice(buf_text(&out), 0, is_cut && last_word ? last_word : out.len));
    title = str_copy(arena, title);
    buf_free(&out);
    return title;
}

static void set_title(Session *s, Str title) {
    pthread_mutex_lock(&s->lock);
    s->title = str_copy(&s->arena, title);
    pthread_mutex_unlock(&s->lock);
}

/* The first request gives a session its title; a command does not say what it is about. */
static void name_session(Turn *turn) {
    Session *s = turn->session;
    Str rest;
    pthread_mutex_lock(&s->lock);
    bool has_title = s->title.len > 0;
    pthread_mutex_unlock(&s->lock);
    if (has_title || slash_find(turn->prompt, &rest))
        return;
    Str title = title_of(turn->prompt, TITLE_CHARACTERS, &turn->arena);
    if (!title.len)
        return;
    set_title(s, title);
    Err err = {0};
    if (!store_set_title(s->planner->store, s->id, title, &err) && s->planner->store)
        log_line(LOG_WARN, "%s", err.text);
    turn_emit(turn, &(TurnEvent){.kind = TURN_TITLE, .text = title});
}

/* Another process may have gone on with this session meanwhile: what it counted is not counted again. */
static void count_on(Turn *turn) {
    Session *s = turn->session;
    StoredSession kept;
    if (store_turns(s->planner->store, s->id) < s->turn ||
        !store_get_session(s->planner->store, s->id, &turn->arena, &kept, NULL))
        return;
    pthread_mutex_lock(&s->lock);
    if (kept.turns >= s->turn)
        s->turn = kept.turns + 1;
    if (kept.next_tool > s->next_tool)
        s->next_tool = kept.next_tool;
    pthread_mutex_unlock(&s->lock);
}

void kept_turn_begins(Turn *turn) {
    Session *s = turn->session;
    Planner *planner = s->planner;
    count_on(turn);
    pthread_mutex_lock(&planner->lock);
    bool has_news = planner->keeping.code != ERR_NONE && !planner->has_told;
    planner->has_told = true;
    pthread_mutex_unlock(&planner->lock);
    kept_put(s);
    kept_event(s, &(TurnEvent){.kind = TURN_USER,
                               .text = turn->prompt,
                               .attachments = turn->attachments,
                               .attachment_count = turn->attachment_count});
    if (has_news) {
        Notice notice = {NOTICE_WARNING, S("Conversations are not kept"), str_of(planner->keeping.text)};
        turn_emit(turn, &(TurnEvent){.kind = TURN_NOTICE, .notice = &notice});
    }
    name_session(turn);
}

/* ---- taking up again ---- */

static bool take_history(Session *s, Err *err) {
    History *h = &s->history;
    Store *store = s->planner->store;
    if (!store_messages(store, s->id, &h->arena, &h->items, &h->count, err))
        return false;
    h->capacity = h->count;
    if (!store_files(store, s->id, &s->arena, &s->written, &s->written_count, err))
        return false;
    s->written_capacity = s->written_count;
    return true;
}

Session *session_restore(Planner *planner, const SessionConfig *config, FileIo io, Err *err) {
    Arena arena = {0};
    StoredSession kept;
    Session *s = NULL;
    if (store_get_session(planner->store, config->id, &arena, &kept, err)) {
        SessionConfig wanted = *config;
        wanted.review = kept.review;
        wanted.grain = kept.grain;
        wanted.is_terse = kept.is_terse;
        if (kept.model.len)
            wanted.model = kept.model;
        s = session_make(planner, &wanted, io, err);
    }
    if (s) {
        s->title = str_copy(&s->arena, kept.title);
        s->turn = kept.turns;
        s->next_tool = kept.next_tool;
        s->updated = kept.updated;
        if (take_history(s, err)) {
            kept_put(s); /* its folders may be others now */
        } else {
            session_close(s);
            s = NULL;
        }
    }
    arena_free(&arena);
    return s;
}

/* The open session with this id, with the planner's lock held: it cannot be closed meanwhile. */
static Session *find_open(Planner *planner, Str id) {
    for (Session *s = planner->sessions; s; s = s->next_open)
        if (str_eq(s->id, id))
            return s;
    return NULL;
}

Session *session_fork(Planner *planner, Str source, const SessionConfig *config, FileIo io, Err *err) {
    pthread_mutex_lock(&planner->lock);
    Session *open = find_open(planner, source);
    bool is_busy = open && session_is_busy(open);
    pthread_mutex_unlock(&planner->lock);
    if (is_busy) {
        err_set(err, ERR_CONFLICT, "the session is still working; cancel it or wait for its end");
        return NULL;
    }
    if (!store_copy_session(planner->store, source, config->id, err))
        return NULL;
    Session *s = session_restore(planner, config, io, err);
    if (!s)
        store_delete_session(planner->store, config->id, NULL);
    return s;
}

bool session_replay(Session *s, TurnSink sink, Err *err) {
    pthread_mutex_lock(&s->lock);
    bool is_free = !s->is_busy && !s->is_in_use;
    s->is_in_use |= is_free; /* no turn starts meanwhile */
    Str title = s->title;
    pthread_mutex_unlock(&s->lock);
    if (!is_free)
        return err_set(err, ERR_CONFLICT, "the session is still working; cancel it or wait for its end");
    bool ok = store_replay(s->planner->store, s->id, sink, err);
    if (ok && title.len)
        sink.event(sink.ctx, &(TurnEvent){.kind = TURN_TITLE, .text = title});
    pthread_mutex_lock(&s->lock);
    s->is_in_use = false;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

/* ---- without opening ---- */

bool planner_sessions(Planner *planner, Str cwd, Str cursor, size_t most, Arena *arena, SessionPage *out,
                      Err *err) {
    return store_list(planner->store, cwd, cursor, most, arena, out, err);
}

bool planner_forget(Planner *planner, Str id, Err *err) {
    return store_delete_session(planner->store, id, err);
}

bool planner_has_session(Planner *planner, Str id) {
    Arena arena = {0};
    StoredSession kept;
    bool has = store_get_session(planner->store, id, &arena, &kept, NULL);
    arena_free(&arena);
    return has;
}

bool planner_set_title(Planner *planner, Str id, Str title, Arena *arena, Str *kept, Err *err) {
    *kept = title_of(title, TITLE_CHARACTERS_MAX, arena);
    if (!kept->len)
        return err_set(err, ERR_INVALID, "a title needs at least one character");
    bool ok = store_set_title(planner->store, id, *kept, err);
    pthread_mutex_lock(&planner->lock);
    Session *open = find_open(planner, id);
    if (open && (ok || !planner->store)) {
        set_title(open, *kept);
        ok = true;
    }
    pthread_mutex_unlock(&planner->lock);
    return ok;
}

void session_info(Session *s, Arena *arena, SessionInfo *out) {
    Str *roots = ARENA_ARRAY(arena, Str, s->extra_root_count + 1);
    for (size_t i = 0; i < s->extra_root_count; i++)
        roots[i] = str_copy(arena, s->extra_roots[i]);
    pthread_mutex_lock(&s->lock);
    *out = (SessionInfo){.id = str_copy(arena, s->id),
                         .cwd = str_copy(arena, s->cwd),
                         .title = str_copy(arena, s->title),
                         .extra_roots = roots,
                         .extra_root_count = s->extra_root_count,
                         .updated = s->updated,
                         .turns = s->turn};
    pthread_mutex_unlock(&s->lock);
}

void planner_stats(Planner *planner, PlannerStats *out) {
    pthread_mutex_lock(&planner->lock);
    *out = planner->stats;
    pthread_mutex_unlock(&planner->lock);
}
