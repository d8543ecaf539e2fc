/* Reading the three kinds of logs, and what counts as a difference. */
#include "acp/replay_compare.h"
#include "tests/runner.h"

/* The same short conversation, written down by three programs. */
static const char OWN[] =
    "{\"t\":0.1,\"dir\":\"in\",\"msg\":{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{"
    "\"protocolVersion\":1}}}\n"
    "{\"t\":0.1,\"dir\":\"in\",\"raw\":\"{broken\"}\n"
    "{\"t\":0.2,\"dir\":\"out\",\"msg\":{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":1}}}\n"
    "{\"t\":0.3,\"dir\":\"in\",\"msg\":{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session/"
    "new\",\"params\":{\"cwd\":\"/a/b\","
    "\"mcpServers\":[]}}}\n"
    "{\"t\":0.4,\"dir\":\"out\",\"msg\":{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sessionId\":\"s1\"}}}\n"
    "{\"t\":0.5,\"dir\":\"in\",\"msg\":{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"session/"
    "prompt\",\"params\":{\"sessionId\":\"s1\","
    "\"prompt\":[]}}}\n"
    "{\"t\":0.6,\"dir\":\"out\",\"msg\":{\"jsonrpc\":\"2.0\",\"method\":\"session/"
    "update\",\"params\":{\"sessionId\":\"s1\",\"update\":{"
    "\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"see /a/b/c\"}}}}}\n"
    "{\"t\":0.7,\"dir\":\"out\",\"msg\":{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"fs/"
    "read_text_file\",\"params\":{\"sessionId\":\"s1\","
    "\"path\":\"/a/b/c\"}}}\n"
    "{\"t\":0.8,\"dir\":\"in\",\"msg\":{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"content\":\"x\"}}}\n"
    "{\"t\":0.9,\"dir\":\"out\",\"msg\":{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"stopReason\":\"end_"
    "turn\"}}}\n";

static const char COPIED[] = "[\n"
                             " {\"_direction\":\"outgoing\",\"_type\":\"request\",\"id\":0,\"method\":"
                             "\"initialize\",\"params\":{\"protocolVersion\":1}},\n"
                             " {\"_direction\":\"stderr\",\"_type\":\"stderr\",\"line\":\"noise\"},\n"
                             " {\"_direction\":\"incoming\",\"_type\":\"response\",\"id\":0,\"method\":"
                             "\"initialize\",\"params\":{\"protocolVersion\":1}},\n"
                             " {\"_direction\":\"outgoing\",\"_type\":\"request\",\"id\":1,\"method\":"
                             "\"session/new\",\"params\":{\"cwd\":\"/d\",\"mcpServers\":[]}},\n"
                             " {\"_direction\":\"incoming\",\"_type\":\"response\",\"id\":1,\"method\":"
                             "\"session/new\",\"params\":{\"sessionId\":\"other\"}},\n"
                             " {\"_direction\":\"outgoing\",\"_type\":\"request\",\"id\":2,\"method\":"
                             "\"session/prompt\",\"params\":{\"sessionId\":\"other\","
                             "\"prompt\":[]}},\n"
                             " {\"_direction\":\"incoming\",\"_type\":\"notification\",\"id\":null,"
                             "\"method\":\"session/update\",\"params\":{\"sessionId\":\"other\","
                             "\"update\":{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":"
                             "\"text\",\"text\":\"see \"}}}},\n"
                             " {\"_direction\":\"incoming\",\"_type\":\"notification\",\"id\":null,"
                             "\"method\":\"session/update\",\"params\":{\"sessionId\":\"other\","
                             "\"update\":{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":"
                             "\"text\",\"text\":\"/d/c\"}}}},\n"
                             " {\"_direction\":\"incoming\",\"_type\":\"request\",\"id\":0,\"method\":\"fs/"
                             "read_text_file\",\"params\":{\"sessionId\":\"other\","
                             "\"path\":\"/d/c\"}},\n"
                             " {\"_direction\":\"outgoing\",\"_type\":\"response\",\"id\":0,\"method\":\"fs/"
                             "read_text_file\",\"params\":{\"content\":\"x\"}},\n"
                             " {\"_direction\":\"incoming\",\"_type\":\"response\",\"id\":2,\"method\":"
                             "\"session/prompt\",\"params\":{\"stopReason\":\"end_turn\"}}\n"
                             "]\n";

/* Ids of both directions collide on purpose. */
static const char PLAIN[] =
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":1}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session/new\",\"params\":{\"cwd\":\"/a/"
    "b\",\"mcpServers\":[]}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sessionId\":\"s1\"}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"session/"
    "prompt\",\"params\":{\"sessionId\":\"s1\",\"prompt\":[]}}\n"
    "{\"jsonrpc\":\"2.0\",\"method\":\"session/"
    "update\",\"params\":{\"sessionId\":\"s1\",\"update\":{\"sessionUpdate\":"
    "\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"see /a/b/c\"}}}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"fs/"
    "read_text_file\",\"params\":{\"sessionId\":\"s1\",\"path\":\"/a/b/c\"}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"content\":\"x\"}}\n"
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"stopReason\":\"end_turn\"}}\n";

static void read_log(const char *text, ReplayLog *log) {
    Err err = {0};
    CHECK_OK(replay_log_read(str_of(text), log, &err), err);
}

static void check_order(const ReplayLog *log, const char *expected) {
    Buf found = {0};
    for (size_t i = 0; i < log->count; i++) {
        const LogMessage *item = &log->items[i];
        buf_char(&found, item->to_agent ? '>' : '<');
        buf_char(&found, "rnao"[item->kind]);
        if (item->kind == LOG_ANSWER)
            CHECK_MSG(item->partner != STR_NONE && log->items[item->partner].partner == i,
                      "message %zu has no partner", item->number);
    }
    CHECK_STR(buf_text(&found), str_of(expected));
    buf_free(&found);
}

static void test_formats(void) {
    ReplayLog log;
    read_log(OWN, &log);
    check_order(&log, ">r>o<a>r<a>r<n<r>a<a");
    CHECK_STR(log.items[1].raw, S("{broken"));
    CHECK_STR(log.items[9].session, S("s1"));
    replay_log_free(&log);
    read_log(COPIED, &log);
    check_order(&log, ">r<a>r<a>r<n<n<r>a<a");
    CHECK_STR(log.items[9].method, S("session/prompt"));
    replay_log_free(&log);
    read_log(PLAIN, &log);
    check_order(&log, ">r<a>r<a>r<n<r>a<a");
    CHECK_STR(log.items[7].method, S("fs/read_text_file"));
    replay_log_free(&log);
}

static void test_bad_logs(void) {
    static const char *const BAD[] = {
        "", "\n\n", "{\"dir\":\"in\"", "[{\"x\":1}]", "[]", "{\"neither\":1}", "[1,2", "17"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        ReplayLog log;
        Err err = {0};
        CHECK_MSG(!replay_log_read(str_of(BAD[i]), &log, &err), "%s is taken for a log", BAD[i]);
        CHECK(err.text[0] != 0);
        replay_log_free(&log);
    }
}

static size_t differences(const char *a, const char *a_folder, const char *b, const char *b_folder,
                          Buf *out) {
    ReplayLog first, second;
    read_log(a, &first);
    read_log(b, &second);
    Str folders[2] = {str_of(a_folder), str_of(b_folder)};
    ReplaySide recorded = {&first, &folders[0], 1}, now = {&second, &folders[1], 1};
    buf_clear(out);
    size_t count = replay_compare(&recorded, &now, out);
    replay_log_free(&first);
    replay_log_free(&second);
    return count;
}

/* Session names, folders and the cutting of text make no difference; words do. */
static void test_compare(void) {
    Buf out = {0};
    CHECK_INT(differences(PLAIN, "/a/b", COPIED, "/d", &out), 0);
    CHECK_STR(buf_text(&out), S(""));
    CHECK_INT(differences(OWN, "/a/b", PLAIN, "/a/b", &out), 0);
    CHECK(differences(PLAIN, "/a/b", COPIED, "/elsewhere", &out) > 0);
    CHECK(str_contains(buf_text(&out), S("message 1 of the agent")));
    buf_free(&out);
}

#define CHUNK(text)                                                                                          \
    "{\"jsonrpc\":\"2.0\",\"method\":\"session/"                                                             \
    "update\",\"params\":{\"sessionId\":\"s\",\"update\":{\"sessionUpdate\":"                                \
    "\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"" text "\"}}}}\n"
#define HEAD                                                                                                 \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session/new\",\"params\":{\"cwd\":\"/"                       \
    "\",\"mcpServers\":[]}}\n"                                                                               \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sessionId\":\"s\"}}\n"                                      \
    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"session/"                                                    \
    "prompt\",\"params\":{\"sessionId\":\"s\",\"prompt\":[]}}\n"
#define STOP(reason) "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"stopReason\":\"" reason "\"}}\n"

/* How far a cancelled answer got is a matter of time, what it said is not. */
static void test_cancelled_text(void) {
    Buf out = {0};
    CHECK_INT(differences(HEAD CHUNK("one ") CHUNK("two") STOP("cancelled"), "/",
                          HEAD CHUNK("one") STOP("cancelled"), "/", &out),
              0);
    CHECK_INT(
        differences(HEAD CHUNK("one") STOP("cancelled"), "/", HEAD CHUNK("two") STOP("cancelled"), "/", &out),
        1);
    CHECK_INT(differences(HEAD CHUNK("one two") STOP("end_turn"), "/", HEAD CHUNK("one") STOP("end_turn"),
                          "/", &out),
              1);
    CHECK_INT(differences(HEAD CHUNK("mux-acp undo 1-ab12 now") STOP("end_turn"), "/",
                          HEAD CHUNK("mux-acp undo 22-c now") STOP("end_turn"), "/", &out),
              0);
    buf_free(&out);
}

static const TestCase CASES[] = {
    {"formats", test_formats},
    {"bad_logs", test_bad_logs},
    {"compare", test_compare},
    {"cancelled_text", test_cancelled_text},
};
TEST_SUITE(ACP_REPLAY_SUITE, "replay", CASES);
