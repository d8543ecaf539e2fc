#include "acp/methods/methods.h"
#include "acp/session_setup.h"

static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    Arena arena = {0};
    SessionSetup setup;
    AcpSession *session = NULL;
    if (session_setup_read(&setup, ctx, message, session_new_id(&arena), true))
        session = session_setup_open(&setup, SETUP_NEW, S(""), message);
    if (session)
        session_answer(session, message, true);
    arena_free(&arena);
}

const Method METHOD_SESSION_NEW = {"session/new", METHOD_REQUEST, handle};
