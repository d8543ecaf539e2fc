/* compare: which lines of two texts differ. Private to the room.
 *
 * Calling sequence: pair_open (two texts as sequences of line names) -> compare_sides -> the flags; or
 * compare_sides on any names, as for the words of a hunk. Thread-safe; everything lives in the arenas given.
 */
#ifndef MUX_DIFF_COMPARE_INTERNAL_H
#define MUX_DIFF_COMPARE_INTERNAL_H

#include "base/str.h"

/* A sequence of names, small numbers that are equal where the things named are, and for each whether it is
 * not part of the common subsequence found. */
typedef struct CompareSide {
    uint32_t *names; /* NAME_NONE: the other side lacks it */
    size_t count;
    unsigned char *is_changed;
} CompareSide;

#define NAME_NONE UINT32_MAX

/* Fills is_changed of both sides with 0 and 1 (allocated by the caller); names are used up. What is left
 * unchanged is equal pairwise, in order. name_count: every name but NAME_NONE is below it. At most 2^31 - 1
 * names together. Returns the steps taken, for tests: at most about COMPARE_WORK_LINE a name beyond
 * COMPARE_WORK_FREE. */
uint64_t compare_sides(CompareSide *a, CompareSide *b, size_t name_count);
#define COMPARE_WORK_FREE ((uint64_t)32 << 20)
#define COMPARE_WORK_LINE 128

/* ---- texts ---- */

/* Where lines begin: 4 bytes a line. */
typedef struct LineIndex {
    Str text;
    uint32_t *begins; /* count + 1 of them: the last is the end of the text */
    size_t count;
} LineIndex;

/* The middles of two texts, without the lines that both begin and both end with. */
typedef struct LinePair {
    size_t first_byte, first_line; /* where both middles begin */
    LineIndex old, new;
    CompareSide a, b;
    size_t name_count;
} LinePair;

/* Texts below 2^31 bytes. */
void pair_open(Str before, Str after, Arena *arena, LinePair *out);

/* ---- anchors (compare_anchors.c) ---- */

typedef struct ComparePoint {
    int32_t x, y;
} ComparePoint;

/* One byte and one place a name, all zero between calls. */
typedef struct AnchorTable {
    unsigned char *seen;
    uint32_t *places;
} AnchorTable;

/* Pairs of equal names that occur exactly once in a[a0..a1) and once in b[b0..b1): the longest series of them
 * that ascends on both sides. */
ComparePoint *find_anchors(const AnchorTable *table, const uint32_t *a, const uint32_t *b, ComparePoint from,
                           ComparePoint to, Arena *arena, size_t *count);

#endif
