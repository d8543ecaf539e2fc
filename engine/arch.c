#include "engine/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

extern const Arch ARCH_LLAMA, ARCH_QWEN2, ARCH_QWEN3, ARCH_QWEN3MOE;
static const Arch *const ARCHES[] = {&ARCH_LLAMA, &ARCH_QWEN2, &ARCH_QWEN3, &ARCH_QWEN3MOE};
#define ARCH_COUNT (sizeof ARCHES / sizeof *ARCHES)

/* Sizes beyond these are no model but a damaged file; they also keep every product of two within 64 bits. */
#define MAX_LAYERS 1024
#define MAX_HEADS 1024
#define MAX_HEAD_WIDTH 4096
#define MAX_WIDTH (1 << 20)
#define MAX_EXPERTS 512
#define MAX_EXPERTS_USED 32
#define MAX_VOCABULARY (1 << 24)
#define MAX_CONTEXT (1 << 24)

const Arch *arch_named(Str name) {
    for (size_t i = 0; i < ARCH_COUNT; i++)
        if (str_eq(name, str_of(ARCHES[i]->name)))
            return ARCHES[i];
    return NULL;
}

const Arch *arch_of(const Gguf *file, Err *err) {
    Str name = gguf_string(file, S("general.architecture"), S(""));
    const Arch *arch = arch_named(name);
    if (arch)
        return arch;
    if (name.len == 0)
        err_set(err, ERR_INVALID, "%.*s names no architecture; it is no language model",
                STR_ARG(gguf_name(file)));
    else
        err_set(err, ERR_UNSUPPORTED,
                "%.*s has the architecture \"%.*s\"; llama, qwen2, qwen3 and qwen3moe can be run",
                STR_ARG(gguf_name(file)), (int)(name.len < 60 ? name.len : 60), name.ptr);
    return NULL;
}

typedef struct KeyReader {
    const Gguf *file;
    Str architecture;
    char key[128];
    Err error;
} KeyReader;

static Str key_of(KeyReader *reader, const char *suffix) {
    int n = snprintf(reader->key, sizeof reader->key, "%.*s.%s", STR_ARG(reader->architecture), suffix);
    return (Str){reader->key, (size_t)n < sizeof reader->key ? (size_t)n : sizeof reader->key - 1};
}

/* An integer from 1 to most; otherwise -1 means required. Per-layer arrays must hold one value throughout. */
static int64_t read_size(KeyReader *reader, const char *suffix, int64_t most, int64_t otherwise) {
    Str key = key_of(reader, suffix);
    const GgufValue *value = gguf_find(reader->file, key);
    if (!value && otherwise > 0)
        return otherwise;
    int64_t size = gguf_int(reader->file, key, -1);
    bool is_uniform = true;
    if (value && value->type == GGUF_ARRAY) {
        Arena scratch = {0};
        size_t count;
        const int32_t *each = gguf_int32s(reader->file, key, &scratch, &count);
        for (size_t i = 1; i < count; i++)
            is_uniform = is_uniform && each[i] == each[0];
        arena_free(&scratch);
    }
    if (reader->error.code == ERR_NONE && !value)
        err_set(&reader->error, ERR_INVALID, "%.*s does not say %s", STR_ARG(gguf_name(reader->file)),
                reader->key);
    else if (reader->error.code == ERR_NONE && !is_uniform)
        err_set(&reader->error, ERR_UNSUPPORTED, "%.*s has layers that differ in %s, which cannot be run",
                STR_ARG(gguf_name(reader->file)), reader->key);
    else if (reader->error.code == ERR_NONE && (size < 1 || size > most))
        err_set(&reader->error, ERR_INVALID, "%.*s has %s = %lld; 1 to %lld is possible",
                STR_ARG(gguf_name(reader->file)), reader->key, (long long)size, (long long)most);
    return reader->error.code == ERR_NONE ? size : 1;
}

static float read_positive(KeyReader *reader, const char *suffix, double otherwise) {
    double value = gguf_number(reader->file, key_of(reader, suffix), otherwise);
    if (!(value > 0 && isfinite(value)) && reader->error.code == ERR_NONE)
        err_set(&reader->error, ERR_INVALID, "%.*s has no usable %s", STR_ARG(gguf_name(reader->file)),
                reader->key);
    return (float)value;
}

static void read_rope_scaling(KeyReader *reader, Shape *out) {
    Str kind = gguf_string(reader->file, key_of(reader, "rope.scaling.type"), S("none"));
    out->rope_stretch = 1;
    if (str_eq(kind, S("linear")))
        out->rope_stretch = read_positive(reader, "rope.scaling.factor", 1);
    else if (kind.len && !str_eq(kind, S("none")) && reader->error.code == ERR_NONE)
        err_set(&reader->error, ERR_UNSUPPORTED,
                "%.*s stretches its context with \"%.*s\" rope scaling; only linear scaling can be run",
                STR_ARG(gguf_name(reader->file)), (int)(kind.len < 40 ? kind.len : 40), kind.ptr);
}

static bool check_heads(KeyReader *reader, const Shape *shape, int64_t value_width) {
    const char *what = NULL;
    if (shape->heads % shape->kv_heads)
        what = "a number of heads that its key/value heads do not divide";
    else if (value_width != shape->head_width)
        what = "value heads of another width than its key heads";
    else if (shape->rope_width > shape->head_width || shape->rope_width % 2)
        what = "an impossible rope.dimension_count";
    return !what || err_set(&reader->error, ERR_UNSUPPORTED, "%.*s has %s, which cannot be run",
                            STR_ARG(gguf_name(reader->file)), what);
}

bool shape_read(const Gguf *file, Shape *out, Err *err) {
    KeyReader reader = {.file = file, .architecture = gguf_string(file, S("general.architecture"), S(""))};
    const GgufValue *tokens = gguf_find(file, S("tokenizer.ggml.tokens"));
    *out = (Shape){0};
    out->layers = (int)read_size(&reader, "block_count", MAX_LAYERS, -1);
    out->width = read_size(&reader, "embedding_length", MAX_WIDTH, -1);
    bool is_expert = gguf_find(file, key_of(&reader, "expert_count")) != NULL;
    out->feed_forward = read_size(&reader, "feed_forward_length", MAX_WIDTH, is_expert ? out->width : -1);
    out->heads = (int)read_size(&reader, "attention.head_count", MAX_HEADS, -1);
    out->kv_heads = (int)read_size(&reader, "attention.head_count_kv", MAX_HEADS, out->heads);
    int64_t even = out->width / out->heads ? out->width / out->heads : 1;
    out->head_width = (int)read_size(&reader, "attention.key_length", MAX_HEAD_WIDTH, even);
    int64_t value_width = read_size(&reader, "attention.value_length", MAX_HEAD_WIDTH, even);
    out->rope_width = (int)read_size(&reader, "rope.dimension_count", MAX_HEAD_WIDTH, out->head_width);
    out->context = (size_t)read_size(&reader, "context_length", MAX_CONTEXT, -1);
    out->vocabulary = read_size(&reader, "vocab_size", MAX_VOCABULARY, tokens ? (int64_t)tokens->count : -1);
    out->norm_epsilon = read_positive(&reader, "attention.layer_norm_rms_epsilon", 0);
    out->rope_base = read_positive(&reader, "rope.freq_base", 10000);
    read_rope_scaling(&reader, out);
    if (reader.error.code == ERR_NONE && check_heads(&reader, out, value_width))
        return true;
    if (err)
        *err = reader.error;
    return false;
}

bool shape_read_experts(const Gguf *file, Shape *out, Err *err) {
    KeyReader reader = {.file = file, .architecture = gguf_string(file, S("general.architecture"), S(""))};
    out->experts = (int)read_size(&reader, "expert_count", MAX_EXPERTS, -1);
    out->experts_used = (int)read_size(&reader, "expert_used_count", MAX_EXPERTS_USED, -1);
    out->expert_feed_forward = read_size(&reader, "expert_feed_forward_length", MAX_WIDTH, -1);
    if (reader.error.code == ERR_NONE && out->experts_used > out->experts)
        err_set(&reader.error, ERR_INVALID, "%.*s uses %d of only %d experts", STR_ARG(gguf_name(file)),
                out->experts_used, out->experts);
    if (reader.error.code == ERR_NONE)
        return true;
    if (err)
        *err = reader.error;
    return false;
}
