#include "acp/editor_terminal.h"

#include <stdlib.h>

#include "acp/client_call.h"

/* How long the client may take to end a command that ran too long. */
#define KILL_GRACE_MS 5000
#define TIMEOUT_MS 120000
#define OUTPUT_BYTES ((size_t)64 << 10)

/* What a late answer needs; the session may be gone by then. Freed with the peer's calls. */
typedef struct LateTerminal {
    Peer *peer;
    Str session_id;
    Arena arena;
} LateTerminal;

struct EditorTerminal {
    Peer *peer;
    Arena arena;
    Str session_id;
    ClientCalls *calls;
    Str *open; /* ids that are not released; only the turn's thread looks at them */
    size_t open_count, open_capacity;
};

EditorTerminal *editor_terminal_open(Peer *peer, Str session_id, double timeout_ms) {
    EditorTerminal *editor = calloc(1, sizeof *editor);
    if (!editor)
        abort();
    editor->peer = peer;
    editor->session_id = str_copy(&editor->arena, session_id);
    editor->calls = client_calls_open(peer, timeout_ms);
    return editor;
}

void editor_terminal_begin(EditorTerminal *editor) {
    client_calls_begin(editor->calls);
}

void editor_terminal_cancel(EditorTerminal *editor) {
    client_calls_cancel(editor->calls);
}

static Json *terminal_params(Str session_id, Str terminal_id) {
    Json *params = json_object();
    json_put_str(params, "sessionId", session_id);
    json_put_str(params, "terminalId", terminal_id);
    return params;
}

static void release(void *ctx, Str terminal_id) {
    EditorTerminal *editor = ctx;
    for (size_t i = 0; i < editor->open_count; i++)
        if (str_eq(editor->open[i], terminal_id)) {
            client_tell(editor->peer, "terminal/release", terminal_params(editor->session_id, terminal_id));
            editor->open[i] = editor->open[--editor->open_count];
            return;
        }
}

void editor_terminal_close(EditorTerminal *editor) {
    if (!editor)
        return;
    while (editor->open_count)
        release(editor, editor->open[editor->open_count - 1]);
    client_calls_close(editor->calls);
    arena_free(&editor->arena);
    free(editor);
}

/* ---- one command ---- */

static bool refused(const Json *error, const char *what, Arena *arena, Err *err) {
    Str words = client_error_text(error, arena);
    return err_set(err, ERR_DENIED, "the editor did not %s: %.*s", what, STR_ARG(words));
}

/* A terminal whose creator no longer waits: the command is stopped and the terminal released. */
static void release_late(void *ctx, const Json *result) {
    LateTerminal *late = ctx;
    Str id = json_str(result, "terminalId");
    if (id.len) {
        client_tell(late->peer, "terminal/kill", terminal_params(late->session_id, id));
        client_tell(late->peer, "terminal/release", terminal_params(late->session_id, id));
    }
}

static void free_late(void *ctx) {
    LateTerminal *late = ctx;
    Arena arena = late->arena;
    arena_free(&arena);
}

static LateTerminal *late_open(const EditorTerminal *editor) {
    Arena arena = {0};
    LateTerminal *late = ARENA_NEW(&arena, LateTerminal);
    late->peer = editor->peer;
    late->session_id = str_copy(&arena, editor->session_id);
    late->arena = arena;
    return late;
}

static bool create(EditorTerminal *editor, const ShellCommand *command, Arena *arena, Str *id, Err *err) {
    size_t limit = command->output_limit ? command->output_limit : OUTPUT_BYTES;
    Json *params = json_object();
    json_put_str(params, "sessionId", editor->session_id);
    json_put_str(params, "command", S("/bin/sh"));
    Json *args = json_put_array(params, "args");
    json_push(args, json_text(S("-c")));
    json_push(args, json_text(command->line));
    json_put_str(params, "cwd", command->cwd);
    json_put_int(params, "outputByteLimit", (int64_t)limit);
    ClientCall call = {.method = "terminal/create",
                       .params = params,
                       .late = release_late,
                       .late_ctx = late_open(editor),
                       .free_late = free_late};
    ClientAnswer answer;
    if (!client_call(editor->calls, &call, &answer, err))
        return false;
    Str given = json_str(answer.result, "terminalId");
    bool ok = given.len > 0;
    if (answer.error)
        refused(answer.error, "run the command", arena, err);
    else if (!ok)
        err_set(err, ERR_IO, "the editor's answer to terminal/create holds no terminalId");
    if (ok) {
        *id = str_copy(arena, given);
        LIST_PUSH(&editor->arena, editor->open, editor->open_count, editor->open_capacity,
                  str_copy(&editor->arena, given));
    }
    client_answer_free(&answer);
    return ok;
}

static void tell_kill(EditorTerminal *editor, Str id) {
    client_tell(editor->peer, "terminal/kill", terminal_params(editor->session_id, id));
}

static bool call_about(EditorTerminal *editor, const char *method, Str id, double timeout_ms,
                       ClientAnswer *answer, Err *err) {
    ClientCall call = {
        .method = method, .params = terminal_params(editor->session_id, id), .timeout_ms = timeout_ms};
    return client_call(editor->calls, &call, answer, err);
}

static void read_status(const Json *status, Arena *arena, ShellResult *out) {
    const Json *code = json_find(status, "exitCode");
    out->has_exit_code = cJSON_IsNumber(code);
    out->exit_code = out->has_exit_code ? (int)json_int(status, "exitCode", 0) : 0;
    out->signal = str_copy(arena, json_str(status, "signal"));
}

/* Kills the command when it runs too long; a cancel does not wait for its end. */
static bool wait_for_end(EditorTerminal *editor, Str id, double timeout_ms, Arena *arena, ShellResult *out,
                         Err *err) {
    ClientAnswer answer;
    Err why = {0};
    bool ok = call_about(editor, "terminal/wait_for_exit", id, timeout_ms, &answer, &why);
    if (!ok && why.code == ERR_LIMIT) {
        out->is_timed_out = true;
        tell_kill(editor, id);
        why = (Err){0};
        ok = call_about(editor, "terminal/wait_for_exit", id, KILL_GRACE_MS, &answer, &why);
        if (!ok && why.code == ERR_LIMIT)
            return true; /* what it wrote so far is still worth asking for */
    }
    if (!ok) {
        tell_kill(editor, id);
        *err = why;
        return false;
    }
    ok = !answer.error || refused(answer.error, "wait for the command", arena, err);
    if (ok)
        read_status(answer.result, arena, out);
    client_answer_free(&answer);
    return ok;
}

static bool read_output(EditorTerminal *editor, Str id, Arena *arena, ShellResult *out, Err *err) {
    ClientAnswer answer;
    if (!call_about(editor, "terminal/output", id, 0, &answer, err))
        return false;
    bool ok = !answer.error || refused(answer.error, "give the command's output", arena, err);
    if (ok) {
        out->output = str_copy(arena, json_str(answer.result, "output"));
        out->is_truncated = json_bool(answer.result, "truncated", false);
        const Json *status = json_find(answer.result, "exitStatus");
        if (cJSON_IsObject(status) && !out->has_exit_code && !out->signal.len)
            read_status(status, arena, out);
    }
    client_answer_free(&answer);
    return ok;
}

static bool run(void *ctx, const ShellCommand *command, void (*started)(void *started_ctx, Str terminal_id),
                void *started_ctx, Arena *arena, ShellResult *out, Err *err) {
    EditorTerminal *editor = ctx;
    *out = (ShellResult){0};
    Str id;
    if (!create(editor, command, arena, &id, err))
        return false;
    if (started)
        started(started_ctx, id);
    double timeout_ms = command->timeout_ms > 0 ? command->timeout_ms : TIMEOUT_MS;
    return wait_for_end(editor, id, timeout_ms, arena, out, err) && read_output(editor, id, arena, out, err);
}

TerminalIo editor_terminal_io(EditorTerminal *editor) {
    return (TerminalIo){.ctx = editor, .run = run, .release = release};
}
