/* A planner without a model, for tests of the protocol. The request is a list of commands, separated by ";":
 *   say TEXT | think TEXT | model NAME | bytes | plan | tool | diff | usage | read PATH | write PATH TEXT |
 * ask | hunks N | files N | run | use | shell MS LINE | title TEXT | notice TEXT | compact | wait | fail |
 * limit
 *
 * These wait for a decision and say its number, and which hunks are kept: ask, hunks (a file of N hunks),
 * files (N files in one question), run (a command), use (a tool). wait waits for a cancel. bytes says a text
 * whose characters are cut anywhere. shell runs LINE for at most MS milliseconds in the client's terminal.
 * Whatever is cancelled ends as cancelled. What was said is kept
 * while the process lives, so that sessions can be listed, loaded and forked.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "planner/planner.h"

/* One thing that happened in a kept session. */
typedef struct KeptEvent {
    TurnEventKind kind;
    Str text;
    const Attachment *attachments;
    size_t attachment_count;
} KeptEvent;

typedef struct Kept {
    struct Kept *next; /* used before this one */
    Arena arena;
    Str id, cwd, title;
    KeptEvent *events;
    size_t count, capacity, turns;
    ReviewMode review;
    double updated;
} Kept;

struct Planner {
    pthread_mutex_t lock; /* guards what is kept */
    Kept *kept;
};

struct Session {
    Planner *planner;
    Arena arena;
    Str id, cwd;
    FileIo io;
    TerminalIo terminal;
    ReviewMode review;
    ReviewGrain grain;
    bool is_terse;
    Buf model;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread, is_running, is_cancelled;
    bool is_in_use; /* by a change without a turn */
    uint64_t open_question, next_question;
    DecisionKind decision;
    uint64_t kept[256]; /* ids */
    size_t kept_count;
    bool is_decided, has_kept;

    Arena turn;
    Ask ask;
    TurnSink sink;
};

Planner *planner_open(const PlannerConfig *config, Engine *engine, Err *err) {
    (void)config, (void)engine, (void)err;
    Planner *planner = calloc(1, sizeof *planner);
    pthread_mutex_init(&planner->lock, NULL);
    return planner;
}

/* ---- what is kept; the lock is held ---- */

static Kept **find_kept(Planner *planner, Str id) {
    Kept **place = &planner->kept;
    while (*place && !str_eq((*place)->id, id))
        place = &(*place)->next;
    return place;
}

/* The one with this id, made when it is missing, in front of the others. */
static Kept *keep(Planner *planner, Str id, Str cwd) {
    static double clock = 1767225600; /* each use a second later */
    Kept **place = find_kept(planner, id), *kept = *place;
    if (kept) {
        *place = kept->next;
    } else {
        kept = calloc(1, sizeof *kept);
        kept->id = str_copy(&kept->arena, id);
        kept->title = S("");
    }
    kept->cwd = str_copy(&kept->arena, cwd);
    kept->updated = clock++;
    kept->next = planner->kept;
    return planner->kept = kept;
}

static void keep_event(Kept *kept, const TurnEvent *event) {
    Attachment *attachments = ARENA_ARRAY(&kept->arena, Attachment, event->attachment_count + 1);
    for (size_t i = 0; i < event->attachment_count; i++)
        attachments[i].uri = str_copy(&kept->arena, event->attachments[i].uri);
    KeptEvent copy = {.kind = event->kind,
                      .text = str_copy(&kept->arena, event->text),
                      .attachments = attachments,
                      .attachment_count = event->attachment_count};
    LIST_PUSH(&kept->arena, kept->events, kept->count, kept->capacity, copy);
}

static void drop_kept(Kept **place) {
    Kept *kept = *place;
    if (!kept)
        return;
    *place = kept->next;
    arena_free(&kept->arena);
    free(kept);
}

void planner_close(Planner *planner) {
    if (!planner)
        return;
    while (planner->kept)
        drop_kept(&planner->kept);
    pthread_mutex_destroy(&planner->lock);
    free(planner);
}

Session *session_open(Planner *planner, const SessionConfig *config, FileIo io, Err *err) {
    if (str_starts(config->cwd, S("/missing"))) {
        err_set(err, ERR_NOT_FOUND, "the folder %.*s is not there", STR_ARG(config->cwd));
        return NULL;
    }
    Session *session = calloc(1, sizeof *session);
    session->planner = planner;
    session->id = str_copy(&session->arena, config->id);
    session->cwd = str_copy(&session->arena, config->cwd);
    session->io = io;
    session->terminal = config->terminal;
    session->review = config->review;
    session->grain = config->grain;
    session->is_terse = config->is_terse;
    buf_str(&session->model, config->model);
    pthread_mutex_init(&session->lock, NULL);
    pthread_cond_init(&session->changed, NULL);
    pthread_mutex_lock(&planner->lock);
    Kept *kept = *find_kept(planner, session->id);
    if (kept)
        session->review = kept->review;
    else
        keep(planner, session->id, session->cwd);
    pthread_mutex_unlock(&planner->lock);
    return session;
}

void session_close(Session *session) {
    if (!session)
        return;
    turn_cancel(session);
    turn_wait(session);
    pthread_cond_destroy(&session->changed);
    pthread_mutex_destroy(&session->lock);
    buf_free(&session->model);
    arena_free(&session->turn);
    arena_free(&session->arena);
    free(session);
}

Str session_id(const Session *session) {
    return session->id;
}

void session_set_review(Session *session, ReviewMode review) {
    session->review = review;
    pthread_mutex_lock(&session->planner->lock);
    Kept *kept = *find_kept(session->planner, session->id);
    if (kept)
        kept->review = review;
    pthread_mutex_unlock(&session->planner->lock);
}

SessionOptions session_options(Session *session) {
    return (SessionOptions){.review = session->review,
                            .grain = session->grain,
                            .is_terse = session->is_terse,
                            .model = buf_text(&session->model)};
}

void session_set_grain(Session *session, ReviewGrain grain) {
    session->grain = grain;
}

void session_set_terse(Session *session, bool is_terse) {
    session->is_terse = is_terse;
}

void session_set_news(Session *session, TurnSink sink) {
    (void)session, (void)sink;
}

void session_set_model(Session *session, Str model) {
    buf_clear(&session->model);
    buf_str(&session->model, model);
}

bool session_is_loading(Session *session) {
    (void)session;
    return false;
}

bool session_is_busy(Session *session) {
    pthread_mutex_lock(&session->lock);
    bool is_busy = session->is_running;
    pthread_mutex_unlock(&session->lock);
    return is_busy;
}

static void record(Session *session, TurnEvent event) {
    pthread_mutex_lock(&session->planner->lock);
    Kept *kept = *find_kept(session->planner, session->id);
    bool is_sample = event.kind == TURN_PLAN || (event.kind == TURN_TOOL && event.tool->is_first);
    if (kept &&
        (is_sample || event.kind == TURN_USER || event.kind == TURN_TEXT || event.kind == TURN_THOUGHT))
        keep_event(kept, &event);
    pthread_mutex_unlock(&session->planner->lock);
}

static void tell(Session *session, TurnEvent event) {
    record(session, event);
    session->sink.event(session->sink.ctx, &event);
}

static void say(Session *session, TurnEventKind kind, Str text) {
    tell(session, (TurnEvent){.kind = kind, .text = text});
}

static bool is_cancelled(Session *session) {
    pthread_mutex_lock(&session->lock);
    bool is = session->is_cancelled;
    pthread_mutex_unlock(&session->lock);
    return is;
}

static void wait_for_cancel(Session *session) {
    pthread_mutex_lock(&session->lock);
    while (!session->is_cancelled)
        pthread_cond_wait(&session->changed, &session->lock);
    pthread_mutex_unlock(&session->lock);
}

static ToolDiff sample_diff(Session *session) {
    return (ToolDiff){.path = str_printf(&session->turn, "%.*s/a.c", STR_ARG(session->cwd)),
                      .relative = S("a.c"),
                      .old_text = S("return 0;\n"),
                      .new_text = S("return 1;\n"),
                      .hunk_count = 1,
                      .unified = S("")};
}

static void tell_tool(Session *session, bool with_diff) {
    ToolDiff diff = sample_diff(session);
    ToolLocation location = {.path = diff.path, .line = 1};
    ToolEvent first = {.id = S("call-1"),
                       .is_first = true,
                       .title = S("Edit a.c"),
                       .kind = TOOL_EDIT,
                       .status = TOOL_RUNNING,
                       .locations = &location,
                       .location_count = 1,
                       .text = S(""),
                       .diffs = &diff,
                       .diff_count = with_diff};
    ToolEvent last = {.id = S("call-1"),
                      .title = S(""),
                      .kind = TOOL_EDIT,
                      .status = TOOL_COMPLETED,
                      .text = S("because it was asked")};
    tell(session, (TurnEvent){.kind = TURN_TOOL, .tool = &first});
    tell(session, (TurnEvent){.kind = TURN_TOOL, .tool = &last});
}

/* Asks, waits, says what was decided. */
static void ask_question(Session *session, QuestionEvent question) {
    pthread_mutex_lock(&session->lock);
    question.id = session->open_question = ++session->next_question;
    session->is_decided = false;
    pthread_mutex_unlock(&session->lock);
    tell(session, (TurnEvent){.kind = TURN_QUESTION, .question = &question});
    pthread_mutex_lock(&session->lock);
    while (!session->is_decided && !session->is_cancelled)
        pthread_cond_wait(&session->changed, &session->lock);
    session->open_question = 0;
    bool is_decided = session->is_decided;
    Buf said = {0};
    buf_printf(&said, "decision %d", (int)session->decision);
    for (size_t i = 0; session->has_kept && i < session->kept_count; i++)
        buf_printf(&said, "%s%llu", i ? "," : " keeps ", (unsigned long long)session->kept[i]);
    pthread_mutex_unlock(&session->lock);
    if (is_decided)
        say(session, TURN_TEXT, buf_copy(&said, &session->turn));
    buf_free(&said);
}

static void ask_permission(Session *session) {
    ToolDiff diff = sample_diff(session);
    ask_question(session, (QuestionEvent){.title = S("Apply 1 change to a.c?"),
                                          .grain = GRAIN_FILE,
                                          .tool = {.id = S("call-1"),
                                                   .is_first = true,
                                                   .title = S("Edit a.c"),
                                                   .kind = TOOL_EDIT,
                                                   .text = S(""),
                                                   .diffs = &diff,
                                                   .diff_count = 1}});
}

/* One file of n hunks, whose ids are 1 to n; every fifth line is changed. */
static void ask_hunks(Session *session, size_t n) {
    Buf old_text = {0}, new_text = {0};
    uint64_t *ids = ARENA_ARRAY(&session->turn, uint64_t, n + 1);
    ToolHunk *hunks = ARENA_ARRAY(&session->turn, ToolHunk, n + 1);
    for (size_t i = 0; i < n; i++) {
        ids[i] = i + 1;
        hunks[i] = (ToolHunk){
            .line = i * 5 + 1, .line_count = 1, .old_begin = old_text.len, .new_begin = new_text.len};
        buf_printf(&old_text, "old %zu\n", i + 1);
        buf_printf(&new_text, "new %zu\n", i + 1);
        hunks[i].old_end = old_text.len;
        hunks[i].new_end = new_text.len;
        buf_printf(&old_text, "a%zu\nb%zu\nc%zu\nd%zu\n", i, i, i, i);
        buf_printf(&new_text, "a%zu\nb%zu\nc%zu\nd%zu\n", i, i, i, i);
    }
    ToolDiff diff = sample_diff(session);
    diff.old_text = buf_copy(&old_text, &session->turn);
    diff.new_text = buf_copy(&new_text, &session->turn);
    diff.hunk_ids = ids;
    diff.hunks = hunks;
    diff.hunk_count = n;
    buf_free(&old_text);
    buf_free(&new_text);
    ask_question(session, (QuestionEvent){.title = S("Apply the changes to a.c?"),
                                          .grain = GRAIN_HUNK,
                                          .tool = {.id = S("call-1"),
                                                   .title = S("Edit a.c"),
                                                   .kind = TOOL_EDIT,
                                                   .text = S(""),
                                                   .diffs = &diff,
                                                   .diff_count = 1}});
}

static void ask_files(Session *session, size_t n) {
    ToolDiff *diffs = ARENA_ARRAY(&session->turn, ToolDiff, n + 1);
    for (size_t i = 0; i < n; i++) {
        diffs[i] = sample_diff(session);
        diffs[i].path = str_printf(&session->turn, "%.*s/f%zu.c", STR_ARG(session->cwd), i);
    }
    ask_question(session, (QuestionEvent){.title = S("Apply the changes to the files?"),
                                          .grain = GRAIN_TURN,
                                          .tool = {.id = S("call-1"),
                                                   .title = S("Change files"),
                                                   .kind = TOOL_EDIT,
                                                   .text = S(""),
                                                   .diffs = diffs,
                                                   .diff_count = n}});
}

static void ask_use(Session *session, ToolKind kind, const char *title) {
    ask_question(
        session,
        (QuestionEvent){
            .title = str_of(title),
            .grain = GRAIN_FILE,
            .always = kind == TOOL_EXECUTE ? S("make, whatever its arguments") : S(""),
            .tool = {
                .id = S("call-2"), .is_first = true, .title = str_of(title), .kind = kind, .text = S("")}});
}

static void tell_compaction(Session *session) {
    Compaction compaction = {.id = S("c-1"), .summary = S(""), .error = S("")};
    tell(session, (TurnEvent){.kind = TURN_COMPACTION, .compaction = &compaction});
    compaction.status = COMPACTION_COMPLETED;
    compaction.summary = S("We changed a.c.");
    tell(session, (TurnEvent){.kind = TURN_COMPACTION, .compaction = &compaction});
}

static void use_file(Session *session, Str command) {
    Err err = {0};
    Str rest = str_trim(str_from(command, str_find_char(command, ' ', 0)));
    if (str_starts(command, S("read"))) {
        Str text;
        if (session->io.read(session->io.ctx, rest, &session->turn, &text, &err)) {
            say(session, TURN_TEXT, S("read: "));
            say(session, TURN_TEXT, text);
            return;
        }
    } else {
        size_t space = str_find_char(rest, ' ', 0);
        if (!session->io.write) {
            err_set(&err, ERR_UNSUPPORTED, "no write method");
        } else if (session->io.write(session->io.ctx, str_slice(rest, 0, space), str_from(rest, space + 1),
                                     &err)) {
            say(session, TURN_TEXT, S("written"));
            return;
        }
    }
    say(session, TURN_TEXT, str_printf(&session->turn, "%s: %s", err_name(err.code), err.text));
}

typedef struct ShellTool {
    Session *session;
    ToolEvent event;
} ShellTool;

static void shell_started(void *ctx, Str terminal_id) {
    ShellTool *tool = ctx;
    tool->event.terminal_id = str_copy(&tool->session->turn, terminal_id);
    tell(tool->session, (TurnEvent){.kind = TURN_TOOL, .tool = &tool->event});
    tool->event.is_first = false;
}

static void run_shell(Session *session, Str rest) {
    if (!session->terminal.run) {
        say(session, TURN_TEXT, S("no terminal"));
        return;
    }
    ShellCommand command = {.cwd = session->cwd, .timeout_ms = atof(str_cstr(&session->turn, rest))};
    command.line = str_from(rest, str_find_char(rest, ' ', 0) + 1);
    ShellTool tool = {session, {.id = S("call-3"), .is_first = true, .title = command.line}};
    tool.event.kind = TOOL_EXECUTE;
    tool.event.status = TOOL_RUNNING;
    ShellResult result;
    Err err = {0};
    bool ok = session->terminal.run(session->terminal.ctx, &command, shell_started, &tool, &session->turn,
                                    &result, &err);
    tool.event.status = ok ? TOOL_COMPLETED : TOOL_FAILED;
    tell(session, (TurnEvent){.kind = TURN_TOOL, .tool = &tool.event});
    if (tool.event.terminal_id.len)
        session->terminal.release(session->terminal.ctx, tool.event.terminal_id);
    if (!ok)
        say(session, TURN_TEXT, str_printf(&session->turn, "%s: %s", err_name(err.code), err.text));
    else
        say(session, TURN_TEXT,
            str_printf(&session->turn, "%s%d%.*s: %.*s", result.is_timed_out ? "late " : "",
                       result.has_exit_code ? result.exit_code : -1, STR_ARG(result.signal),
                       STR_ARG(result.output)));
}

static void run_command(Session *session, Str command, TurnDone *done) {
    static const PlanEntry PLAN[] = {{STR_INIT("look"), PLAN_COMPLETED}, {STR_INIT("edit"), PLAN_ACTIVE}};
    static const TurnUsage USAGE = {.context_used = 12, .context_size = 8192};
    if (str_starts(command, S("say ")))
        say(session, TURN_TEXT, str_from(command, 4));
    else if (str_starts(command, S("model ")))
        session_set_model(session, str_from(command, 6));
    else if (str_starts(command, S("think ")))
        say(session, TURN_THOUGHT, str_from(command, 6));
    else if (str_eq(command, S("bytes")))
        for (Str s = S("h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80!"); s.len; s = str_from(s, 1))
            say(session, TURN_TEXT, str_slice(s, 0, 1));
    else if (str_eq(command, S("plan")))
        tell(session, (TurnEvent){.kind = TURN_PLAN, .plan = PLAN, .plan_count = 2});
    else if (str_eq(command, S("tool")) || str_eq(command, S("diff")))
        tell_tool(session, str_eq(command, S("diff")));
    else if (str_eq(command, S("usage")))
        tell(session, (TurnEvent){.kind = TURN_USAGE, .usage = &USAGE});
    else if (str_starts(command, S("read ")) || str_starts(command, S("write ")))
        use_file(session, command);
    else if (str_starts(command, S("shell ")))
        run_shell(session, str_from(command, 6));
    else if (str_eq(command, S("ask")))
        ask_permission(session);
    else if (str_starts(command, S("hunks ")))
        ask_hunks(session, (size_t)atoi(str_cstr(&session->turn, str_from(command, 6))));
    else if (str_starts(command, S("files ")))
        ask_files(session, (size_t)atoi(str_cstr(&session->turn, str_from(command, 6))));
    else if (str_eq(command, S("run")))
        ask_use(session, TOOL_EXECUTE, "Run `make`?");
    else if (str_eq(command, S("use")))
        ask_use(session, TOOL_OTHER, "Use the tool clock?");
    else if (str_starts(command, S("title ")))
        say(session, TURN_TITLE, str_from(command, 6));
    else if (str_starts(command, S("notice "))) {
        Notice notice = {.level = NOTICE_WARNING, .title = str_from(command, 7), .description = S("why")};
        tell(session, (TurnEvent){.kind = TURN_NOTICE, .notice = &notice});
    } else if (str_eq(command, S("compact")))
        tell_compaction(session);
    else if (str_eq(command, S("wait")))
        wait_for_cancel(session);
    else if (str_eq(command, S("limit")))
        done->stop = TURN_STOP_MAX_TOKENS;
    else if (str_eq(command, S("mode")))
        say(session, TURN_TEXT,
            str_printf(&session->turn, "mode %d model %.*s", (int)session->review,
                       STR_ARG(buf_text(&session->model))));
    else if (str_eq(command, S("fail"))) {
        done->stop = TURN_STOP_FAILED;
        err_set(&done->error, ERR_LIMIT, "the prompt does not fit");
    } else
        say(session, TURN_TEXT, command);
}

static void begin(Session *session) {
    pthread_mutex_lock(&session->planner->lock);
    Kept *kept = keep(session->planner, session->id, session->cwd);
    bool is_first = kept->turns++ == 0 && !kept->title.len;
    if (is_first)
        kept->title = str_copy(&kept->arena, str_slice(session->ask.text, 0, 60));
    Str title = kept->title;
    pthread_mutex_unlock(&session->planner->lock);
    record(session, (TurnEvent){.kind = TURN_USER,
                                .text = session->ask.text,
                                .attachments = session->ask.attachments,
                                .attachment_count = session->ask.attachment_count});
    if (is_first)
        tell(session, (TurnEvent){.kind = TURN_TITLE, .text = title});
}

static void *run_turn(void *ctx) {
    Session *session = ctx;
    begin(session);
    TurnDone done = {.stop = TURN_STOP_END, .unified_diff = S(""), .backup_id = S("")};
    for (Str rest = session->ask.text; rest.len && !is_cancelled(session);) {
        size_t end = str_find_char(rest, ';', 0);
        run_command(session, str_trim(str_slice(rest, 0, end)), &done);
        rest = end == STR_NONE ? S("") : str_from(rest, end + 1);
    }
    for (size_t i = 0; i < session->ask.attachment_count; i++) {
        const Attachment *attachment = &session->ask.attachments[i];
        say(session, TURN_TEXT,
            str_printf(&session->turn, "[%.*s|%.*s]", STR_ARG(attachment->uri), STR_ARG(attachment->text)));
    }
    if (is_cancelled(session))
        done.stop = TURN_STOP_CANCELLED;
    tell(session, (TurnEvent){.kind = TURN_DONE, .done = &done});
    pthread_mutex_lock(&session->lock);
    session->is_running = false;
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
    return NULL;
}

bool turn_start(Session *session, const Ask *ask, TurnSink sink, Err *err) {
    pthread_mutex_lock(&session->lock);
    bool is_busy = session->is_running || session->is_in_use;
    pthread_mutex_unlock(&session->lock);
    if (is_busy)
        return err_set(err, ERR_CONFLICT, "a turn is running");
    turn_wait(session);
    arena_free(&session->turn);
    session->ask =
        (Ask){.text = str_copy(&session->turn, ask->text), .attachment_count = ask->attachment_count};
    Attachment *copies = ARENA_ARRAY(&session->turn, Attachment, ask->attachment_count + 1);
    for (size_t i = 0; i < ask->attachment_count; i++) {
        copies[i] = ask->attachments[i];
        copies[i].uri = str_copy(&session->turn, copies[i].uri);
        copies[i].text = str_copy(&session->turn, copies[i].text);
    }
    session->ask.attachments = copies;
    session->sink = sink;
    session->is_cancelled = false;
    session->is_running = session->has_thread = true;
    return pthread_create(&session->thread, NULL, run_turn, session) == 0;
}

bool turn_answer(Session *session, uint64_t question, const Decision *decision) {
    pthread_mutex_lock(&session->lock);
    bool is_open = session->open_question == question && !session->is_decided;
    if (is_open) {
        session->is_decided = true;
        session->decision = decision->kind;
        session->has_kept = decision->keep_ids != NULL;
        session->kept_count = 0;
        for (size_t i = 0; session->has_kept && i < decision->keep_count && i < 256; i++)
            session->kept[session->kept_count++] = decision->keep_ids[i];
        pthread_cond_broadcast(&session->changed);
    }
    pthread_mutex_unlock(&session->lock);
    return is_open;
}

void turn_cancel(Session *session) {
    pthread_mutex_lock(&session->lock);
    session->is_cancelled = true;
    pthread_cond_broadcast(&session->changed);
    pthread_mutex_unlock(&session->lock);
}

void turn_wait(Session *session) {
    if (session->has_thread)
        pthread_join(session->thread, NULL);
    session->has_thread = false;
}

bool planner_context(Planner *planner, Str cwd, Str request, size_t most, Arena *arena, RankedFile **out,
                     size_t *count, Err *err) {
    (void)planner, (void)cwd, (void)request, (void)most, (void)arena, (void)out, (void)count;
    return err_set(err, ERR_UNSUPPORTED, "not in the fake");
}

/* ---- kept sessions ---- */

static bool is_missing(Err *err) {
    return err_set(err, ERR_NOT_FOUND, "not in the fake");
}

bool planner_has_session(Planner *planner, Str id) {
    pthread_mutex_lock(&planner->lock);
    bool has = *find_kept(planner, id) != NULL;
    pthread_mutex_unlock(&planner->lock);
    return has;
}

Session *session_restore(Planner *planner, const SessionConfig *config, FileIo io, Err *err) {
    pthread_mutex_lock(&planner->lock);
    bool has = *find_kept(planner, config->id) != NULL;
    if (has)
        keep(planner, config->id, config->cwd);
    pthread_mutex_unlock(&planner->lock);
    if (has)
        return session_open(planner, config, io, err);
    is_missing(err);
    return NULL;
}

Session *session_fork(Planner *planner, Str source, const SessionConfig *config, FileIo io, Err *err) {
    pthread_mutex_lock(&planner->lock);
    const Kept *from = *find_kept(planner, source);
    Kept *to = from ? keep(planner, config->id, config->cwd) : NULL;
    for (size_t i = 0; to && i < from->count; i++)
        keep_event(to, &(TurnEvent){.kind = from->events[i].kind,
                                    .text = from->events[i].text,
                                    .attachments = from->events[i].attachments,
                                    .attachment_count = from->events[i].attachment_count});
    if (to) {
        to->title = str_copy(&to->arena, from->title);
        to->turns = from->turns;
        to->review = from->review;
    }
    pthread_mutex_unlock(&planner->lock);
    return session_restore(planner, config, io, err);
}

static void replay_event(Session *session, TurnSink sink, const KeptEvent *event) {
    static const PlanEntry PLAN[] = {{STR_INIT("look"), PLAN_COMPLETED}, {STR_INIT("edit"), PLAN_ACTIVE}};
    ToolDiff diff = sample_diff(session);
    ToolEvent tool = {.id = S("call-1"),
                      .is_first = true,
                      .title = S("Edit a.c"),
                      .kind = TOOL_EDIT,
                      .status = TOOL_COMPLETED,
                      .text = S("because it was asked"),
                      .diffs = &diff,
                      .diff_count = 1};
    sink.event(sink.ctx, &(TurnEvent){.kind = event->kind,
                                      .text = event->text,
                                      .attachments = event->attachments,
                                      .attachment_count = event->attachment_count,
                                      .plan = PLAN,
                                      .plan_count = 2,
                                      .tool = &tool});
}

/* Texts one by one, as they came. */
bool session_replay(Session *session, TurnSink sink, Err *err) {
    if (session_is_busy(session))
        return err_set(err, ERR_CONFLICT, "a turn is running");
    pthread_mutex_lock(&session->planner->lock);
    const Kept *kept = *find_kept(session->planner, session->id);
    for (size_t i = 0; kept && i < kept->count; i++)
        replay_event(session, sink, &kept->events[i]);
    if (kept && kept->title.len)
        sink.event(sink.ctx, &(TurnEvent){.kind = TURN_TITLE, .text = kept->title});
    pthread_mutex_unlock(&session->planner->lock);
    return true;
}

static SessionInfo info_of(const Kept *kept, Arena *arena) {
    return (SessionInfo){.id = str_copy(arena, kept->id),
                         .cwd = str_copy(arena, kept->cwd),
                         .title = str_copy(arena, kept->title),
                         .updated = kept->updated,
                         .turns = kept->turns};
}

void session_info(Session *session, Arena *arena, SessionInfo *out) {
    pthread_mutex_lock(&session->planner->lock);
    const Kept *kept = *find_kept(session->planner, session->id);
    *out = kept ? info_of(kept, arena)
                : (SessionInfo){.id = str_copy(arena, session->id), .cwd = session->cwd, .title = S("")};
    pthread_mutex_unlock(&session->planner->lock);
}

/* A cursor is the id of the last session given. */
bool planner_sessions(Planner *planner, Str cwd, Str cursor, size_t most, Arena *arena, SessionPage *out,
                      Err *err) {
    *out = (SessionPage){.next = S(""), .items = ARENA_ARRAY(arena, SessionInfo, most + 1)};
    pthread_mutex_lock(&planner->lock);
    const Kept *kept = cursor.len ? *find_kept(planner, cursor) : planner->kept;
    bool ok = kept || !cursor.len;
    Str last = S("");
    for (kept = cursor.len && kept ? kept->next : kept; kept; kept = kept->next) {
        if (!kept->turns || (cwd.len && !str_eq(kept->cwd, cwd)))
            continue;
        if (out->count == most) {
            out->next = last;
            break;
        }
        last = str_copy(arena, kept->id);
        out->items[out->count++] = info_of(kept, arena);
    }
    pthread_mutex_unlock(&planner->lock);
    return ok || err_set(err, ERR_INVALID, "no such cursor");
}

bool planner_forget(Planner *planner, Str id, Err *err) {
    (void)err;
    pthread_mutex_lock(&planner->lock);
    drop_kept(find_kept(planner, id));
    pthread_mutex_unlock(&planner->lock);
    return true;
}

bool planner_set_title(Planner *planner, Str id, Str title, Arena *arena, Str *out, Err *err) {
    *out = str_copy(arena, str_slice(str_trim(title), 0, 200));
    if (!out->len)
        return err_set(err, ERR_INVALID, "an empty title");
    pthread_mutex_lock(&planner->lock);
    Kept *kept = *find_kept(planner, id);
    if (kept)
        kept->title = str_copy(&kept->arena, *out);
    pthread_mutex_unlock(&planner->lock);
    return kept || is_missing(err);
}

/* ---- what the fake has not ---- */

size_t planner_commands(const CommandInfo **out) {
    static const CommandInfo HELP = {.name = "help", .description = "Lists the commands"};
    *out = &HELP;
    return 1;
}

bool session_list_files(Session *session, Arena *arena, Str **paths, size_t *count, bool *is_truncated,
                        Err *err) {
    (void)session, (void)err;
    *paths = ARENA_ARRAY(arena, Str, 2);
    (*paths)[0] = S("a.c");
    (*paths)[1] = S("sub/\xC3\xA9.c");
    *count = 2;
    *is_truncated = true;
    return true;
}

/* bad | conflict | wait | read PATH; anything else applies to a.c. */
static bool fake_change(Session *session, Str command, Arena *arena, Applied *out, Err *err) {
    static const Str PATH = STR_INIT("a.c");
    Str text;
    *out = (Applied){S("7-abc"), &PATH, 1};
    if (str_eq(command, S("bad")))
        return err_set(err, ERR_INVALID, "line 1 is no patch");
    if (str_eq(command, S("conflict")))
        return err_set(err, ERR_CONFLICT, "hunk 1 of a.c does not apply");
    if (str_starts(command, S("read ")))
        return session->io.read(session->io.ctx, str_from(command, 5), arena, &text, err);
    if (str_eq(command, S("wait"))) {
        wait_for_cancel(session);
        return err_set(err, ERR_CANCELLED, "cancelled");
    }
    return true;
}

bool session_apply_patch(Session *session, Str patch, bool is_tolerant, bool check_only, Arena *arena,
                         Applied *out, Err *err) {
    (void)is_tolerant;
    pthread_mutex_lock(&session->lock);
    session->is_in_use = true;
    pthread_mutex_unlock(&session->lock);
    bool ok = fake_change(session, patch, arena, out, err);
    if (check_only)
        out->backup_id = S("");
    pthread_mutex_lock(&session->lock);
    session->is_in_use = false;
    pthread_mutex_unlock(&session->lock);
    return ok;
}

bool session_undo(Session *session, Str id, Arena *arena, Applied *out, Err *err) {
    if (str_eq(id, S("none")))
        return err_set(err, ERR_NOT_FOUND, "there is no backup none");
    return fake_change(session, S(""), arena, out, err);
}

void planner_stats(Planner *planner, PlannerStats *out) {
    (void)planner;
    *out = (PlannerStats){0};
}
