/* What a review asks of the client, and what its answers mean: by turn, by file, hunk by hunk; notices; calls
 * of files that are refused, late or never answered. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acp/v1.h"
#include "tests/fakes/client.h"
#include "tests/runner.h"

#define PLAIN "{}"
#define FORMS "{\"elicitation\":{\"form\":{}}}"
#define SHOWS "{\"session\":{\"notices\":{},\"compaction\":{}}}"
#define FILES "{\"fs\":{\"readTextFile\":true,\"writeTextFile\":true}}"

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

static void answer(TestClient *client, const char *id, const char *body) {
    client_send(client, str_printf(&client->arena, "{\"jsonrpc\":\"2.0\",\"id\":%s,%s}", id, body).ptr);
}

static void choose(TestClient *client, const char *id, const char *option) {
    answer(client, id,
           str_printf(&client->arena,
                      "\"result\":{\"outcome\":{\"outcome\":\"selected\",\"optionId\":\"%s\"}}", option)
               .ptr);
}

/* The next request of this method; everything else is passed over. */
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
    CHECK_MSG(false, "the agent never called %s", method);
    return "";
}

/* Message and thought text up to the answer of the prompt, then its stop reason. */
static const char *finish(TestClient *client, int id) {
    Buf said = {0};
    Json *message;
    while ((message = client_next(client)) &&
           (json_find(message, "method") || json_int(message, "id", -1) != id)) {
        const Json *update = json_find(json_find(message, "params"), "update");
        Str kind = json_str(update, "sessionUpdate");
        if (str_eq(kind, S("agent_message_chunk")))
            buf_str(&said, json_str(json_find(update, "content"), "text"));
        else if (str_eq(kind, S("agent_thought_chunk")))
            buf_printf(&said, "(%.*s)", STR_ARG(str_trim(json_str(json_find(update, "content"), "text"))));
        else if (str_eq(kind, S("session_info_update")))
            buf_cstr(&said, str_eq(json_str(update, "title"), S("New name")) ? "<named>" : "");
        else if (str_eq(kind, S("notice")) || str_eq(kind, S("compaction_update")))
            buf_printf(&said, "<%.*s>", STR_ARG(kind));
        json_free(message);
    }
    buf_printf(&said, "|%.*s", STR_ARG(json_str(json_find(message, "result"), "stopReason")));
    json_free(message);
    const char *all = buf_copy(&said, &client->arena).ptr;
    buf_free(&said);
    return all;
}

static const char *start(TestClient *client, const char *capabilities) {
    client_open(client, NULL);
    return client_start_session(client, capabilities, "/tmp");
}

/* ---- one permission ---- */

static const char *option_names(TestClient *client, const Json *params) {
    Buf names = {0};
    JSON_EACH(option, json_find(params, "options"))
    buf_printf(&names, "%s%.*s", names.len ? "; " : "", STR_ARG(json_str(option, "name")));
    const char *all = buf_copy(&names, &client->arena).ptr;
    buf_free(&names);
    return all;
}

static void test_names_fit(void) {
    static const struct {
        const char *scene, *names;
    } ROWS[] = {
        {"ask", "Apply; Apply, and do not ask again; Reject; Reject everything in this session"},
        {"run", "Run; Run, and do not ask again for make, whatever its arguments; Do not run; Run nothing in "
                "this session"},
        {"use", "Allow; Allow, and do not ask again for this tool; Do not allow; Never in this session"},
    };
    TestClient client;
    const char *session = start(&client, FORMS);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        Json *params;
        prompt(&client, 1, session, ROWS[i].scene);
        const char *id = next_call(&client, "session/request_permission", &params);
        CHECK_STR(str_of(option_names(&client, params)), str_of(ROWS[i].names));
        json_free(params);
        choose(&client, id, "allow_always");
        CHECK_STR(str_of(finish(&client, 1)), S("decision 1|end_turn"));
    }
    CHECK_INT(client_end(&client), 0);
}

static void test_whole_turn(void) {
    TestClient client;
    const char *session = start(&client, FORMS);
    Json *params;
    prompt(&client, 1, session, "files 3");
    const char *id = next_call(&client, "session/request_permission", &params);
    const Json *content = json_find(json_find(params, "toolCall"), "content");
    CHECK_INT(json_len(content), 3);
    CHECK_STR(json_str(content->child->next, "path"), S("/tmp/f1.c"));
    json_free(params);
    choose(&client, id, "reject_once");
    CHECK_STR(str_of(finish(&client, 1)), S("decision 2|end_turn"));
    CHECK_INT(client_end(&client), 0);
}

/* ---- hunk by hunk, without forms ---- */

static void test_hunk_permissions(void) {
    static const struct {
        const char *choices[4]; /* one a question, as many as are asked */
        const char *said;
    } ROWS[] = {
        {{"keep", "drop", "keep"}, "decision 0 keeps 1,3"},
        {{"drop", "keep_rest"}, "decision 0 keeps 2,3"},
        {{"keep", "drop_rest"}, "decision 0 keeps 1"},
        {{"keep_rest"}, "decision 0 keeps 1,2,3"},
        {{"drop_rest"}, "decision 2"},
        {{"drop", "drop", "drop"}, "decision 2"},
        {{"keep", "made up", "keep"}, "decision 0 keeps 1,3"},
    };
    TestClient client;
    const char *session = start(&client, PLAIN);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        prompt(&client, 1, session, "hunks 3");
        for (size_t k = 0; ROWS[i].choices[k]; k++) {
            Json *params;
            const char *id = next_call(&client, "session/request_permission", &params);
            const Json *call = json_find(params, "toolCall"), *diff = json_find(call, "content")->child;
            CHECK_INT(json_len(json_find(call, "content")), 1);
            CHECK(str_contains(json_str(diff, "newText"), str_printf(&client.arena, "new %zu\n", k + 1)));
            CHECK(!str_contains(json_str(diff, "newText"), str_printf(&client.arena, "new %zu\n", k + 2)));
            CHECK_INT(json_len(json_find(params, "options")), k < 2 ? 4 : 2);
            CHECK(str_starts(json_str(call, "title"),
                             str_printf(&client.arena, "Change %zu of 3 in a.c", k + 1)));
            json_free(params);
            choose(&client, id, ROWS[i].choices[k]);
        }
        CHECK_STR(str_of(finish(&client, 1)), str_printf(&client.arena, "%s|end_turn", ROWS[i].said));
    }
    CHECK_INT(client_end(&client), 0);
}

/* Withdrawn by the client in the middle, cancelled by the user in the middle, gone in the middle. */
static void test_hunk_permissions_end_early(void) {
    TestClient client;
    const char *session = start(&client, PLAIN);
    prompt(&client, 1, session, "hunks 3");
    choose(&client, next_call(&client, "session/request_permission", NULL), "keep");
    answer(&client, next_call(&client, "session/request_permission", NULL),
           "\"result\":{\"outcome\":{\"outcome\":\"cancelled\"}}");
    CHECK_STR(str_of(finish(&client, 1)), S("decision 4|end_turn"));
    prompt(&client, 2, session, "hunks 3;say never");
    choose(&client, next_call(&client, "session/request_permission", NULL), "keep");
    const char *open = next_call(&client, "session/request_permission", NULL);
    client_send(
        &client,
        str_printf(&client.arena,
                   "{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":{\"sessionId\":\"%s\"}}",
                   session)
            .ptr);
    Json *withdrawn;
    next_call(&client, "$/cancel_request", &withdrawn);
    CHECK_INT(json_int(withdrawn, "requestId", -1), atoi(open));
    json_free(withdrawn);
    CHECK_STR(str_of(finish(&client, 2)), S("|cancelled"));
    choose(&client, open, "keep"); /* too late: nobody listens */
    prompt(&client, 3, session, "say on");
    CHECK_STR(str_of(finish(&client, 3)), S("on|end_turn"));
    prompt(&client, 4, session, "hunks 3");
    choose(&client, next_call(&client, "session/request_permission", NULL), "keep");
    CHECK_INT(client_end(&client), 0);
}

/* ---- hunk by hunk, in forms ---- */

static void test_form(void) {
    TestClient client;
    const char *session = start(&client, FORMS);
    Json *params;
    prompt(&client, 1, session, "hunks 3");
    const char *id = next_call(&client, "elicitation/create", &params);
    CHECK_STR(json_str(params, "mode"), S("form"));
    CHECK_STR(json_str(params, "sessionId"), str_of(session));
    CHECK_STR(json_str(params, "toolCallId"), S("call-1"));
    CHECK_STR(json_str(params, "message"), S("Which of the 3 changes to a.c are to be made?"));
    const Json *properties = json_find(json_find(params, "requestedSchema"), "properties");
    CHECK_INT(json_len(properties), 3);
    const Json *second = properties->child->next;
    CHECK_STR(str_of(second->string), S("hunk_00002"));
    CHECK_STR(json_str(second, "title"), S("line 6: -old 2 / +new 2"));
    CHECK_STR(json_str(second, "type"), S("boolean"));
    CHECK(json_bool(second, "default", false));
    json_free(params);
    answer(&client, id,
           "\"result\":{\"action\":\"accept\",\"content\":{\"hunk_00001\":true,\"hunk_00002\":false}}");
    CHECK_STR(str_of(finish(&client, 1)), S("decision 0 keeps 1,3|end_turn"));
    CHECK_INT(client_end(&client), 0);
}

static void test_form_answers(void) {
    static const struct {
        const char *body, *said;
    } ROWS[] = {
        {"\"result\":{\"action\":\"accept\"}", "decision 0 keeps 1,2,3"},
        {"\"result\":{\"action\":\"accept\",\"content\":null}", "decision 0 keeps 1,2,3"},
        {"\"result\":{\"action\":\"accept\",\"content\":{\"hunk_00003\":\"no\",\"other\":1}}",
         "decision 0 keeps 1,2"},
        {"\"result\":{\"action\":\"accept\",\"content\":{\"hunk_00001\":false,\"hunk_00002\":false,"
         "\"hunk_00003\":false}}",
         "decision 2"},
        {"\"result\":{\"action\":\"accept\",\"content\":\"none\"}", "decision 2"},
        {"\"result\":{\"action\":\"accept\",\"content\":[]}", "decision 2"},
        {"\"result\":{\"action\":\"decline\"}", "decision 2"},
        {"\"result\":{\"action\":\"cancel\"}", "decision 4"},
        {"\"result\":{\"action\":\"shrug\"}", "decision 2"},
        {"\"result\":7", "decision 2"},
        {"\"error\":{\"code\":-32603,\"message\":\"no\"}", "decision 2"},
    };
    TestClient client;
    const char *session = start(&client, FORMS);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        prompt(&client, 1, session, "hunks 3");
        answer(&client, next_call(&client, "elicitation/create", NULL), ROWS[i].body);
        CHECK_STR(str_of(finish(&client, 1)), str_printf(&client.arena, "%s|end_turn", ROWS[i].said));
    }
    /* It said that it has forms, and has not. */
    prompt(&client, 2, session, "hunks 2");
    answer(&client, next_call(&client, "elicitation/create", NULL),
           "\"error\":{\"code\":-32601,\"message\":\"none here\"}");
    choose(&client, next_call(&client, "session/request_permission", NULL), "drop");
    choose(&client, next_call(&client, "session/request_permission", NULL), "keep");
    CHECK_STR(str_of(finish(&client, 2)), S("decision 0 keeps 2|end_turn"));
    CHECK_INT(client_end(&client), 0);
}

/* Forty ticks a form. */
static void test_many_forms(void) {
    TestClient client;
    const char *session = start(&client, FORMS);
    static const int COUNTS[] = {40, 40, 10};
    prompt(&client, 1, session, "hunks 90");
    for (size_t i = 0; i < 3; i++) {
        Json *params;
        const char *id = next_call(&client, "elicitation/create", &params);
        CHECK_INT(json_len(json_find(json_find(params, "requestedSchema"), "properties")), COUNTS[i]);
        json_free(params);
        const char *body = i == 0 ? "\"result\":{\"action\":\"accept\",\"content\":{\"hunk_00002\":false}}"
                                  : "\"result\":{\"action\":\"accept\",\"content\":{\"hunk_00090\":false}}";
        answer(&client, id, body);
    }
    const char *said = finish(&client, 1);
    CHECK(str_starts(str_of(said), S("decision 0 keeps 1,3,4,")) && strstr(said, ",88,89|end_turn"));
    CHECK_INT(client_end(&client), 0);
}

/* A hunk's label stays short, whole characters only. */
static void test_labels(void) {
    static const struct {
        V1Hunk hunk;
        const char *label;
    } ROWS[] = {
        {{.old_lines = STR_INIT("a\n"), .new_lines = STR_INIT("b\n"), .first_line = 3, .line_count = 1},
         "line 3: -a / +b"},
        {{.old_lines = STR_INIT("\n  a\nb\n"), .new_lines = STR_INIT(""), .first_line = 3, .line_count = 3},
         "lines 3-5: -a..."},
        {{.old_lines = STR_INIT(""), .new_lines = STR_INIT("b"), .first_line = 3}, "after line 2: +b"},
        {{.old_lines = STR_INIT(""), .new_lines = STR_INIT("b"), .first_line = 1}, "at the beginning: +b"},
        {{.old_lines = STR_INIT("01234567890123456789012345678901234567890123456\xC3\xA9!\n"),
          .new_lines = STR_INIT("\n"),
          .first_line = 1,
          .line_count = 1},
         "line 1: -01234567890123456789012345678901234567890123456... / +"},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        V1HunkQuestion question = {
            .tool_id = S("t"), .path = S("/a"), .relative = S("a"), .hunks = &ROWS[i].hunk, .count = 1};
        Json *params = v1_hunk_form_params(S("s"), &question, 0, 1);
        const Json *properties = json_find(json_find(params, "requestedSchema"), "properties");
        CHECK_STR(json_str(properties->child, "title"), str_of(ROWS[i].label));
        json_free(params);
    }
}

/* ---- what is no part of the answer ---- */

static void test_notices(void) {
    TestClient client;
    const char *session = start(&client, SHOWS);
    prompt(&client, 1, session, "say a;notice careful;compact;title New name;say b");
    CHECK_STR(str_of(finish(&client, 1)),
              S("a<notice><compaction_update><compaction_update><named>b|end_turn"));
    CHECK_INT(client_end(&client), 0);
    session = start(&client, PLAIN);
    prompt(&client, 1, session, "say a;notice careful;title New name;compact");
    CHECK_STR(str_of(finish(&client, 1)),
              S("a(careful: why)<named>(What was said so far is being summed up, to make room.)(It "
                "is summed up.)|end_turn"));
    CHECK_INT(client_end(&client), 0);
}

/* ---- patient and impatient clients ---- */

static const char *start_impatient(TestClient *client) {
    client_open_config(client, (ConnectionConfig){.review = REVIEW_ASK, .client_timeout_ms = 50});
    return client_start_session(client, FILES, "/tmp");
}

/* Nothing is answered: the call is withdrawn, the turn goes on, the late answer is passed over. */
static void test_files_never_answered(void) {
    static const char *const CALLS[][2] = {{"read /tmp/some/file;say on", "fs/read_text_file"},
                                           {"write /tmp/some/file x;say on", "fs/write_text_file"}};
    TestClient client;
    const char *session = start_impatient(&client);
    for (size_t i = 0; i < 2; i++) {
        Json *withdrawn;
        prompt(&client, 1, session, CALLS[i][0]);
        const char *id = next_call(&client, CALLS[i][1], NULL);
        next_call(&client, "$/cancel_request", &withdrawn);
        CHECK_INT(json_int(withdrawn, "requestId", -1), atoi(id));
        json_free(withdrawn);
        answer(&client, id, "\"result\":{\"content\":\"late\"}");
        const char *said = finish(&client, 1);
        CHECK_MSG(strstr(said, "io: the editor did not ") && strstr(said, "/tmp/some/file within 0.05 s") &&
                      strstr(said, "on|end_turn"),
                  "%s", said);
    }
    /* A question may take as long as it likes. */
    prompt(&client, 2, session, "ask");
    choose(&client, next_call(&client, "session/request_permission", NULL), "allow_once");
    CHECK_STR(str_of(finish(&client, 2)), S("decision 0|end_turn"));
    CHECK_INT(client_end(&client), 0);
}

/* Answered right behind the withdrawal: whoever comes first, the turn goes on and the next one is in order.
 */
static void test_files_answered_late(void) {
    TestClient client;
    const char *session = start_impatient(&client);
    for (int i = 0; i < 20; i++) {
        prompt(&client, 1, session, "read /tmp/some/file;say on");
        const char *id = next_call(&client, "fs/read_text_file", NULL);
        poll(NULL, 0, 40 + i);
        answer(&client, id, "\"result\":{\"content\":\"text\"}");
        const char *said = finish(&client, 1);
        CHECK_MSG(strstr(said, "on|end_turn"), "%s", said);
    }
    CHECK_INT(client_end(&client), 0);
}

/* After a cancel the prompt is answered with nothing else, also when its end was on the way. */
static void test_cancel_has_the_last_word(void) {
    TestClient client;
    const char *session = start(&client, FILES);
    prompt(&client, 1, session, "write /tmp/some/file x");
    const char *id = next_call(&client, "fs/write_text_file", NULL);
    client_send(
        &client,
        str_printf(&client.arena,
                   "{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":{\"sessionId\":\"%s\"}}",
                   session)
            .ptr);
    answer(&client, id, "\"result\":{}");
    CHECK_STR(str_of(finish(&client, 1)), S("written|cancelled"));
    CHECK_INT(client_end(&client), 0);
}

static const TestCase CASES[] = {
    {"names_fit", test_names_fit},
    {"whole_turn", test_whole_turn},
    {"hunk_permissions", test_hunk_permissions},
    {"hunk_permissions_end_early", test_hunk_permissions_end_early},
    {"form", test_form},
    {"form_answers", test_form_answers},
    {"many_forms", test_many_forms},
    {"labels", test_labels},
    {"notices", test_notices},
    {"files_never_answered", test_files_never_answered},
    {"files_answered_late", test_files_answered_late},
    {"cancel_has_the_last_word", test_cancel_has_the_last_word},
};
TEST_SUITE(ACP_REVIEW_SUITE, "review", CASES);
