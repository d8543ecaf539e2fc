/* Turns in which the scripted model runs commands and uses tools of servers: what is asked, remembered and
 * shown. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/planner_tools_support.h"

/* The scripts below have a line for each reply. */
/* clang-format off */

/* ---- questions ---- */

static void test_a_question_withdrawn_ends_the_turn(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_CANCELLED, .is_polite = true};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"make\"}")
               "--- reply\nNever.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Build it");
    tools_check_end(&h, TURN_STOP_CANCELLED);
    CHECK_INT(h.runs, 0);
    tools_house_close(&h);
}

/* What the user is asked about is what runs. */
static void test_a_command_is_shown_as_it_is(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_ALLOW_ONCE};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"ls\\u001b[2Krm x\"}")
               "--- reply when: control characters\n" CALL("run_shell", "{\"command\": \"ls \\u202exm\"}")
               "--- reply when: control characters\n" CALL("run_shell", "{\"command\": \"ls\\nrm x\"}")
               "--- reply when: exit code 0\nDone.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Build it");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_INT(h.questions, 1);
    CHECK_INT(h.runs, 1);
    CHECK(str_contains(buf_text(&h.tools), S("|first|ls ...|| pending\n"))); /* the whole stands below */
    tools_house_close(&h);
}

/* Of words that run other words only the very line is allowed for good. */
static void test_always_of_a_shell_is_a_line(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_ALLOW_ALWAYS};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"sudo make test\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"sudo rm -r y\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"/bin/sh\\tx.sh\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"/bin/sh\\ty.sh\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"sudo make test\"}")
               "--- reply when: exit code 0\nDone.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Build it");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_INT(h.runs, 5);
    CHECK_INT(h.questions, 4); /* not for the same line again */
    tools_house_close(&h);
}

/* ---- commands ---- */

static void test_runs_a_command(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_ALLOW_ONCE, .output = "all 7 passed\n"};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"make test\"}")
               "--- reply when: exit code 0\nThe tests pass.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Run the tests");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_INT(h.questions, 1);
    CHECK_INT(h.runs, 1);
    CHECK_INT(h.releases, 1);
    CHECK(!h.was_released_early);
    Str told = buf_text(&h.tools);
    size_t first = str_find(told, S("|first|make test|| pending\n"), 0);
    CHECK(first != STR_NONE);
    CHECK(str_contains(str_from(told, first), S("|||term-1| running\n")));
    CHECK(str_ends(told, S("|||term-1| completed\n")));
    tools_house_close(&h);
}

static void test_always_is_remembered_by_word(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_ALLOW_ALWAYS};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"make test\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"make all\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"make x; rm -r y\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"make x; rm -r y\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"make x; rm -r z\"}")
               "--- reply when: exit code 0\n" CALL("run_shell", "{\"command\": \"cc a.c\"}")
               "--- reply when: exit code 0\nDone.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Build it");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_INT(h.runs, 6);
    CHECK_INT(h.releases, 6);
    CHECK_INT(h.questions, 4); /* not for "make all", nor for the same line again */
    tools_house_close(&h);
}

static void test_a_refusal_is_a_result(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_REJECT_ALWAYS};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"make test\"}")
               "--- reply when: the user refused\n" CALL("run_shell", "{\"command\": \"ls\"}")
               "--- reply when: the user refused\nThen not.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Run the tests");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_INT(h.questions, 1);
    CHECK_INT(h.runs, 0);
    CHECK(str_ends(buf_text(&h.tools), S(" failed\n")));
    tools_house_close(&h);
}

static void test_plan_mode_runs_nothing(void) {
    ToolsHouse h = {.has_terminal = true};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"make\"}")
               "--- reply when: there is no tool \"run_shell\"\nI would run make.\n",
               REVIEW_PLAN);
    tools_house_turn(&h, "Build it");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_INT(h.runs + h.questions, 0);
    tools_house_close(&h);
}

static void test_a_command_that_writes(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_ALLOW_ONCE};
    h.writes = "def one():\n    return 100\n\n\ndef two():\n    return 2\n";
    tools_house_open(&h,
               "--- reply\n" CALL("read_files", "{\"paths\": [\"a.py\"]}")
               "--- reply when: return 1\n" CALL("run_shell", "{\"command\": \"./format\"}")
               "--- reply when: a.py has changed meanwhile\n"
               BLOCK("a.py", "    return 100\n", "    return 7\n"),
               REVIEW_AUTO);
    tools_house_turn(&h, "Format it and let one return 7");
    tools_check_end(&h, TURN_STOP_END);
    tools_check_file(&h, "a.py", "def one():\n    return 7\n\n\ndef two():\n    return 2\n");
    tools_house_close(&h);
}

static void test_long_output_is_cut_in_the_middle(void) {
    Buf output = {0};
    buf_cstr(&output, "the first line\n");
    for (int i = 0; i < 9000; i++)
        buf_printf(&output, "noise %d\n", i);
    buf_cstr(&output, "the last line\n");
    buf_char(&output, 0);
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_ALLOW_ONCE, .output = output.ptr};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"make\"}")
               "--- reply when: bytes left out\nDone.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Build it");
    tools_check_end(&h, TURN_STOP_END);
    tools_house_close(&h);
    Arena arena = {0};
    Str cut = tools_cut_middle(str_of(output.ptr), 1000, &arena);
    CHECK(str_starts(cut, S("the first line\nnoise 0\n")) && str_ends(cut, S("\nthe last line\n")));
    CHECK(cut.len < 1100);
    arena_free(&arena);
    buf_free(&output);
}

static void test_cancel_inside_a_command(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_ALLOW_ONCE, .blocks = true};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"sleep 1000\"}")
               "--- reply\nNever.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Wait");
    tools_check_end(&h, TURN_STOP_CANCELLED);
    CHECK_INT(h.releases, 1);
    CHECK(str_ends(buf_text(&h.tools), S("|||term-1| failed\n")));
    tools_house_close(&h);
}

static void test_cancel_at_the_question(void) {
    ToolsHouse h = {.has_terminal = true, .decision = DECISION_CANCELLED};
    tools_house_open(&h,
               "--- reply\n" CALL("run_shell", "{\"command\": \"make\"}"),
               REVIEW_AUTO);
    tools_house_turn(&h, "Build it");
    tools_check_end(&h, TURN_STOP_CANCELLED);
    CHECK_INT(h.runs, 0);
    CHECK(str_ends(buf_text(&h.tools), S(" failed\n")));
    tools_house_close(&h);
}

/* ---- tools of servers ---- */

static void test_a_tool_of_a_server(void) {
    ToolsHouse h = {.server = "", .decision = DECISION_ALLOW_ALWAYS};
    tools_house_open(&h,
               "--- reply\n" CALL("fake__echo", "{\"text\": \"ping\"}")
               "--- reply when: ping\n" CALL("fake__echo", "{\"text\": \"pong\"}")
               "--- reply when: pong\n" CALL("fake__fails", "{}")
               "--- reply when: <tool_response>\nDone.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Ask the server");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_INT(h.questions, 2); /* one a tool */
    CHECK(str_contains(buf_text(&h.tools), S("|first|fake: echo|| pending\n")));
    CHECK(str_ends(buf_text(&h.tools), S(" failed\n")));
    tools_house_close(&h);
}

static void test_a_server_in_plan_mode(void) {
    ToolsHouse h = {.server = "", .decision = DECISION_REJECT_ONCE};
    tools_house_open(&h,
               "--- reply\n" CALL("fake__raw", "{}")
               "--- reply when: there is no tool \"fake__raw\"\n" CALL("fake__echo", "{}")
               "--- reply when: the user refused\nDone.\n",
               REVIEW_PLAN);
    tools_house_turn(&h, "Ask the server");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_INT(h.questions, 1);
    tools_house_close(&h);
}

static void test_a_server_that_dies(void) {
    ToolsHouse h = {.server = "", .decision = DECISION_ALLOW_ONCE};
    tools_house_open(&h,
               "--- reply\n" CALL("fake__crash", "{}")
               "--- reply when: <tool_response>\nIt died.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Ask the server");
    tools_check_end(&h, TURN_STOP_END);
    CHECK_STR(buf_text(&h.text), S("It died."));
    tools_house_close(&h);
}

static void test_cancel_inside_a_server(void) {
    ToolsHouse h = {.server = "", .decision = DECISION_ALLOW_ONCE, .cancels_when_running = true};
    tools_house_open(&h,
               "--- reply\n" CALL("fake__deaf", "{}")
               "--- reply\nNever.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Ask the server");
    tools_check_end(&h, TURN_STOP_CANCELLED);
    CHECK(str_ends(buf_text(&h.tools), S(" failed\n")));
    tools_house_close(&h);
}

static void test_a_server_that_is_not_there_is_told(void) {
    ToolsHouse h = {.server = "--no-such-switch"};
    tools_house_open(&h,
               "--- reply\nHello.\n",
               REVIEW_AUTO);
    tools_house_turn(&h, "Say hello");
    tools_check_end(&h, TURN_STOP_END);
    CHECK(str_contains(h.notes, S("fake")));
    tools_house_close(&h);
}

/* clang-format on */

static const TestCase CASES[] = {
    {"a_question_withdrawn_ends_the_turn", test_a_question_withdrawn_ends_the_turn},
    {"a_command_is_shown_as_it_is", test_a_command_is_shown_as_it_is},
    {"always_of_a_shell_is_a_line", test_always_of_a_shell_is_a_line},
    {"runs_a_command", test_runs_a_command},
    {"always_is_remembered_by_word", test_always_is_remembered_by_word},
    {"a_refusal_is_a_result", test_a_refusal_is_a_result},
    {"plan_mode_runs_nothing", test_plan_mode_runs_nothing},
    {"a_command_that_writes", test_a_command_that_writes},
    {"long_output_is_cut_in_the_middle", test_long_output_is_cut_in_the_middle},
    {"cancel_inside_a_command", test_cancel_inside_a_command},
    {"cancel_at_the_question", test_cancel_at_the_question},
    {"a_tool_of_a_server", test_a_tool_of_a_server},
    {"a_server_in_plan_mode", test_a_server_in_plan_mode},
    {"a_server_that_dies", test_a_server_that_dies},
    {"cancel_inside_a_server", test_cancel_inside_a_server},
    {"a_server_that_is_not_there_is_told", test_a_server_that_is_not_there_is_told},
};
TEST_SUITE(PLANNER_TOOLS_RUN_SUITE, "tools_run", CASES);
