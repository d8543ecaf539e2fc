#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/random.h>

#include "acp/connection_internal.h"
#include "acp/methods/methods.h"
#include "base/log.h"

static Str new_id(Arena *arena) {
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        abort();
    return str_printf(arena, "mux-%016llx", (unsigned long long)random);
}

/* The absolute paths of additionalDirectories, which may be absent. */
static const Str *extra_roots(Wire *wire, const Json *params, Arena *arena, size_t *count) {
    const Json *list = json_find(params, "additionalDirectories");
    *count = 0;
    if (!list || cJSON_IsNull(list))
        return NULL;
    if (!cJSON_IsArray(list))
        wire_fail(wire, "must be an array", "additionalDirectories");
    Str *roots = ARENA_ARRAY(arena, Str, json_len(list) + 1);
    JSON_EACH(item, list) {
        Str path = json_str_value(item);
        if (!str_starts(path, S("/")))
            wire_fail(wire, "must be an absolute path", "additionalDirectories[%zu]", *count);
        roots[(*count)++] = str_copy(arena, path);
    }
    return roots;
}

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

static bool open_session(AcpSession *entry, SessionConfig *config, Err *err) {
    Connection *connection = entry->connection;
    if (!connection->planner)
        connection->planner = connection->config.host.planner(connection->config.host.ctx, err);
    if (!connection->planner)
        return false;
    buf_str(&entry->model, first_model(connection));
    FileIo io = file_io_disk();
    if (connection->client.reads_files || connection->client.writes_files) {
        entry->editor =
            editor_files_open(connection->peer, entry->id, connection->client.reads_files,
                              connection->client.writes_files, connection->config.client_timeout_ms);
        io = editor_files_io(entry->editor);
    }
    config->model = buf_text(&entry->model);
    config->review = entry->mode;
    config->grain = connection->config.grain;
    config->has_client_files = connection->client.writes_files;
    entry->session = session_open(connection->planner, config, io, err);
    if (!entry->session)
        return false;
    updates_init(&entry->updates, connection->peer, entry->id);
    entry->updates.session = entry->session;
    entry->updates.has_forms = connection->client.has_forms;
    entry->updates.shows_notices = connection->client.shows_notices;
    entry->updates.shows_compaction = connection->client.shows_compaction;
    return true;
}

static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    Connection *connection = ctx;
    AcpSession *entry = calloc(1, sizeof *entry);
    if (!entry)
        abort();
    entry->connection = connection;
    entry->mode = connection->config.review;
    entry->owes_note = connection->config.model_note.len > 0;
    entry->id = new_id(&entry->arena);
    Wire wire = {0};
    SessionConfig config = {.id = entry->id};
    config.cwd = str_copy(&entry->arena, wire_absolute_path(&wire, message->params, "cwd"));
    const Json *servers = wire_array(&wire, message->params, "mcpServers");
    config.extra_roots = extra_roots(&wire, message->params, &entry->arena, &config.extra_root_count);
    Err err = {0};
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        acp_session_free(entry);
        return;
    }
    if (!open_session(entry, &config, &err)) {
        if (err.code == ERR_NOT_FOUND)
            err.code = ERR_INVALID; /* a folder that is not there is the client's to mend */
        refuse_with(peer, message->id, &err);
        acp_session_free(entry);
        return;
    }
    if (json_len(servers))
        log_line(LOG_INFO, "%zu MCP servers were offered; they are not used", json_len(servers));
    connection_add_session(connection, entry);
    V1Choices choices = session_choices(entry);
    Json *result = json_object();
    json_put_str(result, "sessionId", entry->id);
    json_put(result, "modes", v1_modes(entry->mode));
    json_put(result, "configOptions", v1_config_options(&choices));
    peer_reply(peer, message->id, result);
}

const Method METHOD_SESSION_NEW = {"session/new", METHOD_REQUEST, handle};
