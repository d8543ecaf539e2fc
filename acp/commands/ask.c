/* ask: one headless turn on a repository. The diff goes to stdout, what happens meanwhile to stderr. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/commands/hunks.h"
#include "acp/commands/terminal.h"
#include "acp/house.h"
#include "acp/v1.h"
#include "base/utf8.h"

/* What the turn leaves behind, copied from its events. */
typedef struct AskResult {
    Arena arena;
    Session *session;
    bool is_verbose, is_json;
    HunkDialog *dialog; /* --hunks */
    int done_fds[2];
    Buf text;
    Buf unshown; /* of an answer that comes in pieces */
    TurnStop stop;
    Err error;
    TurnUsage usage;
    Str diff, backup;
    size_t files;
    bool was_applied;
    Json *problems, *notes;
} AskResult;

static void take_done(AskResult *result, const TurnDone *done) {
    result->stop = done->stop;
    result->error = done->error;
    result->usage = done->usage;
    result->diff = str_copy(&result->arena, done->unified_diff);
    result->backup = str_copy(&result->arena, done->backup_id);
    result->files = done->files_changed;
    result->was_applied = done->was_applied;
    for (size_t i = 0; i < done->problem_count; i++)
        json_push(result->problems, json_text(done->problems[i]));
    for (size_t i = 0; i < done->note_count; i++)
        json_push(result->notes, json_text(done->notes[i]));
    if (write(result->done_fds[1], "", 1) < 0)
        abort();
}

/* Text of files and models goes to a terminal only after what could drive it is made visible. */
static void show_text(FILE *stream, Str text) {
    Buf out = {0};
    if (isatty(fileno(stream)))
        terminal_put(&out, text, true);
    else
        buf_str(&out, text);
    fwrite(out.ptr ? out.ptr : "", 1, out.len, stream);
    buf_free(&out);
}

static void show_line(const char *lead, Str text, const char *end) {
    fputs(lead, stderr);
    show_text(stderr, text);
    fputs(end, stderr);
}

static void show_tool(const ToolEvent *tool) {
    static const char *const MARKS[] = {": ...\n", ": ...\n", ": done\n", ": failed\n"};
    if (tool->title.len && (tool->is_first || tool->status >= TOOL_COMPLETED))
        show_line("  ", tool->title, MARKS[tool->status]);
    if (tool->status == TOOL_FAILED && tool->text.len)
        show_line("    ", str_trim_end(tool->text), "\n");
}

/* Pieces may end inside a character: its bytes wait for the rest. */
static void show_piece(AskResult *result, Str piece) {
    buf_str(&result->unshown, piece);
    size_t ready = utf8_complete(buf_text(&result->unshown));
    show_text(stderr, str_slice(buf_text(&result->unshown), 0, ready));
    buf_consume(&result->unshown, ready);
}

/* Asks on the terminal. Where the mode did not ask for one (a file that needs consent of its own), a program
 * without terminal leaves the file out. */
static void take_question(AskResult *result, const QuestionEvent *question) {
    Decision no = {.kind = DECISION_REJECT_ONCE};
    if (!question->tool.diff_count) { /* nothing but files is asked about here */
        turn_answer(result->session, question->id, &no);
        return;
    }
    if (result->dialog->is_open) {
        hunk_dialog_ask(result->dialog, result->session, question);
        return;
    }
    turn_answer(result->session, question->id, &no);
    json_push(
        result->problems,
        json_text(str_printf(&result->arena, "%.*s was not asked about: there is no terminal; use --hunks",
                             STR_ARG(question->tool.diffs[0].relative))));
}

static void take_event(void *ctx, const TurnEvent *event) {
    AskResult *result = ctx;
    switch (event->kind) {
    case TURN_TEXT:
        buf_str(&result->text, event->text);
        if (result->is_verbose)
            show_piece(result, event->text);
        break;
    case TURN_THOUGHT:
        if (result->is_verbose)
            show_piece(result, event->text);
        break;
    case TURN_TOOL:
        if (result->is_verbose)
            show_tool(event->tool);
        break;
    case TURN_QUESTION: take_question(result, event->question); break;
    case TURN_DONE: take_done(result, event->done); break;
    case TURN_NOTICE: command_say("%.*s", STR_ARG(event->notice->title)); break;
    case TURN_PLAN:
    case TURN_USAGE:
    case TURN_USER:
    case TURN_TITLE:
    case TURN_COMPACTION: break;
    }
}

/* Waits for the end of the turn; an interrupt cancels it, unless it is meant for the user's editor. */
static void wait_for_turn(AskResult *result, int signals) {
    struct pollfd fds[2] = {{.fd = result->done_fds[0], .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
        if (fds[0].revents)
            break;
        if (fds[1].revents) {
            if (!hunk_dialog_take_signal(result->dialog, signals))
                continue;
            turn_cancel(result->session);
            hunk_dialog_stop(result->dialog);
        }
    }
    turn_wait(result->session);
}

static Json *usage_json(const TurnUsage *usage) {
    Json *json = json_object();
    json_put_int(json, "prompt_tokens", (int64_t)usage->prompt_tokens);
    json_put_int(json, "cached_tokens", (int64_t)usage->cached_tokens);
    json_put_int(json, "output_tokens", (int64_t)usage->output_tokens);
    json_put_int(json, "prompts", (int64_t)usage->prompts);
    return json;
}

static bool print_json(AskResult *result) {
    Json *json = json_object();
    json_put_str(json, "diff", result->diff);
    json_put_bool(json, "applied", result->was_applied);
    json_put_int(json, "files", (int64_t)result->files);
    json_put(json, "backup", result->backup.len ? json_text(result->backup) : cJSON_CreateNull());
    json_put(json, "problems", cJSON_Duplicate(result->problems, true));
    json_put(json, "notes", cJSON_Duplicate(result->notes, true));
    json_put_str(json, "stop",
                 result->stop == TURN_STOP_FAILED ? S("failed") : str_of(v1_stop_reason(result->stop)));
    if (result->stop == TURN_STOP_FAILED)
        json_put_str(json, "error", str_of(result->error.text));
    json_put(json, "usage", usage_json(&result->usage));
    json_put_str(json, "text", buf_text(&result->text));
    return command_print_json(json);
}

/* Says how it went; the exit status. */
static int report(AskResult *result) {
    if (result->is_json) {
        if (!print_json(result))
            return STATUS_FAILED;
    } else {
        show_text(stdout, result->diff);
        if (fflush(stdout) != 0)
            return STATUS_FAILED;
        bool has_told =
            result->is_verbose || (!result->diff.len && result->text.len); /* the text names the problems */
        if (has_told && !result->is_verbose)
            show_line("", str_trim_end(buf_text(&result->text)), "\n");
        JSON_EACH(problem, has_told ? NULL : result->problems)
        show_line("mux-acp ask: ", str_of(problem->valuestring), "\n");
        JSON_EACH(note, has_told ? NULL : result->notes)
        show_line("mux-acp ask: ", str_of(note->valuestring), "\n");
        if (result->was_applied)
            fprintf(stderr, "%zu file%s changed; mux-acp undo %.*s takes it back\n", result->files,
                    result->files == 1 ? "" : "s", STR_ARG(result->backup));
    }
    if (result->stop == TURN_STOP_FAILED)
        return command_fail("ask", STATUS_FAILED, &result->error);
    bool is_complete = result->stop == TURN_STOP_END && result->files > 0 && !json_len(result->problems);
    return is_complete ? STATUS_DONE : STATUS_FAILED;
}

/* Blocked in every thread made from here on, those of the engine too: interrupts end the turn, not the
 * process in the middle of a commit. */
static int block_signals(void) {
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGINT);
    sigaddset(&stops, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stops, NULL);
    return signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run_turn(AskResult *result, Planner *planner, const SessionConfig *config, Str prompt, int signals,
                    Err *err) {
    int status = STATUS_CANNOT_START;
    Ask ask = {.text = prompt};
    if (pipe2(result->done_fds, O_CLOEXEC) != 0) {
        err_set_errno(err, errno, "cannot create a pipe");
        return status;
    }
    result->session = session_open(planner, config, file_io_disk(), err);
    if (result->session && turn_start(result->session, &ask, (TurnSink){result, take_event}, err)) {
        wait_for_turn(result, signals);
        status = STATUS_DONE;
    }
    session_close(result->session);
    close(result->done_fds[0]);
    close(result->done_fds[1]);
    return status;
}

/* Loads the model before the turn, so that a model that cannot serve is told apart from a turn that failed.
 */
static bool can_start(House *house, Err *err) {
    if (!house_planner(house, err))
        return false;
    Chat *chat = chat_open(house->engine, S(""), err);
    chat_close(chat);
    return chat != NULL;
}

static ReviewMode wanted_review(const Settings *settings) {
    bool has_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (settings_has(settings, OPT_DRY_RUN))
        return REVIEW_PLAN;
    if (settings_has(settings, OPT_APPLY))
        return REVIEW_AUTO;
    return settings_has(settings, OPT_HUNKS) || (has_terminal && !settings_has(settings, OPT_JSON))
               ? REVIEW_ASK
               : REVIEW_PLAN;
}

/* Nothing was asked yet: the object of --json holds little more than the reason. */
static int fail_to_start(AskResult *result, int status, const Err *err) {
    if (result->is_json) {
        result->stop = TURN_STOP_FAILED;
        result->error = *err;
        print_json(result);
    }
    return command_fail("ask", status, err);
}

static int run(const Settings *settings) {
    int modes = settings_has(settings, OPT_APPLY) + settings_has(settings, OPT_DRY_RUN) +
                settings_has(settings, OPT_HUNKS);
    if (modes > 1)
        return command_usage(&COMMAND_ASK, "choose one of --apply, --dry-run and --hunks");
    AskResult result = {.is_json = settings_has(settings, OPT_JSON),
                        .problems = json_array(),
                        .notes = json_array(),
                        .diff = S("")};
    result.is_verbose = settings_has(settings, OPT_VERBOSE) || isatty(STDERR_FILENO);
    Err err = {0};
    House house;
    house_init(&house, settings);
    Str prompt = settings_words(settings, &result.arena);
    const char *cwd = settings_has(settings, OPT_CWD) ? settings->values[OPT_CWD] : ".";
    SessionConfig config = {.id = S("ask"), .review = wanted_review(settings), .grain = GRAIN_FILE};
    HunkDialog dialog = {0};
    result.dialog = &dialog;
    int status = STATUS_CANNOT_START, signals = block_signals();
    if (!str_trim(prompt).len) {
        status = command_usage(&COMMAND_ASK, "say what is to be done");
    } else if (!house_folder(cwd, &result.arena, &config.cwd, &err)) {
        fail_to_start(&result, status, &err);
    } else if (config.review == REVIEW_ASK && !hunk_dialog_open(&dialog, &err)) {
        status = fail_to_start(&result, STATUS_FAILED, &err);
    } else if (!can_start(&house, &err)) {
        fail_to_start(&result, status, &err);
    } else {
        if (config.review == REVIEW_AUTO && isatty(STDIN_FILENO))
            hunk_dialog_open(&dialog, NULL); /* for files that need consent of their own */
        if (house_uses_embedded(&house))
            fprintf(stderr, "%s\n", HOUSE_EMBEDDED_NOTE);
        status = run_turn(&result, house.planner, &config, prompt, signals, &err);
        status = status == STATUS_DONE ? report(&result) : fail_to_start(&result, status, &err);
    }
    hunk_dialog_close(&dialog);
    house_close(&house);
    close(signals);
    json_free(result.problems);
    json_free(result.notes);
    buf_free(&result.text);
    buf_free(&result.unshown);
    arena_free(&result.arena);
    return status;
}

const Command COMMAND_ASK = {
    "ask",
    "[--cwd DIR] [--model M] [--apply|--dry-run|--hunks] [--json] PROMPT",
    "one turn on a repository; prints the diff of all files",
    OPTIONS_ENGINE | OPTION(CWD) | OPTION(APPLY) | OPTION(DRY_RUN) | OPTION(HUNKS) | OPTION(JSON) |
        OPTION(VERBOSE) | OPTION(SEED) | OPTIONS_BACKUP,
    run,
};
