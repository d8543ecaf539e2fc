/* Process: a program of its own process group, spoken to in lines over its stdin and stdout.
 *
 *   Process *p = process_start(&config, &err);
 *   process_write(p, line, &err);  process_read_line(p, timeout_ms, &arena, &line, &err);  process_stop(p);
 *
 * No shell. Its stderr goes to `stderr_line` by lines (or nowhere). One thread reads, any thread may write or
 * interrupt. It gets its own descriptors only, default signals, and dies with us (PR_SET_PDEATHSIG). What it
 * says is taken in while a write waits, too, so that two full pipes never wait for each other.
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
    size_t line_max; /* longer lines end the reading (ERR_INVALID); 0 = 32 MiB */
    void *ctx;
    void (*stderr_line)(void *ctx, Str line); /* on the reading thread; may be NULL */
} ProcessConfig;

/* ERR_NOT_FOUND: no such program; ERR_DENIED; ERR_IO. */
Process *process_start(const ProcessConfig *config, Err *err);
/* One line, "\n" is added. ERR_IO: the program is gone; ERR_LIMIT: it takes nothing for timeout_ms;
 * ERR_CANCELLED: process_interrupt. A line of which only a part went out breaks the input: every later write
 * is ERR_IO. */
bool process_write(Process *process, Str line, double timeout_ms, Err *err);
/* The next line without its end; *out borrowed until the next call. timeout_ms < 0: without end. ERR_LIMIT:
 * nothing came in time (the process goes on). ERR_IO: end of its output, with how it ended. ERR_CANCELLED:
 * process_interrupt. */
bool process_read_line(Process *process, double timeout_ms, Str *out, Err *err);
/* Ends one read and one write: those that wait now, else the next that would have to wait. Any number of
 * calls before that count as one. */
void process_interrupt(Process *process);
/* By the reading thread, before it looks at the flag whose setting an interrupt made known: what is set later
 * interrupts for certain, what was set earlier does so no more. */
void process_forget_interrupts(Process *process);
/* Closes its stdin, which asks it to end: so that several end at the same time. */
void process_end_input(Process *process);
/* Closes its stdin, then SIGTERM 500 ms later, SIGKILL 1,500 ms later, to the whole group; what it leaves
 * behind in its group when it ends is killed. Nobody else may use the process any more; NULL is fine. */
void process_stop(Process *process);

#endif
