/* Talking to a started program. Whoever waits takes in what the program says meanwhile, the writer too: a
 * program that waits for us to read would otherwise never read itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"
#include "workspace/process_internal.h"

#define CHUNK ((size_t)64 << 10)
#define MESSAGES_MAX CHUNK            /* of stderr, not yet told; the rest is dropped */
#define BUFFER_KEPT ((size_t)1 << 20) /* a larger one is given back once it is empty */
#define SLICE_MS 20                   /* between looks for the end where there is no pid_fd */
#define TERM_AFTER_MS 500
#define KILL_AFTER_MS 1500

static void wake(int fd) {
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof one);
}

/* ---- taking in ---- */

static bool has_room(const Process *process) {
    return process->output.len - process->output_at <= process->line_max;
}

/* Under the lock. True when bytes came or the stream ended. */
static bool take_output(Process *process) {
    if (process->is_output_over || !has_room(process))
        return false;
    if (process->output_at == process->output.len) {
        buf_clear(&process->output);
        if (process->output.capacity > BUFFER_KEPT)
            buf_free(&process->output);
        process->output_at = process->output_scanned = 0;
    } else if (process->output_at > process->output.len / 2) {
        buf_consume(&process->output, process->output_at);
        process->output_scanned -= process->output_at;
        process->output_at = 0;
    }
    if (!buf_reserve(&process->output, CHUNK)) {
        process->is_output_over = true;
        return true;
    }
    ssize_t got = read(process->out, process->output.ptr + process->output.len, CHUNK);
    if (got > 0)
        process->output.len += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        process->is_output_over = true;
    return got > 0 || process->is_output_over;
}

static void take_messages(Process *process) {
    char piece[4096];
    ssize_t got = 0;
    for (int i = 0; i < 16 && !process->is_messages_over; i++) {
        got = read(process->messages, piece, sizeof piece);
        if (got <= 0)
            break;
        if (process->errors.len < MESSAGES_MAX)
            buf_append(&process->errors, piece, (size_t)got);
    }
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        process->is_messages_over = true;
}

static bool look_for_end(Process *process, siginfo_t *info) {
    *info = (siginfo_t){0};
    return waitid(P_PID, (id_t)process->pid, info, WEXITED | WNOHANG | WNOWAIT) == 0 && info->si_pid != 0;
}

/* Takes in what is there now. Once the program has ended and nothing more is there, its output is over, even
 * when a process that it left behind still holds the other end. */
static bool take_in(Process *process) {
    pthread_mutex_lock(&process->lock);
    siginfo_t info;
    bool had_exited = process->has_exited;
    if (!had_exited)
        process->has_exited = look_for_end(process, &info);
    bool is_news = take_output(process);
    take_messages(process);
    if (had_exited && !is_news && has_room(process))
        process->is_output_over = true;
    pthread_mutex_unlock(&process->lock);
    return is_news;
}

/* Waits for news of the program, for room in its stdin (when writing), or to be woken. */
static void wait_for_news(Process *process, bool is_writing, double wait_ms) {
    pthread_mutex_lock(&process->lock);
    bool is_open = !process->is_output_over && has_room(process), is_ended = process->has_exited;
    bool has_messages = !process->is_messages_over;
    pthread_mutex_unlock(&process->lock);
    if (is_ended && !is_writing)
        wait_ms = 0;
    int woken = is_writing ? process->writer_wakes : process->reader_wakes;
    struct pollfd fds[5] = {
        {.fd = woken, .events = POLLIN},
        {.fd = is_open ? process->out : -1, .events = POLLIN},
        {.fd = has_messages ? process->messages : -1, .events = POLLIN},
        {.fd = is_ended ? -1 : process->pid_fd, .events = POLLIN},
        {.fd = is_writing ? process->in : -1, .events = POLLOUT},
    };
    if (process->pid_fd < 0 && (wait_ms < 0 || wait_ms > SLICE_MS))
        wait_ms = SLICE_MS;
    poll(fds, 5, wait_ms < 0 ? -1 : wait_ms > INT_MAX ? INT_MAX : (int)ceil(wait_ms));
    if (fds[0].revents) {
        uint64_t count;
        (void)!read(woken, &count, sizeof count);
    }
}

/* ---- reading ---- */

static void tell_messages(Process *process) {
    Buf told = {0};
    pthread_mutex_lock(&process->lock);
    size_t end = process->errors.len;
    if (!process->is_messages_over && end < MESSAGES_MAX)
        while (end > 0 && process->errors.ptr[end - 1] != '\n')
            end--;
    if (end > 0) {
        buf_append(&told, process->errors.ptr, end);
        buf_consume(&process->errors, end);
    }
    pthread_mutex_unlock(&process->lock);
    Str rest = buf_text(&told), line;
    while (process->stderr_line && str_next_line(&rest, &line))
        process->stderr_line(process->ctx, line);
    buf_free(&told);
}

typedef enum Taken { TAKEN_NONE, TAKEN_LINE, TAKEN_TOO_LONG, TAKEN_END } Taken;

static Taken take_line(Process *process, Str *out) {
    pthread_mutex_lock(&process->lock);
    Buf *output = &process->output;
    Taken taken = TAKEN_NONE;
    size_t begin = process->output_at, end = output->len;
    const char *line_end = end > process->output_scanned ? memchr(output->ptr + process->output_scanned, '\n',
                                                                  end - process->output_scanned)
                                                         : NULL;
    if (line_end)
        end = (size_t)(line_end - output->ptr);
    process->output_scanned = end;
    if (end - begin > process->line_max)
        taken = TAKEN_TOO_LONG;
    else if (line_end || (process->is_output_over && end > begin))
        taken = TAKEN_LINE;
    else if (process->is_output_over)
        taken = TAKEN_END;
    if (taken == TAKEN_LINE) {
        buf_clear(&process->line);
        if (process->line.capacity > BUFFER_KEPT && end - begin < BUFFER_KEPT)
            buf_free(&process->line);
        buf_append(&process->line, output->ptr + begin, end - begin);
        process->output_at = process->output_scanned = line_end ? end + 1 : end;
        *out = buf_text(&process->line);
        if (out->len && out->ptr[out->len - 1] == '\r')
            out->len--;
    }
    pthread_mutex_unlock(&process->lock);
    return taken;
}

static bool say_how_it_ended(Process *process, Err *err) {
    siginfo_t info;
    double until = os_monotonic_ms() + 200; /* it closed its output; its end may be a moment away */
    while (!look_for_end(process, &info) && os_monotonic_ms() < until) {
        struct pollfd end = {.fd = process->pid_fd, .events = POLLIN};
        poll(&end, 1, process->pid_fd < 0 ? SLICE_MS : (int)ceil(fmax(until - os_monotonic_ms(), 0)));
    }
    take_in(process);
    tell_messages(process);
    if (info.si_pid == 0)
        return err_set(err, ERR_IO, "%s closed its output", process->name);
    if (info.si_code == CLD_EXITED)
        return err_set(err, ERR_IO, "%s ended with exit status %d", process->name, info.si_status);
    return err_set(err, ERR_IO, "%s was ended by signal %d (%s)", process->name, info.si_status,
                   strsignal(info.si_status));
}

bool process_read_line(Process *process, double timeout_ms, Str *out, Err *err) {
    double until = os_monotonic_ms() + timeout_ms;
    for (;;) {
        take_in(process);
        tell_messages(process);
        switch (take_line(process, out)) {
        case TAKEN_LINE: return true;
        case TAKEN_TOO_LONG:
            return err_set(err, ERR_INVALID, "%s wrote a line of more than %zu bytes", process->name,
                           process->line_max);
        case TAKEN_END: return say_how_it_ended(process, err);
        case TAKEN_NONE: break;
        }
        unsigned interrupts = atomic_load(&process->interrupts);
        if (interrupts != process->interrupts_read) {
            process->interrupts_read = interrupts;
            return err_set(err, ERR_CANCELLED, "waiting for %s was interrupted", process->name);
        }
        double left = until - os_monotonic_ms();
        if (timeout_ms >= 0 && left <= 0)
            return err_set(err, ERR_LIMIT, "%s said nothing in time", process->name);
        wait_for_news(process, false, timeout_ms < 0 ? -1 : left);
    }
}

/* ---- writing ---- */

/* write(2), but a program that is gone is an error and no signal to us. */
static ssize_t write_quietly(int fd, Str bytes) {
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    sigpending(&pending);
    ssize_t wrote = write(fd, bytes.ptr, bytes.len);
    int failure = errno;
    if (wrote < 0 && failure == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_signal, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failure;
    return wrote;
}

static bool write_all(Process *process, Str bytes, double until, Err *err) {
    while (bytes.len) {
        ssize_t wrote = write_quietly(process->in, bytes);
        if (wrote > 0) {
            bytes = str_from(bytes, (size_t)wrote);
            process->is_input_broken = bytes.len > 0;
            continue;
        }
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0 && errno != EAGAIN)
            return err_set_errno(err, errno, "%s takes no input", process->name);
        unsigned interrupts = atomic_load(&process->interrupts);
        if (interrupts != process->interrupts_written) {
            process->interrupts_written = interrupts;
            return err_set(err, ERR_CANCELLED, "writing to %s was interrupted", process->name);
        }
        double left = until - os_monotonic_ms();
        if (left <= 0)
            return err_set(err, ERR_LIMIT, "%s did not read its input in time", process->name);
        wait_for_news(process, true, left);
        if (take_in(process))
            wake(process->reader_wakes);
    }
    return true;
}

bool process_write(Process *process, Str line, double timeout_ms, Err *err) {
    Buf text = {0};
    buf_str(&text, line);
    buf_char(&text, '\n');
    double until = os_monotonic_ms() + timeout_ms;
    pthread_mutex_lock(&process->write_lock);
    bool ok = false;
    if (text.failed)
        err_set(err, ERR_NO_MEMORY, "no memory for a line of %zu bytes to %s", line.len, process->name);
    else if (process->in < 0 || process->is_input_broken)
        err_set(err, ERR_IO, "%s takes no input: it is closed, or a line was broken off", process->name);
    else
        ok = write_all(process, buf_text(&text), until, err);
    pthread_mutex_unlock(&process->write_lock);
    buf_free(&text);
    return ok;
}

void process_interrupt(Process *process) {
    atomic_fetch_add(&process->interrupts, 1);
    wake(process->reader_wakes);
    wake(process->writer_wakes);
}

void process_forget_interrupts(Process *process) {
    pthread_mutex_lock(&process->write_lock);
    process->interrupts_written = process->interrupts_read = atomic_load(&process->interrupts);
    pthread_mutex_unlock(&process->write_lock);
}

/* ---- the end ---- */

void process_end_input(Process *process) {
    pthread_mutex_lock(&process->write_lock);
    if (process->in >= 0) {
        close(process->in);
        process->in = -1;
        process->input_closed = os_monotonic_ms();
    }
    pthread_mutex_unlock(&process->write_lock);
}

/* Its output is taken in and thrown away meanwhile, so that it can end by itself. */
static void wait_for_end(Process *process, double until) {
    siginfo_t info;
    while (!look_for_end(process, &info)) {
        double left = until - os_monotonic_ms();
        if (left <= 0)
            return;
        wait_for_news(process, false, left);
        take_in(process);
        process->output_at = process->output_scanned = process->output.len;
        buf_clear(&process->errors);
    }
}

static void end_and_reap(Process *process) {
    process_end_input(process);
    wait_for_end(process, process->input_closed + TERM_AFTER_MS);
    siginfo_t info;
    if (!look_for_end(process, &info)) {
        kill(-process->pid, SIGTERM);
        wait_for_end(process, process->input_closed + KILL_AFTER_MS);
    }
    /* Before it is reaped its number is nobody else's: whoever is left in the group goes now. */
    kill(-process->pid, SIGKILL);
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void process_stop(Process *process) {
    if (!process)
        return;
    if (process->pid > 0)
        end_and_reap(process);
    int fds[] = {process->pid_fd,   process->in,           process->out,
                 process->messages, process->reader_wakes, process->writer_wakes};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    buf_free(&process->output);
    buf_free(&process->errors);
    buf_free(&process->line);
    pthread_mutex_destroy(&process->write_lock);
    pthread_mutex_destroy(&process->lock);
    free(process);
}
