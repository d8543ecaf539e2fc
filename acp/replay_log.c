#include "acp/replay_log.h"

#include "acp/rpc.h"

/* What agents ask of clients; every other method goes to the agent. */
static const char *const CLIENT_METHODS[] = {
    "session/update", "session/request_permission", "fs/", "terminal/", "elicitation/", "mcp/"};

/* What an answer to a method holds; tells the directions of untagged answers with equal ids apart. */
static const struct {
    const char *method, *member;
} ANSWER_MEMBERS[] = {
    {"initialize", "protocolVersion"}, {"session/new", "sessionId"},
    {"session/prompt", "stopReason"},  {"session/request_permission", "outcome"},
    {"fs/read_text_file", "content"},  {"session/set_config_option", "configOptions"},
    {"session/fork", "sessionId"},     {"session/list", "sessions"},
    {"session/status", "status"},      {"session/set_title", "title"},
    {"terminal/create", "terminalId"}, {"terminal/output", "output"},
    {"elicitation/create", "action"},
};

/* Updates that come when they come: the last one of a session is compared, not where it stands. */
static const char *const STATES[] = {"available_commands_update", "session_info_update", "notice"};

void replay_log_free(ReplayLog *log) {
    json_free(log->root);
    arena_free(&log->arena);
    *log = (ReplayLog){0};
}

static Str print_copy(ReplayLog *log, const Json *value) {
    Buf text = {0};
    json_print(value, &text);
    Str copy = buf_copy(&text, &log->arena);
    buf_free(&text);
    return copy;
}

/* The open request with this id that went the other way. */
static size_t find_request(const ReplayLog *log, bool to_agent, Str id) {
    for (size_t i = log->count; i-- > 0;) {
        const LogMessage *item = &log->items[i];
        if (item->kind == LOG_REQUEST && item->to_agent != to_agent && item->partner == STR_NONE &&
            str_eq(item->id, id))
            return i;
    }
    return STR_NONE;
}

/* ---- sessions ---- */

size_t replay_session_index(const ReplayLog *log, Str id) {
    for (size_t i = 0; id.len && i < log->session_count; i++)
        if (str_eq(log->sessions[i].id, id))
            return i;
    return REPLAY_NO_SESSION;
}

static void add_session(ReplayLog *log, Str id, size_t begins_at, bool is_foreign) {
    LogSession session = {str_copy(&log->arena, id), begins_at, is_foreign, 0};
    if (id.len && replay_session_index(log, id) == REPLAY_NO_SESSION)
        LIST_PUSH(&log->arena, log->sessions, log->session_count, log->session_capacity, session);
}

static bool is_one_of(Str method, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(method, str_of(names[i])))
            return true;
    return false;
}

/* The agent answered well: which session is there now? */
static void note_answer(ReplayLog *log, size_t i) {
    static const char *const OPENING[] = {"session/load", "session/resume"};
    const LogMessage *answer = &log->items[i], *request = &log->items[answer->partner];
    Str asked = request->session;
    if (str_eq(answer->method, S("session/new")))
        add_session(log, json_str(answer->body, "sessionId"), 0, false);
    else if (str_eq(answer->method, S("session/fork")))
        add_session(log, json_str(answer->body, "sessionId"), 0,
                    replay_session_index(log, asked) == REPLAY_NO_SESSION);
    else if (is_one_of(answer->method, OPENING, 2))
        add_session(log, asked, i + 1, true);
}

/* Keeps the list of sessions; called for each message in order. A prompt in a session of which the log has
 * not seen the beginning is where that session begins here. */
static void note_session(ReplayLog *log, size_t i) {
    LogMessage *item = &log->items[i];
    bool has_answer = item->partner != STR_NONE;
    bool went_well = has_answer && !log->items[item->partner].is_error && !item->is_error;
    size_t k = replay_session_index(log, item->session);
    if (item->kind == LOG_ANSWER && !item->to_agent && went_well)
        note_answer(log, i);
    if (item->kind == LOG_REQUEST && item->to_agent && went_well && k == REPLAY_NO_SESSION &&
        str_eq(item->method, S("session/prompt")))
        add_session(log, item->session, i, true);
    if (k == REPLAY_NO_SESSION || !log->sessions[k].is_foreign)
        return;
    LogSession *session = &log->sessions[k];
    if (str_eq(item->method, S("session/load")))
        session->open_loads += item->kind == LOG_REQUEST                ? 1
                               : item->kind == LOG_ANSWER && has_answer ? -1UL
                                                                        : 0;
    item->is_history = session->open_loads > 0 && item->kind == LOG_NOTIFICATION;
}

bool replay_is_compared(const ReplayLog *log, size_t i) {
    const LogMessage *item = &log->items[i];
    if (item->to_agent || item->is_extra || item->is_history)
        return false;
    if (item->kind == LOG_ANSWER && item->partner == STR_NONE)
        return item->id.len == 0 || str_eq(item->id, S("null"));
    size_t k = replay_session_index(log, item->session);
    if (k != REPLAY_NO_SESSION && i < log->sessions[k].begins_at)
        return false;
    Str update = json_str(json_find(item->body, "update"), "sessionUpdate");
    bool is_foreign = k != REPLAY_NO_SESSION && log->sessions[k].is_foreign;
    return item->kind != LOG_NOTIFICATION || !(is_one_of(update, STATES, sizeof STATES / sizeof *STATES) ||
                                               (is_foreign && str_eq(update, S("usage_update"))));
}

/* ---- messages ---- */

static void push(ReplayLog *log, LogMessage message) {
    message.number = log->count + 1;
    message.partner = STR_NONE;
    message.session = str_copy(&log->arena, json_str(message.body, "sessionId"));
    if (message.kind == LOG_ANSWER) {
        message.session = S("");
        message.partner = find_request(log, message.to_agent, message.id);
        if (message.partner != STR_NONE) {
            LogMessage *request = &log->items[message.partner];
            request->partner = log->count;
            message.method = request->method;
            message.session = request->session;
            message.is_extra = request->is_extra;
        }
    }
    LIST_PUSH(&log->arena, log->items, log->count, log->capacity, message);
}

static void add_message(ReplayLog *log, bool to_agent, Str line, Json *message) {
    if (!log->root)
        log->root = json_array();
    json_push(log->root, message);
    LogMessage item = {.to_agent = to_agent, .kind = LOG_OTHER, .method = S(""), .id = S(""), .raw = S("")};
    const Json *id = json_find(message, "id"), *method = json_find(message, "method");
    const Json *error = json_find(message, "error");
    Str raw_id;
    if (id && line.len && json_raw_member(line, "id", &raw_id))
        item.id = str_copy(&log->arena, raw_id);
    else if (id)
        item.id = print_copy(log, id);
    item.method = json_str_value(method);
    if (cJSON_IsString(method)) {
        item.kind = id ? LOG_REQUEST : LOG_NOTIFICATION;
        item.body = json_find(message, "params");
    } else if (id && (error || json_find(message, "result"))) {
        item.kind = LOG_ANSWER;
        item.is_error = error && !cJSON_IsNull(error);
        item.body = item.is_error ? error : json_find(message, "result");
    }
    if (to_agent && (item.kind == LOG_OTHER || !str_eq(json_str(message, "jsonrpc"), S("2.0")))) {
        item.kind = LOG_OTHER;
        item.raw = line.len ? str_copy(&log->arena, line) : print_copy(log, message);
    }
    push(log, item);
}

void replay_log_add(ReplayLog *log, bool to_agent, Str line, Json *message) {
    add_message(log, to_agent, line, message);
    note_session(log, log->count - 1);
}

static void add_raw(ReplayLog *log, Str raw) {
    push(log, (LogMessage){.to_agent = true,
                           .kind = LOG_OTHER,
                           .id = S(""),
                           .method = S(""),
                           .raw = str_copy(&log->arena, raw)});
}

/* ---- the formats ---- */

static void add_own(ReplayLog *log, Str line, Json *entry) {
    Json *message = cJSON_DetachItemFromObjectCaseSensitive(entry, "msg");
    Str raw = S("");
    if (message && json_raw_member(line, "msg", &raw))
        add_message(log, str_eq(json_str(entry, "dir"), S("in")), raw, message);
    else if (str_eq(json_str(entry, "dir"), S("in")))
        add_raw(log, json_str(entry, "raw"));
    json_free(entry);
}

static bool add_copied_array(ReplayLog *log, const Json *array, Err *err) {
    size_t n = 0;
    JSON_EACH(entry, array) {
        n++;
        Str direction = json_str(entry, "_direction"), type = json_str(entry, "_type");
        if (str_eq(direction, S("stderr")))
            continue;
        if (!direction.len || !type.len)
            return err_set(err, ERR_INVALID, "entry %zu of the log has no _direction or _type", n);
        const Json *body = json_find(entry, "params"), *id = json_find(entry, "id");
        Json *message = json_object();
        json_put_str(message, "jsonrpc", S("2.0"));
        bool is_answer = str_eq(type, S("response"));
        bool is_error = is_answer && cJSON_IsNumber(json_find(body, "code")) && json_find(body, "message");
        if (!str_eq(type, S("notification")) && id)
            json_put(message, "id", cJSON_Duplicate(id, true));
        if (!is_answer)
            json_put_str(message, "method", json_str(entry, "method"));
        const char *key = !is_answer ? "params" : is_error ? "error" : "result";
        if (body || is_answer)
            json_put(message, key, body ? cJSON_Duplicate(body, true) : cJSON_CreateNull());
        add_message(log, str_eq(direction, S("outgoing")), S(""), message);
    }
    return true;
}

static bool fits_method(const Json *message, Str method) {
    const Json *result = json_find(message, "result");
    for (size_t i = 0; i < sizeof ANSWER_MEMBERS / sizeof *ANSWER_MEMBERS; i++)
        if (str_eq(method, str_of(ANSWER_MEMBERS[i].method)))
            return json_find(result, ANSWER_MEMBERS[i].member) != NULL;
    return true;
}

/* Where an untagged message went. */
static bool goes_to_agent(ReplayLog *log, const Json *message) {
    Str method = json_str(message, "method");
    if (method.len) {
        for (size_t i = 0; i < sizeof CLIENT_METHODS / sizeof *CLIENT_METHODS; i++)
            if (str_starts(method, str_of(CLIENT_METHODS[i])))
                return false;
        return !str_starts(method, S("$/")) ||
               find_request(log, true,
                            print_copy(log, json_find(json_find(message, "params"), "requestId"))) ==
                   STR_NONE;
    }
    const Json *id = json_find(message, "id");
    Str text = id ? print_copy(log, id) : S("");
    size_t ours = find_request(log, true, text), theirs = find_request(log, false, text);
    if (ours == STR_NONE || theirs == STR_NONE)
        return ours != STR_NONE;
    if (json_find(message, "result") &&
        fits_method(message, log->items[ours].method) != fits_method(message, log->items[theirs].method))
        return fits_method(message, log->items[ours].method);
    return ours > theirs;
}

static bool add_line(ReplayLog *log, Str line, size_t number, Err *err) {
    Json *entry = json_parse(line, err);
    if (!entry)
        return err_wrap(err, "line %zu of the log", number);
    if (json_find(entry, "dir")) {
        add_own(log, line, entry);
    } else if (json_find(entry, "jsonrpc")) {
        add_message(log, goes_to_agent(log, entry), line, entry);
    } else {
        json_free(entry);
        return err_set(err, ERR_INVALID, "line %zu of the log is no message of a kind that is known here",
                       number);
    }
    return true;
}

bool replay_log_read(Str text, ReplayLog *out, Err *err) {
    *out = (ReplayLog){0};
    bool ok = true;
    if (str_starts(str_trim(text), S("["))) {
        Json *array = json_parse(text, err);
        ok = array && add_copied_array(out, array, err);
        json_free(array);
    } else {
        Str line;
        for (size_t number = 1; ok && str_next_line(&text, &line); number++)
            if (str_trim(line).len)
                ok = add_line(out, str_trim(line), number, err);
    }
    for (size_t i = 0; ok && i < out->count; i++)
        note_session(out, i);
    if (ok && out->count == 0)
        return err_set(err, ERR_INVALID, "the log holds no message");
    return ok;
}
