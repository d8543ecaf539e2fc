/* TerminalIo: where commands of the model are run: a terminal of the client. The interface is this room's, so
 * that running anything stays its power; acp/editor_terminal.c fills it in with the client's terminal
 * methods. Used by one thread at a time (the turn's). Local runs do not exist.
 */
#ifndef MUX_WORKSPACE_TERMINAL_H
#define MUX_WORKSPACE_TERMINAL_H

#include "base/err.h"
#include "base/str.h"

typedef struct ShellCommand {
    Str line;            /* for /bin/sh -c */
    Str cwd;             /* absolute */
    size_t output_limit; /* bytes kept, the last ones; 0 = 64 KiB */
    double timeout_ms;   /* the command is killed then; 0 = 120,000 */
} ShellCommand;

typedef struct ShellResult {
    Str output; /* whole UTF-8 */
    bool is_truncated, is_timed_out;
    bool has_exit_code; /* else it ended by a signal or was killed */
    int exit_code;
    Str signal; /* its name; may be empty */
} ShellResult;

typedef struct TerminalIo {
    void *ctx;
    /* Waits for the end. started (may be NULL) is told the terminal's id before anything is waited for. A
     * command that fails is a success here; false: it could not be run (ERR_DENIED: the client refused,
     * ERR_CANCELLED). */
    bool (*run)(void *ctx, const ShellCommand *command, void (*started)(void *started_ctx, Str terminal_id),
                void *started_ctx, Arena *arena, ShellResult *out, Err *err);
    /* The terminal of a run that ended is no longer shown; the ids of runs not released go with the session.
     */
    void (*release)(void *ctx, Str terminal_id);
} TerminalIo;

#endif
