/* Operations on single rows and values: embedding, norms, rotations, gates, sums, writing keys and values. */
#include "kernels/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

enum { PIECE = 16384 }; /* values of one item; below two of them threads cost more than they bring */

typedef struct ElementRun {
    CpuBackend *cpu;
    float *out;
    const float *a, *b;
    int64_t count, d, rows_per_item;
    float eps;
    KvRows kv;
    const int32_t *positions;
    const Tensor *table;
    int heads, head_dim, n_rot;
    RopeKind kind;
} ElementRun;

static int items_for(int64_t count, int64_t per_item) {
    return (int)((count + per_item - 1) / per_item);
}

static int64_t rows_per_item(int64_t d) {
    return d >= PIECE ? 1 : PIECE / (d > 0 ? d : 1);
}

static int64_t item_end(const ElementRun *run, int item) {
    int64_t end = (item + 1) * run->rows_per_item;
    return end < run->count ? end : run->count;
}

static void embed_item(void *context, int item, int worker) {
    ElementRun *run = context;
    (void)worker;
    for (int64_t i = item * run->rows_per_item; i < item_end(run, item); i++)
        run->cpu->kernels.to_floats(run->table->type, tensor_row(run->table, run->positions[i]), run->d,
                                    run->out + i * run->d);
}

void cpu_embed(Backend *backend, float *out, Tensor table, const int32_t *ids, int n) {
    ElementRun run = {
        .cpu = (CpuBackend *)backend, .out = out, .table = &table, .positions = ids, .count = n};
    run.d = table.cols;
    run.rows_per_item = rows_per_item(run.d);
    pool_run(run.cpu->pool, embed_item, &run, items_for(n, run.rows_per_item));
}

static void norm_item(void *context, int item, int worker) {
    ElementRun *run = context;
    (void)worker;
    for (int64_t i = item * run->rows_per_item; i < item_end(run, item); i++)
        run->cpu->kernels.rms_norm(run->out + i * run->d, run->a + i * run->d, run->b, run->d, run->eps);
}

void cpu_rms_norm(Backend *backend, float *out, const float *x, const float *weight, int64_t rows, int64_t d,
                  float eps) {
    ElementRun run = {
        .cpu = (CpuBackend *)backend, .out = out, .a = x, .b = weight, .count = rows, .d = d, .eps = eps};
    run.rows_per_item = rows_per_item(d);
    pool_run(run.cpu->pool, norm_item, &run, items_for(rows, run.rows_per_item));
}

static void swiglu_item(void *context, int item, int worker) {
    ElementRun *run = context;
    (void)worker;
    int64_t at = item * run->rows_per_item;
    run->cpu->kernels.swiglu(run->out + at, run->a + at, run->b + at, item_end(run, item) - at);
}

void cpu_swiglu(Backend *backend, float *out, const float *gate, const float *up, int64_t count) {
    ElementRun run = {.cpu = (CpuBackend *)backend, .out = out, .a = gate, .b = up, .count = count};
    run.rows_per_item = PIECE;
    pool_run(run.cpu->pool, swiglu_item, &run, items_for(count, PIECE));
}

static void add_item(void *context, int item, int worker) {
    ElementRun *run = context;
    (void)worker;
    int64_t at = item * run->rows_per_item;
    run->cpu->kernels.add(run->out + at, run->a + at, item_end(run, item) - at);
}

void cpu_add(Backend *backend, float *out, const float *x, int64_t count) {
    ElementRun run = {
        .cpu = (CpuBackend *)backend, .out = out, .a = x, .count = count, .rows_per_item = PIECE};
    pool_run(run.cpu->pool, add_item, &run, items_for(count, PIECE));
}

static void kv_item(void *context, int item, int worker) {
    ElementRun *run = context;
    (void)worker;
    for (int64_t i = item * run->rows_per_item; i < item_end(run, item); i++) {
        void *row = kv_row(&run->kv, run->positions[i]);
        if (run->kv.type == DTYPE_F32)
            memcpy(row, run->a + i * run->d, (size_t)run->d * sizeof(float));
        else
            run->cpu->kernels.halves_from_floats(row, run->a + i * run->d, run->d);
    }
}

void cpu_kv_write(Backend *backend, KvRows kv, const float *x, const int32_t *positions, int n) {
    ElementRun run = {.cpu = (CpuBackend *)backend, .kv = kv, .a = x, .positions = positions, .count = n};
    run.d = kv.row_values;
    run.rows_per_item = rows_per_item(run.d);
    pool_run(run.cpu->pool, kv_item, &run, items_for(n, run.rows_per_item));
}

static bool same_turns(const RopeTable *table, const int32_t *positions, int n, int n_rot, float base,
                       const float *factors) {
    const char *key = table->key.address;
    size_t position_bytes = (size_t)n * sizeof *positions, factor_bytes = (size_t)n_rot / 2 * sizeof *factors;
    return key && table->n == n && table->n_rot == n_rot && table->base == base &&
           table->has_factors == (factors != NULL) && memcmp(key, positions, position_bytes) == 0 &&
           (!factors || memcmp(key + position_bytes, factors, factor_bytes) == 0);
}

/* Angles in double: a float angle at position 100000 would be off by 4e-3. */
static const float *rope_turns(CpuBackend *cpu, const int32_t *positions, int n, int n_rot, float base,
                               const float *factors) {
    RopeTable *table = &cpu->rope;
    if (same_turns(table, positions, n, n_rot, base, factors))
        return table->turns.address;
    size_t pairs = (size_t)n_rot / 2, position_bytes = (size_t)n * sizeof *positions;
    float *turns = scratch_reserve(&cpu->host, &table->turns, (size_t)n * pairs * 2 * sizeof *turns + 1);
    char *key = scratch_reserve(&cpu->host, &table->key, position_bytes + pairs * sizeof *factors + 1);
    table->n = -1;
    if (!turns || !key)
        return NULL;
    for (size_t j = 0; j < pairs; j++) {
        double step = pow(base, -2.0 * (double)j / n_rot) / (factors ? factors[j] : 1);
        for (int i = 0; i < n; i++) {
            turns[2 * ((size_t)i * pairs + j)] = (float)cos(positions[i] * step);
            turns[2 * ((size_t)i * pairs + j) + 1] = (float)sin(positions[i] * step);
        }
    }
    memcpy(key, positions, position_bytes);
    if (factors)
        memcpy(key + position_bytes, factors, pairs * sizeof *factors);
    table->n = n, table->n_rot = n_rot, table->base = base, table->has_factors = factors != NULL;
    return turns;
}

static void rotate_head(float *head, const float *turns, int pairs, RopeKind kind) {
    int step = kind == ROPE_NORM ? 2 : 1, apart = kind == ROPE_NORM ? 1 : pairs;
    for (int j = 0; j < pairs; j++) {
        float *first = head + j * step, *second = first + apart, a = *first, b = *second;
        *first = a * turns[2 * j] - b * turns[2 * j + 1];
        *second = a * turns[2 * j + 1] + b * turns[2 * j];
    }
}

static void rope_item(void *context, int item, int worker) {
    ElementRun *run = context;
    (void)worker;
    int pairs = run->n_rot / 2;
    for (int64_t i = item * run->rows_per_item; i < item_end(run, item); i++)
        for (int h = 0; h < run->heads; h++)
            rotate_head(run->out + (i * run->heads + h) * run->head_dim, run->a + i * pairs * 2, pairs,
                        run->kind);
}

void cpu_rope(Backend *backend, float *x, const int32_t *positions, int n, int heads, int head_dim, int n_rot,
              RopeKind kind, float base, const float *factors) {
    ElementRun run = {.cpu = (CpuBackend *)backend, .out = x, .count = n, .kind = kind};
    run.heads = heads, run.head_dim = head_dim, run.n_rot = n_rot;
    run.a = rope_turns(run.cpu, positions, n, n_rot, base, factors);
    if (!run.a)
        return;
    run.rows_per_item = rows_per_item((int64_t)heads * head_dim);
    pool_run(run.cpu->pool, rope_item, &run, items_for(n, run.rows_per_item));
}
