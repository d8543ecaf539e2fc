#!/usr/bin/env python3
"""mux-acp under acpx, a real client without a window: capabilities x permissions x uses, each outcome known beforehand.

    python3 tests/clients/acpx_matrix.py --mux build/dev/mux-acp [--sample] [--jobs 2] [NAME...]

    capabilities  fs or none, terminal or none (what the client does not offer must not be asked for)
    permissions   approve-all, approve-reads, deny-all
    uses          exec, turns (two in a kept session), cancel, model (set for a kept session), resume (list, a killed
                  agent, another turn, close), mcp (a tool of a server that the client names; where mcp_server lies
                  beside mux-acp)

acpx and what it needs are fetched by npm on the first run, as package-lock.json says. NAME: only cells whose name
holds all of these words. --sample: one cell in eight, chosen by MUX_SEED.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ACPX = os.path.join(HERE, "node_modules", "acpx", "dist", "cli.js")
WAIT = 90  # seconds a command may take; only a failing one does
DENIED = 5  # acpx's exit status when anything was refused in a turn

BEFORE = "int main(void) {\n    return 0;\n}\n"


def call(name, **arguments):
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>\n"


def edit(old, new):
    return ("I change the value.\n\na.c\n"
            f"<<<<<<< SEARCH\n    return {old};\n=======\n    return {new};\n>>>>>>> REPLACE\n")


MODEL = ("delay: 10\npiece: 8\n"
         "--- reply delay: 0 when: the first change\nI look first.\n" + call("read_files", paths=["b.c"]) +
         call("run_shell", command="echo ran > ran.txt") +
         "--- reply delay: 0\n" + edit(0, 1) +
         "--- reply delay: 0 when: the second change\n" + edit(1, 2) +
         "--- reply delay: 40 when: the long way\n" + "A line of an answer that takes its time.\n" * 1000 +
         "--- reply delay: 0 repeat when: something short\nThat was quick.\n"
         "--- reply delay: 0 repeat\nNothing else to do.\n")
MODEL_MCP = "--- reply\n" + call("fake__echo", words="of the server") + "--- reply repeat\nThat is all.\n"


class Surprise(Exception):
    pass


def expect(what, found, wanted):
    if found != wanted:
        raise Surprise(f"{what}: {found!r}, expected {wanted!r}")


class Wire:
    """What one acpx command printed: messages of both directions, or its own words."""

    def __init__(self, status, out, err):
        self.status, self.err, self.messages = status, err, []
        for line in out.splitlines():
            try:
                self.messages.append(json.loads(line))
            except ValueError:
                raise Surprise(f"a line that is no JSON: {line[:200]!r}; stderr: {err[-300:]!r}")

    def methods(self, begin):
        return [m["method"] for m in self.messages if m.get("method", "").startswith(begin)]

    def updates(self, kind):
        found = [m["params"]["update"] for m in self.messages if m.get("method") == "session/update"]
        return [u for u in found if u["sessionUpdate"] == kind]

    def said(self):
        return "".join(u["content"].get("text", "") for u in self.updates("agent_message_chunk"))

    def stop_reason(self):
        found = [m["result"]["stopReason"] for m in self.messages
                 if isinstance(m.get("result"), dict) and "stopReason" in m["result"]]
        return found[-1] if found else None

    def tool_status(self, name):
        """How the call of a tool ended; None: there was none."""
        ids = [u["toolCallId"] for u in self.updates("tool_call") if u.get("name") == name]
        updates = [m["params"]["update"] for m in self.messages if m.get("method") == "session/update"]
        ends = [u["status"] for u in updates if u.get("toolCallId") in ids and "status" in u]
        return ends[-1] if ends else None


class Cell:
    def __init__(self, mux, files, terminal, permission, use):
        self.mux, self.files, self.terminal, self.permission, self.use = mux, files, terminal, permission, use
        self.name = f"{'fs' if files else 'no-fs'} {'terminal' if terminal else 'no-terminal'} {permission} {use}"
        # What the policies say.
        self.may_read = not files or permission != "deny-all"
        self.may_edit = permission == "approve-all"
        self.may_run = terminal and permission == "approve-all"

    # ---- acpx ----

    def open(self):
        self.folder = tempfile.mkdtemp(prefix="mux-acpx-")
        self.work = os.path.join(self.folder, "work")
        os.mkdir(self.work)
        for name, text in (("work/a.c", BEFORE), ("work/b.c", "int b;\n"),
                           ("model.txt", MODEL_MCP if self.use == "mcp" else MODEL)):
            with open(os.path.join(self.folder, name), "w") as out:
                out.write(text)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("MUX_", "XDG_", "ACPX_"))}
        self.env["HOME"] = self.folder
        agent = f"{self.mux} --model script:{self.folder}/model.txt"
        self.arguments = ["node", ACPX, "--agent", agent, "--cwd", self.work, "--format", "json", "--json-strict",
                          "--" + self.permission]
        self.arguments += [] if self.files else ["--no-fs"]
        self.arguments += [] if self.terminal else ["--no-terminal"]

    def start(self, *words, out=subprocess.PIPE):
        return subprocess.Popen([*self.arguments, *words], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                stdout=out, stderr=subprocess.PIPE, text=True)

    def acpx(self, *words):
        process = self.start(*words)
        try:
            out, err = process.communicate(timeout=WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Surprise(f"acpx {' '.join(words)} did not end")
        wire = Wire(process.returncode, out, err)
        self.check_capabilities(wire)
        return wire

    def done(self, *words):
        """A command that must succeed; its last line."""
        wire = self.acpx(*words)
        expect(f"exit status of {words} ({wire.messages[-1:]}, {wire.err[-300:]})", wire.status, 0)
        return wire.messages[-1]

    def check_capabilities(self, wire):
        if not self.files:
            expect("file requests", wire.methods("fs/"), [])
        if not self.terminal:
            expect("terminal requests", wire.methods("terminal/"), [])
        if self.use == "exec":
            expect("terminals released", len(wire.methods("terminal/release")), len(wire.methods("terminal/create")))

    def kill_all(self):
        """Whatever this cell started and left: its home is the cell's folder."""
        mark = f"HOME={self.folder}".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        os.kill(int(pid), signal.SIGKILL)
            except OSError:
                continue

    def close(self):
        self.kill_all()
        shutil.rmtree(self.folder, ignore_errors=True)

    def text(self, name):
        with open(os.path.join(self.work, name)) as file:
            return file.read()

    # ---- what is expected ----

    def check_first_change(self, wire):
        expect("stop reason", wire.stop_reason(), "end_turn")
        expect("exit status", wire.status, 0 if self.may_edit else DENIED)
        expect("read_files", wire.tool_status("read_files"), "completed" if self.may_read else "failed")
        expect("a command ran", os.path.exists(os.path.join(self.work, "ran.txt")), self.may_run)
        if self.terminal:
            expect("run_shell", wire.tool_status("run_shell"), "completed" if self.may_run else "failed")
        else:
            expect("run_shell succeeded", wire.tool_status("run_shell") == "completed", False)
        expect("writes through the client", len(wire.methods("fs/write")), int(self.files and self.may_edit))
        expect("a.c", self.text("a.c"), BEFORE.replace("0", "1") if self.may_edit else BEFORE)

    def check_second_change(self, wire):
        expect("stop reason", wire.stop_reason(), "end_turn")
        expect("a.c", self.text("a.c"), BEFORE.replace("0", "2") if self.may_edit else BEFORE)

    def check_short(self, wire):
        expect("stop reason", wire.stop_reason(), "end_turn")
        expect("words", "That was quick." in wire.said(), True)
        expect("exit status", wire.status, 0)

    # ---- uses ----

    def use_exec(self):
        self.check_first_change(self.acpx("exec", "Make the first change to a.c"))

    def use_turns(self):
        self.done("sessions", "new")
        self.check_first_change(self.acpx("Make the first change to a.c"))
        self.check_second_change(self.acpx("Make the second change to a.c"))

    def use_cancel(self):
        self.done("sessions", "new")
        with open(os.path.join(self.folder, "long"), "w+") as out:
            process = self.start("Tell me the long way", out=out)
            until = time.monotonic() + WAIT
            while "agent_message_chunk" not in self.text("../long") and time.monotonic() < until:
                time.sleep(0.05)
            expect("cancelled", self.done("cancel").get("cancelled"), True)
            try:
                _, err = process.communicate(timeout=WAIT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise Surprise("the cancelled prompt did not end")
            wire = Wire(process.returncode, self.text("../long"), err)
        expect("stop reason", wire.stop_reason(), "cancelled")
        self.check_short(self.acpx("Now something short"))
        expect("cancelled when idle", self.done("cancel").get("cancelled"), False)

    def use_model(self):
        self.done("sessions", "new")
        refused = self.acpx("set", "model", "no-such-model")
        expect("a model that is not there is refused", refused.status != 0, True)
        self.done("set", "model", "echo")
        wire = self.acpx("And now something short about a.c")
        expect("stop reason", wire.stop_reason(), "end_turn")
        expect("words of the first model", "That was quick." in wire.said(), False)
        expect("exit status", wire.status, 0 if self.may_edit else DENIED)
        expect("a.c is changed", self.text("a.c") != BEFORE, self.may_edit)
        expect("the session's model", self.done("status").get("model"), "echo")

    def use_resume(self):
        session = self.done("sessions", "new")["acpxSessionId"]
        self.check_first_change(self.acpx("Make the first change to a.c"))
        self.kill_all()
        wire = self.acpx("Make the second change to a.c")
        back = [m for m in wire.messages if m.get("method") in ("session/load", "session/resume")]
        expect("the session is taken up again", [m["params"]["sessionId"] for m in back][:1], [session])
        expect("new sessions", wire.methods("session/new"), [])
        self.check_second_change(wire)
        listed = {s["sessionId"]: s for s in self.done("sessions", "list")["sessions"]}
        expect("it is listed", session in listed, True)
        expect("its folder", listed[session]["cwd"], self.work)
        expect("its title", listed[session].get("title"), "Make the first change to a.c")
        expect("close", self.done("sessions", "close").get("action"), "session_closed")

    def use_mcp(self):
        config = os.path.join(self.folder, "mcp.json")
        server = os.path.join(os.path.dirname(self.mux), "mcp_server")
        with open(config, "w") as out:
            json.dump({"mcpServers": [{"name": "fake", "command": server, "args": [], "env": []}]}, out)
        wire = self.acpx("--mcp-config", config, "exec", "Use the tool of the server")
        expect("stop reason", wire.stop_reason(), "end_turn")
        expect("the tool", wire.tool_status("fake__echo"), "completed" if self.may_edit else "failed")
        expect("exit status", wire.status, 0 if self.may_edit else DENIED)

    def run(self):
        began = time.monotonic()
        problem = None
        self.open()
        try:
            getattr(self, "use_" + self.use)()
        except Surprise as surprise:
            problem = str(surprise)
        except Exception:
            problem = traceback.format_exc()
        finally:
            self.close()
        return problem, time.monotonic() - began


def skip(why):
    print(f"skip acpx: {why}\n0 passed, 0 failed, 1 skipped")
    sys.exit(0)


def install():
    """What package-lock.json pins, fetched again when it changed."""
    lock, stamp = os.path.join(HERE, "package-lock.json"), os.path.join(HERE, "node_modules", ".pinned")
    if not shutil.which("node"):
        skip("node is not installed")
    with open(lock) as file:
        wanted = file.read()
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == wanted:
                return
    if not shutil.which("npm"):
        skip("npm is not installed")
    # Not "npm ci": it wants every optional package of every platform to be in the registry.
    fetch = ["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(fetch, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        skip(f"npm cannot fetch acpx: {done.stderr.strip()[-200:]}")
    with open(stamp, "w") as out:
        out.write(wanted)


def print_table(cells, problems, uses):
    rows = {}
    for cell in cells:
        key = cell.name.rsplit(" ", 1)[0]
        rows.setdefault(key, {})[cell.use] = "FAIL" if problems[cell.name] else "ok"
    width = max(map(len, rows))
    print(f"\n{'':{width}}  " + "".join(f"{use:8}" for use in uses))
    for key, row in rows.items():
        print(f"{key:{width}}  " + "".join(f"{row.get(use, '-'):8}" for use in uses))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mux", required=True, help="the program")
    parser.add_argument("--sample", action="store_true", help="one cell in eight")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time")
    parser.add_argument("names", nargs="*", help="only cells whose name holds all of these words")
    options = parser.parse_args()
    mux = os.path.abspath(options.mux)
    if not os.access(mux, os.X_OK):
        sys.exit(f"acpx_matrix: there is no program {mux}")
    install()
    uses = ["exec", "turns", "cancel", "model", "resume"]
    has_server = os.access(os.path.join(os.path.dirname(mux), "mcp_server"), os.X_OK)
    uses += ["mcp"] if has_server else []
    cells = [Cell(mux, *parts) for parts in
             itertools.product((True, False), (True, False), ("approve-all", "approve-reads", "deny-all"), uses)]
    cells = [c for c in cells if all(word in c.name.split() for word in options.names)]
    if options.sample:
        seed = int(os.environ.get("MUX_SEED", "1"))
        print(f"seed {seed}")
        cells = sorted(random.Random(seed).sample(cells, (len(cells) + 7) // 8), key=cells.index)
    problems = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for cell, (problem, seconds) in zip(cells, pool.map(Cell.run, cells)):
            problems[cell.name] = problem
            words = f"\n    {problem}" if problem else ""
            print(f"{'FAIL' if problem else 'ok  '} {cell.name} ({seconds:.1f} s){words}", flush=True)
    failed = sum(1 for problem in problems.values() if problem)
    if cells:
        print_table(cells, problems, uses)
    print(f"{len(cells) - failed} passed, {failed} failed, {0 if has_server else 1} skipped")
    return 1 if failed or not cells else 0


if __name__ == "__main__":
    sys.exit(main())
