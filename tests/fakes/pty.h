/* A program with a terminal of its own: what it shows can be waited for, what a user types is sent.
 *
 * Pty pty; pty_spawn(&pty, &config); CHECK(pty_expect(&pty, "really? ")); pty_send(&pty, "y\n"); status =
 * pty_end(&pty); The terminal does not echo, so that only the program's own words are seen. Patience decides
 * only whether a test that hangs fails; it never makes one pass.
 */
#ifndef MUX_TESTS_PTY_H
#define MUX_TESTS_PTY_H

#include <sys/types.h>

#include "base/buf.h"

#define PTY_PATIENCE_MS 20000

typedef struct PtyConfig {
    const char *const *argv;
    const char *folder;              /* where it runs */
    const char *const *environment;  /* "NAME=value" set, "NAME" removed; ended by NULL; may be NULL */
    const char *out_path, *err_path; /* its stdout and stderr; NULL: the terminal */
    int columns;                     /* 0 = 80 */
    bool has_no_terminal;            /* a session without one: stdin is empty */
} PtyConfig;

typedef struct Pty {
    pid_t pid;
    int terminal; /* -1: closed, or none */
    Buf seen;     /* everything shown so far, without carriage returns */
    size_t at;    /* behind what was expected last */
} Pty;

void pty_spawn(Pty *pty, const PtyConfig *config);
/* Waits until the program has shown text behind what was expected before; false when it ends first, or when
 * patience runs out. */
bool pty_expect(Pty *pty, const char *text);
void pty_send(Pty *pty, const char *keys);
void pty_resize(Pty *pty, int columns); /* the program gets SIGWINCH */
void pty_hang_up(Pty *pty);             /* the terminal is closed */
/* Reads until the program ends; its exit status, or -signal, or -1000 when it hung (it is killed then). */
int pty_end(Pty *pty);
void pty_free(Pty *pty);

#endif
