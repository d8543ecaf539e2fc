#!/usr/bin/env python3
"""The main job measured end to end: a real ACP client (acpx) drives mux-acp over copies of real projects.

    main_job.py --mux BUILD/mux-acp --acpx FOLDER_WITH_NODE_MODULES --python PACKAGE_DIR --c PROJECT_DIR [--out report.json]
                [--families rename,literal,param,remove,flip] [--count 10] [--seed 1] [--ask]

Every case is chosen by this script from the project's own text (seeded), never by hand: a request in plain words, and the whole tree
as it should be afterwards. A case ends as
    exact      the tree is exactly the expected one and the code still compiles
    declined   the tree is untouched and the agent said what it did not do
    silent     untouched, and nothing was said
    wrong      the tree is neither: half done, or another change
--ask runs `mux-acp ask --apply` instead of acpx (the same turn without the protocol)."""
import argparse, collections, json, os, random, re, shutil, subprocess, sys, tempfile, time

WORD = re.compile(r"[A-Za-z_]\w*")


def read(path):
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as f:
        return f.read()


def tree(root):
    out = {}
    for folder, dirs, files in os.walk(root):
        dirs[:] = [d for d in dirs if d not in (".git", ".mux", "__pycache__")]
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                out[os.path.relpath(path, root)] = read(path)
    return out


class Project:
    def __init__(self, kind, source):
        self.kind, self.source = kind, source
        self.files = tree(source)
        ends = (".py",) if kind == "python" else (".c", ".h")
        self.code = {p: t for p, t in self.files.items() if p.endswith(ends) and "test" not in p}
        self.words = collections.defaultdict(collections.Counter)
        for path, text in self.files.items():
            for w in WORD.findall(text):
                self.words[w][path] += 1

    def copy(self):
        root = tempfile.mkdtemp(prefix="mux-eval-")
        work = os.path.join(root, "project")
        shutil.copytree(self.source, work, symlinks=True)
        git = ["git", "-C", work, "-c", "user.name=x", "-c", "user.email=x@localhost"]
        subprocess.run(git + ["init", "-q"], check=True)
        subprocess.run(git + ["add", "-A"], check=True)
        subprocess.run(git + ["commit", "-qm", "start"], check=True)
        return root, work

    def compiles(self, root):
        if self.kind == "python":
            bad = [p for p in self.code if not self.parses(os.path.join(root, p))]
            return not bad
        flags = ["-DYAML_VERSION_MAJOR=0", "-DYAML_VERSION_MINOR=2", "-DYAML_VERSION_PATCH=5", '-DYAML_VERSION_STRING="0.2.5"',
                 "-Iinclude", "-Isrc", "-I.", "-fsyntax-only", "-w", "-Werror=implicit-function-declaration"]
        sources = [p for p in self.code if p.endswith(".c") and p.startswith("src/")] or [p for p in self.code if p.endswith(".c") and "/" not in p]
        return subprocess.run(["gcc"] + flags + sources, cwd=root, capture_output=True).returncode == 0

    @staticmethod
    def parses(path):
        try:
            compile(read(path), path, "exec")
            return True
        except (SyntaxError, ValueError):
            return False


def with_line(project, path, index, line):
    """The tree with one line of one file changed (None = gone)."""
    lines = project.files[path].split("\n")
    lines[index:index + 1] = [] if line is None else [line]
    files = dict(project.files)
    files[path] = "\n".join(lines)
    return files


def definitions(project):
    rx = re.compile(r"^\s*(?:async )?def (\w+)\(" if project.kind == "python" else r"^(\w+)\(", re.M)
    found = collections.defaultdict(list)
    for path, text in project.code.items():
        if project.kind == "c" and not path.endswith(".c"):
            continue
        for m in rx.finditer(text):
            found[m.group(1)].append(path)
    return found


# Methods of built-in types: renaming every `update` would break dictionaries, so such a name is no fair case.
BUILTIN = {n for t in (dict, list, str, set, bytes, int, type, object) for n in dir(t)}


def rename_cases(project, rng, count):
    names = []
    for name, paths in sorted(definitions(project).items()):
        used = project.words[name]
        if name in BUILTIN:
            continue
        if len(paths) == 1 and 2 <= len(used) <= 5 and len(name) > 4 and not name.startswith("__") and not name.isupper():
            names.append(name)
    rng.shuffle(names)
    for name in names[:count]:
        new = rng.choice(["fetch", "make", "local", "inner", "quick"]) + "_" + name.strip("_")
        rx = re.compile(r"(?<!\w)%s(?!\w)" % re.escape(name))
        skip = lambda p: re.match(r"(CHANGE|Change|NEWS|HISTORY|announcement)", os.path.basename(p))
        expected = {p: t if skip(p) else rx.sub(new, t) for p, t in project.files.items()}
        yield "Rename the function %s to %s everywhere" % (name, new), expected, (name, new)


# Comments and strings: there a plain word ("session") may or may not be the function's name, so both spellings are right.
QUOTED = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
PROSE = {"python": re.compile(r"(\"\"\"|''').*?\1|" + QUOTED + r"|#[^\n]*", re.S),
         "c": re.compile(r"/\*.*?\*/|//[^\n]*|" + QUOTED, re.S)}


def is_renamed(project, after, name, new):
    """Only name -> new happened, and no code holds the old name any more."""
    back = re.compile(r"(?<!\w)%s(?!\w)" % re.escape(new))
    if {p: back.sub(name, t) for p, t in after.items()} != project.files:
        return False
    old = re.compile(r"(?<!\w)%s(?!\w)" % re.escape(name))
    return not any(old.search(PROSE[project.kind].sub(" ", after[p])) for p in after if p.endswith((".py", ".c", ".h")))


def code_lines(project):
    for path in sorted(project.code):
        for i, line in enumerate(project.code[path].split("\n")):
            yield path, i, line


def literal_cases(project, rng, count):
    rx = re.compile(r"^\s*([A-Za-z_]\w*) = (-?\d+|\"[\w ./:-]{2,20}\"|'[\w ./:-]{2,20}')\s*$" if project.kind == "python"
                    else r"^\s*(?:int |size_t |long |#define )?\s*([A-Za-z_]\w*)(?: = |\s+)(\d+);?\s*$")
    hits = collections.defaultdict(list)
    for path, i, line in code_lines(project):
        m = rx.match(line)
        if m:
            hits[path, m.group(1)].append((i, line, m))
    flat = [(p, n, h[0]) for (p, n), h in sorted(hits.items()) if len(h) == 1]
    rng.shuffle(flat)
    for path, name, (i, line, m) in flat[:count]:
        old = m.group(2)
        new = str(int(old) + rng.choice([1, 7, 30, 100])) if old.lstrip("-").isdigit() else old[0] + rng.choice(["other", "fresh-value", "blue"]) + old[-1]
        yield "Change %s from %s to %s in %s" % (name, old, new, path), with_line(project, path, i, line[:m.start(2)] + new + line[m.end(2):])


def param_cases(project, rng, count):
    hits = []
    if project.kind == "python":
        counts = definitions(project)
        for path, i, line in code_lines(project):
            m = re.match(r"\s*(?:async )?def (\w+)\(([^()*]*)\)(?: -> \w+)?:\s*$", line)
            if m and len(counts[m.group(1)]) == 1:
                hits.append((path, i, line, m, rng.choice(["verbose=False", "limit=10", "strict=True", "label=None"])))
    else:
        for path, i, line in code_lines(project):
            m = re.match(r"(?:static |extern |[A-Z_]+\()?[\w *)]+?\b(\w+)\(([^()]*)\);?\s*$", line)
            if m and path.endswith(".c") and not line.startswith((" ", "\t")) and sum(project.words[m.group(1)].values()) == 1:
                hits.append((path, i, line, m, rng.choice(["int verbose", "size_t limit"])))
    rng.shuffle(hits)
    for path, i, line, m, p in hits[:count]:
        old = m.group(2).strip()
        new = p if old in ("", "void") else m.group(2) + ", " + p
        yield "Add a parameter %s to the function %s in %s" % (p, m.group(1), path), with_line(project, path, i, line[:m.start(2)] + new + line[m.end(2):])


def remove_cases(project, rng, count):
    hits = []
    for path, i, line in code_lines(project):
        text = line.strip()
        call = re.match(r"[\w.]+\(.*\)$", text) if project.kind == "python" else re.match(r"\w+\(.*\);$", text)
        keep = r"(return|if|while|for|assert|raise|del|super|print|yield)\b"
        lines = project.files[path].split("\n")
        if call and line[:1] in " \t" and not re.match(keep, text) and "`" not in text and len(text) < 80 and sum(l.strip() == text for l in lines) == 1:
            expected = with_line(project, path, i, None)
            if project.kind != "python" or compiles_text(expected[path]):
                hits.append((path, text, expected))
    rng.shuffle(hits)
    for path, text, expected in hits[:count]:
        yield "Remove the line `%s` in %s" % (text, path), expected


def compiles_text(text):
    try:
        compile(text, "x", "exec")
        return True
    except SyntaxError:
        return False


def flip_cases(project, rng, count):
    hits = []
    for path, i, line in code_lines(project):
        lines = project.files[path].split("\n")
        m = re.search(r"(?<![\w.])([A-Za-z_]\w*)\s*=\s*(True|False)\s*$", line) if project.kind == "python" else None
        if m and sum(re.search(r"(?<![\w.])%s\s*=\s*%s\b" % (m.group(1), m.group(2)), l) is not None for l in lines) == 1:
            new = "False" if m.group(2) == "True" else "True"
            hits.append((path, "Change %s from %s to %s in %s" % (m.group(1), m.group(2), new, path), i, line[:m.start(2)] + new + line[m.end(2):]))
        m = re.match(r"\s*((?:el)?if .*\S):\s*$" if project.kind == "python" else r"\s*(if \(.*\))", line)
        if m and line.count("==") == 1 and sum(l.strip() == line.strip() for l in lines) == 1 and "`" not in line and len(line.strip()) < 80:
            if sum(m.group(1) in l for l in lines) == 1:
                hits.append((path, "In the line `%s` replace `==` by `!=` in %s" % (m.group(1), path), i, line.replace("==", "!=")))
    rng.shuffle(hits)
    for path, request, i, line in hits[:count]:
        yield request, with_line(project, path, i, line)


FAMILIES = {"rename": rename_cases, "literal": literal_cases, "param": param_cases, "remove": remove_cases, "flip": flip_cases}


def run_case(args, project, request, expected, names=None):
    root, work = project.copy()
    env = dict(os.environ, HOME=root)
    before = time.time()
    try:
        if args.ask:
            cmd = [args.mux, "ask", "--cwd", work, "--apply", "--json", request]
        else:
            cmd = ["npx", "--prefix", args.acpx, "acpx", "--agent", args.mux + " " + args.flags, "--cwd", work, "--approve-all", "exec", request]
        p = subprocess.run(cmd, cwd=args.acpx or work, env=env, capture_output=True, text=True, timeout=args.timeout)
        said = p.stdout + p.stderr
        after = tree(work)
        if after == expected or (names and is_renamed(project, after, *names)):
            outcome = "exact" if project.compiles(work) else "breaks"
        elif after == project.files:
            outcome = "declined" if re.search(r"Not done|Nothing was changed|problem|not found", said) else "silent"
        else:
            outcome = "wrong"
        return outcome, said, time.time() - before
    finally:
        shutil.rmtree(root)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--mux", required=True); ap.add_argument("--acpx"); ap.add_argument("--flags", default="")
    ap.add_argument("--python"); ap.add_argument("--c"); ap.add_argument("--out")
    ap.add_argument("--families", default=",".join(FAMILIES)); ap.add_argument("--count", type=int, default=10)
    ap.add_argument("--seed", type=int, default=1); ap.add_argument("--timeout", type=float, default=180)
    ap.add_argument("--ask", action="store_true"); ap.add_argument("--show", action="store_true")
    args = ap.parse_args()
    args.mux = os.path.abspath(args.mux)
    rows, totals = [], collections.defaultdict(collections.Counter)
    for kind, source in (("python", args.python), ("c", args.c)):
        if not source:
            continue
        project = Project(kind, os.path.abspath(source))
        for family in args.families.split(","):
            rng = random.Random("%s-%s-%d" % (kind, family, args.seed))
            for request, *case in FAMILIES[family](project, rng, args.count):
                outcome, said, seconds = run_case(args, project, request, *case)
                totals[kind, family][outcome] += 1
                rows.append(dict(kind=kind, family=family, request=request, outcome=outcome, seconds=round(seconds, 2),
                                 said="" if outcome == "exact" else said[-1500:]))
                print("%-8s %-7s %-8s %5.1fs  %s" % (outcome, kind, family, seconds, request), flush=True)
                if args.show and outcome != "exact":
                    print("    " + said[-1500:].replace("\n", "\n    "))
    for (kind, family), c in totals.items():
        print("%s %s: %s of %d exact; %s" % (kind, family, c["exact"], sum(c.values()), dict(c)))
    if args.out:
        with open(args.out, "w") as f:
            json.dump(rows, f, indent=1)


if __name__ == "__main__":
    main()
