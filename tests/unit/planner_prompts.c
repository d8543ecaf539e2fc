#include "prompts/prompts.h"
#include "tests/runner.h"

static void test_labels(void) {
    Buf out = {0};
    prompt_labels(S("Rename `a` to `b`"), S("x/y/z.py"), S("a = 1\n\nprint(a)"), 1, &out);
    CHECK_STR(buf_text(&out),
              S("<|im_start|>user\nRename `a` to `b`\ny/z.py\n<|1|>a = 1\n<|2|>\n<|3|>print(a)\n<|im_end|>\n"
                "<|im_start|>assistant\n"));
    buf_free(&out);
}

static void test_full(void) {
    Buf out = {0};
    PromptFile files[] = {{S("a.md"), S("see\n```c\nx\n```\n"), S("markdown"), 0, 0},
                          {S("b.c"), S("int b;"), S("c"), 7, 7}};
    prompt_full_user(S("a.md\nb.c\n"), files, 2, S(""), S("Do it"), &out);
    CHECK_STR(buf_text(&out),
              S("Files of the repository:\na.md\nb.c\n\nThese are the files that matter "
                "most:\n\na.md\n````markdown\nsee\n```c\nx\n"
                "```\n````\n\nb.c\n```c\nint b;\n```\n(lines 7 to 7 of this file)\n\nRequest: Do it\n"));
    buf_free(&out);
}

static void test_notes_stand_before_the_request(void) {
    Buf out = {0}, notes = {0};
    prompt_attached(S("https://a/b"), S("x ``` y"), &notes);
    prompt_full_user(S(""), NULL, 0, buf_text(&notes), S("Do it"), &out);
    CHECK_STR(buf_text(&out), S("The user attached https://a/b:\n````\nx ``` y\n````\n\nRequest: Do it\n"));
    buf_free(&notes);
    buf_free(&out);
}

static void test_tools(void) {
    Buf out = {0};
    PromptTool tools[] = {{S("a"), S("Say \"a\"."), S("{\"type\": \"object\"}")}};
    prompt_tools(tools, 1, &out);
    CHECK(str_contains(buf_text(&out), S("<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"a\", "
                                         "\"description\": \"Say \\\"a\\\".\", \"parameters\": "
                                         "{\"type\": \"object\"}}}\n</tools>\n")));
    buf_clear(&out);
    prompt_tool_result(S("x"), &out);
    CHECK_STR(buf_text(&out), S("<tool_response>\nx\n</tool_response>\n"));
    buf_free(&out);
}

static void test_retry(void) {
    Buf out = {0};
    prompt_full_retry(S("why"), S(""), RETRY_BLOCKS, S(""), &out);
    CHECK_STR(buf_text(&out),
              S("That reply could not be used: why\nSend the edits for the original request again "
                "as search/replace blocks, with this corrected. Only the blocks, no other "
                "text.\n"));
    buf_clear(&out);
    prompt_full_retry(S("why"), S("- b.py, lines 1 to 2\n"), RETRY_SYMBOL, S("a.py"), &out);
    CHECK(str_contains(buf_text(&out), S("do not send them again:\n- b.py, lines 1 to 2\n")));
    CHECK(str_contains(buf_text(&out), S("\na.py\n<<<<<<< SYMBOL name\n")));
    buf_clear(&out);
    prompt_full_retry(S("why"), S(""), RETRY_WHOLE, S("a.py"), &out);
    CHECK(str_contains(buf_text(&out), S("\na.py\n````\n")));
    buf_free(&out);
}

static const TestCase CASES[] = {{"labels", test_labels},
                                 {"full", test_full},
                                 {"notes_stand_before_the_request", test_notes_stand_before_the_request},
                                 {"tools", test_tools},
                                 {"retry", test_retry}};
TEST_SUITE(PLANNER_PROMPTS_SUITE, "prompts", CASES);
