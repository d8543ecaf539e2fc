#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

/* Only prompts take long enough to be worth stopping; their answer is then "cancelled". */
static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    Connection *connection = ctx;
    Str wanted;
    if (!json_raw_member(message->raw_params, "requestId", &wanted))
        return;
    for (AcpSession *session = connection->sessions; session; session = session->next)
        if (updates_is_prompt(&session->updates, wanted))
            session_stop_turn(session);
}

const Method METHOD_CANCEL_REQUEST = {"$/cancel_request", METHOD_NOTIFICATION, handle};
