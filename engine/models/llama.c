/* Llama (Touvron et al. 2023) and what descends from it unchanged: neighbouring pairs rotate, biases only
 * where the file has them. */
#include "engine/decoder.h"

static void bind_layer(Decoder *decoder, Weights *weights, int layer) {
    bind_attention(decoder, weights, layer);
    bind_optional_biases(decoder, weights, layer);
    bind_feed_forward(decoder, weights, layer);
}

static void run_layer(Step *step, int layer) {
    project_qkv(step, layer);
    remember(step, layer, ROPE_NORM);
    attend_and_add(step, layer);
    feed_forward_and_add(step, layer);
}

extern const Arch ARCH_LLAMA;
const Arch ARCH_LLAMA = {"llama", shape_read, bind_layer, run_layer};
