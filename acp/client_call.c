#define _GNU_SOURCE
#include "acp/client_call.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/os.h"

enum { MOST_WORDS = 300 };

struct ClientCalls {
    Peer *peer;
    double timeout_ms;
    pthread_mutex_t lock; /* guards cancelled_ms */
    pthread_cond_t changed;
    double cancelled_ms; /* 0: not cancelled */
};

enum { CALL_OPEN, CALL_ANSWERED, CALL_LEFT };

/* One call. Who moves it out of CALL_OPEN decides who frees it: the caller when it is answered, the answer
 * when the caller has left. */
typedef struct Waiter {
    ClientCalls *calls;
    atomic_int state;
    ClientAnswer answer;
    ClientCall call;
} Waiter;

static void free_waiter(Waiter *waiter) {
    if (waiter->call.free_late)
        waiter->call.free_late(waiter->call.late_ctx);
    free(waiter);
}

ClientCalls *client_calls_open(Peer *peer, double timeout_ms) {
    ClientCalls *calls = calloc(1, sizeof *calls);
    if (!calls)
        abort();
    calls->peer = peer;
    calls->timeout_ms = timeout_ms;
    pthread_mutex_init(&calls->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&calls->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return calls;
}

void client_calls_close(ClientCalls *calls) {
    if (!calls)
        return;
    pthread_cond_destroy(&calls->changed);
    pthread_mutex_destroy(&calls->lock);
    free(calls);
}

void client_calls_begin(ClientCalls *calls) {
    pthread_mutex_lock(&calls->lock);
    calls->cancelled_ms = 0;
    pthread_mutex_unlock(&calls->lock);
}

void client_calls_cancel(ClientCalls *calls) {
    pthread_mutex_lock(&calls->lock);
    if (calls->cancelled_ms == 0)
        calls->cancelled_ms = os_monotonic_ms();
    pthread_cond_broadcast(&calls->changed);
    pthread_mutex_unlock(&calls->lock);
}

void client_answer_free(ClientAnswer *answer) {
    json_free(answer->result);
    json_free(answer->error);
    *answer = (ClientAnswer){0};
}

static void take_answer(void *ctx, const Json *result, const Json *error) {
    Waiter *waiter = ctx;
    ClientCalls *calls = waiter->calls;
    waiter->answer.result = result ? cJSON_Duplicate(result, true) : NULL;
    waiter->answer.error = error ? cJSON_Duplicate(error, true) : NULL;
    /* An answered waiter may be freed at once; of one that was left, the calls may have ended. */
    int open = CALL_OPEN;
    if (atomic_load(&waiter->state) == CALL_OPEN) {
        pthread_mutex_lock(&calls->lock);
        bool was_open = atomic_compare_exchange_strong(&waiter->state, &open, CALL_ANSWERED);
        if (was_open)
            pthread_cond_broadcast(&calls->changed);
        pthread_mutex_unlock(&calls->lock);
        if (was_open)
            return;
    }
    if (waiter->answer.result)
        waiter->call.late(waiter->call.late_ctx, waiter->answer.result);
    client_answer_free(&waiter->answer);
    free_waiter(waiter);
}

static struct timespec time_at(double ms) {
    struct timespec at = {.tv_sec = (time_t)(ms / 1e3)};
    at.tv_nsec = (long)((ms - (double)at.tv_sec * 1e3) * 1e6);
    return at;
}

/* Waits until the call is answered (true), or waiting any longer makes no sense. end_ms 0: without end. */
static bool wait_for_answer(ClientCalls *calls, Waiter *waiter, double end_ms, double grace_ms) {
    pthread_mutex_lock(&calls->lock);
    bool is_over = false;
    while (atomic_load(&waiter->state) == CALL_OPEN && !is_over) {
        double end = end_ms;
        if (calls->cancelled_ms > 0 && (end == 0 || calls->cancelled_ms + grace_ms < end))
            end = calls->cancelled_ms + grace_ms;
        is_over = end > 0 && os_monotonic_ms() >= end;
        if (is_over)
            break;
        struct timespec at = time_at(end);
        if (end > 0)
            pthread_cond_timedwait(&calls->changed, &calls->lock, &at);
        else
            pthread_cond_wait(&calls->changed, &calls->lock);
    }
    pthread_mutex_unlock(&calls->lock);
    return !is_over;
}

/* True when the call was answered after all. */
static bool give_up(ClientCalls *calls, Waiter *waiter, CallId id) {
    pthread_mutex_lock(&calls->lock);
    int open = CALL_OPEN;
    bool has_left = waiter->call.late && atomic_compare_exchange_strong(&waiter->state, &open, CALL_LEFT);
    pthread_mutex_unlock(&calls->lock);
    if (has_left)
        return false;
    if (!waiter->call.late && peer_withdraw(calls->peer, id)) {
        free_waiter(waiter);
        return false;
    }
    return wait_for_answer(calls, waiter, 0, 1e12); /* it is being delivered this moment */
}

static bool was_cancelled(ClientCalls *calls) {
    pthread_mutex_lock(&calls->lock);
    bool is_cancelled = calls->cancelled_ms > 0;
    pthread_mutex_unlock(&calls->lock);
    return is_cancelled;
}

bool client_call(ClientCalls *calls, const ClientCall *call, ClientAnswer *answer, Err *err) {
    *answer = (ClientAnswer){0};
    Waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter)
        abort();
    *waiter = (Waiter){.calls = calls, .call = *call};
    double limit_ms = call->timeout_ms != 0 ? call->timeout_ms : calls->timeout_ms;
    double end_ms = limit_ms > 0 ? os_monotonic_ms() + limit_ms : 0;
    CallId id;
    peer_call(calls->peer, call->method, call->params, take_answer, waiter, &id);
    if (!wait_for_answer(calls, waiter, end_ms, call->grace_ms) && !give_up(calls, waiter, id)) {
        if (was_cancelled(calls))
            return err_set(err, ERR_CANCELLED, "the editor did not answer %s before the turn ended",
                           call->method);
        return err_set(err, ERR_LIMIT,
                       "the editor did not answer %s within %.0f seconds (--client-timeout sets how long)",
                       call->method, limit_ms / 1e3);
    }
    *answer = waiter->answer;
    free_waiter(waiter);
    if (answer->result || answer->error)
        return true;
    return err_set(err, ERR_CANCELLED, "the editor went away before it answered %s", call->method);
}

static void ignore_answer(void *ctx, const Json *result, const Json *error) {
    (void)ctx;
    (void)result;
    (void)error;
}

void client_tell(Peer *peer, const char *method, Json *params) {
    CallId id;
    peer_call(peer, method, params, ignore_answer, NULL, &id);
}

Str client_error_text(const Json *error, Arena *arena) {
    Str message = str_slice(json_str(error, "message"), 0, MOST_WORDS);
    const Json *data = json_find(error, "data");
    Str details = cJSON_IsString(data) ? json_str_value(data) : json_str(data, "details");
    details = str_slice(details, 0, MOST_WORDS);
    return str_printf(arena, "%.*s%s%.*s", STR_ARG(message), details.len ? ": " : "", STR_ARG(details));
}
