/* chat: a conversation with a model on the terminal. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"

typedef struct Talk {
    Arena arena;
    Message *messages;
    size_t count, capacity;
    Buf answer;
} Talk;

static Chat *interrupted; /* what Ctrl-C stops; chat_cancel only sets a flag */

static void on_interrupt(int number) {
    (void)number;
    if (interrupted)
        chat_cancel(interrupted);
}

static bool take_text(void *ctx, Str piece) {
    Talk *talk = ctx;
    buf_str(&talk->answer, piece);
    return fwrite(piece.ptr, 1, piece.len, stdout) == piece.len && fflush(stdout) == 0;
}

static void add_message(Talk *talk, Role role, Str text) {
    Message message = {role, str_copy(&talk->arena, text)};
    LIST_PUSH(&talk->arena, talk->messages, talk->count, talk->capacity, message);
}

static bool answer(Talk *talk, Chat *chat, const Sampling *sampling, Err *err) {
    Usage usage = {0};
    buf_clear(&talk->answer);
    chat_clear_cancel(chat);
    bool ok = chat_sync(chat, talk->messages, talk->count, err) &&
              chat_generate(chat, sampling, NULL, (ChatSink){talk, take_text, NULL}, &usage, err);
    if (!ok && err->code != ERR_CANCELLED)
        return false;
    putchar('\n');
    add_message(talk, ROLE_ASSISTANT, buf_text(&talk->answer));
    return true;
}

static bool talk_on(Talk *talk, Chat *chat, const Settings *settings, Err *err) {
    Sampling sampling = {.temperature = (float)settings_number(settings, OPT_TEMPERATURE, 0.7),
                         .top_p = (float)settings_number(settings, OPT_TOP_P, 0.9),
                         .seed = settings_count(settings, OPT_SEED, 0),
                         .max_tokens = settings_count(settings, OPT_NUMBER, 0)};
    bool is_terminal = isatty(STDIN_FILENO);
    char *line = NULL;
    size_t capacity = 0;
    bool ok = true;
    if (is_terminal)
        fputs("An empty line or Ctrl-D ends it; Ctrl-C stops an answer.\n", stderr);
    while (ok) {
        if (is_terminal)
            fputs("> ", stderr);
        ssize_t n = getline(&line, &capacity, stdin);
        Str text = n > 0 ? str_trim((Str){line, (size_t)n}) : S("");
        if (!text.len)
            break;
        add_message(talk, ROLE_USER, text);
        ok = answer(talk, chat, &sampling, err);
    }
    free(line);
    return ok;
}

static int run(const Settings *settings) {
    Err err = {0};
    House house;
    house_init(&house, settings);
    Talk talk = {0};
    int status = STATUS_CANNOT_START;
    Chat *chat = house_engine(&house, &err) ? chat_open(house.engine, S(""), &err) : NULL;
    if (chat) {
        interrupted = chat;
        sigaction(SIGINT, &(struct sigaction){.sa_handler = on_interrupt, .sa_flags = SA_RESTART}, NULL);
        status = talk_on(&talk, chat, settings, &err) ? STATUS_DONE : STATUS_FAILED;
        interrupted = NULL;
    }
    if (status != STATUS_DONE)
        command_fail("chat", status, &err);
    chat_close(chat);
    house_close(&house);
    buf_free(&talk.answer);
    arena_free(&talk.arena);
    return status;
}

const Command COMMAND_CHAT = {
    "chat",
    "--model M",
    "a conversation with a model on the terminal",
    OPTIONS_ENGINE | OPTION(TEMPERATURE) | OPTION(TOP_P) | OPTION(SEED) | OPTION(NUMBER),
    run,
};
