/* session/set_title and session/status: of any session that is open here or kept. */
#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

static void set_title(void *ctx, Peer *peer, const RpcMessage *message) {
    Connection *connection = ctx;
    Wire wire = {0};
    Arena arena = {0};
    Err err = {0};
    Str id = wire_text(&wire, message->params, "sessionId"),
        title = wire_text(&wire, message->params, "title"), kept;
    Planner *planner = wire.problem ? NULL : connection_planner(connection, &err);
    bool ok = planner && planner_set_title(planner, id, title, &arena, &kept, &err);
    if (err.code == ERR_INVALID)
        wire_fail(&wire, "needs at least one character", "title");
    if (ok) {
        Json *result = json_object();
        json_put_str(result, "title", kept);
        peer_reply(peer, message->id, result);
    } else if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
    } else if (err.code == ERR_NOT_FOUND) {
        connection_refuse_unknown(connection, message->id, id);
    } else {
        refuse_with(peer, message->id, &err);
    }
    arena_free(&arena);
}

static void status(void *ctx, Peer *peer, const RpcMessage *message) {
    Connection *connection = ctx;
    Wire wire = {0};
    Err err = {0};
    Str id = wire_text(&wire, message->params, "sessionId");
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        return;
    }
    AcpSession *open = connection_find(connection, id);
    Planner *planner = connection_planner(connection, &err);
    bool is_open = open && !open->is_closing;
    if (!planner) {
        refuse_with(peer, message->id, &err);
    } else if (is_open || planner_has_session(planner, id)) {
        Json *result = json_object();
        json_put_str(result, "status", is_open ? S("open") : S("saved"));
        peer_reply(peer, message->id, result);
    } else {
        connection_refuse_unknown(connection, message->id, id);
    }
}

const Method METHOD_SESSION_SET_TITLE = {"session/set_title", METHOD_REQUEST, set_title};
const Method METHOD_SESSION_STATUS = {"session/status", METHOD_REQUEST, status};
