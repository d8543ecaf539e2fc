/* Models: logits and tokens against llama.cpp's, recorded in tests/vectors/engine, and one result however a
 * prompt is cut. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/os.h"
#include "engine/decoder.h"
#include "tests/runner.h"
#include "tests/unit/engine_support.h"

/* ---- against recorded rows ---- */

static Json *read_json(Arena *arena, Str path) {
    Err err = {0};
    Str text;
    CHECK_OK(os_read_file(path.ptr, 16 << 20, arena, &text, &err), err);
    Json *json = json_parse(text, &err);
    CHECK_OK(json != NULL, err);
    return json;
}

static DType type_of_name(Str name) {
    static const DType TYPES[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0};
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (str_eq(name, str_of(dtype_name(TYPES[i]))))
            return TYPES[i];
    CHECK(!"known type");
    return DTYPE_F32;
}

static size_t read_ids(const Json *array, int32_t *ids, size_t most) {
    size_t n = 0;
    JSON_EACH(item, array)
    if (n < most)
        ids[n++] = (int32_t)item->valuedouble;
    return n;
}

typedef struct Distance {
    double largest, divergence; /* of one row: max |a - b|, and KL(expected, ours) */
    int best;                   /* our top token */
} Distance;

static double log_sum(const float *row, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)row[i]);
    return log(sum);
}

static Distance distance_of(const float *ours, const Json *expected) {
    float row[FAKE_VOCABULARY];
    size_t n = 0;
    Distance out = {0};
    JSON_EACH(item, expected)
    row[n++] = (float)item->valuedouble;
    CHECK_INT(n, FAKE_VOCABULARY);
    double a = log_sum(ours, n), b = log_sum(row, n);
    for (size_t i = 0; i < n; i++) {
        out.largest = fmax(out.largest, fabs((double)ours[i] - row[i]));
        out.divergence += exp(row[i] - b) * ((row[i] - b) - (ours[i] - a));
        out.best = ours[i] > ours[out.best] ? (int)i : out.best;
    }
    return out;
}

typedef struct TokenRun {
    int32_t ids[256];
    size_t count;
} TokenRun;

static bool note_token(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    TokenRun *run = ctx;
    CHECK(logits && vocabulary);
    run->ids[run->count++] = id;
    return true;
}

static void check_greedy(Chat *chat, const int32_t *expected, size_t count, const char *what) {
    TokenRun run = {0};
    Err err = {0};
    Usage usage;
    Sampling greedy = {.max_tokens = count, .ignore_end = true};
    CHECK_OK(chat_generate(chat, &greedy, NULL, (ChatSink){&run, NULL, note_token}, &usage, &err), err);
    CHECK_INT(run.count, count);
    for (size_t i = 0; i < count; i++)
        CHECK_MSG(run.ids[i] == expected[i], "%s: token %zu is %d, expected %d", what, i, run.ids[i],
                  expected[i]);
}

/* F32 within 1e-4 and the same tokens; the others as far as llama.cpp's 8-bit activations allow: the same top
 * token where it leads clearly, and a small divergence. */
static void check_vector(const char *file, Str backend) {
    Arena arena = {0};
    Err err = {0};
    int32_t prompt[64], greedy[64], top[64];
    Json *json = read_json(&arena, str_printf(&arena, "%s/tests/vectors/engine/%s", test_source_dir(), file));
    Str arch = json_str(json, "arch");
    FakeModel model = {.arch = str_cstr(&arena, arch),
                       .type = type_of_name(json_str(json, "type")),
                       .seed = (uint64_t)json_int(json, "seed", 0),
                       .has_extras = json_bool(json, "extras", false)};
    bool is_exact = model.type == DTYPE_F32 && !model.has_extras;
    size_t prompt_count = read_ids(json_find(json, "prompt"), prompt, 64);
    size_t greedy_count = read_ids(json_find(json, "greedy"), greedy, 64);
    read_ids(json_find(json, "top"), top, 64);
    Engine *engine = fake_engine(fake_model_file(&arena, &model), backend);
    Chat *chat = fake_chat(engine, S(""));
    JSON_EACH(entry, json_find(json, "logits")) {
        size_t position = (size_t)json_int(entry, "position", 0), vocabulary;
        CHECK_OK(chat_sync_tokens(chat, prompt, position + 1, &err), err);
        const float *row = chat_logits(chat, &vocabulary);
        CHECK(row && vocabulary == FAKE_VOCABULARY);
        Distance d = distance_of(row, json_find(entry, "row"));
        double most = model.has_extras ? 0.5 : 1e-4;
        CHECK_MSG(model.type != DTYPE_F32 || d.largest <= most, "%s %.*s at %zu: %g apart", file,
                  STR_ARG(backend), position, d.largest);
        CHECK_MSG(d.divergence < 1e-2, "%s %.*s at %zu: KL %g", file, STR_ARG(backend), position,
                  d.divergence);
    }
    size_t at = 0;
    JSON_EACH(margin, json_find(json, "margin")) {
        size_t vocabulary;
        CHECK_OK(chat_sync_tokens(chat, prompt, at + 1, &err), err);
        const float *row = chat_logits(chat, &vocabulary);
        int best = 0;
        for (size_t i = 1; i < vocabulary; i++)
            best = row[i] > row[best] ? (int)i : best;
        CHECK_MSG(best == top[at] || margin->valuedouble < (is_exact ? 1e-4 : 0.4),
                  "%s %.*s at %zu: top %d, expected %d", file, STR_ARG(backend), at, best, top[at]);
        at++;
    }
    CHECK_INT(at, prompt_count);
    if (is_exact)
        check_greedy(chat, greedy, greedy_count, file);
    chat_close(chat);
    engine_close(engine);
    json_free(json);
    arena_free(&arena);
}

static void agrees_with_recorded_rows(void) {
    static const char *const BACKENDS[] = {"ref", "cpu", "cuda"};
    static const char *const FILES[] = {
        "llama-f32",  "llama-f16",  "llama-bf16", "llama-q8_0",   "llama-q4_0",    "qwen2-f32",
        "qwen2-f16",  "qwen2-bf16", "qwen2-q8_0", "qwen2-q4_0",   "qwen3-f32",     "qwen3-f16",
        "qwen3-bf16", "qwen3-q8_0", "qwen3-q4_0", "qwen3moe-f32", "qwen3moe-q8_0", "llama-f32-extras",
    };
    Arena arena = {0};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        /* emulation takes its time: one float and one quantised type of each family, the others in devices */
        bool is_for_all = strstr(FILES[i], "f32") || strstr(FILES[i], "q8_0");
        for (size_t b = 0; b < (is_for_all ? 3 : 2); b++)
            check_vector(str_printf(&arena, "%s.json", FILES[i]).ptr, str_of(BACKENDS[b]));
    }
    arena_free(&arena);
}

static void stories_run_as_in_llama_cpp(void) {
    Arena arena = {0};
    int32_t expected[120];
    Str model = test_shared(&arena, "models/stories260K-F32.gguf");
    Json *json = read_json(&arena, test_shared(&arena, "models/stories260K-F32.reference.json"));
    CHECK_INT(read_ids(json_find(json, "generated"), expected, 120), 120);
    static const char *const BACKENDS[] = {"ref", "cpu"};
    for (int i = 0; i < 2; i++) {
        Err err = {0};
        Engine *engine = fake_engine(model, str_of(BACKENDS[i]));
        Chat *chat = fake_chat(engine, S(""));
        CHECK_OK(chat_sync_text(chat, S("Once upon a time"), &err), err);
        CHECK_INT(chat_length(chat), 5);
        check_greedy(chat, expected, 120, BACKENDS[i]);
        chat_close(chat);
        engine_close(engine);
    }
    json_free(json);
    arena_free(&arena);
}

/* ---- one result, however a prompt is cut ---- */

enum { LONG_PROMPT = 2 * DECODER_HOST_CHUNK + 37 };

static void check_cuts(const FakeModel *model, Str backend) {
    Arena arena = {0};
    int32_t ids[LONG_PROMPT];
    float whole[FAKE_VOCABULARY];
    static const size_t STEPS[] = {1, 7, DECODER_HOST_CHUNK - 1, DECODER_HOST_CHUNK};
    fake_prompt(ids, LONG_PROMPT);
    Engine *engine = fake_engine(fake_model_file(&arena, model), backend);
    Chat *chat = fake_chat(engine, S(""));
    memcpy(whole, fake_logits(chat, ids, LONG_PROMPT), sizeof whole);
    for (size_t s = 0; s < sizeof STEPS / sizeof *STEPS; s++) {
        chat_rewind(chat, 0);
        for (size_t n = STEPS[s]; n < LONG_PROMPT; n += STEPS[s])
            fake_logits(chat, ids, n);
        CHECK_MSG(memcmp(whole, fake_logits(chat, ids, LONG_PROMPT), sizeof whole) == 0,
                  "%s %s in steps of %zu differs", backend.ptr, dtype_name(model->type), STEPS[s]);
    }
    fake_logits(chat, ids, 300); /* rewound, and the last token run again */
    CHECK(memcmp(whole, fake_logits(chat, ids, LONG_PROMPT), sizeof whole) == 0);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

static void any_cut_gives_the_same_bits(void) {
    static const DType TYPES[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0};
    static const char *const ARCHES[] = {"llama", "qwen2", "qwen3"};
    for (size_t i = 0; i < 5; i++)
        check_cuts(&(FakeModel){.arch = ARCHES[i % 3], .type = TYPES[i], .seed = 3, .context = 1024},
                   S("cpu"));
    check_cuts(&(FakeModel){.arch = "qwen3", .type = DTYPE_Q8_0, .seed = 3, .context = 1024}, S("ref"));
    check_cuts(&(FakeModel){.arch = "llama", .has_extras = true, .seed = 3, .context = 1024}, S("cpu"));
}

/* ---- cancelling inside prefill, at an exact operation ---- */

static atomic_bool cancel_flag;
static int ops_left, ops_after;
static const Ops *true_ops;

static void counting_matmul(Backend *backend, const MatMul *jobs, int count, const float *x, int64_t stride,
                            int n) {
    ops_after += atomic_load(&cancel_flag);
    if (--ops_left == 0)
        atomic_store(&cancel_flag, true);
    true_ops->matmul(backend, jobs, count, x, stride, n);
}

typedef struct OpenModel {
    Gguf *file;
    Backend *backend;
    Weights weights;
    Decoder decoder;
    KvArena arena;
    Kv kv;
} OpenModel;

static void open_model(OpenModel *m, Arena *arena) {
    Err err = {0};
    KernelError failure;
    Shape shape;
    FakeModel fake = {.arch = "qwen2", .type = DTYPE_Q8_0, .seed = 9, .context = 1024};
    m->file = gguf_open(fake_model_file(arena, &fake).ptr, &err);
    const Arch *arch = m->file ? arch_of(m->file, &err) : NULL;
    m->backend = backend_open(&(BackendConfig){.name = "cpu", .threads = 2}, &failure);
    CHECK_OK(arch && m->backend && shape_read(m->file, &shape, &err), err);
    weights_open(&m->weights, m->file, m->backend);
    CHECK_OK(decoder_open(&m->decoder, arch, &shape, &m->weights, &err), err);
    KvShape kv = {.layers = shape.layers, .row_values = 2 * 16, .type = DTYPE_F16, .limit = 1024};
    CHECK_OK(kv_arena_open(&m->arena, m->backend, &kv, &err) && kv_open(&m->kv, &m->arena, &err), err);
}

static void close_model(OpenModel *m) {
    kv_close(&m->kv);
    kv_arena_close(&m->arena);
    decoder_close(&m->decoder);
    weights_close(&m->weights);
    backend_close(m->backend);
    gguf_close(m->file);
}

static void cancel_stops_within_one_operation(void) {
    Arena arena = {0};
    Err err = {0};
    OpenModel m = {0};
    Mem logits = {0};
    int32_t ids[LONG_PROMPT];
    float whole[FAKE_VOCABULARY];
    size_t done;
    open_model(&m, &arena);
    fake_prompt(ids, LONG_PROMPT);
    CHECK(backend_alloc(m.backend, sizeof whole, &logits));
    CHECK_OK(decoder_run(&m.decoder, &m.kv, ids, LONG_PROMPT, 0, NULL, logits.address, &done, &err), err);
    memcpy(whole, logits.address, sizeof whole);
    true_ops = m.decoder.ops;
    Ops counting = *true_ops;
    counting.matmul = counting_matmul;
    /* three chunks: two of 5 products and one of 8, then the logits */
    for (int at = 1; at <= 18; at++) {
        size_t kept = 0;
        atomic_store(&cancel_flag, false);
        ops_left = at;
        ops_after = 0;
        m.decoder.ops = &counting;
        bool ok =
            decoder_run(&m.decoder, &m.kv, ids, LONG_PROMPT, 0, &cancel_flag, logits.address, &kept, &err);
        m.decoder.ops = true_ops;
        CHECK_MSG(!ok && err.code == ERR_CANCELLED, "product %d: not cancelled", at);
        CHECK_MSG(ops_after == 0, "product %d: %d more followed", at, ops_after);
        CHECK_INT(kept % DECODER_HOST_CHUNK, 0);
        memset(logits.address, 0, sizeof whole);
        CHECK_OK(decoder_run(&m.decoder, &m.kv, ids + kept, LONG_PROMPT - kept, kept, NULL, logits.address,
                             &done, &err),
                 err);
        CHECK(memcmp(whole, logits.address, sizeof whole) == 0);
    }
    backend_free(m.backend, &logits);
    close_model(&m);
    arena_free(&arena);
}

/* ---- files that cannot be run ---- */

/* Replaces the first occurrence of a key or name by one of the same length. */
static void replace_once(Buf *bytes, Str from, Str to) {
    size_t at = str_find(buf_text(bytes), from, 0);
    CHECK(at != STR_NONE && from.len == to.len);
    memcpy(bytes->ptr + at, to.ptr, to.len);
}

static void check_unusable(Str from, Str to, ErrCode code, const char *mention) {
    Arena arena = {0};
    Err err = {0};
    Buf bytes = {0};
    fake_model_bytes(&(FakeModel){.arch = "llama", .type = DTYPE_Q8_0, .seed = 1}, &bytes);
    replace_once(&bytes, from, to);
    Str path = str_printf(&arena, "%s/bad.gguf", test_tmp());
    CHECK_OK(os_write_file(path.ptr, buf_text(&bytes), &err), err);
    Engine *engine = fake_engine(path, S("ref"));
    CHECK_MSG(!chat_open(engine, S(""), &err), "was taken, though: %s", mention);
    CHECK_MSG(strstr(err.text, mention) && strstr(err.text, "bad.gguf"), "said \"%s\"", err.text);
    CHECK_INT(err.code, code);
    engine_close(engine);
    buf_free(&bytes);
    arena_free(&arena);
}

static void unusable_models_are_refused_by_name(void) {
    check_unusable(S("\5\0\0\0\0\0\0\0llama"), S("\5\0\0\0\0\0\0\0gemma"), ERR_UNSUPPORTED,
                   "architecture \"gemma\"");
    check_unusable(S("attn_output"), S("attn_outpux"), ERR_INVALID, "blk.0.attn_output.weight is missing");
    check_unusable(S("llama.block_count\4\0\0\0\2"), S("llama.block_count\4\0\0\0\3"), ERR_INVALID, "blk.2.");
    check_unusable(S("llama.block_count\4\0\0\0\2"), S("llama.block_count\4\0\0\0\0"), ERR_INVALID,
                   "llama.block_count = 0");
    check_unusable(S("llama.block_count"), S("llama.block_bount"), ERR_INVALID,
                   "does not say llama.block_count");
    check_unusable(S("llama.embedding_length\4\0\0\0\x40"), S("llama.embedding_length\4\0\0\0\x20"),
                   ERR_INVALID, "tensor");
    check_unusable(S("llama.attention.head_count_kv\4\0\0\0\2"), S("llama.attention.head_count_kv\4\0\0\0\3"),
                   ERR_UNSUPPORTED, "do not divide");
    /* token_embd: 64 x 320 of Q8_0 (8) becomes Q5_1 (7), IQ4_NL (20), 99 */
    Str table = S("token_embd.weight\2\0\0\0\x40\0\0\0\0\0\0\0\x40\1\0\0\0\0\0\0\x08");
    Buf other = {0};
    static const struct {
        char type;
        const char *mention;
    } TYPES[] = {{7, "type Q5_1"}, {20, "type IQ4_NL"}, {99, "unknown type 99"}};
    for (size_t i = 0; i < 3; i++) {
        buf_clear(&other);
        buf_str(&other, table);
        other.ptr[other.len - 1] = TYPES[i].type;
        check_unusable(table, buf_text(&other), ERR_UNSUPPORTED, TYPES[i].mention);
    }
    buf_free(&other);
}

static const TestCase CASES[] = {
    {"agrees with recorded rows of llama.cpp", agrees_with_recorded_rows},
    {"stories260K runs as in llama.cpp", stories_run_as_in_llama_cpp},
    {"any cut gives the same bits", any_cut_gives_the_same_bits},
    {"cancel stops within one operation", cancel_stops_within_one_operation},
    {"unusable models are refused by name", unusable_models_are_refused_by_name},
};
TEST_SUITE(ENGINE_MODEL_SUITE, "model", CASES);
