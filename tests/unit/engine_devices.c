/* Devices: the engine on "cuda" (emulated here, the GPU itself in tests-engine-gpu) against "ref", and what
 * becomes of a chat when a device refuses or fails. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/os.h"
#include "base/utf8.h"
#include "kernels/backend.h"
#include "tests/runner.h"
#include "tests/unit/engine_support.h"

enum { PROMPT = 21, STEPS = 12, FEWER_STEPS = 5 };

static int best_of(const float *row, size_t n, float *margin) {
    size_t best = 0;
    float second = -INFINITY;
    for (size_t i = 1; i < n; i++)
        best = row[i] > row[best] ? i : best;
    for (size_t i = 0; i < n; i++)
        second = i != best && row[i] > second ? row[i] : second;
    *margin = row[best] - second;
    return (int)best;
}

static double divergence(const float *truth, const float *row, size_t n) {
    double a = 0, b = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        a += exp((double)truth[i]), b += exp((double)row[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp(truth[i]) / a * ((truth[i] - log(a)) - (row[i] - log(b)));
    return sum;
}

/* Greedy decoding on one device, followed on another: the same token wherever it leads by more than rounding
 * may move, and nearly the same probabilities. F32 rounds nothing but sums, so every token must be the same.
 * F16 and BF16 round x to 11 and 8 bits in large batches: 0.4 of a logit, as for llama.cpp's vectors.
 * Quantised weights see x in 8 bits on every device but ref; there the cpu is the one to follow, since it
 * rounds in the same way. */
static void follow(const FakeModel *model, const char *leader, const char *backend) {
    Arena arena = {0};
    bool is_exact = model->type == DTYPE_F32 && !model->has_extras;
    int32_t ids[PROMPT + STEPS];
    float truth[FAKE_VOCABULARY], margin, ignored, most = is_exact ? 1e-3f : 0.4f;
    Str path = fake_model_file(&arena, model);
    Engine *lead_engine = fake_engine(path, str_of(leader)), *engine = fake_engine(path, str_of(backend));
    Chat *lead = fake_chat(lead_engine, S("")), *chat = fake_chat(engine, S(""));
    fake_prompt(ids, PROMPT);
    int steps = is_exact ? STEPS : FEWER_STEPS; /* what differs between types shows in the first */
    for (int step = 0; step < steps; step++) {
        size_t n = (size_t)(PROMPT + step);
        memcpy(truth, fake_logits(lead, ids, n), sizeof truth);
        const float *row = fake_logits(chat, ids, n);
        int expected = best_of(truth, FAKE_VOCABULARY, &margin),
            best = best_of(row, FAKE_VOCABULARY, &ignored);
        CHECK_MSG(best == expected || margin < most, "%s %s on %s, step %d: %d, %s says %d by %g",
                  model->arch, dtype_name(model->type), backend, step, best, leader, expected,
                  (double)margin);
        double apart = divergence(truth, row, FAKE_VOCABULARY);
        CHECK_MSG(apart < (is_exact ? 1e-6 : 3e-3), "%s %s on %s, step %d: KL %g from %s", model->arch,
                  dtype_name(model->type), backend, step, apart, leader);
        ids[n] = expected;
    }
    chat_close(lead), chat_close(chat);
    engine_close(lead_engine), engine_close(engine);
    arena_free(&arena);
}

static void families_follow_ref(void) {
    static const char *const ARCHES[] = {"llama", "qwen2", "qwen3", "qwen3moe"};
    static const DType TYPES[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0};
    for (size_t a = 0; a < 4; a++)
        for (size_t t = 0; t < 5; t++)
            follow(&(FakeModel){.arch = ARCHES[a], .type = TYPES[t], .seed = 11 + a}, t < 3 ? "ref" : "cpu",
                   "cuda");
    follow(&(FakeModel){.arch = "llama", .has_extras = true, .seed = 3}, "cpu", "cuda");
}

/* Five tokens at once and one after the other: the same bits, as prefix reuse and replay need it. */
static void small_batches_give_the_same_bits(void) {
    static const char *const ARCHES[] = {"llama", "qwen2", "qwen3", "qwen3moe"};
    static const DType TYPES[] = {DTYPE_F32, DTYPE_Q8_0, DTYPE_F16, DTYPE_Q4_0};
    for (size_t a = 0; a < 4; a++) {
        Arena arena = {0};
        int32_t ids[10];
        float together[FAKE_VOCABULARY];
        FakeModel model = {.arch = ARCHES[a], .type = TYPES[a], .seed = 5};
        Engine *engine = fake_engine(fake_model_file(&arena, &model), S("cuda"));
        Chat *chat = fake_chat(engine, S(""));
        fake_prompt(ids, 10);
        fake_logits(chat, ids, 5);
        memcpy(together, fake_logits(chat, ids, 10), sizeof together);
        chat_rewind(chat, 0);
        for (size_t n = 1; n < 10; n++)
            fake_logits(chat, ids, n);
        CHECK_MSG(memcmp(together, fake_logits(chat, ids, 10), sizeof together) == 0,
                  "%s %s: single tokens differ", model.arch, dtype_name(model.type));
        chat_close(chat);
        engine_close(engine);
        arena_free(&arena);
    }
}

/* ---- real models ---- */

typedef struct Ids {
    int32_t ids[128];
    size_t count;
} Ids;

static bool note_id(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    Ids *run = ctx;
    CHECK(logits && vocabulary);
    run->ids[run->count++] = id;
    return true;
}

static void generate(Chat *chat, const Sampling *sampling, bool looks, Ids *out) {
    Err err = {0};
    Usage usage;
    size_t length = chat_length(chat);
    out->count = 0;
    ChatSink sink = {.ctx = out, .token = looks ? note_id : NULL};
    CHECK_OK(chat_generate(chat, sampling, NULL, sink, &usage, &err), err);
    if (!looks)
        out->count = usage.output_tokens;
    CHECK_INT(chat_length(chat) - length, sampling->max_tokens);
}

static void stories_run_as_in_llama_cpp(void) {
    Arena arena = {0};
    Err err = {0};
    Str text;
    enum { COUNT = 60 };
    Str model = test_shared(&arena, "models/stories260K-F32.gguf");
    CHECK_OK(os_read_file(test_shared(&arena, "models/stories260K-F32.reference.json").ptr, 1 << 20, &arena,
                          &text, &err),
             err);
    Json *json = json_parse(text, &err);
    Engine *engine = fake_engine(model, S("cuda"));
    Chat *chat = fake_chat(engine, S(""));
    CHECK_OK(chat_sync_text(chat, S("Once upon a time"), &err), err);
    Ids run;
    generate(chat, &(Sampling){.max_tokens = COUNT, .ignore_end = true}, true, &run);
    size_t at = 0;
    JSON_EACH(item, json_find(json, "generated"))
    if (at < COUNT) {
        CHECK_MSG(run.ids[at] == (int32_t)item->valuedouble, "token %zu is %d, expected %d", at, run.ids[at],
                  (int)item->valuedouble);
        at++;
    }
    CHECK_INT(at, COUNT);
    chat_close(chat);
    engine_close(engine);
    json_free(json);
    arena_free(&arena);
}

/* The embedded model, greedy, a few tokens: emulation takes its time. */
static void tiny_runs_as_on_ref(void) {
    Err err = {0};
    Ids runs[2];
    static const char *const BACKENDS[] = {"ref", "cuda"};
    for (int i = 0; i < 2; i++) {
        Engine *engine = engine_open(&(EngineConfig){.backend = str_of(BACKENDS[i]), .threads = 2}, &err);
        CHECK_OK(engine != NULL, err);
        Chat *chat = fake_chat(engine, S("mux-tiny"));
        CHECK_OK(chat_sync_text(chat, S("int add(int a, int b) {\n"), &err), err);
        generate(chat, &(Sampling){.max_tokens = 6, .ignore_end = true}, true, &runs[i]);
        chat_close(chat);
        engine_close(engine);
    }
    CHECK(memcmp(runs[0].ids, runs[1].ids, 6 * sizeof(int32_t)) == 0);
}

/* ---- choosing on the device ---- */

static bool count_text(void *ctx, Str piece) {
    buf_str(ctx, piece);
    return true;
}

/* With nobody looking at the logits the device draws; the text is the same as when the host draws. */
static void device_draws_as_the_host_does(void) {
    static const Sampling SAMPLINGS[] = {{.max_tokens = 24},
                                         {.max_tokens = 24, .temperature = 0.9f, .seed = 3},
                                         {.max_tokens = 24, .temperature = 1.3f, .top_k = 9, .seed = 4},
                                         {.max_tokens = 24, .temperature = 0.7f, .top_p = 0.8f, .seed = 5},
                                         {.max_tokens = 24, .temperature = 1, .min_p = 0.1f, .seed = 6}};
    Arena arena = {0};
    int32_t ids[8];
    FakeModel model = {.arch = "llama", .type = DTYPE_F32, .seed = 21};
    Engine *engine = fake_engine(fake_model_file(&arena, &model), S("cuda"));
    Chat *chat = fake_chat(engine, S(""));
    fake_prompt(ids, 8);
    for (size_t i = 0; i < sizeof SAMPLINGS / sizeof *SAMPLINGS; i++) {
        Buf texts[2] = {{0}, {0}};
        for (int looks = 0; looks < 2; looks++) {
            Err err = {0};
            Ids run = {.count = 0};
            Sampling sampling = SAMPLINGS[i];
            sampling.ignore_end = true;
            CHECK_OK(chat_sync_tokens(chat, ids, 8, &err), err);
            struct {
                Buf *text;
                Ids *run;
            } both = {&texts[looks], &run};
            ChatSink sink = {.ctx = looks ? (void *)both.run : both.text, .text = looks ? NULL : count_text};
            sink.token = looks ? note_id : NULL;
            CHECK_OK(chat_generate(chat, &sampling, NULL, sink, NULL, &err), err);
            for (size_t t = 0; looks && t < run.count; t++)
                buf_str(&texts[1], tokenizer_shown(chat_tokenizer(chat), run.ids[t]));
        }
        Buf repaired = {0};
        utf8_repair(buf_text(&texts[1]), &repaired);
        CHECK_MSG(str_eq(buf_text(&texts[0]), buf_text(&repaired)), "sampling %zu differs", i);
        buf_free(&texts[0]), buf_free(&texts[1]), buf_free(&repaired);
    }
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

/* ---- memory ---- */

static void load_and_unload(Str path) {
    Err err = {0};
    Engine *engine = fake_engine(path, S("cuda"));
    Chat *chat = fake_chat(engine, S(""));
    CHECK_OK(chat_sync_text(chat, S("some text"), &err), err);
    LoadReport report;
    chat_report(chat, false, &report);
    CHECK_STR(str_of(report.backend), S("cuda"));
    CHECK(report.device_bytes > 0 && report.note[0] == 0);
    chat_close(chat);
    engine_close(engine);
}

/* A witness that stays open sees the free memory. The first round takes what a device keeps for as long as
 * the program runs: code of the kernels, room for their stacks, the library's own. */
static void unloading_gives_every_byte_back(void) {
    Arena arena = {0};
    DeviceInfo before, after;
    KernelError why;
    FakeModel model = {.arch = "qwen3moe", .type = DTYPE_Q8_0, .seed = 2};
    Str path = fake_model_file(&arena, &model);
    Backend *witness = backend_open(&(BackendConfig){.name = "cuda"}, &why);
    CHECK_MSG(witness != NULL, "%s", why.text);
    load_and_unload(path);
    backend_info(witness, &before);
    load_and_unload(path);
    backend_info(witness, &after);
    CHECK(before.memory_free > 0);
    CHECK_MSG(after.memory_free == before.memory_free, "%zu bytes are still taken",
              before.memory_free - after.memory_free);
    backend_close(witness);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"families follow ref", families_follow_ref},
    {"small batches give the same bits", small_batches_give_the_same_bits},
    {"stories260K runs as in llama.cpp", stories_run_as_in_llama_cpp},
    {"mux-tiny runs as on ref", tiny_runs_as_on_ref},
    {"the device draws as the host does", device_draws_as_the_host_does},
    {"unloading gives every byte back", unloading_gives_every_byte_back},
};
TEST_SUITE(ENGINE_DEVICES_SUITE, "devices", CASES);
