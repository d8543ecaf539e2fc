/* Sessions over the protocol: listed, loaded, resumed, forked, named, closed and deleted. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acp/wire.h"
#include "base/os.h"
#include "tests/fakes/client.h"
#include "tests/runner.h"

#define PLAIN "{}"
#define NOTICES "{\"session\":{\"notices\":{}}}"

/* Sends a request with id 7; params is a printf format. */
static void request(TestClient *client, const char *method, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void request(TestClient *client, const char *method, const char *format, ...) {
    char params[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(params, sizeof params, format, args);
    va_end(args);
    client_send(client,
                str_printf(&client->arena, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":{%s}}",
                           method, params)
                    .ptr);
}

/* Up to the answer of request 7: what came before it, one line an update. */
static Json *answer(TestClient *client, Buf *updates) {
    for (Json *message; (message = client_next(client)); json_free(message)) {
        const Json *update = json_find(json_find(message, "params"), "update");
        if (!json_find(message, "method") && json_int(message, "id", -1) == 7)
            return message;
        const Json *content = json_find(update, "content");
        Str text = json_str(update, "title");
        if (cJSON_IsArray(content) && content->child) /* a tool call's diff */
            text = json_str(content->child, "newText");
        else if (content)
            text = json_str(content, json_find(content, "uri") ? "uri" : "text");
        if (updates)
            buf_printf(updates, "%.*s %.*s\n", STR_ARG(json_str(update, "sessionUpdate")), STR_ARG(text));
    }
    test_fail(__FILE__, __LINE__, "no answer came");
}

static void check_error(TestClient *client, int code, const char *field) {
    Json *message = answer(client, NULL);
    const Json *error = json_find(message, "error"), *data = json_find(error, "data");
    CHECK_INT(json_int(error, "code", 0), code);
    if (field)
        CHECK_STR(json_str(data, "field"), str_of(field));
    if (code == RPC_NOT_FOUND)
        CHECK(json_find(data, "sessionId"));
    json_free(message);
}

static Json *result(TestClient *client, Buf *updates) {
    Json *message = answer(client, updates);
    Json *value = cJSON_DetachItemFromObject(message, "result");
    CHECK_MSG(value != NULL, "an error instead of a result: %.*s",
              STR_ARG(json_str(json_find(message, "error"), "message")));
    json_free(message);
    return value;
}

static void check_fine(TestClient *client) {
    json_free(result(client, NULL));
}

static void prompt(TestClient *client, const char *session, const char *text) {
    request(client, "session/prompt",
            "\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\",\"text\":\"%s\"},"
            "{\"type\":\"resource_link\",\"uri\":\"file:///tmp/a%%20b.c#L3:9\",\"name\":\"a b.c\"}]",
            session, text);
}

static void talk(TestClient *client, const char *session, const char *text) {
    prompt(client, session, text);
    check_fine(client);
}

static void close_session(TestClient *client, const char *session) {
    request(client, "session/close", "\"sessionId\":\"%s\"", session);
    check_fine(client);
}

static const char *new_session(TestClient *client, const char *cwd) {
    request(client, "session/new", "\"cwd\":\"%s\",\"mcpServers\":[]", cwd);
    Json *value = result(client, NULL);
    const char *id = str_cstr(&client->arena, json_str(value, "sessionId"));
    json_free(value);
    return id;
}

static void delete_session(TestClient *client, const char *session) {
    request(client, "session/delete", "\"sessionId\":\"%s\"", session);
    check_fine(client);
}

static const char REPLAYED[] = "user_message_chunk think hm;plan;diff;say done\n"
                               "user_message_chunk file:///tmp/a%20b.c#L3:9\n"
                               "agent_thought_chunk hm\n"
                               "plan \n"
                               "tool_call return 1;\n\n"
                               "agent_message_chunk done\n"
                               "agent_message_chunk [file:///tmp/a%20b.c#L3:9|]\n"
                               "session_info_update x\n";

/* ---- tests ---- */

static const char *told_session(TestClient *client) {
    const char *session = client_start_session(client, PLAIN, "/tmp");
    request(client, "session/set_title", "\"sessionId\":\"%s\",\"title\":\" x \"", session);
    Json *value = result(client, NULL);
    CHECK_STR(json_str(value, "title"), S("x"));
    json_free(value);
    talk(client, session, "think hm;plan;diff;say done");
    request(client, "session/set_mode", "\"sessionId\":\"%s\",\"modeId\":\"auto\"", session);
    check_fine(client);
    return session;
}

static void check_goes_on(TestClient *client, const char *session) {
    Json *value = result(client, NULL);
    CHECK_STR(json_str(json_find(value, "modes"), "currentModeId"), S("auto"));
    CHECK(json_len(json_find(value, "configOptions")) > 0);
    CHECK(!json_find(value, "sessionId") || !str_eq(json_str(value, "sessionId"), str_of(session)));
    json_free(value);
}

static void test_load(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = told_session(&client);
    for (int is_open = 1; is_open >= 0; is_open--) {
        Buf updates = {0};
        if (!is_open)
            close_session(&client, session);
        request(&client, "session/load", "\"sessionId\":\"%s\",\"cwd\":\"/tmp\",\"mcpServers\":[]", session);
        Json *value = result(&client, &updates);
        CHECK_STR(json_str(json_find(value, "modes"), "currentModeId"), S("auto"));
        json_free(value);
        Str told = buf_text(&updates);
        CHECK_MSG(str_ends(told, str_of(REPLAYED)), "%.*s", STR_ARG(told));
        buf_free(&updates);
    }
    Json *commands = client_next(&client); /* right behind the answer */
    CHECK_STR(json_str(json_find(json_find(commands, "params"), "update"), "sessionUpdate"),
              S("available_commands_update"));
    json_free(commands);
    talk(&client, session, "say on");
    CHECK_INT(client_end(&client), 0);
}

static void test_resume(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = told_session(&client);
    close_session(&client, session);
    request(&client, "session/prompt", "\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\",\"text\":\"x\"}]",
            session);
    check_error(&client, RPC_NOT_FOUND, NULL); /* closed */
    Buf updates = {0};
    request(&client, "session/resume", "\"sessionId\":\"%s\",\"cwd\":\"/tmp\"", session);
    json_free(result(&client, &updates));
    CHECK_INT(updates.len, 0);
    request(&client, "session/resume", "\"sessionId\":\"%s\",\"cwd\":\"/tmp\"", session);
    check_goes_on(&client, session); /* open already: no second one */
    request(&client, "session/fork", "\"sessionId\":\"%s\",\"cwd\":\"/tmp\"", session);
    Json *value = result(&client, NULL);
    const char *copy = str_cstr(&client.arena, json_str(value, "sessionId"));
    CHECK(*copy && strcmp(copy, session) != 0);
    CHECK_STR(json_str(json_find(value, "modes"), "currentModeId"), S("auto"));
    json_free(value);
    request(&client, "session/load", "\"sessionId\":\"%s\",\"cwd\":\"/tmp\",\"mcpServers\":[]", copy);
    json_free(result(&client, &updates));
    CHECK(str_contains(buf_text(&updates), S("agent_message_chunk done")));
    buf_free(&updates);
    talk(&client, copy, "say the copy");
    talk(&client, session, "say the first");
    CHECK_INT(client_end(&client), 0);
}

static void check_folder(TestClient *client, const char *session, const char *folder) {
    request(client, "session/list", "\"cwd\":null");
    Json *value = result(client, NULL);
    size_t found = 0;
    JSON_EACH(item, json_find(value, "sessions")) {
        if (!str_eq(json_str(item, "sessionId"), str_of(session)))
            continue;
        CHECK_STR(json_str(item, "cwd"), str_of(folder));
        found++;
    }
    CHECK_INT(found, 1);
    json_free(value);
}

/* A session that is open and asked for in another folder goes on there, or stays as it is. */
static void test_other_folder(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = told_session(&client), *other = test_tmp();
    request(&client, "session/resume", "\"sessionId\":\"%s\",\"cwd\":\"%s\"", session, other);
    check_goes_on(&client, session);
    check_folder(&client, session, other);
    talk(&client, session, "say on");
    request(&client, "session/load", "\"sessionId\":\"%s\",\"cwd\":\"/tmp\",\"mcpServers\":[]", session);
    Buf updates = {0};
    json_free(result(&client, &updates));
    CHECK(str_contains(buf_text(&updates), S("agent_message_chunk on")));
    buf_free(&updates);
    check_folder(&client, session, "/tmp");
    close_session(&client, session);
    request(&client, "session/close", "\"sessionId\":\"%s\"", session);
    check_error(&client, RPC_NOT_FOUND, NULL); /* there was one only */
    CHECK_INT(client_end(&client), 0);
}

/* The first prompt brings the commands again, later ones do not. */
static void test_commands(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, PLAIN, "/tmp");
    Buf updates = {0};
    for (int i = 0; i < 2; i++) {
        buf_clear(&updates);
        prompt(&client, session, "say x");
        json_free(result(&client, &updates));
        CHECK(str_contains(buf_text(&updates), S("available_commands_update")) == (i == 0));
    }
    buf_free(&updates);
    CHECK_INT(client_end(&client), 0);
}

static void test_busy(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, PLAIN, "/tmp");
    client_send(&client,
                str_printf(&client.arena,
                           "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session/prompt\",\"params\":{"
                           "\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\",\"text\":\"wait\"}]}}",
                           session)
                    .ptr);
    static const char *const METHODS[] = {"session/load", "session/resume", "session/fork"};
    for (size_t i = 0; i < 3; i++) {
        request(&client, METHODS[i], "\"sessionId\":\"%s\",\"cwd\":\"/tmp\",\"mcpServers\":[]", session);
        check_error(&client, RPC_INVALID_REQUEST, NULL);
    }
    /* Deleting ends the turn first; its prompt is answered before. */
    request(&client, "session/delete", "\"sessionId\":\"%s\"", session);
    Json *message;
    while ((message = client_next(&client)) && json_find(message, "method"))
        json_free(message);
    CHECK_INT(json_int(message, "id", -1), 1);
    CHECK_STR(json_str(json_find(message, "result"), "stopReason"), S("cancelled"));
    json_free(message);
    check_fine(&client);
    request(&client, "session/load", "\"sessionId\":\"%s\",\"cwd\":\"/tmp\",\"mcpServers\":[]", session);
    check_error(&client, RPC_NOT_FOUND, NULL);
    CHECK_INT(client_end(&client), 0);
}

static void check_status(TestClient *client, const char *session, const char *status) {
    request(client, "session/status", "\"sessionId\":\"%s\"", session);
    if (!status) {
        check_error(client, RPC_NOT_FOUND, NULL);
        return;
    }
    Json *value = result(client, NULL);
    CHECK_STR(json_str(value, "status"), str_of(status));
    json_free(value);
}

static void test_status_and_delete(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, PLAIN, "/tmp");
    talk(&client, session, "say x");
    check_status(&client, session, "open");
    close_session(&client, session);
    check_status(&client, session, "saved");
    delete_session(&client, session);
    delete_session(&client, session); /* gone is gone */
    check_status(&client, session, NULL);
    request(&client, "session/close", "\"sessionId\":\"%s\"", session);
    check_error(&client, RPC_NOT_FOUND, NULL);
    request(&client, "session/set_title", "\"sessionId\":\"%s\",\"title\":\"x\"", session);
    check_error(&client, RPC_NOT_FOUND, NULL);
    session = new_session(&client, "/tmp");
    request(&client, "session/set_title", "\"sessionId\":\"%s\",\"title\":\" \\n\"", session);
    check_error(&client, RPC_INVALID_PARAMS, "title");
    delete_session(&client, session);
    check_status(&client, session, NULL);
    CHECK_INT(client_end(&client), 0);
}

/* ---- the list ---- */

/* All pages; titles (or, without one, "-") in their order. */
static size_t list(TestClient *client, const char *cwd, Buf *titles, size_t *sessions) {
    const char *cursor = NULL;
    size_t pages = 0;
    *sessions = 0;
    do {
        char where[200] = "", after[200] = "";
        if (cwd)
            snprintf(where, sizeof where, "\"cwd\":\"%s\"%s", cwd, cursor ? "," : "");
        if (cursor)
            snprintf(after, sizeof after, "\"cursor\":\"%s\"", cursor);
        request(client, "session/list", "%s%s", where, after);
        Json *value = result(client, NULL);
        const Json *items = json_find(value, "sessions");
        CHECK(json_len(items) <= 50);
        JSON_EACH(item, items) {
            Str updated = json_str(item, "updatedAt"), title = json_str(item, "title");
            CHECK(updated.len == 24 && updated.ptr[10] == 'T' && updated.ptr[23] == 'Z');
            CHECK(json_str(item, "sessionId").len > 0 && json_str(item, "cwd").len > 0);
            buf_printf(titles, "%.*s ", STR_ARG(title.len ? title : S("-")));
            ++*sessions;
        }
        cursor =
            json_find(value, "nextCursor") ? str_cstr(&client->arena, json_str(value, "nextCursor")) : NULL;
        json_free(value);
        pages++;
    } while (cursor && pages < 20);
    return pages;
}

/* What other tests left in this process. */
static void delete_all(TestClient *client) {
    for (;;) {
        request(client, "session/list", "\"cursor\":null");
        Json *value = result(client, NULL);
        const Json *items = json_find(value, "sessions");
        size_t count = json_len(items);
        JSON_EACH(item, items)
        delete_session(client, str_cstr(&client->arena, json_str(item, "sessionId")));
        json_free(value);
        if (!count)
            return;
    }
}

static void test_list(void) {
    TestClient client;
    client_open(&client, NULL);
    client_start_session(&client, PLAIN, "/tmp");
    delete_all(&client);
    const char *first = new_session(&client, "/tmp"), *second = new_session(&client, "/usr");
    const char *third = new_session(&client, "/tmp"), *unused = new_session(&client, "/tmp");
    talk(&client, first, "say one");
    talk(&client, second, "say two");
    talk(&client, third, "say three");
    talk(&client, first, "say again");
    Buf titles = {0};
    size_t count;
    CHECK_INT(list(&client, NULL, &titles, &count), 1);
    CHECK_STR(buf_text(&titles), S("- say one say three say two "));
    close_session(&client, unused); /* nothing was asked there: not listed any more */
    close_session(&client, first);
    buf_clear(&titles);
    list(&client, "/tmp", &titles, &count);
    CHECK_STR(buf_text(&titles), S("say one say three "));
    CHECK_INT(count, 2);
    buf_clear(&titles);
    /* Open ones without a prompt take pages too. */
    for (int i = 0; i < 120; i++) {
        const char *session = new_session(&client, "/tmp");
        if (i < 55)
            talk(&client, session, "say more");
    }
    CHECK_INT(list(&client, "/tmp", &titles, &count), 3);
    CHECK_INT(count, 65 + 57);
    CHECK(str_starts(buf_text(&titles), S("- - -")));
    CHECK(str_ends(buf_text(&titles), S("say one say three ")));
    buf_free(&titles);
    delete_all(&client);
    request(&client, "session/list", "\"cursor\":\"made up\"");
    check_error(&client, RPC_INVALID_PARAMS, "cursor");
    request(&client, "session/list", "\"cursor\":\"kept:made up\"");
    check_error(&client, RPC_INVALID_PARAMS, "cursor");
    request(&client, "session/list", "\"cursor\":7");
    check_error(&client, RPC_INVALID_PARAMS, "cursor");
    request(&client, "session/list", "\"cwd\":\"here\"");
    check_error(&client, RPC_INVALID_PARAMS, "cwd");
    CHECK_INT(client_end(&client), 0);
}

/* ---- params ---- */

static void test_servers(void) {
    static const struct {
        const char *servers, *field; /* NULL: taken */
    } ROWS[] = {
        {"[{\"name\":\"a\",\"command\":\"/bin/"
         "a\",\"args\":[\"x\"],\"env\":[{\"name\":\"A\",\"value\":\"1\"}]}]",
         NULL},
        {"[{\"name\":\"a\",\"command\":\"/bin/a\",\"args\":null,\"env\":null}]", NULL},
        {"[{\"type\":\"stdio\",\"name\":\"a\",\"command\":\"/bin/a\",\"args\":[],\"env\":[]}]", NULL},
        {"[{\"type\":\"http\",\"name\":\"a\",\"url\":\"http://x\",\"headers\":[]},{\"type\":\"new\"}]", NULL},
        {"null", NULL},
        {"{}", "mcpServers"},
        {"[7]", "mcpServers[0]"},
        {"[{\"type\":7}]", "mcpServers[0].type"},
        {"[{\"type\":\"sse\"},{\"command\":\"/bin/a\",\"args\":[],\"env\":[]}]", "mcpServers[1].name"},
        {"[{\"name\":\"a\",\"command\":7,\"args\":[],\"env\":[]}]", "mcpServers[0].command"},
        {"[{\"name\":\"a\",\"command\":\"b\",\"env\":[]}]", "mcpServers[0].args"},
        {"[{\"name\":\"a\",\"command\":\"b\",\"args\":[1],\"env\":[]}]", "mcpServers[0].args[0]"},
        {"[{\"name\":\"a\",\"command\":\"b\",\"args\":[],\"env\":{}}]", "mcpServers[0].env"},
        {"[{\"name\":\"a\",\"command\":\"b\",\"args\":[],\"env\":[{\"name\":\"x\"}]}]",
         "mcpServers[0].env[0].value"},
    };
    TestClient client;
    client_open(&client, NULL);
    const char *session = client_start_session(&client, NOTICES, "/tmp");
    talk(&client, session, "say x");
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        static const char *const METHODS[] = {"session/new", "session/load", "session/resume",
                                              "session/fork"};
        for (size_t m = 0; m < 4; m++) {
            request(&client, METHODS[m], "\"sessionId\":\"%s\",\"cwd\":\"/tmp\",\"mcpServers\":%s", session,
                    ROWS[i].servers);
            if (ROWS[i].field)
                check_error(&client, RPC_INVALID_PARAMS, ROWS[i].field);
            else
                check_fine(&client);
        }
    }
    request(&client, "session/load", "\"sessionId\":\"%s\",\"cwd\":\"/tmp\"", session);
    check_error(&client, RPC_INVALID_PARAMS, "mcpServers");
    request(&client, "session/new", "\"cwd\":\"/missing/x\",\"mcpServers\":[]");
    check_error(&client, RPC_INVALID_PARAMS, NULL);
    /* Those left out are spoken of, behind the answer. */
    request(&client, "session/new",
            "\"cwd\":\"/tmp\",\"mcpServers\":[{\"type\":\"http\",\"name\":\"a\",\"url\":\"u\"}]");
    check_fine(&client);
    Buf updates = {0};
    request(&client, "session/status", "\"sessionId\":\"%s\"", session);
    json_free(result(&client, &updates));
    CHECK_STR(buf_text(&updates), S("available_commands_update \nnotice MCP servers left out\n"));
    buf_free(&updates);
    CHECK_INT(client_end(&client), 0);
}

static void test_lines_of_uri(void) {
    static const struct {
        const char *uri;
        size_t first, last; /* 0: none */
    } ROWS[] = {
        {"file:///a#L10", 10, 10},    {"file:///a#L10:20", 10, 20}, {"file:///a#L10-L20", 10, 20},
        {"file:///a#L10-20", 10, 20}, {"a?symbol=x#L7:L8", 7, 8},   {"file:///a", 0, 0},
        {"file:///a#", 0, 0},         {"file:///a#L", 0, 0},        {"file:///a#L0", 0, 0},
        {"file:///a#L20:10", 0, 0},   {"file:///a#L1:", 0, 0},      {"file:///a#L1:2:3", 0, 0},
        {"file:///a#10:20", 0, 0},    {"file:///a#L1x", 0, 0},      {"file:///a#L12345678901", 0, 0},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        size_t first = 0, last = 0;
        bool has = wire_lines_of_uri(str_of(ROWS[i].uri), &first, &last);
        CHECK_MSG(has == (ROWS[i].first > 0), "%s", ROWS[i].uri);
        if (has)
            CHECK_MSG(first == ROWS[i].first && last == ROWS[i].last, "%s: %zu to %zu", ROWS[i].uri, first,
                      last);
    }
}

/* ---- the program itself ---- */

static void spawn(TestClient *client, const char *state) {
    const char *argv[] = {
        MUX_BINARY_DIR "/mux-acp", "--model", "", "--state-dir", state, "--review", "auto", NULL};
    static char model[4096], log[4096];
    CHECK_MSG(access(argv[0], X_OK) == 0, "the program %s is not built", argv[0]);
    snprintf(model, sizeof model, "script:%s/model.txt", test_tmp());
    snprintf(log, sizeof log, "%s/err", test_tmp());
    argv[2] = model;
    client_spawn(client, argv, log);
}

static void put_text(const char *name, const char *text) {
    char path[4096];
    Err err = {0};
    snprintf(path, sizeof path, "%s/%s", test_tmp(), name);
    CHECK_OK(os_write_file(path, str_of(text), &err), err);
}

/* What one process did is there in the next one, diff and all, and the session goes on from it. */
static void test_program(void) {
    TestClient client;
    char work[4096], state[4096];
    snprintf(work, sizeof work, "%s/work", test_tmp());
    snprintf(state, sizeof state, "%s/state/deep", test_tmp());
    CHECK(mkdir(work, 0700) == 0);
    put_text("work/a.c", "int main(void) {\n    return 0;\n}\n");
    put_text("model.txt", "--- reply\nI change it.\n\na.c\n<<<<<<< SEARCH\n    return 0;\n=======\n"
                          "    return 1;\n>>>>>>> REPLACE\n");
    spawn(&client, state);
    const char *session = client_start_session(&client, PLAIN, work);
    talk(&client, session, "change return 0 to 1 in a.c");
    Arena kept = {0};
    session = str_cstr(&kept, str_of(session));
    CHECK_INT(client_end(&client), 0);

    spawn(&client, state);
    client_start_session(&client, PLAIN, work);
    request(&client, "session/list", "\"cwd\":\"%s\"", work);
    Json *value = result(&client, NULL);
    const Json *last = json_find(value, "sessions")->child->next;
    CHECK_STR(json_str(last, "sessionId"), str_of(session));
    CHECK_STR(json_str(last, "title"), S("change return 0 to 1 in a.c"));
    json_free(value);
    Buf updates = {0};
    request(&client, "session/load", "\"sessionId\":\"%s\",\"cwd\":\"%s\",\"mcpServers\":[]", session, work);
    json_free(result(&client, &updates));
    CHECK_MSG(str_contains(buf_text(&updates), S("user_message_chunk change return 0 to 1 in a.c\n"
                                                 "user_message_chunk file:///tmp/a%20b.c#L3:9\n")) &&
                  str_contains(buf_text(&updates), S("tool_call ")) &&
                  str_contains(buf_text(&updates), S("session_info_update change return 0 to 1 in a.c\n")),
              "%.*s", STR_ARG(buf_text(&updates)));
    buf_free(&updates);
    delete_session(&client, session);
    CHECK_INT(client_end(&client), 0);
    arena_free(&kept);
}

/* Without a state folder nothing is offered that needs one. */
static void test_nothing_kept(void) {
    TestClient client;
    put_text("model.txt", "--- reply\nNo.\n");
    spawn(&client, "none");
    request(&client, "initialize", "\"protocolVersion\":1");
    Json *value = result(&client, NULL);
    const Json *capabilities = json_find(value, "agentCapabilities");
    CHECK(!json_bool(capabilities, "loadSession", true));
    CHECK(!json_find(json_find(capabilities, "sessionCapabilities"), "list"));
    CHECK(json_find(json_find(capabilities, "sessionCapabilities"), "close"));
    json_free(value);
    request(&client, "session/load", "\"sessionId\":\"x\",\"cwd\":\"/tmp\",\"mcpServers\":[]");
    check_error(&client, RPC_NOT_FOUND, NULL);
    CHECK_INT(client_end(&client), 0);
}

static const TestCase CASES[] = {
    {"load", test_load},
    {"resume", test_resume},
    {"other_folder", test_other_folder},
    {"commands", test_commands},
    {"busy", test_busy},
    {"status_and_delete", test_status_and_delete},
    {"list", test_list},
    {"servers", test_servers},
    {"lines_of_uri", test_lines_of_uri},
    {"program", test_program},
    {"nothing_kept", test_nothing_kept},
};
TEST_SUITE(ACP_SESSIONS_SUITE, "sessions", CASES);
