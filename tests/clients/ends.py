#!/usr/bin/env python3
"""A call that the client leaves open, and everything that may end its turn meanwhile; answers of wrong shapes.

    python3 tests/clients/ends.py --mux build/dev/mux-acp [NAME...]
"""

import signal
import sys

from agent import Refused, check
from cases import Cases

EDIT = ("--- reply repeat when: Please change\nI change the value.\n\na.c\n"
        "<<<<<<< SEARCH\n    return 0;\n=======\n    return 1;\n>>>>>>> REPLACE\n")
RUN = ('--- reply repeat when: Please run\n<tool_call>\n'
       '{"name": "run_shell", "arguments": {"command": "true"}}\n</tool_call>\n')
TWICE = ("--- reply repeat when: Please change\nI change both.\n\na.c\n"
         "<<<<<<< SEARCH\nint main(void) {\n=======\nint main(int count) {\n>>>>>>> REPLACE\n\n"
         "a.c\n<<<<<<< SEARCH\n    return 0;\n=======\n    return 1;\n>>>>>>> REPLACE\n")
REST = "--- reply repeat\nNothing else to do.\n"
MODEL = EDIT + RUN + REST
PATCH = "--- a/a.c\n+++ b/a.c\n@@ -1,3 +1,3 @@\n int main(void) {\n-    return 0;\n+    return 7;\n }\n"
FORMS = {"elicitation": {"form": {}}}
ENDS = ("session/cancel", "$/cancel_request", "session/close", "session/delete", "end of stdin", "SIGTERM")
# What is left open: a method, and the prompt that leads to it.
CALLS = {"session/request_permission": "change", "fs/read_text_file": "change", "fs/write_text_file": "change",
         "elicitation/create": "change", "terminal/create": "run", "terminal/wait_for_exit": "run",
         "terminal/output": "run"}
JUNK = [None, True, 1, "x", [], {}, {"outcome": None}, {"outcome": "selected"}, {"outcome": {"outcome": "selected"}},
        {"outcome": {"outcome": "selected", "optionId": 7}}, {"action": 7}, {"action": "accept", "content": "x"},
        {"content": 5}, {"content": None}, {"terminalId": 5}, {"exitCode": "x", "signal": 4}, {"exitCode": 1e99},
        {"output": 5, "truncated": "x"}, {"output": "y", "truncated": True, "exitStatus": 7}]

CASES = Cases()


def answer_with(agent, method, answer):
    """From now on calls of this method get the answer: a dict, or None for no answer at all."""
    def serve(request):
        own = request["method"] == method
        with agent.changed:
            agent.asked.append(request)
            agent.changed.notify_all()
        try:
            if not own:
                agent._write({"id": request["id"], "result": agent._answer(request["method"], request["params"])})
            elif answer is not None:
                agent._write({"id": request["id"], **answer})
        except (OSError, ValueError):
            pass  # it has ended
    agent._serve = serve


def asked(agent, method):
    return [request for request in list(agent.asked) if request["method"] == method]


def begin(agent, method, word):
    answer_with(agent, method, None)
    session = agent.session()
    turn = agent.prompt(session, f"Please {word} a.c")
    agent.until(lambda: asked(agent, method), f"a call of {method}")
    return session, turn, asked(agent, method)[0]["id"]


def end(agent, how, session, request):
    """The id of the request that ends it, where it is one."""
    if how == "$/cancel_request":
        agent.notify(how, {"requestId": request})
    elif how == "session/cancel":
        agent.notify(how, {"sessionId": session})
    else:
        return agent.send(how, {"sessionId": session})


def ends_while_open(agent, method, word, how):
    if method == "elicitation/create":
        agent.capabilities.update(FORMS)
        agent.write("a.c", "int main(void) {\n" + "    work();\n" * 20 + "    return 0;\n}\n")
    session, turn, call = begin(agent, method, word)
    if how == "end of stdin":
        return
    if how == "SIGTERM":
        agent.process.send_signal(signal.SIGTERM)
        return
    ending = end(agent, how, session, turn)
    check(agent.wait(turn)["stopReason"] == "cancelled", "stop reason", agent.answers[turn])
    if ending:
        agent.wait(ending)
    for stale in ({"result": {"outcome": {"outcome": "selected", "optionId": "allow_once"}, "action": "accept",
                              "content": "", "terminalId": "late"}}, {"error": None}):
        agent._write({"id": call, **stale})
    check(agent.refused("session/no_such", {}) == -32601, "it lives on")
    behind = agent.lines[agent.index_of_answer(turn) + 1:]
    check(all(m.get("method") != "session/update" for m in behind), "updates behind the end", behind)
    check("return 0" in agent.text("a.c"), "it was written after all")
    if word == "run":
        agent.until(lambda: asked(agent, "terminal/release"), "the terminal's release")
    if not ending:
        form = method == "elicitation/create"
        answer_with(agent, method if form else "", {"result": {"action": "accept"}})
        check(agent.turn(session, f"Please {word} a.c") == "end_turn", "the next turn")


for call_, word_ in CALLS.items():
    for how_ in ENDS:
        is_form = call_ == "elicitation/create"
        CASES.case(f"{how_} in {call_}", TWICE + REST if is_form else MODEL,
                   extra=("--grain", "hunk") if is_form else ())(
            lambda agent, call=call_, word=word_, how=how_: ends_while_open(agent, call, word, how))


def junk(agent, method, word):
    session = agent.session()
    for shape in JUNK:
        for key in ("result", "error"):
            agent.write("a.c", "int main(void) {\n    return 0;\n}\n")
            agent.asked.clear()
            answer_with(agent, method, {key: shape})
            stop = agent.turn(session, f"Please {word} a.c")
            check(stop == "end_turn", "stop reason", key, shape, stop)
            check(asked(agent, method), "it was not asked")
            check(method == "fs/write_text_file" or "return 0" in agent.text("a.c"), "written", key, shape)


for call_, word_ in CALLS.items():
    if call_ != "elicitation/create":
        CASES.case(f"junk for {call_}", MODEL)(
            lambda agent, call=call_, word=word_: junk(agent, call, word))


@CASES.case("a change without a turn", MODEL)
def change(agent):
    session = agent.session()
    for how in ("session/cancel", "$/cancel_request", "session/load", "session/resume", "session/close"):
        agent.asked.clear()
        answer_with(agent, "fs/read_text_file", None)
        work = agent.send("_mux/apply_patch", {"sessionId": session, "patch": PATCH})
        agent.until(lambda: asked(agent, "fs/read_text_file"), "a read")
        if how in ("session/load", "session/resume"):
            code = agent.refused(how, {"sessionId": session, "cwd": agent.folder, "mcpServers": []})
            check(code == -32600, "the code of a busy session", code)
            end(agent, "session/cancel", session, work)
        else:
            end(agent, how, session, work)
        try:
            check(False, "it was done", agent.wait(work))
        except Refused as refused:
            check(refused.code == -32800, "the code of what was cancelled", refused.error)
    check("return 0" in agent.text("a.c"), "it was written after all")


if __name__ == "__main__":
    sys.exit(CASES.main(__doc__))
