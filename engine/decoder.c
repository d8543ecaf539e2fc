#include "engine/decoder.h"

#include <math.h>
#include <string.h>

/* ---- binding ---- */

void bind_attention(Decoder *decoder, Weights *weights, int layer) {
    const Shape *shape = &decoder->shape;
    Layer *out = &decoder->layers[layer];
    int64_t q_width = (int64_t)shape->heads * shape->head_width;
    int64_t kv_width = (int64_t)shape->kv_heads * shape->head_width;
    out->attn_norm = weights_vector(weights, "blk.%d.attn_norm.weight", layer, shape->width);
    out->q = weights_matrix(weights, "blk.%d.attn_q.weight", layer, q_width, shape->width);
    out->k = weights_matrix(weights, "blk.%d.attn_k.weight", layer, kv_width, shape->width);
    out->v = weights_matrix(weights, "blk.%d.attn_v.weight", layer, kv_width, shape->width);
    out->attn_output = weights_matrix(weights, "blk.%d.attn_output.weight", layer, shape->width, q_width);
}

void bind_attention_biases(Decoder *decoder, Weights *weights, int layer) {
    const Shape *shape = &decoder->shape;
    Layer *out = &decoder->layers[layer];
    int64_t kv_width = (int64_t)shape->kv_heads * shape->head_width;
    out->q_bias =
        weights_vector(weights, "blk.%d.attn_q.bias", layer, (int64_t)shape->heads * shape->head_width);
    out->k_bias = weights_vector(weights, "blk.%d.attn_k.bias", layer, kv_width);
    out->v_bias = weights_vector(weights, "blk.%d.attn_v.bias", layer, kv_width);
}

void bind_optional_biases(Decoder *decoder, Weights *weights, int layer) {
    const Shape *shape = &decoder->shape;
    Layer *out = &decoder->layers[layer];
    int64_t q_width = (int64_t)shape->heads * shape->head_width;
    int64_t kv_width = (int64_t)shape->kv_heads * shape->head_width;
    out->q_bias = weights_optional_vector(weights, "blk.%d.attn_q.bias", layer, q_width);
    out->k_bias = weights_optional_vector(weights, "blk.%d.attn_k.bias", layer, kv_width);
    out->v_bias = weights_optional_vector(weights, "blk.%d.attn_v.bias", layer, kv_width);
    out->attn_output_bias = weights_optional_vector(weights, "blk.%d.attn_output.bias", layer, shape->width);
}

void bind_head_norms(Decoder *decoder, Weights *weights, int layer) {
    Layer *out = &decoder->layers[layer];
    out->q_norm = weights_vector(weights, "blk.%d.attn_q_norm.weight", layer, decoder->shape.head_width);
    out->k_norm = weights_vector(weights, "blk.%d.attn_k_norm.weight", layer, decoder->shape.head_width);
}

void bind_feed_forward(Decoder *decoder, Weights *weights, int layer) {
    const Shape *shape = &decoder->shape;
    Layer *out = &decoder->layers[layer];
    out->ffn_norm = weights_vector(weights, "blk.%d.ffn_norm.weight", layer, shape->width);
    out->gate = weights_matrix(weights, "blk.%d.ffn_gate.weight", layer, shape->feed_forward, shape->width);
    out->up = weights_matrix(weights, "blk.%d.ffn_up.weight", layer, shape->feed_forward, shape->width);
    out->down = weights_matrix(weights, "blk.%d.ffn_down.weight", layer, shape->width, shape->feed_forward);
}

void bind_experts(Decoder *decoder, Weights *weights, int layer) {
    const Shape *shape = &decoder->shape;
    Layer *out = &decoder->layers[layer];
    int experts = shape->experts;
    int64_t hidden = shape->expert_feed_forward, width = shape->width;
    out->ffn_norm = weights_vector(weights, "blk.%d.ffn_norm.weight", layer, width);
    out->router = weights_matrix(weights, "blk.%d.ffn_gate_inp.weight", layer, experts, width);
    out->gate = weights_experts(weights, "blk.%d.ffn_gate_exps.weight", layer, experts, hidden, width);
    out->up = weights_experts(weights, "blk.%d.ffn_up_exps.weight", layer, experts, hidden, width);
    out->down = weights_experts(weights, "blk.%d.ffn_down_exps.weight", layer, experts, width, hidden);
}

static void bind_all(Decoder *decoder, Weights *weights) {
    const Shape *shape = &decoder->shape;
    decoder->embedding = weights_matrix(weights, "token_embd.weight", 0, shape->vocabulary, shape->width);
    decoder->output_norm = weights_vector(weights, "output_norm.weight", 0, shape->width);
    decoder->output = decoder->embedding;
    if (weights_has(weights, "output.weight", 0) || (weights->synthetic && !shape->is_tied))
        decoder->output = weights_matrix(weights, "output.weight", 0, shape->vocabulary, shape->width);
    for (int i = 0; i < shape->layers; i++)
        decoder->arch->bind_layer(decoder, weights, i);
    decoder->rope_factors = weights_optional_vector(weights, "rope_freqs.weight", 0, shape->rope_width / 2);
}

/* Linear scaling divides positions by a number; as every angle is position * frequency, dividing the
 * frequencies does it. */
static bool bind_rope_factors(Decoder *decoder, const Weights *weights, Err *err) {
    int64_t pairs = decoder->shape.rope_width / 2;
    float stretch = decoder->shape.rope_stretch;
    if (stretch == 1)
        return true;
    float *factors = ARENA_ARRAY(&decoder->arena, float, (size_t)pairs);
    size_t bytes = (size_t)pairs * sizeof *factors;
    for (int64_t i = 0; i < pairs; i++)
        factors[i] = 1;
    if (decoder->rope_factors && !weights_read_vector(weights, "rope_freqs.weight", factors, pairs, err))
        return false;
    for (int64_t i = 0; i < pairs; i++)
        factors[i] *= stretch;
    if (!backend_alloc(decoder->backend, bytes, &decoder->rope_factor_mem))
        return err_set(err, ERR_NO_MEMORY, "out of memory for the rope factors");
    backend_put(decoder->backend, decoder->rope_factor_mem, 0, factors, bytes);
    decoder->rope_factors = decoder->rope_factor_mem.address;
    return true;
}

static bool bind(Decoder *decoder, Weights *weights, Err *err) {
    decoder->layers = ARENA_ARRAY(&decoder->arena, Layer, (size_t)decoder->shape.layers);
    bind_all(decoder, weights);
    if (!weights_place(weights, err))
        return false;
    bind_all(decoder, weights);
    KernelError failure;
    bool ok = bind_rope_factors(decoder, weights, err) && weights_ok(weights, err);
    if (!backend_wait(decoder->backend, &failure) && ok)
        return err_set(err, ERR_INTERNAL, "the weights could not be loaded: %s", failure.text);
    return ok;
}

/* The activations lie behind one another, each on a cache line of its own. */
static bool take_work(Decoder *decoder, Err *err) {
    const Shape *shape = &decoder->shape;
    int64_t q_width = (int64_t)shape->heads * shape->head_width;
    int64_t kv_width = (int64_t)shape->kv_heads * shape->head_width;
    int64_t expert_hidden = (int64_t)shape->experts_used * shape->expert_feed_forward;
    int64_t hidden = shape->feed_forward > expert_hidden ? shape->feed_forward : expert_hidden;
    void **parts[] = {(void **)&decoder->hidden,
                      (void **)&decoder->normed,
                      (void **)&decoder->q,
                      (void **)&decoder->k,
                      (void **)&decoder->v,
                      (void **)&decoder->attended,
                      (void **)&decoder->gate,
                      (void **)&decoder->up,
                      (void **)&decoder->router_logits,
                      (void **)&decoder->expert_weights,
                      (void **)&decoder->expert_ids};
    int64_t widths[] = {shape->width,
                        shape->width,
                        q_width,
                        kv_width,
                        kv_width,
                        q_width,
                        hidden,
                        shape->feed_forward,
                        shape->experts,
                        shape->experts_used,
                        shape->experts_used};
    enum { PARTS = sizeof widths / sizeof *widths };
    size_t words = 0, starts[PARTS];
    for (int i = 0; i < PARTS; i++) {
        starts[i] = words;
        words += ((size_t)widths[i] * (size_t)decoder->chunk + 63) / 64 * 64;
    }
    if (!backend_alloc(decoder->backend, words * sizeof(float), &decoder->work)) {
        KernelError why;
        backend_no_room(decoder->backend, words * sizeof(float), &why);
        return err_set(err, ERR_NO_MEMORY, "the working space of this model does not fit: %s", why.text);
    }
    for (int i = 0; i < PARTS; i++)
        *parts[i] = (float *)decoder->work.address + starts[i];
    return true;
}

bool decoder_open(Decoder *decoder, const Arch *arch, const Shape *shape, Weights *weights, Err *err) {
    *decoder = (Decoder){
        .arch = arch, .shape = *shape, .backend = weights->backend, .ops = backend_ops(weights->backend)};
    DeviceInfo info;
    backend_info(decoder->backend, &info);
    decoder->chunk = info.is_host ? DECODER_HOST_CHUNK : DECODER_DEVICE_CHUNK;
    if (bind(decoder, weights, err) && take_work(decoder, err))
        return true;
    decoder_close(decoder);
    return false;
}

void decoder_close(Decoder *decoder) {
    if (decoder->backend) {
        backend_free(decoder->backend, &decoder->work);
        backend_free(decoder->backend, &decoder->rope_factor_mem);
    }
    arena_free(&decoder->arena);
    *decoder = (Decoder){0};
}

size_t decoder_bytes_per_token(const Decoder *decoder, const Weights *weights) {
    const Tensor *embedding = &decoder->embedding;
    bool is_tied = decoder->output.data == embedding->data;
    size_t unused = is_tied ? 0 : embedding->row_bytes * (size_t)(embedding->rows - 1);
    size_t idle = 0; /* experts that a token does not visit */
    if (decoder->shape.experts)
        idle = weights->expert_bytes / (size_t)decoder->shape.experts *
               (size_t)(decoder->shape.experts - decoder->shape.experts_used);
    return weights->matrix_bytes - unused - idle;
}

/* ---- the words of a layer ---- */

/* Asked before each larger piece of work, so that a cancel takes milliseconds also in wide models. */
static bool is_over(Step *step) {
    if (step->cancel && atomic_load_explicit(step->cancel, memory_order_relaxed))
        step->is_done = true;
    return step->is_done;
}

static MatMul product(Tensor weight, const float *bias, float *out) {
    return (MatMul){.weight = weight, .bias = bias, .out = out, .out_stride = weight.rows};
}

static MatMul product_onto(Tensor weight, const float *bias, float *out) {
    MatMul job = product(weight, bias, out);
    job.accumulate = true;
    return job;
}

void project_qkv(Step *step, int layer) {
    const Decoder *decoder = step->decoder;
    const Layer *l = &decoder->layers[layer];
    int64_t width = decoder->shape.width;
    if (is_over(step))
        return;
    decoder->ops->rms_norm(decoder->backend, decoder->normed, step->hidden, l->attn_norm, step->n, width,
                           decoder->shape.norm_epsilon);
    MatMul jobs[] = {product(l->q, l->q_bias, decoder->q), product(l->k, l->k_bias, decoder->k),
                     product(l->v, l->v_bias, decoder->v)};
    decoder->ops->matmul(decoder->backend, jobs, 3, decoder->normed, width, step->n);
}

static void remember_in_steps(const Decoder *decoder, const Remember *r) {
    const Ops *ops = decoder->ops;
    Backend *backend = decoder->backend;
    if (r->q_norm)
        ops->rms_norm(backend, r->q, r->q, r->q_norm, (int64_t)r->n * r->heads, r->head_dim, r->eps);
    if (r->k_norm)
        ops->rms_norm(backend, r->k, r->k, r->k_norm, (int64_t)r->n * r->kv_heads, r->head_dim, r->eps);
    ops->rope(backend, r->q, r->positions, r->n, r->heads, r->head_dim, r->n_rot, r->kind, r->base,
              r->factors);
    ops->rope(backend, r->k, r->positions, r->n, r->kv_heads, r->head_dim, r->n_rot, r->kind, r->base,
              r->factors);
    ops->kv_write(backend, r->keys, r->k, r->positions, r->n);
    ops->kv_write(backend, r->values, r->v, r->positions, r->n);
}

void remember(Step *step, int layer, RopeKind kind) {
    const Decoder *decoder = step->decoder;
    const Layer *l = &decoder->layers[layer];
    const Shape *shape = &decoder->shape;
    if (is_over(step))
        return;
    Remember r = {.q = decoder->q,
                  .k = decoder->k,
                  .v = decoder->v,
                  .q_norm = l->q_norm,
                  .k_norm = l->k_norm,
                  .eps = shape->norm_epsilon,
                  .keys = kv_keys(step->kv, layer),
                  .values = kv_values(step->kv, layer),
                  .positions = step->positions,
                  .n = step->n,
                  .heads = shape->heads,
                  .kv_heads = shape->kv_heads,
                  .head_dim = shape->head_width,
                  .value_dim = shape->head_width,
                  .n_rot = shape->rope_width,
                  .kind = kind,
                  .base = shape->rope_base,
                  .factors = decoder->rope_factors};
    if (decoder->ops->remember)
        decoder->ops->remember(decoder->backend, &r);
    else
        remember_in_steps(decoder, &r);
}

/* In the last layer only the row that the logits come from goes on; the others were wanted for their keys and
 * values. */
static float *narrow_to_last(Step *step, float *q) {
    const Shape *shape = &step->decoder->shape;
    int64_t before = step->n - 1;
    step->is_done = !step->wants_last;
    step->hidden += before * shape->width;
    step->positions += before;
    step->n = 1;
    return q + before * shape->heads * shape->head_width;
}

void attend_and_add(Step *step, int layer) {
    const Decoder *decoder = step->decoder;
    const Layer *l = &decoder->layers[layer];
    const Shape *shape = &decoder->shape;
    if (step->is_done)
        return;
    float *q = layer + 1 == shape->layers ? narrow_to_last(step, decoder->q) : decoder->q;
    if (step->is_done)
        return;
    Attend attend = {.out = decoder->attended,
                     .q = q,
                     .keys = kv_keys(step->kv, layer),
                     .values = kv_values(step->kv, layer),
                     .positions = step->positions,
                     .n = step->n,
                     .last_position = step->last_position,
                     .heads = shape->heads,
                     .kv_heads = shape->kv_heads,
                     .head_dim = shape->head_width,
                     .value_dim = shape->head_width,
                     .scale = 1 / sqrtf((float)shape->head_width)};
    decoder->ops->attend(decoder->backend, &attend);
    if (is_over(step))
        return;
    MatMul job = product_onto(l->attn_output, l->attn_output_bias, step->hidden);
    decoder->ops->matmul(decoder->backend, &job, 1, decoder->attended,
                         (int64_t)shape->heads * shape->head_width, step->n);
}

static void normalise_for_feed_forward(Step *step, int layer) {
    const Decoder *decoder = step->decoder;
    decoder->ops->rms_norm(decoder->backend, decoder->normed, step->hidden, decoder->layers[layer].ffn_norm,
                           step->n, decoder->shape.width, decoder->shape.norm_epsilon);
}

void feed_forward_and_add(Step *step, int layer) {
    const Decoder *decoder = step->decoder;
    const Layer *l = &decoder->layers[layer];
    const Shape *shape = &decoder->shape;
    if (is_over(step))
        return;
    normalise_for_feed_forward(step, layer);
    if (decoder->ops->gated) {
        Gated gated = {l->gate, l->up, decoder->gate};
        decoder->ops->gated(decoder->backend, &gated, decoder->normed, shape->width, step->n);
    } else {
        MatMul jobs[] = {product(l->gate, NULL, decoder->gate), product(l->up, NULL, decoder->up)};
        decoder->ops->matmul(decoder->backend, jobs, 2, decoder->normed, shape->width, step->n);
        if (is_over(step))
            return;
        decoder->ops->swiglu(decoder->backend, decoder->gate, decoder->gate, decoder->up,
                             step->n * shape->feed_forward);
    }
    MatMul down = product_onto(l->down, NULL, step->hidden);
    decoder->ops->matmul(decoder->backend, &down, 1, decoder->gate, shape->feed_forward, step->n);
}

void experts_and_add(Step *step, int layer) {
    const Decoder *decoder = step->decoder;
    const Layer *l = &decoder->layers[layer];
    const Shape *shape = &decoder->shape;
    if (is_over(step))
        return;
    normalise_for_feed_forward(step, layer);
    MatMul router = product(l->router, NULL, decoder->router_logits);
    decoder->ops->matmul(decoder->backend, &router, 1, decoder->normed, shape->width, step->n);
    Route route = {.ids = decoder->expert_ids,
                   .weights = decoder->expert_weights,
                   .logits = decoder->router_logits,
                   .n = step->n,
                   .experts = shape->experts,
                   .used = shape->experts_used,
                   .normalise = true};
    decoder->ops->route(decoder->backend, &route);
    if (is_over(step))
        return;
    Experts experts = {.gate = l->gate,
                       .up = l->up,
                       .down = l->down,
                       .ids = decoder->expert_ids,
                       .weights = decoder->expert_weights,
                       .x = decoder->normed,
                       .out = step->hidden,
                       .hidden = decoder->gate,
                       .n = step->n,
                       .experts = shape->experts,
                       .used = shape->experts_used};
    decoder->ops->experts(decoder->backend, &experts);
}

/* ---- running ---- */

static void compute_logits(const Step *step, float *logits) {
    const Decoder *decoder = step->decoder;
    int64_t width = decoder->shape.width;
    decoder->ops->rms_norm(decoder->backend, decoder->normed, step->hidden, decoder->output_norm, 1, width,
                           decoder->shape.norm_epsilon);
    MatMul job = product(decoder->output, NULL, logits);
    decoder->ops->matmul(decoder->backend, &job, 1, decoder->normed, width, 1);
}

static bool is_cancelled(const atomic_bool *cancel) {
    return cancel && atomic_load_explicit(cancel, memory_order_relaxed);
}

static bool stop_is_wanted(const void *cancel) {
    return is_cancelled(cancel);
}

static void enqueue_step(Step *step, const int32_t *ids, float *logits) {
    const Decoder *decoder = step->decoder;
    decoder->ops->embed(decoder->backend, decoder->hidden, decoder->embedding, ids, step->n);
    for (int layer = 0; layer < decoder->shape.layers && !step->is_done; layer++)
        decoder->arch->run_layer(step, layer);
    if (logits && !step->is_done && !is_cancelled(step->cancel))
        compute_logits(step, logits);
}

/* Enqueues one chunk and starts it. A cancel that comes before its end makes all of it worthless. */
static bool start_chunk(Decoder *decoder, const Kv *kv, const int32_t *ids, int n, size_t start,
                        const atomic_bool *cancel, float *logits, Err *err) {
    int32_t positions[DECODER_DEVICE_CHUNK];
    for (int i = 0; i < n; i++)
        positions[i] = (int32_t)start + i;
    StepInputs inputs = backend_begin(decoder->backend, ids, positions, n);
    Step step = {.decoder = decoder,
                 .kv = kv,
                 .cancel = cancel,
                 .positions = inputs.positions,
                 .n = n,
                 .last_position = positions[n - 1],
                 .wants_last = logits != NULL,
                 .hidden = decoder->hidden};
    backend_set_stop(decoder->backend, (BackendStop){stop_is_wanted, cancel});
    enqueue_step(&step, inputs.ids, logits);
    backend_set_stop(decoder->backend, (BackendStop){NULL, NULL});
    if (!is_cancelled(cancel)) {
        backend_flush(decoder->backend);
        return true;
    }
    return decoder_finish(decoder, err) && err_set(err, ERR_CANCELLED, "stopped");
}

bool decoder_finish(Decoder *decoder, Err *err) {
    KernelError failure;
    return backend_wait(decoder->backend, &failure) ||
           err_set(err, ERR_INTERNAL, "the model could not be run: %s", failure.text);
}

bool decoder_start(Decoder *decoder, Kv *kv, const int32_t *ids, size_t count, size_t start,
                   const atomic_bool *cancel, float *logits, size_t *done, Err *err) {
    *done = 0;
    if (!kv_reserve(kv, start + count, err))
        return false;
    while (*done < count) {
        size_t left = count - *done, most = (size_t)decoder->chunk;
        int n = (int)(left < most ? left : most);
        bool is_last = *done + (size_t)n == count;
        if (!start_chunk(decoder, kv, ids + *done, n, start + *done, cancel, is_last ? logits : NULL, err) ||
            (!is_last && !decoder_finish(decoder, err)))
            return false;
        *done += (size_t)n;
    }
    return true;
}

bool decoder_run(Decoder *decoder, Kv *kv, const int32_t *ids, size_t count, size_t start,
                 const atomic_bool *cancel, float *logits, size_t *done, Err *err) {
    if (!decoder_start(decoder, kv, ids, count, start, cancel, logits, done, err))
        return false;
    if (decoder_finish(decoder, err))
        return true;
    size_t most = (size_t)decoder->chunk, last = count % most;
    *done -= last || !count ? last : most; /* the last chunk does not count */
    return false;
}
