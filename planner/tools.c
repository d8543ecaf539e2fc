#include "planner/tools.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "planner/blocks_take.h"

enum {
    LEAST_CONTEXT = 3000, /* tokens; tools and their results need room */
    LARGEST_PART = 5,     /* tools take at most this part of the context */
    TOOL_TOKENS = 40,     /* of the text around a tool's schema and description */
    MOST_RESULT = 32 << 10,
    LEAST_RESULT = 2 << 10,
    MOST_SHOWN = 600,
    MOST_GLOB = 1024,
    TIMES_TOLD = 3, /* the same call with the same result */
};

typedef struct ToolTrace {
    uint64_t call, result;
    size_t times;
} ToolTrace;

const Tool *const TOOLS[] = {&TOOL_READ_FILES, &TOOL_SEARCH_TEXT, &TOOL_LIST_FILES, &TOOL_PROPOSE_PATCH,
                             &TOOL_RUN_SHELL};
const size_t TOOL_COUNT = sizeof TOOLS / sizeof *TOOLS;

/* ---- which there are ---- */

static bool is_offered(const Turn *turn, const Tool *tool) {
    Session *s = turn->session;
    return !tool->needs_terminal || (s->terminal.run && session_review(s) != REVIEW_PLAN);
}

/* In plan mode only what says that it reads. */
static bool is_offered_mcp(const Turn *turn, const McpTool *tool) {
    return tool->is_read_only || session_review(turn->session) != REVIEW_PLAN;
}

static void load_mcp(Turn *turn) {
    Session *s = turn->session;
    McpTool *tools = NULL;
    Str *problems = NULL;
    size_t problem_count = 0;
    if (!s->mcp)
        return;
    mcp_tools(s->mcp, &s->cancelled, &turn->arena, &tools, &turn->tools.mcp_count, &problems, &problem_count);
    turn->tools.mcp = tools;
    for (size_t i = 0; i < problem_count; i++)
        turn_note(turn, problems[i]);
}

/* As many as fit into the tokens given, in their order. */
static bool keep_fitting_mcp(Turn *turn, size_t tokens_left, Err *err) {
    McpTool *kept = ARENA_ARRAY(&turn->arena, McpTool, turn->tools.mcp_count + 1);
    size_t count = 0, offered = 0;
    for (size_t i = 0; i < turn->tools.mcp_count; i++) {
        const McpTool *tool = &turn->tools.mcp[i];
        size_t schema, description, tokens;
        if (!is_offered_mcp(turn, tool))
            continue;
        offered++;
        if (!chat_count(turn->chat, tool->input_schema, &schema, err) ||
            !chat_count(turn->chat, tool->description, &description, err))
            return false;
        tokens = schema + description + TOOL_TOKENS;
        if (tokens > tokens_left)
            continue;
        tokens_left -= tokens;
        kept[count++] = *tool;
    }
    turn->tools.mcp = kept;
    turn->tools.mcp_count = count;
    if (count < offered)
        turn_left_out(turn, str_printf(&turn->arena,
                                       "%zu of the %zu tools of MCP servers do not fit into the "
                                       "model's context.",
                                       offered - count, offered));
    return true;
}

static void describe(Turn *turn, Buf *out) {
    PromptTool *tools = ARENA_ARRAY(&turn->arena, PromptTool, TOOL_COUNT + turn->tools.mcp_count);
    size_t count = 0;
    for (size_t i = 0; i < TOOL_COUNT; i++)
        if (is_offered(turn, TOOLS[i]))
            tools[count++] =
                (PromptTool){str_of(TOOLS[i]->name), str_of(TOOLS[i]->description), str_of(TOOLS[i]->schema)};
    for (size_t i = 0; i < turn->tools.mcp_count; i++) {
        const McpTool *tool = &turn->tools.mcp[i];
        tools[count++] = (PromptTool){tool->full_name, tool->description, tool->input_schema};
    }
    prompt_tools(tools, count, out);
}

/* Together they take at most a part of the context; where not even our own fit, there are none. */
bool tools_describe(Turn *turn, Buf *out, Err *err) {
    size_t context = chat_context(turn->chat), own = 0, begin = out->len;
    if (context < LEAST_CONTEXT)
        return true;
    describe(turn, out);
    if (!chat_count(turn->chat, str_from(buf_text(out), begin), &own, err))
        return false;
    out->len = begin;
    if (own > context / LARGEST_PART)
        return true;
    load_mcp(turn);
    if (turn_is_cancelled(turn))
        return err_set(err, ERR_CANCELLED, "cancelled");
    if (!keep_fitting_mcp(turn, context / LARGEST_PART - own, err))
        return false;
    describe(turn, out);
    return true;
}

static const Tool *find_tool(const Turn *turn, Str name) {
    for (size_t i = 0; i < TOOL_COUNT; i++)
        if (str_eq(name, str_of(TOOLS[i]->name)) && is_offered(turn, TOOLS[i]))
            return TOOLS[i];
    return NULL;
}

static const McpTool *find_mcp(const Turn *turn, Str name) {
    for (size_t i = 0; i < turn->tools.mcp_count; i++)
        if (str_eq(name, turn->tools.mcp[i].full_name))
            return &turn->tools.mcp[i];
    return NULL;
}

static bool fail_unknown(Turn *turn, Str name, ToolResult *out) {
    Buf names = {0};
    for (size_t i = 0; i < TOOL_COUNT; i++)
        if (is_offered(turn, TOOLS[i]))
            buf_printf(&names, "%s%s", names.len ? ", " : "", TOOLS[i]->name);
    for (size_t i = 0; i < turn->tools.mcp_count; i++)
        buf_printf(&names, ", %.*s", STR_ARG(turn->tools.mcp[i].full_name));
    tools_fail(turn, out, "there is no tool \"%.*s\"; there are %.*s", STR_ARG(str_slice(name, 0, 80)),
               STR_ARG(buf_text(&names)));
    buf_free(&names);
    return true;
}

/* ---- what tools share ---- */

void tools_begin(Turn *turn, ToolEvent *event, ToolStatus status) {
    event->status = status;
    turn_tool(turn, event);
    if (!event->is_first)
        return;
    event->is_first = false;
    event->title = event->raw_input = event->name = (Str){0};
    event->location_count = 0;
}

bool tools_fail(Turn *turn, ToolResult *out, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    Str whole = str_of(text);
    *out = (ToolResult){.is_error = true};
    out->text = str_copy(&turn->arena, str_slice(whole, 0, utf8_complete(whole)));
    return true;
}

size_t tools_result_limit(const Turn *turn) {
    size_t limit = chat_context(turn->chat); /* bytes: about a quarter of the context */
    return limit < LEAST_RESULT ? LEAST_RESULT : limit > MOST_RESULT ? MOST_RESULT : limit;
}

Str tools_cut_middle(Str text, size_t limit, Arena *arena) {
    if (text.len <= limit)
        return text;
    size_t head = limit / 2, tail = text.len - limit / 2;
    size_t line = str_rfind_char(str_slice(text, 0, head), '\n');
    if (line != STR_NONE && line > head / 2)
        head = line + 1;
    line = str_find_char(text, '\n', tail);
    if (line != STR_NONE && line + 1 < text.len && line - tail < limit / 4)
        tail = line + 1;
    head = utf8_complete(str_slice(text, 0, head));
    while (tail < text.len && ((unsigned char)text.ptr[tail] & 0xc0) == 0x80)
        tail++;
    return str_printf(arena, "%.*s\n[... %zu bytes left out ...]\n%.*s", (int)head, text.ptr, tail - head,
                      (int)(text.len - tail), text.ptr + tail);
}

static bool is_remembered(const Session *s, Str key, bool is_allowed) {
    for (size_t i = 0; i < s->tool_answer_count; i++)
        if (str_eq(s->tool_answers[i].key, key) && s->tool_answers[i].is_allowed == is_allowed)
            return true;
    return false;
}

static void remember_answer(Session *s, Str key, bool is_allowed) {
    ToolAnswer answer = {str_copy(&s->arena, key), is_allowed};
    LIST_PUSH(&s->arena, s->tool_answers, s->tool_answer_count, s->tool_answer_capacity, answer);
}

Permission tools_ask(Turn *turn, ToolEvent *event, Str title, Str allow, Str refuse) {
    Session *s = turn->session;
    pthread_mutex_lock(&s->lock);
    bool is_refused = is_remembered(s, refuse, false), is_allowed = is_remembered(s, allow, true);
    pthread_mutex_unlock(&s->lock);
    if (is_refused || is_allowed)
        return is_refused ? PERMISSION_REFUSED : PERMISSION_GIVEN;
    QuestionEvent question = {.tool = *event, .title = title, .grain = GRAIN_FILE};
    if (str_starts(allow, S("shell:")))
        question.always =
            str_printf(&turn->arena, "%.*s, whatever its arguments", STR_ARG(str_from(allow, 6)));
    tools_begin(turn, event, TOOL_PENDING);
    question.tool.is_first = false;
    question.tool.status = TOOL_PENDING;
    Decision decision = turn_ask(turn, &question);
    pthread_mutex_lock(&s->lock);
    if (decision.kind == DECISION_ALLOW_ALWAYS)
        remember_answer(s, allow, true);
    else if (decision.kind == DECISION_REJECT_ALWAYS)
        remember_answer(s, refuse, false);
    pthread_mutex_unlock(&s->lock);
    if (decision.kind == DECISION_CANCELLED)
        turn_cancel(s); /* the client withdrew the question: the turn ends */
    if (turn_is_cancelled(turn))
        return PERMISSION_STOPPED;
    is_allowed = decision.kind == DECISION_ALLOW_ONCE || decision.kind == DECISION_ALLOW_ALWAYS;
    return is_allowed ? PERMISSION_GIVEN : PERMISSION_REFUSED;
}

static void forget_file(Turn *turn, size_t i) {
    turn->file_count--;
    for (; i < turn->file_count; i++)
        turn->files[i] = turn->files[i + 1];
}

bool tools_reread(Turn *turn, Buf *news, Err *err) {
    for (size_t i = turn->file_count; i-- > 0;) { /* what is read again comes last */
        FileWork *file = turn->files[i];
        FileText now;
        Err why = {0};
        bool is_there = ws_read(turn->ws, file->path, &turn->arena, &now, &why);
        if (!is_there && why.code == ERR_CANCELLED) {
            *err = why;
            return false;
        }
        if (file->is_new ? !is_there : is_there && str_eq(now.text, file->seen.text))
            continue;
        bool is_dropped = turn->tools.taken && taken_forget(turn->tools.taken, file);
        if (is_dropped || file->is_shown)
            buf_printf(news, "%.*s has changed meanwhile%s.\n", STR_ARG(file->path.relative),
                       is_dropped ? "; the edits proposed for it before are dropped" : "");
        forget_file(turn, i);
        FileWork *fresh = is_there ? turn_file(turn, file->path.absolute, &why) : NULL;
        if (fresh)
            fresh->is_shown = file->is_shown;
    }
    return ws_list(turn->ws, &turn->arena, &turn->listing, err);
}

bool tools_glob(Str glob, Str path, Arena *arena) {
    if (glob.len > MOST_GLOB)
        return false;
    while (str_starts(glob, S("./")))
        glob = str_from(glob, 2);
    while (str_ends(glob, S("/")))
        glob = str_slice(glob, 0, glob.len - 1);
    if (glob.len == 0 || str_eq(glob, S(".")))
        return true;
    if (str_starts(path, glob) && (path.len == glob.len || path.ptr[glob.len] == '/'))
        return true;
    char *pattern = str_cstr(arena, glob), *name = str_cstr(arena, path);
    if (str_find_char(glob, '/', 0) == STR_NONE) {
        const char *slash = strrchr(name, '/');
        return fnmatch(pattern, slash ? slash + 1 : name, 0) == 0;
    }
    if (fnmatch(pattern, name, 0) == 0)
        return true;
    size_t stars = str_find(glob, S("**/"), 0); /* which may stand for no folder, too */
    if (stars == STR_NONE)
        return false;
    Str shorter = str_concat(arena, str_slice(glob, 0, stars), str_from(glob, stars + 3));
    return tools_glob(shorter, path, arena);
}

/* ---- running ---- */

static bool run_mcp(Turn *turn, const McpTool *tool, Str arguments, ToolEvent *event, ToolResult *out,
                    Err *err) {
    Session *s = turn->session;
    event->title = str_printf(&turn->arena, "%.*s: %.*s", STR_ARG(tool->server), STR_ARG(tool->name));
    event->kind = tool->is_read_only ? TOOL_FETCH : TOOL_OTHER;
    Str title =
        str_printf(&turn->arena, "Let %.*s run its tool %.*s?", STR_ARG(tool->server), STR_ARG(tool->name));
    Str key = str_printf(&turn->arena, "mcp:%.*s", STR_ARG(tool->full_name));
    switch (tools_ask(turn, event, title, key, key)) {
    case PERMISSION_STOPPED: return err_set(err, ERR_CANCELLED, "cancelled");
    case PERMISSION_REFUSED: return tools_fail(turn, out, "the user refused this call; do without it");
    case PERMISSION_GIVEN: break;
    }
    tools_begin(turn, event, TOOL_RUNNING);
    McpResult result;
    Err why = {0};
    if (!mcp_call(s->mcp, tool, arguments, &s->cancelled, &turn->arena, &result, &why)) {
        if (turn_is_cancelled(turn))
            return err_set(err, ERR_CANCELLED, "cancelled");
        return tools_fail(turn, out, "%s", why.text);
    }
    turn->tools.has_acted = true;
    Buf news = {0};
    if (!tools_reread(turn, &news, err)) {
        buf_free(&news);
        return false;
    }
    out->is_error = result.is_error;
    out->text = str_concat(
        &turn->arena, tools_cut_middle(result.text, tools_result_limit(turn), &turn->arena), buf_text(&news));
    out->shown = str_slice(result.text, 0, utf8_complete(str_slice(result.text, 0, MOST_SHOWN)));
    buf_free(&news);
    return true;
}

static bool run_checked(Turn *turn, const ToolCall *call, Json *arguments, ToolEvent *event, ToolResult *out,
                        Err *err) {
    const Tool *tool = find_tool(turn, call->name);
    const McpTool *mcp = tool ? NULL : find_mcp(turn, call->name);
    if (!tool && !mcp)
        return fail_unknown(turn, call->name, out);
    event->kind = tool ? tool->kind : TOOL_OTHER;
    Err why = {0};
    if (!tools_check_arguments(arguments, tool ? str_of(tool->schema) : mcp->input_schema, &why))
        return tools_fail(turn, out, "the call of %.*s cannot be run: %s", STR_ARG(call->name), why.text);
    if (tool)
        return tool->run(turn, arguments, event, out, err);
    Buf text = {0};
    json_print(arguments, &text);
    bool ok = run_mcp(turn, mcp, buf_copy(&text, &turn->arena), event, out, err);
    buf_free(&text);
    return ok;
}

/* A call that gives the same again and again leads nowhere: said once, then the turn ends. */
static void watch_loop(Turn *turn, const ToolCall *call, ToolResult *result) {
    uint64_t key = str_hash_more(str_hash_more(str_hash(call->name), S("\n")), call->arguments);
    uint64_t content = str_hash(result->text);
    ToolTrace *trace = NULL;
    for (size_t i = 0; i < turn->tools.trace_count && !trace; i++)
        if (turn->tools.traces[i].call == key && turn->tools.traces[i].result == content)
            trace = &turn->tools.traces[i];
    if (!trace) {
        LIST_PUSH(&turn->arena, turn->tools.traces, turn->tools.trace_count, turn->tools.trace_capacity,
                  ((ToolTrace){key, content, 0}));
        trace = &turn->tools.traces[turn->tools.trace_count - 1];
    }
    trace->times++;
    if (trace->times == TIMES_TOLD)
        result->text = str_printf(&turn->arena,
                                  "%.*s\nThis very call has given this result %d times now; calling it "
                                  "again will not help. Do something else, or answer.",
                                  STR_ARG(result->text), TIMES_TOLD);
    else if (trace->times > TIMES_TOLD)
        turn->tools.is_looping = true;
}

bool tools_run(Turn *turn, const ToolCall *call, ToolResult *out, Err *err) {
    *out = (ToolResult){0};
    ToolEvent event = {.id = turn_tool_id(turn),
                       .is_first = true,
                       .name = str_slice(call->name, 0, 128),
                       .kind = TOOL_OTHER,
                       .raw_input = call->arguments};
    event.title = event.name.len ? event.name : S("A call that cannot be read");
    bool ok = true;
    if (call->problem.len) {
        tools_fail(turn, out, "the call could not be read: %.*s", STR_ARG(call->problem));
    } else {
        Err why = {0};
        Json *arguments = json_parse(call->arguments, &why);
        ok = arguments ? run_checked(turn, call, arguments, &event, out, err)
                       : tools_fail(turn, out, "the call could not be read: %s", why.text);
        json_free(arguments);
    }
    event.status = ok && !out->is_error ? TOOL_COMPLETED : TOOL_FAILED;
    event.text = out->shown.len || !out->is_error
                     ? out->shown
                     : str_slice(out->text, 0, utf8_complete(str_slice(out->text, 0, MOST_SHOWN)));
    if (ok || !event.is_first)
        turn_tool(turn, &event);
    if (event.terminal_id.len) /* what it showed stays with the call */
        turn->session->terminal.release(turn->session->terminal.ctx, event.terminal_id);
    if (!ok)
        return false;
    watch_loop(turn, call, out);
    return true;
}
