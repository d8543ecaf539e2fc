/* Framing: every row of the table of the protocol's transport, ids of all kinds, over-long lines, broken
 * bytes. */
#include <sched.h>
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
        {"{\"jsonrpc\":\"2.0\",\"id\":14,\"method\":\"\\ud800\"}", "14", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":15,\"method\":\"a\\u0000b\"}", "15", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"x\",\"params\":\"\\ud800\"}", "\"b\"", -32700},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"\\udc00\",\"id\":\"\\q\"}", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"\\udc00\",\"id\":01}", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":\"\\udc00\"}", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":16,\"method\":\"no/such\"}\r", "16", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":\x01 \"x\",\"method\":\"no/such\"}", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"\\u0069d\":\"x\",\"id\":{},\"method\":\"no/such\"}", "\"x\"", -32601},
        {"{\"jsonrpc\":\"2.0\",\"\\u0069d\":\"x\",\"id\":\"a\",\"method\":\"no/such\"}", "\"x\"", -32601},
        {"{\"jsonrpc\":\"2.0\",\"\\u0069d\":18,\"method\":\"no/such\"}", "18", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":17,\"method\":\"no/such\",\"surplus\":[1,{}]}", "17", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"no/such\"}", "null", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"no/such\"}", "1.5", -32601},
        {"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"no/such\"}", "null", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":18,\"method\":\"session/update\",\"params\":{}}", "18", -32601},
        {"{\"jsonrpc\":2.0,\"id\":19,\"method\":\"no/such\"}", "null", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":20,\"method\":null}", "20", -32600},
        {"{\"jsonrpc\":\"2.0\",\"id\":21,\"result\":{},\"method\":\"no/such\"}", "21", -32601},
        {"{} {}", "null", -32700},
        {"\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"id\":22,\"method\":\"no/such\"}", "22", -32601},
        {"null", "null", -32600},
        {"\x00", NULL, 0},
        {"Content-Length: 20", "null", -32700},
        {"{\"jsonrpc\":\"2.0\",\"id\":23,\"method\":\"$/cancel_request\",\"params\":{\"requestId\":1}}", "23",
         -32601},
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
    memset(line, ' ', n);
    static const char ASKED[] = "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"no/such\",\"params\":\"";
    memcpy(line, ASKED, sizeof ASKED - 1);
    line[n - 1] = '\n';
    client_send_bytes(&client, (Str){line, n});
    check_error(&client, "6", -32600); /* whoever asked is told */
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
    check_error(&client, "1", -32700);
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

/* ---- any split of the stream ---- */

/* A conversation with everything in it that framing has to tell apart. Answers depend on nothing but the
 * bytes: no session, no ids of ours. */
static Str mixed_stream(Arena *arena) {
    Buf out = {0};
    static const char *const PIECES[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":\"h\xC3\xA9\xF0\x9F\x98\x80\",\"method\":\"no/such\"}\r\n",
        "\n",
        "\r\n  \n",
        "{broken \xFF\xC3\n",
        "[{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"x\"}]\n",
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"\\ud83d\\ude00\\n\"}\n",
        "{\"jsonrpc\":\"2.0\",\"method\":\"no/such\"}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"session/new\",\"params\":{\"cwd\":\"\\\\\\\"}\"}}\n",
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"session/"
        "prompt\",\"params\":{\"sessionId\":\"x\",\"prompt\":[]}}\n",
    };
    size_t count = sizeof PIECES / sizeof *PIECES;
    for (int i = 0; i < 40; i++)
        buf_cstr(&out, PIECES[test_random() % count]);
    /* Longer than one read. */
    buf_cstr(&out, "{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"");
    buf_repeat(&out, 'm', 60000 + test_random() % 20000);
    buf_cstr(&out, "\"}\n{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"end\"}"); /* and no line end */
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static size_t random_cut(size_t left) {
    static const size_t MOST[] = {1, 3, 17, 400, 70000};
    size_t n = 1 + test_random() % MOST[test_random() % 5];
    return n < left ? n : left;
}

/* All that the agent writes for these bytes, sent in pieces of random sizes (or as one). */
static Str answers_to(Str text, bool in_pieces, Arena *arena) {
    TestClient client;
    client_open(&client, NULL);
    Buf out = {0};
    for (Str rest = text, line; str_next_line(&rest, &line);) {
        Json *message = json_parse(line, NULL);
        schema_note_sent(client.schema, message);
        json_free(message);
    }
    for (Str rest = text; rest.len;) {
        size_t n = in_pieces ? random_cut(rest.len) : rest.len;
        client_send_bytes(&client, str_slice(rest, 0, n));
        rest = str_from(rest, n);
        if (test_random() % 4 == 0)
            sched_yield(); /* so that pieces are also read one by one */
    }
    close(client.to_agent);
    client.to_agent = -1;
    for (Json *message; (message = client_next(&client)); json_free(message)) {
        json_print(message, &out);
        buf_char(&out, '\n');
    }
    CHECK_INT(client_end(&client), 0);
    Str all = buf_copy(&out, arena);
    buf_free(&out);
    return all;
}

static void test_any_split_of_anything(void) {
    const char *given = getenv("MUX_SEED");
    for (uint64_t seed = given ? strtoull(given, NULL, 10) : 1, last = seed + (given ? 1 : 12); seed < last;
         seed++) {
        Arena arena = {0};
        test_seed(seed);
        Str text = mixed_stream(&arena), whole = answers_to(text, false, &arena);
        CHECK(str_contains(whole, S("\"id\":7")));
        for (int i = 0; i < 8; i++) {
            Str pieces = answers_to(text, true, &arena);
            CHECK_MSG(str_eq(pieces, whole), "with MUX_SEED=%llu, split %d, the answers are others",
                      (unsigned long long)seed, i);
        }
        arena_free(&arena);
    }
}

/* After an over-long line the stream is picked up again at its line end, however it was cut; of several such
 * lines each is refused once, and an over-long answer is still an answer. */
static void test_long_lines_in_pieces(void) {
    TestClient client;
    client_open(&client, NULL);
    Buf line = {0};
    buf_repeat(&line, 'x', 1 << 20);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 33; i++)
            client_send_bytes(&client, buf_text(&line));
        client_send_bytes(&client, S("\n{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"no/such\"}\n"));
        check_error(&client, "null", -32600);
        check_error(&client, "9", -32601);
    }
    buf_free(&line);
    check_alive(&client);
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

/* More than the outbox takes, from a thread that a handler waits for. */
enum { FLOOD_LINES = 24 };

static void *flood(void *ctx) {
    Buf text = {0};
    buf_repeat(&text, 'x', 1 << 20);
    for (int i = 0; i < FLOOD_LINES; i++)
        peer_notify(ctx, "flood", json_text(buf_text(&text)));
    buf_free(&text);
    return NULL;
}

static void wait_for_flood(void *ctx, Peer *peer, const RpcMessage *message) {
    (void)ctx;
    (void)message;
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, flood, peer), 0);
    pthread_join(thread, NULL);
}

static void test_handler_waits_for_sender(void) {
    static const Method METHOD = {"flood", METHOD_NOTIFICATION, wait_for_flood};
    static const Method *const METHODS[] = {&METHOD};
    static const char LINE[] = "{\"jsonrpc\":\"2.0\",\"method\":\"flood\"}\n";
    int in[2], out[2];
    PeerStats stats;
    CHECK(pipe(in) == 0 && pipe(out) == 0); /* nobody reads what is written */
    Peer *peer = peer_open(in[0], out[1], METHODS, 1, NULL, NULL);
    CHECK_INT(write(in[1], LINE, sizeof LINE - 1), sizeof LINE - 1);
    CHECK(peer_pump(peer, -1));
    peer_stats(peer, &stats);
    CHECK_INT(stats.messages_out, FLOOD_LINES);
    close(in[1]);
    peer_stop(peer);
    CHECK(!peer_pump(peer, -1));
    peer_close(peer);
    close(in[0]);
    close(out[0]);
    close(out[1]);
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
    {"any_split_of_anything", test_any_split_of_anything},
    {"long_lines_in_pieces", test_long_lines_in_pieces},
    {"last_line_without_end", test_last_line_without_end},
    {"handler_waits_for_sender", test_handler_waits_for_sender},
    {"raw_member", test_raw_member},
};
TEST_SUITE(ACP_FRAMING_SUITE, "framing", CASES);
