/* The requests of our own: _mux/ping, health, stats, list_files, apply_patch, undo; and updates that no turn
 * of the fake planner tells. */
#include <stdio.h>
#include <string.h>

#include "acp/methods/methods.h"
#include "acp/task.h"
#include "acp/v1.h"
#include "tests/fakes/client.h"
#include "tests/runner.h"

#define NO_FILES "{}"
#define ALL_FILES "{\"fs\":{\"readTextFile\":true,\"writeTextFile\":true}}"

static void request(TestClient *client, const char *id, const char *method, const char *params) {
    client_send(client, str_printf(&client->arena, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"%s\"%s%s}",
                                   id, method, params ? ",\"params\":" : "", params ? params : "")
                            .ptr);
}

/* Params with the session's id in front; more: further members, with a comma in front, or empty. */
static void request_in(TestClient *client, const char *id, const char *method, const char *session,
                       const char *more) {
    request(client, id, method, str_printf(&client->arena, "{\"sessionId\":\"%s\"%s}", session, more).ptr);
}

static Json *answer(TestClient *client, const char *id) {
    Json *message = client_answer(client, id);
    CHECK_MSG(message != NULL, "no answer to %s", id);
    return message;
}

static void check_result(TestClient *client, const char *id, const char *expected) {
    Json *message = answer(client, id);
    Buf text = {0};
    const Json *result = json_find(message, "result");
    json_print(result ? result : message, &text);
    CHECK_STR(buf_text(&text), str_of(expected));
    buf_free(&text);
    json_free(message);
}

/* key and value: of the error's data; key NULL: not looked at. */
static void check_refused(TestClient *client, const char *id, int code, const char *key, const char *value) {
    Json *message = answer(client, id);
    const Json *error = json_find(message, "error");
    CHECK_INT(json_int(error, "code", 0), code);
    CHECK(json_str(error, "message").len > 0);
    if (key)
        CHECK_STR(json_str(json_find(error, "data"), key), str_of(value));
    json_free(message);
}

static const char *another_session(TestClient *client, const char *id) {
    request(client, id, "session/new", "{\"cwd\":\"/tmp\",\"mcpServers\":[]}");
    Json *message = answer(client, id);
    const char *session = str_cstr(&client->arena, json_str(json_find(message, "result"), "sessionId"));
    CHECK(*session);
    json_free(message);
    return session;
}

static bool is_method(Str name) {
    for (size_t i = 0; i < ACP_METHOD_COUNT; i++)
        if (ACP_METHODS[i]->kind == METHOD_REQUEST && str_eq(name, str_of(ACP_METHODS[i]->name)))
            return true;
    return false;
}

/* All that are offered are there, and all that are there are offered. */
static void test_advertised(void) {
    TestClient client;
    client_open(&client, NULL);
    request(&client, "1", "initialize", "{\"protocolVersion\":1}");
    Json *message = answer(&client, "1");
    const Json *capabilities = json_find(json_find(message, "result"), "agentCapabilities");
    const Json *mux = json_find(json_find(capabilities, "_meta"), "mux");
    CHECK(json_str(mux, "version").len > 0);
    const Json *methods = json_find(mux, "methods");
    JSON_EACH(method, methods) {
        CHECK(is_method(json_str_value(method)));
    }
    size_t own = 0;
    for (size_t i = 0; i < ACP_METHOD_COUNT; i++)
        own += ACP_METHODS[i]->name[0] == '_';
    CHECK_INT(json_len(methods), own);
    json_free(message);
    CHECK_INT(client_end(&client), 0);
}

static void test_ping(void) {
    TestClient client;
    client_open(&client, NULL);
    request(&client, "1", "_mux/ping", NULL); /* even before initialize */
    check_result(&client, "1", "{}");
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    request_in(&client, "2", "session/prompt", session,
               ",\"prompt\":[{\"type\":\"text\",\"text\":\"wait\"}]");
    request_in(&client, "3", "_mux/apply_patch", another_session(&client, "9"), ",\"patch\":\"wait\"");
    for (int i = 0; i < 20; i++) { /* nothing that runs holds it up */
        request(&client, "\"p\"", "_mux/ping", "{\"extra\":[1]}");
        check_result(&client, "\"p\"", "{}");
    }
    request(&client, "4", "_mux/pong", NULL);
    check_refused(&client, "4", RPC_METHOD_NOT_FOUND, NULL, NULL);
    CHECK_INT(client_end(&client), 0);
}

static void test_health(void) {
    TestClient client;
    client_open(&client, NULL);
    for (int i = 0; i < 2; i++) { /* before and after there is a planner */
        request(&client, "1", "_mux/health", NULL);
        Json *message = answer(&client, "1");
        const Json *result = json_find(message, "result");
        CHECK_STR(json_str(result, "status"), S("ok"));
        CHECK(json_str(result, "version").len > 0);
        CHECK(json_int(result, "uptimeMs", -1) >= 0 && json_int(result, "rssBytes", 0) > 0);
        CHECK_INT(json_int(result, "runningTurns", -1), 0);
        CHECK(cJSON_IsArray(json_find(result, "models")));
        json_free(message);
        if (i == 0)
            client_start_session(&client, NO_FILES, "/tmp");
    }
    CHECK_INT(client_end(&client), 0);
}

static int64_t stat_of(TestClient *client, const char *name) {
    request(client, "\"s\"", "_mux/stats", NULL);
    Json *message = answer(client, "\"s\"");
    const Json *result = json_find(message, "result");
    CHECK(json_int(json_find(result, "planner"), "turns", -1) >= 0);
    int64_t value = json_int(json_find(result, "protocol"), name, -1);
    CHECK_MSG(value >= 0, "no counter %s", name);
    json_free(message);
    return value;
}

static void test_stats(void) {
    TestClient client;
    client_open(&client, NULL);
    CHECK_INT(stat_of(&client, "messagesIn"), 1);
    CHECK_INT(stat_of(&client, "messagesOut"), 1);
    CHECK_INT(stat_of(&client, "refusals"), 0);
    int64_t out = stat_of(&client, "bytesOut"), in = stat_of(&client, "bytesIn");
    request(&client, "1", "_nothing", NULL);
    check_refused(&client, "1", RPC_METHOD_NOT_FOUND, NULL, NULL);
    CHECK_INT(stat_of(&client, "refusals"), 1);
    CHECK(stat_of(&client, "bytesOut") > out && stat_of(&client, "bytesIn") > in);
    CHECK_INT(stat_of(&client, "openCalls"), 0);
    CHECK(stat_of(&client, "outboxBytesMost") > 0);
    CHECK_INT(client_end(&client), 0);
}

static void test_files(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    request_in(&client, "1", "_mux/list_files", session, "");
    check_result(&client, "1", "{\"paths\":[\"a.c\",\"sub/\xC3\xA9.c\"],\"truncated\":true}");
    request_in(&client, "2", "_mux/apply_patch", session, ",\"patch\":\"x\",\"tolerant\":true");
    check_result(&client, "2", "{\"applied\":true,\"paths\":[\"a.c\"],\"backupId\":\"7-abc\"}");
    request_in(&client, "3", "_mux/apply_patch", session, ",\"patch\":\"x\",\"checkOnly\":true");
    check_result(&client, "3", "{\"applied\":false,\"paths\":[\"a.c\"]}");
    request_in(&client, "4", "_mux/undo", session, ",\"id\":\"7\"");
    check_result(&client, "4", "{\"applied\":true,\"paths\":[\"a.c\"],\"backupId\":\"7-abc\"}");
    request_in(&client, "5", "_mux/undo", session, ",\"id\":null");
    check_result(&client, "5", "{\"applied\":true,\"paths\":[\"a.c\"],\"backupId\":\"7-abc\"}");
    CHECK_INT(client_end(&client), 0);
}

static void test_refusals(void) {
    static const struct {
        const char *method, *more;
        int code;
        const char *key, *value;
    } CASES[] = {
        {"_mux/apply_patch", "", RPC_INVALID_PARAMS, "field", "patch"},
        {"_mux/apply_patch", ",\"patch\":7", RPC_INVALID_PARAMS, "field", "patch"},
        {"_mux/apply_patch", ",\"patch\":\"x\",\"tolerant\":\"yes\"", RPC_INVALID_PARAMS, "field",
         "tolerant"},
        {"_mux/apply_patch", ",\"patch\":\"x\",\"checkOnly\":1", RPC_INVALID_PARAMS, "field", "checkOnly"},
        {"_mux/apply_patch", ",\"patch\":\"bad\"", RPC_INVALID_PARAMS, "field", "patch"},
        {"_mux/apply_patch", ",\"patch\":\"conflict\"", RPC_INTERNAL_ERROR, "kind", "conflict"},
        {"_mux/undo", ",\"id\":[]", RPC_INVALID_PARAMS, "field", "id"},
        {"_mux/undo", ",\"id\":\"none\"", RPC_INTERNAL_ERROR, "kind", "not found"},
    };
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        request_in(&client, "1", CASES[i].method, session, CASES[i].more);
        check_refused(&client, "1", CASES[i].code, CASES[i].key, CASES[i].value);
    }
    static const char *const METHODS[] = {"_mux/list_files", "_mux/apply_patch", "_mux/undo"};
    for (size_t i = 0; i < 3; i++) {
        request_in(&client, "1", METHODS[i], "nobody", ",\"patch\":\"x\"");
        check_refused(&client, "1", RPC_NOT_FOUND, NULL, NULL);
        request(&client, "1", METHODS[i], "{}");
        check_refused(&client, "1", RPC_INVALID_PARAMS, "field", "sessionId");
        request(&client, "1", METHODS[i], NULL);
        check_refused(&client, "1", RPC_INVALID_PARAMS, "field", "sessionId");
    }
    CHECK_INT(client_end(&client), 0);
}

/* One thing at a time in a session, whichever comes first. */
static void test_busy(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, ALL_FILES, "/tmp");
    request_in(&client, "1", "session/prompt", session,
               ",\"prompt\":[{\"type\":\"text\",\"text\":\"wait\"}]");
    request_in(&client, "2", "_mux/apply_patch", session, ",\"patch\":\"x\"");
    check_refused(&client, "2", RPC_INVALID_REQUEST, NULL, NULL);
    request_in(&client, "3", "_mux/undo", session, "");
    check_refused(&client, "3", RPC_INVALID_REQUEST, NULL, NULL);
    request_in(&client, "4", "_mux/list_files", session, ""); /* only looks */
    Json *message = answer(&client, "4");
    CHECK(json_find(message, "result"));
    json_free(message);
    CHECK_INT(client_end(&client), 0);

    client_open(&client, NULL);
    session = client_start_session(&client, ALL_FILES, "/tmp");
    const char *patch = str_printf(&client.arena, ",\"patch\":\"read %s/x\"", test_tmp()).ptr;
    request_in(&client, "1", "_mux/apply_patch", session, patch);
    Json *call = client_next(&client); /* the change has begun: it waits for the editor */
    CHECK_STR(json_str(call, "method"), S("fs/read_text_file"));
    request_in(&client, "2", "session/prompt", session,
               ",\"prompt\":[{\"type\":\"text\",\"text\":\"say x\"}]");
    check_refused(&client, "2", RPC_INVALID_REQUEST, NULL, NULL);
    request_in(&client, "3", "_mux/apply_patch", session, ",\"patch\":\"x\"");
    check_refused(&client, "3", RPC_INVALID_REQUEST, NULL, NULL);
    client_send(&client,
                str_printf(&client.arena, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":{\"content\":\"t\"}}",
                           (long long)json_int(call, "id", -1))
                    .ptr);
    json_free(call);
    check_result(&client, "1", "{\"applied\":true,\"paths\":[\"a.c\"],\"backupId\":\"7-abc\"}");
    request_in(&client, "4", "_mux/apply_patch", session, ",\"patch\":\"x\"");
    check_result(&client, "4", "{\"applied\":true,\"paths\":[\"a.c\"],\"backupId\":\"7-abc\"}");
    CHECK_INT(client_end(&client), 0);
}

/* A few at once, no more; whoever ends a session or takes a request back ends its work. */
static void test_many_and_cancelled(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *sessions[TASKS_MOST + 1];
    sessions[0] = client_start_session(&client, NO_FILES, "/tmp");
    for (int i = 1; i <= TASKS_MOST; i++)
        sessions[i] = another_session(&client, "800");
    for (int i = 0; i <= TASKS_MOST; i++)
        request_in(&client, str_printf(&client.arena, "%d", i).ptr, "_mux/apply_patch", sessions[i],
                   ",\"patch\":\"wait\"");
    check_refused(&client, str_printf(&client.arena, "%d", TASKS_MOST).ptr, RPC_INVALID_REQUEST, NULL, NULL);
    client_send(&client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"$/cancel_request\",\"params\":{\"requestId\":0}}");
    check_refused(&client, "0", RPC_CANCELLED, "kind", "cancelled");
    client_send(&client, str_printf(&client.arena,
                                    "{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":{"
                                    "\"sessionId\":\"%s\"}}",
                                    sessions[1])
                             .ptr);
    check_refused(&client, "1", RPC_CANCELLED, "kind", "cancelled");
    request_in(&client, "700", "session/close", sessions[2], "");
    check_refused(&client, "2", RPC_CANCELLED, "kind", "cancelled"); /* before the close is answered */
    check_result(&client, "700", "{}");
    request_in(&client, "701", "_mux/apply_patch", sessions[TASKS_MOST], ",\"patch\":\"x\"");
    Json *message = answer(&client, "701"); /* there is room again */
    CHECK(json_find(message, "result"));
    json_free(message);
    CHECK_INT(client_end(&client), 0); /* the end of the input ends the rest */
}

/* ---- what a turn tells beside its answer ---- */

static void check_update(TestClient *client, Json *params, const char *expected) {
    Json *message = json_object();
    json_put_str(message, "jsonrpc", S("2.0"));
    json_put_str(message, "method", S("session/update"));
    json_put(message, "params", params);
    Err err = {0};
    CHECK_OK(schema_check(client->schema, message, &err), err);
    Buf text = {0};
    json_print(json_find(params, "update"), &text);
    CHECK_STR(buf_text(&text), str_of(expected));
    buf_free(&text);
    json_free(message);
}

static void test_updates(void) {
    TestClient client;
    client_open(&client, NULL);
    Str id = S("s");
    check_update(&client, v1_notice_update(id, &(Notice){NOTICE_WARNING, S("Low"), S("Very low")}),
                 "{\"sessionUpdate\":\"notice\",\"severity\":\"warning\",\"title\":\"Low\","
                 "\"description\":\"Very low\"}");
    check_update(&client, v1_notice_update(id, &(Notice){NOTICE_INFO, S(""), S("")}),
                 "{\"sessionUpdate\":\"notice\",\"severity\":\"info\",\"title\":\"Mux\"}");
    check_update(
        &client, v1_compaction_update(id, &(Compaction){.id = S("c"), .status = COMPACTION_RUNNING}),
        "{\"sessionUpdate\":\"compaction_update\",\"compactionId\":\"c\",\"status\":\"in_progress\"}");
    check_update(&client,
                 v1_compaction_update(
                     id, &(Compaction){.id = S("c"), .status = COMPACTION_COMPLETED, .summary = S("short")}),
                 "{\"sessionUpdate\":\"compaction_update\",\"compactionId\":\"c\",\"status\":\"completed\","
                 "\"summary\":[{\"type\":\"text\",\"text\":\"short\"}]}");
    check_update(
        &client,
        v1_compaction_update(id, &(Compaction){.id = S("c"), .status = COMPACTION_FAILED, .error = S("no")}),
        "{\"sessionUpdate\":\"compaction_update\",\"compactionId\":\"c\",\"status\":\"failed\",\"error\":"
        "\"no\"}");
    check_update(&client, v1_title_update(id, S("Rename it")),
                 "{\"sessionUpdate\":\"session_info_update\",\"title\":\"Rename it\"}");
    static const CommandInfo COMMANDS[] = {{"help", "lists", NULL}, {"map", "shows", "[N]"}};
    check_update(&client, v1_commands_update(id, COMMANDS, 2),
                 "{\"sessionUpdate\":\"available_commands_update\",\"availableCommands\":[{\"name\":\"help\","
                 "\"description\":\"lists\"},{\"name\":\"map\",\"description\":\"shows\",\"input\":{\"hint\":"
                 "\"[N]\"}}]}");
    CHECK_INT(client_end(&client), 0);
}

/* A call of the model's in a terminal of the client: name, arguments as they came, the terminal first. */
static void test_tool_updates(void) {
    TestClient client;
    client_open(&client, NULL);
    ToolEvent tool = {.id = S("t"),
                      .is_first = true,
                      .title = S("Run it"),
                      .name = S("run_shell"),
                      .kind = TOOL_EXECUTE,
                      .status = TOOL_RUNNING,
                      .raw_input = S("{\"command\":\"ls\"}"),
                      .terminal_id = S("term-1"),
                      .text = S("done")};
    check_update(
        &client, v1_tool_update(S("s"), &tool),
        "{\"sessionUpdate\":\"tool_call\",\"toolCallId\":\"t\",\"title\":\"Run it\",\"name\":"
        "\"run_shell\",\"rawInput\":{\"command\":\"ls\"},\"kind\":\"execute\",\"status\":\"in_progress\","
        "\"content\":[{\"type\":\"terminal\",\"terminalId\":\"term-1\"},{\"type\":\"content\",\"content\":"
        "{\"type\":\"text\",\"text\":\"done\"}}]}");
    tool.is_first = false;
    tool.name = tool.title = tool.terminal_id = tool.text = S("");
    tool.raw_input = S("{\"command\": broken");
    tool.status = TOOL_FAILED;
    check_update(
        &client, v1_tool_update(S("s"), &tool),
        "{\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":\"t\",\"rawInput\":\"{\\\"command\\\": "
        "broken\",\"status\":\"failed\"}");
    CHECK_INT(client_end(&client), 0);
}

/* Reads up to the answer; how many config_option_updates came before. */
static size_t count_options(TestClient *client, const char *id) {
    size_t count = 0;
    for (Json *message; (message = client_next(client)); json_free(message)) {
        const Json *update = json_find(json_find(message, "params"), "update");
        Buf raw = {0};
        json_print(json_find(message, "id"), &raw);
        bool is_it = !json_find(message, "method") && str_eq(buf_text(&raw), str_of(id));
        buf_free(&raw);
        if (str_eq(json_str(update, "sessionUpdate"), S("config_option_update"))) {
            CHECK(cJSON_IsArray(json_find(update, "configOptions")));
            count++;
        }
        if (is_it) {
            json_free(message);
            return count;
        }
    }
    CHECK_MSG(false, "no answer to %s", id);
    return 0;
}

/* A turn chooses another model: the client hears of it once. */
static void test_model_follows(void) {
    static const struct {
        const char *prompt;
        size_t updates;
    } TURNS[] = {{"model other", 1}, {"say x", 0}, {"model other", 0}, {"model third;say x", 1}};
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NO_FILES, "/tmp");
    for (size_t i = 0; i < sizeof TURNS / sizeof *TURNS; i++) {
        request_in(
            &client, "1", "session/prompt", session,
            str_printf(&client.arena, ",\"prompt\":[{\"type\":\"text\",\"text\":\"%s\"}]", TURNS[i].prompt)
                .ptr);
        size_t updates = count_options(&client, "1");
        for (int j = 0; j < 2; j++) { /* the first may be answered before the turn's end is seen */
            request(&client, "2", "_mux/ping", NULL);
            updates += count_options(&client, "2");
        }
        CHECK_INT(updates, TURNS[i].updates);
    }
    CHECK_INT(client_end(&client), 0);
}

static const TestCase CASES[] = {
    {"a model chosen by a turn", test_model_follows},
    {"notices, compaction, title and commands", test_updates},
    {"calls of tools", test_tool_updates},
    {"offered in initialize", test_advertised},
    {"ping", test_ping},
    {"health", test_health},
    {"stats", test_stats},
    {"files are listed, patched, put back", test_files},
    {"what is refused, and which field", test_refusals},
    {"a busy session", test_busy},
    {"many at once, and cancelled ones", test_many_and_cancelled},
};
TEST_SUITE(ACP_EXTENSIONS_SUITE, "extensions", CASES);
