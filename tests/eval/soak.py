#!/usr/bin/env python3
"""Thousands of turns of one agent process with a scripted model, in several sessions, some cancelled at random moments: memory, threads
and descriptors stay as they are.

    soak.py --mux BUILD/mux-acp [--turns 10000] [--sessions 8] [--seed 1] [--limit 1.0]

Text, thoughts, edits (asked for and allowed, then undone by the next), refused edits, cancels while the model speaks and while a
question is open. Each session is closed and opened anew after some 200 turns. After a fifth of the turns memory is taken as warm; its growth
from the second fifth to the last may be --limit percent, in medians of samples. Prints "N passed, N failed, N skipped";
exit status 1 when one failed."""
import argparse, os, random, shutil, statistics, subprocess, sys, tempfile, time
from agent_client import Agent

SCRIPT = """delay: 0
piece: 24
--- reply repeat when: talk
There is nothing to change here, but a lot to say about it.
And a second line, with h\u00e9 and \U0001F600.
--- reply repeat delay: 3 when: slowly
One word after the other comes,
and each of them takes its time,
so that there is a moment to stop.
And another line of that kind.
--- reply repeat when: forth
I change the value.

a.c
<<<<<<< SEARCH
    return 0;
=======
    return 1;
>>>>>>> REPLACE
--- reply repeat when: back
I change it back.

a.c
<<<<<<< SEARCH
    return 1;
=======
    return 0;
>>>>>>> REPLACE
--- reply repeat
I have nothing to say to that.
"""
TEXT = "int main(void) {\n    return 0;\n}\n"


class Soak:
    def __init__(self, args, scratch):
        self.args, self.scratch, self.rng = args, scratch, random.Random(args.seed)
        model = os.path.join(scratch, "script.txt")
        with open(model, "w") as f:
            f.write(SCRIPT)
        self.decision, self.asked = "allow_once", 0
        self.agent = Agent([os.path.abspath(args.mux), "--model", "script:" + model], answer=self.decide,
                           env={"XDG_STATE_HOME": os.path.join(scratch, "state")})
        self.homes, self.sessions = [], []
        for i in range(args.sessions):
            home = os.path.join(scratch, "work%d" % i)
            os.makedirs(home)
            subprocess.run(["git", "init", "-q", home], check=True)
            self.reset(home)
            self.homes.append(home)
            self.sessions.append(self.agent.new_session(home))
        self.failures, self.stops, self.samples = [], {}, []

    @staticmethod
    def reset(home):
        with open(os.path.join(home, "a.c"), "w") as f:
            f.write(TEXT)

    def decide(self, method, params):
        if method != "session/request_permission":
            return RuntimeError("not offered")
        self.asked += 1
        if self.decision is None:
            return None  # never answered
        return {"outcome": {"outcome": "selected", "optionId": self.decision}}

    def finish(self, number, turn, allowed):
        seen = []
        answer = self.agent.wait(number, 60, seen)
        stop = (answer or {}).get("result", {}).get("stopReason")
        self.stops[stop] = self.stops.get(stop, 0) + 1
        if stop not in allowed:
            self.failures.append("turn %d ends with %s" % (turn, answer and answer.get("error", stop)))

    def turn(self, number):
        which = self.rng.randrange(len(self.sessions))
        session, kind = self.sessions[which], self.rng.randrange(10)
        self.decision = "allow_once"
        if kind < 4:
            self.finish(self.agent.prompt(session, "talk about a.c, number %d" % number), number, ["end_turn"])
        elif kind < 6:
            with open(os.path.join(self.homes[which], "a.c")) as f:
                way = "forth" if "return 0" in f.read() else "back"
            self.finish(self.agent.prompt(session, "In a.c change the value %s" % way), number, ["end_turn"])
        elif kind == 6:
            self.decision = "reject_once"
            self.reset(self.homes[which])
            self.finish(self.agent.prompt(session, "In a.c change the value forth"), number, ["end_turn"])
        elif kind == 7:
            self.decision = None
            self.reset(self.homes[which])
            prompt = self.agent.prompt(session, "In a.c change the value forth")
            self.agent.until(lambda m: m.get("method") == "session/request_permission" or m.get("id") == prompt)
            self.agent.cancel(session)
            self.finish(prompt, number, ["cancelled"])
        else:
            prompt = self.agent.prompt(session, "Say it slowly")
            time.sleep(self.rng.random() * 0.02)
            self.agent.cancel(session)
            self.finish(prompt, number, ["cancelled", "end_turn"])
        if number % 25 == 0:  # in turn, so that the memory of what was said comes and goes evenly
            which = number // 25 % len(self.sessions)
            session = self.sessions[which]
            self.agent.request("session/close", {"sessionId": session})
            self.sessions[which] = self.agent.new_session(self.homes[which])

    def sample(self, turn):
        for _ in range(50):  # the last turn's thread may still be on its way out
            if self.agent.status("Threads") <= 1:
                break
            time.sleep(0.002)
        self.samples.append((turn, self.agent.status("VmRSS"), self.agent.status("Threads"), self.agent.descriptors(),
                             self.agent.status("RssAnon")))
        return self.samples[-1]


def medians(samples, begin, end, turns):
    """of the samples between two parts of the run: memory, threads, descriptors, memory without that of files"""
    chosen = [s for s in samples if begin * turns < s[0] <= end * turns]
    return [statistics.median(s[i] for s in chosen) for i in (1, 2, 3, 4)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mux", required=True)
    parser.add_argument("--turns", type=int, default=10000)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1.0)
    args = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="mux-soak-")
    soak, begun = Soak(args, scratch), time.monotonic()
    for i in range(1, args.turns + 1):
        soak.turn(i)
        if i % max(1, args.turns // 200) == 0:
            soak.sample(i)
        if i % max(1, args.turns // 10) == 0:
            print("%6d turns, %5.0f s, %d kB, %d threads, %d descriptors" % (i, time.monotonic() - begun, *soak.samples[-1][1:4]), flush=True)
        if len(soak.failures) > 20:
            break
    warm, middle, last = (medians(soak.samples, *part, i) for part in ((0.2, 0.4), (0.4, 0.8), (0.8, 1.0)))
    status = soak.agent.end()
    growth, anonymous = (100.0 * (last[k] - warm[k]) / warm[0] for k in (0, 3))
    checks = [("every turn ends as it should", not soak.failures), ("the agent ends with status 0", status == 0),
              ("memory grows by %.2f %% (%.0f, %.0f, %.0f kB)" % (growth, warm[0], middle[0], last[0]), growth < args.limit),
              ("of that by memory of no file: %.2f %% (%.0f, %.0f, %.0f kB)" % (anonymous, warm[3], middle[3], last[3]), anonymous < args.limit),
              ("threads: %d, %d, %d" % (warm[1], middle[1], last[1]), last[1] <= warm[1]),
              ("descriptors: %d, %d, %d" % (warm[2], middle[2], last[2]), last[2] <= warm[2])]
    print("seed %d: %s" % (args.seed, ", ".join("%d %s" % (n, stop) for stop, n in sorted(soak.stops.items(), key=str))))
    for failure in soak.failures[:10]:
        print("FAIL " + failure)
    for what, ok in checks:
        print("%s %s" % ("ok  " if ok else "FAIL", what))
    shutil.rmtree(scratch, ignore_errors=True)
    failed = sum(not ok for _, ok in checks)
    print("%d passed, %d failed, 0 skipped" % (len(checks) - failed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
