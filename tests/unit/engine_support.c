#include "tests/unit/engine_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/utf8.h"
#include "tests/runner.h"

/* ---- GGUF pieces ---- */

void put_u32(Buf *out, uint32_t value) {
    buf_append(out, &value, sizeof value);
}

void put_u64(Buf *out, uint64_t value) {
    buf_append(out, &value, sizeof value);
}

void put_string(Buf *out, Str text) {
    put_u64(out, text.len);
    buf_str(out, text);
}

void put_pair_u32(Buf *out, Str key, uint32_t value) {
    put_string(out, key);
    put_u32(out, 4);
    put_u32(out, value);
}

void put_pair_f32(Buf *out, Str key, float value) {
    put_string(out, key);
    put_u32(out, 6);
    buf_append(out, &value, sizeof value);
}

void put_pair_string(Buf *out, Str key, Str value) {
    put_string(out, key);
    put_u32(out, 8);
    put_string(out, value);
}

/* ---- the recipe ---- */

enum { LAYERS = 2, WIDTH = 64, HEADS = 4, KV_HEADS = 2, FEED_FORWARD = 96, MAX_TENSORS = 64 };
enum { EXPERTS = 6, EXPERTS_USED = 2, EXPERT_FEED_FORWARD = 32 }; /* qwen3moe */

typedef struct Entry {
    char name[64];
    int64_t cols, rows; /* rows 0 = a vector */
    int64_t experts;    /* 0 = no third dimension */
    DType type;
    float spread, mean;
} Entry;

typedef struct Recipe {
    const FakeModel *model;
    Entry entries[MAX_TENSORS];
    int count;
    int head_width;
} Recipe;

static void add(Recipe *recipe, const char *name, int layer, int64_t cols, int64_t rows, DType type,
                float spread, float mean) {
    Entry *entry = &recipe->entries[recipe->count++];
    Arena scratch = {0};
    Str full = layer < 0 ? str_of(name) : str_printf(&scratch, "blk.%d.%s", layer, name);
    memcpy(entry->name, full.ptr, full.len + 1);
    entry->cols = cols;
    entry->rows = rows;
    entry->type = type;
    entry->spread = spread;
    entry->mean = mean;
    entry->experts = 0;
    arena_free(&scratch);
}

static bool has_experts(const FakeModel *model) {
    return strcmp(model->arch, "qwen3moe") == 0;
}

static bool has_head_norms(const FakeModel *model) {
    return strcmp(model->arch, "qwen3") == 0 || has_experts(model);
}

static void add_experts(Recipe *recipe, int i) {
    static const char *const NAMES[] = {"ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"};
    add(recipe, "ffn_gate_inp.weight", i, WIDTH, EXPERTS, DTYPE_F32, 0.4f, 0);
    for (int part = 0; part < 3; part++) {
        int64_t cols = part == 2 ? EXPERT_FEED_FORWARD : WIDTH,
                rows = part == 2 ? WIDTH : EXPERT_FEED_FORWARD;
        add(recipe, NAMES[part], i, cols, rows, recipe->model->type, 0.3f, 0);
        recipe->entries[recipe->count - 1].experts = EXPERTS;
    }
}

static void add_feed_forward(Recipe *recipe, int i) {
    DType type = recipe->model->type;
    add(recipe, "ffn_gate.weight", i, WIDTH, FEED_FORWARD, type, 0.2f, 0);
    add(recipe, "ffn_up.weight", i, WIDTH, FEED_FORWARD, type, 0.2f, 0);
    add(recipe, "ffn_down.weight", i, FEED_FORWARD, WIDTH, recipe->model->has_extras ? DTYPE_Q8_0 : type,
        0.2f, 0);
}

static void add_layer(Recipe *recipe, int i) {
    const FakeModel *model = recipe->model;
    bool is_mixed = model->has_extras;
    int64_t q = (int64_t)HEADS * recipe->head_width, kv = (int64_t)KV_HEADS * recipe->head_width;
    DType type = model->type;
    add(recipe, "attn_norm.weight", i, WIDTH, 0, DTYPE_F32, 0.1f, 1);
    add(recipe, "attn_q.weight", i, WIDTH, q, is_mixed ? DTYPE_F16 : type, 0.2f, 0);
    add(recipe, "attn_k.weight", i, WIDTH, kv, type, 0.2f, 0);
    add(recipe, "attn_v.weight", i, WIDTH, kv, type, 0.2f, 0);
    add(recipe, "attn_output.weight", i, q, WIDTH, type, 0.2f, 0);
    if (is_mixed || strcmp(model->arch, "qwen2") == 0) {
        add(recipe, "attn_q.bias", i, q, 0, DTYPE_F32, 0.5f, 0);
        add(recipe, "attn_k.bias", i, kv, 0, DTYPE_F32, 0.5f, 0);
        add(recipe, "attn_v.bias", i, kv, 0, DTYPE_F32, 0.1f, 0);
    }
    if (is_mixed)
        add(recipe, "attn_output.bias", i, WIDTH, 0, DTYPE_F32, 0.1f, 0);
    if (has_head_norms(model)) {
        add(recipe, "attn_q_norm.weight", i, recipe->head_width, 0, DTYPE_F32, 0.1f, 1);
        add(recipe, "attn_k_norm.weight", i, recipe->head_width, 0, DTYPE_F32, 0.1f, 1);
    }
    add(recipe, "ffn_norm.weight", i, WIDTH, 0, DTYPE_F32, 0.1f, 1);
    if (has_experts(model))
        add_experts(recipe, i);
    else
        add_feed_forward(recipe, i);
}

static void plan(Recipe *recipe, const FakeModel *model) {
    *recipe = (Recipe){.model = model, .head_width = has_head_norms(model) ? 32 : WIDTH / HEADS};
    add(recipe, "token_embd.weight", -1, WIDTH, FAKE_VOCABULARY, model->type, 0.4f, 0);
    for (int i = 0; i < LAYERS; i++)
        add_layer(recipe, i);
    add(recipe, "output_norm.weight", -1, WIDTH, 0, DTYPE_F32, 0.1f, 1);
    if (model->has_extras) {
        add(recipe, "output.weight", -1, WIDTH, FAKE_VOCABULARY, DTYPE_BF16, 0.4f, 0);
        add(recipe, "rope_freqs.weight", -1, recipe->head_width / 2, 0, DTYPE_F32, 0.5f, 2);
    }
}

/* ---- weights: uniform, from integers only, so that every machine makes the same bytes ---- */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static void put_half(Buf *out, float value) {
    uint16_t half = half_from_float(value);
    buf_append(out, &half, sizeof half);
}

static void put_q8_0(Buf *out, const float *x) {
    float most = 0;
    for (int i = 0; i < 32; i++)
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    float d = most / 127;
    put_half(out, d);
    for (int i = 0; i < 32; i++)
        buf_char(out, (char)(int8_t)(d > 0 ? rintf(x[i] / d) : 0));
}

static int nibble(float x, float d) {
    int q = d != 0 ? (int)floorf(x / d + 8.5f) : 8;
    return q < 0 ? 0 : q > 15 ? 15 : q;
}

static void put_q4_0(Buf *out, const float *x) {
    float most = 0;
    for (int i = 0; i < 32; i++)
        most = fabsf(x[i]) > fabsf(most) ? x[i] : most;
    float d = most / -8;
    put_half(out, d);
    for (int i = 0; i < 16; i++)
        buf_char(out, (char)(nibble(x[i], d) | nibble(x[i + 16], d) << 4));
}

static void put_values(Buf *out, DType type, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += type == DTYPE_Q8_0 || type == DTYPE_Q4_0 ? 32 : 1) {
        uint16_t half = type == DTYPE_F16 ? half_from_float(x[i]) : bf16_from_float(x[i]);
        switch (type) {
        case DTYPE_F32: buf_append(out, &x[i], sizeof *x); break;
        case DTYPE_F16:
        case DTYPE_BF16: buf_append(out, &half, sizeof half); break;
        case DTYPE_Q8_0: put_q8_0(out, x + i); break;
        case DTYPE_Q4_0: put_q4_0(out, x + i); break;
        default: CHECK(!"a type that these models are made in");
        }
    }
}

static void pad_to_32(Buf *out, size_t start) {
    while ((out->len - start) % 32)
        buf_char(out, 0);
}

static int64_t rows_of(const Entry *entry) {
    return (entry->rows ? entry->rows : 1) * (entry->experts ? entry->experts : 1);
}

static void put_tensor_data(Buf *out, const Entry *entry, uint64_t seed) {
    int64_t n = entry->cols * rows_of(entry);
    uint64_t state = seed ^ str_hash(str_of(entry->name));
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        float unit = (float)(next_random(&state) >> 40) * 0x1p-23f - 1;
        x[i] = unit * entry->spread * 1.75f + entry->mean;
    }
    put_values(out, entry->type, x, n);
    free(x);
}

/* ---- vocabulary: the 256 bytes in GPT-2's spelling, eight merges, chat tokens, labels ---- */

static bool is_own_spelling(int byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

static void put_byte_tokens(Buf *out) {
    int next = 256;
    for (int byte = 0; byte < 256; byte++) {
        Buf spelling = {0};
        utf8_put(&spelling, (uint32_t)(is_own_spelling(byte) ? byte : next++));
        put_string(out, buf_text(&spelling));
        buf_free(&spelling);
    }
}

static const char *const MERGED[8][3] = {{"i", "n", "in"},
                                         {"r", "e", "re"},
                                         {"t", "h", "th"},
                                         {"th", "e", "the"},
                                         {"o", "u", "ou"},
                                         {"in", "t", "int"},
                                         {"\xc4\xa0", "t", "\xc4\xa0t"},
                                         {"s", "e", "se"}};

static void put_vocabulary(Buf *out, bool has_labels, bool has_thinking) {
    Arena scratch = {0};
    put_pair_string(out, S("tokenizer.ggml.model"), S("gpt2"));
    put_pair_string(out, S("tokenizer.ggml.pre"), S("gpt-2"));
    put_string(out, S("tokenizer.ggml.tokens"));
    put_u32(out, 9);
    put_u32(out, 8);
    put_u64(out, FAKE_VOCABULARY);
    put_byte_tokens(out);
    for (int i = 0; i < 8; i++)
        put_string(out, str_of(MERGED[i][2]));
    put_string(out, S("<|endoftext|>"));
    put_string(out, S("<|im_start|>"));
    put_string(out, S("<|im_end|>"));
    for (int i = FAKE_FIRST_LABEL; i < FAKE_VOCABULARY; i++) {
        int number = i - FAKE_FIRST_LABEL + 1;
        if (has_thinking && i >= FAKE_THINK)
            put_string(out, i == FAKE_THINK ? S("<think>") : S("</think>"));
        else
            put_string(out,
                       str_printf(&scratch, has_labels && number <= 40 ? "<|%d|>" : "<unused%d>", number));
    }
    put_string(out, S("tokenizer.ggml.token_type"));
    put_u32(out, 9);
    put_u32(out, 5);
    put_u64(out, FAKE_VOCABULARY);
    for (int i = 0; i < FAKE_VOCABULARY; i++)
        put_u32(out, i < FAKE_END_OF_TEXT ? 1 : 3);
    put_string(out, S("tokenizer.ggml.merges"));
    put_u32(out, 9);
    put_u32(out, 8);
    put_u64(out, 8);
    for (int i = 0; i < 8; i++)
        put_string(out, str_printf(&scratch, "%s %s", MERGED[i][0], MERGED[i][1]));
    put_pair_u32(out, S("tokenizer.ggml.bos_token_id"), FAKE_END_OF_TEXT);
    put_pair_u32(out, S("tokenizer.ggml.eos_token_id"), FAKE_IM_END);
    arena_free(&scratch);
}

/* ---- the file ---- */

static int put_hyper_parameters(Buf *out, const Recipe *recipe) {
    Arena a = {0};
    const FakeModel *m = recipe->model;
    int pairs = 10;
    put_pair_string(out, S("general.architecture"), str_of(m->arch));
    put_pair_u32(out, str_printf(&a, "%s.block_count", m->arch), LAYERS);
    put_pair_u32(out, str_printf(&a, "%s.context_length", m->arch),
                 (uint32_t)(m->context ? m->context : 256));
    put_pair_u32(out, str_printf(&a, "%s.embedding_length", m->arch), WIDTH);
    put_pair_u32(out, str_printf(&a, "%s.feed_forward_length", m->arch), FEED_FORWARD);
    put_pair_u32(out, str_printf(&a, "%s.attention.head_count", m->arch), HEADS);
    put_pair_u32(out, str_printf(&a, "%s.attention.head_count_kv", m->arch), KV_HEADS);
    put_pair_f32(out, str_printf(&a, "%s.attention.layer_norm_rms_epsilon", m->arch), 1e-6f);
    put_pair_f32(out, str_printf(&a, "%s.rope.freq_base", m->arch), 10000);
    put_pair_u32(out, str_printf(&a, "%s.vocab_size", m->arch), FAKE_VOCABULARY);
    if (recipe->head_width != WIDTH / HEADS) {
        put_pair_u32(out, str_printf(&a, "%s.attention.key_length", m->arch), (uint32_t)recipe->head_width);
        put_pair_u32(out, str_printf(&a, "%s.attention.value_length", m->arch), (uint32_t)recipe->head_width);
        pairs += 2;
    }
    if (has_experts(m)) {
        put_pair_u32(out, str_printf(&a, "%s.expert_count", m->arch), EXPERTS);
        put_pair_u32(out, str_printf(&a, "%s.expert_used_count", m->arch), EXPERTS_USED);
        put_pair_u32(out, str_printf(&a, "%s.expert_feed_forward_length", m->arch), EXPERT_FEED_FORWARD);
        pairs += 3;
    }
    if (m->has_extras) {
        put_pair_string(out, str_printf(&a, "%s.rope.scaling.type", m->arch), S("linear"));
        put_pair_f32(out, str_printf(&a, "%s.rope.scaling.factor", m->arch), 2);
        pairs += 2;
    }
    arena_free(&a);
    return pairs;
}

static void put_tensor_table(Buf *out, const Recipe *recipe) {
    size_t offset = 0;
    for (int i = 0; i < recipe->count; i++) {
        const Entry *entry = &recipe->entries[i];
        put_string(out, str_of(entry->name));
        put_u32(out, entry->experts ? 3 : entry->rows ? 2 : 1);
        put_u64(out, (uint64_t)entry->cols);
        if (entry->rows)
            put_u64(out, (uint64_t)entry->rows);
        if (entry->experts)
            put_u64(out, (uint64_t)entry->experts);
        put_u32(out, entry->type);
        put_u64(out, offset);
        offset += (dtype_row_bytes(entry->type, entry->cols) * (size_t)rows_of(entry) + 31) / 32 * 32;
    }
}

void fake_model_bytes(const FakeModel *model, Buf *out) {
    Recipe recipe;
    Buf pairs = {0};
    plan(&recipe, model);
    int count = put_hyper_parameters(&pairs, &recipe);
    put_vocabulary(&pairs, model->has_labels, model->has_thinking);
    if (model->has_thinking) {
        put_pair_string(&pairs, S("tokenizer.chat_template"),
                        S("<|im_start|>{% if not enable_thinking %}<think></think>{% endif %}"));
        count++;
    }
    size_t start = out->len;
    buf_str(out, S("GGUF"));
    put_u32(out, 3);
    put_u64(out, (uint64_t)recipe.count);
    put_u64(out, (uint64_t)count + 7);
    buf_str(out, buf_text(&pairs));
    put_tensor_table(out, &recipe);
    pad_to_32(out, start);
    for (int i = 0; i < recipe.count; i++) {
        put_tensor_data(out, &recipe.entries[i], model->seed);
        pad_to_32(out, start);
    }
    buf_free(&pairs);
}

Str fake_model_file(Arena *arena, const FakeModel *model) {
    Err err = {0};
    Buf bytes = {0};
    fake_model_bytes(model, &bytes);
    Str path = str_printf(arena, "%s/%s-%s%s.gguf", test_tmp(), model->arch, dtype_name(model->type),
                          model->has_extras ? "-extras" : "");
    bool ok = !bytes.failed && os_write_file(path.ptr, buf_text(&bytes), &err);
    buf_free(&bytes);
    CHECK_OK(ok, err);
    return path;
}

Engine *fake_engine(Str path, Str backend) {
    Err err = {0};
    Engine *engine =
        engine_open(&(EngineConfig){.default_model = path, .backend = backend, .threads = 2}, &err);
    CHECK_OK(engine != NULL, err);
    return engine;
}

Chat *fake_chat(Engine *engine, Str model) {
    Err err = {0};
    Chat *chat = chat_open(engine, model, &err);
    CHECK_OK(chat != NULL, err);
    return chat;
}

void fake_prompt(int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(test_random() % FAKE_END_OF_TEXT);
}

const float *fake_logits(Chat *chat, const int32_t *ids, size_t n) {
    Err err = {0};
    size_t vocabulary;
    CHECK_OK(chat_sync_tokens(chat, ids, n, &err), err);
    const float *row = chat_logits(chat, &vocabulary);
    CHECK(row != NULL);
    return row;
}
