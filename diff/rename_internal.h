/* rename: how much of one text is found in another. Private to the room.
 *
 * A text is taken as a bag of pieces: its lines, cut after every 64 bytes. Two texts share the bytes of the
 * pieces they have in common, wherever those stand; the similarity is that share of the longer text. */
#ifndef MUX_DIFF_RENAME_INTERNAL_H
#define MUX_DIFF_RENAME_INTERNAL_H

#include "base/str.h"

enum { SIMILAR_ENOUGH = 50 }; /* percent from which a file counts as renamed or copied */

typedef struct PieceSlot {
    uint64_t hash; /* 0: free */
    size_t bytes;  /* of all pieces with this hash */
} PieceSlot;

typedef struct Pieces {
    PieceSlot *slots;
    size_t mask; /* slots - 1 */
    size_t text_bytes;
} Pieces;

Pieces pieces_of(Str text, Arena *arena);
/* Percent, rounded down; 100 says nothing about the order of the pieces. Two empty texts: 100. */
int pieces_similarity(const Pieces *a, const Pieces *b);
/* The same of two texts; 100 only when they are equal. */
int text_similarity(Str a, Str b);

typedef struct RenameSource {
    Pieces pieces;
    Str path;
    bool is_free; /* false: taken by a rename */
} RenameSource;

typedef struct RenameTarget {
    Pieces pieces;
    Str path;
    size_t source; /* index of its source, or STR_NONE */
    int percent;
} RenameTarget;

/* Gives targets without a source the free source most like them, the best pairs first, of equal ones those
 * with the same file name. is_used_up: a source serves one target. Work and memory grow with the number of
 * pieces, not with sources times targets: only sources that share rare pieces or the file name are looked at.
 */
void rename_match(RenameSource *sources, size_t source_count, RenameTarget *targets, size_t target_count,
                  bool is_used_up);

/* What follows the last slash. */
Str file_name(Str path);

#endif
