#include "kernels/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

typedef struct AttendRun {
    CpuBackend *cpu;
    float *out;
    const float *q;
    KvRows keys, values;
    const int32_t *positions;
    int n, heads, kv_heads, head_dim;
    int heads_per_tile, tokens_per_tile, splits,
        tiles; /* splits of the heads of one key head; tiles of tokens */
    float scale;
} AttendRun;

static size_t tile_floats(int rows, int padded) {
    return (size_t)rows * (2 * (size_t)padded + 3 + KEY_BLOCK + 16) + (size_t)padded * KEY_BLOCK * 2;
}

/* Cuts worker memory into the tile's arrays; each begins on a cache line. */
static AttendTile tile_in(void *memory, int rows, int head_dim) {
    int padded = (head_dim + 15) / 16 * 16, lines = (rows + 15) / 16 * 16;
    float *at = memory;
    AttendTile tile = {.rows = rows, .head_dim = head_dim, .padded = padded};
    tile.keys = at, at += (size_t)padded * KEY_BLOCK;
    tile.values = at, at += (size_t)padded * KEY_BLOCK;
    tile.q = at, at += (size_t)rows * padded;
    tile.sum = at, at += (size_t)rows * padded;
    tile.scores = at, at += (size_t)rows * KEY_BLOCK;
    tile.largest = at, at += lines;
    tile.total = at, at += lines;
    tile.last = (int *)(void *)at;
    return tile;
}

/* The row of head h (of those in the tile) and token t (from the tile's first). */
typedef struct TileSpan {
    int token0, tokens, head0, heads;
} TileSpan;

static int load_queries(const AttendRun *run, AttendTile *tile, TileSpan span) {
    const float factor = run->scale * 1.44269504088896341f; /* log2(e): weights become powers of two */
    int last = 0;
    for (int r = 0; r < tile->rows; r++) {
        int token = span.token0 + r / span.heads, head = span.head0 + r % span.heads;
        const float *q = run->q + ((int64_t)token * run->heads + head) * run->head_dim;
        float *to = tile->q + (int64_t)r * tile->padded;
        for (int c = 0; c < run->head_dim; c++)
            to[c] = q[c] * factor;
        for (int c = run->head_dim; c < tile->padded; c++)
            to[c] = 0;
        tile->last[r] = run->positions[token];
        tile->largest[r] = -INFINITY;
        tile->total[r] = 0;
        last = tile->last[r] > last ? tile->last[r] : last;
    }
    memset(tile->sum, 0, (size_t)tile->rows * (size_t)tile->padded * sizeof *tile->sum);
    return last;
}

static void store_outputs(const AttendRun *run, const AttendTile *tile, TileSpan span) {
    for (int r = 0; r < tile->rows; r++) {
        int token = span.token0 + r / span.heads, head = span.head0 + r % span.heads;
        float *out = run->out + ((int64_t)token * run->heads + head) * run->head_dim;
        for (int c = 0; c < run->head_dim; c++)
            out[c] = tile->sum[(int64_t)r * tile->padded + c] / tile->total[r];
    }
}

static KvRows rows_from(KvRows kv, int64_t at) {
    return (KvRows){kv.rows_f32 ? NULL : kv.rows + at, kv.row_values, kv.rows_f32 ? kv.rows_f32 + at : NULL};
}

static void attend_item(void *context, int item, int worker) {
    AttendRun *run = context;
    int group = run->heads / run->kv_heads, per_tile = run->kv_heads * run->splits;
    /* The last tokens see the most keys: they start first, so that threads finish together. */
    int tile_index = run->tiles - 1 - item / per_tile, kv_head = item % per_tile / run->splits;
    int split = item % run->splits * run->heads_per_tile;
    TileSpan span = {.token0 = tile_index * run->tokens_per_tile, .head0 = kv_head * group + split};
    span.tokens = run->n - span.token0 < run->tokens_per_tile ? run->n - span.token0 : run->tokens_per_tile;
    span.heads = group - split < run->heads_per_tile ? group - split : run->heads_per_tile;
    AttendTile tile = tile_in(run->cpu->workers[worker].address, span.tokens * span.heads, run->head_dim);
    int last = load_queries(run, &tile, span);
    for (int start = 0; start <= last; start += KEY_BLOCK) {
        int count = last + 1 - start < KEY_BLOCK ? last + 1 - start : KEY_BLOCK;
        int64_t at = start * run->keys.row_values + (int64_t)kv_head * run->head_dim;
        KvRows keys = rows_from(run->keys, at), values = rows_from(run->values, at);
        run->cpu->kernels.attend_block(&tile, keys, values, start, count);
    }
    store_outputs(run, &tile, span);
}

void cpu_attend(Backend *backend, float *out, const float *q, KvRows keys, KvRows values,
                const int32_t *positions, int n, int heads, int kv_heads, int head_dim, float scale) {
    if (n <= 0)
        return;
    AttendRun run = {(CpuBackend *)backend, out, q, keys, values, positions, n, heads, kv_heads, head_dim,
                     .scale = scale};
    int group = heads / kv_heads, threads = pool_threads(run.cpu->pool);
    run.heads_per_tile = group < ATTEND_MAX_ROWS ? group : ATTEND_MAX_ROWS;
    run.tokens_per_tile = ATTEND_MAX_ROWS / run.heads_per_tile;
    if (run.tokens_per_tile > n)
        run.tokens_per_tile = n;
    /* Few tokens and many threads: shorter tiles, though each reads the keys again. */
    while (run.tokens_per_tile > 1 &&
           (n + run.tokens_per_tile - 1) / run.tokens_per_tile * kv_heads < threads)
        run.tokens_per_tile = (run.tokens_per_tile + 1) / 2;
    run.tiles = (n + run.tokens_per_tile - 1) / run.tokens_per_tile;
    while (run.heads_per_tile > 1 &&
           run.tiles * kv_heads * ((group + run.heads_per_tile - 1) / run.heads_per_tile) < threads)
        run.heads_per_tile = (run.heads_per_tile + 1) / 2;
    run.splits = (group + run.heads_per_tile - 1) / run.heads_per_tile;
    int padded = (head_dim + 15) / 16 * 16, rows = run.tokens_per_tile * run.heads_per_tile;
    if (cpu_reserve_workers(run.cpu, tile_floats(rows + 16, padded) * sizeof(float)))
        pool_run(run.cpu->pool, attend_item, &run, run.tiles * kv_heads * run.splits);
}
