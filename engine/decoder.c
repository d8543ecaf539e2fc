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

/* Linear scaling divides positions by a number; as every angle is position * frequency, dividing the
 * frequencies does it. */
static bool bind_rope_factors(Decoder *decoder, Weights *weights, Err *err) {
    int64_t pairs = decoder->shape.rope_width / 2;
    decoder->rope_factors = weights_optional_vector(weights, "rope_freqs.weight", 0, pairs);
    float stretch = decoder->shape.rope_stretch;
    if (stretch == 1)
        return true;
    float *factors = ARENA_ARRAY(&decoder->arena, float, (size_t)pairs);
    for (int64_t i = 0; i < pairs; i++)
        factors[i] = stretch * (decoder->rope_factors ? decoder->rope_factors[i] : 1);
    size_t bytes = (size_t)pairs * sizeof *factors;
    if (!backend_alloc(decoder->backend, bytes, &decoder->rope_factor_mem))
        return err_set(err, ERR_NO_MEMORY, "out of memory for the rope factors");
    backend_put(decoder->backend, decoder->rope_factor_mem, 0, factors, bytes);
    decoder->rope_factors = decoder->rope_factor_mem.address;
    return true;
}

static bool bind(Decoder *decoder, Weights *weights, Err *err) {
    const Shape *shape = &decoder->shape;
    decoder->embedding = weights_matrix(weights, "token_embd.weight", 0, shape->vocabulary, shape->width);
    decoder->output_norm = weights_vector(weights, "output_norm.weight", 0, shape->width);
    decoder->output = decoder->embedding;
    if (weights_has(weights, "output.weight", 0))
        decoder->output = weights_matrix(weights, "output.weight", 0, shape->vocabulary, shape->width);
    decoder->layers = ARENA_ARRAY(&decoder->arena, Layer, (size_t)shape->layers);
    for (int i = 0; i < shape->layers; i++)
        decoder->arch->bind_layer(decoder, weights, i);
    return bind_rope_factors(decoder, weights, err) && weights_ok(weights, err);
}

/* The activations lie behind one another, each on a cache line of its own. */
static bool take_work(Decoder *decoder, Err *err) {
    const Shape *shape = &decoder->shape;
    int64_t q_width = (int64_t)shape->heads * shape->head_width;
    int64_t kv_width = (int64_t)shape->kv_heads * shape->head_width;
    float **parts[] = {&decoder->hidden, &decoder->normed,   &decoder->q,    &decoder->k,
                       &decoder->v,      &decoder->attended, &decoder->gate, &decoder->up};
    int64_t widths[] = {shape->width,        shape->width,       q_width, kv_width, kv_width, q_width,
                        shape->feed_forward, shape->feed_forward};
    size_t floats = 0, starts[8];
    for (int i = 0; i < 8; i++) {
        starts[i] = floats;
        floats += ((size_t)widths[i] * DECODER_CHUNK + 15) / 16 * 16;
    }
    if (!backend_alloc(decoder->backend, floats * sizeof(float), &decoder->work))
        return err_set(err, ERR_NO_MEMORY, "out of memory for the %zu MB of working space of this model",
                       floats * sizeof(float) >> 20);
    for (int i = 0; i < 8; i++)
        *parts[i] = (float *)decoder->work.address + starts[i];
    return true;
}

bool decoder_open(Decoder *decoder, const Arch *arch, const Shape *shape, Weights *weights, Err *err) {
    *decoder = (Decoder){
        .arch = arch, .shape = *shape, .backend = weights->backend, .ops = backend_ops(weights->backend)};
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
    return weights->matrix_bytes - unused;
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

void normalise_heads(Step *step, int layer) {
    const Decoder *decoder = step->decoder;
    const Layer *l = &decoder->layers[layer];
    const Shape *shape = &decoder->shape;
    if (step->is_done)
        return;
    decoder->ops->rms_norm(decoder->backend, decoder->q, decoder->q, l->q_norm,
                           (int64_t)step->n * shape->heads, shape->head_width, shape->norm_epsilon);
    decoder->ops->rms_norm(decoder->backend, decoder->k, decoder->k, l->k_norm,
                           (int64_t)step->n * shape->kv_heads, shape->head_width, shape->norm_epsilon);
}

void rotate_heads(Step *step, RopeKind kind) {
    const Decoder *decoder = step->decoder;
    const Shape *shape = &decoder->shape;
    if (step->is_done)
        return;
    decoder->ops->rope(decoder->backend, decoder->q, step->positions, step->n, shape->heads,
                       shape->head_width, shape->rope_width, kind, shape->rope_base, decoder->rope_factors);
    decoder->ops->rope(decoder->backend, decoder->k, step->positions, step->n, shape->kv_heads,
                       shape->head_width, shape->rope_width, kind, shape->rope_base, decoder->rope_factors);
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
    if (is_over(step))
        return;
    KvRows keys = kv_keys(step->kv, layer), values = kv_values(step->kv, layer);
    decoder->ops->kv_write(decoder->backend, keys, decoder->k, step->positions, step->n);
    decoder->ops->kv_write(decoder->backend, values, decoder->v, step->positions, step->n);
    float *q = layer + 1 == shape->layers ? narrow_to_last(step, decoder->q) : decoder->q;
    if (step->is_done)
        return;
    decoder->ops->attend(decoder->backend, decoder->attended, q, keys, values, step->positions, step->n,
                         shape->heads, shape->kv_heads, shape->head_width,
                         1 / sqrtf((float)shape->head_width));
    if (is_over(step))
        return;
    MatMul job = product_onto(l->attn_output, l->attn_output_bias, step->hidden);
    decoder->ops->matmul(decoder->backend, &job, 1, decoder->attended,
                         (int64_t)shape->heads * shape->head_width, step->n);
}

void feed_forward_and_add(Step *step, int layer) {
    const Decoder *decoder = step->decoder;
    const Layer *l = &decoder->layers[layer];
    const Shape *shape = &decoder->shape;
    if (is_over(step))
        return;
    decoder->ops->rms_norm(decoder->backend, decoder->normed, step->hidden, l->ffn_norm, step->n,
                           shape->width, shape->norm_epsilon);
    MatMul jobs[] = {product(l->gate, NULL, decoder->gate), product(l->up, NULL, decoder->up)};
    decoder->ops->matmul(decoder->backend, jobs, 2, decoder->normed, shape->width, step->n);
    if (is_over(step))
        return;
    decoder->ops->swiglu(decoder->backend, decoder->gate, decoder->gate, decoder->up,
                         step->n * shape->feed_forward);
    MatMul down = product_onto(l->down, NULL, step->hidden);
    decoder->ops->matmul(decoder->backend, &down, 1, decoder->gate, shape->feed_forward, step->n);
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

static bool run_chunk(Decoder *decoder, const Kv *kv, const int32_t *ids, int n, size_t start,
                      const atomic_bool *cancel, float *logits, Err *err) {
    int32_t positions[DECODER_CHUNK];
    for (int i = 0; i < n; i++)
        positions[i] = (int32_t)start + i;
    Step step = {.decoder = decoder,
                 .kv = kv,
                 .cancel = cancel,
                 .positions = positions,
                 .n = n,
                 .wants_last = logits != NULL,
                 .hidden = decoder->hidden};
    decoder->ops->embed(decoder->backend, decoder->hidden, decoder->embedding, ids, n);
    for (int layer = 0; layer < decoder->shape.layers && !step.is_done; layer++)
        decoder->arch->run_layer(&step, layer);
    bool is_cancelled = cancel && atomic_load_explicit(cancel, memory_order_relaxed);
    if (logits && !step.is_done && !is_cancelled)
        compute_logits(&step, logits);
    KernelError failure;
    if (!backend_wait(decoder->backend, &failure))
        return err_set(err, ERR_INTERNAL, "the model could not be run: %s", failure.text);
    return !is_cancelled || err_set(err, ERR_CANCELLED, "stopped");
}

bool decoder_run(Decoder *decoder, Kv *kv, const int32_t *ids, size_t count, size_t start,
                 const atomic_bool *cancel, float *logits, size_t *done, Err *err) {
    *done = 0;
    if (!kv_reserve(kv, start + count, err))
        return false;
    while (*done < count) {
        size_t left = count - *done;
        int n = (int)(left < DECODER_CHUNK ? left : DECODER_CHUNK);
        bool is_last = *done + (size_t)n == count;
        if (!run_chunk(decoder, kv, ids + *done, n, start + *done, cancel, is_last ? logits : NULL, err))
            return false;
        *done += (size_t)n;
    }
    return true;
}
