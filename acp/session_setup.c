#define _GNU_SOURCE
#include "acp/session_setup.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"

#define SERVERS_MAX 64

Str session_new_id(Arena *arena) {
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        abort();
    return str_printf(arena, "mux-%016llx", (unsigned long long)random);
}

/* ---- params ---- */

/* An array that may be absent or null. */
static const Json *optional_array(Wire *wire, const Json *object, const char *key, const char *field) {
    const Json *list = json_find(object, key);
    if (!list || cJSON_IsNull(list))
        return NULL;
    if (!cJSON_IsArray(list))
        wire_fail(wire, "must be an array", "%s", field);
    return cJSON_IsArray(list) ? list : NULL;
}

static void read_roots(Wire *wire, const Json *params, Arena *arena, SessionConfig *config) {
    const Json *list = optional_array(wire, params, "additionalDirectories", "additionalDirectories");
    Str *roots = ARENA_ARRAY(arena, Str, json_len(list) + 1);
    size_t count = 0;
    JSON_EACH(item, list) {
        Str path = json_str_value(item);
        if (!str_starts(path, S("/")))
            wire_fail(wire, "must be an absolute path", "additionalDirectories[%zu]", count);
        roots[count++] = str_copy(arena, path);
    }
    config->extra_roots = roots;
    config->extra_root_count = count;
}

static Str server_text(Wire *wire, const Json *server, const char *key, size_t i, Arena *arena) {
    const Json *value = json_find(server, key);
    if (!cJSON_IsString(value))
        wire_fail(wire, value ? "must be a string" : "is missing", "mcpServers[%zu].%s", i, key);
    return str_copy(arena, json_str_value(value));
}

/* args or env of a server: must be there, but may be null. */
static const Json *server_array(Wire *wire, const Json *server, const char *key, size_t i) {
    const Json *value = json_find(server, key);
    if (!value)
        wire_fail(wire, "is missing", "mcpServers[%zu].%s", i, key);
    else if (!cJSON_IsArray(value) && !cJSON_IsNull(value))
        wire_fail(wire, "must be an array", "mcpServers[%zu].%s", i, key);
    return cJSON_IsArray(value) ? value : NULL;
}

static McpServer read_server(Wire *wire, const Json *server, size_t i, Arena *arena) {
    McpServer out = {.name = server_text(wire, server, "name", i, arena),
                     .command = server_text(wire, server, "command", i, arena)};
    const Json *args = server_array(wire, server, "args", i), *env = server_array(wire, server, "env", i);
    Str *words = ARENA_ARRAY(arena, Str, json_len(args) + 1),
        *variables = ARENA_ARRAY(arena, Str, json_len(env) + 1);
    JSON_EACH(item, args) {
        if (!cJSON_IsString(item))
            wire_fail(wire, "must be a string", "mcpServers[%zu].args[%zu]", i, out.arg_count);
        words[out.arg_count++] = str_copy(arena, json_str_value(item));
    }
    JSON_EACH(item, env) {
        const Json *name = json_find(item, "name"), *value = json_find(item, "value");
        if (!cJSON_IsString(name) || !cJSON_IsString(value))
            wire_fail(wire, "must be a string", "mcpServers[%zu].env[%zu].%s", i, out.env_count,
                      cJSON_IsString(name) ? "value" : "name");
        variables[out.env_count++] =
            str_printf(arena, "%.*s=%.*s", STR_ARG(json_str_value(name)), STR_ARG(json_str_value(value)));
    }
    out.args = words;
    out.env = variables;
    return out;
}

/* Servers that are spoken to in other ways than by their stdin and stdout are left out: none of those is
 * offered by initialize. */
static void read_servers(Wire *wire, const Json *list, Arena *arena, SessionSetup *setup) {
    size_t i = 0;
    if (json_len(list) > SERVERS_MAX) {
        wire_fail(wire, "holds more than 64 servers", "mcpServers");
        return;
    }
    McpServer *servers = ARENA_ARRAY(arena, McpServer, json_len(list) + 1);
    JSON_EACH(item, list) {
        const Json *type = json_find(item, "type");
        if (!cJSON_IsObject(item))
            wire_fail(wire, "must be an object", "mcpServers[%zu]", i);
        else if (type && !cJSON_IsString(type))
            wire_fail(wire, "must be a string", "mcpServers[%zu].type", i);
        else if (type && !str_eq(json_str_value(type), S("stdio")))
            setup->left_out++;
        else
            servers[setup->config.mcp_server_count++] = read_server(wire, item, i, arena);
        i++;
    }
    setup->config.mcp_servers = servers;
}

bool session_setup_read(SessionSetup *setup, Connection *connection, const RpcMessage *message, Str id,
                        bool needs_servers) {
    AcpSession *entry = calloc(1, sizeof *entry);
    if (!entry)
        abort();
    *setup = (SessionSetup){.entry = entry};
    entry->connection = connection;
    Arena *arena = &entry->arena;
    entry->id = setup->config.id = str_copy(arena, id);
    const Json *params = message->params;
    Wire wire = {0};
    setup->config.cwd = str_copy(arena, wire_absolute_path(&wire, params, "cwd"));
    if (needs_servers && !json_find(params, "mcpServers"))
        wire_fail(&wire, "is missing", "mcpServers");
    read_servers(&wire, optional_array(&wire, params, "mcpServers", "mcpServers"), arena, setup);
    read_roots(&wire, params, arena, &setup->config);
    if (!wire.problem)
        return true;
    wire_refuse(connection->peer, message->id, &wire);
    session_setup_drop(setup);
    return false;
}

void session_setup_drop(SessionSetup *setup) {
    acp_session_free(setup->entry);
    *setup = (SessionSetup){0};
}

/* ---- opening ---- */

/* The model a session starts with: the configured one or, without, the embedded one. */
static Str first_model(Connection *connection) {
    const ConnectionHost *host = &connection->config.host;
    const ModelCard *models = NULL;
    size_t count = host->models ? host->models(host->ctx, &models) : 0;
    if (connection->config.model.len)
        return connection->config.model;
    for (size_t i = 0; i < count; i++)
        if (models[i].is_embedded)
            return models[i].name;
    return count ? models[0].name : S("");
}

/* The client's files and terminals, as far as it has them; otherwise the disk, and no terminals. */
static FileIo take_client(AcpSession *entry, SessionConfig *config) {
    const Connection *connection = entry->connection;
    config->has_client_files = connection->client.writes_files;
    if (connection->client.has_terminal) {
        entry->terminal =
            editor_terminal_open(connection->peer, entry->id, connection->config.client_timeout_ms);
        config->terminal = editor_terminal_io(entry->terminal);
    }
    if (!connection->client.reads_files && !connection->client.writes_files)
        return file_io_disk();
    entry->editor = editor_files_open(connection->peer, entry->id, connection->client.reads_files,
                                      connection->client.writes_files, connection->config.client_timeout_ms);
    return editor_files_io(entry->editor);
}

static bool open_session(SessionSetup *setup, SetupKind kind, Str source, Err *err) {
    AcpSession *entry = setup->entry;
    Connection *connection = entry->connection;
    SessionConfig *config = &setup->config;
    Planner *planner = connection_planner(connection, err);
    if (!planner)
        return false;
    config->model = first_model(connection);
    config->review = connection->config.review;
    config->grain = connection->config.grain;
    config->is_terse = connection->config.is_terse;
    FileIo io = take_client(entry, config);
    entry->session = kind == SETUP_NEW       ? session_open(planner, config, io, err)
                     : kind == SETUP_RESTORE ? session_restore(planner, config, io, err)
                                             : session_fork(planner, source, config, io, err);
    if (!entry->session)
        return false;
    buf_str(&entry->model, session_options(entry->session).model);
    entry->owes_note = kind == SETUP_NEW && connection->config.model_note.len > 0;
    entry->owes_commands = true;
    updates_init(&entry->updates, connection->peer, entry->id);
    entry->updates.session = entry->session;
    entry->updates.has_forms = connection->client.has_forms;
    entry->updates.shows_notices = connection->client.shows_notices;
    entry->updates.shows_compaction = connection->client.shows_compaction;
    session_set_news(entry->session, updates_sink(&entry->updates));
    return true;
}

static void say_left_out(const SessionSetup *setup) {
    const Connection *connection = setup->entry->connection;
    if (!setup->left_out)
        return;
    log_line(LOG_INFO, "%zu MCP servers are not used: only those on stdio are", setup->left_out);
    setup->entry->servers_left_out = connection->client.shows_notices ? setup->left_out : 0;
}

AcpSession *session_setup_open(SessionSetup *setup, SetupKind kind, Str source, const RpcMessage *message) {
    AcpSession *entry = setup->entry;
    Connection *connection = entry->connection;
    Err err = {0};
    if (!open_session(setup, kind, source, &err)) {
        if (err.code == ERR_NOT_FOUND)
            err.code = ERR_INVALID; /* a folder that is not there is the client's to mend */
        refuse_with(connection->peer, message->id, &err);
        session_setup_drop(setup);
        return NULL;
    }
    say_left_out(setup);
    connection_add_session(connection, entry);
    *setup = (SessionSetup){0};
    return entry;
}

/* ---- telling ---- */

void session_tell_commands(AcpSession *session) {
    const CommandInfo *commands;
    size_t count = planner_commands(&commands);
    peer_notify(session->connection->peer, "session/update",
                v1_commands_update(session->id, commands, count));
}

static void tell_left_out(AcpSession *session) {
    Notice notice = {NOTICE_WARNING, S("MCP servers left out"),
                     S("Only MCP servers on stdin and stdout are used; those reached by http are not.")};
    if (session->servers_left_out)
        peer_notify(session->connection->peer, "session/update", v1_notice_update(session->id, &notice));
    session->servers_left_out = 0;
}

void session_answer(AcpSession *session, const RpcMessage *message, bool with_id) {
    V1Choices choices = session_choices(session);
    Json *result = json_object();
    if (with_id)
        json_put_str(result, "sessionId", session->id);
    json_put(result, "modes", v1_modes(choices.mode));
    json_put(result, "configOptions", v1_config_options(&choices));
    peer_reply(session->connection->peer, message->id, result);
    session_tell_commands(session);
    tell_left_out(session);
}
