/* Starting a program. What the new process does before exec is plain system calls; all it needs is built
 * before. PR_SET_PDEATHSIG speaks of the thread that made the process, not of the whole parent, so that one
 * thread which never ends makes them all. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "workspace/process_internal.h"

#define LINE_MAX_DEFAULT ((size_t)32 << 20)

extern char **environ;

typedef struct Launch {
    char *path, *cwd;
    char **argv, **envp;
    int in, out, messages, report; /* its ends; report: {step, errno} when exec was not reached */
    pid_t parent;
    pid_t pid; /* result; -1: none was made */
    int failure;
} Launch;

enum { STEP_CWD, STEP_EXEC };

/* ---- in the new process ---- */

static _Noreturn void give_up(const Launch *launch, int step) {
    int report[2] = {step, errno};
    (void)!write(launch->report, report, sizeof report);
    _exit(127);
}

static _Noreturn void become(const Launch *launch) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != launch->parent) /* it died before the line above */
        _exit(127);
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        sigaction(signal_number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    dup2(launch->in, STDIN_FILENO);
    dup2(launch->out, STDOUT_FILENO);
    dup2(launch->messages, STDERR_FILENO);
    if (syscall(SYS_close_range, 3U, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0)
        for (int fd = 3; fd < 4096; fd++)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (chdir(launch->cwd) != 0)
        give_up(launch, STEP_CWD);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(launch->path, launch->argv, launch->envp);
    give_up(launch, STEP_EXEC);
}

/* ---- the thread that makes them ---- */

static pthread_once_t starter_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t starter_lock = PTHREAD_MUTEX_INITIALIZER, order_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t order_changed = PTHREAD_COND_INITIALIZER;
static Launch *order;
static int starter_failure;

/* Memory is shared with the new process until it becomes another program (a copy of a large process's page
 * tables would hold up everybody), so no signal may be handled in it. */
static void launch(Launch *launch) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0)
        become(launch);
    launch->failure = pid < 0 ? errno : 0;
    launch->pid = pid;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void *starter_main(void *unused) {
    (void)unused;
    pthread_mutex_lock(&order_lock);
    for (;;) {
        while (!order)
            pthread_cond_wait(&order_changed, &order_lock);
        launch(order);
        order = NULL;
        pthread_cond_broadcast(&order_changed);
    }
    return NULL;
}

static void starter_start(void) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are others' business */
    starter_failure = pthread_create(&thread, NULL, starter_main, NULL);
    if (starter_failure == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool launch_on_starter(Launch *launch, Err *err) {
    pthread_once(&starter_once, starter_start);
    if (starter_failure)
        return err_set_errno(err, ERR_IO, "cannot start a thread");
    pthread_mutex_lock(&starter_lock);
    pthread_mutex_lock(&order_lock);
    order = launch;
    pthread_cond_broadcast(&order_changed);
    while (order)
        pthread_cond_wait(&order_changed, &order_lock);
    pthread_mutex_unlock(&order_lock);
    pthread_mutex_unlock(&starter_lock);
    if (launch->pid > 0)
        return true;
    return err_set_errno(err, launch->failure, "cannot make a process");
}

/* ---- what it is given ---- */

static bool env_names(const char *entry, Str wanted) {
    size_t length = str_find_char(wanted, '=', 0);
    return length != STR_NONE && strncmp(entry, wanted.ptr, length + 1) == 0;
}

static char **merge_environment(const ProcessConfig *config, Arena *arena) {
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    char **merged = ARENA_ARRAY(arena, char *, count + config->env_count + 1);
    for (size_t i = 0; i < count; i++) {
        bool is_replaced = false;
        for (size_t n = 0; n < config->env_count && !is_replaced; n++)
            is_replaced = env_names(environ[i], config->env[n]);
        if (!is_replaced)
            merged[used++] = environ[i];
    }
    for (size_t n = 0; n < config->env_count; n++)
        merged[used++] = str_cstr(arena, config->env[n]);
    return merged;
}

static bool is_program(const char *path, bool *is_there) {
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return false;
    *is_there = true;
    return access(path, X_OK) == 0;
}

/* The file a name means: as the shell looks, but without the current folder for an empty entry. */
static bool find_program(Str command, char **envp, Arena *arena, char **path, Err *err) {
    *path = str_cstr(arena, command);
    if (command.len == 0)
        return err_set(err, ERR_INVALID, "the command is empty");
    if (str_find_char(command, '/', 0) != STR_NONE)
        return true;
    Str folders = S("/usr/local/bin:/usr/bin:/bin");
    for (; *envp; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            folders = str_of(*envp + 5);
    bool is_there = false;
    for (size_t at = 0, end; at <= folders.len; at = end + 1) {
        end = str_find_char(folders, ':', at);
        end = end == STR_NONE ? folders.len : end;
        if (end == at)
            continue;
        *path = str_cstr(arena,
                         str_printf(arena, "%.*s/%.*s", (int)(end - at), folders.ptr + at, STR_ARG(command)));
        if (is_program(*path, &is_there))
            return true;
    }
    if (is_there)
        return err_set(err, ERR_DENIED, "the program %.*s may not be executed", STR_ARG(command));
    return err_set(err, ERR_NOT_FOUND, "there is no program %.*s in PATH", STR_ARG(command));
}

static void close_pair(int pair[2]) {
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

/* A pipe whose ends are none of 0, 1, 2, which the new process overwrites. */
static bool make_pipe(int ends[2], Err *err) {
    if (pipe2(ends, O_CLOEXEC) != 0) {
        ends[0] = ends[1] = -1;
        return err_set_errno(err, errno, "cannot make a pipe");
    }
    for (int i = 0; i < 2; i++) {
        if (ends[i] > 2)
            continue;
        int moved = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
        if (moved < 0)
            return err_set_errno(err, errno, "cannot make a pipe");
        close(ends[i]);
        ends[i] = moved;
    }
    return true;
}

/* Whether exec was reached: the pipe's other end is closed by it without a word. */
static bool hear_report(int report, const ProcessConfig *config, Err *err) {
    int words[2];
    ssize_t got;
    do
        got = read(report, words, sizeof words);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof words)
        return true;
    if (words[0] == STEP_CWD)
        return err_set_errno(err, words[1], "cannot go to the folder %.*s", STR_ARG(config->cwd));
    err_set_errno(err, words[1], "cannot start %.*s", STR_ARG(config->command));
    if (err && (words[1] == ENOENT || words[1] == ENOTDIR))
        err->code = ERR_NOT_FOUND;
    if (err && (words[1] == EACCES || words[1] == EPERM))
        err->code = ERR_DENIED;
    return false;
}

static bool prepare(const ProcessConfig *config, Launch *launch, Arena *arena, Err *err) {
    launch->parent = getpid();
    launch->cwd = str_cstr(arena, config->cwd.len ? config->cwd : S("/"));
    launch->argv = ARENA_ARRAY(arena, char *, config->arg_count + 2);
    launch->argv[0] = str_cstr(arena, config->command);
    for (size_t i = 0; i < config->arg_count; i++)
        launch->argv[i + 1] = str_cstr(arena, config->args[i]);
    launch->envp = merge_environment(config, arena);
    return find_program(config->command, launch->envp, arena, &launch->path, err);
}

static void process_init(Process *process, const ProcessConfig *config) {
    process->pid_fd = process->in = process->out = process->messages = -1;
    process->line_max = config->line_max ? config->line_max : LINE_MAX_DEFAULT;
    process->ctx = config->ctx;
    process->stderr_line = config->stderr_line;
    snprintf(process->name, sizeof process->name, "%.*s", STR_ARG(config->command));
    pthread_mutex_init(&process->write_lock, NULL);
    pthread_mutex_init(&process->lock, NULL);
    process->reader_wakes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    process->writer_wakes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static bool start(Process *process, const ProcessConfig *config, Launch *launch, int pipes[4][2], Err *err) {
    if (process->reader_wakes < 0 || process->writer_wakes < 0)
        return err_set_errno(err, errno, "cannot make an eventfd");
    for (int i = 0; i < 4; i++)
        if (!make_pipe(pipes[i], err))
            return false;
    launch->in = pipes[0][0];
    launch->out = pipes[1][1];
    launch->messages = pipes[2][1];
    launch->report = pipes[3][1];
    if (!launch_on_starter(launch, err))
        return false;
    process->pid = launch->pid;
    close(pipes[3][1]);
    pipes[3][1] = -1;
    if (!hear_report(pipes[3][0], config, err))
        return false;
    process->in = pipes[0][1];
    process->out = pipes[1][0];
    process->messages = pipes[2][0];
    pipes[0][1] = pipes[1][0] = pipes[2][0] = -1;
    fcntl(process->in, F_SETFL, O_NONBLOCK);
    fcntl(process->out, F_SETFL, O_NONBLOCK);
    fcntl(process->messages, F_SETFL, O_NONBLOCK);
    process->pid_fd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    return true;
}

Process *process_start(const ProcessConfig *config, Err *err) {
    Arena arena = {0};
    Launch launch = {0};
    int pipes[4][2] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    Process *process = NULL;
    if (!prepare(config, &launch, &arena, err))
        goto done;
    process = calloc(1, sizeof *process);
    if (!process) {
        err_set(err, ERR_NO_MEMORY, "no memory to start %.*s", STR_ARG(config->command));
        goto done;
    }
    process_init(process, config);
    if (!start(process, config, &launch, pipes, err)) {
        process_stop(process);
        process = NULL;
    }
done:
    for (int i = 0; i < 4; i++)
        close_pair(pipes[i]);
    arena_free(&arena);
    return process;
}
