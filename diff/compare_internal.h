/* compare: which lines of two texts differ. Private to the room. */
#ifndef MUX_DIFF_COMPARE_INTERNAL_H
#define MUX_DIFF_COMPARE_INTERNAL_H

#include "base/arena.h"
#include "diff/lines_internal.h"

/* A sequence of line names and, for each, whether it is not part of the common subsequence found. */
typedef struct CompareSide {
    const uint32_t *names;
    size_t count;
    unsigned char *is_changed;
} CompareSide;

/* Fills is_changed of both sides (allocated by the caller, zeroed). The lines left unchanged are equal
 * pairwise, in order. name_count: every name is below it. */
void compare_sides(CompareSide *a, CompareSide *b, uint32_t name_count);

#endif
