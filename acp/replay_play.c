/* A message is sent once the agent has said as much as it had when the client sent it then. What the log does
 * not hold, because it begins later or because the session came from a store that is not here, is made up: an
 * initialize, an empty session. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "acp/replay_internal.h"
#include "base/os.h"

/* Silence after which the agent is taken to wait for something that the log does not hold. */
#define SILENCE_MS 2000
/* The same while a prompt is open and nothing is asked of the client: a model may think. */
#define SILENCE_THINKING_MS 300000

/* ---- mapping the recorded names to those of now ---- */

Str player_map(Player *player, Str text) {
    size_t session = replay_session_index(&player->log, text);
    if (session < player->live.session_count)
        return player->live.sessions[session].id;
    size_t at = str_starts(text, S("file://")) ? 7 : 0;
    Str path = str_from(text, at);
    size_t i = replay_folder_of(player->recorded.folders, player->recorded.folder_count, path);
    if (i == STR_NONE)
        return text;
    return str_printf(&player->arena, "%.*s%.*s%.*s", STR_ARG(str_slice(text, 0, at)),
                      STR_ARG(player->now.folders[i]),
                      STR_ARG(str_from(path, player->recorded.folders[i].len)));
}

static Json *map_value(Player *player, const Json *value) {
    if (cJSON_IsString(value))
        return json_text(player_map(player, json_str_value(value)));
    if (!cJSON_IsArray(value) && !cJSON_IsObject(value))
        return cJSON_Duplicate(value, true);
    Json *made = cJSON_IsArray(value) ? json_array() : json_object();
    JSON_EACH(item, value) {
        Json *mapped = map_value(player, item);
        if (cJSON_IsArray(value))
            json_push(made, mapped);
        else
            json_put(made, item->string, mapped);
    }
    return made;
}

/* ---- sending ---- */

static void send_text(Player *player, Str line) {
    Err err = {0};
    if (player->is_gone || !os_write_all(player->to_agent, line, &err) ||
        !os_write_all(player->to_agent, S("\n"), &err))
        player->is_gone = true;
}

/* Programs that a log names are not started: no server is handed on. */
static void leave_out_servers(Json *params) {
    if (json_find(params, "mcpServers"))
        json_put(params, "mcpServers", json_array());
}

static void print_body(Player *player, const LogMessage *item, Buf *line) {
    if (!item->body) {
        buf_cstr(line, "null");
        return;
    }
    Json *mapped = map_value(player, item->body);
    if (item->kind == LOG_REQUEST && str_starts(item->method, S("session/")))
        leave_out_servers(mapped);
    json_print(mapped, line);
    json_free(mapped);
}

/* Remembers it among the live messages, so that answers find their requests. */
static void send_line(Player *player, Str line, bool is_extra) {
    Json *message = json_parse(line, NULL);
    if (message) {
        replay_log_add(&player->live, true, line, message);
        player->live.items[player->live.count - 1].is_extra = is_extra;
    }
    send_text(player, line);
}

/* Sends a message of the client. */
static void send_message(Player *player, const LogMessage *item, Str id) {
    if (item->kind == LOG_OTHER) {
        send_text(player, item->raw);
        return;
    }
    Buf line = {0};
    buf_cstr(&line, "{\"jsonrpc\":\"2.0\"");
    if (item->kind != LOG_NOTIFICATION)
        buf_printf(&line, ",\"id\":%.*s", STR_ARG(id));
    if (item->kind != LOG_ANSWER) {
        buf_cstr(&line, ",\"method\":");
        json_print_string(item->method, &line);
    }
    if (item->body || item->kind == LOG_ANSWER) {
        const char *key = item->kind != LOG_ANSWER ? "params" : item->is_error ? "error" : "result";
        buf_printf(&line, ",\"%s\":", key);
        print_body(player, item, &line);
    }
    buf_char(&line, '}');
    send_line(player, buf_text(&line), false);
    buf_free(&line);
}

/* ---- what the agent asks ---- */

static bool is_same_request(Player *player, const LogMessage *was, const LogMessage *is) {
    NameList was_tools = {0}, is_tools = {0};
    Json *a = replay_plain_body(&player->recorded, was, &was_tools, &player->arena);
    Json *b = replay_plain_body(&player->now, is, &is_tools, &player->arena);
    bool is_same = cJSON_Compare(a, b, true);
    json_free(a);
    json_free(b);
    return is_same;
}

/* The recorded request that a live one stands for: the same question, or else the next one of this method. */
static size_t match_request(Player *player, const LogMessage *live) {
    size_t next = STR_NONE;
    for (size_t i = 0; i < player->log.count; i++) {
        const LogMessage *item = &player->log.items[i];
        if (!replay_is_compared(&player->log, i) || item->kind != LOG_REQUEST || player->is_matched[i] ||
            !str_eq(item->method, live->method))
            continue;
        if (is_same_request(player, item, live))
            return i;
        if (next == STR_NONE)
            next = i;
    }
    return next;
}

/* The last answer that the same question has in the log: a terminal is looked at as often as time allows. */
static size_t last_answer(Player *player, const LogMessage *live) {
    for (size_t i = player->log.count; i-- > 0;) {
        const LogMessage *item = &player->log.items[i];
        if (!item->to_agent && item->kind == LOG_REQUEST && item->partner != STR_NONE &&
            str_eq(item->method, live->method) && is_same_request(player, item, live))
            return item->partner;
    }
    return STR_NONE;
}

static void answer_unforeseen(Player *player, const LogMessage *live) {
    size_t again = str_starts(live->method, S("terminal/")) ? last_answer(player, live) : STR_NONE;
    Str id = str_copy(&player->arena, live->id);
    if (again != STR_NONE)
        send_message(player, &player->log.items[again], id);
    else
        send_text(player,
                  str_printf(&player->arena,
                             "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":-32603,\"message\":"
                             "\"The log holds no answer to this.\"}}",
                             STR_ARG(id)));
}

static void take_line(Player *player, Str line) {
    Json *message = json_parse(line, NULL);
    if (!message)
        return;
    replay_log_add(&player->live, false, line, message);
    const LogMessage *live = &player->live.items[player->live.count - 1];
    if (live->kind != LOG_REQUEST)
        return;
    size_t recorded = match_request(player, live);
    if (recorded == STR_NONE) {
        answer_unforeseen(player, live);
        return;
    }
    player->is_matched[recorded] = true;
    player->asked_by[recorded] = player->live.count - 1;
}

static void answer_request(Player *player, size_t recorded) {
    const LogMessage *request = &player->log.items[recorded];
    player->is_answered[recorded] = true;
    send_message(player, &player->log.items[request->partner],
                 player->live.items[player->asked_by[recorded]].id);
}

/* Reads what the agent says for at most timeout_ms; false when nothing came. */
static bool listen_to(Player *player, int timeout_ms) {
    struct pollfd ready = {.fd = player->from_agent, .events = POLLIN};
    if (player->is_gone || poll(&ready, 1, timeout_ms) <= 0 || !buf_reserve(&player->inbox, 65536))
        return false;
    ssize_t n = read(player->from_agent, player->inbox.ptr + player->inbox.len, 65536);
    if (n <= 0) {
        player->is_gone = true;
        return false;
    }
    player->inbox.len += (size_t)n;
    for (size_t end; (end = str_find_char(buf_text(&player->inbox), '\n', 0)) != STR_NONE;) {
        take_line(player, str_slice(buf_text(&player->inbox), 0, end));
        buf_consume(&player->inbox, end + 1);
    }
    return true;
}

/* ---- how far the agent is ---- */

typedef struct Progress {
    size_t next; /* messages counted */
    size_t answers, requests, notices, text_bytes;
} Progress;

static void count_message(Progress *progress, const ReplayLog *log, size_t i) {
    const LogMessage *item = &log->items[i];
    if (!replay_is_compared(log, i))
        return;
    const Json *update = json_find(item->body, "update");
    Str text = json_str(json_find(update, "content"), "text");
    bool is_chunk = str_ends(json_str(update, "sessionUpdate"), S("_chunk"));
    bool is_polled = str_eq(item->method, S("terminal/output"));
    progress->answers += item->kind == LOG_ANSWER;
    progress->requests += item->kind == LOG_REQUEST && !is_polled;
    progress->notices += item->kind == LOG_NOTIFICATION && !is_chunk;
    progress->text_bytes += is_chunk ? text.len : 0;
}

static void count_up_to(Progress *progress, const ReplayLog *log, size_t end) {
    for (; progress->next < end; progress->next++)
        count_message(progress, log, progress->next);
}

static bool has_open_prompt(const ReplayLog *log, size_t end) {
    for (size_t i = 0; i < end; i++) {
        const LogMessage *item = &log->items[i];
        if (item->to_agent && item->kind == LOG_REQUEST &&
            (item->partner == STR_NONE || item->partner >= end))
            return true;
    }
    return false;
}

static bool has_reached(const Progress *then, bool is_open, const Progress *now) {
    bool has_said_all = now->notices >= then->notices && now->text_bytes >= then->text_bytes;
    return now->answers >= then->answers && now->requests >= then->requests &&
           (has_said_all || !is_open || now->answers > then->answers);
}

/* A live request whose recorded answer comes later in the log; STR_NONE when the agent waits for nothing of
 * ours. */
static size_t open_request(const Player *player) {
    for (size_t i = 0; i < player->log.count; i++)
        if (player->is_matched[i] && !player->is_answered[i] && player->log.items[i].partner != STR_NONE)
            return i;
    return STR_NONE;
}

/* No prompt is open, or the client had never answered what is asked now: no more will come. */
static bool is_waiting_for_nobody(const Player *player) {
    size_t prompts = 0, unanswerable = 0;
    for (size_t i = 0; i < player->live.count; i++) {
        const LogMessage *item = &player->live.items[i];
        prompts += item->to_agent && item->kind == LOG_REQUEST && item->partner == STR_NONE;
    }
    for (size_t i = 0; i < player->log.count; i++)
        unanswerable += player->is_matched[i] && player->log.items[i].partner == STR_NONE;
    return prompts == 0 || unanswerable > 0;
}

/* Until the agent has said as much as it had at message `end` of the log, or nothing more is to come. */
static void wait_for_agent(Player *player, Progress *then, Progress *now, size_t end) {
    count_up_to(then, &player->log, end);
    bool is_open = has_open_prompt(&player->log, end);
    double silent_since = os_monotonic_ms();
    while (!player->is_gone) {
        count_up_to(now, &player->live, player->live.count);
        if (has_reached(then, is_open, now))
            return;
        if (listen_to(player, 50)) {
            silent_since = os_monotonic_ms();
            continue;
        }
        double silence = os_monotonic_ms() - silent_since;
        size_t open = open_request(player);
        if (open != STR_NONE && silence > SILENCE_MS) {
            answer_request(player, open); /* it waits for us, in another order than then */
            silent_since = os_monotonic_ms();
        } else if (silence > (is_waiting_for_nobody(player) ? SILENCE_MS : SILENCE_THINKING_MS)) {
            return;
        }
    }
}

/* ---- what the log does not hold ---- */

/* Sends a request of our own and waits for its answer, which counts for nothing. */
static void ask_extra(Player *player, Str method, Json *params) {
    Buf line = {0};
    buf_printf(&line, "{\"jsonrpc\":\"2.0\",\"id\":\"extra-%zu\",\"method\":\"%.*s\",\"params\":",
               player->live.count, STR_ARG(method));
    json_print(params, &line);
    buf_char(&line, '}');
    size_t request = player->live.count;
    send_line(player, buf_text(&line), true);
    buf_free(&line);
    json_free(params);
    double began = os_monotonic_ms();
    while (!player->is_gone && request < player->live.count &&
           player->live.items[request].partner == STR_NONE && os_monotonic_ms() - began < SILENCE_THINKING_MS)
        listen_to(player, 50);
}

static bool asks_for(const ReplayLog *log, const char *method) {
    for (size_t i = 0; i < log->count; i++)
        if (!log->items[i].to_agent && str_eq(log->items[i].method, str_of(method)))
            return true;
    return false;
}

/* A client that could what the log shows it was asked for. */
static void make_up_initialize(Player *player) {
    const ReplayLog *log = &player->log;
    for (size_t i = 0; i < log->count; i++)
        if (log->items[i].to_agent && str_eq(log->items[i].method, S("initialize")))
            return;
    Json *params = json_object();
    json_put_int(params, "protocolVersion", 1);
    Json *can = json_put_object(params, "clientCapabilities"), *fs = json_put_object(can, "fs");
    json_put_bool(fs, "readTextFile", asks_for(log, "fs/read_text_file"));
    json_put_bool(fs, "writeTextFile", asks_for(log, "fs/write_text_file"));
    json_put_bool(can, "terminal", asks_for(log, "terminal/create"));
    if (asks_for(log, "elicitation/create"))
        json_put_object(json_put_object(can, "elicitation"), "form");
    ask_extra(player, S("initialize"), params);
}

/* The session that this message of the log is the first to know of, though it was made elsewhere. */
static size_t session_to_make_up(const Player *player, size_t i) {
    const LogMessage *item = &player->log.items[i];
    for (size_t k = player->live.session_count; k < player->log.session_count; k++) {
        const LogSession *session = &player->log.sessions[k];
        bool is_opened_here = item->partner != STR_NONE && session->begins_at == item->partner + 1 &&
                              str_eq(session->id, item->session);
        bool is_forked_here =
            item->partner != STR_NONE && str_eq(item->method, S("session/fork")) &&
            str_eq(session->id, json_str(player->log.items[item->partner].body, "sessionId"));
        if (item->kind == LOG_REQUEST && session->is_foreign &&
            (is_opened_here || is_forked_here || session->begins_at == i))
            return k;
    }
    return REPLAY_NO_SESSION;
}

/* True when this stands for the message: it opened a session that is not here. */
static bool make_up_session(Player *player, size_t i) {
    const LogMessage *item = &player->log.items[i];
    size_t k = session_to_make_up(player, i);
    if (k == REPLAY_NO_SESSION)
        return false;
    Str cwd = json_str(item->body, "cwd");
    Json *params = json_object();
    json_put_str(params, "cwd", cwd.len ? player_map(player, cwd) : player->now.folders[0]);
    json_put_array(params, "mcpServers");
    ask_extra(player, S("session/new"), params);
    if (k < player->live.session_count)
        player->live.sessions[k].is_foreign = true;
    return !str_eq(item->method, S("session/prompt"));
}

/* ---- playing ---- */

void player_play(Player *player) {
    Progress then = {0}, now = {0};
    make_up_initialize(player);
    for (size_t i = 0; i < player->log.count && !player->is_gone; i++) {
        const LogMessage *item = &player->log.items[i];
        if (!item->to_agent)
            continue;
        wait_for_agent(player, &then, &now, i);
        if (item->kind == LOG_REQUEST && make_up_session(player, i))
            continue;
        if (item->kind != LOG_ANSWER)
            send_message(player, item, item->id);
        else if (item->partner != STR_NONE && player->is_matched[item->partner] &&
                 !player->is_answered[item->partner])
            answer_request(player, item->partner);
    }
    wait_for_agent(player, &then, &now, player->log.count);
    close(player->to_agent);
    while (!player->is_gone)
        listen_to(player, -1);
}
