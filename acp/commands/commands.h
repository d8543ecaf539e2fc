/* The commands of the program, one file each, and their list. */
#ifndef MUX_ACP_COMMANDS_H
#define MUX_ACP_COMMANDS_H

#include <stdatomic.h>

#include "acp/config.h"
#include "base/json.h"

/* What the program's exit status means. */
enum { STATUS_DONE = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_CANNOT_START = 3 };

typedef struct Command {
    const char *name;
    const char *usage;   /* what follows the name */
    const char *summary; /* one line */
    uint64_t options;
    int (*run)(const Settings *settings);
} Command;

extern const Command COMMAND_ASK, COMMAND_APPLY, COMMAND_DIFF, COMMAND_UNDO, COMMAND_BACKUPS, COMMAND_RECOVER,
    COMMAND_SEARCH, COMMAND_CONTEXT, COMMAND_MAP, COMMAND_GENERATE, COMMAND_CHAT, COMMAND_TOKENIZE,
    COMMAND_BENCH, COMMAND_MODELS, COMMAND_DOCTOR;

extern const Command *const COMMANDS[];
extern const size_t COMMAND_COUNT;

/* "mux-acp NAME: sentence" on stderr; returns status. */
int command_fail(const char *name, int status, const Err *err);
int command_usage(const Command *command, const char *problem);
/* True once an interrupt, hangup or termination signal came. From the first call of command_catch_stops on
 * they no longer end the process: for WorkspaceConfig.cancelled, so that a change is undone or finished
 * first. */
extern const atomic_bool *const COMMAND_WAS_STOPPED;
void command_catch_stops(void);
/* A line on stderr. On a terminal, control characters in what it quotes are made visible. */
void command_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line on stdout; frees value. False when stdout could not be written (main tells it). */
bool command_print_json(Json *value);
/* With --json the sentence as {"ok":false,"error":...} on stdout, else as command_fail says it; returns
 * status.
 */
int command_fail_as(const Settings *settings, const char *name, int status, const Err *err);

#endif
