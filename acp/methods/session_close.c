#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

/* The turn may still have something to hear from the client, so the session ends in the connection's loop,
 * once its prompt is answered. */
static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    AcpSession *session = connection_session(ctx, message);
    if (!session)
        return;
    session->is_closing = true;
    buf_str(&session->close_request, message->id.raw);
    session_stop_turn(session);
}

const Method METHOD_SESSION_CLOSE = {"session/close", METHOD_REQUEST, handle};
