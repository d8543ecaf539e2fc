#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ArenaChunk {
    ArenaChunk *next;
    size_t size, used;
    _Alignas(max_align_t) char data[];
};

enum { CHUNK_MIN = 16 * 1024, CHUNK_MAX = 1024 * 1024 };

static _Noreturn void out_of_memory(size_t bytes) {
    fprintf(stderr,
            "mux-acp: out of memory: %zu bytes could not be allocated; close other programs and retry\n",
            bytes);
    abort();
}

static ArenaChunk *chunk_new(ArenaChunk *next, size_t bytes) {
    size_t size = next ? next->size * 2 : CHUNK_MIN;
    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    if (size < bytes)
        size = bytes;
    if (size > SIZE_MAX - sizeof(ArenaChunk))
        out_of_memory(bytes);
    ArenaChunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk)
        out_of_memory(bytes);
    chunk->next = next;
    chunk->size = size;
    chunk->used = 0;
    return chunk;
}

void *arena_alloc(Arena *arena, size_t bytes) {
    const size_t align = _Alignof(max_align_t);
    if (bytes > SIZE_MAX - align)
        out_of_memory(bytes);
    bytes = (bytes + align - 1) & ~(align - 1);
    ArenaChunk *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < bytes)
        chunk = arena->chunks = chunk_new(chunk, bytes);
    void *p = chunk->data + chunk->used;
    chunk->used += bytes;
    arena->used_bytes += bytes;
    memset(p, 0, bytes);
    return p;
}

void *arena_array(Arena *arena, size_t count, size_t element_bytes) {
    if (element_bytes && count > SIZE_MAX / element_bytes)
        out_of_memory(SIZE_MAX);
    return arena_alloc(arena, count * element_bytes);
}

void *arena_grow(Arena *arena, const void *old, size_t old_bytes, size_t new_bytes) {
    void *p = arena_alloc(arena, new_bytes);
    if (old_bytes)
        memcpy(p, old, old_bytes);
    return p;
}

void arena_free(Arena *arena) {
    for (ArenaChunk *chunk = arena->chunks; chunk;) {
        ArenaChunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    *arena = (Arena){0};
}
