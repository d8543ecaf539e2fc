/* Inside of a connection, for the methods. Everything here belongs to the protocol thread. */
#ifndef MUX_ACP_CONNECTION_INTERNAL_H
#define MUX_ACP_CONNECTION_INTERNAL_H

#include "acp/connection.h"
#include "acp/editor_files.h"
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
    EditorFiles *editor; /* NULL: the client has no file methods */
    Updates updates;
    ReviewMode mode;
    Buf model;
    bool owes_note;    /* the first prompt brings the config's model_note */
    bool is_closing;   /* session/close was asked; answered when the turn has ended */
    Buf close_request; /* its id */
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

/* The session that params name; NULL after the request was refused (or, for notifications, logged). */
AcpSession *connection_session(Connection *connection, const RpcMessage *message);
/* Stops the session's turn: its prompt is answered with "cancelled". No effect when idle. */
void session_stop_turn(AcpSession *session);
void connection_add_session(Connection *connection, AcpSession *session);
/* Frees a session and joins its turn. It is in no list. */
void acp_session_free(AcpSession *session);
V1Choices session_choices(AcpSession *session);
/* -32602 for what the client can mend, -32603 for the rest. */
void refuse_with(Peer *peer, RpcId id, const Err *err);

#endif
