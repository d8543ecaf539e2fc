/* Qwen3, dense: every head of q and k is normalised before it rotates; no biases. */
#include "engine/decoder.h"

static void bind_layer(Decoder *decoder, Weights *weights, int layer) {
    bind_attention(decoder, weights, layer);
    bind_head_norms(decoder, weights, layer);
    bind_feed_forward(decoder, weights, layer);
}

static void run_layer(Step *step, int layer) {
    project_qkv(step, layer);
    remember(step, layer, ROPE_NEOX);
    attend_and_add(step, layer);
    feed_forward_and_add(step, layer);
}

extern const Arch ARCH_QWEN3;
const Arch ARCH_QWEN3 = {"qwen3", shape_read, bind_layer, run_layer};
