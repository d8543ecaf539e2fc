#include "kernels/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

static const float LOG2_E = 1.44269504088896341f; /* scores in powers of two: e^x = 2^(x * LOG2_E) */

typedef struct AttendRun {
    CpuBackend *cpu;
    const Attend *attend;
    int heads_per_tile, tokens_per_tile, splits,
        tiles; /* splits of the heads of one key head; tiles of tokens */
} AttendRun;

static int padded_width(int width) {
    return (width + 15) / 16 * 16;
}

static size_t tile_floats(int rows, int padded, int value_padded) {
    size_t widths = (size_t)padded + (size_t)value_padded;
    return (size_t)rows * (widths + 4 + KEY_BLOCK) + 4 * 16 + widths * KEY_BLOCK;
}

/* Cuts worker memory into the tile's arrays; each begins on a cache line. */
static AttendTile tile_in(void *memory, int rows, const Attend *attend) {
    int lines = (rows + 15) / 16 * 16;
    float *at = memory;
    AttendTile tile = {.rows = rows,
                       .head_dim = attend->head_dim,
                       .value_dim = attend->value_dim,
                       .padded = padded_width(attend->head_dim),
                       .value_padded = padded_width(attend->value_dim),
                       .softcap = attend->softcap > 0 ? attend->softcap * LOG2_E : 0};
    tile.keys = at, at += (size_t)tile.padded * KEY_BLOCK;
    tile.values = at, at += (size_t)tile.value_padded * KEY_BLOCK;
    tile.q = at, at += (size_t)rows * (size_t)tile.padded;
    tile.sum = at, at += (size_t)rows * (size_t)tile.value_padded;
    tile.scores = at, at += (size_t)rows * KEY_BLOCK;
    tile.largest = at, at += lines;
    tile.total = at, at += lines;
    tile.first = (int *)(void *)at, at += lines;
    tile.last = (int *)(void *)at;
    return tile;
}

/* The row of head h (of those in the tile) and token t (from the tile's first). */
typedef struct TileSpan {
    int token0, tokens, head0, heads;
} TileSpan;

/* The positions that any row of the tile sees. */
static KeySpan load_queries(const Attend *attend, AttendTile *tile, TileSpan span) {
    const float factor = attend->scale * LOG2_E;
    KeySpan seen = {INT32_MAX, 0};
    for (int r = 0; r < tile->rows; r++) {
        int token = span.token0 + r / span.heads, head = span.head0 + r % span.heads;
        const float *q = attend->q + ((int64_t)token * attend->heads + head) * attend->head_dim;
        float *to = tile->q + (int64_t)r * tile->padded;
        for (int c = 0; c < attend->head_dim; c++)
            to[c] = q[c] * factor;
        for (int c = attend->head_dim; c < tile->padded; c++)
            to[c] = 0;
        int last = attend->positions[token];
        tile->last[r] = last;
        tile->first[r] = attend->window > 0 && last >= attend->window ? last - attend->window + 1 : 0;
        tile->largest[r] = -INFINITY;
        tile->total[r] = 0;
        seen.from = tile->first[r] < seen.from ? tile->first[r] : seen.from;
        seen.to = last + 1 > seen.to ? last + 1 : seen.to;
    }
    memset(tile->sum, 0, (size_t)tile->rows * (size_t)tile->value_padded * sizeof *tile->sum);
    return seen;
}

/* A sink's weight joins the total at the end; the sums shrink when it is the largest score. */
static float shrink_by_sink(AttendTile *tile, int row, float sink) {
    float score = sink * LOG2_E, largest = fmaxf(tile->largest[row], score);
    float shrink = exp2f(tile->largest[row] - largest);
    tile->total[row] = tile->total[row] * shrink + exp2f(score - largest);
    return shrink;
}

static void store_outputs(const Attend *attend, AttendTile *tile, TileSpan span) {
    for (int r = 0; r < tile->rows; r++) {
        int token = span.token0 + r / span.heads, head = span.head0 + r % span.heads;
        float *out = attend->out + ((int64_t)token * attend->heads + head) * attend->value_dim;
        float *sum = tile->sum + (int64_t)r * tile->value_padded;
        if (attend->sinks) {
            float shrink = shrink_by_sink(tile, r, attend->sinks[head]);
            for (int c = 0; c < attend->value_dim; c++)
                sum[c] *= shrink;
        }
        for (int c = 0; c < attend->value_dim; c++)
            out[c] = sum[c] / tile->total[r];
    }
}

void attend_limit_scores(const AttendTile *tile, int row, KeySpan span) {
    float *scores = tile->scores + row * KEY_BLOCK;
    for (int k = span.from; k < span.to && tile->softcap > 0; k++)
        scores[k] = tile->softcap * tanhf(scores[k] / tile->softcap);
    for (int k = 0; k < span.from; k++)
        scores[k] = -INFINITY;
}

static KvBlock block_at(const KvRows *kv, int position, int64_t column) {
    bool is_f32 = kv->type == DTYPE_F32;
    return (KvBlock){kv_row(kv, position) + column * (is_f32 ? 4 : 2), kv->row_bytes, is_f32};
}

static void attend_item(void *context, int item, int worker) {
    AttendRun *run = context;
    const Attend *attend = run->attend;
    int group = attend->heads / attend->kv_heads, per_tile = attend->kv_heads * run->splits;
    /* The last tokens see the most keys: they start first, so that threads finish together. */
    int tile_index = run->tiles - 1 - item / per_tile, kv_head = item % per_tile / run->splits;
    int split = item % run->splits * run->heads_per_tile;
    TileSpan span = {.token0 = tile_index * run->tokens_per_tile, .head0 = kv_head * group + split};
    int tokens = attend->n - span.token0;
    span.tokens = tokens < run->tokens_per_tile ? tokens : run->tokens_per_tile;
    span.heads = group - split < run->heads_per_tile ? group - split : run->heads_per_tile;
    AttendTile tile = tile_in(run->cpu->workers[worker].address, span.tokens * span.heads, attend);
    KeySpan seen = load_queries(attend, &tile, span);
    for (int start = seen.from / KEY_BLOCK * KEY_BLOCK; start < seen.to; start += KEY_BLOCK) {
        int count = seen.to - start < KEY_BLOCK ? seen.to - start : KEY_BLOCK;
        KvBlock keys = block_at(&attend->keys, start, (int64_t)kv_head * attend->head_dim);
        KvBlock values = block_at(&attend->values, start, (int64_t)kv_head * attend->value_dim);
        run->cpu->kernels.attend_block(&tile, keys, values, start, count);
    }
    store_outputs(attend, &tile, span);
}

void cpu_attend(Backend *backend, const Attend *attend) {
    int n = attend->n, kv_heads = attend->kv_heads;
    if (n <= 0)
        return;
    AttendRun run = {.cpu = (CpuBackend *)backend, .attend = attend};
    int group = attend->heads / kv_heads, threads = pool_threads(run.cpu->pool);
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
    size_t floats = tile_floats(run.tokens_per_tile * run.heads_per_tile, padded_width(attend->head_dim),
                                padded_width(attend->value_dim));
    if (cpu_reserve_workers(run.cpu, floats * sizeof(float)))
        pool_run(run.cpu->pool, attend_item, &run, run.tiles * kv_heads * run.splits);
}
