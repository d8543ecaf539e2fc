/* session_setup: what session/new, /load, /resume and /fork share: their params, the opening of a session
 * with the client's files and terminals behind it, and what the client is told of it.
 *
 *   SessionSetup setup;
 *   if (!session_setup_read(&setup, connection, message, id, needs_servers)) return;  // refused
 *   AcpSession *session = session_setup_open(&setup, SETUP_NEW, S(""), message);      // NULL: refused
 *   session_answer(session, message, true);
 *
 * On the protocol thread.
 */
#ifndef MUX_ACP_SESSION_SETUP_H
#define MUX_ACP_SESSION_SETUP_H

#include "acp/connection_internal.h"

typedef struct SessionSetup {
    AcpSession *entry; /* in no list yet */
    SessionConfig config;
    size_t left_out; /* servers of kinds that this agent does not use */
} SessionSetup;

typedef enum SetupKind { SETUP_NEW, SETUP_RESTORE, SETUP_FORK } SetupKind;

/* An id that no session has. */
Str session_new_id(Arena *arena);
/* cwd, mcpServers (which must be there where they are needed) and additionalDirectories for a session called
 * id. */
bool session_setup_read(SessionSetup *setup, Connection *connection, const RpcMessage *message, Str id,
                        bool needs_servers);
/* The setup is used up, also by a failure. source: the session that is forked. */
AcpSession *session_setup_open(SessionSetup *setup, SetupKind kind, Str source, const RpcMessage *message);
void session_setup_drop(SessionSetup *setup);

/* The answer: modes and options, with the id where the client does not know it yet; behind it what the agent
 * has to say of itself (commands). */
void session_answer(AcpSession *session, const RpcMessage *message, bool with_id);
void session_tell_commands(AcpSession *session);

#endif
