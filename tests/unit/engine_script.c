/* The scripted model and echo. */
#include <pthread.h>
#include <string.h>

#include "base/os.h"
#include "engine/drivers/echo_internal.h"
#include "tests/runner.h"
#include "tests/unit/engine_support.h"

typedef struct Heard {
    Buf text;
    int pieces;
    Chat *cancel_after; /* cancelled at the second piece */
    bool stop;
} Heard;

static bool hear(void *ctx, Str piece) {
    Heard *heard = ctx;
    buf_str(&heard->text, piece);
    heard->pieces++;
    if (heard->cancel_after && heard->pieces == 2)
        chat_cancel(heard->cancel_after);
    return !heard->stop;
}

static Str script_model(Arena *arena, Str script) {
    Err err = {0};
    Str path = str_printf(arena, "%s/replies.txt", test_tmp());
    CHECK_OK(os_write_file(path.ptr, script, &err), err);
    return str_printf(arena, "script:%s", path.ptr);
}

static bool ask(Chat *chat, Str request, size_t most_tokens, Heard *heard, Usage *usage, Err *err) {
    Message messages[] = {{ROLE_SYSTEM, S("system")}, {ROLE_USER, request}};
    buf_clear(&heard->text);
    heard->pieces = 0;
    return chat_sync(chat, messages, 2, err) &&
           chat_generate(chat, &(Sampling){.max_tokens = most_tokens}, NULL, (ChatSink){heard, hear, NULL},
                         usage, err);
}

static void check_answer(Chat *chat, Str request, Str expected) {
    Heard heard = {0};
    Usage usage;
    Err err = {0};
    CHECK_OK(ask(chat, request, 0, &heard, &usage, &err), err);
    CHECK_STR(buf_text(&heard.text), expected);
    CHECK_INT(usage.stop, STOP_END);
    buf_free(&heard.text);
}

static void replies_come_in_order_and_by_what_is_asked(void) {
    Arena arena = {0};
    Err err = {0};
    Heard heard = {0};
    Str model = script_model(
        &arena, S("# a comment\npiece: 3\n\n"
                  "--- reply when: rename\nrenamed\n"
                  "--- reply\nfirst\n\n"
                  "--- reply delay: 1 piece: 64 repeat when: again and\nagain\n\\--- reply is text\n"
                  "--- reply\nsecond"));
    Engine *engine = fake_engine(model, S(""));
    Chat *chat = fake_chat(engine, S("")), *other = fake_chat(engine, model);
    CHECK(chat_card(chat)->is_scripted && chat_tokenizer(chat) == NULL &&
          chat_card(chat)->style == PROMPT_FULL);
    check_answer(chat, S("hello"), S("first\n"));
    check_answer(other, S("please rename it"), S("renamed"));
    check_answer(chat, S("again and again"), S("again\n--- reply is text"));
    check_answer(chat, S("again and rename"), S("again\n--- reply is text"));
    check_answer(other, S("rename"), S("second"));
    CHECK(!ask(chat, S("more"), 0, &heard, NULL, &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    buf_free(&heard.text);
    chat_close(chat);
    chat_close(other);
    engine_close(engine);
    arena_free(&arena);
}

static void pieces_are_whole_and_limits_hold(void) {
    Arena arena = {0};
    Err err = {0};
    Heard heard = {0};
    Usage usage;
    Str model = script_model(&arena, S("piece: 2\n--- reply repeat\na\xc3\xa9\xf0\x9f\x98\x80z\n"));
    Engine *engine = fake_engine(model, S(""));
    Chat *chat = fake_chat(engine, S(""));
    CHECK_OK(ask(chat, S("x"), 0, &heard, &usage, &err), err);
    CHECK_STR(buf_text(&heard.text), S("a\xc3\xa9\xf0\x9f\x98\x80z"));
    CHECK_INT(heard.pieces, 4);
    CHECK_OK(ask(chat, S("x"), 1, &heard, &usage, &err), err);
    CHECK_STR(buf_text(&heard.text), S("a\xc3\xa9"));
    CHECK_INT(usage.stop, STOP_LENGTH);
    heard.stop = true;
    CHECK_OK(ask(chat, S("x"), 0, &heard, &usage, &err), err);
    CHECK_INT(heard.pieces, 1);
    CHECK_INT(usage.stop, STOP_SINK);
    buf_free(&heard.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

/* The delay is ten minutes a piece: the test ends at all only if the cancel works inside it. */
static void *cancel_soon(void *chat) {
    chat_cancel(chat);
    return NULL;
}

static void cancel_works_inside_delays(void) {
    Arena arena = {0};
    Err err = {0};
    Heard heard = {0};
    Usage usage = {0};
    pthread_t thread;
    Str model = script_model(&arena, S("--- reply delay: 600000\nnever\n"));
    Engine *engine = fake_engine(model, S(""));
    Chat *chat = fake_chat(engine, S(""));
    CHECK(pthread_create(&thread, NULL, cancel_soon, chat) == 0);
    CHECK(!ask(chat, S("x"), 0, &heard, &usage, &err));
    pthread_join(thread, NULL);
    CHECK_INT(err.code, ERR_CANCELLED);
    CHECK_INT(heard.pieces, 0);
    buf_free(&heard.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

static void cancel_from_the_sink_stops(void) {
    Arena arena = {0};
    Err err = {0};
    Heard heard = {0};
    Usage usage = {0};
    Engine *engine = fake_engine(script_model(&arena, S("piece: 1\n--- reply\nabcdef\n")), S(""));
    Chat *chat = heard.cancel_after = fake_chat(engine, S(""));
    CHECK(!ask(chat, S("x"), 0, &heard, &usage, &err));
    CHECK_INT(err.code, ERR_CANCELLED);
    CHECK_INT(usage.stop, STOP_CANCELLED);
    CHECK_STR(buf_text(&heard.text), S("ab"));
    buf_free(&heard.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

static void bad_scripts_are_refused_by_line(void) {
    Arena arena = {0};
    Err err = {0};
    static const char *const BAD[] = {"piece: 0\n--- reply\nx\n", "speed: 3\n", "--- reply whem: x\ny\n",
                                      "delay: 9999999\n--- reply\nx\n", "--- reply\n\xff\n"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        Engine *engine = fake_engine(script_model(&arena, str_of(BAD[i])), S(""));
        CHECK_MSG(!chat_open(engine, S(""), &err), "script %zu was taken", i);
        CHECK_INT(err.code, ERR_INVALID);
        CHECK_MSG(strstr(err.text, "replies.txt"), "%s", err.text);
        engine_close(engine);
    }
    Engine *engine = fake_engine(S("script:/nonexistent"), S(""));
    CHECK(!chat_open(engine, S(""), &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    engine_close(engine);
    arena_free(&arena);
}

static void check_echo(Str request, Str block) {
    Buf out = {0};
    echo_reply(request, &out);
    CHECK_MSG(str_ends(buf_text(&out), block), "echo said\n%.*s", STR_ARG(buf_text(&out)));
    buf_free(&out);
}

static void echo_edits_the_first_file_shown(void) {
    check_echo(
        S("Files:\n\nsrc/a.py\n```python\nimport os\nimport sys\n```\n\nb.c\n```c\nint x;\n```\nDo it."),
        S("src/a.py\n<<<<<<< SEARCH\nimport os\n=======\nimport os\n# a line from the echo model\n>>>>>>> "
          "REPLACE\n"));
    check_echo(S("FILE b.c\n````c\nx();\n```\nx();\n````\n"), /* a fence in the file, and a first line that
                                                                 repeats */
               S("b.c\n<<<<<<< SEARCH\nx();\n```\n=======\nx();\n```\n// a line from the echo model\n>>>>>>> "
                 "REPLACE\n"));
    check_echo(
        S("### `new.html`:\n```html\n```\n"),
        S("new.html\n<<<<<<< SEARCH\n=======\n<!-- a line from the echo model -->\n>>>>>>> REPLACE\n"));
    check_echo(S("nothing here"), S("nothing to change.\n"));
    check_echo(S("```\nno path\n```\nand an open one\na.c\n```c\n"), S("nothing to change.\n"));
}

static const TestCase CASES[] = {
    {"replies come in order and by what is asked", replies_come_in_order_and_by_what_is_asked},
    {"pieces are whole and limits hold", pieces_are_whole_and_limits_hold},
    {"cancel works inside delays", cancel_works_inside_delays},
    {"cancel from the sink stops", cancel_from_the_sink_stops},
    {"bad scripts are refused by line", bad_scripts_are_refused_by_line},
    {"echo edits the first file shown", echo_edits_the_first_file_shown},
};
TEST_SUITE(ENGINE_SCRIPT_SUITE, "script", CASES);
