#include "engine/synthetic.h"

#include <stdio.h>
#include <string.h>

typedef struct NamedShape {
    const char *name, *arch;
    Shape shape;
} NamedShape;

/* clang-format off */
static const NamedShape SHAPES[] = {
    {"llama-8b", "llama", {.layers = 32, .heads = 32, .kv_heads = 8, .head_width = 128, .rope_width = 128,
     .width = 4096, .feed_forward = 14336, .vocabulary = 128256, .rope_base = 500000, .context = 131072}},
    {"llama-1b", "llama", {.layers = 16, .heads = 32, .kv_heads = 8, .head_width = 64, .rope_width = 64,
     .width = 2048, .feed_forward = 8192, .vocabulary = 128256, .rope_base = 500000, .context = 131072, .is_tied = true}},
    {"dense-27b", "qwen3", {.layers = 64, .heads = 64, .kv_heads = 8, .head_width = 128, .rope_width = 128,
     .width = 5120, .feed_forward = 18432, .vocabulary = 248320, .rope_base = 1000000, .context = 131072}},
    {"qwen3moe-30b-a3b", "qwen3moe", {.layers = 48, .heads = 32, .kv_heads = 4, .head_width = 128, .rope_width = 128,
     .width = 2048, .feed_forward = 6144, .vocabulary = 151936, .rope_base = 10000000, .context = 262144,
     .experts = 128, .experts_used = 8, .expert_feed_forward = 768}},
    {"llama-tiny", "llama", {.layers = 2, .heads = 4, .kv_heads = 2, .head_width = 64, .rope_width = 64,
     .width = 256, .feed_forward = 512, .vocabulary = 320, .rope_base = 10000, .context = 2048}},
    {"qwen2-tiny", "qwen2", {.layers = 2, .heads = 7, .kv_heads = 1, .head_width = 32, .rope_width = 32,
     .width = 256, .feed_forward = 768, .vocabulary = 333, .rope_base = 1000000, .context = 2048, .is_tied = true}},
    {"qwen3-tiny", "qwen3", {.layers = 3, .heads = 4, .kv_heads = 2, .head_width = 128, .rope_width = 128,
     .width = 256, .feed_forward = 512, .vocabulary = 320, .rope_base = 1000000, .context = 2048}},
    {"qwen3moe-tiny", "qwen3moe", {.layers = 2, .heads = 4, .kv_heads = 2, .head_width = 64, .rope_width = 64,
     .width = 256, .feed_forward = 512, .vocabulary = 320, .rope_base = 1000000, .context = 2048,
     .experts = 8, .experts_used = 3, .expert_feed_forward = 256}},
};
static const struct {
    const char *name;
    DType type;
    bool is_mixture;
} TYPES[] = {
    {"f32", DTYPE_F32, false},   {"f16", DTYPE_F16, false},   {"bf16", DTYPE_BF16, false},
    {"q8_0", DTYPE_Q8_0, false}, {"q4_0", DTYPE_Q4_0, false}, {"q4_k_m", DTYPE_Q4_K, true},
    {"q4_k", DTYPE_Q4_K, false}, {"q5_k", DTYPE_Q5_K, false}, {"q6_k", DTYPE_Q6_K, false},
    {"mxfp4", DTYPE_MXFP4, false},
};
/* clang-format on */
#define SHAPE_COUNT (sizeof SHAPES / sizeof *SHAPES)
#define TYPE_COUNT (sizeof TYPES / sizeof *TYPES)

/* Which layers a Q4_K_M file holds in Q6_K: the first and the last eighth and every third between. */
static bool is_finer(int layer, int layers) {
    int eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

static DType type_of(const char *tensor, int layer, int layers, int64_t cols, const void *ctx) {
    const SyntheticModel *model = ctx;
    DType type = model->type;
    if (strstr(tensor, "ffn_gate_inp"))
        return DTYPE_F32;
    bool is_fine = strcmp(tensor, "output.weight") == 0 ||
                   ((strstr(tensor, "attn_v") || strstr(tensor, "ffn_down")) && is_finer(layer, layers));
    if (model->is_mixture && is_fine)
        type = DTYPE_Q6_K;
    if (dtype_row_bytes(type, cols))
        return type;
    return dtype_row_bytes(DTYPE_Q8_0, cols) ? DTYPE_Q8_0 : DTYPE_F16;
}

static bool fail(Str name, Err *err) {
    char shapes[256] = "", types[128] = "";
    for (size_t i = 0, at = 0; i < SHAPE_COUNT; i++)
        at += (size_t)snprintf(shapes + at, sizeof shapes - at, "%s%s", i ? ", " : "", SHAPES[i].name);
    for (size_t i = 0, at = 0; i < TYPE_COUNT; i++)
        at += (size_t)snprintf(types + at, sizeof types - at, "%s%s", i ? ", " : "", TYPES[i].name);
    return err_set(err, ERR_INVALID, "\"%.*s\" is no SHAPE:TYPE; shapes: %s; types: %s",
                   (int)(name.len < 60 ? name.len : 60), name.ptr, shapes, types);
}

bool synthetic_model(Str name, SyntheticModel *out, Err *err) {
    Str wanted = str_starts(name, S(SYNTHETIC_PREFIX)) ? str_from(name, sizeof SYNTHETIC_PREFIX - 1) : name;
    size_t colon = str_find_char(wanted, ':', 0), shape = 0, type = 0;
    if (colon == STR_NONE)
        return fail(wanted, err);
    while (shape < SHAPE_COUNT && !str_eq(str_slice(wanted, 0, colon), str_of(SHAPES[shape].name)))
        shape++;
    while (type < TYPE_COUNT && !str_eq(str_from(wanted, colon + 1), str_of(TYPES[type].name)))
        type++;
    if (shape == SHAPE_COUNT || type == TYPE_COUNT)
        return fail(wanted, err);
    *out = (SyntheticModel){.arch = arch_named(str_of(SHAPES[shape].arch)),
                            .shape = SHAPES[shape].shape,
                            .type = TYPES[type].type,
                            .is_mixture = TYPES[type].is_mixture};
    snprintf(out->name, sizeof out->name, "%s:%s", SHAPES[shape].name, TYPES[type].name);
    out->shape.norm_epsilon = 1e-5f;
    out->shape.rope_stretch = 1;
    out->weights =
        (SyntheticWeights){.name = out->name, .type_of = type_of, .ctx = out, .layers = out->shape.layers};
    return true;
}
