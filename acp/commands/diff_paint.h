/* diff_paint: a printed diff in the colours of a terminal. */
#ifndef MUX_ACP_DIFF_PAINT_H
#define MUX_ACP_DIFF_PAINT_H

#include "diff/diff.h"

/* Appends the printed section(s) of a file: headers bold, removed lines red, added ones green, the words that
 * changed in reverse; what could act on the terminal is made visible. */
void diff_paint(const FileDiff *file, Str printed, Buf *out);

#endif
