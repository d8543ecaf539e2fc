/* Decoder: the parts that decoder-only families share, as words a family's layer is written in.
 *
 * Calling sequence: decoder_open(&d, arch, shape, weights) -> decoder_run ... -> decoder_close.
 * decoder_run feeds tokens in chunks, writes their keys and values, and computes the logits of the last one;
 * decoder_start does the same but leaves a device at work, until decoder_finish waits for it.
 * A Decoder holds the working space too, so one run at a time; the engine's turn queue sees to that. Shapes:
 * a Step has n rows (tokens); activations are float32 row-major.
 */
#ifndef MUX_ENGINE_DECODER_H
#define MUX_ENGINE_DECODER_H

#include <stdatomic.h>

#include "engine/arch.h"
#include "engine/kv.h"

/* Tokens that travel together in prefill: on a host, where caches are small, and on a device. */
#define DECODER_HOST_CHUNK 256
#define DECODER_DEVICE_CHUNK 1024

typedef struct Layer {
    const float *attn_norm, *ffn_norm; /* [width] */
    const float *q_norm, *k_norm;      /* [head_width] or NULL */
    Tensor q, k, v, attn_output;       /* [heads * head_width, width] and so on; attn_output the other way */
    const float *q_bias, *k_bias, *v_bias, *attn_output_bias; /* or NULL */
    Tensor gate, up, down;                                    /* [feed_forward, width], down the other way */
    Tensor router; /* [experts, width]; gate, up, down hold all experts */
} Layer;

struct Decoder {
    const Arch *arch;
    Shape shape;
    Backend *backend;
    const Ops *ops;
    Arena arena;
    Layer *layers;
    Tensor embedding, output;
    const float *output_norm;
    const float *rope_factors; /* rope_width / 2 or NULL */
    Mem rope_factor_mem;
    Mem work; /* the activations of one chunk */
    float *hidden, *normed, *q, *k, *v, *attended, *gate, *up;
    float *router_logits, *expert_weights; /* [chunk, experts], [chunk, experts used] */
    int32_t *expert_ids;                   /* [chunk, experts used] */
    int chunk;                             /* most rows of one step */
};

struct Step {
    const Decoder *decoder;
    const Kv *kv;
    const atomic_bool *cancel; /* NULL = cannot be cancelled */
    const int32_t *positions;  /* in the backend's memory */
    int n, last_position;
    bool wants_last; /* the last row goes on to the logits; otherwise only keys and values are wanted */
    bool is_done;    /* nothing more to compute in this layer */
    float *hidden;   /* the residual stream [n, width] */
};

/* Binds every tensor and takes the working space. False: weights or memory are missing. */
bool decoder_open(Decoder *decoder, const Arch *arch, const Shape *shape, Weights *weights, Err *err);
void decoder_close(Decoder *decoder); /* a zeroed one is fine */

/* Ends what decoder_start began. False: the work failed, nothing of the last chunk counts. */
bool decoder_finish(Decoder *decoder, Err *err);

/* Appends tokens (ids below the vocabulary) at position `start` on; *done counts those whose keys and values
 * are complete, also when it fails. logits: [vocabulary] of the last token, in the backend's memory; NULL =
 * not wanted. */
bool decoder_run(Decoder *decoder, Kv *kv, const int32_t *ids, size_t count, size_t start,
                 const atomic_bool *cancel, float *logits, size_t *done, Err *err);
/* The same, but the last chunk may still be under way: *done counts it already. Anything enqueued next comes
 * after it. */
bool decoder_start(Decoder *decoder, Kv *kv, const int32_t *ids, size_t count, size_t start,
                   const atomic_bool *cancel, float *logits, size_t *done, Err *err);

/* Weight bytes that one generated token reads. */
size_t decoder_bytes_per_token(const Decoder *decoder, const Weights *weights);

/* ---- binding ---- */
void bind_attention(Decoder *decoder, Weights *weights, int layer);
void bind_attention_biases(Decoder *decoder, Weights *weights, int layer); /* those on q, k, v; required */
void bind_optional_biases(Decoder *decoder, Weights *weights,
                          int layer); /* those on q, k, v, output that exist */
void bind_head_norms(Decoder *decoder, Weights *weights, int layer);
void bind_feed_forward(Decoder *decoder, Weights *weights, int layer);
void bind_experts(Decoder *decoder, Weights *weights, int layer); /* router and stacked experts */

/* ---- the words of a layer ---- */
void project_qkv(Step *step, int layer); /* norm, then q, k, v */
/* RMSNorm of each head of q and k where the layer has the weights, rotation, and k and v remembered. */
void remember(Step *step, int layer, RopeKind kind);
void attend_and_add(Step *step, int layer); /* attend, project, add to the residual stream */
void feed_forward_and_add(Step *step, int layer);
void experts_and_add(Step *step, int layer); /* the chosen experts' feed-forwards, weighted */

#endif
