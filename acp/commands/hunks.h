/* hunks: asks on the terminal about a proposed change, hunk by hunk, the way git-add(1) describes for
 * "patch".
 *
 * Calling sequence: hunk_dialog_open -> hunk_dialog_ask for each question, on the turn's thread ->
 * hunk_dialog_close. hunk_dialog_stop may be called from any thread. Only what is decided is handed on (by
 * the ids of the hunks, or as a text when the user edited a hunk himself); nothing is written here.
 */
#ifndef MUX_ACP_HUNKS_H
#define MUX_ACP_HUNKS_H

#include <stdatomic.h>
#include <stdio.h>

#include "planner/planner.h"

typedef struct HunkDialog {
    bool is_open;
    int in, stop; /* the terminal; an eventfd that ends the wait for an answer */
    FILE *out;
    bool has_colour;
    bool has_quit;          /* everything that follows is left out */
    atomic_bool is_editing; /* an editor has the terminal: an interrupt is meant for it */
    Buf inbox;              /* read, not yet used */
} HunkDialog;

/* ERR_IO when the process has no terminal (/dev/tty). */
bool hunk_dialog_open(HunkDialog *dialog, Err *err);
void hunk_dialog_close(HunkDialog *dialog); /* also one that was never opened */
/* Asks, then answers the question. Cancels the turn when stopped; the end of the input counts as "q". */
void hunk_dialog_ask(HunkDialog *dialog, Session *session, const QuestionEvent *question);
/* Ends the dialog's wait for an answer as an interrupt does. */
void hunk_dialog_stop(HunkDialog *dialog);

#endif
