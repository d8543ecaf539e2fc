/* Random texts and names for patches: slices of real files, bent the way real files are bent.
 *
 * texts_collect once; then the functions draw from test_random() alone, so a seed gives the same texts on the
 * same machine. Results live in the Arena given. One thread.
 */
#ifndef MUX_TESTS_DIFFERENTIAL_TEXTS_H
#define MUX_TESTS_DIFFERENTIAL_TEXTS_H

#include "tests/differential/small_tree.h"

/* Lists text files of this checkout and of the system (headers, licences); false when there is none. */
bool texts_collect(Arena *arena);

size_t pick(size_t below); /* 0 .. below - 1 */
bool chance(unsigned percent);

/* Line ends of all kinds, missing final newlines, marks of byte order, sometimes empty, sometimes binary. */
Str random_text(Arena *arena);
/* A few lines replaced, added, removed, moved or bent in their blanks and line ends. */
Str edited_text(Str text, size_t edits, Arena *arena);
/* A path with no neighbour in the tree that it could not stand beside. */
Str random_name(const SmallTree *tree, Arena *arena);
SmallTree random_tree(Arena *arena);
/* A few changes: edits, creations, deletions, renames, copies, modes, changes of type, swaps. */
SmallTree edited_tree(const SmallTree *tree, Arena *arena);

typedef struct Lines {
    Str *items; /* with their line ends */
    size_t count, capacity;
} Lines;
Lines lines_of(Str text, Arena *arena);
Str lines_joined(const Lines *lines, Arena *arena);
void lines_insert(Lines *lines, size_t at, Str line, Arena *arena);
void lines_remove(Lines *lines, size_t at, size_t count);

#endif
