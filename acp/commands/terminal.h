/* terminal: text that came from files or models, shown so that it cannot drive the terminal.
 *
 * Reads the terminal's own variables (NO_COLOR, TERM); everything else comes from the settings. Thread-safe.
 */
#ifndef MUX_ACP_TERMINAL_H
#define MUX_ACP_TERMINAL_H

#include "base/buf.h"

/* A terminal that is not dumb, and NO_COLOR is unset or empty. */
bool terminal_takes_colour(int fd);
/* Columns; 80 when the terminal does not say. */
size_t terminal_width(int fd);

/* Appends text with whatever could act on a terminal made visible: control characters as ^X, those past
 * U+007F and the ones that turn the direction of text as <U+009B>, bytes that are no UTF-8 as \xNN. Tabs
 * stay, and line feeds when keeps_lines. */
void terminal_put(Buf *out, Str text, bool keeps_lines);
/* The same, cut to at most `columns` characters (a tab counts as one and becomes a blank). */
void terminal_put_cut(Buf *out, Str text, size_t columns);

#endif
