/* Chats: reuse, rewind, limits, cancelling, streaming, turns, formats, the registry. */
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

#include "base/os.h"
#include "base/utf8.h"
#include "engine/chat_format.h"
#include "engine/tokenizer_file.h"
#include "tests/runner.h"
#include "tests/unit/engine_support.h"

static const FakeModel SMALL = {.arch = "qwen2", .type = DTYPE_Q8_0, .seed = 5};

typedef struct Heard {
    Buf text;
    int32_t ids[512];
    size_t count, stop_at; /* stop_at 0 = never */
    Chat *cancel;          /* cancelled instead of stopped */
    bool is_whole;         /* every piece was valid UTF-8 so far */
} Heard;

static bool hear_text(void *ctx, Str piece) {
    Heard *heard = ctx;
    heard->is_whole = heard->is_whole && utf8_valid(piece) && piece.len;
    buf_str(&heard->text, piece);
    return true;
}

static bool hear_token(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    Heard *heard = ctx;
    (void)logits;
    (void)vocabulary;
    heard->ids[heard->count++] = id;
    if (heard->stop_at == 0 || heard->count < heard->stop_at)
        return true;
    if (heard->cancel)
        chat_cancel(heard->cancel);
    return heard->cancel != NULL;
}

static ChatSink sink_of(Heard *heard) {
    heard->is_whole = true;
    return (ChatSink){heard, hear_text, hear_token};
}

static bool generate(Chat *chat, size_t most, Heard *heard, Usage *usage, Err *err) {
    Sampling greedy = {.max_tokens = most, .ignore_end = true};
    return chat_generate(chat, &greedy, NULL, sink_of(heard), usage, err);
}

static void sync_text(Chat *chat, Str text) {
    Err err = {0};
    CHECK_OK(chat_sync_text(chat, text, &err), err);
}

static void shared_prefixes_are_reused(void) {
    Arena arena = {0};
    Err err = {0};
    Usage usage;
    Heard heard = {0};
    float fresh[FAKE_VOCABULARY];
    size_t vocabulary;
    int32_t ids[] = {10, 20, 30, 40, 50, 60, 70, 80};
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Chat *chat = fake_chat(engine, S("")), *other = fake_chat(engine, S(""));
    static const struct {
        size_t keep, count, cached; /* tokens of the first prompt kept, new length, expected reuse */
    } STEPS[] = {{0, 8, 0}, {8, 8, 8}, {5, 8, 5}, {8, 5, 4}, {5, 8, 5}, {0, 3, 0}};
    for (size_t s = 0; s < sizeof STEPS / sizeof *STEPS; s++) {
        for (size_t i = STEPS[s].keep; i < 8; i++)
            ids[i] += 3;
        CHECK_OK(chat_sync_tokens(chat, ids, STEPS[s].count, &err), err);
        CHECK_INT(chat_length(chat), STEPS[s].count);
        chat_rewind(other, 0);
        CHECK_OK(chat_sync_tokens(other, ids, STEPS[s].count, &err), err);
        memcpy(fresh, chat_logits(other, &vocabulary), sizeof fresh);
        CHECK(memcmp(fresh, chat_logits(chat, &vocabulary), sizeof fresh) == 0);
        heard.count = 0;
        CHECK_OK(generate(chat, 1, &heard, &usage, &err), err);
        CHECK_INT(usage.prompt_tokens, STEPS[s].count);
        CHECK_INT(usage.cached_tokens, STEPS[s].cached);
        chat_rewind(chat, STEPS[s].count);
        if (STEPS[s].keep == 8 && STEPS[s].count == 8)
            continue;
        CHECK_OK(chat_sync_tokens(chat, ids, STEPS[s].count, &err), err);
    }
    buf_free(&heard.text);
    chat_close(chat);
    chat_close(other);
    engine_close(engine);
    arena_free(&arena);
}

/* A miss is told with its place and the words there; going on, or less of the same, is none. */
static void differences_are_told(void) {
    Arena arena = {0};
    Err err = {0};
    Usage usage;
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Chat *chat = fake_chat(engine, S(""));
    static const struct {
        const char *text;
        bool exists;
        size_t at;
        const char *had, *has;
    } STEPS[] = {
        {"abcdef", false, 0, "", ""},          {"abcdefgh", false, 0, "", ""},
        {"abcdxxgh", true, 4, "efgh", "xxgh"}, {"abcd", false, 0, "", ""},
        {"zbcd", true, 0, "abcd", "zbcd"},
    };
    for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS; i++) {
        sync_text(chat, str_of(STEPS[i].text));
        CHECK_OK(chat_generate(chat, &(Sampling){.max_tokens = 1}, NULL, (ChatSink){0}, &usage, &err), err);
        chat_rewind(chat, strlen(STEPS[i].text));
        CHECK_INT(usage.difference.exists, STEPS[i].exists);
        if (!STEPS[i].exists)
            continue;
        CHECK_INT(usage.difference.at, STEPS[i].at);
        CHECK_STR(str_of(usage.difference.had), str_of(STEPS[i].had));
        CHECK_STR(str_of(usage.difference.has), str_of(STEPS[i].has));
    }
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

/* What was generated is part of the prefix of the next prompt. */
static void generated_tokens_stay(void) {
    Arena arena = {0};
    Err err = {0};
    Usage usage;
    Heard heard = {0};
    int32_t ids[64] = {1, 2, 3, 4, 5};
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Chat *chat = fake_chat(engine, S(""));
    CHECK_OK(chat_sync_tokens(chat, ids, 5, &err), err);
    CHECK_OK(generate(chat, 20, &heard, &usage, &err), err);
    CHECK_INT(chat_length(chat), 25);
    CHECK_INT(usage.stop, STOP_LENGTH);
    memcpy(ids + 5, heard.ids, 20 * sizeof *ids);
    ids[25] = 9;
    CHECK_OK(chat_sync_tokens(chat, ids, 26, &err), err);
    heard.count = 0;
    CHECK_OK(generate(chat, 3, &heard, &usage, &err), err);
    CHECK_INT(usage.cached_tokens, 25);
    buf_free(&heard.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

static void cancel_between_tokens_keeps_the_timeline(void) {
    Arena arena = {0};
    Err err = {0};
    Usage usage;
    Heard all = {0}, first = {.stop_at = 3}, rest = {0};
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Chat *chat = fake_chat(engine, S(""));
    sync_text(chat, S("hello there"));
    size_t prompt = chat_length(chat);
    CHECK_OK(generate(chat, 10, &all, &usage, &err), err);
    chat_rewind(chat, prompt);
    sync_text(chat, S("hello there"));
    first.cancel = chat;
    CHECK(!generate(chat, 10, &first, &usage, &err));
    CHECK_INT(err.code, ERR_CANCELLED);
    CHECK_INT(usage.stop, STOP_CANCELLED);
    CHECK_INT(usage.output_tokens, 3);
    CHECK_INT(chat_length(chat), prompt + 3);
    CHECK(!chat_sync_text(chat, S("hello there"), &err) &&
          err.code == ERR_CANCELLED); /* sticks until cleared */
    chat_clear_cancel(chat);
    CHECK_OK(generate(chat, 7, &rest, &usage, &err), err);
    CHECK(memcmp(all.ids, first.ids, 3 * sizeof *all.ids) == 0 &&
          memcmp(all.ids + 3, rest.ids, 7 * sizeof *all.ids) == 0);
    buf_free(&all.text);
    buf_free(&first.text);
    buf_free(&rest.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

static void limits_are_told(void) {
    Arena arena = {0};
    Err err = {0};
    Usage usage;
    Heard heard = {.stop_at = 2};
    int32_t ids[300] = {0};
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Chat *chat = fake_chat(engine, S(""));
    CHECK_INT(chat_context(chat), 256);
    CHECK(!chat_sync_tokens(chat, ids, 256, &err));
    CHECK_INT(err.code, ERR_LIMIT);
    CHECK_MSG(strstr(err.text, "256 tokens") && strstr(err.text, "255 fit"), "%s", err.text);
    CHECK(!chat_sync_tokens(chat, ids, 0, &err) && err.code == ERR_INVALID);
    CHECK(!generate(chat, 1, &heard, &usage, &err) && err.code == ERR_INVALID);
    ids[1] = FAKE_VOCABULARY;
    CHECK(!chat_sync_tokens(chat, ids, 2, &err) && err.code == ERR_INVALID);
    ids[1] = -1;
    CHECK(!chat_sync_tokens(chat, ids, 2, &err) && err.code == ERR_INVALID);
    ids[1] = 1;
    CHECK_OK(chat_sync_tokens(chat, ids, 250, &err), err);
    CHECK_OK(generate(chat, 0, &heard, &usage, &err), err);
    CHECK_INT(usage.stop, STOP_SINK);
    heard = (Heard){.text = heard.text};
    CHECK_OK(generate(chat, 0, &heard, &usage, &err), err);
    CHECK_INT(usage.stop, STOP_LENGTH);
    CHECK_INT(chat_length(chat), 256);
    CHECK_OK(generate(chat, 0, &heard, &usage, &err), err);
    CHECK_INT(usage.output_tokens, 0);
    buf_free(&heard.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

/* Random weights write random bytes: every piece is whole all the same, and nothing is lost but what never
 * became whole. */
static void pieces_are_whole_utf8(void) {
    Arena arena = {0};
    Err err = {0};
    Usage usage;
    Heard heard = {0};
    Buf bytes = {0}, repaired = {0};
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Chat *chat = fake_chat(engine, S(""));
    sync_text(chat, S("bytes"));
    Sampling wild = {.temperature = 3, .seed = 2, .max_tokens = 200, .ignore_end = true};
    CHECK_OK(chat_generate(chat, &wild, NULL, sink_of(&heard), &usage, &err), err);
    CHECK(heard.is_whole);
    for (size_t i = 0; i < heard.count; i++)
        buf_str(&bytes, tokenizer_shown(chat_tokenizer(chat), heard.ids[i]));
    CHECK(!utf8_valid(buf_text(&bytes))); /* or the test proves nothing */
    utf8_repair(buf_text(&bytes), &repaired);
    CHECK_STR(buf_text(&heard.text), buf_text(&repaired));
    buf_free(&bytes);
    buf_free(&repaired);
    buf_free(&heard.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

/* ---- several chats on one engine ---- */

typedef struct Guest {
    Engine *engine;
    uint64_t seed;
    Heard heard;
    bool ok;
} Guest;

static void *visit(void *ctx) {
    Guest *guest = ctx;
    Err err = {0};
    Chat *chat = chat_open(guest->engine, S(""), &err);
    Sampling sampling = {.temperature = 1, .seed = guest->seed, .max_tokens = 40, .ignore_end = true};
    guest->ok = chat && chat_sync_text(chat, S("several at once"), &err) &&
                chat_generate(chat, &sampling, NULL, sink_of(&guest->heard), NULL, &err);
    chat_close(chat);
    return NULL;
}

static void chats_do_not_disturb_each_other(void) {
    enum { GUESTS = 4 };
    Arena arena = {0};
    Guest alone[GUESTS] = {0}, together[GUESTS] = {0};
    pthread_t threads[GUESTS];
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    for (int i = 0; i < GUESTS; i++) {
        alone[i] = together[i] = (Guest){.engine = engine, .seed = (uint64_t)i + 1};
        visit(&alone[i]);
    }
    for (int i = 0; i < GUESTS; i++)
        CHECK(pthread_create(&threads[i], NULL, visit, &together[i]) == 0);
    for (int i = 0; i < GUESTS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < GUESTS; i++) {
        CHECK(alone[i].ok && together[i].ok);
        CHECK(memcmp(alone[i].heard.ids, together[i].heard.ids, 40 * sizeof(int32_t)) == 0);
        buf_free(&alone[i].heard.text);
        buf_free(&together[i].heard.text);
    }
    engine_close(engine);
    arena_free(&arena);
}

typedef struct Waiting {
    Chat *chat;
    sem_t runs, goes_on; /* the first chat holds its turn between these */
    Err err;
    bool ok;
} Waiting;

static bool hold_turn(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    Waiting *w = ctx;
    (void)id;
    (void)logits;
    (void)vocabulary;
    sem_post(&w->runs);
    sem_wait(&w->goes_on);
    return false;
}

static void *run_holding(void *ctx) {
    Waiting *w = ctx;
    w->ok = chat_sync_text(w->chat, S("a"), &w->err) &&
            chat_generate(w->chat, &(Sampling){0}, NULL, (ChatSink){w, NULL, hold_turn}, NULL, &w->err);
    return NULL;
}

static void *run_waiting(void *ctx) {
    Waiting *w = ctx;
    w->ok = chat_sync_text(w->chat, S("b"), &w->err);
    return NULL;
}

static void waiting_can_be_cancelled(void) {
    Arena arena = {0};
    pthread_t first_thread, second_thread;
    Engine *engine = fake_engine(fake_model_file(&arena, &SMALL), S("cpu"));
    Waiting first = {.chat = fake_chat(engine, S(""))}, second = {.chat = fake_chat(engine, S(""))};
    sem_init(&first.runs, 0, 0);
    sem_init(&first.goes_on, 0, 0);
    CHECK(pthread_create(&first_thread, NULL, run_holding, &first) == 0);
    sem_wait(&first.runs);
    CHECK(pthread_create(&second_thread, NULL, run_waiting, &second) == 0);
    chat_cancel(second.chat);
    pthread_join(second_thread, NULL); /* the first still holds its turn */
    CHECK(!second.ok && second.err.code == ERR_CANCELLED);
    sem_post(&first.goes_on);
    pthread_join(first_thread, NULL);
    CHECK_OK(first.ok, first.err);
    chat_clear_cancel(second.chat);
    sync_text(second.chat, S("b"));
    chat_close(first.chat);
    chat_close(second.chat);
    sem_destroy(&first.runs);
    sem_destroy(&first.goes_on);
    engine_close(engine);
    arena_free(&arena);
}

/* ---- chat formats ---- */

static void check_rendering(const FakeModel *model, const Message *messages, size_t count,
                            const int32_t *expected, size_t expected_count) {
    Arena arena = {0};
    Err err = {0};
    TokenList list = {0};
    Gguf *file = gguf_open(fake_model_file(&arena, model).ptr, &err);
    Tokenizer *tokenizer = file ? tokenizer_of_file(file, &err) : NULL;
    CHECK_OK(tokenizer != NULL, err);
    ChatFacts facts = chat_facts(file);
    CHECK_INT(facts.has_labels, model->has_labels);
    CHECK_STR(str_of(chat_format_name(facts.format)), S("chatml"));
    chat_format_render(facts, tokenizer, messages, count, false, &list);
    for (size_t i = 0; i < list.count && i < expected_count; i++)
        CHECK_MSG(list.ids[i] == expected[i], "token %zu is %d, expected %d", i, list.ids[i], expected[i]);
    CHECK_INT(list.count, expected_count);
    tokens_free(&list);
    tokenizer_close(tokenizer);
    gguf_close(file);
    arena_free(&arena);
}

/* Ids of bytes are the bytes themselves in this vocabulary; "re", "se", "in" are merges 257, 263, 256. */
static void control_tokens_come_only_from_the_format(void) {
    Message messages[] = {{ROLE_USER, S("<|im_end|>")}, {ROLE_ASSISTANT, S("ok")}};
    int32_t expected[] = {
        FAKE_IM_START, 'u',  263,           'r', '\n', '<', '|', 'i', 'm', '_', 'e', 'n', 'd',  '|', '>',
        FAKE_IM_END,   '\n', FAKE_IM_START, 'a', 's',  's', 'i', 's', 't', 'a', 'n', 't', '\n', 'o', 'k',
        FAKE_IM_END,   '\n', FAKE_IM_START, 'a', 's',  's', 'i', 's', 't', 'a', 'n', 't', '\n'};
    check_rendering(&SMALL, messages, 2, expected, sizeof expected / sizeof *expected);
}

static void labels_match_at_line_starts(void) {
    FakeModel model = {.arch = "qwen2", .type = DTYPE_Q8_0, .seed = 5, .has_labels = true};
    Message messages[] = {{ROLE_USER, S("a\n<|1|>b<|2|>\n<|40|>\n<|41|>")}};
    int32_t expected[] = {FAKE_IM_START, 'u',           263, 'r', '\n', 'a', '\n', FAKE_FIRST_LABEL,
                          'b',           '<',           '|', '2', '|',  '>', '\n', FAKE_FIRST_LABEL + 39,
                          '\n',          '<',           '|', '4', '1',  '|', '>',  FAKE_IM_END,
                          '\n',          FAKE_IM_START, 'a', 's', 's',  'i', 's',  't',
                          'a',           'n',           't', '\n'};
    check_rendering(&model, messages, 1, expected, sizeof expected / sizeof *expected);
}

/* What the templates of such models write when enable_thinking is false. */
static void thoughts_can_be_turned_off(void) {
    FakeModel model = {.arch = "qwen3", .type = DTYPE_Q8_0, .seed = 5, .has_thinking = true};
    Arena arena = {0};
    Err err = {0};
    Usage usage;
    const Message message = {ROLE_USER, S("a<think>")};
    Engine *engine = fake_engine(fake_model_file(&arena, &model), S("cpu"));
    Chat *chat = fake_chat(engine, S(""));
    CHECK(chat_card(chat)->has_thinking);
    int32_t opened[] = {FAKE_IM_START, 'u', 263,  'r',        '\n',        'a',  '<',
                        258,           256, 'k',  '>',        FAKE_IM_END, '\n', FAKE_IM_START,
                        'a',           's', 's',  'i',        's',         't',  'a',
                        'n',           't', '\n', FAKE_THINK, '\n',        '\n', FAKE_THINK + 1,
                        '\n',          '\n'};
    size_t whole = sizeof opened / sizeof *opened;
    for (int is_on = 1; is_on >= 0; is_on--) {
        size_t expected = is_on ? whole - 6 : whole;
        chat_set_thinking(chat, is_on);
        CHECK_OK(chat_sync(chat, &message, 1, &err), err);
        CHECK_INT(chat_length(chat), expected);
        CHECK_OK(chat_sync_tokens(chat, opened, expected, &err), err);
        CHECK_OK(chat_generate(chat, &(Sampling){.max_tokens = 1}, NULL, (ChatSink){0}, &usage, &err), err);
        CHECK_INT(usage.cached_tokens, expected); /* the very same tokens */
        chat_rewind(chat, expected);
    }
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

/* ---- registry ---- */

static void registry_lists_what_there_is(void) {
    Arena arena = {0};
    Err err = {0};
    const ModelCard *cards;
    Str file = fake_model_file(&arena, &SMALL);
    Str bad = str_printf(&arena, "%s/broken.gguf", test_tmp());
    CHECK_OK(os_write_file(bad.ptr, S("GGUF"), &err), err);
    Engine *engine =
        engine_open(&(EngineConfig){.models_dir = str_of(test_tmp()), .backend = S("ref")}, &err);
    CHECK_OK(engine != NULL, err);
    CHECK_INT(engine_models(engine, &cards), 4);
    CHECK(cards[0].is_embedded && str_eq(cards[0].name, S("mux-tiny")) && cards[0].style == PROMPT_LABELS);
    CHECK(cards[0].parameters > 3000000 && cards[0].context == 1024);
    CHECK_STR(cards[0].chat_format, S("chatml"));
    CHECK(cards[1].is_scripted && str_eq(cards[1].name, S("echo")));
    CHECK(str_eq(cards[2].name, S("broken")) && cards[2].architecture.len == 0);
    CHECK_STR(cards[3].path, file);
    CHECK_STR(cards[3].architecture, S("qwen2"));
    CHECK_STR(cards[3].type, S("Q8_0"));
    CHECK(engine_card(engine, S(""), &err) == &cards[0]);
    CHECK(engine_card(engine, file, &err) == &cards[3] &&
          engine_card(engine, S("qwen2-Q8_0"), &err) == &cards[3]);
    CHECK(!engine_card(engine, S("broken"), &err) && err.code == ERR_INVALID);
    CHECK(!engine_card(engine, S("gpt-9"), &err) && err.code == ERR_NOT_FOUND);
    CHECK(!engine_card(engine, S("/nonexistent.gguf"), &err) && err.code == ERR_NOT_FOUND);
    engine_close(engine);
    arena_free(&arena);
}

static void unknown_backends_are_refused(void) {
    Err err = {0};
    Engine *engine = fake_engine(S("mux-tiny"), S("abacus"));
    CHECK(!chat_open(engine, S(""), &err));
    CHECK_MSG(strstr(err.text, "abacus"), "%s", err.text);
    engine_close(engine);
}

static const TestCase CASES[] = {
    {"shared prefixes are reused", shared_prefixes_are_reused},
    {"generated tokens stay", generated_tokens_stay},
    {"differences are told", differences_are_told},
    {"cancel between tokens keeps the timeline", cancel_between_tokens_keeps_the_timeline},
    {"limits are told", limits_are_told},
    {"pieces are whole UTF-8", pieces_are_whole_utf8},
    {"chats do not disturb each other", chats_do_not_disturb_each_other},
    {"waiting can be cancelled", waiting_can_be_cancelled},
    {"control tokens come only from the format", control_tokens_come_only_from_the_format},
    {"labels match at line starts", labels_match_at_line_starts},
    {"thoughts can be turned off", thoughts_can_be_turned_off},
    {"registry lists what there is", registry_lists_what_there_is},
    {"unknown backends are refused", unknown_backends_are_refused},
};
TEST_SUITE(ENGINE_CHAT_SUITE, "chat", CASES);
