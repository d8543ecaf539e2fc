"""A small client of the protocol for the measurements of this folder: one thread, all messages in order with the time they came."""
import json, os, select, subprocess, time


def texts(update):
    """the text of a chunk, or None"""
    content = update.get("content")
    return content.get("text") if isinstance(content, dict) else None


class Agent:
    """answer: what to say to a request of the agent, (method, params) -> result, an Exception to refuse with, or None to leave it open"""

    def __init__(self, argv, answer=None, env=None, stderr=subprocess.DEVNULL, capabilities=None):
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                                        env=dict(os.environ, **(env or {})))
        os.set_blocking(self.process.stdout.fileno(), False)
        self.answer, self.buffer, self.lines, self.next_id, self.is_over = answer, b"", [], 0, False
        self.request("initialize", {"protocolVersion": 1, "clientCapabilities": capabilities or {}})

    def send(self, message):
        try:
            self.process.stdin.write((json.dumps({"jsonrpc": "2.0", **message}) + "\n").encode())
            self.process.stdin.flush()
        except (OSError, ValueError):
            self.is_over = True

    def ask(self, method, params):
        self.next_id += 1
        self.send({"id": self.next_id, "method": method, "params": params})
        return self.next_id

    def notify(self, method, params):
        self.send({"method": method, "params": params})

    def poll(self, seconds):
        """The messages that come within that time, at least one unless there is none; what wants an answer has had it."""
        end = time.monotonic() + seconds
        while not self.lines and not self.is_over:
            left = end - time.monotonic()
            if left < 0 or not select.select([self.process.stdout], [], [], left)[0]:
                break
            data = self.process.stdout.read(1 << 20)
            if not data:
                self.is_over = True
                break
            now = time.monotonic()
            *whole, self.buffer = (self.buffer + data).split(b"\n")
            self.lines += [dict(json.loads(line), at=now) for line in whole]
        out, self.lines = self.lines, []
        for message in out:
            self.serve(message)
        return out

    def serve(self, message):
        if "method" not in message or "id" not in message or not self.answer:
            return
        result = self.answer(message["method"], message.get("params", {}))
        if isinstance(result, Exception):
            self.send({"id": message["id"], "error": {"code": -32603, "message": str(result)}})
        elif result is not None:
            self.send({"id": message["id"], "result": result})

    def until(self, is_it, seconds=60, seen=None):
        """The first message that is_it likes; those that came with or before it are added to seen. None when it does not come."""
        end = time.monotonic() + seconds
        while not self.is_over and time.monotonic() < end:
            messages = self.poll(max(0, end - time.monotonic()))
            if seen is not None:
                seen += messages
            for i, message in enumerate(messages):
                if is_it(message):
                    return message
        return None

    def wait(self, number, seconds=60, seen=None):
        return self.until(lambda m: m.get("id") == number and "method" not in m, seconds, seen)

    def request(self, method, params, seconds=60, seen=None):
        answer = self.wait(self.ask(method, params), seconds, seen)
        if answer is None:
            raise RuntimeError("no answer to %s" % method)
        return answer

    def new_session(self, cwd):
        answer = self.request("session/new", {"cwd": cwd, "mcpServers": []})
        if "result" not in answer:
            raise RuntimeError("no session: %s" % answer.get("error"))
        return answer["result"]["sessionId"]

    def prompt(self, session, text):
        """sends it and answers the request's id"""
        return self.ask("session/prompt", {"sessionId": session, "prompt": [{"type": "text", "text": text}]})

    def cancel(self, session):
        self.notify("session/cancel", {"sessionId": session})
        return time.monotonic()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.close()

    def end(self, seconds=20):
        """closes its input; the exit status"""
        try:
            self.process.stdin.close()
        except OSError:
            pass
        while not self.is_over and self.poll(seconds):
            pass
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.close()
        return status

    def close(self):
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except OSError:
                pass

    def status(self, name):
        """a number of /proc/PID/status: VmRSS in kB, Threads"""
        with open("/proc/%d/status" % self.process.pid) as f:
            for line in f:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        return 0

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))


def allow(method, params):
    """the answer of somebody who allows everything and has no file methods"""
    if method == "session/request_permission":
        return {"outcome": {"outcome": "selected", "optionId": "allow_once"}}
    return RuntimeError("not offered")
