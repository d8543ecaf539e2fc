/* Commands in the client's terminals: what is asked in which order, and that every terminal is released. */
#include "tests/fakes/client.h"
#include "tests/runner.h"

#define TERMINAL "{\"terminal\":true}"
#define REFUSED "\"error\":{\"code\":-32603,\"message\":\"no\",\"data\":{\"details\":\"not here\"}}"

typedef struct Scene {
    TestClient client;
    const char *session;
    Buf seen; /* methods, kinds of updates and said text, a word each, in order */
} Scene;

static void scene_open(Scene *scene, const char *capabilities, double timeout_ms) {
    *scene = (Scene){0};
    client_open_config(&scene->client, (ConnectionConfig){.client_timeout_ms = timeout_ms});
    scene->session = client_start_session(&scene->client, capabilities, "/tmp");
}

static void scene_close(Scene *scene) {
    CHECK_INT(client_end(&scene->client), 0);
    buf_free(&scene->seen);
}

static void prompt(Scene *scene, const char *text) {
    client_send(&scene->client,
                str_printf(&scene->client.arena,
                           "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"session/prompt\",\"params\":{"
                           "\"sessionId\":\"%s\",\"prompt\":[{\"type\":\"text\",\"text\":\"%s\"}]}}",
                           scene->session, text)
                    .ptr);
}

static void cancel(Scene *scene) {
    client_send(
        &scene->client,
        str_printf(&scene->client.arena,
                   "{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":{\"sessionId\":\"%s\"}}",
                   scene->session)
            .ptr);
}

static void answer(Scene *scene, const char *id, const char *body) {
    client_send(&scene->client,
                str_printf(&scene->client.arena, "{\"jsonrpc\":\"2.0\",\"id\":%s,%s}", id, body).ptr);
}

static void note(Scene *scene, const Json *message) {
    const Json *params = json_find(message, "params"), *update = json_find(params, "update");
    Str method = json_str(message, "method"), kind = json_str(update, "sessionUpdate");
    if (str_eq(kind, S("agent_message_chunk")))
        buf_printf(&scene->seen, "\"%.*s\" ", STR_ARG(json_str(json_find(update, "content"), "text")));
    else if (str_starts(kind, S("tool_call")))
        buf_printf(&scene->seen, "%.*s ", STR_ARG(json_str(update, "status")));
    else if (str_starts(method, S("terminal/")) || str_eq(method, S("$/cancel_request")))
        buf_printf(&scene->seen, "%.*s ", STR_ARG(method));
    else if (json_int(message, "id", -1) == 7 && !method.len)
        buf_printf(&scene->seen, "%.*s ", STR_ARG(json_str(json_find(message, "result"), "stopReason")));
}

/* Reads on until the agent calls this method; the call's id. params may be NULL. */
static const char *await(Scene *scene, const char *method, Json **params) {
    for (Json *message; (message = client_next(&scene->client)); json_free(message)) {
        note(scene, message);
        if (!str_eq(json_str(message, "method"), str_of(method)))
            continue;
        const char *id = str_printf(&scene->client.arena, "%lld", (long long)json_int(message, "id", -1)).ptr;
        if (params)
            *params = cJSON_DetachItemFromObject(message, "params");
        json_free(message);
        return id;
    }
    test_fail(__FILE__, __LINE__, "%s never came", method);
}

static void await_end(Scene *scene) {
    for (Json *message; (message = client_next(&scene->client)); json_free(message)) {
        note(scene, message);
        if (json_int(message, "id", -1) != 7 || json_find(message, "method"))
            continue;
        json_free(message);
        return;
    }
    test_fail(__FILE__, __LINE__, "the turn never ended");
}

static void check_seen(Scene *scene, const char *expected) {
    CHECK_STR(str_trim(buf_text(&scene->seen)), str_of(expected));
    buf_clear(&scene->seen);
}

static void test_a_command_runs(void) {
    Scene scene;
    Json *params = NULL;
    scene_open(&scene, TERMINAL, 0);
    prompt(&scene, "shell 60000 make test");
    const char *id = await(&scene, "terminal/create", &params);
    CHECK_STR(json_str(params, "command"), S("/bin/sh"));
    CHECK_STR(json_str_value(cJSON_GetArrayItem(json_find(params, "args"), 0)), S("-c"));
    CHECK_STR(json_str_value(cJSON_GetArrayItem(json_find(params, "args"), 1)), S("make test"));
    CHECK_STR(json_str(params, "cwd"), S("/tmp"));
    json_free(params);
    answer(&scene, id, "\"result\":{\"terminalId\":\"t1\"}");
    id = await(&scene, "terminal/wait_for_exit", &params);
    CHECK_STR(json_str(params, "terminalId"), S("t1"));
    json_free(params);
    answer(&scene, id, "\"result\":{\"exitCode\":3}");
    id = await(&scene, "terminal/output", NULL);
    answer(&scene, id, "\"result\":{\"output\":\"boom\",\"truncated\":false}");
    id = await(&scene, "terminal/release", NULL);
    answer(&scene, id, "\"result\":{}");
    await_end(&scene);
    check_seen(&scene, "terminal/create in_progress terminal/wait_for_exit terminal/output completed "
                       "terminal/release \"3: boom\" end_turn");
    scene_close(&scene);
}

static void test_a_signal_is_told(void) {
    Scene scene;
    scene_open(&scene, TERMINAL, 0);
    prompt(&scene, "shell 60000 x");
    answer(&scene, await(&scene, "terminal/create", NULL), "\"result\":{\"terminalId\":\"t1\"}");
    answer(&scene, await(&scene, "terminal/wait_for_exit", NULL),
           "\"result\":{\"exitCode\":null,\"signal\":\"SIGSEGV\"}");
    answer(&scene, await(&scene, "terminal/output", NULL), "\"result\":{\"output\":\"\",\"truncated\":true}");
    await_end(&scene);
    CHECK(str_contains(buf_text(&scene.seen), S("\"-1SIGSEGV: \" end_turn")));
    scene_close(&scene);
}

static void test_refusals_are_told(void) {
    Scene scene;
    scene_open(&scene, TERMINAL, 0);
    prompt(&scene, "shell 60000 x");
    answer(&scene, await(&scene, "terminal/create", NULL), REFUSED);
    await_end(&scene);
    check_seen(&scene, "terminal/create failed \"denied: the editor did not run the command: no: not here\" "
                       "end_turn");
    prompt(&scene, "shell 60000 x");
    answer(&scene, await(&scene, "terminal/create", NULL), "\"result\":{\"terminalId\":\"t1\"}");
    answer(&scene, await(&scene, "terminal/wait_for_exit", NULL), REFUSED);
    await_end(&scene);
    CHECK(str_contains(buf_text(&scene.seen), S("failed terminal/release \"denied: ")));
    buf_clear(&scene.seen);
    prompt(&scene, "shell 60000 x");
    answer(&scene, await(&scene, "terminal/create", NULL), "\"result\":{\"terminalId\":5}");
    await_end(&scene);
    CHECK(str_contains(buf_text(&scene.seen), S("holds no terminalId")));
    scene_close(&scene);
}

static void test_without_the_capability(void) {
    Scene scene;
    scene_open(&scene, "{}", 0);
    prompt(&scene, "shell 60000 x");
    await_end(&scene);
    check_seen(&scene, "\"no terminal\" end_turn");
    scene_close(&scene);
}

static void test_a_cancel_kills(void) {
    Scene scene;
    scene_open(&scene, TERMINAL, 0);
    prompt(&scene, "shell 60000 sleep 100");
    answer(&scene, await(&scene, "terminal/create", NULL), "\"result\":{\"terminalId\":\"t1\"}");
    await(&scene, "terminal/wait_for_exit", NULL);
    cancel(&scene);
    await_end(&scene);
    Str seen = buf_text(&scene.seen);
    size_t withdrawn = str_find(seen, S("$/cancel_request "), 0);
    CHECK(withdrawn != STR_NONE);
    CHECK(
        str_starts(str_from(seen, withdrawn), S("$/cancel_request terminal/kill failed terminal/release ")));
    CHECK(str_ends(seen, S("cancelled ")));
    scene_close(&scene);
}

/* The client makes the terminal although nobody waits for it any more: it is not left over. */
static void test_a_terminal_that_comes_late(void) {
    Scene scene;
    Json *params = NULL;
    scene_open(&scene, TERMINAL, 0);
    prompt(&scene, "shell 60000 sleep 100");
    const char *id = await(&scene, "terminal/create", NULL);
    cancel(&scene);
    await_end(&scene);
    answer(&scene, id, "\"result\":{\"terminalId\":\"late\"}");
    await(&scene, "terminal/kill", NULL);
    await(&scene, "terminal/release", &params);
    CHECK_STR(json_str(params, "terminalId"), S("late"));
    json_free(params);
    prompt(&scene, "shell 60000 x"); /* and the next turn is a new one */
    answer(&scene, await(&scene, "terminal/create", NULL), REFUSED);
    await_end(&scene);
    scene_close(&scene);
}

static void test_a_client_that_does_not_answer(void) {
    Scene scene;
    scene_open(&scene, TERMINAL, 20);
    prompt(&scene, "shell 60000 x");
    await(&scene, "terminal/create", NULL);
    await_end(&scene);
    CHECK(str_contains(buf_text(&scene.seen), S("did not answer terminal/create within 0 seconds")));
    scene_close(&scene);
}

static void test_a_command_that_runs_too_long(void) {
    Scene scene;
    scene_open(&scene, TERMINAL, 0);
    prompt(&scene, "shell 20 sleep 100");
    answer(&scene, await(&scene, "terminal/create", NULL), "\"result\":{\"terminalId\":\"t1\"}");
    await(&scene, "terminal/kill", NULL);
    answer(&scene, await(&scene, "terminal/wait_for_exit", NULL), "\"result\":{\"signal\":\"SIGKILL\"}");
    answer(&scene, await(&scene, "terminal/output", NULL),
           "\"result\":{\"output\":\"so far\",\"truncated\":false}");
    await_end(&scene);
    CHECK(str_contains(buf_text(&scene.seen), S("completed terminal/release \"late -1SIGKILL: so far\"")));
    scene_close(&scene);
}

/* The client is gone in the middle: nothing hangs, nothing leaks. */
static void test_the_end_of_the_input(void) {
    Scene scene;
    scene_open(&scene, TERMINAL, 0);
    prompt(&scene, "shell 60000 x");
    answer(&scene, await(&scene, "terminal/create", NULL), "\"result\":{\"terminalId\":\"t1\"}");
    await(&scene, "terminal/wait_for_exit", NULL);
    scene_close(&scene);
    scene_open(&scene, TERMINAL, 0);
    prompt(&scene, "shell 60000 x");
    await(&scene, "terminal/create", NULL);
    scene_close(&scene);
}

static const TestCase CASES[] = {
    {"a_command_runs", test_a_command_runs},
    {"a_signal_is_told", test_a_signal_is_told},
    {"refusals_are_told", test_refusals_are_told},
    {"without_the_capability", test_without_the_capability},
    {"a_cancel_kills", test_a_cancel_kills},
    {"a_terminal_that_comes_late", test_a_terminal_that_comes_late},
    {"a_client_that_does_not_answer", test_a_client_that_does_not_answer},
    {"a_command_that_runs_too_long", test_a_command_that_runs_too_long},
    {"the_end_of_the_input", test_the_end_of_the_input},
};
TEST_SUITE(ACP_TERMINAL_SUITE, "terminal", CASES);
