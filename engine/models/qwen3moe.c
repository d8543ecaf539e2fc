/* Qwen3 with experts (Qwen3-Coder-30B-A3B): as qwen3, but every feed-forward is a choice among many small
 * ones. The router's softmax runs over all experts, the chosen ones' weights are divided by their sum. */
#include "engine/decoder.h"

static bool read_shape(const Gguf *file, Shape *out, Err *err) {
    return shape_read(file, out, err) && shape_read_experts(file, out, err);
}

static void bind_layer(Decoder *decoder, Weights *weights, int layer) {
    bind_attention(decoder, weights, layer);
    bind_head_norms(decoder, weights, layer);
    bind_experts(decoder, weights, layer);
}

static void run_layer(Step *step, int layer) {
    project_qkv(step, layer);
    remember(step, layer, ROPE_NEOX);
    attend_and_add(step, layer);
    experts_and_add(step, layer);
}

extern const Arch ARCH_QWEN3MOE;
const Arch ARCH_QWEN3MOE = {"qwen3moe", read_shape, bind_layer, run_layer};
