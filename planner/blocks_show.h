/* What the full style's model gets to see of the repository: a listing, the files that matter, what the user
 * pointed at. What does not fit is told with turn_left_out. */
#ifndef MUX_PLANNER_BLOCKS_SHOW_H
#define MUX_PLANNER_BLOCKS_SHOW_H

#include "planner/planner_internal.h"

/* The turn's user message. used: tokens that the system prompt takes. */
bool blocks_show(Turn *turn, size_t used, Buf *message, Err *err);
/* A text with LF line ends, as the model sees it. */
Str blocks_lf(Turn *turn, Str text);

#endif
