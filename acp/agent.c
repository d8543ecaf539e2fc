#define _GNU_SOURCE
#include "acp/agent.h"

#include <errno.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "acp/record.h"
#include "acp/v1.h"

enum { CLIENT_TIMEOUT_S = 120 };

static Connection *running; /* what a signal stops */

static void on_signal(int number) {
    (void)number;
    if (running)
        connection_stop(running);
}

static void catch_signals(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN}, stop = {.sa_handler = on_signal};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
}

/* The protocol gets a descriptor of its own; what a library prints on stdout goes to stderr. */
static int take_stdout(Err *err) {
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        err_set_errno(err, errno, "stdout cannot be used");
        return -1;
    }
    return fd;
}

static bool read_review(const Settings *settings, ReviewMode *review, ReviewGrain *grain, Err *err) {
    if (settings_has(settings, OPT_REVIEW) && !v1_mode_of(settings_text(settings, OPT_REVIEW), review))
        return err_set(err, ERR_INVALID, "--review must be ask, auto or plan");
    if (settings_has(settings, OPT_GRAIN) && !v1_grain_of(settings_text(settings, OPT_GRAIN), grain))
        return err_set(err, ERR_INVALID, "--grain must be turn, file or hunk");
    return true;
}

/* Each turn has a thread; with an arena of the heap for each of them, memory would be scattered over many. */
static void share_heap(void) {
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 2);
#endif
}

int agent_run(const Settings *settings) {
    Err err = {0};
    Arena arena = {0};
    ReviewMode review = REVIEW_ASK;
    ReviewGrain grain = GRAIN_FILE;
    share_heap();
    if (!read_review(settings, &review, &grain, &err))
        return command_fail("agent", STATUS_USAGE, &err);
    int out_fd = take_stdout(&err);
    Record *record = NULL;
    if (out_fd < 0 ||
        (settings_has(settings, OPT_RECORD) && !(record = record_open(settings->values[OPT_RECORD], &err))))
        return command_fail("agent", STATUS_CANNOT_START, &err);
    House house;
    house_init(&house, settings);
    house.state_folder = settings_state_folder(settings, &arena);
    ConnectionConfig config = {
        .in_fd = STDIN_FILENO,
        .out_fd = out_fd,
        .host = house_host(&house),
        .model = settings_text(settings, OPT_MODEL),
        .review = review,
        .grain = grain,
        .is_terse = settings_has(settings, OPT_NO_THINKING),
        .client_timeout_ms = 1e3 * (double)settings_count(settings, OPT_CLIENT_TIMEOUT, CLIENT_TIMEOUT_S),
        .model_note = house_note(&house),
        .tap = record_tap(record),
        .keeps_sessions = house.state_folder.len > 0,
    };
    Connection *connection = connection_open(&config, &err);
    if (!connection)
        return command_fail("agent", STATUS_CANNOT_START, &err);
    running = connection;
    catch_signals();
    connection_run(connection);
    running = NULL;
    connection_close(connection);
    house_close(&house);
    int status = record_close(record, &err) ? STATUS_DONE : command_fail("agent", STATUS_FAILED, &err);
    close(out_fd);
    arena_free(&arena);
    return status;
}
