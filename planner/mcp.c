/* MCP servers: when they are started, what they offer, and calls of it. */
#include "planner/mcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/os.h"
#include "base/utf8.h"
#include "planner/mcp_internal.h"

#define STARTS_MOST 4
#define PAGES_MOST 100
#define TOOLS_MOST 512 /* of one server */
#define DESCRIPTION_MAX 1024
#define SCHEMA_MAX ((size_t)16 << 10)
#define NAME_MAX_BYTES 64 /* what models' APIs agree on */
#define RESULT_MAX ((size_t)256 << 10)
#define CHECK_MS 2000 /* within which a server must show itself alive after something was given up */

/* ---- opening ---- */

static Str *copy_texts(Arena *arena, const Str *texts, size_t count) {
    Str *copy = ARENA_ARRAY(arena, Str, count ? count : 1);
    for (size_t i = 0; i < count; i++)
        copy[i] = str_copy(arena, texts[i]);
    return copy;
}

McpClients *mcp_open(const McpServer *servers, size_t count, Str cwd) {
    McpClients *clients = calloc(1, sizeof *clients);
    if (!clients)
        return NULL;
    Arena *arena = &clients->arena;
    clients->cwd = str_copy(arena, cwd);
    clients->peers = ARENA_ARRAY(arena, McpPeer, count ? count : 1);
    clients->count = count;
    mcp_set_timeouts(clients, MCP_START_TIMEOUT_MS, MCP_CALL_TIMEOUT_MS);
    pthread_mutex_init(&clients->lock, NULL);
    for (size_t i = 0; i < count; i++) {
        McpPeer *peer = &clients->peers[i];
        peer->clients = clients;
        peer->name = str_copy(arena, servers[i].name);
        peer->config = (ProcessConfig){.command = str_copy(arena, servers[i].command),
                                       .args = copy_texts(arena, servers[i].args, servers[i].arg_count),
                                       .arg_count = servers[i].arg_count,
                                       .env = copy_texts(arena, servers[i].env, servers[i].env_count),
                                       .env_count = servers[i].env_count,
                                       .cwd = clients->cwd};
    }
    return clients;
}

void mcp_close(McpClients *clients) {
    if (!clients)
        return;
    for (size_t i = 0; i < clients->count; i++)
        if (clients->peers[i].process)
            process_end_input(clients->peers[i].process);
    for (size_t i = 0; i < clients->count; i++) {
        link_stop(&clients->peers[i]);
        arena_free(&clients->peers[i].arena);
    }
    pthread_mutex_destroy(&clients->lock);
    arena_free(&clients->arena);
    free(clients);
}

void mcp_set_timeouts(McpClients *clients, double start_ms, double call_ms) {
    clients->start_ms = start_ms;
    clients->call_ms = call_ms;
}

void mcp_interrupt(McpClients *clients) {
    if (!clients)
        return;
    pthread_mutex_lock(&clients->lock);
    for (size_t i = 0; i < clients->count; i++)
        if (clients->peers[i].process)
            process_interrupt(clients->peers[i].process);
    pthread_mutex_unlock(&clients->lock);
}

/* ---- starting ---- */

static Str cut(Str text, size_t most) {
    text = str_slice(text, 0, most);
    return str_slice(text, 0, utf8_complete(text));
}

static bool is_refused(const McpPeer *peer, const Json *answer, Err *err) {
    const Json *error = json_find(answer, "error");
    if (!error)
        return false;
    err_set(err, ERR_INVALID, PEER_FORMAT " refused: %.*s (code %lld)", PEER_ARG(peer),
            STR_ARG(cut(json_str(error, "message"), 300)), (long long)json_int(error, "code", 0));
    return true;
}

/* A server that was told to give something up and has not shown itself since is stuck: it is ended. */
static bool end_when_stuck(McpPeer *peer, const atomic_bool *cancelled, Err *err) {
    Err why = {0};
    Json *answer = NULL;
    if (peer->is_broken)
        link_stop(peer);
    if (peer->phase == MCP_READY) /* before that the answer to initialize may be among it */
        link_drain(peer);
    uint64_t check = peer->check_id;
    if (!peer->process || !check)
        return true;
    if (link_wait(peer, check, peer->check_sent + CHECK_MS, cancelled, &answer, &why)) {
        json_free(answer);
        return true;
    }
    if (why.code == ERR_CANCELLED)
        return err_set(err, ERR_CANCELLED, "%s", why.text);
    log_line(LOG_INFO, PEER_FORMAT " does not answer after a cancel and is started again", PEER_ARG(peer));
    link_stop(peer);
    peer->starts -= peer->starts > 0;
    return true;
}

static bool begin_start(McpPeer *peer, const atomic_bool *cancelled, Err *err) {
    if (!end_when_stuck(peer, cancelled, err))
        return false;
    if (peer->phase != MCP_STOPPED)
        return true;
    if (peer->starts >= STARTS_MOST)
        return err_set(err, ERR_IO,
                       PEER_FORMAT " ended %u times and is not started again in this session%s%s",
                       PEER_ARG(peer), peer->starts, peer->last_words[0] ? ": " : "", peer->last_words);
    return link_start(peer, cancelled, err) ||
           err_wrap(err, PEER_FORMAT " cannot be started", PEER_ARG(peer));
}

static bool finish_start(McpPeer *peer, const atomic_bool *cancelled, Err *err) {
    if (peer->phase == MCP_READY)
        return true;
    Json *answer = NULL;
    if (!link_wait(peer, peer->start_id, peer->started + peer->clients->start_ms, cancelled, &answer, err))
        return err && err->code == ERR_IO
                   ? err_wrap(err, PEER_FORMAT " ended while it was started", PEER_ARG(peer))
                   : false;
    /* Revision 2026-07-28 has no handshake: its refusal is the sign of it, and listing tools shows the rest.
     */
    Err refusal = {0};
    peer->is_modern = is_refused(peer, answer, &refusal);
    snprintf(peer->refusal, sizeof peer->refusal, "%.*s", (int)sizeof peer->refusal - 1, refusal.text);
    json_free(answer);
    if (!peer->is_modern && !link_notify(peer, "notifications/initialized", err))
        return false;
    peer->phase = MCP_READY;
    return true;
}

/* ---- listing ---- */

/* One entry of a list; those without a name or with a schema too large for a prompt are left out. */
static void take_tool(McpPeer *peer, const Json *entry, Arena *arena, size_t *capacity) {
    Str name = json_str(entry, "name");
    const Json *schema = json_find(entry, "inputSchema");
    if (name.len == 0 || peer->tool_count >= TOOLS_MOST)
        return;
    Buf text = {0};
    if (cJSON_IsObject(schema))
        json_print(schema, &text);
    else
        buf_cstr(&text, "{\"type\":\"object\"}");
    if (text.failed || text.len > SCHEMA_MAX) {
        log_line(LOG_WARN,
                 "the tool %.*s of " PEER_FORMAT " is left out: its schema has %zu bytes, more than %zu",
                 STR_ARG(name), PEER_ARG(peer), text.len, SCHEMA_MAX);
    } else {
        McpTool tool = {.server = peer->name,
                        .server_index = (size_t)(peer - peer->clients->peers),
                        .name = str_copy(arena, name),
                        .description = str_copy(arena, cut(json_str(entry, "description"), DESCRIPTION_MAX)),
                        .input_schema = buf_copy(&text, arena),
                        .is_read_only = json_bool(json_find(entry, "annotations"), "readOnlyHint", false)};
        LIST_PUSH(arena, peer->tools, peer->tool_count, *capacity, tool);
    }
    buf_free(&text);
}

#define CODE_NO_METHOD (-32601)

/* One page; *cursor becomes that of the next, empty after the last. */
static bool list_page(McpPeer *peer, Str *cursor, Arena *arena, size_t *capacity, double until,
                      const atomic_bool *cancelled, Err *err) {
    Buf members = {0};
    Json *answer = NULL;
    if (cursor->len) {
        buf_cstr(&members, "\"cursor\":");
        json_print_string(*cursor, &members);
    }
    uint64_t id = link_request(peer, "tools/list", buf_text(&members), until, cancelled, err);
    buf_free(&members);
    if (!id || !link_wait(peer, id, until, cancelled, &answer, err))
        return false;
    Str before = *cursor;
    *cursor = S("");
    bool has_none = !peer->is_modern && json_int(json_find(answer, "error"), "code", 0) == CODE_NO_METHOD;
    bool ok = has_none || !is_refused(peer, answer, err);
    if (ok && !has_none) {
        const Json *result = json_find(answer, "result"), *tools = json_find(result, "tools");
        JSON_EACH(entry, cJSON_IsArray(tools) ? tools : NULL) {
            take_tool(peer, entry, arena, capacity);
        }
        Str next = json_str(result, "nextCursor");
        if (!str_eq(next, before))
            *cursor = str_copy(arena, next);
    }
    json_free(answer);
    return ok;
}

static bool list_tools(McpPeer *peer, const atomic_bool *cancelled, Err *err) {
    Arena arena = {0}, old_arena = peer->arena;
    McpTool *old_tools = peer->tools;
    size_t old_count = peer->tool_count, capacity = 0;
    Str cursor = S("");
    bool ok = true;
    double until = os_monotonic_ms() + peer->clients->start_ms; /* for all pages */
    peer->tools = NULL;
    peer->tool_count = 0;
    peer->is_stale = false; /* a change told while the pages come makes it so again */
    for (int page = 0; ok && page < PAGES_MOST && (page == 0 || cursor.len); page++)
        ok = list_page(peer, &cursor, &arena, &capacity, until, cancelled, err);
    arena_free(ok ? &old_arena : &arena);
    peer->arena = ok ? arena : old_arena;
    if (!ok) {
        peer->tools = old_tools;
        peer->tool_count = old_count;
        peer->is_stale = true;
    }
    return ok;
}

/* ---- names ---- */

static void put_name(Buf *out, Str text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        buf_char(out, is_plain ? c : '_');
    }
}

static bool is_taken(const McpTool *tools, size_t count, Str name) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(tools[i].full_name, name))
            return true;
    return false;
}

/* "server__tool"; where that is too long or another tool's, a number made of what it stands for ends it. */
static Str make_full_name(const McpTool *tool, const McpTool *others, size_t count, Arena *arena) {
    Buf text = {0};
    put_name(&text, tool->server);
    buf_cstr(&text, "__");
    put_name(&text, tool->name);
    Str name = buf_copy(&text, arena);
    buf_free(&text);
    uint64_t hash = str_hash_more(str_hash_more(str_hash(tool->server), S("\n")), tool->name);
    hash += tool->server_index;
    for (Str whole = name; name.len > NAME_MAX_BYTES || is_taken(others, count, name); hash++)
        name =
            str_printf(arena, "%.*s_%08x", STR_ARG(str_slice(whole, 0, NAME_MAX_BYTES - 9)), (unsigned)hash);
    return name;
}

static bool refresh(McpPeer *peer, const atomic_bool *cancelled, Err *err) {
    if (!finish_start(peer, cancelled, err))
        return false;
    if (!peer->is_stale || list_tools(peer, cancelled, err))
        return true;
    if (peer->refusal[0] && err && err->code == ERR_INVALID)
        err_set(err, ERR_INVALID, "%s", peer->refusal);
    return false;
}

void mcp_tools(McpClients *clients, const atomic_bool *cancelled, Arena *arena, McpTool **tools,
               size_t *count, Str **problems, size_t *problem_count) {
    size_t capacity = 0, problem_capacity = 0, peers = clients ? clients->count : 0;
    *tools = NULL;
    *problems = NULL;
    *count = *problem_count = 0;
    Err *failures = ARENA_ARRAY(arena, Err, peers ? peers : 1);
    for (size_t i = 0; i < peers; i++) /* all of them get going before any is waited for */
        begin_start(&clients->peers[i], cancelled, &failures[i]);
    for (size_t i = 0; i < peers; i++) {
        McpPeer *peer = &clients->peers[i];
        Err *failure = &failures[i];
        if (failure->code == ERR_NONE)
            refresh(peer, cancelled, failure);
        if (failure->code != ERR_NONE && failure->code != ERR_CANCELLED)
            LIST_PUSH(arena, *problems, *problem_count, problem_capacity,
                      str_copy(arena, str_of(failure->text)));
        for (size_t t = 0; t < peer->tool_count && peer->phase == MCP_READY; t++) {
            McpTool tool = peer->tools[t];
            tool.server = str_copy(arena, tool.server);
            tool.name = str_copy(arena, tool.name);
            tool.description = str_copy(arena, tool.description);
            tool.input_schema = str_copy(arena, tool.input_schema);
            tool.full_name = make_full_name(&tool, *tools, *count, arena);
            LIST_PUSH(arena, *tools, *count, capacity, tool);
        }
    }
}

/* ---- calling ---- */

static void put_block(const Json *block, Buf *text) {
    Str type = json_str(block, "type");
    const Json *resource = json_find(block, "resource");
    if (text->len)
        buf_char(text, '\n');
    if (str_eq(type, S("text")))
        buf_str(text, json_str(block, "text"));
    else if (str_eq(type, S("resource")) && json_find(resource, "text"))
        buf_str(text, json_str(resource, "text"));
    else if (str_eq(type, S("resource")))
        buf_printf(text, "[resource %.*s]", STR_ARG(json_str(resource, "uri")));
    else if (str_eq(type, S("resource_link")))
        buf_printf(text, "[resource %.*s]", STR_ARG(json_str(block, "uri")));
    else
        buf_printf(text, "[%.*s]", STR_ARG(type.len ? cut(type, 40) : S("content of no known type")));
}

static void take_result(const Json *result, Arena *arena, McpResult *out) {
    Buf text = {0};
    const Json *content = json_find(result, "content"), *structured = json_find(result, "structuredContent");
    JSON_EACH(block, cJSON_IsArray(content) ? content : NULL) {
        put_block(block, &text);
    }
    if (text.len == 0 && structured)
        json_print(structured, &text);
    Str whole = buf_text(&text), kept = cut(whole, RESULT_MAX);
    out->is_error = json_bool(result, "isError", false);
    if (str_eq(json_str(result, "resultType"), S("input_required"))) {
        out->is_error = true;
        kept = whole =
            S("The tool asks the user for input in the middle of its work, which is not supported.");
    }
    out->text = str_copy(arena, kept);
    if (kept.len < whole.len)
        out->text =
            str_printf(arena, "%.*s\n[cut: the first %zu of %zu bytes]", STR_ARG(kept), kept.len, whole.len);
    buf_free(&text);
}

/* The arguments as they are, so that no number loses a digit; only their line ends become blanks. */
static bool put_arguments(Str arguments, Buf *out, Err *err) {
    Json *value = json_parse(arguments, err);
    bool ok = cJSON_IsObject(value);
    if (value && !ok)
        err_set(err, ERR_INVALID, "the arguments are not a JSON object");
    json_free(value);
    for (size_t i = 0; ok && i < arguments.len; i++)
        buf_char(out, arguments.ptr[i] == '\n' || arguments.ptr[i] == '\r' ? ' ' : arguments.ptr[i]);
    return ok;
}

#define CODE_BAD_PARAMS (-32602)

static bool take_answer(const McpPeer *peer, const Json *answer, Arena *arena, McpResult *out, Err *err) {
    const Json *error = json_find(answer, "error");
    Err why = {0};
    if (!is_refused(peer, answer, &why)) {
        take_result(json_find(answer, "result"), arena, out);
        return true;
    }
    if (json_int(error, "code", 0) == CODE_BAD_PARAMS) {
        if (err)
            *err = why;
        return false;
    }
    *out = (McpResult){.text = str_copy(arena, str_of(why.text)), .is_error = true};
    return true;
}

bool mcp_call(McpClients *clients, const McpTool *tool, Str arguments, const atomic_bool *cancelled,
              Arena *arena, McpResult *out, Err *err) {
    *out = (McpResult){0};
    if (!clients || tool->server_index >= clients->count)
        return err_set(err, ERR_NOT_FOUND, "no server offers the tool %.*s", STR_ARG(tool->full_name));
    McpPeer *peer = &clients->peers[tool->server_index];
    Buf members = {0};
    Json *answer = NULL;
    Err why = {0};
    buf_cstr(&members, "\"name\":");
    json_print_string(tool->name, &members);
    buf_cstr(&members, ",\"arguments\":");
    bool ok = put_arguments(arguments, &members, &why) && begin_start(peer, cancelled, &why) &&
              finish_start(peer, cancelled, &why);
    double until = os_monotonic_ms() + clients->call_ms;
    uint64_t id = ok ? link_request(peer, "tools/call", buf_text(&members), until, cancelled, &why) : 0;
    buf_free(&members);
    ok = id && link_wait(peer, id, until, cancelled, &answer, &why) &&
         take_answer(peer, answer, arena, out, &why);
    if (id && (why.code == ERR_CANCELLED || why.code == ERR_LIMIT))
        link_give_up(peer, id, why.code == ERR_LIMIT ? "it took too long" : "the user cancelled it");
    json_free(answer);
    if (!ok && err)
        *err = why;
    return ok;
}
