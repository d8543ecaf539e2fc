/* session/close and session/delete: the session goes, from memory or for good. */
#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

/* The turn may still have something to hear from the client, so the session ends in the connection's loop,
 * once its prompt is answered. */
static void end_later(AcpSession *session) {
    session->is_closing = true;
    session_stop_turn(session);
}

static void close_session(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    AcpSession *session = connection_session(ctx, message);
    if (!session)
        return;
    buf_str(&session->close_request, message->id.raw);
    end_later(session);
}

/* No such session is fine: it is gone, as was asked. */
static void delete_session(void *ctx, Peer *peer, const RpcMessage *message) {
    Connection *connection = ctx;
    Wire wire = {0};
    Str id = wire_text(&wire, message->params, "sessionId");
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        return;
    }
    AcpSession *session = connection_find(connection, id);
    if (session && session->delete_request.len) { /* it is asked for already */
        peer_reply(peer, message->id, json_object());
        return;
    }
    if (session) {
        buf_str(&session->delete_request, message->id.raw);
        end_later(session);
        return;
    }
    connection_forget(connection, id, message->id);
}

const Method METHOD_SESSION_CLOSE = {"session/close", METHOD_REQUEST, close_session};
const Method METHOD_SESSION_DELETE = {"session/delete", METHOD_REQUEST, delete_session};
