/* The message side of a peer: what a line means, who answers it, which call an answer belongs to. */
#include "acp/rpc.h"

#include <stdlib.h>
#include <string.h>

#include "acp/rpc_internal.h"
#include "base/log.h"

static const RpcId NULL_ID = {STR_INIT("null")};

/* ---- raw JSON ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t skip_blanks(Str s, size_t at) {
    while (at < s.len && is_blank(s.ptr[at]))
        at++;
    return at;
}

/* From an opening quote to behind the closing one; s.len when unfinished. */
static size_t skip_string(Str s, size_t at) {
    for (at++; at < s.len; at++) {
        if (s.ptr[at] == '\\')
            at++;
        else if (s.ptr[at] == '"')
            return at + 1;
    }
    return s.len;
}

static size_t skip_value(Str s, size_t at) {
    size_t depth = 0;
    while (at < s.len) {
        char c = s.ptr[at];
        if (c == '"') {
            at = skip_string(s, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (depth == 0 && (c == ',' || is_blank(c))) {
            return at;
        } else {
            at++;
            continue; /* inside a number or word */
        }
        if (depth == 0)
            return at;
    }
    return s.len;
}

bool json_raw_member(Str object, const char *key, Str *raw) {
    size_t key_len = strlen(key);
    size_t at = skip_blanks(object, str_starts(object, S("\xEF\xBB\xBF")) ? 3 : 0);
    if (at >= object.len || object.ptr[at] != '{')
        return false;
    at++;
    for (;;) {
        at = skip_blanks(object, at);
        if (at >= object.len || object.ptr[at] != '"')
            return false;
        size_t key_end = skip_string(object, at);
        bool is_it = key_end - at == key_len + 2 && memcmp(object.ptr + at + 1, key, key_len) == 0;
        at = skip_blanks(object, key_end);
        if (at >= object.len || object.ptr[at] != ':')
            return false;
        at = skip_blanks(object, at + 1);
        size_t end = skip_value(object, at);
        if (is_it) {
            *raw = str_slice(object, at, end);
            return end < object.len && end > at;
        }
        at = skip_blanks(object, end);
        if (at >= object.len || object.ptr[at] != ',')
            return false;
        at++;
    }
}

static size_t skip_digits(Str s, size_t at) {
    while (at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9')
        at++;
    return at;
}

/* cJSON takes numbers that JSON does not (01, 1.); an id is echoed, so it must be right. */
static bool is_json_number(Str s) {
    size_t at = s.len && s.ptr[0] == '-' ? 1 : 0, begin = at;
    at = skip_digits(s, at);
    if (at == begin || (at - begin > 1 && s.ptr[begin] == '0'))
        return false;
    if (at < s.len && s.ptr[at] == '.') {
        begin = ++at;
        at = skip_digits(s, at);
        if (at == begin)
            return false;
    }
    if (at < s.len && (s.ptr[at] == 'e' || s.ptr[at] == 'E')) {
        at++;
        if (at < s.len && (s.ptr[at] == '+' || s.ptr[at] == '-'))
            at++;
        begin = at;
        at = skip_digits(s, at);
        if (at == begin)
            return false;
    }
    return at == s.len;
}

/* ---- sending ---- */

static void send_with_value(Peer *peer, Buf *head, Json *value, const char *tail) {
    if (value)
        json_print(value, head);
    else
        buf_cstr(head, "null");
    buf_cstr(head, tail);
    if (head->failed)
        log_line(LOG_ERROR, "no memory for an outgoing message; it is lost");
    else
        rpc_send(peer, buf_text(head));
    json_free(value);
    buf_free(head);
}

void peer_reply(Peer *peer, RpcId id, Json *result) {
    rpc_span_reply(peer, id, result);
    Buf line = {0};
    buf_cstr(&line, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_str(&line, id.raw);
    buf_cstr(&line, ",\"result\":");
    send_with_value(peer, &line, result, "}");
}

void peer_refuse(Peer *peer, RpcId id, RpcCode code, Str message, Json *data) {
    rpc_span_refuse(peer, id, code);
    pthread_mutex_lock(&peer->lock);
    peer->stats.refusals++;
    pthread_mutex_unlock(&peer->lock);
    Buf line = {0};
    buf_cstr(&line, "{\"jsonrpc\":\"2.0\",\"id\":");
    buf_str(&line, id.raw);
    buf_cstr(&line, ",\"error\":");
    Json *error = json_object();
    json_put_int(error, "code", code);
    json_put_str(error, "message", message);
    if (data)
        json_put(error, "data", data);
    send_with_value(peer, &line, error, "}");
}

void peer_notify(Peer *peer, const char *method, Json *params) {
    Buf line = {0};
    buf_printf(&line, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":", method);
    send_with_value(peer, &line, params, "}");
}

void peer_call(Peer *peer, const char *method, Json *params, ReplyFn reply, void *ctx, CallId *id) {
    PendingCall *call = calloc(1, sizeof *call);
    if (!call)
        abort();
    call->reply = reply;
    call->ctx = ctx;
    Buf line = {0};
    pthread_mutex_lock(&peer->lock);
    *id = call->id = peer->next_call++;
    buf_printf(&line,
               "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"%s\",\"params\":", (unsigned long long)call->id,
               method);
    bool is_refused = peer->calls_ended;
    if (!is_refused) {
        call->span = rpc_span_call(method, call->id, params);
        call->next = peer->calls;
        peer->calls = call;
    }
    pthread_mutex_unlock(&peer->lock);
    if (is_refused) {
        free(call);
        json_free(params);
        buf_free(&line);
        reply(ctx, NULL, NULL);
        return;
    }
    send_with_value(peer, &line, params, "}");
}

static PendingCall *take_call(Peer *peer, CallId id) {
    pthread_mutex_lock(&peer->lock);
    PendingCall **place = &peer->calls;
    while (*place && (*place)->id != id)
        place = &(*place)->next;
    PendingCall *call = *place;
    if (call)
        *place = call->next;
    pthread_mutex_unlock(&peer->lock);
    return call;
}

bool peer_forget(Peer *peer, CallId id) {
    PendingCall *call = take_call(peer, id);
    if (call)
        span_end(call->span, S("withdrawn"));
    free(call);
    return call != NULL;
}

bool peer_withdraw(Peer *peer, CallId id) {
    if (!peer_forget(peer, id))
        return false;
    Json *params = json_object();
    json_put_int(params, "requestId", (int64_t)id);
    peer_notify(peer, "$/cancel_request", params);
    return true;
}

void peer_end_calls(Peer *peer) {
    for (;;) {
        pthread_mutex_lock(&peer->lock);
        peer->calls_ended = true;
        PendingCall *call = peer->calls;
        if (call)
            peer->calls = call->next;
        pthread_mutex_unlock(&peer->lock);
        if (!call)
            return;
        rpc_span_answer(call->span, NULL, NULL);
        call->reply(call->ctx, NULL, NULL);
        free(call);
    }
}

/* ---- receiving ---- */

static void take_answer(Peer *peer, Str raw_id, const Json *result, const Json *error) {
    CallId id = 0;
    bool is_ours = raw_id.len > 0 && raw_id.len < 19;
    for (size_t i = 0; i < raw_id.len && is_ours; i++) {
        is_ours = raw_id.ptr[i] >= '0' && raw_id.ptr[i] <= '9';
        id = id * 10 + (CallId)(raw_id.ptr[i] - '0');
    }
    PendingCall *call = is_ours ? take_call(peer, id) : NULL;
    if (!call) {
        log_line(LOG_INFO, "an answer with the unknown id %.*s is ignored",
                 STR_ARG(str_slice(raw_id, 0, 40)));
        return;
    }
    rpc_span_answer(call->span, result, error);
    call->reply(call->ctx, result, error);
    free(call);
}

static void fail_answer(Peer *peer, Str raw_id, const char *problem) {
    Json *error = json_object();
    json_put_int(error, "code", RPC_PARSE_ERROR);
    json_put_str(error, "message", str_of(problem));
    take_answer(peer, raw_id, NULL, error);
    json_free(error);
}

/* A line that cannot be read may still be the answer that a turn waits for: it gets a failure instead of
 * silence. */
static bool take_broken_answer(Peer *peer, Str line, const char *problem) {
    Str id, ignored;
    if (!json_raw_member(line, "id", &id) || json_raw_member(line, "method", &ignored))
        return false;
    if (!is_json_number(id))
        return false;
    fail_answer(peer, id, problem);
    return true;
}

/* Whether the raw text is this very value, and not that of a second "id" behind a key spelled with escapes.
 */
static bool is_raw_of(Str raw, const Json *value) {
    Json *own = json_parse(raw, NULL);
    bool is_same = own && cJSON_Compare(own, value, true);
    json_free(own);
    return is_same;
}

static bool can_be_id(Str raw, const Json *value) {
    return cJSON_IsNull(value) || cJSON_IsString(value) || (cJSON_IsNumber(value) && is_json_number(raw));
}

/* The id of a request that cannot be read but for its beginning, so that nobody waits for its answer; else
 * null. */
static RpcId id_of_broken(Str line) {
    Str id, ignored;
    if (!json_raw_member(line, "id", &id) || !json_raw_member(line, "method", &ignored))
        return NULL_ID;
    Json *value = json_parse(id, NULL);
    bool is_id = value && is_raw_of(id, value) && can_be_id(id, value);
    json_free(value);
    return is_id ? (RpcId){id} : NULL_ID;
}

void rpc_line_too_long(Peer *peer, Str beginning) {
    static const char TEXT[] = "The message is longer than 32 MiB. Send smaller ones.";
    if (peer->tap.line) {
        pthread_mutex_lock(&peer->lock);
        peer->tap.line(peer->tap.ctx, true, S("(a line longer than 32 MiB)"));
        pthread_mutex_unlock(&peer->lock);
    }
    take_broken_answer(peer, beginning, "the answer is longer than 32 MiB");
    peer_refuse(peer, id_of_broken(beginning), RPC_INVALID_REQUEST, str_of(TEXT), NULL);
}

static const Method *find_method(const Peer *peer, Str name, MethodKind kind) {
    for (size_t i = 0; i < peer->method_count; i++)
        if (peer->methods[i]->kind == kind && str_eq(name, str_of(peer->methods[i]->name)))
            return peer->methods[i];
    return NULL;
}

static void dispatch(Peer *peer, Str method, const RpcMessage *message) {
    MethodKind kind = message->id.raw.len ? METHOD_REQUEST : METHOD_NOTIFICATION;
    const Method *found = find_method(peer, method, kind);
    rpc_span_begin(peer, method, message);
    if (found) {
        found->handle(peer->ctx, peer, message);
        rpc_span_handled(peer, message);
        return;
    }
    Arena arena = {0};
    int shown = method.len < 80 ? (int)method.len : 80;
    if (kind == METHOD_REQUEST)
        peer_refuse(peer, message->id, RPC_METHOD_NOT_FOUND,
                    str_printf(&arena, "There is no method \"%.*s\" here.", shown, method.ptr), NULL);
    else
        log_line(LOG_INFO, "the unknown notification \"%.*s\" is ignored", shown, method.ptr);
    rpc_span_handled(peer, message);
    arena_free(&arena);
}

/* The id's raw text: false when there is none; *is_valid says whether it is null, a number or a string. */
static bool find_id(Str line, const Json *object, Arena *arena, Str *raw, bool *is_valid) {
    const Json *value = json_find(object, "id");
    if (!value)
        return false;
    bool is_raw = json_raw_member(line, "id", raw);
    if (!is_raw || !is_raw_of(*raw, value)) {
        Buf text = {0};
        json_print(value, &text);
        *raw = buf_copy(&text, arena);
        buf_free(&text);
    }
    *is_valid = can_be_id(*raw, value);
    return true;
}

static void take_object(Peer *peer, Str line, const Json *object) {
    Arena arena = {0};
    Str raw_id = S("");
    bool is_valid_id = false;
    bool has_id = find_id(line, object, &arena, &raw_id, &is_valid_id);
    const Json *method = json_find(object, "method");
    RpcId answer_to = is_valid_id ? (RpcId){raw_id} : NULL_ID;
    const char *problem = NULL;
    if (!str_eq(json_str(object, "jsonrpc"), S("2.0"))) {
        problem = "The message does not say \"jsonrpc\":\"2.0\".";
        answer_to = NULL_ID;
    } else if (has_id && !is_valid_id) {
        problem = "The id must be a number, a string or null.";
    } else if (cJSON_IsString(method)) {
        RpcMessage message = {.id = {raw_id}, .params = json_find(object, "params"), .raw_params = S("")};
        json_raw_member(line, "params", &message.raw_params);
        dispatch(peer, json_str_value(method), &message);
    } else if (!method && has_id && (json_find(object, "result") || json_find(object, "error"))) {
        const Json *error = json_find(object, "error");
        const Json *result = json_find(object, "result");
        bool is_error = error && !cJSON_IsNull(error);
        if (is_error || result)
            take_answer(peer, raw_id, is_error ? NULL : result, is_error ? error : NULL);
        else
            fail_answer(peer, raw_id, "the answer holds neither a result nor an error");
    } else {
        problem = "The message is neither a request, a notification nor an answer.";
    }
    if (problem)
        peer_refuse(peer, answer_to, RPC_INVALID_REQUEST, str_of(problem), NULL);
    arena_free(&arena);
}

void rpc_take_line(Peer *peer, Str line) {
    if (str_ends(line, S("\r")))
        line.len--;
    if (str_trim(line).len == 0)
        return;
    pthread_mutex_lock(&peer->lock);
    peer->stats.messages_in++;
    peer->stats.bytes_in += line.len;
    if (peer->tap.line)
        peer->tap.line(peer->tap.ctx, true, line);
    pthread_mutex_unlock(&peer->lock);
    Err err = {0};
    Json *value = json_parse(line, &err);
    if (!value) {
        Arena arena = {0};
        bool is_json = err.code == ERR_UNSUPPORTED || err.code == ERR_LIMIT; /* but none that is taken */
        take_broken_answer(peer, line, err.text);
        peer_refuse(peer, is_json ? id_of_broken(line) : NULL_ID, RPC_PARSE_ERROR,
                    str_printf(&arena, "The line cannot be read: %s.", err.text), NULL);
        arena_free(&arena);
    } else if (cJSON_IsArray(value)) {
        peer_refuse(peer, NULL_ID, RPC_INVALID_REQUEST,
                    S("Batches are not part of the protocol; send one message a line."), NULL);
    } else if (!cJSON_IsObject(value)) {
        peer_refuse(peer, NULL_ID, RPC_INVALID_REQUEST, S("The line is not a JSON object."), NULL);
    } else {
        take_object(peer, line, value);
    }
    json_free(value);
}
