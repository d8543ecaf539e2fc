/* Kv: the keys and values of one token timeline, all layers, growing on demand.
 *
 * Calling sequence: kv_open -> (kv_reserve -> kv_keys / kv_values)* -> kv_close. Rewinding costs nothing:
 * rows past the length its owner keeps are simply written again. One thread at a time, the one that owns the
 * backend.
 */
#ifndef MUX_ENGINE_KV_H
#define MUX_ENGINE_KV_H

#include "base/err.h"
#include "kernels/backend.h"

typedef struct Kv {
    Backend *backend;
    int layers;
    int64_t row_values; /* kv heads * head width */
    bool is_f32;        /* rows are float32 rather than halves */
    size_t capacity;    /* rows there are */
    size_t limit;       /* rows there may be: the context */
    Mem *keys, *values; /* per layer */
} Kv;

bool kv_open(Kv *kv, Backend *backend, int layers, int64_t row_values, bool is_f32, size_t limit, Err *err);
void kv_close(Kv *kv); /* a zeroed one is fine */
/* Room for rows positions, contents kept. ERR_LIMIT beyond the limit, ERR_NO_MEMORY. */
bool kv_reserve(Kv *kv, size_t rows, Err *err);
KvRows kv_keys(const Kv *kv, int layer);
KvRows kv_values(const Kv *kv, int layer);
/* Keys and values of one position in all layers. */
size_t kv_bytes_per_token(int layers, int64_t row_values, bool is_f32);

#endif
