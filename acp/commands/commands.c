#define _GNU_SOURCE
#include "acp/commands/commands.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "acp/commands/terminal.h"

const Command *const COMMANDS[] = {
    &COMMAND_ASK,     &COMMAND_APPLY,    &COMMAND_DIFF,    &COMMAND_UNDO,   &COMMAND_BACKUPS,
    &COMMAND_RECOVER, &COMMAND_SEARCH,   &COMMAND_CONTEXT, &COMMAND_MAP,    &COMMAND_GENERATE,
    &COMMAND_CHAT,    &COMMAND_TOKENIZE, &COMMAND_BENCH,   &COMMAND_MODELS, &COMMAND_DOCTOR,
};
const size_t COMMAND_COUNT = sizeof COMMANDS / sizeof *COMMANDS;

static atomic_bool was_stopped; /* lock-free: signal handlers may set it */
const atomic_bool *const COMMAND_WAS_STOPPED = &was_stopped;

static void take_stop(int number) {
    (void)number;
    atomic_store(&was_stopped, true);
}

void command_catch_stops(void) {
    static const int STOPS[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction old, catching = {.sa_handler = take_stop, .sa_flags = SA_RESTART};
    sigemptyset(&catching.sa_mask);
    for (size_t i = 0; i < sizeof STOPS / sizeof *STOPS; i++)
        if (sigaction(STOPS[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* as nohup leaves it */
            sigaction(STOPS[i], &catching, NULL);
}

void command_say(const char *format, ...) {
    Buf shown = {0};
    char *said;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&said, format, arguments) < 0)
        said = NULL;
    va_end(arguments);
    if (isatty(STDERR_FILENO)) /* names and lines of files may hold anything */
        terminal_put(&shown, str_of(said ? said : ""), true);
    else
        buf_cstr(&shown, said ? said : "");
    buf_char(&shown, '\n');
    if (!shown.failed)
        fwrite(shown.ptr, 1, shown.len, stderr);
    free(said);
    buf_free(&shown);
}

int command_fail(const char *name, int status, const Err *err) {
    command_say("mux-acp %s: %s", name, err->text);
    return status;
}

int command_fail_as(const Settings *settings, const char *name, int status, const Err *err) {
    if (!settings_has(settings, OPT_JSON))
        return command_fail(name, status, err);
    Json *json = json_object();
    json_put_bool(json, "ok", false);
    json_put_str(json, "error", str_of(err->text));
    command_print_json(json);
    return status;
}

int command_usage(const Command *command, const char *problem) {
    fprintf(stderr, "mux-acp %s: %s\nusage: mux-acp %s %s\n", command->name, problem, command->name,
            command->usage);
    return STATUS_USAGE;
}

bool command_print_json(Json *value) {
    Buf text = {0};
    json_print(value, &text);
    buf_char(&text, '\n');
    bool ok = !text.failed && fwrite(text.ptr, 1, text.len, stdout) == text.len && fflush(stdout) == 0;
    buf_free(&text);
    json_free(value);
    return ok;
}
