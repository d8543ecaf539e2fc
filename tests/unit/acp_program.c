/* The program itself: its exits, its commands, recorded conversations, and a scripted model behind all of it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/fakes/transcript.h"
#include "tests/runner.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"

typedef struct Place {
    Arena arena;
    Str tmp, work; /* work: the folder a turn works in */
} Place;

static Str path_in(Place *place, const char *name) {
    return str_printf(&place->arena, "%.*s/%s", STR_ARG(place->tmp), name);
}

static void write_text(Place *place, const char *name, const char *text) {
    Err err = {0};
    CHECK_OK(os_write_file(path_in(place, name).ptr, str_of(text), &err), err);
}

static Str read_text(Place *place, const char *name) {
    Err err = {0};
    Str text = S("");
    CHECK_OK(os_read_file(path_in(place, name).ptr, 1 << 24, &place->arena, &text, &err), err);
    return text;
}

static const char SCRIPT_EDIT[] = "--- reply\n"
                                  "I change the value.\n\n"
                                  "a.c\n"
                                  "<<<<<<< SEARCH\n"
                                  "    return 0;\n"
                                  "=======\n"
                                  "    return 1;\n"
                                  ">>>>>>> REPLACE\n";
/* Whole lines are shown as they come; this goes on for some seconds. */
static const char SCRIPT_SLOW[] =
    "delay: 20\npiece: 4\n--- reply\n"
    "One line.\nAnother line.\nThis can be stopped at any time.\n"
    "A good client stops it long before its end has come, for that is far away from here,\n"
    "behind many more words, none of which anyone has to wait for, as has been said.\n"
    "And yet they come, one after the other, slowly, until they are stopped or over.\n"
    "It is astonishing how long four lines take when nobody is in a hurry to be done.\n"
    "This one is the last of them, and with its end the answer ends as well. Really.\n";

static void place_open(Place *place) {
    *place = (Place){.tmp = str_of(test_tmp())};
    CHECK_MSG(access(PROGRAM, X_OK) == 0, "the program %s is not built", PROGRAM);
    place->work = path_in(place, "work");
    CHECK(mkdir(place->work.ptr, 0700) == 0);
    write_text(place, "work/a.c", "int main(void) {\n    return 0;\n}\n");
    write_text(place, "edit.txt", SCRIPT_EDIT);
    write_text(place, "slow.txt", SCRIPT_SLOW);
}

static void place_close(Place *place) {
    arena_free(&place->arena);
}

/* Runs the program with the arguments (a list ended by NULL), stdin from a file of the place (NULL: empty),
 * in the work folder; stdout is left in "out", stderr in "err". */
static int run(Place *place, const char *stdin_name, const char *const *arguments) {
    const char *argv[32] = {PROGRAM};
    for (size_t n = 0; n < 30 && arguments[n]; n++)
        argv[n + 1] = arguments[n];
    const char *in = stdin_name ? path_in(place, stdin_name).ptr : "/dev/null";
    const char *out = path_in(place, "out").ptr, *log = path_in(place, "err").ptr;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int fds[3] = {open(in, O_RDONLY), open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600),
                      open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600)};
        for (int i = 0; i < 3; i++)
            if (dup2(fds[i], i) < 0)
                _exit(126);
        if (chdir(place->work.ptr) != 0)
            _exit(126);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_MSG(WIFEXITED(status), "the program was killed by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

#define RUN(place, stdin_name, ...) run(place, stdin_name, (const char *const[]){__VA_ARGS__, NULL})

static const char *script_model(Place *place, const char *name) {
    return str_printf(&place->arena, "script:%.*s/%s", STR_ARG(place->tmp), name).ptr;
}

static void spawn_agent(TestClient *client, Place *place, const char *script, const char *record) {
    const char *argv[] = {PROGRAM, "--model", script_model(place, script), record ? "--record" : NULL,
                          record,  NULL};
    client_spawn(client, argv, path_in(place, "err").ptr);
}

/* ---- the agent ---- */

static void test_transcript(void) {
    Place place;
    TestClient client;
    place_open(&place);
    spawn_agent(&client, &place, "edit.txt", NULL);
    transcript_run(&client, str_printf(&place.arena, "%s/tests/transcripts/edit.txt", test_source_dir()).ptr,
                   place.work.ptr);
    CHECK(str_contains(read_text(&place, "work/a.c"), S("return 1;")));
    CHECK_STR(read_text(&place, "err"), S(""));
    place_close(&place);
}

static void test_answers_at_once(void) {
    Place place;
    TestClient client;
    place_open(&place);
    /* A model that is not there does not matter before the first session. */
    const char *argv[] = {PROGRAM, "--model", "/no/such/model.gguf", NULL};
    client_spawn(&client, argv, path_in(&place, "err").ptr);
    client_send(
        &client,
        "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1}}");
    Json *answer = client_answer(&client, "0");
    CHECK(json_find(answer, "result"));
    json_free(answer);
    CHECK_INT(client_end(&client), 0);
    place_close(&place);
}

static void prompt(TestClient *client, const char *session, const char *text) {
    client_send(
        client,
        str_printf(&client->arena,
                   "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"session/prompt\",\"params\":{\"sessionId\":"
                   "\"%s\",\"prompt\":[{\"type\":\"text\",\"text\":\"%s\"}]}}",
                   session, text)
            .ptr);
}

/* Reads until the model's first words have come. */
static void wait_for_text(TestClient *client) {
    for (Json *message; (message = client_next(client)); json_free(message)) {
        Str kind = json_str(json_find(json_find(message, "params"), "update"), "sessionUpdate");
        if (str_eq(kind, S("agent_message_chunk"))) {
            json_free(message);
            return;
        }
    }
    test_fail(__FILE__, __LINE__, "the model said nothing");
}

static void check_stop(TestClient *client, const char *stop) {
    Json *answer = client_answer(client, "7");
    CHECK_STR(json_str(json_find(answer, "result"), "stopReason"), str_of(stop));
    json_free(answer);
}

static void test_cancel_while_answering(void) {
    Place place;
    TestClient client;
    place_open(&place);
    spawn_agent(&client, &place, "slow.txt", NULL);
    const char *session = client_start_session(&client, "{}", place.work.ptr);
    prompt(&client, session, "change a.c");
    wait_for_text(&client);
    client_send(
        &client,
        str_printf(&client.arena,
                   "{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":{\"sessionId\":\"%s\"}}",
                   session)
            .ptr);
    check_stop(&client, "cancelled");
    CHECK_INT(client_end(&client), 0);
    place_close(&place);
}

static void test_sigterm(void) {
    Place place;
    TestClient client;
    place_open(&place);
    spawn_agent(&client, &place, "slow.txt", NULL);
    const char *session = client_start_session(&client, "{}", place.work.ptr);
    prompt(&client, session, "change a.c");
    wait_for_text(&client);
    kill(client.pid, SIGTERM);
    check_stop(&client, "cancelled");
    CHECK_INT(client_end(&client), 0);
    place_close(&place);
}

/* The end of the input ends a turn that runs: it is answered, and the program goes with status 0. */
static void test_end_of_input(void) {
    Place place;
    TestClient client;
    place_open(&place);
    spawn_agent(&client, &place, "slow.txt", NULL);
    const char *session = client_start_session(&client, "{}", place.work.ptr);
    prompt(&client, session, "change a.c");
    wait_for_text(&client);
    close(client.to_agent);
    client.to_agent = -1;
    check_stop(&client, "cancelled");
    CHECK_INT(client_end(&client), 0);
    place_close(&place);
}

/* Each request and each call of the client is one line of the log, whose every line is JSON. */
static void test_log(void) {
    Place place;
    TestClient client;
    place_open(&place);
    const char *argv[] = {PROGRAM, "--model",  script_model(&place, "edit.txt"),
                          "--log", "info",     "--log-format",
                          "json",  "--review", "ask",
                          NULL};
    client_spawn(&client, argv, path_in(&place, "err").ptr);
    char session[64]; /* the client's own goes with it */
    snprintf(session, sizeof session, "%s", client_start_session(&client, "{}", place.work.ptr));
    client_send(&client, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"session/set_mode\",\"params\":{}}");
    json_free(client_answer(&client, "\"x\""));
    prompt(&client, session, "sk-abcdefghijklmnop: in a.c change return 0 to return 1");
    for (Json *message; (message = client_next(&client));) {
        bool is_question = str_eq(json_str(message, "method"), S("session/request_permission")),
             is_end = json_find(message, "result") && json_int(message, "id", 0) == 7;
        if (is_question)
            client_send(&client, str_printf(&client.arena,
                                            "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":{\"outcome\":{"
                                            "\"outcome\":\"cancelled\"}}}",
                                            (long long)json_int(message, "id", 0))
                                     .ptr);
        json_free(message);
        if (is_end)
            break;
    }
    CHECK_INT(client_end(&client), 0);
    Str log = read_text(&place, "err"), line;
    CHECK(!str_contains(log, S("sk-abc")) && !str_contains(log, S("in a.c change")));
    size_t found = 0;
    while (str_next_line(&log, &line)) {
        Json *json = json_parse(line, NULL);
        CHECK_MSG(json != NULL, "no JSON: %.*s", STR_ARG(line));
        Str method = json_str(json, "method"), outcome = json_str(json, "outcome");
        found +=
            str_eq(method, S("initialize")) && str_eq(outcome, S("ok")) && json_int(json, "id", 0) == 900;
        found += str_eq(method, S("session/set_mode")) && str_eq(outcome, S("error -32602")) &&
                 str_eq(json_str(json, "id"), S("x"));
        found += str_eq(method, S("session/prompt")) && str_eq(json_str(json, "session"), str_of(session)) &&
                 json_num(json, "ms", -1) >= 0 && json_int(json, "id", 0) == 7;
        found += str_eq(method, S("session/request_permission")) &&
                 str_eq(json_str(json, "span"), S("call")) && str_eq(outcome, S("ok"));
        json_free(json);
    }
    CHECK_INT(found, 4);
    place_close(&place);
}

static void test_client_dies(void) {
    Place place;
    TestClient client;
    place_open(&place);
    spawn_agent(&client, &place, "slow.txt", NULL);
    const char *session = client_start_session(&client, "{}", place.work.ptr);
    prompt(&client, session, "change a.c");
    wait_for_text(&client);
    close(client.from_agent); /* the agent's writes fail from here on; its input stays open */
    client.from_agent = open("/dev/null", O_RDONLY);
    int kept = client.to_agent, status;
    CHECK(waitpid(client.pid, &status, 0) == client.pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    client.pid = 0;
    close(kept);
    close(client.from_agent);
    buf_free(&client.inbox);
    schema_close(client.schema);
    arena_free(&client.arena);
    place_close(&place);
}

/* ---- records and replays ---- */

static void record_session(Place *place, const char *capabilities) {
    TestClient client;
    spawn_agent(&client, place, "edit.txt", path_in(place, "log.jsonl").ptr);
    const char *session = client_start_session(&client, capabilities, place->work.ptr);
    client_send(&client, "{broken");
    prompt(&client, session, "In a.c change return 0 to return 1");
    bool is_done = false;
    for (Json *message; !is_done && (message = client_next(&client)); json_free(message)) {
        Str method = json_str(message, "method");
        long long id = (long long)json_int(message, "id", -1);
        const char *result = str_eq(method, S("session/request_permission"))
                                 ? "{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"allow_once\"}}"
                             : str_eq(method, S("fs/read_text_file"))
                                 ? "{\"content\":\"int main(void) {\\n    return 0;\\n}\\n\"}"
                             : str_eq(method, S("fs/write_text_file")) ? "null"
                                                                       : NULL;
        if (result)
            client_send(
                &client,
                str_printf(&client.arena, "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":%s}", id, result).ptr);
        is_done = !method.len && id == 7;
    }
    CHECK(is_done);
    CHECK_INT(client_end(&client), 0);
}

static void test_replay(void) {
    Place place;
    place_open(&place);
    record_session(&place, "{}");
    CHECK(str_contains(read_text(&place, "work/a.c"), S("return 1;")));
    write_text(&place, "work/a.c", "int main(void) {\n    return 0;\n}\n");
    const char *log = path_in(&place, "log.jsonl").ptr;
    CHECK_INT(RUN(&place, NULL, "--replay", log), 0);
    Str first = read_text(&place, "out");
    write_text(&place, "work/a.c", "int main(void) {\n    return 0;\n}\n");
    CHECK_INT(RUN(&place, NULL, "--replay", log, "--record", path_in(&place, "again.jsonl").ptr), 0);
    CHECK_STR(read_text(&place, "out"), first);
    /* The replay's own record is a log like any other. */
    write_text(&place, "work/a.c", "int main(void) {\n    return 0;\n}\n");
    CHECK_INT(RUN(&place, NULL, "--replay", path_in(&place, "again.jsonl").ptr), 0);
    place_close(&place);
}

static void replace(Place *place, const char *from, const char *to, const char *was, const char *is) {
    Str text = read_text(place, from);
    size_t at = str_find(text, str_of(was), 0);
    CHECK_MSG(at != STR_NONE, "%s is not in the log", was);
    Buf out = {0};
    buf_str(&out, str_slice(text, 0, at));
    buf_cstr(&out, is);
    buf_str(&out, str_from(text, at + strlen(was)));
    Err err = {0};
    CHECK_OK(os_write_file(path_in(place, to).ptr, buf_text(&out), &err), err);
    buf_free(&out);
}

static void test_replay_differs(void) {
    Place place;
    place_open(&place);
    record_session(&place, "{}");
    static const char UNCHANGED[] = "int main(void) {\n    return 0;\n}\n";
    /* Another answer of the user. */
    replace(&place, "log.jsonl", "other.jsonl", "\"optionId\":\"allow_once\"}}",
            "\"optionId\":\"reject_once\"}}");
    write_text(&place, "work/a.c", UNCHANGED);
    CHECK_INT(RUN(&place, NULL, "--replay", path_in(&place, "other.jsonl").ptr), 1);
    CHECK(str_contains(read_text(&place, "out"), S("session 1, message")));
    CHECK_STR(read_text(&place, "work/a.c"), str_of(UNCHANGED));
    /* Another word of the agent. */
    replace(&place, "log.jsonl", "other.jsonl", "I change the value", "I kept the value");
    CHECK_INT(RUN(&place, NULL, "--replay", path_in(&place, "other.jsonl").ptr), 1);
    CHECK(str_contains(read_text(&place, "out"), S("I kept the value")));
    CHECK_INT(RUN(&place, NULL, "--replay", path_in(&place, "edit.txt").ptr), 2);
    CHECK_INT(RUN(&place, NULL, "--replay", "/no/such/log"), 2);
    place_close(&place);
}

/* Where the client's file methods were in use, a replay changes nothing on disk. */
static void test_replay_leaves_the_disk_alone(void) {
    Place place;
    place_open(&place);
    record_session(&place, "{\"fs\":{\"readTextFile\":true,\"writeTextFile\":true}}");
    struct stat before, after;
    CHECK(stat(place.work.ptr, &before) == 0);
    CHECK_INT(RUN(&place, NULL, "--replay", path_in(&place, "log.jsonl").ptr), 0);
    CHECK(stat(place.work.ptr, &after) == 0);
    CHECK(before.st_mtim.tv_sec == after.st_mtim.tv_sec && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    CHECK(str_contains(read_text(&place, "work/a.c"), S("return 0;")));
    place_close(&place);
}

/* ---- commands ---- */

static Json *out_json(Place *place) {
    Err err = {0};
    Json *json = json_parse(str_trim(read_text(place, "out")), &err);
    CHECK_OK(json != NULL, err);
    return json;
}

static void test_ask(void) {
    Place place;
    place_open(&place);
    const char *model = script_model(&place, "edit.txt"), *request = "In a.c change return 0 to return 1";
    CHECK_INT(RUN(&place, NULL, "ask", "--model", model, request), 0);
    CHECK(str_starts(read_text(&place, "out"), S("diff --git a/a.c b/a.c\n")));
    CHECK(str_contains(read_text(&place, "work/a.c"),
                       S("return 0;"))); /* stdout is no terminal: nothing is written */
    CHECK_INT(RUN(&place, NULL, "ask", "--model", model, "--apply", "--json", request), 0);
    Json *json = out_json(&place);
    CHECK(json_bool(json, "applied", false));
    CHECK_INT(json_int(json, "files", 0), 1);
    CHECK(json_str(json, "backup").len > 0);
    CHECK_STR(json_str(json, "stop"), S("end_turn"));
    CHECK(cJSON_IsArray(json_find(json, "problems")) && cJSON_IsObject(json_find(json, "usage")));
    json_free(json);
    CHECK(str_contains(read_text(&place, "work/a.c"), S("return 1;")));
    CHECK_INT(RUN(&place, NULL, "backups", "--json"), 0);
    json = out_json(&place);
    CHECK_INT(json_len(json_find(json, "backups")), 1);
    json_free(json);
    CHECK_INT(RUN(&place, NULL, "undo"), 0);
    CHECK(str_contains(read_text(&place, "work/a.c"), S("return 0;")));
    place_close(&place);
}

static void test_exit_statuses(void) {
    Place place;
    place_open(&place);
    write_text(&place, "talk.txt", "--- reply\nThere is nothing to change.\n");
    CHECK_INT(RUN(&place, NULL, "ask", "--model", script_model(&place, "talk.txt"), "change a.c"), 1);
    CHECK_INT(RUN(&place, NULL, "ask", "--model", "/no/such.gguf", "change a.c"), 3);
    CHECK(str_contains(read_text(&place, "err"), S("/no/such.gguf")));
    CHECK_INT(RUN(&place, NULL, "ask", "--model", "echo", "--cwd", "/no/such/folder", "change a.c"), 3);
    CHECK_INT(RUN(&place, NULL, "ask"), 2);
    CHECK_INT(RUN(&place, NULL, "ask", "--apply", "--dry-run", "x"), 2);
    CHECK_INT(RUN(&place, NULL, "no-such-command"), 2);
    CHECK_INT(RUN(&place, NULL, "--no-such-option"), 2);
    CHECK_INT(RUN(&place, NULL, "ask", "--threads", "many", "x"), 2);
    CHECK_INT(RUN(&place, NULL, "--review", "sometimes"), 2);
    CHECK_INT(RUN(&place, NULL, "--record", "/no/such/folder/log"), 3);
    CHECK_INT(RUN(&place, NULL, "recover"), 0);
    CHECK_INT(RUN(&place, NULL, "--version"), 0);
    CHECK(str_starts(read_text(&place, "out"), S("mux-acp ")));
    CHECK_INT(RUN(&place, NULL, "--help"), 0);
    CHECK_INT(RUN(&place, NULL, "apply", "--help"), 0);
    CHECK(str_contains(read_text(&place, "out"), S("--unidiff-zero")));
    CHECK_INT(RUN(&place, NULL, "undo"), 1);
    place_close(&place);
}

static void test_diff_and_apply(void) {
    Place place;
    place_open(&place);
    for (const char *const *name = (const char *const[]){"x", "y", "x/sub", "y/sub", NULL}; *name; name++)
        CHECK(mkdir(path_in(&place, *name).ptr, 0700) == 0);
    write_text(&place, "x/same", "1\n");
    write_text(&place, "y/same", "1\n");
    write_text(&place, "x/sub/changed", "1\n2\n3\n");
    write_text(&place, "y/sub/changed", "1\ntwo\n3");
    write_text(&place, "x/gone", "1\n");
    write_text(&place, "y/made in a rush", "new\n");
    CHECK_INT(RUN(&place, NULL, "diff", "--root", place.tmp.ptr, "x", "y"), 0);
    CHECK(!str_contains(read_text(&place, "out"), S("same")));
    CHECK(rename(path_in(&place, "out").ptr, path_in(&place, "patch").ptr) == 0);
    const char *patch = path_in(&place, "patch").ptr, *tree = path_in(&place, "x").ptr;
    CHECK_INT(RUN(&place, NULL, "apply", "--root", tree, "--check", patch), 0);
    CHECK_STR(read_text(&place, "x/sub/changed"), S("1\n2\n3\n"));
    CHECK_INT(RUN(&place, "patch", "apply", "--root", tree, "--json"), 0);
    Json *json = out_json(&place);
    CHECK(json_bool(json, "applied", false));
    CHECK_INT(json_int(json, "files", 0), 3);
    json_free(json);
    CHECK_STR(read_text(&place, "x/sub/changed"), S("1\ntwo\n3"));
    CHECK_STR(read_text(&place, "x/made in a rush"), S("new\n"));
    CHECK(access(path_in(&place, "x/gone").ptr, F_OK) != 0);
    CHECK_INT(RUN(&place, NULL, "apply", "--root", tree, patch), 1); /* it is applied already */
    CHECK_INT(RUN(&place, NULL, "apply", "--root", tree, "--reverse", patch), 0);
    CHECK_STR(read_text(&place, "x/sub/changed"), S("1\n2\n3\n"));
    CHECK_STR(read_text(&place, "x/gone"), S("1\n"));
    /* All or none: the second file does not fit. */
    write_text(&place, "x/gone", "other\n");
    CHECK_INT(RUN(&place, NULL, "apply", "--root", tree, patch), 1);
    CHECK_STR(read_text(&place, "x/sub/changed"), S("1\n2\n3\n"));
    CHECK(access(path_in(&place, "x/made in a rush").ptr, F_OK) != 0);
    place_close(&place);
}

static void test_search(void) {
    Place place;
    place_open(&place);
    write_text(&place, "work/b.c", "Return early;\nreturn_it();\n");
    CHECK_INT(RUN(&place, NULL, "search", "return"), 0);
    CHECK_STR(read_text(&place, "out"), S("a.c:2:    return 0;\nb.c:2:return_it();\n"));
    CHECK_INT(RUN(&place, NULL, "search", "-iw", "return"), 0);
    CHECK_STR(read_text(&place, "out"), S("a.c:2:    return 0;\nb.c:1:Return early;\n"));
    CHECK_INT(RUN(&place, NULL, "search", "-F", "--json", "it()"), 0);
    Json *json = out_json(&place);
    CHECK_INT(json_int(json_find(json, "hits")->child, "line", 0), 2);
    json_free(json);
    CHECK_INT(RUN(&place, NULL, "search", "nowhere to be found"), 1);
    CHECK_INT(RUN(&place, NULL, "search", "("), 1);
    place_close(&place);
}

static void test_map(void) {
    Place place;
    place_open(&place);
    write_text(&place, "work/b.c", "int helper_one(void) {\n    return 1;\n}\n");
    write_text(&place, "work/c.c", "int other_one(void) {\n    return helper_one();\n}\n");
    const char *folder = path_in(&place, "work").ptr;
    CHECK_INT(RUN(&place, NULL, "map", "--cwd", folder, "--budget", "16"), 0);
    CHECK(str_starts(read_text(&place, "out"), S("b.c:\n    1: int helper_one(void) {\n")));
    CHECK_INT(RUN(&place, NULL, "map", "--cwd", folder, "--json", "--focus", "c.c", "--focus",
                  path_in(&place, "work/b.c").ptr),
              0);
    Err err = {0};
    Json *map = json_parse(read_text(&place, "out"), &err);
    CHECK_OK(map != NULL, err);
    CHECK_STR(json_str(json_find(map, "files")->child, "path"), S("b.c"));
    CHECK(!json_bool(map, "truncated", true) && json_int(map, "files_read", 0) == 3);
    json_free(map);
    CHECK_INT(RUN(&place, NULL, "map", "--cwd", folder, "--focus", "/etc"), 1);
    CHECK(str_contains(read_text(&place, "err"), S("outside of the workspace")));
    CHECK_INT(RUN(&place, NULL, "map", "--budget", "lots"), 2);
    place_close(&place);
}

static const TestCase CASES[] = {
    {"map", test_map},
    {"transcript", test_transcript},
    {"answers_at_once", test_answers_at_once},
    {"cancel_while_answering", test_cancel_while_answering},
    {"sigterm", test_sigterm},
    {"end_of_input", test_end_of_input},
    {"log", test_log},
    {"client_dies", test_client_dies},
    {"replay", test_replay},
    {"replay_differs", test_replay_differs},
    {"replay_leaves_the_disk_alone", test_replay_leaves_the_disk_alone},
    {"ask", test_ask},
    {"exit_statuses", test_exit_statuses},
    {"diff_and_apply", test_diff_and_apply},
    {"search", test_search},
};
TEST_SUITE(ACP_PROGRAM_SUITE, "program", CASES);
