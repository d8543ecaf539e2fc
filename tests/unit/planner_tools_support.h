/* A session with a scripted model, a fake terminal and a user, for the tests of tools. A reply's "when" is
 * looked for in what the model heard last, so that a turn that ends well also shows that the result said so.
 */
#ifndef MUX_TESTS_PLANNER_TOOLS_SUPPORT_H
#define MUX_TESTS_PLANNER_TOOLS_SUPPORT_H

#include "planner/tools.h"
#include "tests/runner.h"

#define CALL(name, arguments)                                                                                \
    "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>\n"
#define BLOCK(path, old, new) path "\n<<<<<<< SEARCH\n" old "=======\n" new ">>>>>>> REPLACE\n"

typedef struct ToolsHouse {
    Arena arena;
    Engine *engine;
    Planner *planner;
    Session *session;
    Str folder;
    PlannerConfig config;
    /* the client's terminal */
    bool has_terminal, blocks;
    const char *server;          /* a switch of the fake server, or ""; NULL: no server */
    const char *output, *writes; /* writes: the new text of a.py */
    int runs, releases;
    Buf commands;
    /* the user */
    DecisionKind decision;
    int questions;
    bool cancels_when_running, is_polite; /* is_polite: a cancelled question is answered so */
    /* what was told */
    Buf text, tools;
    TurnDone done;
    Str problems, notes, unified;
    bool is_done, was_released_early;
} ToolsHouse;

void tools_put_file(ToolsHouse *h, const char *name, const char *text);
void tools_check_file(ToolsHouse *h, const char *name, const char *expected);
void tools_house_open(ToolsHouse *h, const char *script, ReviewMode review);
void tools_house_ask(ToolsHouse *h, Ask ask);
void tools_house_turn(ToolsHouse *h, const char *prompt);
void tools_house_close(ToolsHouse *h);
void tools_check_end(const ToolsHouse *h, TurnStop stop);

#endif
