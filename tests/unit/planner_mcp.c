/* MCP servers: good ones, slow ones, broken ones. The server is tests/fakes/mcp_server.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"
#include "base/utf8.h"
#include "planner/mcp.h"
#include "tests/runner.h"

#define SERVER MUX_BINARY_DIR "/mcp_server"
#define SERVERS_MOST 4

typedef struct Scene {
    Arena arena;
    McpServer servers[SERVERS_MOST];
    size_t server_count;
    McpClients *clients;
    atomic_bool cancelled;
    McpTool *tools;
    Str *problems;
    size_t tool_count, problem_count;
} Scene;

/* A server with up to eight switches, NULL at their end. */
static void add_server(Scene *scene, const char *name, const char *const *switches) {
    Str *args = ARENA_ARRAY(&scene->arena, Str, 8);
    size_t count = 0;
    for (; switches[count]; count++)
        args[count] = str_of(switches[count]);
    scene->servers[scene->server_count++] =
        (McpServer){.name = str_of(name), .command = S(SERVER), .args = args, .arg_count = count};
}
#define ADD(scene, name, ...) add_server(scene, name, (const char *const[]){__VA_ARGS__, NULL})

static void scene_open(Scene *scene) {
    log_init("error");
    scene->clients = mcp_open(scene->servers, scene->server_count, str_of(test_tmp()));
    CHECK(scene->clients);
}

static void scene_list(Scene *scene) {
    mcp_tools(scene->clients, &scene->cancelled, &scene->arena, &scene->tools, &scene->tool_count,
              &scene->problems, &scene->problem_count);
}

static void scene_close(Scene *scene) {
    mcp_close(scene->clients);
    arena_free(&scene->arena);
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    log_init(NULL);
}

static void scene_start(Scene *scene, const char *name, const char *const *switches) {
    add_server(scene, name, switches);
    scene_open(scene);
    scene_list(scene);
    CHECK_MSG(scene->problem_count == 0, "%.*s", STR_ARG(scene->problems[0]));
}
#define START(scene, name, ...) scene_start(scene, name, (const char *const[]){__VA_ARGS__, NULL})

static const McpTool *find(Scene *scene, const char *full_name) {
    for (size_t i = 0; i < scene->tool_count; i++)
        if (str_eq(scene->tools[i].full_name, str_of(full_name)))
            return &scene->tools[i];
    test_fail(__FILE__, __LINE__, "no tool %s", full_name);
}

static McpResult call(Scene *scene, const char *name, const char *arguments) {
    Err err = {0};
    McpResult result = {0};
    CHECK_OK(mcp_call(scene->clients, find(scene, name), str_of(arguments), &scene->cancelled, &scene->arena,
                      &result, &err),
             err);
    return result;
}

static void call_error(Scene *scene, const char *name, const char *arguments, ErrCode code,
                       const char *part) {
    Err err = {0};
    McpResult result = {0};
    bool ok = mcp_call(scene->clients, find(scene, name), str_of(arguments), &scene->cancelled, &scene->arena,
                       &result, &err);
    CHECK_MSG(!ok, "it answered: %.*s", STR_ARG(result.text));
    CHECK_MSG(err.code == code, "%s: %s", err_name(err.code), err.text);
    CHECK_MSG(strstr(err.text, part), "no \"%s\" in: %s", part, err.text);
}

static void check_alive(Scene *scene) {
    CHECK_STR(call(scene, "fake__echo", "{\"still\":\"here\"}").text, S("{\"still\":\"here\"}"));
}

/* ---- lists ---- */

static void test_list(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "12");
    CHECK_INT(scene.tool_count, 13 + 11);
    const McpTool *echo = find(&scene, "fake__echo");
    CHECK_STR(echo->name, S("echo"));
    CHECK_STR(echo->server, S("fake"));
    CHECK_STR(echo->description, S("The tool echo of the fake server."));
    CHECK_STR(echo->input_schema, S("{\"type\":\"object\"}"));
    CHECK(echo->is_read_only);
    CHECK(!find(&scene, "fake__crash")->is_read_only);
    CHECK_STR(call(&scene, "fake__page-11", "{}").text, S("{}"));
    scene_close(&scene);
}

static void test_names(void) {
    Scene scene = {0};
    ADD(&scene, "a b", "--name", "same");
    ADD(&scene, "a_b", "--name", "same");
    ADD(&scene, "a_b", "--name", "same");
    ADD(&scene, "bad", "--bad-tools");
    scene_open(&scene);
    scene_list(&scene);
    CHECK_INT(scene.problem_count, 0);
    /* Of the bad entries five are tools after all; the one with the large schema is not. */
    CHECK_INT(scene.tool_count, 3 + 13 + 6);
    for (size_t i = 0; i < scene.tool_count; i++) {
        Str name = scene.tools[i].full_name;
        CHECK_MSG(name.len > 0 && name.len <= 64, "%.*s", STR_ARG(name));
        CHECK_MSG(strspn(str_cstr(&scene.arena, name),
                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == name.len,
                  "%.*s", STR_ARG(name));
        for (size_t n = 0; n < i; n++)
            CHECK_MSG(!str_eq(scene.tools[n].full_name, name), "twice: %.*s", STR_ARG(name));
        CHECK(scene.tools[i].description.len <= 1024);
        CHECK(scene.tools[i].input_schema.ptr[0] == '{');
        McpResult result;
        Err err = {0};
        if (i < 3)
            CHECK_OK(
                mcp_call(scene.clients, &scene.tools[i], S("{\"n\":1}"), NULL, &scene.arena, &result, &err),
                err);
    }
    CHECK_STR(find(&scene, "bad__strange_name_with__everything___")->name,
              S("strange name/with: everything \xc3\xa4"));
    scene_close(&scene);
}

static void test_strange_lists(void) {
    Scene scene = {0};
    ADD(&scene, "loop", "--cursor-loops", "--name", "one");
    ADD(&scene, "none", "--no-tools");
    ADD(&scene, "garbage", "--garbage", "--name", "g");
    ADD(&scene, "batches", "--batches", "--chatty", "--name", "b");
    scene_open(&scene);
    scene_list(&scene);
    CHECK_INT(scene.problem_count, 0);
    CHECK_STR(call(&scene, "loop__one", "{}").text, S("{}"));
    CHECK_STR(call(&scene, "garbage__g", "{\"a\":[1]}").text, S("{\"a\":[1]}"));
    CHECK_STR(call(&scene, "batches__b", "{}").text, S("{}"));
    scene_close(&scene);
}

static void test_list_changes(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    CHECK_INT(scene.tool_count, 13);
    call(&scene, "fake__grows", "{}");
    scene_list(&scene);
    CHECK_INT(scene.tool_count, 14);
    CHECK_STR(call(&scene, "fake__added", "{}").text, S("{}"));
    scene_close(&scene);
}

static void test_without_servers(void) {
    Scene scene = {0};
    scene_open(&scene);
    scene_list(&scene);
    CHECK_INT(scene.tool_count + scene.problem_count, 0);
    scene_close(&scene);
    scene = (Scene){0};
    scene_list(&scene);
    CHECK_INT(scene.tool_count + scene.problem_count, 0);
    arena_free(&scene.arena);
    mcp_interrupt(NULL);
    mcp_close(NULL);
}

/* ---- servers that do not start ---- */

static void test_not_started(void) {
    Scene scene = {0};
    ADD(&scene, "gone", "--name", "x");
    scene.servers[0].command = S("no-such-program-anywhere");
    ADD(&scene, "dies", "--dies", "SOME_TOKEN is not set");
    ADD(&scene, "strict", "--refuses", "please pay first");
    ADD(&scene, "good", "--name", "echo");
    scene_open(&scene);
    for (int turn = 0; turn < 6; turn++) {
        scene_list(&scene);
        CHECK_INT(scene.problem_count, 3);
        CHECK_MSG(str_contains(scene.problems[0],
                               turn < 4 ? S("no program no-such-program-anywhere") : S("ended 4 times")),
                  "%.*s", STR_ARG(scene.problems[0]));
        CHECK_MSG(str_contains(scene.problems[1], S("SOME_TOKEN is not set")), "%.*s",
                  STR_ARG(scene.problems[1]));
        CHECK_MSG(str_contains(scene.problems[2], S("please pay first")), "%.*s", STR_ARG(scene.problems[2]));
        CHECK_INT(scene.tool_count, 1);
        CHECK_STR(call(&scene, "good__echo", "{}").text, S("{}"));
    }
    scene_close(&scene);
}

/* Too slow for one turn, there in a later one. */
static void test_slow_start(void) {
    Scene scene = {0};
    ADD(&scene, "slow", "--slow-start", "300", "--name", "x");
    ADD(&scene, "silent", "--silent");
    scene_open(&scene);
    mcp_set_timeouts(scene.clients, 20, 60000);
    scene_list(&scene);
    CHECK_INT(scene.problem_count, 2);
    CHECK_MSG(str_contains(scene.problems[0], S("in time")), "%.*s", STR_ARG(scene.problems[0]));
    while (scene.tool_count == 0) {
        usleep(10000);
        scene_list(&scene);
    }
    CHECK_STR(call(&scene, "slow__x", "{}").text, S("{}"));
    scene_close(&scene);
}

static void test_modern(void) {
    Scene scene = {0};
    START(&scene, "fake", "--modern", "--pages", "3");
    CHECK_INT(scene.tool_count, 15);
    check_alive(&scene);
    scene_close(&scene);
}

/* ---- calls ---- */

static void test_results(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    McpResult result = call(&scene, "fake__fails", "{}");
    CHECK(result.is_error);
    CHECK_STR(result.text, S("the disk is full"));
    call_error(&scene, "fake__refuses", "{}", ERR_INVALID, "no city of that name");
    result = call(&scene, "fake__refuses", "{\"code\":-32603}");
    CHECK(result.is_error && str_contains(result.text, S("no city of that name")));
    call_error(&scene, "fake__echo", "[1]", ERR_INVALID, "not a JSON object");
    call_error(&scene, "fake__echo", "{\"a\":", ERR_INVALID, "JSON");
    result = call(&scene, "fake__echo", "{\r\n  \"text\": \"\\u00e4\\n\"\n}");
    CHECK_STR(result.text, S("{\"text\":\"\xc3\xa4\\n\"}"));
    result = call(&scene, "fake__huge", "{\"bytes\":1000000}");
    CHECK_MSG(result.text.len < (256 << 10) + 100 && utf8_valid(result.text), "%zu bytes", result.text.len);
    CHECK(str_ends(result.text, S("[cut: the first 262143 of 999999 bytes]")));
    scene_close(&scene);
}

/* Raw lines in answer to a call, with $ for its id. */
static void test_malformed_answers(void) {
    static const struct {
        const char *line;
        const char *text; /* NULL: the call fails */
        ErrCode code;
    } cases[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":$,\"result\":{}}", "", 0},
        {"{\"id\":$,\"result\":null}", "", 0},
        {"{\"id\":$,\"result\":[1,2]}", "", 0},
        {"{\"id\":$,\"result\":{\"content\":7}}", "", 0},
        {"{\"id\":$,\"result\":{\"content\":[7,null,{},{\"type\":3},{\"type\":\"text\"},{\"type\":\"text\","
         "\"text\":9}]}}",
         "[content of no known type]", 0},
        {"{\"id\":$,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\",\"data\":"
         "\"AA==\"},{\"type\":\"resource\",\"resource\":{\"uri\":\"x:y\",\"text\":\"b\"}},{\"type\":"
         "\"resource_"
         "link\",\"uri\":\"file:///c\"}]}}",
         "a\n[image]\nb\n[resource file:///c]", 0},
        {"{\"id\":$,\"result\":{\"content\":[],\"structuredContent\":{\"n\":[1,2]}}}", "{\"n\":[1,2]}", 0},
        {"{\"id\":$,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"a\\u0000b\"}]}}",
         "a\xef\xbf\xbd"
         "b",
         0},
        {"{\"id\":$,\"result\":{\"resultType\":\"input_required\"}}", "The tool asks the user", 0},
        {"{\"id\":$,\"error\":{}}", "refused", 0},
        {"{\"id\":$,\"error\":\"no\"}", "refused", 0},
        {"{\"id\":$,\"error\":{\"code\":\"x\",\"message\":7}}", "refused", 0},
        {"{\"id\":$,\"result\":{\"content\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
         "[[[["
         "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}",
         NULL, ERR_INVALID},
        {"{\"jsonrpc\":\"2.0\",\"id\":$,\"result\":{\"content\":[\"\\ud800\"]}}", NULL, ERR_INVALID},
        {"{\"jsonrpc\":\"2.0\",\"id\":$,\"result\":{", NULL, ERR_INVALID},
    };
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    int id = 2; /* initialize, tools/list */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf line = {0}, arguments = {0};
        id++;
        for (const char *c = cases[i].line; *c; c++)
            if (*c == '$')
                buf_printf(&line, "%d", id);
            else
                buf_char(&line, *c);
        buf_char(&line, '\n');
        buf_cstr(&arguments, "{\"line\":");
        json_print_string(buf_text(&line), &arguments);
        buf_cstr(&arguments, "}");
        const char *text = str_cstr(&scene.arena, buf_text(&arguments));
        buf_free(&line);
        buf_free(&arguments);
        if (cases[i].text) {
            Str got = call(&scene, "fake__raw", text).text;
            CHECK_MSG(str_contains(got, str_of(cases[i].text)), "case %zu: %.*s", i, STR_ARG(got));
        } else {
            call_error(&scene, "fake__raw", text, cases[i].code, "cannot be read");
        }
    }
    check_alive(&scene);
    scene_close(&scene);
}

static void test_requests_of_the_server(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    CHECK_STR(call(&scene, "fake__asks", "{\"method\":\"ping\"}").text, S("{}"));
    Str roots = call(&scene, "fake__asks", "{\"method\":\"roots/list\"}").text;
    CHECK_MSG(str_contains(roots, str_printf(&scene.arena, "\"uri\":\"file://%s\"", test_tmp())), "%.*s",
              STR_ARG(roots));
    static const char *const refused[] = {"sampling/createMessage", "elicitation/create", "odd \\\"one"};
    for (size_t i = 0; i < 3; i++) {
        Str answer =
            call(&scene, "fake__asks", str_printf(&scene.arena, "{\"method\":\"%s\"}", refused[i]).ptr).text;
        CHECK_MSG(str_contains(answer, S("\"code\":-32601")), "%.*s", STR_ARG(answer));
    }
    scene_close(&scene);
}

static void test_crash_in_a_call(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    for (int i = 0; i < 4; i++) {
        call_error(&scene, "fake__crash", "{}", ERR_IO, "exit status 7: out of cheese");
        if (i < 3)
            check_alive(&scene);
    }
    call_error(&scene, "fake__echo", "{}", ERR_IO, "not started again");
    scene_list(&scene);
    CHECK_INT(scene.tool_count, 0);
    CHECK_INT(scene.problem_count, 1);
    scene_close(&scene);
}

static void test_no_answer_in_time(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    mcp_set_timeouts(scene.clients, 60000, 20);
    call_error(&scene, "fake__slow", "{}", ERR_LIMIT, "in time");
    call_error(&scene, "fake__chatters", "{}", ERR_LIMIT, "in time");
    mcp_set_timeouts(scene.clients, 60000, 60000);
    check_alive(&scene); /* the one that chatters is another program now */
    scene_close(&scene);
}

/* An answer without end is not kept: the server is. */
static void test_endless_line(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    call_error(&scene, "fake__endless", "{}", ERR_IO, "a line of more than");
    check_alive(&scene);
    scene_close(&scene);
}

/* ---- cancelling ---- */

static void *cancel(void *ctx) {
    Scene *scene = ctx;
    usleep((useconds_t)(test_random() % 3000));
    atomic_store(&scene->cancelled, true);
    mcp_interrupt(scene->clients);
    return NULL;
}

static void cancel_call(Scene *scene, const char *name, const char *arguments) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, cancel, scene) == 0);
    call_error(scene, name, arguments, ERR_CANCELLED, "cancelled");
    pthread_join(thread, NULL);
    atomic_store(&scene->cancelled, false);
}

static void test_cancel(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    for (int i = 0; i < 30; i++) {
        cancel_call(&scene, "fake__slow", "{}");
        if (i % 3 == 0)
            check_alive(&scene);
    }
    scene_close(&scene);
}

/* What hears no cancel is another program at the next call. */
static void test_cancel_unheard(void) {
    Scene scene = {0};
    START(&scene, "fake", "--pages", "1");
    cancel_call(&scene, "fake__deaf", "{}");
    check_alive(&scene);
    call(&scene, "fake__stops-reading", "{}");
    Buf large = {0};
    buf_cstr(&large, "{\"text\":\"");
    buf_repeat(&large, 'x', 1 << 20);
    buf_cstr(&large, "\"}");
    /* Half a message, by a cancel or (when that came too early) for want of time. */
    const char *arguments = str_cstr(&scene.arena, buf_text(&large));
    buf_free(&large);
    cancel_call(&scene, "fake__echo", arguments);
    mcp_set_timeouts(scene.clients, 60000, 20);
    McpResult result;
    mcp_call(scene.clients, find(&scene, "fake__echo"), str_of(arguments), NULL, &scene.arena, &result, NULL);
    mcp_set_timeouts(scene.clients, 60000, 60000);
    check_alive(&scene);
    scene_close(&scene);
}

static void test_cancel_start(void) {
    Scene scene = {0};
    ADD(&scene, "silent", "--silent");
    scene_open(&scene);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, cancel, &scene) == 0);
    scene_list(&scene);
    pthread_join(thread, NULL);
    CHECK_INT(scene.tool_count + scene.problem_count, 0);
    scene_close(&scene);
}

static const TestCase CASES[] = {
    {"tools of many pages", test_list},
    {"names for the model", test_names},
    {"lists with garbage, loops and batches", test_strange_lists},
    {"a list that changes", test_list_changes},
    {"no servers", test_without_servers},
    {"servers that do not start", test_not_started},
    {"a server that starts slowly", test_slow_start},
    {"a server without handshake", test_modern},
    {"results", test_results},
    {"malformed answers", test_malformed_answers},
    {"requests of the server", test_requests_of_the_server},
    {"a crash in a call", test_crash_in_a_call},
    {"no answer in time", test_no_answer_in_time},
    {"an answer without end", test_endless_line},
    {"cancelled calls", test_cancel},
    {"cancels that are not heard", test_cancel_unheard},
    {"a cancelled start", test_cancel_start},
};
TEST_SUITE(PLANNER_MCP_SUITE, "mcp", CASES);
