/* What the log tells of requests: one span each, from the line that asks to the line that answers, in both
 * directions. Methods need not care. */
#include <stdio.h>
#include <stdlib.h>

#include "acp/rpc_internal.h"
#include "base/log.h"

struct OpenSpan {
    OpenSpan *next;
    Span *span;
};

static Str session_of(const Json *params) {
    return json_str(params, "sessionId");
}

void rpc_span_begin(Peer *peer, Str method, const RpcMessage *message) {
    if (!log_is_on(LOG_WARN))
        return;
    log_scope(message->id.raw, session_of(message->params));
    bool is_request = message->id.raw.len > 0;
    Span *span = span_begin(is_request ? "request" : "notification", method, message->id.raw,
                            session_of(message->params));
    if (!span)
        return;
    OpenSpan *open = calloc(1, sizeof *open);
    if (!open)
        abort();
    open->span = span;
    pthread_mutex_lock(&peer->lock);
    open->next = peer->spans;
    peer->spans = open;
    pthread_mutex_unlock(&peer->lock);
}

/* The newest open span with this id; NULL when none is. */
static Span *take_span(Peer *peer, Str id) {
    Span *span = NULL;
    pthread_mutex_lock(&peer->lock);
    for (OpenSpan **place = &peer->spans; *place && !span;) {
        OpenSpan *open = *place;
        if (!span_has_id(open->span, id)) {
            place = &open->next;
            continue;
        }
        span = open->span;
        *place = open->next;
        free(open);
    }
    pthread_mutex_unlock(&peer->lock);
    return span;
}

void rpc_span_handled(Peer *peer, const RpcMessage *message) {
    log_scope(S(""), S(""));
    if (!message->id.raw.len && log_is_on(LOG_INFO))
        span_end(take_span(peer, S("")), S("done"));
}

void rpc_span_reply(Peer *peer, RpcId id, const Json *result) {
    if (!log_is_on(LOG_INFO))
        return;
    Str stop = json_str(result, "stopReason");
    span_end(take_span(peer, id.raw), stop.len ? stop : S("ok"));
}

void rpc_span_refuse(Peer *peer, RpcId id, RpcCode code) {
    if (!log_is_on(LOG_INFO))
        return;
    char outcome[32];
    snprintf(outcome, sizeof outcome, "error %d", (int)code);
    Span *span = take_span(peer, id.raw);
    /* A line that cannot be read is nobody's request, and still worth a line. */
    span_end(span ? span : span_begin("request", S("(unreadable)"), id.raw, S("")), str_of(outcome));
}

void rpc_spans_free(Peer *peer) {
    while (peer->spans) {
        OpenSpan *open = peer->spans;
        peer->spans = open->next;
        span_end(open->span, S("unanswered"));
        free(open);
    }
}

Span *rpc_span_call(const char *method, CallId id, const Json *params) {
    if (!log_is_on(LOG_INFO))
        return NULL;
    char raw[32];
    snprintf(raw, sizeof raw, "%llu", (unsigned long long)id);
    return span_begin("call", str_of(method), str_of(raw), session_of(params));
}

void rpc_span_answer(Span *span, const Json *result, const Json *error) {
    if (!span)
        return;
    char outcome[32] = "gone";
    if (error)
        snprintf(outcome, sizeof outcome, "error %lld", (long long)json_int(error, "code", 0));
    else if (result)
        snprintf(outcome, sizeof outcome, "ok");
    span_end(span, str_of(outcome));
}
