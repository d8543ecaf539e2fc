#!/usr/bin/env python3
"""MCP servers that a client names, through the whole program: calls, permissions, and what becomes of a server when
the turn is cancelled, the server dies, or mux-acp itself ends in any way. The server is tests/fakes/mcp_server.c,
looked for beside mux-acp.

    python3 tests/clients/servers.py --mux build/dev/mux-acp [NAME...]
"""

import json
import os
import signal
import sys
import time

from agent import WAIT, check
from cases import Cases


def call(tool, **arguments):
    return "<tool_call>\n" + json.dumps({"name": "fake__" + tool, "arguments": arguments}) + "\n</tool_call>\n"


REST = "--- reply repeat\nThat is all.\n"
ECHO = "--- reply\n" + call("echo", words="of the user") + REST
SLOW = "--- reply\n" + call("slow") + "--- reply\n" + call("echo", words="again") + REST
CRASH = "--- reply\n" + call("crash") + "--- reply\n" + call("echo", words="again") + REST

CASES = Cases()
case = CASES.case


def server(agent, *switches):
    program = os.path.join(os.path.dirname(agent.process.args[0]), "mcp_server")
    environment = [{"name": "FOR_THE_SERVER", "value": "1"}]
    return {"name": "fake", "command": program, "args": list(switches), "env": environment}


def session(agent, *switches):
    return agent.session(mcpServers=[server(agent, *switches)])


def ends(agent, session_id, name):
    """How each call of a tool ended."""
    ids = [u["toolCallId"] for u in agent.updates(session_id, "tool_call") if u.get("name") == name]
    last = {i: None for i in ids}
    for update in agent.updates(session_id):
        if update.get("toolCallId") in last and "status" in update:
            last[update["toolCallId"]] = update["status"]
    return list(last.values())


def state(pid):
    """R, S, Z, ...; None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None


def servers_of(agent):
    """The running servers that are this mux-acp's."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
            with open(f"/proc/{pid}/environ", "rb") as file:
                is_server = b"FOR_THE_SERVER=1" in file.read().split(b"\0")
        except OSError:
            continue
        if parent == agent.process.pid and is_server and state(pid) != "Z":
            found.append(int(pid))
    return found


def wait_until_gone(pids):
    until = time.monotonic() + WAIT
    while any(state(pid) not in (None, "Z") for pid in pids) and time.monotonic() < until:
        time.sleep(0.01)
    check(all(state(pid) in (None, "Z") for pid in pids), "servers are left", pids)


def begin_slow(agent):
    """A turn that waits for a tool which never answers."""
    first = session(agent)
    turn = agent.prompt(first, "Use the slow tool.")
    agent.until(lambda: "in_progress" in ends(agent, first, "fake__slow"), "a running tool")
    pids = servers_of(agent)
    check(len(pids) == 1, "one server runs", pids)
    return first, turn, pids


@case("call", ECHO)
def plain_call(agent):
    first = session(agent)
    check(agent.turn(first, "Use the tool.") == "end_turn", "stop reason")
    check(ends(agent, first, "fake__echo") == ["completed"], "the tool", ends(agent, first, "fake__echo"))
    check([r["method"] for r in agent.asked].count("session/request_permission") == 1, "nobody was asked")


@case("call refused", ECHO, permit="reject_once")
def refused_call(agent):
    first = session(agent)
    check(agent.turn(first, "Use the tool.") == "end_turn", "stop reason")
    check(ends(agent, first, "fake__echo") == ["failed"], "the tool", ends(agent, first, "fake__echo"))


@case("nothing runs before a prompt", ECHO)
def lazy(agent):
    session(agent)
    check(servers_of(agent) == [], "a server runs already")


@case("a server that does not start", REST)
def not_started(agent):
    first = session(agent, "--dies", "THE_TOKEN is not set")
    check(agent.turn(first, "Anything?") == "end_turn", "stop reason")
    check("THE_TOKEN is not set" in agent.said(first), "its words are lost", agent.said(first))


@case("a server that dies in a call", CRASH)
def crash(agent):
    first = session(agent)
    check(agent.turn(first, "Use the tools.") == "end_turn", "stop reason")
    check(ends(agent, first, "fake__crash") == ["failed"], "the crash", ends(agent, first, "fake__crash"))
    check(ends(agent, first, "fake__echo") == ["completed"], "the call behind", ends(agent, first, "fake__echo"))


@case("cancel", SLOW)
def cancel(agent):
    first, turn, _ = begin_slow(agent)
    agent.notify("session/cancel", {"sessionId": first})
    check(agent.wait(turn)["stopReason"] == "cancelled", "stop reason", agent.answers[turn])
    check(agent.turn(first, "Go on.") == "end_turn", "the turn behind")
    check(ends(agent, first, "fake__echo") == ["completed"], "the call behind", ends(agent, first, "fake__echo"))


@case("close of the session", SLOW)
def close_session(agent):
    first, turn, pids = begin_slow(agent)
    agent.request("session/close", {"sessionId": first})
    check(agent.wait(turn)["stopReason"] == "cancelled", "stop reason", agent.answers[turn])
    wait_until_gone(pids)


@case("end of stdin", SLOW)
def end_of_stdin(agent):
    _, _, pids = begin_slow(agent)
    agent.process.stdin.close()
    check(agent.process.wait(WAIT) == 0, "exit status", agent.process.returncode)
    wait_until_gone(pids)


@case("SIGTERM", SLOW)
def terminated(agent):
    _, _, pids = begin_slow(agent)
    agent.process.send_signal(signal.SIGTERM)
    check(agent.process.wait(WAIT) == 0, "exit status", agent.process.returncode)
    wait_until_gone(pids)


@case("SIGKILL", SLOW, status=-signal.SIGKILL)
def killed(agent):
    _, _, pids = begin_slow(agent)
    agent.process.kill()
    agent.process.wait(WAIT)
    wait_until_gone(pids)


if __name__ == "__main__":
    sys.exit(CASES.main(__doc__))
