#!/usr/bin/env python3
"""kill -9 at any moment of a turn that edits five files: after the next start the tree is as before or as after, never between.

    kill.py --mux BUILD/mux-acp [--count 50] [--seed 1] [--files] [--keep]

A scripted model proposes the five edits, this client allows each of them. A third of the kills falls uniformly on the measured turn, a
third behind the last permission, where the files are written, a third as soon as one of the files (any) has changed. Then
`mux-acp recover` runs.
--files: the client offers its file methods, so that writing is its work. Then a file is as before or as after (no file torn), and what
recover says is counted; a turn that ends is undone as a check.
Prints "N passed, N failed, N skipped"; exit status 1 when one failed."""
import argparse, collections, json, os, random, shutil, subprocess, sys, tempfile, threading, time

NAMES = ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"]
FILLER = "".join("line %d of a file that is long enough to take a while\n" % i for i in range(400))


def text_of(name, word):
    return FILLER + "the value of %s is %s\n" % (name, word)


BEFORE = {n: text_of(n, "old").encode() for n in NAMES}
AFTER = {n: text_of(n, "new").encode() for n in NAMES}


def script():
    parts = ["delay: 1\npiece: 64\n--- reply repeat\nI change all five.\n"]
    for n in NAMES:
        parts.append("\n%s\n<<<<<<< SEARCH\nthe value of %s is old\n=======\nthe value of %s is new\n>>>>>>> REPLACE\n" % (n, n, n))
    return "".join(parts)


def tree(root):
    out = {}
    for folder, dirs, files in os.walk(root):
        dirs[:] = [d for d in dirs if d != ".git"]
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                out[os.path.relpath(path, root)] = f.read()
    return out


def set_up(root):
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(root)
    for name, data in BEFORE.items():
        with open(os.path.join(root, name), "wb") as f:
            f.write(data)
    subprocess.run(["git", "init", "-q", root], check=True)


class Client:
    def __init__(self, mux, model, root, with_files):
        self.root, self.with_files = root, with_files
        self.allowed = threading.Event()   # the last permission was given
        self.ended = threading.Event()     # the turn's answer came, or the stream's end
        self.asked, self.stop = 0, None
        self.agent = subprocess.Popen([mux, "--model", model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        capabilities = {"fs": {"readTextFile": with_files, "writeTextFile": with_files}}
        self.send({"id": 0, "method": "initialize", "params": {"protocolVersion": 1, "clientCapabilities": capabilities}})
        self.answer(0)
        self.send({"id": 1, "method": "session/new", "params": {"cwd": root, "mcpServers": []}})
        self.session = self.answer(1)["result"]["sessionId"]
        self.send({"id": 2, "method": "session/prompt", "params": {"sessionId": self.session, "prompt": [
            {"type": "text", "text": "Change the value in a.txt, b.txt, c.txt, d.txt and e.txt"}]}})
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def send(self, message):
        try:
            self.agent.stdin.write((json.dumps({"jsonrpc": "2.0", **message}) + "\n").encode())
            self.agent.stdin.flush()
        except (OSError, ValueError):
            pass  # it is dead

    def answer(self, number):
        for line in self.agent.stdout:
            message = json.loads(line)
            if message.get("id") == number and "method" not in message:
                return message
        raise SystemExit("the agent ended at once")

    def result_of(self, message):
        method, params = message["method"], message["params"]
        if method == "session/request_permission":
            self.asked += 1
            return {"outcome": {"outcome": "selected", "optionId": "allow_once"}}
        if method == "fs/read_text_file":
            with open(params["path"], encoding="utf-8", newline="") as f:
                return {"content": f.read()}
        if method == "fs/write_text_file":
            with open(params["path"], "w", encoding="utf-8", newline="") as f:
                f.write(params["content"])
        return None

    def serve(self):
        for line in self.agent.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                break  # the line the kill cut off
            if "method" in message and "id" in message:
                self.send({"id": message["id"], "result": self.result_of(message)})
                if self.asked == len(NAMES):
                    self.allowed.set()
            elif message.get("id") == 2:
                self.stop = message.get("result", {}).get("stopReason")
                break
        self.allowed.set()
        self.ended.set()

    def end(self, kill):
        if kill:
            self.agent.kill()
        try:
            self.agent.stdin.close()
        except OSError:
            pass
        self.thread.join()
        self.agent.stdout.read()
        self.agent.wait()


def measure(args, model, root):
    whole, tail = [], []
    for _ in range(3):
        set_up(root)
        client = Client(args.mux, model, root, args.files)
        client.allowed.wait(60)
        allowed = time.monotonic()
        client.ended.wait(60)
        whole.append(time.monotonic() - client.began)
        tail.append(time.monotonic() - allowed)
        client.end(False)
        if tree(root) != AFTER:
            sys.exit("a turn left alone does not make the five edits (%s, %d questions)" % (client.stop, client.asked))
        undone = subprocess.run([args.mux, "undo", "--root", root], capture_output=True)
        if undone.returncode or tree(root) != BEFORE:
            sys.exit("undo does not bring the tree back: %s" % undone.stderr.decode(errors="replace"))
    return max(whole), max(tail)


def one(args, model, root, rng, whole, tail, near):
    set_up(root)
    client = Client(args.mux, model, root, args.files)
    if near == 2:
        path = os.path.join(root, rng.choice(NAMES))
        first = os.stat(path)
        while not client.ended.is_set():
            try:
                now = os.stat(path)
            except FileNotFoundError:
                break
            if (now.st_ino, now.st_mtime_ns) != (first.st_ino, first.st_mtime_ns):
                break
    elif near:
        client.allowed.wait(60)
        time.sleep(rng.uniform(0, 1.1 * tail))
    else:
        client.ended.wait(rng.uniform(0, 1.05 * whole))
    client.end(True)
    torn = tree(root)
    recovered = subprocess.run([args.mux, "recover", "--root", root], capture_output=True)
    now = tree(root)
    state = "before" if now == BEFORE else "after" if now == AFTER else "between"
    what = "%s, %s" % (state, "untouched by recover" if now == torn else "by recover")
    whole_files = set(now) == set(BEFORE) and all(now[n] in (BEFORE[n], AFTER[n]) for n in now)
    good = recovered.returncode == 0 and (state != "between" or (args.files and whole_files))
    return good, what if recovered.returncode == 0 else "recover failed: " + recovered.stderr.decode(errors="replace")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mux", required=True)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", action="store_true")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    args.mux = os.path.abspath(args.mux)
    scratch = tempfile.mkdtemp(prefix="mux-kill-")
    root, model = os.path.join(scratch, "work"), os.path.join(scratch, "script.txt")
    with open(model, "w") as f:
        f.write(script())
    rng, counts, failed = random.Random(args.seed), collections.Counter(), 0
    whole, tail = measure(args, "script:" + model, root)
    print("a turn takes up to %.0f ms, writing %.0f ms of them" % (whole * 1000, tail * 1000))
    for i in range(args.count):
        good, what = one(args, "script:" + model, root, rng, whole, tail, i % 3)
        counts[what] += 1
        if not good:
            failed += 1
            print("FAIL kill %d: %s" % (i, what))
            if args.keep:
                sys.exit("the tree is in " + root)
    for what, n in sorted(counts.items()):
        print("%4d %s" % (n, what))
    shutil.rmtree(scratch)
    print("%d passed, %d failed, 0 skipped" % (args.count - failed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
