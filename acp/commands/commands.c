#include "acp/commands/commands.h"

#include <unistd.h>

#include "acp/commands/terminal.h"

const Command *const COMMANDS[] = {
    &COMMAND_ASK,      &COMMAND_APPLY,  &COMMAND_DIFF,    &COMMAND_UNDO,     &COMMAND_BACKUPS,
    &COMMAND_RECOVER,  &COMMAND_SEARCH, &COMMAND_CONTEXT, &COMMAND_GENERATE, &COMMAND_CHAT,
    &COMMAND_TOKENIZE, &COMMAND_BENCH,  &COMMAND_MODELS,  &COMMAND_DOCTOR,
};
const size_t COMMAND_COUNT = sizeof COMMANDS / sizeof *COMMANDS;

int command_fail(const char *name, int status, const Err *err) {
    Buf text = {0};
    if (isatty(STDERR_FILENO)) /* the sentence may quote names and lines of files */
        terminal_put(&text, str_of(err->text), true);
    else
        buf_cstr(&text, err->text);
    fprintf(stderr, "mux-acp %s: %.*s\n", name, (int)text.len, text.ptr ? text.ptr : "");
    buf_free(&text);
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
