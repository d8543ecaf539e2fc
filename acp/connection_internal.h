/* Inside of a connection, for the methods. Everything here belongs to the protocol thread. */
#ifndef MUX_ACP_CONNECTION_INTERNAL_H
#define MUX_ACP_CONNECTION_INTERNAL_H

#include "acp/connection.h"
#include "acp/editor_files.h"
#include "acp/editor_terminal.h"
#include "acp/task.h"
#include "acp/updates.h"
#include "acp/v1.h"
#include "acp/wire.h"

typedef struct AcpSession {
    struct AcpSession *next;
    Connection *connection;
    Arena arena; /* lives as long as the session */
    Str id;
    Session *session;
    EditorFiles *editor;      /* NULL: the client has no file methods */
    EditorTerminal *terminal; /* NULL: it has no terminals */
    Updates updates;
    Buf model;          /* as the client knows it */
    bool owes_note;     /* the first prompt brings the config's model_note */
    bool owes_commands; /* the first prompt brings the commands again: a client may have dropped the first */
    size_t servers_left_out; /* of which the client is to be told */
    bool had_turn;           /* whose end the loop has not seen yet */
    bool is_closing;         /* session/close or /delete was asked; answered when the turn has ended */
    Buf close_request, delete_request; /* their ids */
} AcpSession;

struct Connection {
    ConnectionConfig config;
    Peer *peer;
    Planner *planner; /* the host's; NULL before the first session */
    struct {          /* what the client said it can do */
        bool reads_files, writes_files, has_terminal;
        bool has_forms;           /* elicitation/create with mode form */
        bool has_boolean_options; /* config options of type boolean */
        bool shows_notices, shows_compaction;
    } client;
    AcpSession *sessions;
    Tasks tasks; /* owned by sessions */
    double opened_ms;
};

/* The host's planner, opened at the first use; NULL + sentence. */
Planner *connection_planner(Connection *connection, Err *err);
/* The open session with this id, also one that is closing; NULL. */
AcpSession *connection_find(Connection *connection, Str id);
/* Takes a session out of the store and answers the request that wanted it. */
void connection_forget(Connection *connection, Str id, RpcId request);
/* -32002 with the id in data. */
void connection_refuse_unknown(Connection *connection, RpcId request, Str id);
/* The session that params name; NULL after the request was refused (or, for notifications, logged). */
AcpSession *connection_session(Connection *connection, const RpcMessage *message);
/* Stops the session's turn: its prompt is answered with "cancelled". No effect when idle. */
void session_stop_turn(AcpSession *session);
void connection_add_session(Connection *connection, AcpSession *session);
/* Frees a session and joins its turn. It is in no list. */
void acp_session_free(AcpSession *session);
/* session_mode.c: what is chosen now, and telling the client of a change that it did not ask for itself. */
V1Choices session_choices(AcpSession *session);
void session_tell_choices(AcpSession *session);
/* -32602 for what the client can mend, -32600 for what is busy, -32603 for the rest. */
void refuse_with(Peer *peer, RpcId id, const Err *err);

#endif
