/* The program with an editor in front of it: texts are read and written through the editor, whose user takes
 * changes back, whose formatter has its own mind, and which refuses some files or never answers. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/fakes/client.h"
#include "tests/runner.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"
#define CAPABILITIES "{\"fs\":{\"readTextFile\":true,\"writeTextFile\":true},\"elicitation\":{\"form\":{}}}"

/* Its buffers are the files on disk: every write is saved. */
typedef struct Editor {
    TestClient client;
    Str work;
    const char *session;
    const char *refuses_read, *refuses_write, *ignores_write; /* parts of paths */
    const char *format;                                       /* put in front of every saved text */
    const char *form, *option;                                /* answers of its user */
    Buf said, calls;
    Str stop;
    int failed_tools;
} Editor;

static const char *path_of(Editor *editor, const char *name) {
    return str_printf(&editor->client.arena, "%.*s/%s", STR_ARG(editor->work), name).ptr;
}

static void put(Editor *editor, const char *name, const char *text) {
    Err err = {0};
    CHECK_OK(os_write_file(path_of(editor, name), str_of(text), &err), err);
}

static void check_file(Editor *editor, const char *name, const char *expected) {
    Err err = {0};
    Str text;
    CHECK_OK(os_read_file(path_of(editor, name), 1 << 20, &editor->client.arena, &text, &err), err);
    CHECK_STR(text, str_of(expected));
}

#define A_TEXT "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
#define B_TEXT "def three():\n    return 3\n"

static void editor_open(Editor *editor, const char *script, const char *option, const char *value) {
    Err err = {0};
    Arena arena = {0};
    *editor = (Editor){0};
    Str model = str_printf(&arena, "%s/model.txt", test_tmp()),
        log = str_printf(&arena, "%s/err", test_tmp());
    CHECK_OK(os_write_file(model.ptr, str_of(script), &err), err);
    Str name = str_concat(&arena, S("script:"), model);
    const char *argv[] = {PROGRAM, "--model", name.ptr, "--review", "auto", option, value, NULL};
    client_spawn(&editor->client, argv, log.ptr);
    editor->work = str_printf(&editor->client.arena, "%s/work", test_tmp());
    CHECK(mkdir(editor->work.ptr, 0700) == 0);
    put(editor, "a.py", A_TEXT);
    put(editor, "b.py", B_TEXT);
    editor->session = client_start_session(&editor->client, CAPABILITIES, editor->work.ptr);
    arena_free(&arena);
}

static void editor_close(Editor *editor) {
    CHECK_INT(client_end(&editor->client), 0);
    buf_free(&editor->said);
    buf_free(&editor->calls);
}

static bool matches(Str path, const char *part) {
    return part && str_contains(path, str_of(part));
}

static void answer(Editor *editor, const Json *call, const char *body) {
    client_send(&editor->client, str_printf(&editor->client.arena, "{\"jsonrpc\":\"2.0\",\"id\":%lld,%s}",
                                            (long long)json_int(call, "id", -1), body)
                                     .ptr);
}

static void answer_read(Editor *editor, const Json *call, Str path) {
    Str text;
    Err err = {0};
    Buf body = {0};
    if (matches(path, editor->refuses_read)) {
        answer(editor, call, "\"error\":{\"code\":-32603,\"message\":\"not allowed\"}");
    } else if (!os_read_file(path.ptr, 1 << 20, &editor->client.arena, &text, &err)) {
        answer(editor, call, "\"error\":{\"code\":-32002,\"message\":\"no such file\"}");
    } else {
        buf_cstr(&body, "\"result\":{\"content\":");
        json_print_string(text, &body);
        buf_cstr(&body, "}");
        answer(editor, call, buf_copy(&body, &editor->client.arena).ptr);
    }
    buf_free(&body);
}

static void answer_write(Editor *editor, const Json *call, Str path) {
    Err err = {0};
    Str text = json_str(json_find(call, "params"), "content");
    if (matches(path, editor->ignores_write))
        return;
    if (matches(path, editor->refuses_write)) {
        answer(editor, call, "\"error\":{\"code\":-32603,\"message\":\"not allowed\"}");
        return;
    }
    if (editor->format && !str_starts(text, str_of(editor->format)))
        text = str_concat(&editor->client.arena, str_of(editor->format), text);
    CHECK_OK(os_write_file(path.ptr, text, &err), err);
    answer(editor, call, "\"result\":null");
}

static void answer_call(Editor *editor, const Json *call) {
    Str method = json_str(call, "method");
    Str path = str_copy(&editor->client.arena, json_str(json_find(call, "params"), "path"));
    if (str_eq(method, S("fs/read_text_file")))
        answer_read(editor, call, path);
    else if (str_eq(method, S("fs/write_text_file")))
        answer_write(editor, call, path);
    else if (str_eq(method, S("elicitation/create")))
        answer(editor, call, str_printf(&editor->client.arena, "\"result\":%s", editor->form).ptr);
    else if (str_eq(method, S("session/request_permission")))
        answer(editor, call,
               str_printf(&editor->client.arena,
                          "\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"%s\"}}",
                          editor->option)
                   .ptr);
    if (json_find(call, "id"))
        buf_printf(&editor->calls, "%.*s\n", STR_ARG(method));
}

static void take_update(Editor *editor, const Json *update) {
    Str text = json_str(json_find(update, "content"), "text");
    if (str_eq(json_str(update, "sessionUpdate"), S("agent_message_chunk")))
        buf_str(&editor->said, text);
    else if (str_eq(json_str(update, "sessionUpdate"), S("agent_thought_chunk")))
        buf_printf(&editor->said, "(%.*s)", STR_ARG(text));
    editor->failed_tools += str_eq(json_str(update, "status"), S("failed"));
}

/* One prompt, with whatever the agent asks in between. */
static void turn(Editor *editor, const char *text) {
    buf_clear(&editor->said);
    buf_clear(&editor->calls);
    editor->failed_tools = 0;
    editor->stop = S("(nothing)");
    client_send(&editor->client,
                str_printf(&editor->client.arena,
                           "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"session/prompt\",\"params\":{"
                           "\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\",\"text\":\"%s\"}]}}",
                           editor->session, text)
                    .ptr);
    for (Json *message; (message = client_next(&editor->client)); json_free(message)) {
        if (json_find(message, "method")) {
            take_update(editor, json_find(json_find(message, "params"), "update"));
            answer_call(editor, message);
        } else if (json_int(message, "id", -1) == 5) {
            const Json *result = json_find(message, "result"), *error = json_find(message, "error");
            editor->stop = str_copy(&editor->client.arena,
                                    result ? json_str(result, "stopReason") : json_str(error, "message"));
            json_free(message);
            return;
        }
    }
}

#define BLOCK(path, old, new) path "\n<<<<<<< SEARCH\n" old "=======\n" new ">>>>>>> REPLACE\n"
#define CHANGE_A                                                                                             \
    BLOCK("a.py", "    return 1\n", "    return 11\n") BLOCK("a.py", "    return 2\n", "    return 22\n")
#define CHANGE_B BLOCK("b.py", "    return 3\n", "    return 33\n")

/* The user rejects one of two changes in his editor; the next prompt tells the model. */
static void test_rejected_hunk(void) {
    Editor editor;
    editor_open(&editor,
                "--- reply when: return 1\n" CHANGE_A
                "--- reply when: the user took back 1\nI see what you took back.\n--- reply\nNothing new.\n",
                NULL, NULL);
    turn(&editor, "change the values in a.py");
    CHECK_STR(editor.stop, S("end_turn"));
    check_file(&editor, "a.py", "def one():\n    return 11\n\n\ndef two():\n    return 22\n");
    put(&editor, "a.py", "def one():\n    return 11\n\n\ndef two():\n    return 2\n");
    turn(&editor, "what is next in a.py?");
    CHECK(str_contains(buf_text(&editor.said), S("I see what you took back.")));
    CHECK(str_contains(buf_text(&editor.said), S("(Since the last edit: a.py has 1 of 2 changes left.")));
    turn(&editor, "what is next in a.py?");
    CHECK(str_contains(buf_text(&editor.said), S("Nothing new.")));
    editor_close(&editor);
}

static void test_formatter(void) {
    Editor editor;
    editor_open(
        &editor,
        "--- reply when: return 3\n" CHANGE_B
        "--- reply when: the editor's formatter changed\nI see the format.\n--- reply\nNothing new.\n",
        NULL, NULL);
    editor.format = "# kept tidy\n";
    turn(&editor, "change the value in b.py");
    CHECK(str_contains(buf_text(&editor.said), S("the editor changed b.py further while saving it")));
    check_file(&editor, "b.py", "# kept tidy\ndef three():\n    return 33\n");
    turn(&editor, "what is next in b.py?");
    CHECK(str_contains(buf_text(&editor.said), S("I see the format.")));
    turn(&editor, "what is next in b.py?");
    CHECK(str_contains(buf_text(&editor.said), S("Nothing new.")));
    editor_close(&editor);
}

/* One file may not be read: the turn works with the other. */
static void test_refused_read(void) {
    Editor editor;
    editor_open(&editor, "--- reply\n" CHANGE_B, NULL, NULL);
    editor.refuses_read = "a.py";
    turn(&editor, "change the values in a.py and b.py");
    CHECK_STR(editor.stop, S("end_turn"));
    CHECK(str_contains(buf_text(&editor.said), S("the editor did not read ")) &&
          str_contains(buf_text(&editor.said), S("/a.py: not allowed")));
    check_file(&editor, "b.py", "def three():\n    return 33\n");
    editor_close(&editor);
}

/* One file may not be written: nothing is, and the turn says so. */
static void test_refused_write(void) {
    Editor editor;
    editor_open(&editor, "--- reply\n" CHANGE_A CHANGE_B, NULL, NULL);
    editor.refuses_write = "b.py";
    turn(&editor, "change the values in a.py and b.py");
    CHECK_STR(editor.stop, S("end_turn"));
    CHECK_INT(editor.failed_tools, 2);
    CHECK(str_contains(buf_text(&editor.said), S("nothing was applied: the editor did not write ")));
    check_file(&editor, "a.py", A_TEXT);
    check_file(&editor, "b.py", B_TEXT);
    editor_close(&editor);
}

static void test_unanswered_write(void) {
    Editor editor;
    editor_open(&editor, "--- reply\n" CHANGE_A CHANGE_B "--- reply\nOn it goes.\n", "--client-timeout", "1");
    editor.ignores_write = "b.py";
    turn(&editor, "change the values in a.py and b.py");
    CHECK_STR(editor.stop, S("end_turn"));
    CHECK_INT(editor.failed_tools, 2);
    CHECK(str_contains(buf_text(&editor.said), S("b.py within 1 s (--client-timeout")));
    CHECK(str_contains(buf_text(&editor.calls), S("fs/write_text_file\n")));
    check_file(&editor, "a.py", A_TEXT);
    turn(&editor, "and now?");
    CHECK(str_contains(buf_text(&editor.said), S("On it goes.")));
    editor_close(&editor);
}

static void set_mode(Editor *editor, const char *mode) {
    client_send(&editor->client,
                str_printf(&editor->client.arena,
                           "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"session/set_mode\",\"params\":{"
                           "\"sessionId\":\"%s\",\"modeId\":\"%s\"}}",
                           editor->session, mode)
                    .ptr);
    json_free(client_answer(&editor->client, "6"));
}

/* Hunks chosen in a form are what is written, and the model hears of the others. */
static void test_chosen_hunks(void) {
    Editor editor;
    editor_open(&editor,
                "--- reply when: return 1\n" CHANGE_A
                "--- reply when: the user refused 1 of the 2 changes you proposed\nI know.\n",
                "--grain", "hunk");
    set_mode(&editor, "ask");
    editor.form = "{\"action\":\"accept\",\"content\":{\"hunk_00001\":false,\"hunk_00002\":true}}";
    turn(&editor, "change the values in a.py");
    CHECK_STR(editor.stop, S("end_turn"));
    CHECK(str_contains(buf_text(&editor.calls), S("elicitation/create\n")));
    CHECK(!str_contains(buf_text(&editor.calls), S("session/request_permission\n")));
    check_file(&editor, "a.py", "def one():\n    return 1\n\n\ndef two():\n    return 22\n");
    turn(&editor, "what is next?");
    CHECK(str_contains(buf_text(&editor.said), S("I know.")));
    editor_close(&editor);
}

/* One question about both files. */
static void test_whole_turn_refused(void) {
    Editor editor;
    editor_open(&editor, "--- reply\n" CHANGE_A CHANGE_B, "--grain", "turn");
    set_mode(&editor, "ask");
    editor.option = "reject_once";
    turn(&editor, "change the values in a.py and b.py");
    CHECK_STR(editor.stop, S("end_turn"));
    size_t first = str_find(buf_text(&editor.calls), S("session/request_permission\n"), 0);
    CHECK(first != STR_NONE &&
          str_find(buf_text(&editor.calls), S("session/request_permission\n"), first + 1) == STR_NONE);
    check_file(&editor, "a.py", A_TEXT);
    check_file(&editor, "b.py", B_TEXT);
    editor_close(&editor);
}

static const TestCase CASES[] = {
    {"rejected_hunk", test_rejected_hunk},
    {"formatter", test_formatter},
    {"refused_read", test_refused_read},
    {"refused_write", test_refused_write},
    {"unanswered_write", test_unanswered_write},
    {"chosen_hunks", test_chosen_hunks},
    {"whole_turn_refused", test_whole_turn_refused},
};
TEST_SUITE(ACP_EDITOR_SUITE, "editor", CASES);
