/* run_shell: a command in the client's terminal, where the user sees it, after he allowed it. */
#include <string.h>

#include "base/utf8.h"
#include "planner/tools.h"

enum {
    MOST_OUTPUT = 16 << 10,
    ASKED_OUTPUT = 256 << 10,
    MOST_COMMAND = 8 << 10,
    MOST_SECONDS = 1800,
    MOST_TITLE = 200
};

typedef struct Started {
    Turn *turn;
    ToolEvent *event;
} Started;

static void started(void *ctx, Str terminal_id) {
    const Started *s = ctx;
    s->event->terminal_id = str_copy(&s->turn->arena, terminal_id);
    tools_begin(s->turn, s->event, TOOL_RUNNING);
}

/* Words that run what stands behind them: to allow them is to allow everything. */
static bool runs_others(Str word) {
    static const char *const WORDS[] = {
        ".",      "bash",    "builtin",  "busybox", "chroot",  "command", "dash",   "doas",
        "env",    "eval",    "exec",     "fish",    "flock",   "ionice",  "ksh",    "nice",
        "nohup",  "nsenter", "parallel", "script",  "setsid",  "sh",      "source", "ssh",
        "stdbuf", "strace",  "su",       "sudo",    "taskset", "tcsh",    "time",   "timeout",
        "trap",   "unshare", "watch",    "xargs",   "zsh"};
    size_t slash = str_rfind_char(word, '/');
    word = slash == STR_NONE ? word : str_from(word, slash + 1);
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (str_eq(word, str_of(WORDS[i])))
            return true;
    return false;
}

/* What "always" allows: the command's word with whatever arguments; where a second command could run or
 * something be written anywhere, only this very line. */
static Str command_key(Turn *turn, Str command) {
    for (size_t i = 0; i < command.len; i++)
        if (strchr(";&|<>`$(){}\n\r\\\"'*?[~#=!", command.ptr[i]))
            return str_printf(&turn->arena, "shell line:%.*s", STR_ARG(command));
    size_t end = 0;
    while (end < command.len && command.ptr[end] != ' ' && command.ptr[end] != '\t')
        end++;
    Str word = str_slice(command, 0, end);
    if (runs_others(word))
        return str_printf(&turn->arena, "shell line:%.*s", STR_ARG(command));
    return str_printf(&turn->arena, "shell:%.*s", STR_ARG(word));
}

static void print_result(Turn *turn, const ShellResult *result, double timeout_ms, Str news,
                         ToolResult *out) {
    size_t limit = tools_result_limit(turn) < MOST_OUTPUT ? tools_result_limit(turn) : MOST_OUTPUT;
    Buf text = {0};
    if (result->is_timed_out)
        buf_printf(&text, "stopped after %.0f seconds\n", timeout_ms / 1e3);
    else if (result->has_exit_code)
        buf_printf(&text, "exit code %d\n", result->exit_code);
    else
        buf_printf(&text, "ended by signal %.*s\n", STR_ARG(result->signal.len ? result->signal : S("?")));
    if (result->is_truncated)
        buf_cstr(&text, "[the beginning of the output is lost]\n");
    buf_str(&text, tools_cut_middle(result->output, limit, &turn->arena));
    if (result->output.len == 0)
        buf_cstr(&text, "[no output]");
    if (news.len)
        buf_printf(&text, "\n%.*s", STR_ARG(news));
    out->text = buf_copy(&text, &turn->arena);
    buf_free(&text);
}

static bool run_command(Turn *turn, const ShellCommand *command, ToolEvent *event, ToolResult *out,
                        Err *err) {
    const TerminalIo *terminal = &turn->session->terminal;
    Started context = {turn, event};
    ShellResult result;
    Err why = {0};
    turn->tools.has_acted = true;
    bool ok = terminal->run(terminal->ctx, command, started, &context, &turn->arena, &result, &why);
    if (turn_is_cancelled(turn) || (!ok && why.code == ERR_CANCELLED))
        return err_set(err, ERR_CANCELLED, "cancelled");
    Buf news = {0};
    bool is_read = tools_reread(turn, &news, err);
    if (is_read && ok)
        print_result(turn, &result, command->timeout_ms, buf_text(&news), out);
    else if (is_read)
        tools_fail(turn, out, "%s", why.text);
    buf_free(&news);
    return is_read;
}

/* No control characters but line ends and tabs, and none that turn the direction of text around: what the
 * user reads is what runs. */
static bool shows_as_it_is(Str line) {
    for (size_t at = 0; at < line.len;) {
        uint32_t c = utf8_next(line, &at);
        bool is_control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0);
        if (is_control || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069))
            return false;
    }
    return true;
}

static bool run(Turn *turn, const Json *arguments, ToolEvent *event, ToolResult *out, Err *err) {
    Str line = str_trim(json_str(arguments, "command"));
    int64_t seconds = json_int(arguments, "timeout_seconds", 0);
    seconds = seconds < 0 ? 0 : seconds > MOST_SECONDS ? MOST_SECONDS : seconds;
    if (line.len == 0)
        return tools_fail(turn, out, "\"command\" is empty");
    if (line.len > MOST_COMMAND)
        return tools_fail(turn, out, "the command is longer than %d bytes", MOST_COMMAND);
    if (!shows_as_it_is(line))
        return tools_fail(turn, out, "the command holds control characters, which the user could not see");
    Str shown = str_slice(line, 0, str_find_char(line, '\n', 0)); /* clients show one line of a title */
    shown = str_slice(shown, 0, utf8_complete(str_slice(shown, 0, MOST_TITLE)));
    event->title = shown.len < line.len ? str_printf(&turn->arena, "%.*s ...", STR_ARG(shown)) : shown;
    event->text = line.len > shown.len ? line : S("");
    Str title = str_printf(&turn->arena, "Run %.*s?", STR_ARG(event->title));
    switch (tools_ask(turn, event, title, command_key(turn, line), S("shell"))) {
    case PERMISSION_STOPPED: return err_set(err, ERR_CANCELLED, "cancelled");
    case PERMISSION_REFUSED:
        return tools_fail(turn, out, "the user refused to run this command; do without it");
    case PERMISSION_GIVEN: break;
    }
    event->text = S("");
    ShellCommand command = {.line = line,
                            .cwd = ws_root(turn->ws),
                            .output_limit = ASKED_OUTPUT,
                            .timeout_ms = seconds ? (double)seconds * 1e3 : 120000};
    return run_command(turn, &command, event, out, err);
}

const Tool TOOL_RUN_SHELL = {
    .name = "run_shell",
    .description = "Runs a shell command in the repository's root, once the user allowed it, and gives its "
                   "output. For builds and tests; never to edit files.",
    .schema = "{\"type\": \"object\", \"properties\": {\"command\": {\"type\": \"string\"}, "
              "\"timeout_seconds\": {\"type\": \"integer\"}}, \"required\": [\"command\"]}",
    .kind = TOOL_EXECUTE,
    .needs_terminal = true,
    .run = run,
};
