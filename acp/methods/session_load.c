/* session/load, /resume and /fork: a session that was kept goes on, with its past told again, untold, or
 * copied into a new one. */
#include "acp/methods/methods.h"
#include "acp/session_setup.h"
#include "base/utf8.h"

typedef struct Replay {
    Connection *connection;
    Str id;
} Replay;

static void tell(void *ctx, const TurnEvent *event) {
    const Replay *replay = ctx;
    Peer *peer = replay->connection->peer;
    Str id = replay->id;
    Json *params = NULL;
    switch (event->kind) {
    case TURN_TEXT:
    case TURN_THOUGHT:
        /* A turn that was stopped may have ended inside a character. */
        params = v1_text_update(id, event->kind, str_slice(event->text, 0, utf8_complete(event->text)));
        break;
    case TURN_USER: params = v1_text_update(id, TURN_USER, event->text); break;
    case TURN_PLAN: params = v1_plan_update(id, event->plan, event->plan_count); break;
    case TURN_TOOL: params = v1_tool_update(id, event->tool); break;
    case TURN_TITLE: params = v1_title_update(id, event->text); break;
    case TURN_COMPACTION:
        if (replay->connection->client.shows_compaction)
            params = v1_compaction_update(id, event->compaction);
        break;
    case TURN_QUESTION:
    case TURN_USAGE:
    case TURN_NOTICE:
    case TURN_DONE: break;
    }
    if (params)
        peer_notify(peer, "session/update", params);
    for (size_t i = 0; i < event->attachment_count; i++)
        peer_notify(peer, "session/update", v1_link_update(id, event->attachments[i].uri));
}

/* The session that params name: open here already, or only kept (*open is NULL then). False after a refusal.
 */
static bool find(Connection *connection, const RpcMessage *message, AcpSession **open) {
    *open = NULL;
    Wire wire = {0};
    Str id = wire_text(&wire, message->params, "sessionId");
    if (wire.problem) {
        wire_refuse(connection->peer, message->id, &wire);
        return false;
    }
    Err err = {0};
    AcpSession *found = connection_find(connection, id);
    if (found && (found->is_closing || updates_has_prompt(&found->updates) ||
                  tasks_has(&connection->tasks, found, false))) {
        peer_refuse(connection->peer, message->id, RPC_INVALID_REQUEST,
                    S("This session is still working. Cancel it or wait for its answer."), NULL);
        return false;
    }
    if (found) {
        turn_wait(found->session); /* the last turn has answered; its thread may not have ended yet */
        *open = found;
        return true;
    }
    Planner *planner = connection_planner(connection, &err);
    if (!planner)
        refuse_with(connection->peer, message->id, &err);
    else if (!planner_has_session(planner, id))
        connection_refuse_unknown(connection, message->id, id);
    else
        return true;
    return false;
}

static bool replay(AcpSession *session, const RpcMessage *message) {
    Connection *connection = session->connection;
    Replay to = {connection, session->id};
    Err err = {0};
    bool ok = session_replay(session->session, (TurnSink){&to, tell}, &err);
    if (!ok)
        refuse_with(connection->peer, message->id, &err);
    return ok;
}

/* Whether other folders are asked for than those it works in. */
static bool is_elsewhere(AcpSession *open, const SessionConfig *wanted) {
    Arena arena = {0};
    SessionInfo info;
    session_info(open->session, &arena, &info);
    bool differs = !str_eq(info.cwd, wanted->cwd) || info.extra_root_count != wanted->extra_root_count;
    for (size_t i = 0; i < info.extra_root_count && !differs; i++)
        differs = !str_eq(info.extra_roots[i], wanted->extra_roots[i]);
    arena_free(&arena);
    return differs;
}

/* An open session goes on in other folders: it is opened anew there, as far as it is kept. */
static AcpSession *move(SessionSetup *setup, AcpSession *open, const RpcMessage *message) {
    Connection *connection = open->connection;
    AcpSession *moved = session_setup_open(setup, SETUP_RESTORE, S(""), message);
    if (!moved)
        return NULL;
    AcpSession **place = &connection->sessions;
    while (*place != open)
        place = &(*place)->next;
    *place = open->next;
    acp_session_free(open);
    return moved;
}

/* The session that goes on; NULL after a refusal. An open one is not opened again where it is. */
static AcpSession *take_up(Connection *connection, const RpcMessage *message, bool needs_servers) {
    AcpSession *open = NULL;
    SessionSetup setup;
    Str id = json_str(message->params, "sessionId");
    if (!session_setup_read(&setup, connection, message, id, needs_servers))
        return NULL;
    bool is_found = find(connection, message, &open);
    if (is_found && !open)
        return session_setup_open(&setup, SETUP_RESTORE, S(""), message);
    if (is_found && is_elsewhere(open, &setup.config) && planner_has_session(connection->planner, id))
        return move(&setup, open, message);
    session_setup_drop(&setup);
    return open;
}

static void load(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    AcpSession *session = take_up(ctx, message, true);
    if (session && replay(session, message))
        session_answer(session, message, false);
}

static void resume(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    AcpSession *session = take_up(ctx, message, false);
    if (session)
        session_answer(session, message, false);
}

static void fork_session(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)peer;
    Arena arena = {0};
    AcpSession *open = NULL, *session = NULL;
    SessionSetup setup;
    if (find(ctx, message, &open) && session_setup_read(&setup, ctx, message, session_new_id(&arena), false))
        session = session_setup_open(&setup, SETUP_FORK, json_str(message->params, "sessionId"), message);
    if (session)
        session_answer(session, message, true);
    arena_free(&arena);
}

const Method METHOD_SESSION_LOAD = {"session/load", METHOD_REQUEST, load};
const Method METHOD_SESSION_RESUME = {"session/resume", METHOD_REQUEST, resume};
const Method METHOD_SESSION_FORK = {"session/fork", METHOD_REQUEST, fork_session};
