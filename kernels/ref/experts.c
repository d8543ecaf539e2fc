#include "kernels/ref/ref_internal.h"

#include <math.h>

static bool is_taken(const int32_t *ids, int count, int id) {
    for (int u = 0; u < count; u++)
        if (ids[u] == id)
            return true;
    return false;
}

/* A NaN is never chosen before a number. */
static float rank_of(float logit) {
    return isnan(logit) ? -INFINITY : logit;
}

/* The largest logit that is not among ids[0 .. count - 1] yet; softmax keeps the order, so nothing is lost by
 * not rounding first. */
static int next_largest(const float *logits, int experts, const int32_t *ids, int count) {
    int best = -1;
    for (int e = 0; e < experts; e++)
        if (!is_taken(ids, count, e) && (best < 0 || rank_of(logits[e]) > rank_of(logits[best])))
            best = e;
    return best;
}

static void route_row(const Route *route, const float *logits, int32_t *ids, float *weights) {
    double largest = -INFINITY, total = 0, chosen = 0;
    for (int e = 0; e < route->experts; e++)
        largest = fmax(largest, logits[e]);
    for (int e = 0; e < route->experts; e++)
        total += exp(logits[e] - largest);
    for (int u = 0; u < route->used; u++) {
        ids[u] = next_largest(logits, route->experts, ids, u);
        chosen += exp(logits[ids[u]] - largest);
    }
    for (int u = 0; u < route->used; u++)
        weights[u] = (float)(exp(logits[ids[u]] - largest) / (route->normalise ? chosen : total));
}

void ref_route(Backend *backend, const Route *route) {
    (void)backend;
    for (int64_t i = 0; i < route->n; i++)
        route_row(route, route->logits + i * route->experts, route->ids + i * route->used,
                  route->weights + i * route->used);
}

static double dot_row(Tensor weight, int64_t row, const float *x, float *space) {
    dtype_to_floats(weight.type, ref_tensor_row(weight, row), weight.cols, space);
    double sum = 0;
    for (int64_t c = 0; c < weight.cols; c++)
        sum += (double)space[c] * x[c];
    return sum;
}

/* One expert's answer to one row, added to sums; hidden holds feed_forward values. */
static void add_expert(const Experts *e, int expert, double weight, const float *x, float *hidden,
                       double *sums, float *space) {
    int64_t width = e->gate.cols, feed_forward = e->gate.rows / e->experts;
    for (int64_t f = 0; f < feed_forward; f++) {
        double gate = dot_row(e->gate, expert * feed_forward + f, x, space);
        double up = dot_row(e->up, expert * feed_forward + f, x, space);
        hidden[f] = (float)(gate / (1 + exp(-gate)) * up);
    }
    for (int64_t c = 0; c < width; c++)
        sums[c] += weight * dot_row(e->down, expert * width + c, hidden, space);
}

void ref_experts(Backend *backend, const Experts *e) {
    RefBackend *ref = (RefBackend *)backend;
    int64_t width = e->gate.cols, feed_forward = e->gate.rows / e->experts;
    size_t longest = (size_t)(width > feed_forward ? width : feed_forward);
    double *sums =
        scratch_reserve(&ref->host, &ref->scratch, (size_t)width * sizeof *sums + longest * sizeof(float));
    if (!sums)
        return;
    float *space = (float *)(sums + width);
    for (int64_t i = 0; i < e->n; i++) {
        for (int64_t c = 0; c < width; c++)
            sums[c] = e->out[i * width + c];
        for (int64_t slot = i * e->used; slot < (i + 1) * e->used; slot++)
            add_expert(e, e->ids[slot], e->weights[slot], e->x + i * width, e->hidden + slot * feed_forward,
                       sums, space);
        for (int64_t c = 0; c < width; c++)
            e->out[i * width + c] = (float)sums[c];
    }
}
