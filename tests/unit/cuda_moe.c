/* moe.cu and moe_tiles.cu against loops in double over the values that weights and rounded activations stand
 * for. What down is given is read from the device and checked by itself, so that a value rounded to the other
 * side does not count twice. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/cuda_support.h"
#ifdef MUX_EMULATED
#include "tests/emulator/control.h"
#endif

/* ---- route ---- */

static float number_of(float logit) {
    return isnan(logit) ? -INFINITY : logit;
}

/* A weight is the quotient of two exponentials (their arguments rounded: 2^-24 of up to 90, their values
 * 2^-23) and a sum of up to 512 terms, 16 in a lane and 5 between lanes. */
static void check_route_row(const Route *route, const float *logits, const int32_t *ids,
                            const float *weights) {
    double largest = -INFINITY, total = 0, chosen = 0;
    bool taken[512] = {false};
    for (int e = 0; e < route->experts; e++)
        largest = fmax(largest, number_of(logits[e]));
    for (int e = 0; e < route->experts; e++)
        total += exp(number_of(logits[e]) - largest);
    for (int u = 0; u < route->used; u++) {
        int best = -1;
        for (int e = 0; e < route->experts; e++)
            if (!taken[e] && (best < 0 || number_of(logits[e]) > number_of(logits[best])))
                best = e;
        taken[best] = true;
        CHECK_INT(ids[u], best);
        chosen += exp(number_of(logits[best]) - largest);
    }
    for (int u = 0; u < route->used; u++) {
        double distance = fmax(number_of(logits[ids[u]]) - largest, -1e3); /* e^-1000 is 0 */
        double truth = exp(distance) / (route->normalise ? chosen : total);
        CHECK_MSG(fabs(weights[u] - truth) <= (4e-6 + 1e-7 * fabs(distance)) * truth + 1e-37,
                  "choice %d of %d: %g, not %g", u, route->experts, (double)weights[u], truth);
    }
}

static void fill_logits(float *logits, int count, int kind) {
    for (int e = 0; e < count; e++) {
        logits[e] = kind == 0 ? (float)random_below(4) : random_float() * (kind == 1 ? 0.2f : 4.0f);
        if (kind == 2 && random_below(10) == 0)
            logits[e] = -INFINITY;
    }
    if (kind == 2)
        logits[random_below(count)] = 1;
}

static void check_route(int n, int experts, int used) {
    CudaQueue *queue = device_open();
    float *logits = host_new((size_t)(n * experts) * sizeof *logits);
    for (int i = 0; i < n; i++)
        fill_logits(logits + i * experts, experts, random_below(4));
    Route route = {.logits = device_floats(logits, n * experts), .n = n, .experts = experts, .used = used};
    route.ids = (int32_t *)(void *)device_poisoned(1, n * used);
    route.weights = device_poisoned(1, n * used);
    route.normalise = random_below(2);
    CHECK(cuda_route(queue, &route));
    const int32_t *ids =
        (const int32_t *)(const void *)device_result((float *)(void *)route.ids, 1, n * used);
    const float *weights = device_result(route.weights, 1, n * used);
    for (int i = 0; i < n; i++)
        check_route_row(&route, logits + i * experts, ids + i * used, weights + i * used);
    device_close();
}

static void test_route(void) {
    static const int EXPERTS[] = {1, 2, 8, 31, 32, 33, 60, 64, 65, 128, 200, 256, 257, 512};
    for (int e = 0; e < 14; e++) {
        int most = EXPERTS[e] < 32 ? EXPERTS[e] : 32;
        check_route(1 + random_below(9), EXPERTS[e], 1 + random_below(most));
        check_route(1, EXPERTS[e], most);
    }
}

/* A logit that is no number is chosen after all others and spoils no index. */
static void test_route_without_numbers(void) {
    enum { EXPERTS = 40, USED = 3 };
    CudaQueue *queue = device_open();
    float logits[2 * EXPERTS];
    for (int e = 0; e < 2 * EXPERTS; e++)
        logits[e] = NAN;
    logits[7] = 1, logits[39] = 2;
    Route route = {.logits = device_floats(logits, 2 * EXPERTS), .n = 2, .experts = EXPERTS, .used = USED};
    route.ids = device_new(2 * USED * sizeof *route.ids);
    route.weights = device_new(2 * USED * sizeof *route.weights);
    CHECK(cuda_route(queue, &route));
    static const int32_t EXPECTED[] = {39, 7, 0, 0, 1, 2};
    int32_t ids[2 * USED];
    device_read(ids, route.ids, sizeof ids);
    for (int u = 0; u < 2 * USED; u++)
        CHECK_INT(ids[u], EXPECTED[u]);
    route.used = 33;
    CHECK(!cuda_route(queue, &route));
    route.experts = 513;
    route.used = 3;
    CHECK(!cuda_route(queue, &route));
    device_close();
}

/* ---- experts ---- */

typedef struct Layer {
    CudaQueue *queue;
    Weights gate, up, down;
    int experts, used, n;
    int64_t width, feed_forward;
    Activations x;
    const int32_t *ids;   /* host */
    const float *weights; /* host */
    const float *before;  /* host: out as it was, [n, width] */
    ExpertArgs args;
} Layer;

static float *random_values(int64_t count, float scale) {
    float *x = host_new((size_t)count * sizeof *x);
    random_floats(x, count);
    for (int64_t i = 0; i < count; i++)
        x[i] *= scale;
    return x;
}

/* Different experts for each row; `crowded`: expert 1 is in all of them. */
static int32_t *random_choices(int n, int experts, int used, bool crowded) {
    int32_t *ids = host_new((size_t)(n * used) * sizeof *ids);
    for (int i = 0; i < n; i++) {
        for (int u = 0; u < used; u++) {
            bool is_new = false;
            while (!is_new) {
                ids[i * used + u] = u == 0 && crowded ? 1 : random_below(experts);
                is_new = true;
                for (int v = 0; v < u; v++)
                    is_new &= ids[i * used + v] != ids[i * used + u];
            }
        }
    }
    return ids;
}

/* The device's copy of out, with poison behind it. */
static float *out_of(const float *before, int64_t count) {
    float *host = poisoned(1, count);
    memcpy(host, before, (size_t)count * sizeof *host);
    float *device = device_floats(host, count + GUARD);
    free(host);
    return device;
}

/* Rows `first` to first + n - 1 of the layer, with working space of their own. */
static ExpertArgs rows_of(const Layer *layer, int first, int n) {
    int64_t width = layer->width, feed_forward = layer->feed_forward, pairs = (int64_t)n * layer->used;
    ExpertArgs args = {.experts = {.gate = layer->gate.device,
                                   .up = layer->up.device,
                                   .down = layer->down.device,
                                   .n = n,
                                   .experts = layer->experts,
                                   .used = layer->used}};
    Experts *e = &args.experts;
    size_t some = (size_t)pairs;
    e->ids = device_put(layer->ids + first * layer->used, some * sizeof *layer->ids);
    e->weights = device_floats(layer->weights + first * layer->used, pairs);
    e->x = device_floats(layer->x.x + first * width, n * width);
    e->out = out_of(layer->before + first * width, n * width);
    e->hidden = device_new(some * (size_t)feed_forward * sizeof(float));
    if (width % 32 == 0) {
        size_t scales = (size_t)(width / 32) * 2;
        args.q8 =
            (Q8Rows){device_put(layer->x.q + first * width, (size_t)(n * width)),
                     device_floats(layer->x.scale + (size_t)first * scales, n * (int64_t)scales), width};
    }
    args.hidden_q8 = (Q8Rows){device_new(some * (size_t)feed_forward),
                              device_new(some * (size_t)feed_forward / 4 + 16), feed_forward};
    args.order = device_new(((size_t)layer->experts + 1 + some) * sizeof(int32_t));
    size_t partial = cuda_experts_partial_bytes(e);
    CHECK((partial == 0) == (n <= BACKEND_EXACT_ROWS));
    args.partial = partial ? device_new(partial) : NULL;
    return args;
}

typedef struct Shape {
    DType gate, up, down;
    int experts, used, n;
    int64_t width, feed_forward;
    float scale; /* of x */
    bool crowded;
} Shape;

static Layer layer_of(Shape shape) {
    Layer layer = {.queue = device_open(), .experts = shape.experts, .used = shape.used, .n = shape.n};
    layer.width = shape.width;
    layer.feed_forward = shape.feed_forward;
    layer.gate = weights_random(shape.gate, shape.experts * shape.feed_forward, shape.width);
    layer.up = weights_random(shape.up, shape.experts * shape.feed_forward, shape.width);
    layer.down = weights_random(shape.down, shape.experts * shape.width, shape.feed_forward);
    layer.x = activations_from(random_values(shape.n * shape.width, shape.scale), shape.n, shape.width);
    layer.ids = random_choices(shape.n, shape.experts, shape.used, shape.crowded);
    layer.weights = random_values(shape.n * shape.used, 0.25f);
    layer.before = random_values(shape.n * shape.width, 1);
    layer.args = rows_of(&layer, 0, shape.n);
    return layer;
}

/* ---- what they should be ---- */

/* What the type subtracts from each value: that of blocks with zero quants. */
static void less_of(Weights w, int64_t row, float *out) {
    DType type = w.type;
    size_t from = type == DTYPE_Q4_0 ? 2 : type == DTYPE_Q4_K || type == DTYPE_Q5_K ? 16 : 0;
    memset(out, 0, (size_t)w.cols * sizeof *out);
    if (!from)
        return;
    size_t block = (size_t)dtype_info((uint32_t)type)->block_bytes;
    uint8_t *zeroed = malloc(w.gguf_row_bytes);
    memcpy(zeroed, w.gguf + (size_t)row * w.gguf_row_bytes, w.gguf_row_bytes);
    for (size_t at = 0; at + block <= w.gguf_row_bytes; at += block)
        memset(zeroed + at + from, 0, block - from);
    gguf_to_floats(type, zeroed, w.cols, out);
    free(zeroed);
}

typedef struct Sum {
    double sum, bound;
} Sum;

/* Each term is rounded at most four times before it is added, three additions for 32 columns in the tiles
 * (two for 16 with halves, whose tensor cores may cut off where they should round), 30 more between lanes,
 * parts and experts: 2^-24 each of the terms' magnitudes, in which what is subtracted counts twice as the
 * quants are that much larger. Results below the normal range: 2^-149 a term. */
static Sum product(Weights w, int64_t row, const float *x, float *less) {
    Sum result = {0, 0};
    double magnitude = 0;
    less_of(w, row, less);
    for (int64_t c = 0; c < w.cols; c++) {
        double weight = w.values[row * w.cols + c], value = x[c];
        result.sum += weight * value;
        magnitude += (fabs(weight) + 2 * fabs((double)less[c])) * fabs(value);
    }
    result.bound = ((double)w.cols / 8 + 34) * 0x1p-24 * magnitude + (double)w.cols * 0x1p-149;
    return result;
}

static double silu(double x) {
    return x / (1 + exp(-x));
}

static bool is_tiled(const Layer *layer) {
    return layer->n > BACKEND_EXACT_ROWS && layer->args.partial && layer->gate.type == layer->up.type &&
           layer->gate.type != DTYPE_F32 && layer->down.type != DTYPE_F32;
}

/* One row of activations as the kernel for weights of this type sees them. */
static const float *seen_row(const Layer *layer, DType type, const float *x, const float *rounded,
                             int64_t cols) {
    if (layout_is_planar(type))
        return rounded;
    if (!is_tiled(layer))
        return x;
    float *halves = host_new((size_t)cols * sizeof *halves);
    for (int64_t c = 0; c < cols; c++)
        halves[c] =
            type == DTYPE_F16 ? half_to_float(half_from_float(x[c])) : bf16_to_float(bf16_from_float(x[c]));
    return halves;
}

/* silu(gate) * up with the bounds of both carried through: silu's slope is at most 1.1. */
static Sum hidden_value(const Layer *layer, int64_t row, const float *gate_x, const float *up_x,
                        float *less) {
    Sum gate = product(layer->gate, row, gate_x, less), up = product(layer->up, row, up_x, less);
    Sum result = {silu(gate.sum) * up.sum, 0};
    result.bound = 1.1 * gate.bound * (fabs(up.sum) + up.bound) + fabs(silu(gate.sum)) * up.bound +
                   fabs(result.sum) * (1e-6 + 2e-7 * fabs(gate.sum)) + 1e-35;
    return result;
}

/* Checks what the device holds of one pair's hidden row; returns the values that it stands for. */
static const float *check_hidden(const Layer *layer, int64_t pair) {
    int64_t count = layer->feed_forward;
    float *values = host_new((size_t)count * sizeof *values), *less = host_new((size_t)layer->width * 4);
    bool rounded = layout_is_planar(layer->down.type);
    int8_t *q = host_new((size_t)count);
    float *scale = host_new((size_t)(count / 32 + 1) * 2 * sizeof *scale);
    if (rounded) {
        device_read(q, layer->args.hidden_q8.q + pair * count, (size_t)count);
        device_read(scale, layer->args.hidden_q8.scale + pair * (count / 32) * 2,
                    (size_t)(count / 32) * 2 * sizeof *scale);
    } else {
        device_read(values, layer->args.experts.hidden + pair * count, (size_t)count * sizeof *values);
    }
    int64_t first_row = layer->ids[pair] * count, at = pair / layer->used * layer->width;
    const float *x = layer->x.x + at, *x8 = layer->x.q ? layer->x.values + at : NULL;
    const float *gate_x = seen_row(layer, layer->gate.type, x, x8, layer->width);
    const float *up_x = seen_row(layer, layer->up.type, x, x8, layer->width);
    double largest = 0, slack = 0;
    int sum = 0;
    for (int64_t f = 0; f < count; f++) {
        Sum truth = hidden_value(layer, first_row + f, gate_x, up_x, less);
        double step = rounded ? scale[f / 32 * 2] : 0;
        if (rounded)
            values[f] = (float)(step * q[f]);
        CHECK_MSG(fabs(values[f] - truth.sum) <= truth.bound + step * 0.50001,
                  "hidden %lld of pair %lld: %.9g, not %.9g, bound %g", (long long)f, (long long)pair,
                  (double)values[f], truth.sum, truth.bound);
        largest = fmax(largest, fabs(truth.sum));
        slack = fmax(slack, truth.bound);
        sum += q[f] * rounded;
        if (rounded && f % 32 == 31) {
            CHECK(fabs(step * 127 - largest) <= slack + largest * 1e-6);
            CHECK(scale[f / 32 * 2 + 1] == scale[f / 32 * 2] * (float)sum);
            largest = slack = sum = 0;
        }
    }
    return seen_row(layer, layer->down.type, values, values, count);
}

static const float *run(const Layer *layer) {
    int64_t count = layer->n * layer->width;
    CHECK(cuda_experts(layer->queue, &layer->args));
    return device_result(layer->args.experts.out, 1, count);
}

static void check_layer(const Layer *layer, const char *what) {
    const float *out = run(layer);
    float *less = host_new((size_t)layer->feed_forward * sizeof *less);
    const float *hidden[64];
    CHECK(layer->used <= 64);
    for (int64_t i = 0; i < layer->n; i++) {
        for (int u = 0; u < layer->used; u++)
            hidden[u] = check_hidden(layer, i * layer->used + u);
        for (int64_t c = 0; c < layer->width; c++) {
            double truth = layer->before[i * layer->width + c], bound = fabs(truth) * 0x1p-20;
            for (int u = 0; u < layer->used; u++) {
                int64_t pair = i * layer->used + u;
                Sum one = product(layer->down, layer->ids[pair] * layer->width + c, hidden[u], less);
                truth += layer->weights[pair] * one.sum;
                bound += fabs(layer->weights[pair]) * (one.bound + fabs(one.sum) * 0x1p-20);
            }
            CHECK_MSG(fabs(out[i * layer->width + c] - truth) <= bound,
                      "%s: row %lld, column %lld: %.9g, not %.9g, bound %g", what, (long long)i, (long long)c,
                      (double)out[i * layer->width + c], truth, bound);
        }
    }
}

static void check_shape(Shape shape) {
    char what[64];
    snprintf(what, sizeof what, "%s %s %s n %d", dtype_name((uint32_t)shape.gate),
             dtype_name((uint32_t)shape.up), dtype_name((uint32_t)shape.down), shape.n);
    Layer layer = layer_of(shape);
    check_layer(&layer, what);
    device_close();
}

static int64_t block_of(DType type) {
    int values = dtype_info((uint32_t)type)->block_values;
    return values == 1 ? 8 : values;
}

static void test_few_rows(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        DType type = WEIGHT_TYPES[t];
        int64_t block = block_of(type), wide = block * (block == 256 ? 2 : 3);
        check_shape((Shape){type, type, type, 3, 2, 2, wide, block, 0.01f, false});
    }
    check_shape((Shape){DTYPE_Q4_K, DTYPE_Q4_K, DTYPE_Q6_K, 5, 3, 1, 256, 256, 0.01f, false});
    check_shape((Shape){DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q8_0, 4, 4, 3, 1120, 96, 0.1f, false});
    check_shape((Shape){DTYPE_Q4_0, DTYPE_Q4_0, DTYPE_F16, 4, 2, 8, 96, 40, 0.01f, true});
    check_shape((Shape){DTYPE_BF16, DTYPE_BF16, DTYPE_Q8_0, 40, 32, 1, 40, 64, 1, false});
}

/* A device whose blocks have no room for the stream. */
static void test_small_shared_memory(void) {
#ifdef MUX_EMULATED
    emulator_set_capability(86);
    check_shape((Shape){DTYPE_Q6_K, DTYPE_Q6_K, DTYPE_Q6_K, 3, 2, 2, 512, 256, 0.01f, false});
    check_shape((Shape){DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q8_0, 3, 2, 2, 96, 96, 0.1f, false});
    emulator_set_capability(90);
#else
    SKIP("the shared memory of a device is what it is");
#endif
}

/* gate and up of two types: one after the other. */
static void test_two_types(void) {
    check_shape((Shape){DTYPE_Q4_0, DTYPE_Q8_0, DTYPE_Q4_0, 3, 2, 3, 96, 64, 0.01f, false});
    check_shape((Shape){DTYPE_F16, DTYPE_Q8_0, DTYPE_F32, 3, 2, 2, 96, 40, 0.1f, false});
    check_shape((Shape){DTYPE_F16, DTYPE_Q8_0, DTYPE_F32, 3, 1, 8, 96, 24, 0.1f, false});
}

static void test_many_rows(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        DType type = WEIGHT_TYPES[t];
        int64_t block = block_of(type);
        if (type == DTYPE_F32)
            continue;
        check_shape((Shape){type, type, type, 3, 2, 9 + random_below(3), block == 256 ? 256 : block * 9,
                            block == 256 ? 256 : block * 5, 0.01f, false});
    }
    /* more than one tile of tokens for an expert, none for others; columns beyond a stage */
    check_shape((Shape){DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q8_0, 35, 2, 67, 288, 32, 0.1f, true});
    check_shape((Shape){DTYPE_F16, DTYPE_F16, DTYPE_BF16, 5, 1, 66, 136, 40, 0.1f, true});
    check_shape((Shape){DTYPE_Q4_0, DTYPE_Q4_0, DTYPE_F16, 4, 2, 10, 96, 104, 0.01f, false});
}

/* The same bits for a row alone and for it among others: up to BACKEND_EXACT_ROWS, and in the tiles. */
static void check_alone(Shape shape, int first, int n) {
    Layer layer = layer_of(shape);
    const float *all = run(&layer);
    ExpertArgs part = rows_of(&layer, first, n);
    CHECK(cuda_experts(layer.queue, &part));
    const float *some = device_result(part.experts.out, 1, n * layer.width);
    CHECK_MSG(same_bits(all + first * layer.width, some, n * layer.width), "%s: rows %d to %d of %d",
              dtype_name((uint32_t)shape.gate), first, first + n - 1, shape.n);
    device_close();
}

static void test_alone(void) {
    for (int t = 0; t < WEIGHT_TYPE_COUNT; t++) {
        DType type = WEIGHT_TYPES[t];
        int64_t block = block_of(type);
        Shape shape = {type, type, type, 4, 3, 8, 2 * block, block, 0.01f, false};
        check_alone(shape, random_below(8), 1);
        check_alone(shape, 3, 1 + random_below(5));
    }
    check_alone((Shape){DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q4_0, 3, 2, 31, 64, 32, 0.1f, false}, 11, 9);
    check_alone((Shape){DTYPE_BF16, DTYPE_BF16, DTYPE_F16, 3, 2, 21, 64, 32, 0.1f, false}, 0, 12);
}

/* Without space for the parts, and for types without tiles: BACKEND_EXACT_ROWS at a time, as if asked for. */
static void check_in_parts(Shape shape, bool has_partial) {
    Layer layer = layer_of(shape);
    if (!has_partial)
        layer.args.partial = NULL;
    const float *all = run(&layer);
    for (int first = 0; first < layer.n; first += BACKEND_EXACT_ROWS) {
        int n = layer.n - first < BACKEND_EXACT_ROWS ? layer.n - first : BACKEND_EXACT_ROWS;
        ExpertArgs part = rows_of(&layer, first, n);
        CHECK(cuda_experts(layer.queue, &part));
        CHECK(same_bits(all + first * layer.width, device_result(part.experts.out, 1, n * layer.width),
                        n * layer.width));
    }
    device_close();
}

static void test_in_parts(void) {
    check_in_parts((Shape){DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q8_0, 3, 2, 19, 64, 32, 0.1f, false}, false);
    check_in_parts((Shape){DTYPE_F32, DTYPE_F32, DTYPE_F32, 3, 2, 17, 16, 24, 0.1f, false}, true);
    check_in_parts((Shape){DTYPE_F16, DTYPE_Q8_0, DTYPE_Q8_0, 3, 2, 9, 64, 32, 0.1f, false}, true);
}

static void test_refused(void) {
    Layer layer = layer_of((Shape){DTYPE_F16, DTYPE_F16, DTYPE_F16, 3, 2, 2, 20, 20, 1, false});
    CHECK(!cuda_experts(layer.queue, &layer.args));
    layer = layer_of((Shape){DTYPE_Q8_0, DTYPE_Q8_0, DTYPE_Q8_0, 3, 2, 2, 32, 32, 1, false});
    ExpertArgs args = layer.args;
    args.q8.q = NULL;
    CHECK(!cuda_experts(layer.queue, &args));
    args = layer.args;
    args.hidden_q8.q = NULL;
    CHECK(!cuda_experts(layer.queue, &args));
    args = layer.args;
    args.experts.up.type = (DType)77;
    CHECK(!cuda_experts(layer.queue, &args));
    device_close();
}

static const TestCase CASES[] = {
    {"the choice of experts", test_route},
    {"logits that are no numbers", test_route_without_numbers},
    {"experts of few rows, every type", test_few_rows},
    {"experts with little shared memory", test_small_shared_memory},
    {"gate and up of two types", test_two_types},
    {"experts of many rows, every type", test_many_rows},
    {"a row does not depend on the others", test_alone},
    {"many rows in parts", test_in_parts},
    {"what has no kernel is refused", test_refused},
};
TEST_SUITE(CUDA_MOE_SUITE, "moe", CASES);
