/* Turns over the protocol, with a planner that does what the request says. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acp/v1.h"
#include "base/os.h"
#include "tests/fakes/client.h"
#include "tests/runner.h"

#define NO_FILES "{}"
#define ALL_FILES "{\"fs\":{\"readTextFile\":true,\"writeTextFile\":true}}"

static void prompt(TestClient *client, int id, const char *session, const char *text) {
    Buf quoted = {0};
    json_print_string(str_of(text), &quoted);
    client_send(client, str_printf(&client->arena,
                                   "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"session/prompt\",\"params\":{"
                                   "\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\",\"text\":%.*s}]}}",
                                   id, session, STR_ARG(buf_text(&quoted)))
                            .ptr);
    buf_free(&quoted);
}

static void cancel(TestClient *client, const char *session) {
    client_send(
        client,
        str_printf(&client->arena,
                   "{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":{\"sessionId\":\"%s\"}}",
                   session)
            .ptr);
}

/* Everything the agent says up to the answer of prompt id: message text joined into *said, stop reason or
 * error code. */
static Str finish(TestClient *client, int id, Buf *said) {
    for (Json *message; (message = client_next(client)); json_free(message)) {
        const Json *update = json_find(json_find(message, "params"), "update");
        if (str_eq(json_str(update, "sessionUpdate"), S("agent_message_chunk")))
            buf_str(said, json_str(json_find(update, "content"), "text"));
        if (json_find(message, "method") || json_int(message, "id", -1) != id)
            continue;
        Str stop = str_copy(&client->arena, json_str(json_find(message, "result"), "stopReason"));
        if (!stop.len)
            stop = str_printf(&client->arena, "error %lld",
                              (long long)json_int(json_find(message, "error"), "code", 0));
        json_free(message);
        return stop;
    }
    return S("(nothing)");
}

static void check_turn(TestClient *client, const char *session, const char *text, const char *said,
                       const char *stop) {
    Buf got = {0};
    prompt(client, 5, session, text);
    CHECK_STR(finish(client, 5, &got), str_of(stop));
    CHECK_STR(buf_text(&got), str_of(said));
    buf_free(&got);
}

static void test_stop_reasons(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    check_turn(&client, session, "say hello;say  there", "hello there", "end_turn");
    check_turn(&client, session, "say x;limit", "x", "max_tokens");
    check_turn(&client, session, "say x;fail", "x", "error -32603");
    check_turn(&client, session, "bytes", "h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80!", "end_turn");
    check_turn(&client, session, "plan;tool;diff;usage;think hm;say done", "done", "end_turn");
    CHECK_INT(client_end(&client), 0);
}

static void test_cancel(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    Buf said = {0};
    cancel(&client, session); /* idle: no effect */
    for (int i = 0; i < 20; i++) {
        prompt(&client, i, session, "say begun;wait;say never");
        cancel(&client, session);
        CHECK_STR(finish(&client, i, &said), S("cancelled"));
    }
    CHECK(!str_contains(buf_text(&said), S("never")));
    /* By the request's id. */
    prompt(&client, 50, session, "wait");
    client_send(&client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"$/cancel_request\",\"params\":{\"requestId\":51}}");
    client_send(&client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"$/cancel_request\",\"params\":{\"requestId\":50}}");
    CHECK_STR(finish(&client, 50, &said), S("cancelled"));
    buf_free(&said);
    check_turn(&client, session, "say again", "again", "end_turn");
    CHECK_INT(client_end(&client), 0);
}

static void test_busy_session(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    Buf said = {0};
    prompt(&client, 1, session, "wait");
    prompt(&client, 2, session, "say x");
    CHECK_STR(finish(&client, 2, &said), S("error -32600"));
    cancel(&client, session);
    CHECK_STR(finish(&client, 1, &said), S("cancelled"));
    buf_free(&said);
    CHECK_INT(client_end(&client), 0);
}

/* Two sessions work side by side and do not mix. */
static void test_two_sessions(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *first = client_start_session(&client, NO_FILES, "/tmp");
    const char *second = client_start_session(&client, NO_FILES, "/");
    CHECK(strcmp(first, second) != 0);
    Buf said = {0};
    prompt(&client, 1, first, "wait");
    prompt(&client, 2, second, "say two");
    CHECK_STR(finish(&client, 2, &said), S("end_turn"));
    CHECK_STR(buf_text(&said), S("two"));
    cancel(&client, second);
    cancel(&client, first);
    CHECK_STR(finish(&client, 1, &said), S("cancelled"));
    buf_free(&said);
    CHECK_INT(client_end(&client), 0);
}

/* The next request of the agent with this method; its id as text. */
static const char *next_call(TestClient *client, const char *method, Json **params) {
    for (Json *message; (message = client_next(client)); json_free(message)) {
        if (!str_eq(json_str(message, "method"), str_of(method)))
            continue;
        const char *id = str_printf(&client->arena, "%lld", (long long)json_int(message, "id", -1)).ptr;
        if (params)
            *params = cJSON_DetachItemFromObject(message, "params");
        json_free(message);
        return id;
    }
    return "(none)";
}

static void answer(TestClient *client, const char *id, const char *body) {
    client_send(client, str_printf(&client->arena, "{\"jsonrpc\":\"2.0\",\"id\":%s,%s}", id, body).ptr);
}

static void test_permission(void) {
    static const struct {
        const char *body, *said;
    } ROWS[] = {
        {"\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"allow_once\"}}", "decision 0"},
        {"\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"allow_always\"}}", "decision 1"},
        {"\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"reject_once\"}}", "decision 2"},
        {"\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"reject_always\"}}", "decision 3"},
        {"\"result\":{\"outcome\":{\"outcome\":\"cancelled\"}}", "decision 4"},
        {"\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"made up\"}}", "decision 2"},
        {"\"result\":{}", "decision 2"},
        {"\"result\":null", "decision 2"},
        {"\"error\":null", "decision 2"},
        {"\"error\":{\"code\":-32601,\"message\":\"no such method\"}", "decision 2"},
        {"\"result\":{\"outcome\":\"\\u0000\"}", "decision 2"}, /* cannot be read, but is an answer */
    };
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        Buf said = {0};
        Json *params = NULL;
        prompt(&client, 3, session, "ask");
        const char *id = next_call(&client, "session/request_permission", &params);
        CHECK_INT(json_len(json_find(params, "options")), 4);
        CHECK_STR(json_str(json_find(json_find(params, "toolCall"), "content")->child, "newText"),
                  S("return 1;\n"));
        json_free(params);
        answer(&client, id, ROWS[i].body);
        CHECK_STR(finish(&client, 3, &said), S("end_turn"));
        CHECK_STR(buf_text(&said), str_of(ROWS[i].said));
        buf_free(&said);
    }
    CHECK_INT(client_end(&client), 0);
}

/* A client that never answers does not hold up a cancel; its dialog is withdrawn. */
static void test_permission_never_answered(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    Buf said = {0};
    prompt(&client, 3, session, "ask;say never");
    const char *id = next_call(&client, "session/request_permission", NULL);
    cancel(&client, session);
    Json *withdrawn = NULL;
    next_call(&client, "$/cancel_request", &withdrawn);
    CHECK_INT(json_int(withdrawn, "requestId", -1), atoi(id));
    json_free(withdrawn);
    CHECK_STR(finish(&client, 3, &said), S("cancelled"));
    /* The late answer is ignored. */
    answer(&client, id, "\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"allow_once\"}}");
    buf_free(&said);
    check_turn(&client, session, "say on", "on", "end_turn");
    CHECK_INT(client_end(&client), 0);
}

/* ---- files through the editor ---- */

static const char *file_turn(TestClient *client, const char *session, const char *text, const char *method,
                             const char *body) {
    Buf said = {0};
    prompt(client, 4, session, text);
    const char *id = next_call(client, method, NULL);
    answer(client, id, body);
    Str stop = finish(client, 4, &said);
    const char *all = str_printf(&client->arena, "%.*s|%.*s", STR_ARG(stop), STR_ARG(buf_text(&said))).ptr;
    buf_free(&said);
    return all;
}

static void test_editor_reads(void) {
    TestClient client;
    Err err = {0};
    client_open(&client, NULL);
    const char *session = client_start_session(&client, ALL_FILES, "/tmp");
    const char *lf = str_printf(&client.arena, "%s/lf.txt", test_tmp()).ptr;
    const char *crlf = str_printf(&client.arena, "%s/crlf.txt", test_tmp()).ptr;
    CHECK_OK(os_write_file(lf, S("disk\n"), &err) && os_write_file(crlf, S("one\r\ntwo\r\n"), &err), err);
    const char *read_lf = str_printf(&client.arena, "read %s", lf).ptr;
    const char *read_crlf = str_printf(&client.arena, "read %s", crlf).ptr;
    const char *read_none = str_printf(&client.arena, "read %s/none", test_tmp()).ptr;
    static const char READ[] = "fs/read_text_file";
#define READS(command, body) str_of(file_turn(&client, session, command, READ, body))
    CHECK_STR(READS(read_lf, "\"result\":{\"content\":\"buffer\\n\"}"), S("end_turn|read: buffer\n"));
    CHECK_STR(READS(read_lf, "\"error\":{\"code\":-32002,\"message\":\"unknown\"}"),
              S("end_turn|read: disk\n"));
    CHECK(str_contains(
        READS(read_lf, "\"error\":{\"code\":-32603,\"message\":\"no\",\"data\":{\"details\":\"denied by "
                       "policy\"}}"),
        S("denied by policy")));
    CHECK(str_contains(READS(read_lf, "\"result\":{\"content\":7}"), S("holds no text")));
    CHECK_STR(READS(read_crlf, "\"result\":{\"content\":\"one\\ntwo\\n\"}"),
              S("end_turn|read: one\r\ntwo\r\n"));
    CHECK_STR(READS(read_crlf, "\"result\":{\"content\":\"one\\nnew\\n\"}"),
              S("end_turn|read: one\r\nnew\r\n"));
    CHECK(str_contains(READS(read_none, "\"error\":{\"code\":-32603,\"message\":\"ENOENT\"}"),
                       S("|not found")));
    CHECK_STR(READS(read_none, "\"result\":{\"content\":\"unsaved\"}"), S("end_turn|read: unsaved"));
    CHECK_STR(READS(read_lf, "\"error\":{\"code\":-32601,\"message\":\"gone\"}"), S("end_turn|read: disk\n"));
    check_turn(&client, session, read_lf, "read: disk\n", "end_turn"); /* not asked again */
    CHECK_INT(client_end(&client), 0);
}

static void test_editor_writes(void) {
    TestClient client;
    Err err = {0};
    client_open(&client, NULL);
    const char *session = client_start_session(&client, ALL_FILES, "/tmp");
    const char *path = str_printf(&client.arena, "%s/crlf.txt", test_tmp()).ptr;
    CHECK_OK(os_write_file(path, S("one\r\n"), &err), err);
    const char *write = str_printf(&client.arena, "write %s a\r\nb", path).ptr;
    const char *read = str_printf(&client.arena, "read %s", path).ptr;
    CHECK_STR(str_of(file_turn(&client, session, write, "fs/write_text_file", "\"result\":null")),
              S("end_turn|written"));
    CHECK(str_contains(str_of(file_turn(&client, session, write, "fs/write_text_file",
                                        "\"error\":{\"code\":-32603,\"message\":\"refused\"}")),
                       S("refused")));
    /* Once the editor has shown that it keeps this file with LF, it is given LF. */
    file_turn(&client, session, read, "fs/read_text_file", "\"result\":{\"content\":\"one\\n\"}");
    Json *params = NULL;
    Buf said = {0};
    prompt(&client, 4, session, write);
    const char *id = next_call(&client, "fs/write_text_file", &params);
    CHECK_STR(json_str(params, "content"), S("a\nb"));
    json_free(params);
    answer(&client, id, "\"result\":{}");
    CHECK_STR(finish(&client, 4, &said), S("end_turn"));
    buf_free(&said);
    CHECK_INT(client_end(&client), 0);
}

static void test_cancel_during_file_call(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, ALL_FILES, "/tmp");
    Buf said = {0};
    prompt(&client, 1, session, "read /tmp/some/file;say never");
    next_call(&client, "fs/read_text_file", NULL);
    cancel(&client, session);
    CHECK_STR(finish(&client, 1, &said), S("cancelled"));
    /* A write is given a moment, so that it is known whether it happened. */
    prompt(&client, 2, session, "write /tmp/some/file x;say never");
    const char *id = next_call(&client, "fs/write_text_file", NULL);
    cancel(&client, session);
    answer(&client, id, "\"result\":{}");
    buf_clear(&said);
    CHECK_STR(finish(&client, 2, &said), S("cancelled"));
    CHECK_STR(buf_text(&said), S("written"));
    buf_free(&said);
    CHECK_INT(client_end(&client), 0);
}

/* The client goes away while the turn waits for it, in every kind of waiting. */
static void test_client_dies(void) {
    static const char *const TURNS[] = {"wait", "ask", "read /tmp/x", "write /tmp/x y", "say a;say b"};
    for (size_t i = 0; i < sizeof TURNS / sizeof *TURNS; i++) {
        for (int both = 0; both < 2; both++) {
            TestClient client;
            client_open(&client, NULL);
            const char *session = client_start_session(&client, ALL_FILES, "/tmp");
            prompt(&client, 1, session, TURNS[i]);
            if (both) { /* its end of our output too */
                close(client.from_agent);
                client.from_agent = open("/dev/null", 0);
            }
            CHECK_INT(client_end(&client), 0);
        }
    }
}

/* ---- choices ---- */

static size_t two_models(void *ctx, const ModelCard **models) {
    static const ModelCard MODELS[] = {{.name = STR_INIT("tiny"), .is_embedded = true},
                                       {.name = STR_INIT("big")}};
    (void)ctx;
    *models = MODELS;
    return 2;
}

static Planner *a_planner(void *ctx, Err *err) {
    PlannerConfig config = {0};
    Planner **planner = ctx;
    if (!*planner)
        *planner = planner_open(&config, NULL, err);
    return *planner;
}

static Json *set_option(TestClient *client, const char *session, const char *option, const char *value) {
    client_send(
        client,
        str_printf(&client->arena,
                   "{\"jsonrpc\":\"2.0\",\"id\":30,\"method\":\"session/set_config_option\",\"params\":{"
                   "\"sessionId\":\"%s\",\"configId\":\"%s\",\"value\":\"%s\"}}",
                   session, option, value)
            .ptr);
    return client_answer(client, "30");
}

static void test_config_options(void) {
    TestClient client;
    Planner *planner = NULL;
    ConnectionHost host = {.ctx = &planner, .planner = a_planner, .models = two_models};
    client_open(&client, &host);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    check_turn(&client, session, "mode", "mode 0 model tiny", "end_turn");
    Json *reply = set_option(&client, session, "model", "big");
    const Json *options = json_find(json_find(reply, "result"), "configOptions");
    CHECK_INT(json_len(options), 3);
    CHECK_STR(json_str(options->child->next, "currentValue"), S("big"));
    json_free(reply);
    json_free(set_option(&client, session, "mode", "auto"));
    check_turn(&client, session, "mode", "mode 1 model big", "end_turn");
    reply = set_option(&client, session, "model", "none");
    CHECK_INT(json_int(json_find(reply, "error"), "code", 0), -32602);
    CHECK_STR(json_str(json_find(json_find(reply, "error"), "data"), "field"), S("value"));
    json_free(reply);
    reply = set_option(&client, session, "colour", "red");
    CHECK_STR(json_str(json_find(json_find(reply, "error"), "data"), "field"), S("configId"));
    json_free(reply);
    client_send(&client,
                str_printf(&client.arena,
                           "{\"jsonrpc\":\"2.0\",\"id\":31,\"method\":\"session/set_mode\",\"params\":{"
                           "\"sessionId\":\"%s\",\"modeId\":\"plan\"}}",
                           session)
                    .ptr);
    json_free(client_answer(&client, "31"));
    check_turn(&client, session, "mode", "mode 2 model big", "end_turn");
    CHECK_INT(client_end(&client), 0);
    planner_close(planner);
}

static void test_prompt_blocks(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    client_send(
        &client,
        str_printf(
            &client.arena,
            "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"session/prompt\",\"params\":{\"sessionId\":\"%s\","
            "\"prompt\":[{\"type\":\"text\",\"text\":\"say look at \"},"
            "{\"type\":\"resource_link\",\"uri\":\"file:///tmp/a%%20b.c#L10:20\",\"name\":\"a b.c\"},"
            "{\"type\":\"text\",\"text\":\" please\"},"
            "{\"type\":\"resource\",\"resource\":{\"uri\":\"file:///tmp/x.c\",\"text\":\"int x;\"}}]}}",
            session)
            .ptr);
    Buf said = {0};
    CHECK_STR(finish(&client, 5, &said), S("end_turn"));
    CHECK_STR(buf_text(&said),
              S("look at a b.c please[file:///tmp/a%20b.c#L10:20|][file:///tmp/x.c|int x;]"));
    buf_free(&said);
    static const struct {
        const char *block, *field;
    } BAD[] = {
        {"{\"type\":\"image\",\"data\":\"\",\"mimeType\":\"image/png\"}", "prompt[0].type"},
        {"{\"type\":\"audio\",\"data\":\"\",\"mimeType\":\"audio/wav\"}", "prompt[0].type"},
        {"{\"type\":\"text\"}", "prompt[0].text"},
        {"{\"type\":\"resource_link\",\"name\":\"x\"}", "prompt[0].uri"},
        {"{\"type\":\"resource\",\"resource\":{\"uri\":\"x:y\",\"blob\":\"\"}}", "prompt[0].resource.text"},
        {"7", "prompt[0].type"},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        client_send(&client,
                    str_printf(&client.arena,
                               "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"session/prompt\",\"params\":{"
                               "\"sessionId\":\"%s\",\"prompt\":[%s]}}",
                               session, BAD[i].block)
                        .ptr);
        Json *reply = client_answer(&client, "6");
        CHECK_INT(json_int(json_find(reply, "error"), "code", 0), -32602);
        CHECK_STR(json_str(json_find(json_find(reply, "error"), "data"), "field"), str_of(BAD[i].field));
        json_free(reply);
    }
    CHECK_INT(client_end(&client), 0);
}

static void test_session_close(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    Buf said = {0};
    prompt(&client, 1, session, "ask");
    next_call(&client, "session/request_permission", NULL);
    const char *line =
        str_printf(&client.arena,
                   "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"session/close\",\"params\":{\"sessionId\":"
                   "\"%s\"}}",
                   session)
            .ptr;
    client_send(&client, line);
    CHECK_STR(finish(&client, 1, &said), S("cancelled"));
    Json *reply = client_answer(&client, "2");
    CHECK(json_find(reply, "result"));
    json_free(reply);
    client_send(&client, line);
    reply = client_answer(&client, "2");
    CHECK_INT(json_int(json_find(reply, "error"), "code", 0), -32002);
    json_free(reply);
    buf_free(&said);
    CHECK_INT(client_end(&client), 0);
}

static void test_missing_folder(void) {
    TestClient client;
    client_open(&client, NULL);
    client_send(
        &client,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session/new\",\"params\":{\"cwd\":\"/missing/dir\","
        "\"mcpServers\":[{\"name\":\"m\",\"command\":\"x\",\"args\":[],\"env\":[]}]}}");
    Json *reply = client_next(&client);
    CHECK_INT(json_int(json_find(reply, "error"), "code", 0), -32602);
    CHECK(str_contains(json_str(json_find(reply, "error"), "message"), S("/missing/dir")));
    json_free(reply);
    CHECK_INT(client_end(&client), 0);
}

/* The protocol knows one path a diff. */
static void test_moved_file(void) {
    ToolDiff diff = {.path = S("/w/src/old.c"),
                     .relative = S("src/old.c"),
                     .moved_to = S("lib/new.c"),
                     .old_text = S("a\n"),
                     .new_text = S("b\n"),
                     .unified = S("")};
    ToolEvent tool = {.id = S("1"), .title = S("Move"), .text = S(""), .diffs = &diff, .diff_count = 1};
    Json *params = v1_tool_update(S("s"), &tool);
    const Json *content = json_find(json_find(params, "update"), "content");
    CHECK_INT(json_len(content), 2);
    const Json *from = cJSON_GetArrayItem(content, 0), *to = cJSON_GetArrayItem(content, 1);
    CHECK_STR(json_str(from, "path"), S("/w/src/old.c"));
    CHECK_STR(json_str(from, "oldText"), S("a\n"));
    CHECK_STR(json_str(from, "newText"), S(""));
    CHECK_STR(json_str(to, "path"), S("/w/lib/new.c"));
    CHECK(cJSON_IsNull(json_find(to, "oldText")));
    CHECK_STR(json_str(to, "newText"), S("b\n"));
    json_free(params);
}

static const TestCase CASES[] = {
    {"moved_file", test_moved_file},
    {"stop_reasons", test_stop_reasons},
    {"cancel", test_cancel},
    {"busy_session", test_busy_session},
    {"two_sessions", test_two_sessions},
    {"permission", test_permission},
    {"permission_never_answered", test_permission_never_answered},
    {"editor_reads", test_editor_reads},
    {"editor_writes", test_editor_writes},
    {"cancel_during_file_call", test_cancel_during_file_call},
    {"client_dies", test_client_dies},
    {"config_options", test_config_options},
    {"prompt_blocks", test_prompt_blocks},
    {"session_close", test_session_close},
    {"missing_folder", test_missing_folder},
};
TEST_SUITE(ACP_TURNS_SUITE, "turns", CASES);
