/* Framing: every row of the table of the protocol's transport, ids of all kinds, over-long lines, broken
 * bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fakes/client.h"
#include "tests/runner.h"

static void check_error(TestClient *client, const char *id, int code) {
    Json *answer = client_next(client);
    CHECK_MSG(answer != NULL, "no answer where error %d was due", code);
    Buf found = {0};
    json_print(json_find(answer, "id"), &found);
    CHECK_STR(buf_text(&found), str_of(id));
    CHECK_INT(json_int(json_find(answer, "error"), "code", 0), code);
    CHECK(json_str(json_find(answer, "error"), "message").len > 0);
    buf_free(&found);
    json_free(answer);
}

static void check_alive(TestClient *client) {
    client_send(
        client,
        "{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"initialize\",\"params\":{\"protocolVersion\":2}}");
    Json *answer = client_next(client);
    CHECK_INT(json_int(answer, "id", 0), 77);
    CHECK_INT(json_int(json_find(answer, "result"), "protocolVersion", 0), 1);
    json_free(answer);
}

static void test_table(void) {
    static const struct {
        const char *line, *id;
        int code; /* 0: no answer */
    } ROWS[] = {
        {"{not json", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":01,\"method\":\"x\"}", "null", -32600},
        {"\"text\"", "null", -32600},
        {"17", "null", -32600},
        {"{\"id\":1,\"method\":\"initialize\",\"params\":{}}", "null", -32600},
        {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"initialize\",\"params\":{}}", "null", -32600},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}]", "null", -32600},
        {"[]", "null", -32600},
        {"", NULL, 0},
        {"   ", NULL, 0},
        {"\r", NULL, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"no/such\",\"params\":{}}", "2", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"_ext/own\"}", "3", -32601},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"no/such\"}", NULL, 0},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"_ext/own\",\"params\":{}}", NULL, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":12345,\"result\":{}}", NULL, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"never\",\"result\":{}}", NULL, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":12345,\"error\":{\"code\":1,\"message\":\"x\"}}", NULL, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"initialize\",\"params\":{}}", "4", -32602},
        {"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"initialize\"}", "5", -32602},
        {"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"session/new\",\"params\":{\"mcpServers\":[]}}", "6",
         -32602},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"session/"
         "new\",\"params\":{\"cwd\":\"rel\",\"mcpServers\":[]}}",
         "7", -32602},
        {"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"session/new\",\"params\":{\"cwd\":\"/\"}}", "8", -32602},
        {"{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"session/"
         "prompt\",\"params\":{\"sessionId\":\"none\",\"prompt\":[]}}",
         "9", -32002},
        {"{\"jsonrpc\":\"2.0\",\"id\":10,\"method\":\"authenticate\",\"params\":{\"methodId\":\"x\"}}", "10",
         -32602},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"session/cancel\",\"params\":{\"sessionId\":\"none\"}}", NULL, 0},
        {"{\"jsonrpc\":\"2.0\",\"id\":11,\"method\":17}", "11", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":12}", "12", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"x\"}", "null", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":13,\"method\":\"a\xFF\"}", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":14,\"method\":\"\\ud800\"}", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":15,\"method\":\"a\\u0000b\"}", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":16,\"method\":\"no/such\"}\r", "16", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":\x01 \"x\",\"method\":\"no/such\"}", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"\\u0069d\":\"x\",\"id\":{},\"method\":\"no/such\"}", "\"x\"", -32601},
        {"{\"jsonrpc\":\"2.0\",\"\\u0069d\":18,\"method\":\"no/such\"}", "18", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":17,\"method\":\"no/such\",\"surplus\":[1,{}]}", "17", -32601},
    };
    TestClient client;
    client_open(&client, NULL);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        client_send_bytes(&client, str_of(ROWS[i].line));
        client_send_bytes(&client, S("\n"));
        if (ROWS[i].code)
            check_error(&client, ROWS[i].id, ROWS[i].code);
        check_alive(&client);
    }
    CHECK_INT(client_end(&client), 0);
}

/* The id comes back as the bytes it was sent in. */
static void test_ids(void) {
    static const char *const IDS[] = {
        "0",           "-7",          "null",  "9007199254740993",    "1.50", "1e3", "\"\"",
        "\"a \\\"b\"", "\"\\u00e9\"", "\"0\"", "12345678901234567890"};
    TestClient client;
    client_open(&client, NULL);
    for (size_t i = 0; i < sizeof IDS / sizeof *IDS; i++) {
        Str line = str_printf(&client.arena, "{\"jsonrpc\":\"2.0\" , \"id\" : %s ,\"method\":\"no/such\"}\n",
                              IDS[i]);
        client_send_bytes(&client, line);
        char answer[400] = "";
        for (size_t n = 0; n + 1 < sizeof answer && (n == 0 || answer[n - 1] != '\n'); n++)
            CHECK(read(client.from_agent, answer + n, 1) == 1);
        Str expected = str_printf(&client.arena, "\"id\":%s,\"error\":", IDS[i]);
        CHECK_MSG(strstr(answer, expected.ptr) != NULL, "%s is not in %s", expected.ptr, answer);
    }
    CHECK_INT(client_end(&client), 0);
}

static void test_notification_is_no_request(void) {
    TestClient client;
    client_open(&client, NULL);
    /* A notification's name with an id is an unknown request; a request without id gets no answer. */
    client_send(
        &client,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session/cancel\",\"params\":{\"sessionId\":\"x\"}}");
    check_error(&client, "1", -32601);
    client_send(&client,
                "{\"jsonrpc\":\"2.0\",\"method\":\"initialize\",\"params\":{\"protocolVersion\":1}}");
    check_alive(&client);
    CHECK_INT(client_end(&client), 0);
}

static void test_long_line(void) {
    TestClient client;
    client_open(&client, NULL);
    size_t n = RPC_LINE_MAX + 100000;
    char *line = malloc(n);
    CHECK(line != NULL);
    memset(line, ' ', n);
    memcpy(line, "{\"jsonrpc\":\"2.0\",", 17);
    line[n - 1] = '\n';
    client_send_bytes(&client, (Str){line, n});
    check_error(&client, "null", -32600);
    check_alive(&client);
    /* Just below the cap is taken. */
    memset(line, ' ', n);
    static const char HEAD[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"no/such\"}";
    memcpy(line, HEAD, sizeof HEAD - 1);
    line[RPC_LINE_MAX - 1] = '\n';
    client_send_bytes(&client, (Str){line, RPC_LINE_MAX});
    check_error(&client, "5", -32601);
    free(line);
    CHECK_INT(client_end(&client), 0);
}

static void test_deep_nesting(void) {
    TestClient client;
    client_open(&client, NULL);
    Buf line = {0};
    buf_cstr(&line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":");
    buf_repeat(&line, '[', 100000);
    buf_repeat(&line, ']', 100000);
    buf_cstr(&line, "}\n");
    client_send_bytes(&client, buf_text(&line));
    buf_free(&line);
    check_error(&client, "null", -32700);
    check_alive(&client);
    CHECK_INT(client_end(&client), 0);
}

static void test_any_split(void) {
    TestClient client;
    client_open(&client, NULL);
    const char *line =
        "{\"jsonrpc\":\"2.0\",\"id\":\"\xC3\xA9\",\"method\":\"no/such\"}\n\n{\"jsonrpc\":\"2.0\",\"id\":2,"
        "\"method\":\"no/such\"}\n";
    for (const char *p = line; *p; p++)
        client_send_bytes(&client, (Str){p, 1});
    check_error(&client, "\"\xC3\xA9\"", -32601);
    check_error(&client, "2", -32601);
    CHECK_INT(client_end(&client), 0);
}

static void test_last_line_without_end(void) {
    TestClient client;
    client_open(&client, NULL);
    client_send_bytes(&client, S("{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"no/such\"}"));
    close(client.to_agent);
    client.to_agent = -1;
    check_error(&client, "8", -32601);
    CHECK_INT(client_end(&client), 0);
}

static void test_raw_member(void) {
    Str raw;
    CHECK(json_raw_member(S("{\"a\":{\"id\":1},\"id\" : \"x\\\"}\" }"), "id", &raw));
    CHECK_STR(raw, S("\"x\\\"}\""));
    CHECK(json_raw_member(S("{\"a\":[1,{\"b\":\"]\"}],\"id\":-3}"), "id", &raw));
    CHECK_STR(raw, S("-3"));
    CHECK(!json_raw_member(S("{\"a\":1}"), "id", &raw));
    CHECK(!json_raw_member(S("{\"a\":\"\\"), "id", &raw));
    CHECK(!json_raw_member(S("[]"), "id", &raw));
    CHECK(!json_raw_member(S("{\"id\":12"), "id", &raw));
    CHECK(json_raw_member(S("{\"id\":12,\"result\":{\"content\":\"unfin"), "id", &raw));
}

static const TestCase CASES[] = {
    {"table", test_table},
    {"ids", test_ids},
    {"notification_is_no_request", test_notification_is_no_request},
    {"long_line", test_long_line},
    {"deep_nesting", test_deep_nesting},
    {"any_split", test_any_split},
    {"last_line_without_end", test_last_line_without_end},
    {"raw_member", test_raw_member},
};
TEST_SUITE(ACP_FRAMING_SUITE, "framing", CASES);
