"""One mux-acp process and a small client of it: the standard library only.

    with Agent(mux, model_text) as agent:
        agent.request("initialize", {...})            # the result, or Refused
        turn = agent.send("session/prompt", {...})    # an id; agent.wait(turn) is its result

The client serves files from a folder on disk, terminals by running the command, and permissions as `permit` says.
What the agent writes is kept in order in `lines`; a line that is no JSON-RPC message is remembered in `problems`.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading

WAIT = 60  # seconds; only a check that fails waits that long


class Refused(Exception):
    def __init__(self, error):
        super().__init__(error.get("message"))
        self.code = error.get("code")
        self.error = error


class Failed(Exception):
    pass


def check(condition, words, *details):
    if not condition:
        raise Failed(words + "".join(f"; {d!r}" for d in details))


class Agent:
    def __init__(self, mux, model, review="ask", files=True, terminal=True, permit="allow_once", status=0, extra=()):
        self.folder = tempfile.mkdtemp(prefix="mux-client-")
        self.work = os.path.join(self.folder, "work")
        os.mkdir(self.work)
        self.write("a.c", "int main(void) {\n    return 0;\n}\n")
        script = os.path.join(self.folder, "model.txt")
        with open(script, "w") as out:
            out.write(model)
        self.capabilities = {"fs": {"readTextFile": files, "writeTextFile": files}, "terminal": terminal}
        self.status = status  # the exit status that is expected
        self.permit = permit  # kind of the option that is chosen
        self.reads_refused = self.writes_refused = False
        self.lines, self.problems, self.asked, self.answers = [], [], [], {}
        self.next_id = 0
        self.changed = threading.Condition()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MUX_", "XDG_"))}
        env["HOME"] = self.folder
        self.log = open(os.path.join(self.folder, "stderr"), "w+")
        self.process = subprocess.Popen(
            [mux, "--model", "script:" + script, "--review", review, *extra],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, cwd=self.folder, env=env)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    # ---- the folder ----

    def write(self, name, text):
        with open(os.path.join(self.work, name), "w", newline="") as out:
            out.write(text)

    def text(self, name):
        with open(os.path.join(self.work, name), newline="") as file:
            return file.read()

    # ---- the wire ----

    def _write(self, message):
        data = json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"
        with self.changed:
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def _read(self):
        for line in self.process.stdout:
            try:
                message = json.loads(line)
                good = isinstance(message, dict) and message.get("jsonrpc") == "2.0"
            except ValueError:
                message, good = {}, False
            with self.changed:
                if not good:
                    self.problems.append(line)
                    continue
                self.lines.append(message)
                if "method" not in message:
                    if message.get("id") in self.answers or message.get("id") is None:
                        self.problems.append(line)
                    self.answers[message.get("id")] = message
                self.changed.notify_all()
            if "method" in message and "id" in message:
                threading.Thread(target=self._serve, args=(message,), daemon=True).start()
        with self.changed:
            self.changed.notify_all()

    def _serve(self, request):
        self.asked.append(request)
        try:
            self._write({"id": request["id"], "result": self._answer(request["method"], request["params"])})
        except (OSError, ValueError):
            pass
        except Refused as refused:
            self._write({"id": request["id"], "error": refused.error})

    def _answer(self, method, params):
        if method == "session/request_permission":
            for option in params["options"]:
                if option["kind"] == self.permit:
                    return {"outcome": {"outcome": "selected", "optionId": option["optionId"]}}
            return {"outcome": {"outcome": "cancelled"}}
        if method == "fs/read_text_file":
            if self.reads_refused:
                raise Refused({"code": -32603, "message": "Permission denied: read"})
            return self._read_file(params)
        if method == "fs/write_text_file":
            if self.writes_refused:
                raise Refused({"code": -32603, "message": "Permission denied: write"})
            with open(params["path"], "w", newline="") as out:
                out.write(params["content"])
            return {}
        if method == "terminal/create":
            done = subprocess.run([params["command"], *params.get("args", [])], cwd=params.get("cwd"),
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT)
            self.terminal = done
            return {"terminalId": "t1"}
        if method == "terminal/output":
            return {"output": self.terminal.stdout.decode(), "truncated": False,
                    "exitStatus": {"exitCode": self.terminal.returncode}}
        if method == "terminal/wait_for_exit":
            return {"exitCode": self.terminal.returncode}
        if method in ("terminal/release", "terminal/kill"):
            return {}
        raise Refused({"code": -32601, "message": "Method not found: " + method})

    @staticmethod
    def _read_file(params):
        try:
            with open(params["path"], newline="") as file:
                text = file.read()
        except OSError as error:
            raise Refused({"code": -32002, "message": str(error)})
        if params.get("line") or params.get("limit"):
            first = (params.get("line") or 1) - 1
            lines = text.splitlines(keepends=True)[first:]
            text = "".join(lines[:params["limit"]] if params.get("limit") else lines)
        return {"content": text}

    # ---- asking ----

    def send(self, method, params):
        with self.changed:
            self.next_id += 1
            number = self.next_id
        self._write({"id": number, "method": method, "params": params})
        return number

    def notify(self, method, params):
        self._write({"method": method, "params": params})

    def until(self, condition, words):
        with self.changed:
            found = self.changed.wait_for(lambda: condition() or not self.reader.is_alive(), WAIT) and condition()
        check(found, f"never happened: {words}")
        return found

    def wait(self, number):
        self.until(lambda: number in self.answers, f"an answer to request {number}")
        answer = self.answers[number]
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def request(self, method, params):
        return self.wait(self.send(method, params))

    def refused(self, method, params):
        try:
            result = self.request(method, params)
        except Refused as refused:
            check(isinstance(refused.code, int) and refused.error.get("message"), "an error without code or words")
            return refused.code
        raise Failed(f"{method} was answered: {result}")

    # ---- what most checks begin with ----

    def initialize(self):
        return self.request("initialize", {"protocolVersion": 1, "clientCapabilities": self.capabilities,
                                           "clientInfo": {"name": "check", "version": "1"}})

    def session(self, **more):
        self.initialize()
        return self.new_session(**more)

    def new_session(self, **more):
        result = self.request("session/new", {"cwd": self.work, "mcpServers": [], **more})
        check(isinstance(result.get("sessionId"), str) and result["sessionId"], "no session id", result)
        return result["sessionId"]

    def prompt(self, session, text):
        return self.send("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": text}]})

    def turn(self, session, text):
        return self.wait(self.prompt(session, text))["stopReason"]

    def updates(self, session, kind=None):
        found = [m["params"]["update"] for m in list(self.lines)
                 if m.get("method") == "session/update" and m["params"]["sessionId"] == session]
        return [u for u in found if kind is None or u["sessionUpdate"] == kind]

    def said(self, session):
        return "".join(u["content"].get("text", "") for u in self.updates(session, "agent_message_chunk"))

    def index_of_answer(self, number):
        return next(i for i, m in enumerate(self.lines) if "method" not in m and m.get("id") == number)

    # ---- the end ----

    def close(self):
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            status = self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "killed: it did not end with its stdin"
        self.reader.join(WAIT)
        self.log.seek(0)
        words = self.log.read()
        self.log.close()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status, words

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        status, words = self.close()
        if kind is None:
            check(status == self.status, "exit status", status, words)
            check(not self.problems, "lines that are no messages, or answers twice", self.problems[:3])
        elif words and isinstance(value, Exception):
            value.args = (f"{value}; stderr: {words.strip()[-300:]}",)
        return False
