#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    Connection *connection = ctx;
    AcpSession *session = connection_session(connection, message);
    if (session && (updates_has_prompt(&session->updates) || tasks_has(&connection->tasks, session, false)))
        session_stop_turn(session);
}

const Method METHOD_SESSION_CANCEL = {"session/cancel", METHOD_NOTIFICATION, handle};
