#include "engine/kv.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROWS 512
/* Addresses an arena may grow into, in timelines of full length; addresses cost nothing. */
#define ARENA_TIMELINES 64
/* Memory appears in steps of about this, so that growing by a page seldom asks the device for more. */
#define GROWTH_BYTES ((size_t)32 << 20)

size_t kv_bytes_per_token(const KvShape *shape) {
    return 2 * (size_t)shape->layers * kv_row_bytes(shape->type, shape->row_values);
}

/* ---- the arena ---- */

bool kv_arena_open(KvArena *arena, Backend *backend, const KvShape *shape, Err *err) {
    DeviceInfo info;
    backend_info(backend, &info);
    *arena = (KvArena){.backend = backend,
                       .shape = *shape,
                       .row_bytes = kv_row_bytes(shape->type, shape->row_values),
                       .page_rows = info.kv_page_rows};
    pthread_mutex_init(&arena->lock, NULL);
    if (!arena->page_rows)
        return true;
    arena->page_bytes = 2 * (size_t)shape->layers * (size_t)arena->page_rows * arena->row_bytes;
    size_t per_timeline = (shape->limit + (size_t)arena->page_rows - 1) / (size_t)arena->page_rows;
    size_t most = per_timeline * ARENA_TIMELINES;
    if (info.memory_bytes && most > info.memory_bytes / arena->page_bytes)
        most = info.memory_bytes / arena->page_bytes + 1;
    arena->page_capacity = most;
    arena->free_pages = calloc(most, sizeof *arena->free_pages);
    if (arena->free_pages && backend_reserve(backend, most * arena->page_bytes, &arena->memory))
        return true;
    kv_arena_close(arena);
    return err_set(err, ERR_NO_MEMORY, "out of memory for the keys and values of a model");
}

void kv_arena_close(KvArena *arena) {
    if (!arena->backend)
        return;
    backend_free(arena->backend, &arena->memory);
    free(arena->free_pages);
    pthread_mutex_destroy(&arena->lock);
    *arena = (KvArena){0};
}

size_t kv_arena_bytes(KvArena *arena) {
    pthread_mutex_lock(&arena->lock);
    size_t bytes = arena->memory.bytes;
    pthread_mutex_unlock(&arena->lock);
    return bytes;
}

static bool no_room(KvArena *arena, size_t rows, size_t bytes, Err *err) {
    KernelError why;
    backend_no_room(arena->backend, bytes, &why);
    return err_set(err, ERR_NO_MEMORY, "the keys and values of %zu tokens do not fit: %s", rows, why.text);
}

/* More memory behind the pages there are, at least one page of it. */
static bool grow(KvArena *arena) {
    size_t pages = GROWTH_BYTES / arena->page_bytes;
    if (pages < 1)
        pages = 1;
    if (pages > arena->page_capacity - arena->page_count)
        pages = arena->page_capacity - arena->page_count;
    if (pages > 1 &&
        !backend_commit(arena->backend, &arena->memory, (arena->page_count + pages) * arena->page_bytes))
        pages = 1;
    if (pages == 0 ||
        !backend_commit(arena->backend, &arena->memory, (arena->page_count + pages) * arena->page_bytes))
        return false;
    for (size_t i = 0; i < pages; i++) /* the lowest is given out first */
        arena->free_pages[arena->free_count++] = (int32_t)(arena->page_count + pages - 1 - i);
    arena->page_count += pages;
    return true;
}

static bool take_pages(Kv *kv, size_t count) {
    KvArena *arena = kv->arena;
    bool ok = true;
    pthread_mutex_lock(&arena->lock);
    while (ok && kv->page_count < count) {
        ok = arena->free_count || grow(arena);
        if (ok)
            kv->pages[kv->page_count++] = arena->free_pages[--arena->free_count];
    }
    pthread_mutex_unlock(&arena->lock);
    return ok;
}

static void give_pages_back(Kv *kv) {
    KvArena *arena = kv->arena;
    pthread_mutex_lock(&arena->lock);
    while (kv->page_count)
        arena->free_pages[arena->free_count++] = kv->pages[--kv->page_count];
    pthread_mutex_unlock(&arena->lock);
}

/* ---- timelines ---- */

static size_t most_pages(const KvArena *arena) {
    return (arena->shape.limit + (size_t)arena->page_rows - 1) / (size_t)arena->page_rows;
}

static bool open_paged(Kv *kv) {
    size_t most = most_pages(kv->arena);
    kv->pages = calloc(most, sizeof *kv->pages);
    return kv->pages && backend_alloc(kv->arena->backend, most * sizeof *kv->pages, &kv->page_table);
}

static bool open_rows(Kv *kv) {
    KvArena *arena = kv->arena;
    size_t most = arena->shape.limit * arena->row_bytes;
    kv->keys = calloc((size_t)arena->shape.layers, sizeof *kv->keys);
    kv->values = calloc((size_t)arena->shape.layers, sizeof *kv->values);
    bool ok = kv->keys && kv->values;
    for (int i = 0; ok && i < arena->shape.layers; i++)
        ok = backend_reserve(arena->backend, most, &kv->keys[i]) &&
             backend_reserve(arena->backend, most, &kv->values[i]);
    return ok;
}

bool kv_open(Kv *kv, KvArena *arena, Err *err) {
    *kv = (Kv){.arena = arena};
    if (arena->page_rows ? open_paged(kv) : open_rows(kv))
        return true;
    kv_close(kv);
    return err_set(err, ERR_NO_MEMORY, "out of memory for a chat's keys and values");
}

void kv_close(Kv *kv) {
    if (!kv->arena)
        return;
    if (kv->pages)
        give_pages_back(kv);
    for (int i = 0; kv->keys && kv->values && i < kv->arena->shape.layers; i++) {
        backend_free(kv->arena->backend, &kv->keys[i]);
        backend_free(kv->arena->backend, &kv->values[i]);
    }
    backend_free(kv->arena->backend, &kv->page_table);
    free(kv->keys);
    free(kv->values);
    free(kv->pages);
    *kv = (Kv){0};
}

static bool reserve_pages(Kv *kv, size_t rows, Err *err) {
    KvArena *arena = kv->arena;
    size_t before = kv->page_count, count = (rows + (size_t)arena->page_rows - 1) / (size_t)arena->page_rows;
    bool ok = take_pages(kv, count);
    if (kv->page_count > before)
        backend_put(arena->backend, kv->page_table, before * sizeof *kv->pages, kv->pages + before,
                    (kv->page_count - before) * sizeof *kv->pages);
    kv->capacity = kv->page_count * (size_t)arena->page_rows;
    return ok || no_room(arena, rows, (count - kv->page_count) * arena->page_bytes, err);
}

static bool reserve_rows(Kv *kv, size_t rows, Err *err) {
    KvArena *arena = kv->arena;
    size_t wanted = kv->capacity ? kv->capacity : FIRST_ROWS;
    while (wanted < rows)
        wanted *= 2;
    if (wanted > arena->shape.limit)
        wanted = arena->shape.limit;
    size_t bytes = wanted * arena->row_bytes;
    for (int i = 0; i < arena->shape.layers; i++)
        if (!backend_commit(arena->backend, &kv->keys[i], bytes) ||
            !backend_commit(arena->backend, &kv->values[i], bytes))
            return no_room(arena, wanted, bytes, err);
    kv->capacity = wanted;
    return true;
}

bool kv_reserve(Kv *kv, size_t rows, Err *err) {
    if (rows <= kv->capacity)
        return true;
    if (rows > kv->arena->shape.limit)
        return err_set(err, ERR_LIMIT, "%zu tokens do not fit in the context of %zu", rows,
                       kv->arena->shape.limit);
    return kv->arena->page_rows ? reserve_pages(kv, rows, err) : reserve_rows(kv, rows, err);
}

/* A page holds, layer by layer, its rows of keys and then of values. */
static KvRows rows_of(const Kv *kv, int layer, bool is_values) {
    const KvArena *arena = kv->arena;
    KvRows rows = {
        .type = arena->shape.type, .row_values = arena->shape.row_values, .row_bytes = arena->row_bytes};
    if (!arena->page_rows) {
        rows.base = is_values ? kv->values[layer].address : kv->keys[layer].address;
        return rows;
    }
    size_t part = 2 * (size_t)layer + is_values;
    rows.base = (char *)arena->memory.address + part * (size_t)arena->page_rows * arena->row_bytes;
    rows.pages = kv->page_table.address;
    rows.page_rows = arena->page_rows;
    rows.page_bytes = arena->page_bytes;
    return rows;
}

KvRows kv_keys(const Kv *kv, int layer) {
    return rows_of(kv, layer, false);
}

KvRows kv_values(const Kv *kv, int layer) {
    return rows_of(kv, layer, true);
}
