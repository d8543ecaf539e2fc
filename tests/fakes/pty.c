#define _GNU_SOURCE
#include "tests/fakes/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/runner.h"

static int open_terminal(char *name, size_t size) {
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(fd >= 0 && grantpt(fd) == 0 && unlockpt(fd) == 0 && ptsname_r(fd, name, size) == 0);
    return fd;
}

static void set_size(int fd, int columns) {
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    CHECK(ioctl(fd, TIOCSWINSZ, &size) == 0);
}

static void set_environment(const char *const *environment) {
    for (; environment && *environment; environment++) {
        char *copy = strdup(*environment), *value = strchr(copy, '=');
        if (value) {
            *value = 0;
            setenv(copy, value + 1, 1);
        } else {
            unsetenv(copy);
        }
        free(copy);
    }
}

static int open_file(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
}

/* In the child: a session with this terminal, then the program. */
static void become(const PtyConfig *config, const char *terminal) {
    int fd = -1;
    if (setsid() < 0)
        _exit(120);
    fd = open(config->has_no_terminal ? "/dev/null" : terminal, O_RDWR | O_NOCTTY);
    if (fd < 0 || (!config->has_no_terminal && ioctl(fd, TIOCSCTTY, 0) != 0))
        _exit(121);
    int out = config->out_path ? open_file(config->out_path) : fd;
    int err = config->err_path ? open_file(config->err_path) : fd;
    if (dup2(fd, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || chdir(config->folder) != 0)
        _exit(122);
    for (int extra = 3; extra < 64; extra++)
        close(extra);
    set_environment(config->environment);
    execv(config->argv[0], (char *const *)config->argv);
    _exit(123);
}

void pty_spawn(Pty *pty, const PtyConfig *config) {
    char name[128];
    *pty = (Pty){.terminal = open_terminal(name, sizeof name)};
    int user = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios settings;
    CHECK(user >= 0 && tcgetattr(user, &settings) == 0);
    settings.c_lflag &= ~(tcflag_t)ECHO;
    CHECK(tcsetattr(user, TCSANOW, &settings) == 0);
    set_size(user, config->columns ? config->columns : 80);
    pty->pid = fork();
    CHECK(pty->pid >= 0);
    if (pty->pid == 0)
        become(config, name);
    close(user);
}

/* More of what is shown; false at the end of it or when nothing comes until `deadline`. */
static bool read_more(Pty *pty, double deadline) {
    char bytes[4096];
    double left = deadline - os_monotonic_ms();
    struct pollfd poll_fd = {.fd = pty->terminal, .events = POLLIN};
    if (pty->terminal < 0 || left <= 0)
        return false;
    int ready = poll(&poll_fd, 1, (int)left + 1);
    if (ready < 0)
        return errno == EINTR;
    if (ready == 0)
        return false;
    ssize_t n = read(pty->terminal, bytes, sizeof bytes);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    for (ssize_t i = 0; i < n; i++)
        if (bytes[i] != '\r')
            buf_char(&pty->seen, bytes[i]);
    return true;
}

bool pty_expect(Pty *pty, const char *text) {
    double deadline = os_monotonic_ms() + PTY_PATIENCE_MS;
    for (;;) {
        size_t found = str_find(buf_text(&pty->seen), str_of(text), pty->at);
        if (found != STR_NONE) {
            pty->at = found + strlen(text);
            return true;
        }
        if (!read_more(pty, deadline))
            return false;
    }
}

void pty_send(Pty *pty, const char *keys) {
    CHECK(write(pty->terminal, keys, strlen(keys)) == (ssize_t)strlen(keys));
}

void pty_resize(Pty *pty, int columns) {
    set_size(pty->terminal, columns);
}

void pty_hang_up(Pty *pty) {
    close(pty->terminal);
    pty->terminal = -1;
}

int pty_end(Pty *pty) {
    double deadline = os_monotonic_ms() + PTY_PATIENCE_MS;
    int status = 0;
    while (read_more(pty, deadline))
        ;
    pid_t ended = waitpid(pty->pid, &status, WNOHANG);
    while (ended == 0 && os_monotonic_ms() < deadline) {
        usleep(1000);
        ended = waitpid(pty->pid, &status, WNOHANG);
    }
    if (ended == 0) {
        kill(pty->pid, SIGKILL);
        waitpid(pty->pid, &status, 0);
        status = -1000;
    } else {
        status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    pty->pid = 0;
    return status;
}

void pty_free(Pty *pty) {
    if (pty->terminal >= 0)
        close(pty->terminal);
    buf_free(&pty->seen);
    *pty = (Pty){.terminal = -1};
}
