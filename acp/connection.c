#include "acp/connection.h"

#include <stdlib.h>

#include "acp/connection_internal.h"
#include "acp/methods/methods.h"
#include "base/log.h"
#include "base/os.h"

#define FLUSH_AT_END_MS 2000

Connection *connection_open(const ConnectionConfig *config, Err *err) {
    Connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        err_set(err, ERR_NO_MEMORY, "no memory for a connection");
        return NULL;
    }
    connection->config = *config;
    connection->opened_ms = os_monotonic_ms();
    connection->peer =
        peer_open(config->in_fd, config->out_fd, ACP_METHODS, ACP_METHOD_COUNT, connection, err);
    if (!connection->peer) {
        free(connection);
        return NULL;
    }
    peer_set_tap(connection->peer, config->tap);
    return connection;
}

Planner *connection_planner(Connection *connection, Err *err) {
    if (!connection->planner)
        connection->planner = connection->config.host.planner(connection->config.host.ctx, err);
    return connection->planner;
}

/* ---- sessions ---- */

void connection_add_session(Connection *connection, AcpSession *session) {
    session->next = connection->sessions;
    connection->sessions = session;
}

void session_stop_turn(AcpSession *session) {
    turn_cancel(session->session);
    if (session->editor)
        editor_files_cancel(session->editor);
    if (session->terminal)
        editor_terminal_cancel(session->terminal);
    updates_cancel(&session->updates);
}

void acp_session_free(AcpSession *session) {
    if (session->session) {
        session_stop_turn(session);
        tasks_wait(&session->connection->tasks, session);
        session_close(session->session);
        updates_finish(&session->updates);
    }
    editor_files_close(session->editor);
    editor_terminal_close(session->terminal);
    buf_free(&session->model);
    buf_free(&session->close_request);
    buf_free(&session->delete_request);
    arena_free(&session->arena);
    free(session);
}

AcpSession *connection_find(Connection *connection, Str id) {
    for (AcpSession *session = connection->sessions; session; session = session->next)
        if (str_eq(session->id, id))
            return session;
    return NULL;
}

void connection_refuse_unknown(Connection *connection, RpcId request, Str id) {
    Arena arena = {0};
    Str shown = str_slice(id, 0, 80);
    Json *data = json_object();
    json_put_str(data, "sessionId", str_slice(id, 0, 1024));
    peer_refuse(connection->peer, request, RPC_NOT_FOUND,
                str_printf(&arena, "There is no session \"%.*s\" here. Start a new one.", STR_ARG(shown)),
                data);
    arena_free(&arena);
}

AcpSession *connection_session(Connection *connection, const RpcMessage *message) {
    bool is_request = message->id.raw.len > 0;
    Wire wire = {0};
    Str id = wire_text(&wire, message->params, "sessionId");
    if (wire.problem) {
        if (is_request)
            wire_refuse(connection->peer, message->id, &wire);
        return NULL;
    }
    AcpSession *session = connection_find(connection, id);
    if (session && !session->is_closing)
        return session;
    if (is_request)
        connection_refuse_unknown(connection, message->id, id);
    else
        log_line(LOG_INFO, "there is no session \"%.*s\" here", STR_ARG(str_slice(id, 0, 80)));
    return NULL;
}

void refuse_with(Peer *peer, RpcId id, const Err *err) {
    RpcCode code = err->code == ERR_INVALID    ? RPC_INVALID_PARAMS
                   : err->code == ERR_CONFLICT ? RPC_INVALID_REQUEST
                                               : RPC_INTERNAL_ERROR;
    Json *data = json_object();
    json_put_str(data, "kind", str_of(err_name(err->code)));
    peer_refuse(peer, id, code, str_of(err->text), data);
}

/* ---- the loop ---- */

void connection_forget(Connection *connection, Str id, RpcId request) {
    Err err = {0};
    Planner *planner = connection_planner(connection, &err);
    if (planner && planner_forget(planner, id, &err))
        peer_reply(connection->peer, request, json_object());
    else
        refuse_with(connection->peer, request, &err);
}

/* Takes the session, which is in no list any more; answers session/close and /delete where they were asked.
 */
static void end_session(Connection *connection, AcpSession *session) {
    Buf close_request = session->close_request, delete_request = session->delete_request, id = {0};
    session->close_request = session->delete_request = (Buf){0};
    buf_str(&id, session->id);
    peer_lift_limit(connection->peer); /* its threads may still be sending */
    acp_session_free(session);
    peer_set_limit(connection->peer);
    if (close_request.len)
        peer_reply(connection->peer, (RpcId){buf_text(&close_request)}, json_object());
    if (delete_request.len)
        connection_forget(connection, buf_text(&id), (RpcId){buf_text(&delete_request)});
    buf_free(&close_request);
    buf_free(&delete_request);
    buf_free(&id);
}

/* A turn may choose too (/model): the client's menus follow. */
static void follow_choices(AcpSession *session) {
    Str model = session_options(session->session).model;
    session->had_turn = false;
    if (!model.len || str_eq(model, buf_text(&session->model)))
        return;
    buf_clear(&session->model);
    buf_str(&session->model, model);
    session->owes_note = false;
    session_tell_choices(session);
}

/* Sends text that waits, ends sessions whose close was asked for. Returns how long the pump may sleep. */
static int look_after_sessions(Connection *connection) {
    int timeout = -1;
    for (AcpSession **place = &connection->sessions; *place;) {
        AcpSession *session = *place;
        updates_tick(&session->updates);
        bool is_busy = updates_has_prompt(&session->updates) ||
                       (session->is_closing && tasks_has(&connection->tasks, session, true));
        if (session->is_closing && !is_busy) {
            *place = session->next;
            end_session(connection, session);
            continue;
        }
        if (session->had_turn && !is_busy)
            follow_choices(session);
        if (is_busy)
            timeout = UPDATES_FLUSH_MS;
        place = &session->next;
    }
    return timeout;
}

void connection_run(Connection *connection) {
    os_prefer_thread();
    while (peer_pump(connection->peer, look_after_sessions(connection))) {
    }
    for (AcpSession *session = connection->sessions; session; session = session->next)
        session_stop_turn(session);
    peer_end_calls(connection->peer);
    while (connection->sessions) {
        AcpSession *session = connection->sessions;
        connection->sessions = session->next;
        end_session(connection, session);
    }
    peer_flush(connection->peer, FLUSH_AT_END_MS);
}

void connection_stop(Connection *connection) {
    peer_stop(connection->peer);
}

void connection_close(Connection *connection) {
    if (!connection)
        return;
    peer_close(connection->peer);
    free(connection);
}
