#define _GNU_SOURCE
#include "acp/commands/hunks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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
    buf_free(&dialog->inbox);
    dialog->is_open = false;
}

void hunk_dialog_stop(HunkDialog *dialog) {
    uint64_t one = 1;
    if (dialog->is_open && write(dialog->stop, &one, sizeof one) < 0 && errno != EAGAIN)
        abort();
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

/* ---- moving between the hunks ---- */

/* The first undecided part of [from, to), or `to`. */
static size_t undecided(const FileChoice *choice, size_t from, size_t to) {
    while (from < to && choice->parts[from].use != HUNK_UNDECIDED)
        from++;
    return from;
}

/* The last undecided part before `at`, or STR_NONE. */
static size_t undecided_before(const FileChoice *choice, size_t at) {
    while (at-- > 0)
        if (choice->parts[at].use == HUNK_UNDECIDED)
            return at;
    return STR_NONE;
}

/* What a key leaves to do: show the part that is asked about, only ask again, or nothing more for this file.
 */
typedef enum Step { STEP_SHOW, STEP_ASK, STEP_OVER } Step;

static Step go_on(FileChoice *choice) {
    size_t next = undecided(choice, choice->at + 1, choice->count);
    if (next == choice->count)
        next = undecided(choice, 0, choice->count);
    if (next == choice->count)
        return STEP_OVER;
    choice->at = next;
    return STEP_SHOW;
}

static Step decide(FileChoice *choice, HunkUse use) {
    choice->parts[choice->at].use = use;
    return go_on(choice);
}

static Step decide_rest(FileChoice *choice, HunkUse use) {
    choice->parts[choice->at].use = use;
    for (size_t i = choice->at + 1; i < choice->count; i++)
        if (choice->parts[i].use == HUNK_UNDECIDED)
            choice->parts[i].use = use;
    return go_on(choice);
}

static Step quit(FileChoice *choice) {
    choice->dialog->has_quit = true;
    return STEP_OVER;
}

static Step go_to(FileChoice *choice, size_t part) {
    choice->at = part;
    return STEP_SHOW;
}

static Step input_ended(FileChoice *choice, LineEnd end) {
    choice->was_stopped = end == LINE_STOPPED;
    return quit(choice);
}

/* ---- g and / ---- */

enum { LISTED_AT_ONCE = 20 };

static Step choose_by_number(FileChoice *choice, Str number) {
    for (size_t from = 0; number.len == 0; from += LISTED_AT_ONCE) {
        if (from >= choice->count)
            from = 0;
        for (size_t i = from; i < choice->count && i < from + LISTED_AT_ONCE; i++)
            show_summary(choice, i);
        bool has_more = choice->count > LISTED_AT_ONCE;
        LineEnd end =
            dialog_line(choice->dialog, has_more ? "go to which hunk (empty: more)? " : "go to which hunk? ",
                        choice->arena, &number);
        if (end != LINE_READ)
            return input_ended(choice, end);
        if (!has_more && number.len == 0)
            return STEP_ASK;
    }
    char *end;
    unsigned long wanted = strtoul(str_cstr(choice->arena, number), &end, 10);
    if (*end || number.ptr[0] < '0' || number.ptr[0] > '9')
        dialog_say(choice->dialog, "\"%.80s\" is not a number.\n", str_cstr(choice->arena, number));
    else if (wanted < 1 || wanted > choice->count)
        dialog_say(choice->dialog, "There %s only %zu hunk%s.\n", choice->count == 1 ? "is" : "are",
                   choice->count, choice->count == 1 ? "" : "s");
    else
        return go_to(choice, wanted - 1);
    return STEP_ASK;
}

static bool part_matches(const FileChoice *choice, size_t part, const regex_t *pattern) {
    Arena scratch = {0};
    Section section;
    Buf text = {0};
    section_read(&choice->hunks, choice->parts[part].first, choice->parts[part].last, HUNK_CONTEXT, &scratch,
                 &section);
    section_print(&section, &text);
    buf_char(&text, 0);
    bool matches = !text.failed && regexec(pattern, text.ptr, 0, NULL, 0) == 0;
    buf_free(&text);
    arena_free(&scratch);
    return matches;
}

/* The next hunk with a match, once around; the one that is asked about comes last. */
static Step search(FileChoice *choice, Str words) {
    if (words.len == 0) {
        LineEnd end =
            dialog_line(choice->dialog, "search for which regular expression? ", choice->arena, &words);
        if (end != LINE_READ)
            return input_ended(choice, end);
        if (words.len == 0)
            return STEP_ASK;
    }
    regex_t pattern;
    int failed = regcomp(&pattern, str_cstr(choice->arena, words), REG_EXTENDED | REG_NEWLINE | REG_NOSUB);
    if (failed) {
        char why[200];
        regerror(failed, &pattern, why, sizeof why);
        dialog_say(choice->dialog, "This is no regular expression: %s\n", why);
        return STEP_ASK;
    }
    size_t found = STR_NONE;
    for (size_t i = 1; i <= choice->count && found == STR_NONE; i++)
        if (part_matches(choice, (choice->at + i) % choice->count, &pattern))
            found = (choice->at + i) % choice->count;
    regfree(&pattern);
    if (found != STR_NONE)
        return go_to(choice, found);
    dialog_say(choice->dialog, "No hunk matches.\n");
    return STEP_ASK;
}

/* ---- s and e ---- */

/* One part for each change of the part that is asked about, all undecided. */
static Step split(FileChoice *choice) {
    HunkPart part = choice->parts[choice->at];
    size_t more = part.last - part.first;
    if (more == 0) {
        dialog_say(choice->dialog, "This hunk is a single change and cannot be split.\n");
        return STEP_ASK;
    }
    HunkPart *parts = ARENA_ARRAY(choice->arena, HunkPart, choice->count + more);
    memcpy(parts, choice->parts, choice->at * sizeof *parts);
    for (size_t i = 0; i <= more; i++)
        parts[choice->at + i] = (HunkPart){part.first + i, part.first + i, HUNK_UNDECIDED};
    memcpy(parts + choice->at + more + 1, choice->parts + choice->at + 1,
           (choice->count - choice->at - 1) * sizeof *parts);
    choice->parts = parts;
    choice->count += more;
    dialog_say(choice->dialog, "Split into %zu hunks.\n", more + 1);
    return STEP_SHOW;
}

static Step edit(FileChoice *choice) {
    switch (edit_part(choice)) {
    case EDIT_DONE: return go_on(choice);
    case EDIT_STOPPED: return input_ended(choice, LINE_STOPPED);
    case EDIT_LEFT: break;
    }
    return STEP_ASK;
}

/* ---- the keys ---- */

typedef struct KeyHelp {
    char key;
    const char *help;
} KeyHelp;

static const KeyHelp HUNK_KEYS[] = {
    {'y', "apply this hunk"},
    {'n', "leave this hunk out"},
    {'q', "quit: leave out this hunk and all that is undecided, in this file and the ones that follow"},
    {'a', "apply this hunk and all later undecided ones of this file"},
    {'d', "leave out this hunk and all later undecided ones of this file"},
    {'j', "leave this hunk undecided, show the next undecided one"},
    {'J', "leave this hunk undecided, show the next one"},
    {'k', "leave this hunk undecided, show the undecided one before"},
    {'K', "leave this hunk undecided, show the one before"},
    {'g', "choose a hunk to go to"},
    {'/', "search for a hunk that matches a regular expression"},
    {'s', "split this hunk into its single changes"},
    {'e', "edit this hunk in your editor"},
    {'p', "show this hunk again"},
    {'?', "show this help"},
};

static const KeyHelp FILE_KEYS[] = {
    {'y', "do this"},
    {'n', "leave this file as it is"},
    {'q', "quit: leave out this file and all that is undecided in the ones that follow"},
    {'a', "do this"},
    {'d', "leave this file as it is"},
    {'p', "show it again"},
    {'?', "show this help"},
};

static bool is_offered(const FileChoice *choice, char key) {
    switch (key) {
    case 'j': return undecided(choice, choice->at + 1, choice->count) < choice->count;
    case 'J': return choice->at + 1 < choice->count;
    case 'k': return undecided_before(choice, choice->at) != STR_NONE;
    case 'K': return choice->at > 0;
    case 'g':
    case '/': return choice->count > 1;
    case 's': return choice->parts[choice->at].first < choice->parts[choice->at].last;
    default: return true;
    }
}

static void show_help(const FileChoice *choice, const KeyHelp *keys, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (keys == FILE_KEYS || is_offered(choice, keys[i].key))
            dialog_say(choice->dialog, "%c - %s\n", keys[i].key, keys[i].help);
}

static Step refuse_key(FileChoice *choice, char key) {
    static const struct {
        char key;
        const char *why;
    } REASONS[] = {{'j', "No undecided hunk follows."},       {'J', "No hunk follows."},
                   {'k', "No undecided hunk stands before."}, {'K', "No hunk stands before."},
                   {'g', "There is no other hunk."},          {'/', "There is no other hunk."}};
    for (size_t i = 0; i < sizeof REASONS / sizeof *REASONS; i++)
        if (REASONS[i].key == key) {
            dialog_say(choice->dialog, "%s\n", REASONS[i].why);
            return STEP_ASK;
        }
    show_help(choice, HUNK_KEYS, sizeof HUNK_KEYS / sizeof *HUNK_KEYS);
    return STEP_ASK;
}

static Step take_key(FileChoice *choice, char key, Str rest) {
    if (!is_offered(choice, key) && key != 's')
        return refuse_key(choice, key);
    switch (key) {
    case 'y': return decide(choice, HUNK_KEPT);
    case 'n': return decide(choice, HUNK_DROPPED);
    case 'q': return quit(choice);
    case 'a': return decide_rest(choice, HUNK_KEPT);
    case 'd': return decide_rest(choice, HUNK_DROPPED);
    case 'j': return go_to(choice, undecided(choice, choice->at + 1, choice->count));
    case 'J': return go_to(choice, choice->at + 1);
    case 'k': return go_to(choice, undecided_before(choice, choice->at));
    case 'K': return go_to(choice, choice->at - 1);
    case 'g': return choose_by_number(choice, rest);
    case '/': return search(choice, rest);
    case 's': return split(choice);
    case 'e': return edit(choice);
    case 'p': return STEP_SHOW;
    default: return refuse_key(choice, key);
    }
}

static const char *hunk_prompt(const FileChoice *choice) {
    Buf keys = {0};
    for (size_t i = 0; i < sizeof HUNK_KEYS / sizeof *HUNK_KEYS; i++)
        if (is_offered(choice, HUNK_KEYS[i].key))
            buf_printf(&keys, "%s%c", keys.len ? "," : "", HUNK_KEYS[i].key);
    Str text = str_printf(choice->arena, "(%zu/%zu) Apply this hunk [%.*s]? ", choice->at + 1, choice->count,
                          (int)keys.len, keys.ptr);
    buf_free(&keys);
    return text.ptr;
}

static void ask_about_hunks(FileChoice *choice) {
    for (Step step = STEP_SHOW; step != STEP_OVER;) {
        if (step == STEP_SHOW)
            show_part(choice, choice->at);
        Str line;
        LineEnd end = dialog_line(choice->dialog, hunk_prompt(choice), choice->arena, &line);
        if (end != LINE_READ) {
            step = input_ended(choice, end);
        } else if (line.len == 0) {
            step = STEP_ASK;
        } else if (line.len > 1 && line.ptr[0] != 'g' && line.ptr[0] != '/') {
            dialog_say(choice->dialog, "Please answer with one letter.\n");
            step = STEP_ASK;
        } else {
            step = take_key(choice, line.ptr[0], str_trim(str_from(line, 1)));
        }
    }
}

/* ---- questions about a whole file ---- */

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
            return input_ended(choice, end), false;
        char key = line.len == 1 ? line.ptr[0] : 0;
        switch (key) {
        case 'y':
        case 'a': return true;
        case 'n':
        case 'd': return false;
        case 'q': return quit(choice), false;
        case 'p': show_file(choice); break;
        default: show_help(choice, FILE_KEYS, sizeof FILE_KEYS / sizeof *FILE_KEYS); break;
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
