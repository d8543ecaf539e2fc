#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

static void take_capabilities(Connection *connection, const Json *given) {
    const Json *fs = json_find(given, "fs"), *session = json_find(given, "session");
    connection->client.reads_files = json_bool(fs, "readTextFile", false);
    connection->client.writes_files = json_bool(fs, "writeTextFile", false);
    connection->client.has_terminal = json_bool(given, "terminal", false);
    connection->client.has_forms = cJSON_IsObject(json_find(json_find(given, "elicitation"), "form"));
    connection->client.has_boolean_options =
        cJSON_IsObject(json_find(json_find(session, "configOptions"), "boolean"));
    connection->client.shows_notices = cJSON_IsObject(json_find(session, "notices"));
    connection->client.shows_compaction = cJSON_IsObject(json_find(session, "compaction"));
}

static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    Connection *connection = ctx;
    Wire wire = {0};
    if (!cJSON_IsNumber(json_find(message->params, "protocolVersion")))
        wire_fail(&wire, "must be a number", "protocolVersion");
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        return;
    }
    take_capabilities(connection, json_find(message->params, "clientCapabilities"));
    peer_reply(peer, message->id, v1_initialize_result(connection->config.keeps_sessions));
}

const Method METHOD_INITIALIZE = {"initialize", METHOD_REQUEST, handle};
