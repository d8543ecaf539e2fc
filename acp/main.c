/* The front door: which of the program's faces is wanted. Without a command it is the agent on stdio. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acp/agent.h"
#include "acp/commands/commands.h"
#include "acp/replay.h"
#include "acp/version.h"
#include "base/log.h"

static int print_version(void) {
    printf("mux-acp %s (%s)\n", MUX_VERSION, MUX_COMMIT);
    return STATUS_DONE;
}

static int print_help(void) {
    printf("mux-acp %s: a coding agent that speaks the Agent Client Protocol\n\n"
           "usage: mux-acp [OPTIONS]                 the agent on stdin and stdout\n"
           "       mux-acp --replay FILE [OPTIONS]   a recorded conversation once more, compared\n"
           "       mux-acp COMMAND [OPTIONS] ...     see mux-acp COMMAND --help\n\ncommands:\n",
           MUX_VERSION);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    printf("\noptions of the agent:\n");
    settings_print_help(OPTIONS_AGENT, stdout);
    return STATUS_DONE;
}

static int print_command_help(const Command *command) {
    printf("mux-acp %s %s\n\n%s\n\noptions:\n", command->name, command->usage, command->summary);
    settings_print_help(command->options, stdout);
    return STATUS_DONE;
}

static int run_command(const Command *command, const Settings *settings) {
    return settings_has(settings, OPT_HELP)      ? print_command_help(command)
           : settings_has(settings, OPT_VERSION) ? print_version()
                                                 : command->run(settings);
}

static int run_agent(const Settings *settings) {
    if (settings_has(settings, OPT_HELP))
        return print_help();
    if (settings_has(settings, OPT_VERSION))
        return print_version();
    if (settings->word_count) {
        command_say("mux-acp: there is no command \"%s\"; see mux-acp --help", settings->words[0]);
        return STATUS_USAGE;
    }
    return settings_has(settings, OPT_REPLAY) ? replay_run(settings) : agent_run(settings);
}

static const Command *find_command(const char *name) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(COMMANDS[i]->name, name) == 0)
            return COMMANDS[i];
    return NULL;
}

/* A closed standard stream would give its number to the next file that is opened, and messages would go
 * there. What stands in for it still fails when it is used. */
static void hold_standard_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            abort();
}

/* Results that did not reach stdout are a failure, whatever else went well. */
static int end_output(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    command_say("mux-acp: cannot write to stdout: %s", strerror(errno));
    return status == STATUS_DONE ? STATUS_FAILED : status;
}

static int run_program(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "help") == 0 && find_command(argv[2]))
        return print_command_help(find_command(argv[2]));
    const Command *command = argc > 1 ? find_command(argv[1]) : NULL;
    int skipped = command ? 2 : 1;
    Settings settings;
    Err err = {0};
    int status = STATUS_USAGE;
    if (argc == 2 && strcmp(argv[1], "help") == 0)
        return print_help();
    if (settings_read(&settings, command ? command->options : OPTIONS_AGENT, argc - skipped, argv + skipped,
                      &err)) {
        log_init(settings.values[OPT_LOG]);
        if (log_set_format(settings.values[OPT_LOG_FORMAT]))
            status = command ? run_command(command, &settings) : run_agent(&settings);
        else
            command_say("mux-acp: --log-format must be text or json, not \"%s\"",
                        settings.values[OPT_LOG_FORMAT]);
    } else {
        command_say("mux-acp%s%s: %s", command ? " " : "", command ? command->name : "", err.text);
    }
    settings_free(&settings);
    return status;
}

int main(int argc, char **argv) {
    hold_standard_streams();
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    return end_output(run_program(argc, argv));
}
