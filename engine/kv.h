/* Kv: the keys and values of token timelines.
 *
 * A KvArena belongs to a loaded model and holds the rows of all its chats; a Kv is one timeline. Calling
 * sequence: kv_arena_open -> (kv_open -> (kv_reserve -> kv_keys / kv_values)* -> kv_close)* ->
 * kv_arena_close. Rewinding costs nothing: rows past the length its owner keeps are simply written again.
 *
 * Where the backend pages (a GPU), the arena is one range of device addresses in which memory appears as it
 * is needed and pages of a few dozen positions, all layers of them, are given out and taken back; nothing
 * ever moves, so captured graphs stay valid. Where it does not (a host), every layer of a timeline has rows
 * of its own in addresses reserved for the whole context. Threads: kv_open and kv_close may be called while
 * another thread runs a timeline of the same arena; the rest only by the thread that owns the backend.
 */
#ifndef MUX_ENGINE_KV_H
#define MUX_ENGINE_KV_H

#include <pthread.h>

#include "base/err.h"
#include "kernels/backend.h"

typedef struct KvShape {
    int layers;
    int64_t row_values; /* kv heads * head width, of keys and values alike */
    DType type;         /* F32, F16, BF16, Q8_0 */
    size_t limit;       /* positions of one timeline: the context */
} KvShape;

typedef struct KvArena {
    Backend *backend;
    KvShape shape;
    size_t row_bytes;
    int page_rows;        /* 0 = timelines have rows of their own */
    size_t page_bytes;    /* keys and values of all layers */
    pthread_mutex_t lock; /* the free list and the counts below */
    Mem memory;           /* pages */
    int32_t *free_pages;  /* [page_capacity] a stack */
    size_t free_count, page_count, page_capacity;
} KvArena;

typedef struct Kv {
    KvArena *arena;
    size_t capacity;    /* rows there are */
    Mem *keys, *values; /* per layer, not paged */
    int32_t *pages;     /* paged: this timeline's, in order */
    size_t page_count;
    Mem page_table; /* the same on the device */
} Kv;

bool kv_arena_open(KvArena *arena, Backend *backend, const KvShape *shape, Err *err);
void kv_arena_close(KvArena *arena); /* all timelines closed; a zeroed one is fine */
/* Device memory that the timelines of this arena take now. */
size_t kv_arena_bytes(KvArena *arena);

bool kv_open(Kv *kv, KvArena *arena, Err *err);
void kv_close(Kv *kv); /* a zeroed one is fine */
/* Room for rows positions, contents kept. ERR_LIMIT beyond the limit, ERR_NO_MEMORY. */
bool kv_reserve(Kv *kv, size_t rows, Err *err);
KvRows kv_keys(const Kv *kv, int layer);
KvRows kv_values(const Kv *kv, int layer);
/* Keys and values of one position in all layers. */
size_t kv_bytes_per_token(const KvShape *shape);

#endif
