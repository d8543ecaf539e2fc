#include "engine/kv.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROWS 512
#define COPY_BYTES (64 * 1024)

static size_t value_bytes(bool is_f32) {
    return is_f32 ? sizeof(float) : sizeof(uint16_t);
}

size_t kv_bytes_per_token(int layers, int64_t row_values, bool is_f32) {
    return 2 * (size_t)layers * (size_t)row_values * value_bytes(is_f32);
}

bool kv_open(Kv *kv, Backend *backend, int layers, int64_t row_values, bool is_f32, size_t limit, Err *err) {
    *kv = (Kv){
        .backend = backend, .layers = layers, .row_values = row_values, .is_f32 = is_f32, .limit = limit};
    kv->keys = calloc((size_t)layers, sizeof *kv->keys);
    kv->values = calloc((size_t)layers, sizeof *kv->values);
    if (kv->keys && kv->values)
        return true;
    kv_close(kv);
    return err_set(err, ERR_NO_MEMORY, "out of memory for a chat's keys and values");
}

void kv_close(Kv *kv) {
    for (int i = 0; i < kv->layers; i++) {
        if (kv->keys)
            backend_free(kv->backend, &kv->keys[i]);
        if (kv->values)
            backend_free(kv->backend, &kv->values[i]);
    }
    free(kv->keys);
    free(kv->values);
    *kv = (Kv){0};
}

static void copy_rows(Kv *kv, Mem from, Mem to, size_t bytes) {
    char piece[COPY_BYTES];
    for (size_t at = 0; at < bytes; at += sizeof piece) {
        size_t n = bytes - at < sizeof piece ? bytes - at : sizeof piece;
        backend_get(kv->backend, piece, from, at, n);
        backend_put(kv->backend, to, at, piece, n);
    }
}

/* Moves one layer's rows to a larger place; the old one is freed at once, so that growing never holds two
 * whole caches. */
static bool grow(Kv *kv, Mem *mem, size_t bytes) {
    Mem larger;
    if (!backend_alloc(kv->backend, bytes, &larger))
        return false;
    copy_rows(kv, *mem, larger, mem->bytes < bytes ? mem->bytes : bytes);
    backend_free(kv->backend, mem);
    *mem = larger;
    return true;
}

bool kv_reserve(Kv *kv, size_t rows, Err *err) {
    if (rows <= kv->capacity)
        return true;
    if (rows > kv->limit)
        return err_set(err, ERR_LIMIT, "%zu tokens do not fit in the context of %zu", rows, kv->limit);
    size_t wanted = kv->capacity ? kv->capacity : FIRST_ROWS;
    while (wanted < rows)
        wanted *= 2;
    if (wanted > kv->limit)
        wanted = kv->limit;
    size_t row_bytes = (size_t)kv->row_values * value_bytes(kv->is_f32);
    for (int i = 0; i < kv->layers; i++)
        if (!grow(kv, &kv->keys[i], wanted * row_bytes) || !grow(kv, &kv->values[i], wanted * row_bytes))
            return err_set(err, ERR_NO_MEMORY, "out of memory for the keys and values of %zu tokens", wanted);
    kv->capacity = wanted;
    return true;
}

static KvRows rows_of(const Kv *kv, Mem mem) {
    return (KvRows){.rows = kv->is_f32 ? NULL : mem.address,
                    .row_values = kv->row_values,
                    .rows_f32 = kv->is_f32 ? mem.address : NULL};
}

KvRows kv_keys(const Kv *kv, int layer) {
    return rows_of(kv, kv->keys[layer]);
}

KvRows kv_values(const Kv *kv, int layer) {
    return rows_of(kv, kv->values[layer]);
}
