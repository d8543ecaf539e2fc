#!/usr/bin/env python3
"""kill -9 at any moment of a conversation: after the next start session/load tells again all that the client had been told.

    kill_sessions.py --mux BUILD/mux-acp [--count 200] [--seed 1] [--keep]

A scripted model talks, asks for tools and edits files; the client allows each edit. The agent is killed at a uniformly random moment of
two turns; one before anything was heard does not count. All kills share one store. Then a new agent loads the session. Of every line that the dead agent had written completely:
what the user said is there in order, the text of each turn begins with what was heard of it, each tool call is there with its title,
with its last state when that was final, and with its diffs. PRAGMA integrity_check finds nothing, and the loaded session takes a next prompt.
Prints "N passed, N failed, N skipped"; exit status 1 when one failed."""
import argparse, collections, os, random, shutil, sqlite3, subprocess, sys, tempfile, time
from agent_client import Agent, allow, texts

SCRIPT = """delay: 2
piece: 12
--- reply repeat when: talk
There is nothing to change here.
But there is a lot to say about it,
and each line of it is a piece of history, h\u00e9 \U0001F600,
which is kept as soon as it has been said.
--- reply repeat when: look
I look at the files first.
<tool_call>
{"name": "search", "arguments": {"pattern": "return"}}
</tool_call>
--- reply repeat when: forth
I change the value in both.

a.c
<<<<<<< SEARCH
    return 0;
=======
    return 1;
>>>>>>> REPLACE

b.c
<<<<<<< SEARCH
    return 0;
=======
    return 1;
>>>>>>> REPLACE
--- reply repeat
That is what I found.
There is nothing more to say.
"""
TEXT = "int main(void) {\n    return 0;\n}\n"
ASKS = ["talk about a.c", "look for return in all files", "In a.c and b.c change the value forth", "/status", "/search return"]


class Heard:
    """a turn, as its updates tell it"""

    def __init__(self, user):
        self.user, self.text, self.thought, self.tools = user, "", "", collections.OrderedDict()

    def take(self, update):
        kind = update["sessionUpdate"]
        if kind == "agent_message_chunk":
            self.text += texts(update) or ""
        elif kind == "agent_thought_chunk":
            self.thought += texts(update) or ""
        elif kind in ("tool_call", "tool_call_update"):
            call = self.tools.setdefault(update["toolCallId"], {})
            call.update({k: v for k, v in update.items() if v is not None})


def diffs(call):
    return [(d["path"], d.get("oldText"), d["newText"]) for d in call.get("content") or [] if d.get("type") == "diff"]


def heard_by(messages):
    """the turns of a replay"""
    turns = []
    for message in messages:
        update = message.get("params", {}).get("update") if message.get("method") == "session/update" else None
        if not update:
            continue
        if update["sessionUpdate"] == "user_message_chunk":
            if not turns or turns[-1].text or turns[-1].tools or turns[-1].thought:
                turns.append(Heard(""))
            turns[-1].user += texts(update) or ""
        elif turns:
            turns[-1].take(update)
    return turns


def difference(before, after):
    """what the replay lacks of what was heard; None when nothing"""
    for i, heard in enumerate(before):
        if i >= len(after):
            return "turn %d (%r) is gone" % (i + 1, heard.user)
        again = after[i]
        if heard.user not in again.user:
            return "turn %d: the user said %r, the replay %r" % (i + 1, heard.user, again.user)
        for what, a, b in (("text", heard.text, again.text), ("thought", heard.thought, again.thought)):
            if not b.startswith(a):
                return "turn %d: the %s %r is replayed as %r" % (i + 1, what, a[-80:], b[-80:])
        for name, call in heard.tools.items():
            other = again.tools.get(name)
            if other is None:
                return "turn %d: the tool call %s (%r) is gone" % (i + 1, name, call.get("title"))
            if call.get("title") and call["title"] != other.get("title"):
                return "turn %d: %s was %r, is %r" % (i + 1, name, call["title"], other.get("title"))
            if call.get("status") in ("completed", "failed") and call["status"] != other.get("status"):
                return "turn %d: %s was %s, is %s" % (i + 1, name, call["status"], other.get("status"))
            if not set(diffs(call)) <= set(diffs(other)):
                return "turn %d: a diff of %s is gone" % (i + 1, name)
    return None


class Trial:
    def __init__(self, args, scratch):
        self.scratch, self.work, self.state = scratch, os.path.join(scratch, "work"), os.path.join(scratch, "state")
        self.argv = [os.path.abspath(args.mux), "--model", "script:" + os.path.join(scratch, "script.txt"), "--state-dir", self.state]
        self.rng, self.errors = random.Random(args.seed), os.path.join(scratch, "stderr")
        with open(os.path.join(scratch, "script.txt"), "w", encoding="utf-8") as f:
            f.write(SCRIPT)

    def start(self):
        return Agent(self.argv, answer=allow, stderr=open(self.errors, "ab"))

    def set_up(self):
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        for name in ("a.c", "b.c"):
            with open(os.path.join(self.work, name), "w") as f:
                f.write(TEXT)
        subprocess.run(["git", "init", "-q", self.work], check=True)

    def converse(self, seconds):
        """Asks two things; killed after that time (None: not). The session, what was heard of each turn, and how long it took."""
        agent, turns = self.start(), []
        session, begun = agent.new_session(self.work), time.monotonic()
        end = begun + (seconds if seconds is not None else 1e6)
        asks = [self.rng.choice(ASKS) for _ in range(2)]
        for ask in asks:
            heard, number, is_done = Heard(ask), agent.prompt(session, ask), False
            turns.append(heard)
            while not is_done and not agent.is_over and time.monotonic() < end:
                is_done = self.hear(heard, agent.poll(min(30, max(0, end - time.monotonic()))), number)
            if not is_done:
                break
        took = time.monotonic() - begun
        agent.process.kill()
        agent.process.wait()
        while not agent.is_over:  # what it had written before it died
            self.hear(turns[-1], agent.poll(5), None)
        agent.close()
        if not (turns[-1].text or turns[-1].tools or turns[-1].thought):
            turns.pop()  # the agent may never have read it
        return session, turns, took

    @staticmethod
    def hear(heard, messages, number):
        for message in messages:
            if message.get("method") == "session/update":
                heard.take(message["params"]["update"])
        return any(m.get("id") == number and "method" not in m for m in messages)

    def load(self, session):
        agent, seen = self.start(), []
        answer = agent.request("session/load", {"sessionId": session, "cwd": self.work, "mcpServers": []}, seen=seen)
        return agent, answer, heard_by(seen)

    def check(self, session, turns):
        """what is wrong, or None"""
        agent, answer, again = self.load(session)
        try:
            if "error" in answer:
                return "session/load fails: %s" % answer["error"].get("message")
            problem = difference(turns, again)
            if problem:
                return problem
            base = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.state, "sessions.db"), uri=True)
            found = base.execute("PRAGMA integrity_check").fetchall()
            base.close()
            if found != [("ok",)]:
                return "integrity_check: %s" % found[:3]
            stop = agent.wait(agent.prompt(session, "talk on")).get("result", {}).get("stopReason")
            return None if stop == "end_turn" else "the next turn ends with %s" % stop
        finally:
            agent.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mux", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="mux-kill-sessions-")
    trial = Trial(args, scratch)
    trial.set_up()
    whole, failed, heard = 0.2, 0, collections.Counter()
    for i in range(3):
        trial.set_up()
        session, turns, took = trial.converse(None)
        whole = max(whole, took)
        problem = trial.check(session, turns)
        if problem:
            print("FAIL without a kill: %s" % problem)
            return 1
    print("two turns take up to %.0f ms" % (whole * 1000), flush=True)
    i = early = 0
    while i < args.count and early < 5 * args.count:
        trial.set_up()
        session, turns, took = trial.converse(trial.rng.uniform(0, whole))
        problem = trial.check(session, turns) if turns else None
        if not turns:
            early += 1  # before anything was heard: nothing can be missed
            continue
        i += 1
        heard.update({"turns": len(turns), "bytes of text": sum(len(t.text.encode()) for t in turns), "tool calls": sum(len(t.tools) for t in turns),
                      "diffs": sum(len(diffs(c)) for t in turns for c in t.tools.values())})
        if problem:
            failed += 1
            print("FAIL kill %d after %.0f ms: %s" % (i, took * 1000, problem), flush=True)
            if args.keep:
                sys.exit("all of it is in " + scratch)
    print("seed %d, heard before the kills: %s; %d more came before anything was heard" % (args.seed, ", ".join("%d %s" % (n, what) for what, n in sorted(heard.items())), early))
    shutil.rmtree(scratch, ignore_errors=True)
    print("%d passed, %d failed, 0 skipped" % (args.count - failed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
