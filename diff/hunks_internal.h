/* Where hunks stand among equally good places. Private to the room. */
#ifndef MUX_DIFF_HUNKS_INTERNAL_H
#define MUX_DIFF_HUNKS_INTERNAL_H

#include "diff/diff.h"

/* A run of lines inserted or deleted may often stand a little further up or down with the same result: when
 * the line before it equals its last one, or the line after it its first one. Moves each such hunk to where
 * it meets a neighbour (and is one hunk with it) or, failing that, to where a reader would see a block begin
 * and end. The rest of the hunks and the texts stay as they are. */
void slide_hunks(Hunks *hunks);

#endif
