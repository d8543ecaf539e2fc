/* hunks: asks on the terminal about every hunk of a proposed change. */
#ifndef MUX_ACP_HUNKS_H
#define MUX_ACP_HUNKS_H

#include <stdio.h>

#include "diff/diff.h"
#include "planner/planner.h"

typedef struct HunkDialog {
    FILE *in, *out; /* the terminal; tests put files here */
    bool has_quit;
} HunkDialog;

bool hunk_dialog_open(HunkDialog *dialog, Err *err); /* /dev/tty */
void hunk_dialog_close(HunkDialog *dialog);
/* Asks, then answers the question; runs on the turn's thread. */
void hunk_dialog_ask(HunkDialog *dialog, Session *session, const QuestionEvent *question);
/* What is decided about one file: keep[i] per hunk. True when any is kept. */
bool hunk_dialog_choose(HunkDialog *dialog, const ToolDiff *diff, const Hunks *hunks, bool *keep);

#endif
