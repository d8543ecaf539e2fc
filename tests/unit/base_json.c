#include "base/json.h"
#include "tests/runner.h"

static void test_refuses(void) {
    static const Str BAD[] = {
        STR_INIT(""),
        STR_INIT("{"),
        STR_INIT("{} x"),
        STR_INIT("\"\\ud800\""),
        STR_INIT("\"\\udc00\""),
        STR_INIT("\"\\u0000\""),
        STR_INIT("\"a\nb\""),
        STR_INIT("\"\xFF\""),
        STR_INIT("[1,]"),
        STR_INIT("\"\\ud800\\ud800\""),
        STR_INIT("\"open"),
        STR_INIT("[\x01 1]"),
        STR_INIT("[1\x0b]"),
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        Err err = {0};
        Json *json = json_parse(BAD[i], &err);
        CHECK_MSG(!json && err.code != ERR_NONE, "accepted %.*s", STR_ARG(BAD[i]));
    }
}

static void test_depth(void) {
    Buf text = {0};
    buf_repeat(&text, '[', JSON_MAX_DEPTH);
    buf_repeat(&text, ']', JSON_MAX_DEPTH);
    Err err = {0};
    Json *json = json_parse(buf_text(&text), &err);
    CHECK_OK(json != NULL, err);
    json_free(json);
    buf_clear(&text);
    buf_repeat(&text, '[', 100000);
    CHECK(!json_parse(buf_text(&text), &err));
    CHECK_INT(err.code, ERR_LIMIT);
    buf_free(&text);
}

static void test_round_trip(void) {
    Err err = {0};
    Json *json = json_parse(S("{\"a\":\"x\\ud83d\\ude00\\n\",\"b\":[1,2.5,true,null],\"n\":-7}"), &err);
    CHECK_OK(json != NULL, err);
    CHECK_STR(json_str(json, "a"), S("x\xF0\x9F\x98\x80\n"));
    CHECK_INT(json_len(json_find(json, "b")), 4);
    CHECK_INT(json_int(json, "n", 0), -7);
    CHECK_INT(json_int(json, "a", 5), 5);
    json_put_str(json, "a", S("\x01\xFF\"\\"));
    Buf out = {0};
    json_print(json, &out);
    CHECK_STR(buf_text(&out), S("{\"a\":\"\\u0001\xEF\xBF\xBD\\\"\\\\\",\"b\":[1,2.5,true,null],\"n\":-7}"));
    buf_clear(&out);
    json_print_string(S("\x01\xFF\"\\"), &out);
    CHECK_STR(buf_text(&out), S("\"\\u0001\xEF\xBF\xBD\\\"\\\\\""));
    buf_free(&out);
    json_free(json);
}

static const TestCase CASES[] = {
    {"refuses", test_refuses}, {"depth", test_depth}, {"round_trip", test_round_trip}};
TEST_SUITE(BASE_JSON_SUITE, "json", CASES);
