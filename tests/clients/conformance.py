#!/usr/bin/env python3
"""The 20 cases of acpx's draft conformance profile acp-core-v1, told in our own words and asked of the real program
with scripted models. Names are the profile's, behind "acp.v1.".

    python3 tests/clients/conformance.py --mux build/dev/mux-acp [NAME...]
"""

import os
import sys

from agent import Refused, check
from cases import Cases

TALK = "--- reply repeat\nThe answer is a few lines long.\nThis is the second one.\n"
SLOW = ("delay: 20\npiece: 4\n--- reply when: the long way\n" + "A line of an answer that takes its time.\n" * 200 +
        "--- reply repeat\nThat was quick.\n")
EDIT = ("--- reply\nI change the value.\n\na.c\n"
        "<<<<<<< SEARCH\n    return 0;\n=======\n    return 1;\n>>>>>>> REPLACE\n"
        "--- reply repeat\nNothing else to do.\n")

CASES = Cases()


def case(name, model=TALK, **options):
    return CASES.case(name, model, **options)


def texts(agent, session):
    """Everything the user can read of a session, lower case."""
    found = [agent.said(session)]
    found += [u["content"].get("text", "") for u in agent.updates(session, "agent_thought_chunk")]
    for update in agent.updates(session):
        if update["sessionUpdate"] in ("tool_call", "tool_call_update"):
            found.append(update.get("title", ""))
            for item in update.get("content") or []:
                found.append((item.get("content") or {}).get("text", ""))
    return "\n".join(found).lower()


def statuses(agent, session):
    return [u.get("status") for kind in ("tool_call", "tool_call_update") for u in agent.updates(session, kind)]


def cancel_in_flight(agent, session):
    turn = agent.prompt(session, "Tell me the long way.")
    agent.until(lambda: agent.updates(session, "agent_message_chunk"), "a first piece of the answer")
    agent.notify("session/cancel", {"sessionId": session})
    check(agent.wait(turn)["stopReason"] == "cancelled", "stop reason", agent.answers[turn])
    return turn


@case("initialize.handshake")
def handshake(agent):
    result = agent.initialize()
    check(result["protocolVersion"] == 1, "protocol version", result)
    check(isinstance(result.get("agentCapabilities", {}), dict), "capabilities are no object", result)
    check(isinstance(result.get("authMethods", []), list), "authMethods is no list", result)
    newer = agent.request("initialize", {"protocolVersion": 7})
    check(newer["protocolVersion"] == 1, "an unknown version is not answered with ours", newer)


@case("session.new.basic")
def new_session(agent):
    first, second = agent.session(), agent.new_session()
    check(first != second, "the same id twice", first)


@case("session.prompt.single_turn")
def single_turn(agent):
    session = agent.session()
    turn = agent.prompt(session, "What is the answer?")
    check(agent.wait(turn)["stopReason"] == "end_turn", "stop reason")
    chunks = [i for i, m in enumerate(agent.lines) if m.get("method") == "session/update" and
              m["params"]["update"]["sessionUpdate"] == "agent_message_chunk"]
    check(chunks and chunks[0] < agent.index_of_answer(turn), "no update before the answer")
    check("second one" in agent.said(session), "the words are lost", agent.said(session))


@case("session.update.termination")
def termination(agent):
    session = agent.session()
    turn = agent.prompt(session, "What is the answer?")
    agent.wait(turn)
    agent.request("session/set_mode", {"sessionId": session, "modeId": "auto"})  # whatever was late is here now
    behind = agent.lines[agent.index_of_answer(turn) + 1:]
    late = [m for m in behind if m.get("method") == "session/update" and
            m["params"]["update"]["sessionUpdate"] not in ("current_mode_update", "config_option_update")]
    check(not late, "updates behind the end of the turn", late)
    ids = {m["params"]["sessionId"] for m in agent.lines if m.get("method") == "session/update"}
    check(ids == {session}, "updates of other sessions", ids)


@case("session.cancel.in_flight", SLOW)
def cancel_running(agent):
    session = agent.session()
    turn = cancel_in_flight(agent, session)
    check(agent.refused("session/no_such_method", {}) == -32601, "it lives on")
    answers = [m for m in agent.lines if "method" not in m]
    check(len(answers) == 4, "the notification was answered", answers)
    behind = agent.lines[agent.index_of_answer(turn) + 1:]
    check(all("method" not in m for m in behind), "updates behind the cancel", behind)


@case("session.cancel.idle")
def cancel_idle(agent):
    session = agent.session()
    agent.notify("session/cancel", {"sessionId": session})
    agent.notify("session/cancel", {"sessionId": session})
    check(agent.turn(session, "Are you there?") == "end_turn", "an old cancel ended a new turn")
    check(len([m for m in agent.lines if "method" not in m]) == 3, "a notification was answered")


@case("session.prompt.multi_turn", "--- reply when: first\nOne.\n--- reply when: second\nTwo.\n")
def multi_turn(agent):
    session = agent.session()
    check(agent.turn(session, "The first question") == "end_turn", "first turn")
    check(agent.turn(session, "The second question") == "end_turn", "second turn")
    said = agent.said(session)
    check("One." in said and said.index("One.") < said.index("Two."), "both answers in order", said)


@case("errors.invalid_params")
def invalid_params(agent):
    session = agent.session()
    for params in ({"sessionId": session}, {"sessionId": session, "prompt": "text"}, {"prompt": []},
                   {"sessionId": session, "prompt": [{"type": "text"}]}, [], None):
        code = agent.refused("session/prompt", params)
        check(code == -32602, "code", code, params)
    check(agent.turn(session, "Are you there?") == "end_turn", "it lives on")


@case("errors.invalid_prompt_session_type")
def invalid_session_type(agent):
    agent.session()
    for value in (7, None, True, {}, []):
        code = agent.refused("session/prompt", {"sessionId": value, "prompt": [{"type": "text", "text": "x"}]})
        check(code == -32602, "code", code, value)


@case("errors.permission_denied", EDIT)
def read_denied(agent):
    session = agent.session()
    agent.reads_refused = True
    check(agent.turn(session, "Change a.c so that it returns 1.") == "end_turn", "the turn did not end by itself")
    check(any(r["method"] == "fs/read_text_file" for r in agent.asked), "no file was asked for")
    check("permission denied" in texts(agent, session), "the refusal is not told", texts(agent, session))
    check("return 0" in agent.text("a.c"), "the file was changed")


@case("errors.permission_denied.write", EDIT, permit="reject_once")
def write_denied(agent):
    session = agent.session()
    check(agent.turn(session, "Change a.c so that it returns 1.") == "end_turn", "the turn did not end by itself")
    check(any(r["method"] == "session/request_permission" for r in agent.asked), "nobody was asked")
    check("failed" in statuses(agent, session), "no tool call failed", statuses(agent, session))
    check("return 0" in agent.text("a.c"), "the file was changed")
    agent.permit, agent.writes_refused = "allow_once", True
    other = agent.new_session()
    check(agent.turn(other, "Anything else in a.c?") == "end_turn", "second session")


@case("errors.unknown_session")
def unknown_session(agent):
    agent.session()
    code = agent.refused("session/prompt", {"sessionId": "nobody", "prompt": [{"type": "text", "text": "x"}]})
    check(code == -32002, "code", code)
    agent.notify("session/cancel", {"sessionId": "nobody"})


@case("session.prompt.echo_empty")
def empty_prompt(agent):
    session = agent.session()
    for prompt in ([{"type": "text", "text": ""}], [{"type": "text", "text": "  \n"}], []):
        turn = agent.send("session/prompt", {"sessionId": session, "prompt": prompt})
        try:
            check(agent.wait(turn)["stopReason"] == "end_turn", "stop reason", prompt)
        except Refused as refused:
            check(refused.code == -32602, "code", refused.code, prompt)
    check(agent.turn(session, "Are you there?") == "end_turn", "it lives on")


@case("session.prompt.unrecognized")
def unrecognized(agent):
    session = agent.session()
    for text in ("/no-such-command with words", "xyzzy \u2603 \U0001f600", "/usr/bin is not a command"):
        check(agent.turn(session, text) == "end_turn", "stop reason", text)
    check(agent.said(session), "no word was said")


@case("errors.invalid_params.cwd_null")
def cwd_null(agent):
    agent.initialize()
    for cwd in (None, 7, "", "not/absolute"):
        code = agent.refused("session/new", {"cwd": cwd, "mcpServers": []})
        check(code == -32602, "code", code, cwd)
    agent.new_session()


@case("session.prompt.structured_blocks")
def structured_blocks(agent):
    session = agent.session()
    blocks = [{"type": "text", "text": "Look at this:"},
              {"type": "resource_link", "uri": "file://" + os.path.join(agent.work, "a.c") + "#L1:2", "name": "a.c"},
              {"type": "text", "text": "and tell me what you see."}]
    result = agent.request("session/prompt", {"sessionId": session, "prompt": blocks})
    check(result["stopReason"] == "end_turn" and agent.said(session), "stop reason", result)
    if agent.initialize()["agentCapabilities"].get("promptCapabilities", {}).get("embeddedContext"):
        blocks = [{"type": "resource", "resource": {"uri": "file:///b.txt", "text": "words", "mimeType": "text/plain"}},
                  {"type": "text", "text": "And this?"}]
        result = agent.request("session/prompt", {"sessionId": session, "prompt": blocks})
        check(result["stopReason"] == "end_turn", "stop reason", result)


@case("permissions.read.approved")
def read_approved(agent):
    session = agent.session()
    check(agent.turn(session, "What does main in a.c return?") == "end_turn", "stop reason")
    reads = [r["params"] for r in agent.asked if r["method"] == "fs/read_text_file"]
    check(any(r["path"] == os.path.join(agent.work, "a.c") and r["sessionId"] == session for r in reads),
          "a.c was not read through the client", reads)
    check("failed" not in statuses(agent, session), "a tool call failed")


@case("permissions.write.approved", EDIT)
def write_approved(agent):
    session = agent.session()
    check(agent.turn(session, "Change a.c so that it returns 1.") == "end_turn", "stop reason")
    writes = [r["params"] for r in agent.asked if r["method"] == "fs/write_text_file"]
    check(len(writes) == 1 and writes[0]["path"] == os.path.join(agent.work, "a.c"), "writes", writes)
    check(agent.text("a.c") == "int main(void) {\n    return 1;\n}\n", "the file", agent.text("a.c"))
    check("failed" not in statuses(agent, session), "a tool call failed")


@case("session.prompt.background_completion", SLOW.replace("delay: 20", "delay: 2"))
def background(agent):
    first = agent.session()
    turn = agent.prompt(first, "Tell me the long way.")
    agent.until(lambda: agent.updates(first, "agent_message_chunk"), "a first piece of the answer")
    second = agent.new_session()
    check(agent.turn(second, "And you?") == "end_turn", "the other session")
    check(agent.wait(turn)["stopReason"] == "end_turn", "the first one's end")
    check("quick" in agent.said(second) and "quick" not in agent.said(first), "the sessions' words are mixed")


@case("session.cancel.followup_prompt", SLOW)
def followup(agent):
    session = agent.session()
    cancel_in_flight(agent, session)
    check(agent.turn(session, "Now something short.") == "end_turn", "the turn behind a cancel")
    check("That was quick." in agent.said(session), "its words", agent.said(session)[-80:])


if __name__ == "__main__":
    sys.exit(CASES.main(__doc__))
