#include <stdio.h>
#include <string.h>

#include "planner/tool_calls.h"
#include "tests/runner.h"

#define BAR "\xef\xbd\x9c"

/* "name {arguments}" or "name !problem" a line, then the prose behind "---". */
static void read_reply(Str reply, size_t step, Buf *out) {
    Arena arena = {0};
    Buf prose = {0};
    ToolCallParser parser;
    tool_calls_begin(&parser, &arena);
    for (size_t i = 0; i < reply.len; i += step)
        tool_calls_feed(&parser, str_slice(reply, i, i + step), &prose);
    tool_calls_finish(&parser, &prose);
    for (size_t i = 0; i < parser.count; i++) {
        const ToolCall *call = &parser.calls[i];
        buf_printf(out, "%.*s %s%.*s\n", STR_ARG(call->name), call->problem.len ? "!" : "",
                   STR_ARG(call->problem.len ? call->problem : call->arguments));
    }
    buf_printf(out, "---%.*s", STR_ARG(buf_text(&prose)));
    buf_free(&prose);
    arena_free(&arena);
}

static void check_reply(const char *reply, const char *expected) {
    for (size_t step = 1; step < 9; step++) {
        Buf out = {0};
        read_reply(str_of(reply), step, &out);
        CHECK_STR(buf_text(&out), str_of(expected));
        buf_free(&out);
    }
}

static void test_hermes_json(void) {
    check_reply("I look.\n<tool_call>\n{\"name\": \"search\", \"arguments\": {\"pattern\": \"a < b\"}}\n"
                "</tool_call>",
                "search {\"pattern\":\"a < b\"}\n---I look.\n");
    check_reply("<tool_call>{\"name\":\"a\",\"arguments\":{}}</tool_call>\n<tool_call>{\"name\":\"b\","
                "\"parameters\":\"{\\\"x\\\":1}\"}</tool_call>",
                "a {}\nb {\"x\":1}\n---");
    check_reply("<tool_call>{\"type\":\"function\",\"function\":{\"name\":\"a\",\"arguments\":{}}}",
                "a {}\n---");
    check_reply("<tool_call>{\"name\":\"a\",\"arguments\":{\"t\":\"</tool_call>\"}}</tool_call>",
                "a {\"t\":\"</tool_call>\"}\n---");
}

static void test_broken_json_is_mended_or_told(void) {
    check_reply("<tool_call>\n{\"name\":\"a\",\"arguments\":{\"t\":\"x\ny\",}}\n</tool_call>",
                "a {\"t\":\"x\\ny\"}\n---");
    check_reply("<tool_call>\n{\"name\":\"a\",\"arguments\":{\"t\":1}\n</tool_call>", "a {\"t\":1}\n---");
    check_reply("<tool_call>\n{\"name\":\"a\",\"arguments\":{\"t\":1}}}\n</tool_call>", "a {\"t\":1}\n---");
    Buf out = {0};
    read_reply(S("<tool_call>\n{\"name\":\"a\",\"arguments\":{\"t\": \"x\"y\"}}\n</tool_call>"), 3, &out);
    CHECK(str_starts(buf_text(&out), S("a !its JSON cannot be read: ")));
    buf_free(&out);
    read_reply(S("<tool_call>{\"name\":\"a\",\"arguments\":{\"t\":\"half"), 3, &out);
    CHECK(str_starts(buf_text(&out), S("a !its JSON cannot be read: ")));
    buf_free(&out);
    check_reply("<tool_call>{\"arguments\":{}}</tool_call>", " !it names no tool\n---");
    check_reply("<tool_call>{\"name\":\"a\",\"arguments\":[1]}</tool_call>",
                "a !its arguments are no JSON object\n---");
}

static void test_functions_with_raw_values(void) {
    check_reply(
        "<tool_call>\n<function=run_shell>\n<parameter=command>\nif [ 1 < 2 ]; then\n  echo '<b>'\nfi\n"
        "</parameter>\n<parameter=timeout>\n5\n</parameter>\n</function>\n</tool_call>",
        "run_shell {\"command\":\"if [ 1 < 2 ]; then\\n  echo '<b>'\\nfi\",\"timeout\":\"5\"}\n---");
    check_reply("<function=a><parameter=x>1</parameter></function>", "a {\"x\":\"1\"}\n---");
    check_reply("Text.<function=a>\n</function>", "a {}\n---Text.");
    check_reply("<function=a><parameter=x>say </parameter> here</parameter></function>",
                "a {\"x\":\"say </parameter> here\"}\n---");
    check_reply("<tool_call><function=a>\n<parameter=x>\n1\n<parameter=y>\n2\n</tool_call>",
                "a {\"x\":\"1\",\"y\":\"2\"}\n---");
    check_reply("<function=a>\n<parameter=x>\n1", "a {\"x\":\"1\"}\n---");
    check_reply("<tool_call>\n<function=a>\n<parameter=x>\n1\n</function>\n</tool_call>",
                "a {\"x\":\"1\"}\n---");
}

static void test_glm_keys_and_values(void) {
    check_reply("<tool_call>read_files\n<arg_key>path</arg_key>\n<arg_value>a<b>.c</arg_value>\n"
                "<arg_key>n</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
                "read_files {\"path\":\"a<b>.c\",\"n\":\"3\"}\n---");
    check_reply("<tool_call>status\n</tool_call>", "status {}\n---");
    check_reply("<tool_call>status</tool_call>", "status {}\n---");
    check_reply("<tool_call>a<arg_key>k</arg_key><arg_value>v", "a {\"k\":\"v\"}\n---");
}

static void test_mistral_calls(void) {
    check_reply("[TOOL_CALLS]search[ARGS]{\"pattern\": \"x\"}", "search {\"pattern\":\"x\"}\n---");
    check_reply("[TOOL_CALLS]a[CALL_ID]q1[ARGS]{}[TOOL_CALLS]b[ARGS]{\"t\":[1]}", "a {}\nb {\"t\":[1]}\n---");
    check_reply("[TOOL_CALLS] [{\"name\": \"a\", \"arguments\": {\"x\": 1}}, {\"name\":\"b\"}]",
                "a {\"x\":1}\nb {}\n---");
    check_reply("[TOOL_CALLS]a[ARGS]{\"x\": 1", "a {\"x\":1}\n---");
}

static void test_harmony_recipients(void) {
    check_reply("<|channel|>commentary to=functions.search <|constrain|>json<|message|>{\"p\":1}<|call|>more",
                "search {\"p\":1}\n---");
    check_reply("<|start|>assistant to=functions.a<|channel|>commentary json<|message|>{}<|call|>",
                "a {}\n---");
    check_reply("<|channel|>commentary to=python<|message|>print(1)<|call|>",
                "python !its arguments are no JSON object\n---");
    check_reply("<|channel|>final<|message|>Done.", "---<|channel|>final<|message|>Done.");
}

static void test_dsml_calls(void) {
    check_reply("Ok.\n<" BAR "DSML" BAR "function_calls>\n<" BAR "DSML" BAR "invoke name=\"a\">\n<" BAR
                "DSML" BAR "parameter name=\"x\" string=\"true\">1 < 2</" BAR "DSML" BAR "parameter>\n<" BAR
                "DSML" BAR "parameter name=\"y\" string=\"false\">[1, 2]</" BAR "DSML" BAR
                "parameter>\n</" BAR "DSML" BAR "invoke>\n<" BAR "DSML" BAR "invoke name=\"b\">\n</" BAR
                "DSML" BAR "invoke>\n</" BAR "DSML" BAR "function_calls>",
                "a {\"x\":\"1 < 2\",\"y\":[1,2]}\nb {}\n---Ok.\n");
    check_reply("<" BAR "DSML" BAR "note>", "---<" BAR "DSML" BAR "note>");
}

static void test_what_is_only_mentioned_stays_prose(void) {
    static const char *const PROSE[] = {
        "Write `<tool_call>{\"name\":\"a\"}</tool_call>` to call.",
        "```\n<tool_call>{\"name\":\"a\"}</tool_call>\n```\n",
        "~~~xml\n<function=a>\n</function>\n~~~\nend",
        "The <tool_call> tag and <function=name> are tags, [TOOL_CALLS] too.",
        "a.py\n<<<<<<< SEARCH\n<tool_call>{\"name\":\"a\"}</tool_call>\n=======\n```\n>>>>>>> REPLACE\n",
        "+<tool_call>{\"name\":\"a\"}</tool_call>\n",
        "a <<tool_cal> < [TOOL] <function=>",
        "<tool_call> is what I would write",
        "if (a < b) x[TOOL_CALL",
    };
    for (size_t i = 0; i < sizeof PROSE / sizeof *PROSE; i++) {
        char expected[400];
        snprintf(expected, sizeof expected, "---%s", PROSE[i]);
        check_reply(PROSE[i], expected);
    }
    check_reply("```\ncode\n```\n<tool_call>{\"name\":\"a\"}</tool_call>", "a {}\n---```\ncode\n```\n");
}

static void test_text_behind_a_call_is_dropped_and_asks_to_stop(void) {
    Arena arena = {0};
    Buf prose = {0};
    ToolCallParser parser;
    tool_calls_begin(&parser, &arena);
    tool_calls_feed(&parser, S("<tool_call>{\"name\":\"a\"}</tool_call>\n"), &prose);
    CHECK(!tool_calls_wait(&parser));
    tool_calls_feed(&parser, S("<tool_response>made up"), &prose);
    CHECK(tool_calls_wait(&parser));
    tool_calls_finish(&parser, &prose);
    CHECK(parser.count == 1 && prose.len == 0 && !parser.calls[0].is_open);
    buf_free(&prose);
    arena_free(&arena);
}

static void test_a_call_that_was_cut_says_so(void) {
    Arena arena = {0};
    Buf prose = {0};
    ToolCallParser parser;
    tool_calls_begin(&parser, &arena);
    tool_calls_feed(&parser, S("<function=run_shell><parameter=command>rm -r build/"), &prose);
    tool_calls_finish(&parser, &prose);
    CHECK(parser.count == 1 && parser.calls[0].is_open);
    arena_free(&arena);
}

/* Pieces of all dialects in any order, cut anywhere: what comes out depends on the whole text only. */
/* A reply that is made to take time and memory: only so many calls are taken. */
static void test_calls_without_end_are_bounded(void) {
    static const char *const PIECES[] = {"<tool_call>{\\\"</tool_call>",
                                         "<tool_call>{\"name\":\"a\"}</tool_call>",
                                         "<parameter=a>x</parameter>\n"};
    for (size_t p = 0; p < 3; p++) {
        Arena arena = {0};
        Buf prose = {0}, reply = {0};
        ToolCallParser parser;
        buf_cstr(&reply, p == 2 ? "<function=a>\n" : "");
        while (reply.len < 900 << 10)
            buf_cstr(&reply, PIECES[p]);
        tool_calls_begin(&parser, &arena);
        tool_calls_feed(&parser, buf_text(&reply), &prose);
        tool_calls_finish(&parser, &prose);
        CHECK_INT(parser.count, p == 2 ? 1 : TOOL_CALLS_MOST);
        CHECK(p == 2 || tool_calls_wait(&parser));
        buf_free(&prose);
        buf_free(&reply);
        arena_free(&arena);
    }
}

static void test_any_split_gives_the_same(void) {
    static const char *const PIECES[] = {"<tool_call>",
                                         "</tool_call>",
                                         "{\"name\":\"a\",\"arguments\":{\"x\":\"",
                                         "\"}}",
                                         "\n",
                                         "```",
                                         "`",
                                         "<function=a>",
                                         "</function>",
                                         "<parameter=k>",
                                         "</parameter>",
                                         "<arg_key>k</arg_key>",
                                         "<arg_value>",
                                         "</arg_value>",
                                         "[TOOL_CALLS]",
                                         "[ARGS]",
                                         "{}",
                                         "<|channel|>",
                                         "commentary to=f.x",
                                         "<|message|>",
                                         "<|call|>",
                                         "<|start|>",
                                         "<" BAR "DSML" BAR,
                                         "function_calls>",
                                         "invoke name=\"b\">",
                                         "name",
                                         " ",
                                         "text",
                                         "</" BAR "DSML" BAR "invoke>",
                                         "<<<<<<< SEARCH\n",
                                         ">>>>>>> REPLACE\n",
                                         "\\",
                                         "\"",
                                         "<",
                                         "[",
                                         "}"};
    for (int round = 0; round < 4000; round++) {
        Buf text = {0}, whole = {0}, split = {0};
        for (int i = 0; i < 12; i++)
            buf_cstr(&text, PIECES[test_random() % (sizeof PIECES / sizeof *PIECES)]);
        read_reply(buf_text(&text), text.len, &whole);
        read_reply(buf_text(&text), 1 + test_random() % 7, &split);
        CHECK_STR(buf_text(&split), buf_text(&whole));
        buf_free(&text);
        buf_free(&whole);
        buf_free(&split);
    }
}

static const TestCase CASES[] = {
    {"hermes_json", test_hermes_json},
    {"broken_json_is_mended_or_told", test_broken_json_is_mended_or_told},
    {"functions_with_raw_values", test_functions_with_raw_values},
    {"glm_keys_and_values", test_glm_keys_and_values},
    {"mistral_calls", test_mistral_calls},
    {"harmony_recipients", test_harmony_recipients},
    {"dsml_calls", test_dsml_calls},
    {"what_is_only_mentioned_stays_prose", test_what_is_only_mentioned_stays_prose},
    {"text_behind_a_call_is_dropped_and_asks_to_stop", test_text_behind_a_call_is_dropped_and_asks_to_stop},
    {"a_call_that_was_cut_says_so", test_a_call_that_was_cut_says_so},
    {"calls_without_end_are_bounded", test_calls_without_end_are_bounded},
    {"any_split_gives_the_same", test_any_split_gives_the_same},
};
TEST_SUITE(PLANNER_TOOL_CALLS_SUITE, "tool_calls", CASES);
