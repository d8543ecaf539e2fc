/* Qwen2 and Qwen2.5 (-Coder): biases on q, k and v, halves of a head rotate. */
#include "engine/decoder.h"

static void bind_layer(Decoder *decoder, Weights *weights, int layer) {
    bind_attention(decoder, weights, layer);
    bind_attention_biases(decoder, weights, layer);
    bind_feed_forward(decoder, weights, layer);
}

static void run_layer(Step *step, int layer) {
    project_qkv(step, layer);
    remember(step, layer, ROPE_NEOX);
    attend_and_add(step, layer);
    feed_forward_and_add(step, layer);
}

extern const Arch ARCH_QWEN2;
const Arch ARCH_QWEN2 = {"qwen2", shape_read, bind_layer, run_layer};
