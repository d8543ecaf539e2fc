/* editor_terminal: TerminalIo through the client's terminal methods (terminal/create, wait_for_exit, output,
 * kill, release), so that commands run where the user sees them.
 *
 * Used by one turn thread; a cancel kills the running command and wakes it at once, without waiting for the
 * client. A terminal that the client creates after the turn gave up is released when its id arrives.
 */
#ifndef MUX_ACP_EDITOR_TERMINAL_H
#define MUX_ACP_EDITOR_TERMINAL_H

#include "acp/rpc.h"
#include "workspace/terminal.h"

typedef struct EditorTerminal EditorTerminal;

/* session_id is copied. timeout_ms: for every answer but that of the end of the command; 0 = without end. */
EditorTerminal *editor_terminal_open(Peer *peer, Str session_id, double timeout_ms);
/* Releases what was not. NULL is fine; no call may be running. */
void editor_terminal_close(EditorTerminal *editor);
TerminalIo editor_terminal_io(EditorTerminal *editor);
void editor_terminal_begin(EditorTerminal *editor);  /* a turn starts: an older cancel is over */
void editor_terminal_cancel(EditorTerminal *editor); /* any thread */

#endif
