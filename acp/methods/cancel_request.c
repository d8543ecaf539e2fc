#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

/* Prompts and changes to files take long enough to be worth stopping. */
static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    Connection *connection = ctx;
    Str wanted;
    if (!json_raw_member(message->raw_params, "requestId", &wanted))
        return;
    const void *owner = tasks_owner_of(&connection->tasks, wanted);
    for (AcpSession *session = connection->sessions; session; session = session->next)
        if (updates_is_prompt(&session->updates, wanted) ||
            (owner == session && !updates_has_prompt(&session->updates)))
            session_stop_turn(session);
}

const Method METHOD_CANCEL_REQUEST = {"$/cancel_request", METHOD_NOTIFICATION, handle};
