/* Inside of process.h: what a started program is made of. process_start.c makes it, process.c talks to it. */
#ifndef MUX_WORKSPACE_PROCESS_INTERNAL_H
#define MUX_WORKSPACE_PROCESS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/buf.h"
#include "workspace/process.h"

struct Process {
    pid_t pid;
    int pid_fd;            /* readable once it has ended; -1 where the system has none */
    int in, out, messages; /* our ends of its stdin, stdout, stderr; non-blocking; in is -1 once closed */
    int reader_wakes, writer_wakes; /* eventfds */
    size_t line_max;
    void *ctx;
    void (*stderr_line)(void *ctx, Str line);
    char name[80]; /* for sentences */

    pthread_mutex_t write_lock; /* one line at a time; guards the three below */
    bool is_input_broken;       /* half a line was written */
    unsigned interrupts_written;
    double input_closed; /* when, monotonic; 0: it is open */

    atomic_uint interrupts;
    unsigned interrupts_read; /* the reading thread's */
    Buf line;                 /* lent to the reader */

    pthread_mutex_t lock; /* guards what follows: reader and writer both take in what the program says */
    Buf output, errors;
    size_t output_at, output_scanned; /* what is taken; how far no line end was found */
    bool is_output_over, is_messages_over, has_exited;
};

#endif
