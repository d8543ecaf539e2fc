/* Process: a program of its own process group, spoken to in lines over its stdin and stdout.
 *
 *   Process *p = process_start(&config, &err);
 *   process_write(p, line, &err);  process_read_line(p, timeout_ms, &arena, &line, &err);  process_stop(p);
 *
 * No shell. Its stderr goes to `stderr_line` by lines (or nowhere). One thread reads, any thread may write or
 * interrupt. It gets its own descriptors only, default signals, and dies with us (PR_SET_PDEATHSIG).
 */
#ifndef MUX_WORKSPACE_PROCESS_H
#define MUX_WORKSPACE_PROCESS_H

#include "base/err.h"
#include "base/str.h"

typedef struct Process Process;

typedef struct ProcessConfig {
    Str command; /* a path, or a name looked up in PATH */
    const Str *args;
    size_t arg_count;
    const Str *env; /* "NAME=value", in place of or on top of ours */
    size_t env_count;
    Str cwd;         /* absolute */
    size_t line_max; /* longer lines end the reading; 0 = 32 MiB */
    void *ctx;
    void (*stderr_line)(void *ctx, Str line); /* on the reading thread; may be NULL */
} ProcessConfig;

/* ERR_NOT_FOUND: no such program; ERR_DENIED; ERR_IO. */
Process *process_start(const ProcessConfig *config, Err *err);
/* One line, "\n" is added. ERR_IO: the program is gone; ERR_LIMIT: it takes nothing for timeout_ms. */
bool process_write(Process *process, Str line, double timeout_ms, Err *err);
/* The next line without its end; *out borrowed until the next call. timeout_ms < 0: without end. ERR_LIMIT:
 * nothing came in time (the process goes on). ERR_IO: end of its output, with how it ended. ERR_CANCELLED:
 * process_interrupt. */
bool process_read_line(Process *process, double timeout_ms, Str *out, Err *err);
/* Ends a waiting read or write of another thread, and the next one. */
void process_interrupt(Process *process);
/* Closes its stdin, then SIGTERM after 500 ms, SIGKILL after 1,500 ms, to the whole group; NULL is fine. */
void process_stop(Process *process);

#endif
