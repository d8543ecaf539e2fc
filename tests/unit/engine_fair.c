/* Chats that work at once share the device in slices, and what they compute is what they compute alone. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "tests/runner.h"
#include "tests/unit/engine_support.h"

enum { CONTEXT = 8192, TOKENS = 100, PROMPT = 700 };

static const FakeModel SMALL = {.arch = "qwen2", .type = DTYPE_Q8_0, .seed = 11, .context = CONTEXT};

typedef struct Speaker {
    Engine *engine;
    uint64_t seed;
    size_t prompt; /* random ids */
    int32_t ids[TOKENS];
    size_t count;
    float logits[FAKE_VOCABULARY];
    bool ok;
} Speaker;

static bool hear(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    Speaker *speaker = ctx;
    (void)logits;
    (void)vocabulary;
    speaker->ids[speaker->count++] = id;
    return true;
}

static void *speak(void *ctx) {
    Speaker *speaker = ctx;
    Err err = {0};
    int32_t prompt[PROMPT];
    Chat *chat = chat_open(speaker->engine, S(""), &err);
    Sampling sampling = {.temperature = 1, .seed = speaker->seed, .max_tokens = TOKENS, .ignore_end = true};
    for (size_t i = 0; i < speaker->prompt; i++)
        prompt[i] = (int32_t)((i * 37 + speaker->seed * 11) % 256);
    speaker->ok = chat && chat_sync_tokens(chat, prompt, speaker->prompt, &err) &&
                  chat_generate(chat, &sampling, NULL, (ChatSink){speaker, NULL, hear}, NULL, &err);
    size_t vocabulary;
    const float *logits = speaker->ok ? chat_logits(chat, &vocabulary) : NULL;
    if (logits)
        memcpy(speaker->logits, logits, sizeof speaker->logits);
    chat_close(chat);
    return NULL;
}

static void results_do_not_depend_on_company(void) {
    enum { SPEAKERS = 3 };
    Arena arena = {0};
    Speaker alone[SPEAKERS], together[SPEAKERS];
    pthread_t threads[SPEAKERS];
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    for (size_t i = 0; i < SPEAKERS; i++) {
        alone[i] = together[i] = (Speaker){.engine = engine, .seed = i + 1, .prompt = PROMPT - 300 * i};
        speak(&alone[i]);
    }
    for (size_t i = 0; i < SPEAKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, speak, &together[i]) == 0);
    for (size_t i = 0; i < SPEAKERS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < SPEAKERS; i++) {
        CHECK(alone[i].ok && together[i].ok);
        CHECK_INT(together[i].count, TOKENS);
        CHECK(memcmp(alone[i].ids, together[i].ids, sizeof alone[i].ids) == 0);
        CHECK(memcmp(alone[i].logits, together[i].logits, sizeof alone[i].logits) == 0);
    }
    engine_close(engine);
    arena_free(&arena);
}

/* ---- progress ---- */

enum { ENOUGH = 40 };

/* Goes on until the other has said enough too: whoever held the device for a whole answer would never hear of
 * it and end at its length. */
typedef struct Pair {
    Chat *chat;
    atomic_size_t said;
    struct Pair *other;
    Usage usage;
    bool ok;
} Pair;

static bool say(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    Pair *me = ctx;
    (void)id;
    (void)logits;
    (void)vocabulary;
    size_t said = atomic_fetch_add(&me->said, 1) + 1;
    bool waits = atomic_load(&me->other->said) < ENOUGH;
    struct timespec moment = {0, 500000}; /* room for the other's thread to come, no more than that */
    if (waits)
        nanosleep(&moment, NULL);
    return waits || said < ENOUGH;
}

static void *talk(void *ctx) {
    Pair *me = ctx;
    Err err = {0};
    int32_t prompt[] = {1, 2, 3};
    me->ok = chat_sync_tokens(me->chat, prompt, 3, &err) &&
             chat_generate(me->chat, &(Sampling){.ignore_end = true}, NULL, (ChatSink){me, NULL, say},
                           &me->usage, &err);
    return NULL;
}

static void both_get_on(void) {
    Arena arena = {0};
    pthread_t threads[2];
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Pair pair[2] = {{.chat = fake_chat(engine, S(""))}, {.chat = fake_chat(engine, S(""))}};
    pair[0].other = &pair[1];
    pair[1].other = &pair[0];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, talk, &pair[i]) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        CHECK(pair[i].ok);
        CHECK_INT(pair[i].usage.stop, STOP_SINK);
        CHECK(pair[i].said >= ENOUGH);
        chat_close(pair[i].chat);
    }
    engine_close(engine);
    arena_free(&arena);
}

/* ---- a cancel while another works, and in the middle of a long prompt ---- */

typedef struct Holder {
    Chat *chat;
    Chat *cancelled; /* at the second slice */
    size_t said;
    bool ok;
} Holder;

static bool cancel_other(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    Holder *holder = ctx;
    (void)id;
    (void)logits;
    (void)vocabulary;
    if (++holder->said == 20)
        chat_cancel(holder->cancelled);
    return holder->said < 64;
}

static void *hold(void *ctx) {
    Holder *holder = ctx;
    Err err = {0};
    int32_t prompt[] = {5, 6};
    holder->ok = chat_sync_tokens(holder->chat, prompt, 2, &err) &&
                 chat_generate(holder->chat, &(Sampling){.ignore_end = true}, NULL,
                               (ChatSink){holder, NULL, cancel_other}, NULL, &err);
    return NULL;
}

/* Whenever the cancel comes, what was read before it is not read again, and the results are the same. */
static void a_cancelled_prompt_goes_on_later(void) {
    enum { LONG = 5000 };
    Arena arena = {0};
    Err err = {0};
    Usage usage;
    static int32_t prompt[LONG];
    float expected[FAKE_VOCABULARY];
    size_t vocabulary;
    fake_prompt(prompt, LONG);
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Chat *chat = fake_chat(engine, S(""));
    memcpy(expected, fake_logits(chat, prompt, LONG), sizeof expected);
    chat_rewind(chat, 0);
    Holder holder = {.chat = fake_chat(engine, S("")), .cancelled = chat};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hold, &holder) == 0);
    bool was_whole = chat_sync_tokens(chat, prompt, LONG, &err);
    pthread_join(thread, NULL);
    CHECK(holder.ok);
    CHECK_INT(holder.said, 64);
    CHECK(was_whole || err.code == ERR_CANCELLED);
    size_t kept = chat_length(chat);
    CHECK(was_whole ? kept == LONG : kept % 256 == 0);
    chat_clear_cancel(chat);
    CHECK_OK(chat_sync_tokens(chat, prompt, LONG, &err), err);
    CHECK_OK(chat_generate(chat, &(Sampling){.max_tokens = 1}, NULL, (ChatSink){0}, &usage, &err), err);
    CHECK_INT(usage.cached_tokens, kept);
    CHECK(!usage.difference.exists);
    chat_rewind(chat, LONG);
    CHECK(memcmp(chat_logits(chat, &vocabulary), expected, sizeof expected) == 0);
    chat_close(chat);
    chat_close(holder.chat);
    engine_close(engine);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"results do not depend on company", results_do_not_depend_on_company},
    {"both get on", both_get_on},
    {"a cancelled prompt goes on later", a_cancelled_prompt_goes_on_later},
};
TEST_SUITE(ENGINE_FAIR_SUITE, "fair", CASES);
