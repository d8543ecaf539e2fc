#define _GNU_SOURCE
#include "acp/commands/hunks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "acp/commands/hunks_internal.h"
#include "acp/commands/terminal.h"

#define LINE_MAX_BYTES ((size_t)64 << 10)

/* ---- the terminal ---- */

bool hunk_dialog_open(HunkDialog *dialog, Err *err) {
    *dialog = (HunkDialog){.in = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), .stop = -1};
    if (dialog->in < 0)
        return err_set(
            err, ERR_IO,
            "there is no terminal to ask on; use --apply to apply everything or --dry-run to see it");
    int out = fcntl(dialog->in, F_DUPFD_CLOEXEC, 0);
    dialog->out = out >= 0 ? fdopen(out, "w") : NULL;
    dialog->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&dialog->lock, NULL);
    dialog->is_open = true;
    dialog->has_colour = terminal_takes_colour(dialog->in);
    if (dialog->out && dialog->stop >= 0)
        return true;
    err_set_errno(err, errno, "cannot use the terminal");
    if (!dialog->out && out >= 0)
        close(out);
    hunk_dialog_close(dialog);
    return false;
}

void hunk_dialog_close(HunkDialog *dialog) {
    if (!dialog->is_open)
        return;
    if (dialog->out)
        fclose(dialog->out);
    if (dialog->stop >= 0)
        close(dialog->stop);
    close(dialog->in);
    pthread_mutex_destroy(&dialog->lock);
    buf_free(&dialog->inbox);
    dialog->is_open = false;
}

void hunk_dialog_stop(HunkDialog *dialog) {
    uint64_t one = 1;
    if (dialog->is_open && write(dialog->stop, &one, sizeof one) < 0 && errno != EAGAIN)
        abort();
}

bool hunk_dialog_take_signal(HunkDialog *dialog, int signals) {
    struct signalfd_siginfo info;
    if (!dialog->is_open)
        return read(signals, &info, sizeof info) > 0;
    pthread_mutex_lock(&dialog->lock);
    bool is_taken =
        read(signals, &info, sizeof info) > 0 && !(dialog->is_editing && info.ssi_signo == SIGINT);
    pthread_mutex_unlock(&dialog->lock);
    return is_taken;
}

/* Interrupts that came while the editor ran are dropped when it ends. */
void dialog_set_editing(HunkDialog *dialog, bool is_editing) {
    sigset_t interrupt;
    struct timespec at_once = {0};
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_mutex_lock(&dialog->lock);
    while (!is_editing && sigtimedwait(&interrupt, NULL, &at_once) == SIGINT)
        ;
    dialog->is_editing = is_editing;
    pthread_mutex_unlock(&dialog->lock);
}

void dialog_flush(HunkDialog *dialog, Buf *text) {
    if (text->len)
        fwrite(text->ptr, 1, text->len, dialog->out);
    fflush(dialog->out);
    buf_free(text);
}

void dialog_say(HunkDialog *dialog, const char *format, ...) {
    char text[1024];
    Buf out = {0};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    terminal_put(&out, str_of(text), true);
    dialog_flush(dialog, &out);
}

/* More of the input into the inbox. A line that never ends is the end of the input. */
static LineEnd read_more(HunkDialog *dialog) {
    struct pollfd fds[2] = {{.fd = dialog->in, .events = POLLIN}, {.fd = dialog->stop, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return LINE_CLOSED;
    if (fds[1].revents)
        return LINE_STOPPED;
    if (dialog->inbox.len > LINE_MAX_BYTES || !buf_reserve(&dialog->inbox, 4096))
        return LINE_CLOSED;
    ssize_t n = read(dialog->in, dialog->inbox.ptr + dialog->inbox.len, 4096);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return LINE_READ;
    if (n <= 0)
        return LINE_CLOSED;
    dialog->inbox.len += (size_t)n;
    return LINE_READ;
}

LineEnd dialog_line(HunkDialog *dialog, const char *prompt, Arena *arena, Str *line) {
    Buf shown = {0};
    if (dialog->has_colour)
        buf_cstr(&shown, "\033[1;34m");
    terminal_put(&shown, str_of(prompt), true);
    if (dialog->has_colour)
        buf_cstr(&shown, "\033[m");
    dialog_flush(dialog, &shown);
    size_t end;
    while ((end = str_find_char(buf_text(&dialog->inbox), '\n', 0)) == STR_NONE) {
        LineEnd got = read_more(dialog);
        if (got == LINE_READ)
            continue;
        dialog_say(dialog, "\n");
        return got;
    }
    *line = str_trim(str_copy(arena, str_slice(buf_text(&dialog->inbox), 0, end)));
    buf_consume(&dialog->inbox, end + 1);
    return LINE_READ;
}

void choice_quit(FileChoice *choice, LineEnd end) {
    choice->was_stopped = end == LINE_STOPPED;
    choice->dialog->has_quit = true;
}

/* ---- questions about a whole file ---- */

static const char FILE_HELP[] =
    "y - do this\n"
    "n - leave this file as it is\n"
    "q - quit: leave out this file and all that is undecided in the ones that follow\n"
    "a - do this\n"
    "d - leave this file as it is\n"
    "p - show it again\n"
    "? - show this help\n";

static bool is_about_file(const ToolDiff *diff) {
    return diff->is_new || diff->is_deleted || diff->moved_to.len;
}

static bool ask_about_file(FileChoice *choice) {
    const ToolDiff *diff = choice->diff;
    const char *what = diff->is_new ? "Create" : diff->is_deleted ? "Delete" : "Move";
    Str prompt = str_printf(choice->arena, "(1/1) %s this file [y,n,q,a,d,p,?]? ", what);
    show_file(choice);
    for (;;) {
        Str line;
        LineEnd end = dialog_line(choice->dialog, prompt.ptr, choice->arena, &line);
        if (end != LINE_READ)
            return choice_quit(choice, end), false;
        char key = line.len == 1 ? line.ptr[0] : 0;
        switch (key) {
        case 'y':
        case 'a': return true;
        case 'n':
        case 'd': return false;
        case 'q': return choice_quit(choice, LINE_READ), false;
        case 'p': show_file(choice); break;
        default: dialog_say(choice->dialog, "%s", FILE_HELP); break;
        }
    }
}

/* ---- a question ---- */

static void cut_into_parts(FileChoice *choice) {
    for (size_t first = 0, last; first < choice->hunks.count; first = last + 1) {
        last = diff_section_end(&choice->hunks, first, HUNK_CONTEXT);
        HunkPart part = {first, last, HUNK_UNDECIDED};
        LIST_PUSH(choice->arena, choice->parts, choice->count, choice->capacity, part);
    }
}

/* What the parts say, as ids of the proposed hunks or, after an edit, as the text itself. */
static bool collect_decision(const FileChoice *choice, Decision *decision, Err *err) {
    const Hunks *hunks = &choice->hunks;
    bool *keep = ARENA_ARRAY(choice->arena, bool, hunks->count + 1);
    uint64_t *ids = ARENA_ARRAY(choice->arena, uint64_t, hunks->count + 1);
    size_t kept = 0;
    for (size_t i = 0; i < choice->count; i++)
        for (size_t h = choice->parts[i].first; h <= choice->parts[i].last; h++)
            if ((keep[h] = choice->parts[i].use == HUNK_KEPT))
                ids[kept++] = hunks->items[h].id;
    if (kept == 0)
        return true;
    *decision = (Decision){.kind = DECISION_ALLOW_ONCE, .keep_ids = ids, .keep_count = kept};
    if (!choice->is_edited)
        return true;
    decision->keep_ids = NULL;
    decision->has_text = true;
    return diff_keep(hunks, keep, choice->arena, &decision->text, err);
}

static bool choose(FileChoice *choice, Decision *decision, Err *err) {
    const ToolDiff *diff = choice->diff;
    if (!diff_lines(diff->relative, diff->old_text, diff->new_text, choice->arena, &choice->hunks, err))
        return false;
    show_file_head(choice);
    if (is_about_file(diff)) {
        if (ask_about_file(choice))
            decision->kind = DECISION_ALLOW_ONCE;
        return true;
    }
    cut_into_parts(choice);
    if (choice->count)
        ask_about_hunks(choice);
    return collect_decision(choice, decision, err);
}

void hunk_dialog_ask(HunkDialog *dialog, Session *session, const QuestionEvent *question) {
    Arena arena = {0};
    Err err = {0};
    Decision decision = {.kind = DECISION_REJECT_ONCE};
    if (!dialog->has_quit && question->tool.diff_count == 1) {
        FileChoice choice = {.dialog = dialog, .diff = &question->tool.diffs[0], .arena = &arena};
        if (!choose(&choice, &decision, &err))
            dialog_say(dialog, "%s\n", err.text);
        if (err.code != ERR_NONE || choice.was_stopped)
            decision = (Decision){.kind = DECISION_CANCELLED};
    }
    turn_answer(session, question->id, &decision);
    arena_free(&arena);
}
