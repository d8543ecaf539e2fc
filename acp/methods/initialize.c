#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    Connection *connection = ctx;
    Wire wire = {0};
    if (!cJSON_IsNumber(json_find(message->params, "protocolVersion")))
        wire_fail(&wire, "must be a number", "protocolVersion");
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        return;
    }
    const Json *fs = json_find(json_find(message->params, "clientCapabilities"), "fs");
    connection->client.reads_files = json_bool(fs, "readTextFile", false);
    connection->client.writes_files = json_bool(fs, "writeTextFile", false);
    peer_reply(peer, message->id, v1_initialize_result());
}

const Method METHOD_INITIALIZE = {"initialize", METHOD_REQUEST, handle};
