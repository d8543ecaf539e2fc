/* Arena: many small allocations with one lifetime, freed together.
 *
 * Calling sequence: Arena a = {0}; p = arena_alloc(&a, n); ... arena_free(&a);
 * Four lifetimes are in use: process, session, turn, message. An arena belongs to one thread at a time.
 * Running out of memory for these small things ends the process with one line on stderr; large memory
 * (weights, KV, file texts beyond the caps) is never taken from an arena without a size check.
 */
#ifndef MUX_BASE_ARENA_H
#define MUX_BASE_ARENA_H

#include <stddef.h>

typedef struct ArenaChunk ArenaChunk;
typedef struct Arena {
    ArenaChunk *chunks;
    size_t used_bytes; /* handed out so far, for accounting */
} Arena;

void *arena_alloc(Arena *arena, size_t bytes); /* zeroed, aligned for any type; never NULL */
/* Array of count elements; the product is overflow checked (ends the process: counts are checked before). */
void *arena_array(Arena *arena, size_t count, size_t element_bytes);
/* A copy of the first old_bytes in a block of new_bytes; the old block stays until arena_free. */
void *arena_grow(Arena *arena, const void *old, size_t old_bytes, size_t new_bytes);
void arena_free(Arena *arena); /* everything; the arena may be used again */

#define ARENA_NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_array((arena), (count), sizeof(type)))

/* Growable array inside an arena: LIST_PUSH(arena, items, count, capacity, value). */
#define LIST_PUSH(arena, items, count, capacity, value)                                                      \
    do {                                                                                                     \
        if ((count) == (capacity)) {                                                                         \
            size_t list_new_capacity_ = (capacity) ? (size_t)(capacity)*2 : 8;                               \
            (items) = arena_grow((arena), (items), (size_t)(count) * sizeof *(items),                        \
                                 list_new_capacity_ * sizeof *(items));                                      \
            (capacity) = list_new_capacity_;                                                                 \
        }                                                                                                    \
        (items)[(count)++] = (value);                                                                        \
    } while (0)

#endif
