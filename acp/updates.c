#define _GNU_SOURCE
#include "acp/updates.h"

#include <stdlib.h>

#include "acp/v1.h"
#include "base/log.h"
#include "base/os.h"
#include "base/utf8.h"

/* One session/request_permission on its way. Owned by the call: freed by its reply function or by who forgets
 * it. */
struct OpenQuestion {
    Updates *updates;
    CallId call;
    uint64_t question;
};

void updates_init(Updates *updates, Peer *peer, Str session_id) {
    *updates = (Updates){.peer = peer, .session_id = session_id};
    pthread_mutexattr_t
        recursive; /* an answer may come while the question is being asked: the peer is gone */
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&updates->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
}

static void withdraw_question(Updates *updates) {
    pthread_mutex_lock(&updates->lock);
    OpenQuestion *question = updates->question;
    if (question && peer_withdraw(updates->peer, question->call)) {
        updates->question = NULL;
        free(question);
    }
    pthread_mutex_unlock(&updates->lock);
}

void updates_finish(Updates *updates) {
    withdraw_question(updates);
    buf_free(&updates->request_id);
    buf_free(&updates->text);
    pthread_mutex_destroy(&updates->lock);
}

bool updates_begin(Updates *updates, RpcId id) {
    pthread_mutex_lock(&updates->lock);
    bool is_free = !updates->has_prompt;
    if (is_free) {
        updates->has_prompt = true;
        updates->is_cancelled = false;
        buf_clear(&updates->request_id);
        buf_str(&updates->request_id, id.raw);
        buf_clear(&updates->text);
        updates->flushed_ms = 0;
    }
    pthread_mutex_unlock(&updates->lock);
    return is_free;
}

void updates_abandon(Updates *updates) {
    pthread_mutex_lock(&updates->lock);
    updates->has_prompt = false;
    buf_clear(&updates->text);
    pthread_mutex_unlock(&updates->lock);
}

bool updates_has_prompt(Updates *updates) {
    pthread_mutex_lock(&updates->lock);
    bool has = updates->has_prompt;
    pthread_mutex_unlock(&updates->lock);
    return has;
}

bool updates_is_prompt(Updates *updates, Str raw_request_id) {
    pthread_mutex_lock(&updates->lock);
    bool is = updates->has_prompt && str_eq(buf_text(&updates->request_id), raw_request_id);
    pthread_mutex_unlock(&updates->lock);
    return is;
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

void updates_tick(Updates *updates) {
    pthread_mutex_lock(&updates->lock);
    if (updates->has_prompt && updates->text.len &&
        os_monotonic_ms() - updates->flushed_ms >= UPDATES_FLUSH_MS)
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

static void take_decision(void *ctx, const Json *result, const Json *error) {
    OpenQuestion *question = ctx;
    Updates *updates = question->updates;
    pthread_mutex_lock(&updates->lock);
    if (updates->question == question)
        updates->question = NULL;
    pthread_mutex_unlock(&updates->lock);
    Decision decision = {.kind = DECISION_CANCELLED};
    if (result)
        decision.kind = v1_decision_of(result);
    else if (error)
        decision.kind = DECISION_REJECT_ONCE;
    if (error)
        log_line(LOG_WARN, "the client could not ask for permission: %.*s",
                 STR_ARG(json_str(error, "message")));
    turn_answer(updates->session, question->question, &decision);
    free(question);
}

static void ask(Updates *updates, const QuestionEvent *event) {
    OpenQuestion *question = calloc(1, sizeof *question);
    if (!question)
        abort();
    question->updates = updates;
    question->question = event->id;
    updates->question = question;
    peer_call(updates->peer, "session/request_permission", v1_permission_params(updates->session_id, event),
              take_decision, question, &question->call);
}

void updates_cancel(Updates *updates) {
    pthread_mutex_lock(&updates->lock);
    updates->is_cancelled = true;
    pthread_mutex_unlock(&updates->lock);
    withdraw_question(updates);
}

/* ---- the sink ---- */

static void answer_prompt(Updates *updates, const TurnDone *done) {
    RpcId id = {buf_text(&updates->request_id)};
    if (done->stop == TURN_STOP_FAILED && !updates->is_cancelled) {
        Json *data = json_object();
        json_put_str(data, "kind", str_of(err_name(done->error.code)));
        peer_refuse(updates->peer, id, RPC_INTERNAL_ERROR, str_of(done->error.text), data);
    } else {
        TurnStop stop = done->stop == TURN_STOP_FAILED ? TURN_STOP_CANCELLED : done->stop;
        Json *result = json_object();
        json_put_str(result, "stopReason", str_of(v1_stop_reason(stop)));
        peer_reply(updates->peer, id, result);
    }
    updates->has_prompt = false;
}

static void take_event(void *ctx, const TurnEvent *event) {
    Updates *updates = ctx;
    if (event->kind == TURN_DONE)
        withdraw_question(updates);
    pthread_mutex_lock(&updates->lock);
    if (event->kind == TURN_TEXT || event->kind == TURN_THOUGHT)
        add_text(updates, event->kind, event->text);
    else
        flush_text(updates, true);
    switch (event->kind) {
    case TURN_PLAN:
        peer_notify(updates->peer, "session/update",
                    v1_plan_update(updates->session_id, event->plan, event->plan_count));
        break;
    case TURN_TOOL:
        peer_notify(updates->peer, "session/update", v1_tool_update(updates->session_id, event->tool));
        break;
    case TURN_USAGE:
        if (event->usage->context_size)
            peer_notify(updates->peer, "session/update", v1_usage_update(updates->session_id, event->usage));
        break;
    case TURN_QUESTION: ask(updates, event->question); break;
    case TURN_DONE: answer_prompt(updates, event->done); break;
    case TURN_TEXT:
    case TURN_THOUGHT:
    case TURN_USER:
    case TURN_TITLE:
    case TURN_NOTICE:
    case TURN_COMPACTION: break;
    }
    pthread_mutex_unlock(&updates->lock);
}

TurnSink updates_sink(Updates *updates) {
    return (TurnSink){.ctx = updates, .event = take_event};
}
