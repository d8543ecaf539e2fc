#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    AcpSession *session = connection_session(ctx, message);
    if (session && updates_has_prompt(&session->updates))
        session_stop_turn(session);
}

const Method METHOD_SESSION_CANCEL = {"session/cancel", METHOD_NOTIFICATION, handle};
