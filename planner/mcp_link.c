/* Messages to and from one MCP server: JSON-RPC 2.0, one message a line. */
#include "planner/mcp_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/os.h"
#include "base/utf8.h"

#define SMALL_WRITE_MS 2000 /* for messages that nobody waits for */
#define DRAIN_MOST 1000     /* lines taken although the time is over: they are there already */
#define MOST_ITEMS 1000     /* of a batch */

/* ---- the program ---- */

static void hear_error_line(void *ctx, Str line) {
    McpPeer *peer = ctx;
    line = str_trim(line);
    if (line.len == 0)
        return;
    Buf text = {0};
    utf8_repair(str_slice(line, 0, sizeof peer->last_words - 1), &text);
    Str words = str_slice(buf_text(&text), 0, sizeof peer->last_words - 1);
    words.len = utf8_complete(words);
    snprintf(peer->last_words, sizeof peer->last_words, "%.*s", STR_ARG(words));
    buf_free(&text);
    log_line(LOG_INFO, PEER_FORMAT " says: %s", PEER_ARG(peer), peer->last_words);
}

static void set_process(McpPeer *peer, Process *process) {
    pthread_mutex_lock(&peer->clients->lock);
    peer->process = process;
    pthread_mutex_unlock(&peer->clients->lock);
}

void link_stop(McpPeer *peer) {
    Process *process = peer->process;
    set_process(peer, NULL);
    process_stop(process);
    peer->phase = MCP_STOPPED;
    peer->check_id = 0;
    peer->is_broken = false;
}

bool link_start(McpPeer *peer, const atomic_bool *cancelled, Err *err) {
    static const char hello[] = "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"roots\":{}},"
                                "\"clientInfo\":{\"name\":\"mux\",\"title\":\"Mux\",\"version\":\"1\"}";
    peer->starts++;
    peer->started = os_monotonic_ms();
    peer->is_modern = false;
    peer->is_stale = true;
    peer->last_words[0] = peer->refusal[0] = 0;
    peer->config.ctx = peer;
    peer->config.stderr_line = hear_error_line;
    Process *process = process_start(&peer->config, err);
    if (!process)
        return false;
    set_process(peer, process);
    peer->phase = MCP_STARTING;
    double until = peer->started + peer->clients->start_ms;
    peer->start_id = link_request(peer, "initialize", str_of(hello), until, cancelled, err);
    if (!peer->start_id)
        link_stop(peer);
    return peer->start_id != 0;
}

/* The program is of no use any more: says why, with what it said last. */
static bool lose(McpPeer *peer, Err *err) {
    if (err && peer->last_words[0]) {
        size_t length = strlen(err->text);
        snprintf(err->text + length, sizeof err->text - length, ": %s", peer->last_words);
    }
    if (err)
        err->code = ERR_IO;
    link_stop(peer);
    return false;
}

/* ---- sending ---- */

/* It takes no input: how it ended says more than that. */
static bool lose_writing(McpPeer *peer, Err *why) {
    Str line;
    Err end = {0};
    for (int i = 0; i < DRAIN_MOST && process_read_line(peer->process, 100, &line, &end); i++)
        continue;
    if (end.code == ERR_IO)
        *why = end;
    return lose(peer, why);
}

static bool send_text(McpPeer *peer, Buf *text, double until, const atomic_bool *cancelled, Err *err) {
    Err why = {0};
    bool ok = false;
    if (peer->process)
        process_forget_interrupts(peer->process);
    if (cancelled && atomic_load(cancelled))
        err_set(&why, ERR_CANCELLED, "writing to " PEER_FORMAT " was cancelled", PEER_ARG(peer));
    else if (text->failed)
        err_set(&why, ERR_NO_MEMORY, "no memory for a message to " PEER_FORMAT, PEER_ARG(peer));
    else if (!peer->process || peer->is_broken)
        err_set(&why, ERR_IO, PEER_FORMAT " does not run", PEER_ARG(peer));
    else if (process_write(peer->process, buf_text(text), fmax(until - os_monotonic_ms(), 0), &why))
        ok = true;
    else if (why.code == ERR_IO)
        lose_writing(peer, &why);
    else
        peer->is_broken = true;
    buf_free(text);
    if (!ok && err)
        *err = why;
    return ok;
}

static void put_meta(Buf *text) {
    buf_cstr(text, "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
                   "\"io.modelcontextprotocol/clientInfo\":{\"name\":\"mux\",\"version\":\"1\"},"
                   "\"io.modelcontextprotocol/clientCapabilities\":{}}");
}

static bool send_message(McpPeer *peer, uint64_t id, const char *method, Str members, double until,
                         const atomic_bool *cancelled, Err *err) {
    Buf text = {0};
    buf_cstr(&text, "{\"jsonrpc\":\"2.0\",");
    if (id)
        buf_printf(&text, "\"id\":%llu,", (unsigned long long)id);
    buf_printf(&text, "\"method\":\"%s\"", method);
    bool has_meta = id && peer->is_modern;
    if (members.len || has_meta) {
        buf_cstr(&text, ",\"params\":{");
        buf_str(&text, members);
        if (members.len && has_meta)
            buf_char(&text, ',');
        if (has_meta)
            put_meta(&text);
        buf_char(&text, '}');
    }
    buf_char(&text, '}');
    return send_text(peer, &text, until, cancelled, err);
}

uint64_t link_request(McpPeer *peer, const char *method, Str members, double until,
                      const atomic_bool *cancelled, Err *err) {
    uint64_t id = ++peer->last_id;
    return send_message(peer, id, method, members, until, cancelled, err) ? id : 0;
}

bool link_notify(McpPeer *peer, const char *method, Err *err) {
    return send_message(peer, 0, method, S(""), os_monotonic_ms() + SMALL_WRITE_MS, NULL, err);
}

void link_give_up(McpPeer *peer, uint64_t id, const char *reason) {
    char members[120];
    snprintf(members, sizeof members, "\"requestId\":%llu,\"reason\":\"%s\"", (unsigned long long)id, reason);
    if (!send_message(peer, 0, "notifications/cancelled", str_of(members), 0, NULL, NULL))
        return;
    uint64_t check = link_request(peer, "ping", S(""), 0, NULL, NULL);
    if (check && !peer->check_id) {
        peer->check_id = check;
        peer->check_sent = os_monotonic_ms();
    }
}

/* ---- what the server asks and tells ---- */

static void put_file_uri(Str path, Buf *out) {
    buf_cstr(out, "file://");
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        if (c < 0x80 && (isalnum(c) || strchr("/-._~", c)))
            buf_char(out, (char)c);
        else
            buf_printf(out, "%%%02X", c);
    }
}

static void put_roots(const McpPeer *peer, Buf *text) {
    Buf uri = {0};
    Str cwd = peer->clients->cwd;
    size_t slash = str_rfind_char(cwd, '/');
    put_file_uri(cwd, &uri);
    buf_cstr(text, "\"result\":{\"roots\":[{\"uri\":");
    json_print_string(buf_text(&uri), text);
    buf_cstr(text, ",\"name\":");
    json_print_string(slash == STR_NONE ? cwd : str_from(cwd, slash + 1), text);
    buf_cstr(text, "}]}}");
    buf_free(&uri);
}

static void answer_request(McpPeer *peer, Str method, const Json *id) {
    Buf text = {0};
    buf_cstr(&text, "{\"jsonrpc\":\"2.0\",\"id\":");
    json_print(id, &text);
    buf_char(&text, ',');
    if (str_eq(method, S("ping"))) {
        buf_cstr(&text, "\"result\":{}}");
    } else if (str_eq(method, S("roots/list"))) {
        put_roots(peer, &text);
    } else {
        buf_cstr(&text, "\"error\":{\"code\":-32601,\"message\":\"This client does not offer ");
        Buf name = {0};
        json_print_string(str_slice(method, 0, 100), &name);
        if (name.len > 2)
            buf_append(&text, name.ptr + 1, name.len - 2);
        buf_free(&name);
        buf_cstr(&text, ".\"}}");
    }
    Err err = {0};
    if (!send_text(peer, &text, os_monotonic_ms() + SMALL_WRITE_MS, NULL, &err))
        log_line(LOG_INFO, PEER_FORMAT " got no answer: %s", PEER_ARG(peer), err.text);
}

static void hear_notification(McpPeer *peer, Str method, const Json *params) {
    if (str_eq(method, S("notifications/tools/list_changed"))) {
        peer->is_stale = true;
    } else if (str_eq(method, S("notifications/message"))) {
        Buf data = {0};
        const Json *value = json_find(params, "data");
        if (value)
            json_print(value, &data);
        log_line(LOG_INFO, PEER_FORMAT " says: %.*s", PEER_ARG(peer), STR_ARG(buf_text(&data)));
        buf_free(&data);
    }
}

/* One message; true when it is the answer to id. */
static bool take_message(McpPeer *peer, const Json *message, uint64_t id) {
    const Json *method = json_find(message, "method"), *message_id = json_find(message, "id");
    if (cJSON_IsString(method)) {
        if (cJSON_IsNumber(message_id) || cJSON_IsString(message_id))
            answer_request(peer, json_str_value(method), message_id);
        else
            hear_notification(peer, json_str_value(method), json_find(message, "params"));
        return false;
    }
    bool is_answer = json_find(message, "result") || json_find(message, "error");
    double number = cJSON_IsNumber(message_id) ? message_id->valuedouble : 0;
    if (is_answer && number > 0 && number == (double)peer->check_id)
        peer->check_id = 0;
    if (is_answer && id && number == (double)id)
        return true;
    log_line(LOG_DEBUG, PEER_FORMAT " sent a message that nobody waits for", PEER_ARG(peer));
    return false;
}

/* ---- reading ---- */

/* What servers get wrong inside strings: bytes that are no UTF-8, and \u0000. */
static Json *parse_leniently(Str line, Err *err) {
    Json *message = json_parse(line, err);
    if (message || line.len == 0 || (line.ptr[0] != '{' && line.ptr[0] != '['))
        return message;
    Buf text = {0}, repaired = {0};
    utf8_repair(line, &repaired);
    Str rest = buf_text(&repaired);
    for (size_t at = 0; at < rest.len; at++) {
        buf_char(&text, rest.ptr[at]);
        if (rest.ptr[at] != '\\' || at + 1 == rest.len)
            continue;
        bool is_zero = str_starts(str_from(rest, at + 1), S("u0000"));
        buf_str(&text, is_zero ? S("ufffd") : str_slice(rest, at + 1, at + 2));
        at += is_zero ? 5 : 1;
    }
    if (!text.failed)
        message = json_parse(buf_text(&text), err);
    buf_free(&text);
    buf_free(&repaired);
    return message;
}

/* The text of an answer that cannot be read may still say which one it is. */
static bool names_id(Str line, uint64_t id) {
    char member[2][40];
    snprintf(member[0], sizeof member[0], "\"id\":%llu,", (unsigned long long)id);
    snprintf(member[1], sizeof member[1], "\"id\": %llu,", (unsigned long long)id);
    return id && line.len && line.ptr[0] == '{' &&
           (str_contains(line, str_of(member[0])) || str_contains(line, str_of(member[1])));
}

static void skip_line(McpPeer *peer, Str line, const Err *why) {
    log_line(peer->has_garbage ? LOG_DEBUG : LOG_WARN,
             PEER_FORMAT " wrote a line that is no message (%s); it is skipped: %.*s", PEER_ARG(peer),
             why->text, STR_ARG(str_slice(line, 0, 200)));
    peer->has_garbage = true;
}

/* One line: *answer is set when it holds the answer to id. False: it cannot be read and is that answer. */
static bool take_line(McpPeer *peer, Str line, uint64_t id, Json **answer, Err *err) {
    Err why = {0};
    if (str_trim(line).len == 0)
        return true;
    Json *root = parse_leniently(str_trim(line), &why);
    if (!root) {
        if (names_id(line, id))
            return err_set(err, ERR_INVALID, PEER_FORMAT " sent an answer that cannot be read: %s",
                           PEER_ARG(peer), why.text);
        skip_line(peer, line, &why);
        return true;
    }
    if (cJSON_IsArray(root)) { /* batches: revision 2025-03-26 knew them */
        size_t left = MOST_ITEMS;
        for (Json *item = root->child, *next; item && left-- && peer->process; item = next) {
            next = item->next;
            if (!*answer && take_message(peer, item, id))
                *answer = cJSON_DetachItemViaPointer(root, item);
        }
        json_free(root);
    } else if (cJSON_IsObject(root) && take_message(peer, root, id)) {
        *answer = root;
    } else {
        json_free(root);
    }
    return true;
}

bool link_wait(McpPeer *peer, uint64_t id, double until, const atomic_bool *cancelled, Json **answer,
               Err *err) {
    *answer = NULL;
    for (int late = 0; !*answer;) {
        Str line;
        Err why = {0};
        if (cancelled && atomic_load(cancelled))
            return err_set(err, ERR_CANCELLED, "waiting for " PEER_FORMAT " was cancelled", PEER_ARG(peer));
        if (!peer->process)
            return err_set(err, ERR_IO, PEER_FORMAT " does not run", PEER_ARG(peer));
        double left = until - os_monotonic_ms();
        if (process_read_line(peer->process, fmax(left, 0), &line, &why)) {
            if (!take_line(peer, line, id, answer, err))
                return false;
            late += left <= 0;
            if (late < DRAIN_MOST)
                continue;
            why.code = ERR_LIMIT; /* it talks, but does not answer */
        }
        if (why.code == ERR_LIMIT)
            return err_set(err, ERR_LIMIT, PEER_FORMAT " did not answer in time", PEER_ARG(peer));
        if (why.code != ERR_CANCELLED) {
            if (err)
                *err = why;
            return lose(peer, err);
        }
    }
    return true;
}

void link_drain(McpPeer *peer) {
    for (int i = 0; i < DRAIN_MOST && peer->process; i++) {
        Str line;
        Err why = {0};
        Json *nothing = NULL;
        if (process_read_line(peer->process, 0, &line, &why)) {
            take_line(peer, line, 0, &nothing, NULL);
        } else if (why.code != ERR_CANCELLED) {
            if (why.code != ERR_LIMIT)
                lose(peer, &why);
            return;
        }
    }
}
