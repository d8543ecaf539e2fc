#!/usr/bin/env python3
"""Forced edits from models with random weights, through the real program: whatever such a model says, its edits apply.

    forced.py --mux BUILD/mux-acp --model RANDOM.gguf [--model ...] --project DIR [--project ...] [--count 200] [--seed 1]
              [--context 2048] [--out report.json]

Every request is made by this script from a file and two words of the project's own text (seeded). It ends as
    applied    the edits are on disk: exactly the diff shown, and undo brings every byte back
    declined   located and built, but given up by the check for new syntax errors; the tree is untouched
    none       the reply holds no edit; the tree is untouched
    failed     anything else: an edit that could not be parsed, located or applied, a crash, a tree that is neither before nor after
Exit status 1 when one failed."""
import argparse, collections, json, os, random, re, shutil, subprocess, sys, tempfile, time

WORD = re.compile(r"[A-Za-z_]\w{3,}")
FORMS = ["Change the name {a} to {b} in {path}", "Remove the line with {a} from {path}", "Add {b} behind {a} in {path}",
         "Fix {a} in {path}", "Replace {a} by {b} in {path}", "Write a note about {a} at the top of {path}"]
DECLINED = re.compile(r"^after these edits .* has a syntax error at line \d+")
NO_EDIT = "it holds no search/replace block"


def tree(root):
    out = {}
    for folder, dirs, files in os.walk(root):
        dirs[:] = [d for d in dirs if d not in (".git", ".mux")]
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                with open(path, "rb") as f:
                    out[os.path.relpath(path, root)] = f.read()
    return out


def git(root, *words, **more):
    return subprocess.run(["git", "-C", root, "-c", "user.name=x", "-c", "user.email=x@localhost", *words], capture_output=True, **more)


class Project:
    def __init__(self, source, scratch):
        self.root = os.path.join(scratch, os.path.basename(os.path.abspath(source)))
        shutil.copytree(source, self.root, ignore=shutil.ignore_patterns(".git", ".mux", "__pycache__", "build"))
        git(self.root, "init", "-q")
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", "start")
        self.before = tree(self.root)
        self.pristine = self.root + ".before"
        shutil.copytree(self.root, self.pristine, symlinks=True)
        self.texts = []
        for path, data in sorted(self.before.items()):
            try:
                words = sorted(set(WORD.findall(data.decode())))
            except UnicodeDecodeError:
                continue
            if len(words) > 3 and b"\0" not in data:
                self.texts.append((path, words))

    def request(self, rng):
        path, words = rng.choice(self.texts)
        return rng.choice(FORMS).format(a=rng.choice(words), b=rng.choice(words) + "_new", path=path)


def as_git_applies(project, scratch, diff):
    other = os.path.join(scratch, "other")
    shutil.copytree(project.pristine, other, symlinks=True)
    done = git(other, "apply", "--whitespace=nowarn", "-", input=diff.encode())
    result = tree(other) if done.returncode == 0 else None
    shutil.rmtree(other)
    return result


def one(args, project, scratch, model, prompt):
    command = [args.mux, "ask", "-C", project.root, "--apply", "--json", "--model", model, "--context", str(args.context), "-t", "1", prompt]
    done = subprocess.run(command, capture_output=True)
    after = tree(project.root)
    if done.returncode not in (0, 1):
        return "failed", "exit status %d: %s" % (done.returncode, done.stderr.decode(errors="replace")[-300:])
    said = json.loads(done.stdout.decode())
    if not said["applied"]:
        if after != project.before:
            return "failed", "the tree changed though nothing was applied"
        why = " / ".join(said["problems"]) or said.get("error", "nothing said")
        if DECLINED.match(why):
            return "declined", why
        return ("none" if NO_EDIT in why or not said["problems"] and "error" not in said else "failed"), why
    if after != as_git_applies(project, scratch, said["diff"]):
        return "failed", "the tree is not what the diff shown makes of it"
    undone = subprocess.run([args.mux, "undo", "--root", project.root], capture_output=True)
    if undone.returncode != 0 or tree(project.root) != project.before:
        return "failed", "undo did not bring the tree back: " + undone.stderr.decode(errors="replace")[-300:]
    headers = re.findall(r"^diff --git ", said["diff"], re.M)
    made = re.findall(r"^new file mode", said["diff"], re.M)
    return "applied", "%d files, %d of them new" % (len(headers), len(made))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mux", required=True)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--project", action="append", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--out")
    args = parser.parse_args()
    args.mux = os.path.abspath(args.mux)
    rng, scratch = random.Random(args.seed), tempfile.mkdtemp(prefix="mux-forced-")
    projects = [Project(source, scratch) for source in args.project]
    counts, rows, began, changed = collections.Counter(), [], time.time(), 0
    for i in range(args.count):
        project, model = projects[i % len(projects)], args.model[i % len(args.model)]
        prompt = project.request(rng)
        state, why = one(args, project, scratch, model, prompt)
        counts[state] += 1
        made = re.match(r"(\d+) files, (\d+)", why)
        changed += state == "applied" and made.group(1) != made.group(2)
        rows.append({"model": os.path.basename(model), "prompt": prompt, "state": state, "why": why})
        if state == "failed":
            print("%s: %s\n    %s" % (prompt, state, why), file=sys.stderr)
            shutil.rmtree(project.root)
            shutil.copytree(project.pristine, project.root, symlinks=True)
    edited = counts["applied"] + counts["declined"] + counts["failed"]
    report = {"requests": args.count, "with_edits": edited, "located_and_built": edited - counts["failed"], "states": dict(counts),
              "applied_to_existing_files": changed, "seconds": round(time.time() - began, 1), "rows": rows}
    if args.out:
        with open(args.out, "w") as f:
            json.dump(report, f, indent=1)
    print(json.dumps({k: v for k, v in report.items() if k != "rows"}))
    shutil.rmtree(scratch)
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
