/* Mixtures of experts: the choice of experts, and their products with the rows grouped by expert, so that
 * each expert's weights are read once for all rows that chose it.
 */
#include "kernels/cpu/cpu_internal.h"

#include <math.h>
#include <string.h>

/* Rows of x by slots: slot i * used + u is choice u of row i; places are slots in the order of experts. */
typedef struct ExpertRun {
    const Experts *experts;
    int64_t width, feed_forward;
    int *place_of, *slot_at, *begin; /* [slots], [slots], [experts + 1]: the places of each expert */
    CpuProduct *products;            /* [2 * busy experts] */
    const float *down;               /* [slots, width], by place */
    float *rows;                     /* [slots, width], by place */
} ExpertRun;

/* A NaN is never chosen before a number. */
static float rank_of(float logit) {
    return isnan(logit) ? -INFINITY : logit;
}

static void route_item(void *context, int item, int worker) {
    const Route *route = context;
    (void)worker;
    const float *logits = route->logits + (int64_t)item * route->experts;
    int32_t *ids = route->ids + (int64_t)item * route->used;
    float *weights = route->weights + (int64_t)item * route->used;
    int count = 0;
    for (int e = 0; e < route->experts; e++) { /* keeps the best so far in falling order */
        float rank = rank_of(logits[e]);
        if (count == route->used && !(rank > rank_of(logits[ids[count - 1]])))
            continue;
        int at = count < route->used ? count++ : count - 1;
        for (; at > 0 && rank > rank_of(logits[ids[at - 1]]); at--)
            ids[at] = ids[at - 1];
        ids[at] = e;
    }
    float largest = logits[ids[0]], total = 0, chosen = 0;
    for (int e = 0; e < route->experts && !route->normalise; e++)
        total += expf(logits[e] - largest);
    for (int u = 0; u < route->used; u++)
        chosen += weights[u] = expf(logits[ids[u]] - largest);
    for (int u = 0; u < route->used; u++)
        weights[u] /= route->normalise ? chosen : total;
}

void cpu_route(Backend *backend, const Route *route) {
    Route run = *route;
    pool_run(((CpuBackend *)backend)->pool, route_item, &run, route->n);
}

/* Counts, then places: rows keep their order within an expert. */
static void group_slots(ExpertRun *run) {
    const Experts *e = run->experts;
    int slots = e->n * e->used;
    memset(run->begin, 0, ((size_t)e->experts + 1) * sizeof *run->begin);
    for (int s = 0; s < slots; s++)
        run->begin[e->ids[s] + 1]++;
    for (int x = 0; x < e->experts; x++)
        run->begin[x + 1] += run->begin[x];
    for (int s = 0; s < slots; s++) {
        int place = run->begin[e->ids[s]]++;
        run->place_of[s] = place;
        run->slot_at[place] = s;
    }
    memmove(run->begin + 1, run->begin, (size_t)e->experts * sizeof *run->begin); /* back to the beginnings */
    run->begin[0] = 0;
}

static void gather_item(void *context, int item, int worker) {
    ExpertRun *run = context;
    (void)worker;
    int row = run->slot_at[item] / run->experts->used;
    memcpy(run->rows + item * run->width, run->experts->x + row * run->width,
           (size_t)run->width * sizeof *run->rows);
}

/* In the order of choices, whatever else travels in the batch. */
static void combine_item(void *context, int item, int worker) {
    ExpertRun *run = context;
    const Experts *e = run->experts;
    (void)worker;
    float *out = e->out + item * run->width;
    for (int u = 0; u < e->used; u++) {
        int slot = item * e->used + u;
        const float *down = run->down + run->place_of[slot] * run->width;
        for (int64_t c = 0; c < run->width; c++)
            out[c] += e->weights[slot] * down[c];
    }
}

/* The stack's matrix of one expert. */
static Tensor expert_matrix(const Tensor *stack, int expert, int experts) {
    Tensor matrix = *stack;
    matrix.rows = stack->rows / experts;
    matrix.data = (char *)stack->data + (size_t)expert * (size_t)matrix.rows * stack->row_bytes;
    return matrix;
}

/* One product for each expert that has rows; out and x are by place. Returns how many. */
static int list_products(const ExpertRun *run, CpuProduct *products, const Tensor *stack, float *out,
                         const float *x, QuantRows quant) {
    int count = 0, experts = run->experts->experts;
    for (int e = 0; e < experts; e++) {
        int64_t place = run->begin[e], cols = stack->cols, blocks = cols / QUANT_BLOCK;
        int n = run->begin[e + 1] - run->begin[e];
        if (n == 0)
            continue;
        Tensor matrix = expert_matrix(stack, e, experts);
        CpuProduct product = {.x = x + place * cols, .x_stride = cols, .quant = quant, .n = n};
        product.job = (MatMul){matrix, NULL, out + place * matrix.rows, matrix.rows, false};
        if (quant.q) {
            product.quant.q += place * cols;
            product.quant.d += place * blocks;
            product.quant.offsets += place * blocks;
            product.quant.half_offsets += place * blocks * 2;
        }
        products[count++] = product;
    }
    return count;
}

static bool reserve_lists(CpuBackend *cpu, ExpertRun *run, int slots) {
    const Experts *e = run->experts;
    int busy = slots < e->experts ? slots : e->experts;
    size_t products = 2 * (size_t)busy * sizeof *run->products;
    size_t ints = 2 * (size_t)slots + (size_t)e->experts + 1;
    run->products = scratch_reserve(&cpu->host, &cpu->experts.lists, products + ints * sizeof *run->begin);
    if (!run->products)
        return false;
    run->begin = (int *)(void *)((char *)run->products + products);
    run->place_of = run->begin + e->experts + 1;
    run->slot_at = run->place_of + slots;
    return true;
}

void cpu_experts(Backend *backend, const Experts *e) {
    CpuBackend *cpu = (CpuBackend *)backend;
    ExpertSpace *space = &cpu->experts;
    ExpertRun run = {.experts = e, .width = e->gate.cols, .feed_forward = e->gate.rows / e->experts};
    int slots = e->n * e->used;
    size_t width_bytes = (size_t)slots * (size_t)run.width * sizeof(float);
    if (slots <= 0 || !reserve_lists(cpu, &run, slots))
        return;
    run.rows = scratch_reserve(&cpu->host, &space->rows, width_bytes);
    float *up =
        scratch_reserve(&cpu->host, &space->up, (size_t)slots * (size_t)run.feed_forward * sizeof *up);
    float *down = scratch_reserve(&cpu->host, &space->down, width_bytes);
    if (!run.rows || !up || !down)
        return;
    run.down = down;
    group_slots(&run);
    pool_run(cpu->pool, gather_item, &run, slots);
    QuantRows quant = {0};
    bool is_quant = cpu_is_quant(e->gate.type) || cpu_is_quant(e->up.type);
    if (is_quant && !cpu_quantize(cpu, &space->activations, run.rows, run.width, run.width, slots, &quant))
        return;
    int count = list_products(&run, run.products, &e->gate, e->hidden, run.rows, quant);
    count += list_products(&run, run.products + count, &e->up, up, run.rows, quant);
    cpu_products(cpu, run.products, count);
    cpu_swiglu(backend, e->hidden, e->hidden, up, slots * run.feed_forward);
    quant = (QuantRows){0};
    if (cpu_is_quant(e->down.type) &&
        !cpu_quantize(cpu, &space->activations, e->hidden, run.feed_forward, run.feed_forward, slots, &quant))
        return;
    count = list_products(&run, run.products, &e->down, down, e->hidden, quant);
    cpu_products(cpu, run.products, count);
    pool_run(cpu->pool, combine_item, &run, e->n);
}
