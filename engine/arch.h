/* Arch: what a model family must offer. One const record per file in engine/models/, listed in engine/arch.c.
 *
 * A family reads its hyper-parameters, binds its tensors to the decoder's layers and says, in order, what one
 * layer does; the words for that are in engine/decoder.h.
 */
#ifndef MUX_ENGINE_ARCH_H
#define MUX_ENGINE_ARCH_H

#include "engine/gguf.h"
#include "engine/weights.h"

typedef struct Shape {
    int layers, heads, kv_heads;
    int head_width;            /* values of one head of q, k and v */
    int rope_width;            /* of these, how many rotate */
    int experts, experts_used; /* of a layer; 0 = dense */
    int64_t expert_feed_forward;
    bool is_tied; /* synthetic weights only: no output matrix of its own */
    int64_t width, feed_forward, vocabulary;
    float norm_epsilon, rope_base;
    float rope_stretch; /* linear scaling: positions are divided by it; 1 = none */
    size_t context;     /* what it was trained for */
} Shape;

typedef struct Decoder Decoder;
typedef struct Step Step;

typedef struct Arch {
    const char *name; /* general.architecture */
    bool (*read_shape)(const Gguf *file, Shape *out, Err *err);
    void (*bind_layer)(Decoder *decoder, Weights *weights, int layer);
    void (*run_layer)(Step *step, int layer);
} Arch;

/* The family that `file` names, or NULL + sentence naming those there are. */
const Arch *arch_of(const Gguf *file, Err *err);
const Arch *arch_named(Str name); /* NULL when there is none */
/* The keys that all families share (A.block_count, ...), every value checked. */
bool shape_read(const Gguf *file, Shape *out, Err *err);
/* Those of a family with experts, after shape_read. */
bool shape_read_experts(const Gguf *file, Shape *out, Err *err);

#endif
