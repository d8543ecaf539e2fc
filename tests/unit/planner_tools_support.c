#include "tests/unit/planner_tools_support.h"

#include <stdio.h>
#include <string.h>

#include "base/os.h"

/* ---- the client ---- */

static bool fake_run(void *ctx, const ShellCommand *command,
                     void (*started)(void *started_ctx, Str terminal_id), void *started_ctx, Arena *arena,
                     ShellResult *out, Err *err) {
    ToolsHouse *h = ctx;
    (void)arena;
    h->runs++;
    buf_printf(&h->commands, "%.*s\n", STR_ARG(command->line));
    started(started_ctx, S("term-1"));
    if (h->writes) {
        Str path = str_printf(&h->arena, "%.*s/a.py", STR_ARG(h->folder));
        CHECK(os_write_file(path.ptr, str_of(h->writes), NULL));
    }
    if (h->blocks) {
        turn_cancel(h->session);
        return err_set(err, ERR_CANCELLED, "cancelled");
    }
    *out = (ShellResult){.output = str_of(h->output ? h->output : ""), .has_exit_code = true};
    return true;
}

static void fake_release(void *ctx, Str id) {
    ToolsHouse *h = ctx;
    CHECK_STR(id, S("term-1"));
    h->releases++;
    Str told = buf_text(&h->tools);
    h->was_released_early = !(str_ends(told, S(" completed\n")) || str_ends(told, S(" failed\n")));
}

static void take_tool(ToolsHouse *h, const ToolEvent *tool) {
    static const char *const STATUSES[] = {"pending", "running", "completed", "failed"};
    if (tool->kind == TOOL_EDIT)
        return;
    buf_printf(&h->tools, "%.*s|%s|%.*s|%.*s| %s\n", STR_ARG(tool->id), tool->is_first ? "first" : "",
               STR_ARG(tool->title), STR_ARG(tool->terminal_id), STATUSES[tool->status]);
}

static void take_done(ToolsHouse *h, const TurnDone *done) {
    Buf all = {0};
    h->done = *done;
    h->is_done = true;
    h->unified = str_copy(&h->arena, done->unified_diff);
    for (size_t i = 0; i < done->problem_count; i++)
        buf_printf(&all, "%.*s\n", STR_ARG(done->problems[i]));
    h->problems = buf_copy(&all, &h->arena);
    buf_clear(&all);
    for (size_t i = 0; i < done->note_count; i++)
        buf_printf(&all, "%.*s\n", STR_ARG(done->notes[i]));
    h->notes = buf_copy(&all, &h->arena);
    buf_free(&all);
}

static void on_event(void *ctx, const TurnEvent *event) {
    ToolsHouse *h = ctx;
    CHECK(!h->is_done);
    if (event->kind == TURN_TEXT)
        buf_str(&h->text, event->text);
    if (event->kind == TURN_TOOL)
        take_tool(h, event->tool);
    if (event->kind == TURN_TOOL && event->tool->status == TOOL_RUNNING && h->cancels_when_running)
        turn_cancel(h->session);
    if (event->kind == TURN_DONE)
        take_done(h, event->done);
    if (event->kind != TURN_QUESTION)
        return;
    h->questions++;
    Decision decision = {.kind = h->decision};
    if (decision.kind == DECISION_CANCELLED && !h->is_polite)
        turn_cancel(h->session);
    else
        CHECK(turn_answer(h->session, event->question->id, &decision));
}

/* ---- the house ---- */

void tools_put_file(ToolsHouse *h, const char *name, const char *text) {
    Str path = str_printf(&h->arena, "%.*s/%s", STR_ARG(h->folder), name);
    CHECK(os_write_file(path.ptr, str_of(text), NULL));
}

void tools_check_file(ToolsHouse *h, const char *name, const char *expected) {
    Err err = {0};
    Str text, path = str_printf(&h->arena, "%.*s/%s", STR_ARG(h->folder), name);
    CHECK_OK(os_read_file(path.ptr, 1 << 20, &h->arena, &text, &err), err);
    CHECK_STR(text, str_of(expected));
}

void tools_house_open(ToolsHouse *h, const char *script, ReviewMode review) {
    Err err = {0};
    Str tmp = str_of(test_tmp());
    h->folder = str_printf(&h->arena, "%.*s/project", STR_ARG(tmp));
    CHECK_OK(os_make_dirs(h->folder.ptr, &err), err);
    Str file = str_printf(&h->arena, "%.*s/model.txt", STR_ARG(tmp));
    CHECK_OK(os_write_file(file.ptr, str_of(script), &err), err);
    EngineConfig config = {.default_model = str_printf(&h->arena, "script:%.*s", STR_ARG(file))};
    h->engine = engine_open(&config, &err);
    CHECK_OK(h->engine != NULL, err);
    h->planner = planner_open(&h->config, h->engine, &err);
    tools_put_file(h, "a.py", "def one():\n    return 1\n\n\ndef two():\n    return 2\n");
    tools_put_file(h, ".gitignore", "secret.txt\n");
    tools_put_file(h, "secret.txt", "token\n");
    SessionConfig session = {.id = S("s"), .cwd = h->folder, .review = review, .grain = GRAIN_FILE};
    if (h->has_terminal)
        session.terminal = (TerminalIo){h, fake_run, fake_release};
    Str server_switch = str_of(h->server);
    McpServer server = {.name = S("fake"), .command = S(MUX_BINARY_DIR "/mcp_server")};
    server.args = &server_switch;
    server.arg_count = server_switch.len > 0;
    session.mcp_servers = &server;
    session.mcp_server_count = h->server != NULL;
    h->session = session_open(h->planner, &session, file_io_disk(), &err);
    CHECK_OK(h->session != NULL, err);
}

void tools_house_ask(ToolsHouse *h, Ask ask) {
    Err err = {0};
    h->is_done = false;
    CHECK_OK(turn_start(h->session, &ask, (TurnSink){h, on_event}, &err), err);
    turn_wait(h->session);
    CHECK(h->is_done);
}

void tools_house_turn(ToolsHouse *h, const char *prompt) {
    tools_house_ask(h, (Ask){.text = str_of(prompt)});
}

void tools_house_close(ToolsHouse *h) {
    session_close(h->session);
    planner_close(h->planner);
    engine_close(h->engine);
    buf_free(&h->text);
    buf_free(&h->tools);
    buf_free(&h->commands);
    arena_free(&h->arena);
}

void tools_check_end(const ToolsHouse *h, TurnStop stop) {
    CHECK_MSG(h->done.stop == stop, "stop %d: %s", (int)h->done.stop, h->done.error.text);
}
