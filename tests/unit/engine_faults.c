/* What becomes of models and chats when a GPU is missing, full, or lost: one sentence, the CPU where nobody
 * insisted, nothing leaked. The emulated GPU fails on request; a real one is not asked to. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "tests/runner.h"
#include "tests/unit/engine_support.h"

#ifdef MUX_EMULATED
#include "tests/emulator/control.h"

#define SYNTHETIC S("synthetic:llama-tiny:q8_0")

static Engine *engine_on(Str backend, size_t context) {
    Err err = {0};
    EngineConfig config = {.default_model = SYNTHETIC, .backend = backend, .threads = 2, .context = context};
    Engine *engine = engine_open(&config, &err);
    CHECK_OK(engine != NULL, err);
    return engine;
}

static void begin(void) {
    emulator_reset();
    emulator_set_loud(false);
}

static void expect_backend(Chat *chat, const char *name, const char *note) {
    LoadReport report;
    chat_report(chat, false, &report);
    CHECK_STR(str_of(report.backend), str_of(name));
    CHECK_MSG(note ? strstr(report.note, note) != NULL : report.note[0] == 0, "the note says \"%s\"",
              report.note);
}

static void expect_works(Chat *chat) {
    Err err = {0};
    int32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    Usage usage;
    CHECK_OK(chat_sync_tokens(chat, ids, 12, &err), err);
    CHECK_OK(chat_generate(chat, &(Sampling){.max_tokens = 3}, NULL, (ChatSink){0}, &usage, &err), err);
    CHECK_INT(usage.output_tokens, 3);
}

static void expect_refusal(Str backend, ErrCode code, const char *mention) {
    Err err = {0};
    Engine *engine = engine_on(backend, 256);
    CHECK(!chat_open(engine, S(""), &err));
    CHECK_MSG(strstr(err.text, mention) != NULL, "says \"%s\"", err.text);
    CHECK_INT(err.code, code);
    engine_close(engine);
}

static void a_model_goes_to_the_gpu_by_itself(void) {
    begin();
    Engine *engine = engine_on(S(""), 256);
    Chat *chat = fake_chat(engine, S(""));
    expect_backend(chat, "cuda", NULL);
    expect_works(chat);
    chat_close(chat);
    engine_close(engine);
}

static void without_a_gpu_the_cpu_does_it(void) {
    static const struct {
        int devices, driver;
        const char *mention;
    } CASES[] = {{0, 13000, "no NVIDIA GPU"}, {1, 0, "no NVIDIA driver"}, {1, 11040, "driver is too old"}};
    for (size_t i = 0; i < 3; i++) {
        begin();
        emulator_set_devices(CASES[i].devices);
        emulator_set_driver(CASES[i].driver);
        Engine *engine = engine_on(S(""), 256);
        Chat *chat = fake_chat(engine, S(""));
        expect_backend(chat, "cpu", NULL);
        expect_works(chat);
        chat_close(chat);
        engine_close(engine);
        expect_refusal(S("cuda"), ERR_UNSUPPORTED, CASES[i].mention);
    }
    emulator_reset();
}

static size_t device_bytes(void) {
    EmulatorCounters counters;
    emulator_counters(&counters);
    return counters.bytes;
}

static void a_model_that_does_not_fit_says_so(void) {
    begin();
    size_t before = device_bytes();
    emulator_set_memory(before + (1 << 20));
    expect_refusal(S("cuda"), ERR_NO_MEMORY, "free");
    CHECK_INT(device_bytes(), before);
    Engine *engine = engine_on(S(""), 256);
    Chat *chat = fake_chat(engine, S(""));
    expect_backend(chat, "cpu", "does not fit");
    expect_works(chat);
    chat_close(chat);
    engine_close(engine);
    CHECK_INT(device_bytes(), before);
    emulator_reset();
}

/* Loading fails at every allocation and every launch it makes, one after the other; nothing stays behind. */
static void loading_fails_cleanly_anywhere(void) {
    static const char *const CALLS[] = {"cudaMalloc", "cuMemCreate", "cudaMallocHost", "cuMemMap"};
    for (size_t c = 0; c < sizeof CALLS / sizeof *CALLS; c++)
        for (int after = 0; after < 6; after++) {
            begin();
            size_t before = device_bytes();
            emulator_fail_next(CALLS[c], after, 2 /* out of memory */);
            Err err = {0};
            Engine *engine = engine_on(S("cuda"), 256);
            Chat *chat = chat_open(engine, S(""), &err);
            CHECK_MSG(chat || err.text[0], "%s, call %d: no sentence", CALLS[c], after);
            chat_close(chat);
            engine_close(engine);
            CHECK_MSG(device_bytes() == before, "%s, call %d: %zu bytes stay", CALLS[c], after,
                      device_bytes() - before);
        }
    emulator_reset();
}

/* The keys and values of a prompt find no room: it is refused, and once there is room the chat goes on. */
static void a_prompt_too_long_for_the_memory_is_refused(void) {
    begin();
    Err err = {0};
    int32_t ids[300] = {0};
    Engine *engine = engine_on(S("cuda"), 512);
    Chat *chat = fake_chat(engine, S(""));
    emulator_set_memory(device_bytes() + 4096);
    CHECK(!chat_sync_tokens(chat, ids, 300, &err));
    CHECK_INT(err.code, ERR_NO_MEMORY);
    CHECK_MSG(strstr(err.text, "300 tokens do not fit") && strstr(err.text, "free"), "says \"%s\"", err.text);
    emulator_set_memory((size_t)1 << 30);
    expect_works(chat);
    expect_backend(chat, "cuda", NULL);
    chat_close(chat);
    engine_close(engine);
    emulator_reset();
}

/* A kernel fault ends the turn it happens in; the next one is read again on the CPU. */
static void a_lost_gpu_ends_the_turn_and_the_next_uses_the_cpu(void) {
    for (int at = 0; at < 90; at += 13) {
        begin();
        Err err = {0};
        Engine *engine = engine_on(S(""), 256);
        Chat *chat = fake_chat(engine, S("")), *other = fake_chat(engine, S(""));
        int32_t ids[] = {5, 6, 7};
        Usage usage;
        emulator_fail_launch(at, 700 /* illegal address */);
        bool ok = chat_sync_tokens(chat, ids, 3, &err) &&
                  chat_generate(chat, &(Sampling){.max_tokens = 20}, NULL, (ChatSink){0}, &usage, &err);
        CHECK_MSG(!ok, "the fault of launch %d went by", at);
        CHECK_INT(err.code, ERR_INTERNAL);
        Chat *fresh = fake_chat(engine, S("")); /* who comes before anybody has noticed */
        expect_backend(fresh, "cpu", "GPU failed");
        expect_works(chat);
        expect_backend(chat, "cpu", "GPU failed");
        expect_works(other);
        expect_backend(other, "cpu", "GPU failed");
        chat_close(chat), chat_close(other), chat_close(fresh);
        engine_close(engine);
    }
    emulator_reset();
}

typedef struct Guest {
    Engine *engine;
    pthread_t thread;
    atomic_bool is_in;
    bool was_in_before; /* while another had the turn */
    Chat *chat;
} Guest;

static void *bring_a_model(void *argument) {
    Guest *guest = argument;
    Err err = {0};
    guest->chat = chat_open(guest->engine, S("synthetic:qwen3-tiny:q8_0"), &err);
    atomic_store(&guest->is_in, true);
    return NULL;
}

static bool let_it_try(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    Guest *guest = ctx;
    (void)id, (void)logits, (void)vocabulary;
    pthread_create(&guest->thread, NULL, bring_a_model, guest);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    guest->was_in_before = atomic_load(&guest->is_in);
    return false;
}

/* A second model is loaded when the first one's turn is over: a GPU takes the work of one thread at a time.
 */
static void loading_waits_for_its_turn(void) {
    begin();
    Err err = {0};
    int32_t ids[] = {1, 2, 3};
    Guest guest = {.engine = engine_on(S("cuda"), 256)};
    Chat *chat = fake_chat(guest.engine, S(""));
    CHECK_OK(chat_sync_tokens(chat, ids, 3, &err), err);
    ChatSink sink = {.ctx = &guest, .token = let_it_try};
    CHECK_OK(chat_generate(chat, &(Sampling){.max_tokens = 3, .ignore_end = true}, NULL, sink, NULL, &err),
             err);
    pthread_join(guest.thread, NULL);
    CHECK(!guest.was_in_before && guest.chat);
    expect_works(guest.chat);
    expect_backend(guest.chat, "cuda", NULL);
    chat_close(chat), chat_close(guest.chat);
    engine_close(guest.engine);
}

#else

static void needs_the_emulated_gpu(void) {
    SKIP("faults are injected into the emulated GPU only");
}

#endif

static const TestCase CASES[] = {
#ifdef MUX_EMULATED
    {"a model goes to the GPU by itself", a_model_goes_to_the_gpu_by_itself},
    {"without a GPU the CPU does it", without_a_gpu_the_cpu_does_it},
    {"a model that does not fit says so", a_model_that_does_not_fit_says_so},
    {"loading fails cleanly anywhere", loading_fails_cleanly_anywhere},
    {"a prompt too long for the memory is refused", a_prompt_too_long_for_the_memory_is_refused},
    {"a lost GPU ends the turn and the next uses the CPU",
     a_lost_gpu_ends_the_turn_and_the_next_uses_the_cpu},
    {"loading waits for its turn", loading_waits_for_its_turn},
#else
    {"needs the emulated GPU", needs_the_emulated_gpu},
#endif
};
TEST_SUITE(ENGINE_FAULTS_SUITE, "faults", CASES);
