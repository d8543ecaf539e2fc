#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

/* Nothing here needs a login, so no method of logging in is the right one. */
static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)ctx;
    Wire wire = {0};
    wire_text(&wire, message->params, "methodId");
    wire_fail(&wire, "names no login method; this agent needs none", "methodId");
    wire_refuse(peer, message->id, &wire);
}

const Method METHOD_AUTHENTICATE = {"authenticate", METHOD_REQUEST, handle};
