#define _GNU_SOURCE
#include "acp/updates.h"

#include "acp/v1.h"
#include "base/log.h"
#include "base/os.h"
#include "base/utf8.h"

void updates_init(Updates *updates, Peer *peer, Str session_id) {
    *updates = (Updates){.peer = peer, .session_id = session_id};
    pthread_mutex_init(&updates->lock, NULL);
}

static void withdraw_question(Updates *updates) {
    OpenQuestion *question = atomic_exchange(&updates->question, NULL);
    if (question)
        question_withdraw(question);
}

void updates_finish(Updates *updates) {
    withdraw_question(updates);
    buf_free(&updates->request_id);
    buf_free(&updates->text);
    pthread_mutex_destroy(&updates->lock);
}

/* ---- text; the lock is held ---- */

static void flush_text(Updates *updates, bool is_last) {
    Str text = buf_text(&updates->text);
    Str whole = str_slice(text, 0, is_last ? text.len : utf8_complete(text));
    updates->flushed_ms = os_monotonic_ms();
    if (!whole.len)
        return;
    peer_notify(updates->peer, "session/update",
                v1_text_update(updates->session_id, updates->text_kind, whole));
    buf_consume(&updates->text, whole.len);
}

static void add_text(Updates *updates, TurnEventKind kind, Str text) {
    if (updates->text.len && updates->text_kind != kind)
        flush_text(updates, true);
    updates->text_kind = kind;
    buf_str(&updates->text, text);
    if (os_monotonic_ms() - updates->flushed_ms >= UPDATES_FLUSH_MS)
        flush_text(updates, false);
}

/* ---- the open prompt ---- */

bool updates_begin(Updates *updates, RpcId id) {
    if (atomic_load(&updates->has_prompt))
        return false;
    buf_clear(&updates->request_id);
    buf_str(&updates->request_id, id.raw);
    pthread_mutex_lock(&updates->lock);
    flush_text(updates, true);
    updates->flushed_ms = 0;
    pthread_mutex_unlock(&updates->lock);
    atomic_store(&updates->is_cancelled, false);
    atomic_store(&updates->has_prompt, true);
    return true;
}

void updates_abandon(Updates *updates) {
    pthread_mutex_lock(&updates->lock);
    buf_clear(&updates->text);
    pthread_mutex_unlock(&updates->lock);
    atomic_store(&updates->has_prompt, false);
}

bool updates_has_prompt(Updates *updates) {
    return atomic_load(&updates->has_prompt);
}

bool updates_is_prompt(Updates *updates, Str raw_request_id) {
    return atomic_load(&updates->has_prompt) && str_eq(buf_text(&updates->request_id), raw_request_id);
}

void updates_tick(Updates *updates) {
    if (pthread_mutex_trylock(&updates->lock) != 0)
        return; /* the turn is sending this moment */
    if (updates->text.len && os_monotonic_ms() - updates->flushed_ms >= UPDATES_FLUSH_MS)
        flush_text(updates, false);
    pthread_mutex_unlock(&updates->lock);
}

void updates_say(Updates *updates, TurnEventKind kind, Str text) {
    pthread_mutex_lock(&updates->lock);
    add_text(updates, kind, text);
    flush_text(updates, true);
    pthread_mutex_unlock(&updates->lock);
}

/* ---- questions ---- */

static void end_question(void *ctx, OpenQuestion *question, uint64_t id, const Decision *decision) {
    Updates *updates = ctx;
    OpenQuestion *expected = question;
    if (atomic_compare_exchange_strong(&updates->question, &expected, NULL))
        question_release(question);
    turn_answer(updates->session, id, decision);
}

static void ask(Updates *updates, const QuestionEvent *event) {
    QuestionClient client = {.peer = updates->peer,
                             .session_id = updates->session_id,
                             .has_forms = updates->has_forms,
                             .ctx = updates,
                             .end = end_question};
    OpenQuestion *question = question_new(&client, event);
    atomic_store(&updates->question, question);
    question_ask(question);
}

void updates_cancel(Updates *updates) {
    atomic_store(&updates->is_cancelled, true);
    withdraw_question(updates);
}

/* ---- the sink ---- */

static void send(Updates *updates, Json *params) {
    peer_notify(updates->peer, "session/update", params);
}

/* After a cancel nothing but "cancelled" is an answer, also when the turn was about to end. The prompt is
 * over before the client can know, and ask the next. */
static void answer_prompt(Updates *updates, const TurnDone *done) {
    Arena arena = {0};
    RpcId id = {str_copy(&arena, buf_text(&updates->request_id))};
    bool is_cancelled = atomic_load(&updates->is_cancelled);
    atomic_store(&updates->has_prompt, false);
    if (done->stop == TURN_STOP_FAILED && !is_cancelled) {
        Json *data = json_object();
        json_put_str(data, "kind", str_of(err_name(done->error.code)));
        peer_refuse(updates->peer, id, RPC_INTERNAL_ERROR, str_of(done->error.text), data);
    } else {
        TurnStop stop = is_cancelled ? TURN_STOP_CANCELLED : done->stop;
        Json *result = json_object();
        json_put_str(result, "stopReason", str_of(v1_stop_reason(stop)));
        if (done->usage.prompts)
            json_put(json_put_object(result, "_meta"), "mux",
                     v1_usage_meta(&done->usage, done->left_out, done->left_out_count));
        peer_reply(updates->peer, id, result);
    }
    arena_free(&arena);
}

static void tell_notice(Updates *updates, const Notice *notice) {
    if (updates->shows_notices) {
        send(updates, v1_notice_update(updates->session_id, notice));
        return;
    }
    Arena arena = {0};
    bool has_more = notice->description.len > 0;
    Str text = str_printf(&arena, "%.*s%s%.*s", STR_ARG(notice->title), has_more ? ": " : "",
                          STR_ARG(notice->description));
    if (atomic_load(&updates->has_prompt)) {
        add_text(updates, TURN_THOUGHT, text);
        add_text(updates, TURN_THOUGHT, S("\n"));
    } else {
        log_line(notice->level == NOTICE_INFO ? LOG_INFO : LOG_WARN, "%.*s", STR_ARG(text));
    }
    arena_free(&arena);
}

static void tell_compaction(Updates *updates, const Compaction *compaction) {
    static const Str WORDS[] = {STR_INIT("What was said so far is being summed up, to make room.\n"),
                                STR_INIT("It is summed up.\n"), STR_INIT("It could not be summed up.\n"),
                                STR_INIT("It was not summed up.\n")};
    if (updates->shows_compaction)
        send(updates, v1_compaction_update(updates->session_id, compaction));
    else if (atomic_load(&updates->has_prompt))
        add_text(updates, TURN_THOUGHT, WORDS[compaction->status]);
}

/* The lock is held. */
static void tell(Updates *updates, const TurnEvent *event) {
    Str id = updates->session_id;
    switch (event->kind) {
    case TURN_TEXT:
    case TURN_THOUGHT:
    case TURN_USER: add_text(updates, event->kind, event->text); break;
    case TURN_PLAN: send(updates, v1_plan_update(id, event->plan, event->plan_count)); break;
    case TURN_TOOL: send(updates, v1_tool_update(id, event->tool)); break;
    case TURN_USAGE:
        if (event->usage->context_size)
            send(updates, v1_usage_update(id, event->usage));
        break;
    case TURN_TITLE: send(updates, v1_title_update(id, event->text)); break;
    case TURN_NOTICE: tell_notice(updates, event->notice); break;
    case TURN_COMPACTION: tell_compaction(updates, event->compaction); break;
    case TURN_QUESTION: ask(updates, event->question); break;
    case TURN_DONE:
        withdraw_question(updates);
        answer_prompt(updates, event->done);
        break;
    }
}

static void take_event(void *ctx, const TurnEvent *event) {
    Updates *updates = ctx;
    pthread_mutex_lock(&updates->lock);
    if (event->kind != TURN_TEXT && event->kind != TURN_THOUGHT)
        flush_text(updates, true);
    tell(updates, event);
    pthread_mutex_unlock(&updates->lock);
}

TurnSink updates_sink(Updates *updates) {
    return (TurnSink){.ctx = updates, .event = take_event};
}
