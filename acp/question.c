#define _GNU_SOURCE
#include "acp/question.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "acp/v1.h"
#include "base/log.h"

#define FORM_HUNKS 40   /* more ticks than that are several forms */
#define CONTEXT_LINES 3 /* around a hunk that is asked about alone */

struct OpenQuestion {
    QuestionClient client;
    uint64_t id;
    Arena arena;
    Json *params; /* of a question that is asked in one piece; NULL: hunk by hunk */
    V1HunkQuestion hunks;
    uint64_t *hunk_ids;
    bool *keep;
    size_t next, asked; /* hunks answered; of the call that runs */
    atomic_int holders; /* who made it, and its calls */

    pthread_mutex_t lock; /* guards the rest; recursive: a call to a client that is gone answers at once */
    CallId call;
    bool has_call, is_calling, is_cut_off, is_withdrawn;
};

/* ---- hunks ---- */

static Str context_before(Str text, size_t at) {
    size_t begin = at;
    for (int lines = 0; begin > 0; begin--)
        if (text.ptr[begin - 1] == '\n' && lines++ == CONTEXT_LINES)
            break;
    return str_slice(text, begin, at);
}

static Str context_after(Str text, size_t at) {
    size_t end = at;
    for (int lines = 0; end < text.len && lines < CONTEXT_LINES; end++)
        lines += text.ptr[end] == '\n';
    return str_slice(text, at, end);
}

static V1Hunk describe(Arena *arena, const ToolDiff *diff, const ToolHunk *hunk) {
    Str head = context_before(diff->old_text, hunk->old_begin);
    Str tail = context_after(diff->old_text, hunk->old_end);
    Str old_lines = str_slice(diff->old_text, hunk->old_begin, hunk->old_end);
    Str new_lines = str_slice(diff->new_text, hunk->new_begin, hunk->new_end);
    return (V1Hunk){.old_lines = str_copy(arena, old_lines),
                    .new_lines = str_copy(arena, new_lines),
                    .first_line = hunk->line,
                    .line_count = hunk->line_count,
                    .old_text = str_concat(arena, str_concat(arena, head, old_lines), tail),
                    .new_text = str_concat(arena, str_concat(arena, head, new_lines), tail)};
}

/* False when the question is better asked in one piece. */
static bool split_hunks(OpenQuestion *question, const QuestionEvent *event) {
    const ToolDiff *diff = event->tool.diffs;
    if (event->grain != GRAIN_HUNK || event->tool.diff_count != 1 || diff->hunk_count < 2 || !diff->hunks)
        return false;
    Arena *arena = &question->arena;
    V1Hunk *items = ARENA_ARRAY(arena, V1Hunk, diff->hunk_count);
    question->keep = ARENA_ARRAY(arena, bool, diff->hunk_count);
    question->hunk_ids = ARENA_ARRAY(arena, uint64_t, diff->hunk_count);
    for (size_t i = 0; i < diff->hunk_count; i++) {
        items[i] = describe(arena, diff, &diff->hunks[i]);
        question->hunk_ids[i] = diff->hunk_ids[i];
    }
    question->hunks = (V1HunkQuestion){.tool_id = str_copy(arena, event->tool.id),
                                       .path = str_copy(arena, diff->path),
                                       .relative = str_copy(arena, diff->relative),
                                       .hunks = items,
                                       .count = diff->hunk_count};
    return true;
}

OpenQuestion *question_new(const QuestionClient *client, const QuestionEvent *event) {
    OpenQuestion *question = calloc(1, sizeof *question);
    if (!question)
        abort();
    question->client = *client;
    question->id = event->id;
    atomic_init(&question->holders, 2);
    if (!split_hunks(question, event))
        question->params = v1_permission_params(client->session_id, event);
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&question->lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    return question;
}

void question_release(OpenQuestion *question) {
    if (atomic_fetch_sub(&question->holders, 1) > 1)
        return;
    json_free(question->params);
    pthread_mutex_destroy(&question->lock);
    arena_free(&question->arena);
    free(question);
}

static void end(OpenQuestion *question, Decision decision) {
    question->client.end(question->client.ctx, question, question->id, &decision);
    question_release(question);
}

static void end_hunks(OpenQuestion *question) {
    uint64_t *ids = ARENA_ARRAY(&question->arena, uint64_t, question->hunks.count);
    Decision decision = {.kind = DECISION_ALLOW_ONCE, .keep_ids = ids};
    for (size_t i = 0; i < question->hunks.count; i++)
        if (question->keep[i])
            ids[decision.keep_count++] = question->hunk_ids[i];
    if (!decision.keep_count)
        decision = (Decision){.kind = DECISION_REJECT_ONCE};
    end(question, decision);
}

/* ---- asking and hearing ---- */

static void take_answer(void *ctx, const Json *result, const Json *error);

static Json *next_params(OpenQuestion *question, const char **method) {
    const V1HunkQuestion *hunks = &question->hunks;
    *method = "session/request_permission";
    question->asked = 1;
    if (question->params) {
        Json *params = question->params;
        question->params = NULL;
        return params;
    }
    if (!question->client.has_forms)
        return v1_hunk_permission_params(question->client.session_id, hunks, question->next);
    *method = "elicitation/create";
    size_t left = hunks->count - question->next;
    question->asked = left < FORM_HUNKS ? left : FORM_HUNKS;
    return v1_hunk_form_params(question->client.session_id, hunks, question->next, question->asked);
}

void question_ask(OpenQuestion *question) {
    const char *method;
    pthread_mutex_lock(&question->lock);
    bool is_over = question->is_withdrawn;
    if (!is_over) {
        Json *params = next_params(question, &method);
        question->is_calling = true;
        peer_call(question->client.peer, method, params, take_answer, question, &question->call);
        question->has_call = true;
        question->is_calling = false;
        is_over = question->is_cut_off;
    }
    pthread_mutex_unlock(&question->lock);
    if (is_over)
        end(question, (Decision){.kind = DECISION_CANCELLED});
}

void question_withdraw(OpenQuestion *question) {
    pthread_mutex_lock(&question->lock);
    question->is_withdrawn = true;
    bool was_open = question->has_call && peer_withdraw(question->client.peer, question->call);
    pthread_mutex_unlock(&question->lock);
    if (was_open)
        question_release(question);
    question_release(question);
}

/* A client that says it has forms, and has not: its user is asked hunk by hunk. */
static bool can_go_on(OpenQuestion *question, const Json *error) {
    log_line(LOG_WARN, "the client could not ask its user: %.*s", STR_ARG(json_str(error, "message")));
    bool can = question->client.has_forms && question->hunks.count &&
               json_int(error, "code", 0) == RPC_METHOD_NOT_FOUND;
    question->client.has_forms = false;
    return can;
}

static void keep_all_from(OpenQuestion *question, bool is_kept) {
    while (question->next < question->hunks.count)
        question->keep[question->next++] = is_kept;
}

/* False: the user does not want to be asked any further; *decision is the end then. */
static bool take_form(OpenQuestion *question, const Json *result, Decision *decision) {
    V1FormAction action = v1_hunk_form_answer(result, question->next, question->asked, question->keep);
    question->next += question->asked;
    decision->kind = action == V1_FORM_CANCEL ? DECISION_CANCELLED : DECISION_REJECT_ONCE;
    return action == V1_FORM_ACCEPT;
}

static bool take_choice(OpenQuestion *question, const Json *result, Decision *decision) {
    switch (v1_hunk_choice_of(result)) {
    case V1_HUNK_KEEP: question->keep[question->next++] = true; break;
    case V1_HUNK_DROP: question->keep[question->next++] = false; break;
    case V1_HUNK_KEEP_REST: keep_all_from(question, true); break;
    case V1_HUNK_DROP_REST: keep_all_from(question, false); break;
    case V1_HUNK_CANCELLED: decision->kind = DECISION_CANCELLED; return false;
    }
    return true;
}

static void take_answer(void *ctx, const Json *result, const Json *error) {
    OpenQuestion *question = ctx;
    pthread_mutex_lock(&question->lock); /* until the call is wholly made */
    bool is_inside = question->is_calling;
    question->is_cut_off |= is_inside;
    bool is_over = question->is_withdrawn || (!result && !error);
    pthread_mutex_unlock(&question->lock);
    if (is_inside)
        return;
    Decision decision = {.kind = is_over ? DECISION_CANCELLED : DECISION_REJECT_ONCE};
    if (!is_over && error && can_go_on(question, error)) {
        question_ask(question);
        return;
    }
    if (is_over || error) {
        end(question, decision);
    } else if (!question->hunks.count) {
        decision.kind = v1_decision_of(result);
        end(question, decision);
    } else if (!(question->client.has_forms ? take_form(question, result, &decision)
                                            : take_choice(question, result, &decision))) {
        end(question, decision);
    } else if (question->next < question->hunks.count) {
        question_ask(question);
    } else {
        end_hunks(question);
    }
}
