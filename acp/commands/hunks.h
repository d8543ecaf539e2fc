/* hunks: asks on the terminal about a proposed change, hunk by hunk, the way git-add(1) describes for
 * "patch".
 *
 * Calling sequence: hunk_dialog_open -> hunk_dialog_ask for each question, on the turn's thread ->
 * hunk_dialog_close. hunk_dialog_stop and hunk_dialog_take_signal may be called from any
 * thread. Only what is decided is handed on (by
 * the ids of the hunks, or as a text when the user edited a hunk himself); nothing is written here.
 */
#ifndef MUX_ACP_HUNKS_H
#define MUX_ACP_HUNKS_H

#include <pthread.h>
#include <stdio.h>

#include "planner/planner.h"

typedef struct HunkDialog {
    bool is_open;
    int in, stop; /* the terminal; an eventfd that ends the wait for an answer */
    FILE *out;
    bool has_colour;
    bool has_quit; /* everything that follows is left out */
    pthread_mutex_t lock;
    bool is_editing; /* under lock: an editor has the terminal, and interrupts are meant for it */
    Buf inbox;       /* read, not yet used */
} HunkDialog;

/* ERR_IO when the process has no terminal (/dev/tty). */
bool hunk_dialog_open(HunkDialog *dialog, Err *err);
void hunk_dialog_close(HunkDialog *dialog); /* also one that was never opened */
/* Asks, then answers the question. Cancels the turn when stopped; the end of the input counts as "q". */
void hunk_dialog_ask(HunkDialog *dialog, Session *session, const QuestionEvent *question);
/* Reads one signal from a non-blocking signalfd. False when there is none, and for an interrupt that an
 * editor has the terminal for. From any thread; every thread blocks the signals. */
bool hunk_dialog_take_signal(HunkDialog *dialog, int signals);
/* Ends the dialog's wait for an answer as an interrupt does. */
void hunk_dialog_stop(HunkDialog *dialog);

#endif
