#!/usr/bin/env python3
"""What git-apply and GNU patch do in their own test suites, recorded and then asked of our program.

    record.py fetch DIR                    their Debian sources, through apt, into DIR
    record.py record DIR RECORDS           runs the suites of the sources in DIR on the installed tools
    record.py replay RECORDS PROGRAM       asks `PROGRAM apply` the same, prints a table; status 1 on a bug
    record.py all DIR RECORDS PROGRAM

A record is a folder: before/, after/, patch, record.json (tool, arguments, exit status, where it ran). The suites are
under licences of their own: sources and records stay outside of this tree.
"""
import collections
import getopt
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile

TOOLS = {"git": "/usr/bin/git", "patch": "/usr/bin/patch"}
IN_A_SUITE = "MUX_RECORDS"  # set while a suite runs: where the wrapper puts records


# ---- fetch ----

def source_entries():
    """deb-src lines for the entries of this system's own release."""
    codename = ""
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            codename = line.split("=")[1].strip('"')
    lines = []
    for path in [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")]:
        if path.suffix == ".list" and path.is_file():
            for line in path.read_text().splitlines():
                if line.startswith("deb ") and f" {codename}" in line:
                    lines.append("deb-src" + line[3:])
        elif path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", path.read_text()):
                lines += stanza_lines(stanza, codename)
    return lines


def stanza_lines(stanza, codename):
    fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.M))
    suites = [suite for suite in fields.get("Suites", "").split() if suite.startswith(codename)]
    signed = f"[signed-by={fields['Signed-By']}] " if "Signed-By" in fields else ""
    return [f"deb-src {signed}{uri} {suite} {fields.get('Components', '')}"
            for uri in fields.get("URIs", "").split() for suite in suites]


def fetch(folder):
    folder = pathlib.Path(folder).resolve()
    for inner in ("lists/partial", "cache/archives/partial"):
        (folder / "apt" / inner).mkdir(parents=True, exist_ok=True)
    entries = folder / "apt" / "sources.list"
    entries.write_text("\n".join(source_entries()) + "\n")
    apt = ["apt-get", "-o", f"Dir::Etc::sourcelist={entries}", "-o", "Dir::Etc::sourceparts=-",
           "-o", f"Dir::State::lists={folder}/apt/lists", "-o", f"Dir::Cache={folder}/apt/cache", "-qq"]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "source", "--download-only", "git", "patch"], check=True, cwd=folder)


def unpack(folder, name):
    """The unpacked source of a package: the folder's own, or made from its archive."""
    found = [path for path in folder.glob(f"{name}-[0-9]*") if path.is_dir()]
    if not found:
        archives = sorted(folder.glob(f"{name}_*.orig.tar.*"))
        if not archives:
            sys.exit(f"no source of {name} in {folder}: run fetch first")
        with tarfile.open(archives[-1]) as archive:
            archive.extractall(folder)
        found = [path for path in folder.glob(f"{name}-[0-9]*") if path.is_dir()]
    return found[0]


# ---- the wrapper that stands before the tool ----

def top_of(folder):
    """The work tree around a folder, or the folder itself."""
    for above in [folder, *folder.parents]:
        if (above / ".git").exists():
            return above
    return folder


def snapshot(tree, target):
    def skip(folder, names):
        return [name for name in names if name == ".git" or not is_plain(pathlib.Path(folder) / name)]
    shutil.copytree(tree, target, symlinks=True, ignore=skip)


def is_plain(path):
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def split_git(arguments):
    """The arguments of git itself, and those of the command apply (None: another command)."""
    i = 0
    while i < len(arguments) and arguments[i].startswith("-"):
        i += 2 if arguments[i] in ("-c", "-C", "--git-dir", "--work-tree") else 1
    if i < len(arguments) and arguments[i] == "apply":
        return arguments[:i], arguments[i + 1:]
    return arguments[:i], None


def patch_files(tool, arguments):
    """The files that hold the patch ("-": standard input)."""
    if tool == "git":
        takes_value = ("-p", "-C", "--directory", "--include", "--exclude", "--whitespace", "--build-fake-ancestor")
        files, skip = [], False
        for word in arguments:
            if not skip and (word == "-" or not word.startswith("-")):
                files.append(word)
            skip = word in takes_value and not skip
        return files or ["-"]
    for i, word in enumerate(arguments):
        if word in ("-i", "--input"):
            return arguments[i + 1:i + 2]
        if word.startswith("--input=") or (word.startswith("-i") and len(word) > 2):
            return [word.split("=", 1)[1] if "=" in word else word[2:]]
    plain = gnu_options(arguments)[1]
    return plain[1:2] or ["-"]


def outputs_in(top):
    """Files of the tree that the call writes its messages to."""
    names = [os.path.realpath(f"/proc/self/fd/{number}") for number in (1, 2)]
    return [os.path.relpath(name, top) for name in names if name.startswith(str(top) + "/")]


def wrap(tool, arguments):
    real = TOOLS[tool]
    git_arguments, own = split_git(arguments) if tool == "git" else ([], arguments)
    if own is None or "-C" in git_arguments or "--help" in own or "--version" in own:
        os.execv(real, [os.environ.get("PATCH", real), *arguments])
    folder = pathlib.Path.cwd()
    top = top_of(folder)
    files = patch_files(tool, own)
    if any(name != "-" and os.path.exists(name) and not os.path.isfile(name) for name in files):
        os.execv(real, [os.environ.get("PATCH", real), *arguments])  # a pipe: reading it twice is not possible
    text = sys.stdin.buffer.read() if "-" in files else b""
    pieces = []
    for name in files:
        try:
            pieces.append(text if name == "-" else pathlib.Path(name).read_bytes())
        except OSError:
            pieces.append(b"")
    record = pathlib.Path(tempfile.mkdtemp(dir=os.environ[IN_A_SUITE]))
    snapshot(top, record / "before")
    shown = os.environ.get("PATCH", real) # messages begin with it
    done = subprocess.run([shown, *arguments], executable=real, input=text if "-" in files else None, check=False)
    snapshot(top, record / "after")
    (record / "patch").write_bytes(b"".join(pieces))
    settings = subprocess.run([TOOLS["git"], "config", "--get-regexp", r"^(apply|core\.(autocrlf|eol|filemode|symlinks))"],
                              capture_output=True, text=True, check=False).stdout
    (record / "record.json").write_text(json.dumps({
        "tool": tool, "arguments": own, "git_arguments": git_arguments, "status": done.returncode,
        "patches": len(files), "outputs": outputs_in(top), "folder": str(folder.relative_to(top)), "is_repository": (top / ".git").exists(),
        "settings": settings, "suite": os.environ.get("MUX_SUITE", "")}))
    sys.exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)


# ---- record ----

TEST_TOOL = """#!/usr/bin/env python3
import os, random, sys
what, rest = sys.argv[1], sys.argv[2:]
if what == "chmtime":
    for path in [word for word in rest if not word[:1] in "=+-"]:
        seconds = os.stat(path).st_mtime + int([w for w in rest if w[:1] in "=+-"][0].lstrip("="))
        os.utime(path, (seconds, seconds))
elif what == "genrandom":
    random.seed(rest[0])
    sys.stdout.buffer.write(random.randbytes(int(rest[1])))
elif what == "genzeros":
    left = int(rest[0]) if rest else 1 << 40
    while left > 0:
        sys.stdout.buffer.write(bytes(min(left, 1 << 20)))
        left -= 1 << 20
elif what == "path-utils" and rest[0] == "file-size":
    print(*[os.path.getsize(path) for path in rest[1:]], sep="\\n")
elif what != "date":
    sys.exit(1)
"""


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def run_scripts(scripts, environment, records):
    passed = failed = 0
    for script in scripts:
        environment["MUX_SUITE"] = script.name
        with subprocess.Popen(["bash", script.name], cwd=script.parent, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as running:
            try:
                has_passed = running.wait(timeout=60) == 0
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                has_passed = False
        passed += has_passed
        failed += not has_passed
        if not has_passed:
            print(f"  {script.name} did not pass")
    return passed, failed, len(list(records.iterdir()))


def record_git(source, records):
    wrapper = source / "wrapped"
    write_program(wrapper / "git", f'#!/bin/sh\ncase " $* " in *" apply "*) exec {sys.executable} '
                  f'{os.path.abspath(__file__)} wrap git "$@";; esac\nexec {TOOLS["git"]} "$@"\n')
    (source / "templates" / "blt").mkdir(parents=True, exist_ok=True)
    write_program(source / "t" / "helper" / "test-tool", TEST_TOOL)
    (source / "GIT-BUILD-OPTIONS").write_text(
        "SHELL_PATH='/bin/sh'\nPERL_PATH='/usr/bin/perl'\nDIFF='diff'\nPYTHON_PATH='/usr/bin/python3'\nTAR='tar'\n"
        "NO_CURL=''\nNO_EXPAT=''\nUSE_LIBPCRE2=''\nNO_PERL=''\nNO_PTHREADS=''\nNO_PYTHON=''\nNO_UNIX_SOCKETS=''\n"
        "PAGER_ENV='LESS=FRX LV=-c'\nX=''\n")
    environment = {**os.environ, "GIT_TEST_INSTALLED": str(wrapper), IN_A_SUITE: str(records)}
    return run_scripts(sorted((source / "t").glob("t41*-apply-*.sh")), environment, records)


def record_patch(source, records):
    wrapper = source / "wrapped" / "patch"
    write_program(wrapper, f'#!/bin/sh\nexec {sys.executable} {os.path.abspath(__file__)} wrap patch "$@"\n')
    names = re.search(r"^TESTS = \\\n((?:.*\\\n)*.*)", (source / "tests" / "Makefile.am").read_text(), re.M)
    scripts = [source / "tests" / name for name in names.group(1).replace("\\", " ").split()]
    environment = {**os.environ, "PATCH": str(wrapper), IN_A_SUITE: str(records), "abs_top_builddir": str(source),
                   "abs_top_srcdir": str(source), "srcdir": str(source / "tests"), "builddir": str(source / "tests")}
    return run_scripts([script for script in scripts if script.exists()], environment, records)


def record(folder, records):
    folder, records = pathlib.Path(folder).resolve(), pathlib.Path(records).resolve()
    for tool, run in (("git", record_git), ("patch", record_patch)):
        target = records / tool
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        passed, failed, count = run(unpack(folder, tool), target)
        print(f"{tool}: {passed} scripts passed, {failed} did not, {count} calls recorded")


# ---- replay ----

class Skip(Exception):
    """Not ours to answer, and why."""


def digest(path):
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return "link " + os.readlink(path)
    return ("program " if mode & 0o100 else "file ") + hashlib.sha256(path.read_bytes()).hexdigest()


def tree_of(folder):
    """Every file and link below, but for our own state."""
    found = {}
    for place, folders, names in os.walk(os.fsencode(folder)):
        folders[:] = [name for name in folders if name != b".mux"]
        for name in names + [name for name in folders if os.path.islink(os.path.join(place, name))]:
            path = os.path.join(place, name)
            found[os.path.relpath(path, os.fsencode(folder))] = digest(pathlib.Path(os.fsdecode(path)))
    return found


GIT_SILENT = ("-v", "--verbose", "-q", "--quiet", "--binary", "--allow-binary-replacement", "--apply",
              "--whitespace=nowarn", "--whitespace=warn", "--index", "--")
GIT_SAME = {"-R": "--reverse", "--reverse": "--reverse", "--recount": "--recount", "--unidiff-zero": "--unidiff-zero",
            "--check": "--check", "--ignore-whitespace": "--ignore-whitespace",
            "--ignore-space-change": "--ignore-whitespace"}


def git_case(record, text):
    """The same for a recorded git-apply."""
    settings = [line for line in record["settings"].splitlines() if line != "core.filemode true"]
    if settings:
        raise Skip("settings of the repository: " + settings[0].split()[0])
    if record["is_repository"] and record["folder"] != ".":
        raise Skip("inside a subfolder of a repository")
    if record["patches"] != 1:
        raise Skip("several patch files")
    if record["git_arguments"]:
        raise Skip("settings on the command line")
    ours, words = [], list(record["arguments"])
    files = patch_files("git", words)
    if "--apply" not in words and set(words) & {"--stat", "--numstat", "--summary"}:
        raise Skip("only prints")
    while words:
        word = words.pop(0)
        if word in GIT_SAME:
            ours.append(GIT_SAME[word])
        elif word in ("-p", "-C"):
            ours.append(word + words.pop(0))
        elif re.fullmatch(r"-[pC]\d+", word):
            ours.append(word)
        elif word not in GIT_SILENT and word not in files and not re.fullmatch(r"--(num)?stat|--summary", word):
            raise Skip("option " + word.split("=")[0])
    return ours, record["folder"], [], text


GNU_SHORT = "bB:cCd:D:eEfF:g:hi:lnNo:p:r:RstTuvV:x:Y:z:Z"
GNU_LONG = ["backup", "prefix=", "context", "check", "directory=", "ifdef=", "ed", "remove-empty-files", "force", "fuzz=",
            "get=", "input=", "ignore-whitespace", "normal", "forward", "output=", "strip=", "reject-file=", "reverse",
            "quiet", "silent", "batch", "set-time", "unified", "version", "version-control=", "debug=",
            "basename-prefix=", "suffix=", "set-utc", "dry-run", "verbose", "binary", "backup-if-mismatch",
            "no-backup-if-mismatch", "posix", "quoting-style=", "reject-format=", "read-only=", "merge",
            "follow-symlinks", "help"]


def gnu_options(arguments):
    plain_merge = ["--merge" if word.startswith("--merge=") else word for word in arguments]
    try:
        return getopt.gnu_getopt(plain_merge, GNU_SHORT, GNU_LONG)
    except getopt.GetoptError:
        return [("bad usage", "")], []


GNU_SILENT = {"-b", "--backup", "-f", "--force", "-N", "--forward", "-s", "--quiet", "--silent", "-u", "--unified",
              "--verbose", "--binary", "-i", "--input", "--no-backup-if-mismatch", "--backup-if-mismatch", "-Z", "-T",
              "--set-utc", "--set-time", "--quoting-style", "--reject-format"}
GNU_LEFTOVERS = (".orig", ".rej", ".bak", "~")


def patch_case(record, text):
    """Our arguments for a recorded GNU patch, the folder, what it left beside the tree, and the patch."""
    options, plain = gnu_options(record["arguments"])
    if ("bad usage", "") in options or len(plain) > 2:
        raise Skip("bad usage")
    if not re.search(rb"^@@ -\d", text, re.M) and not re.search(rb"^diff --git ", text, re.M):
        raise Skip("not a unified diff")
    if re.search(rb"^\*{15}|^\d+(,\d+)?[acd]\d+(,\d+)?$", text, re.M):
        raise Skip("other formats in one patch")
    if plain and (len(re.findall(rb"^--- ", text, re.M)) != 1 or re.search(rb"^diff --git |/dev/null", text, re.M)):
        raise Skip("names the file on the command line, the patch has several")
    strip, fuzz, ours, folder, left = "0" if plain else None, "2", [], record["folder"], []
    for option, value in options:
        if option in ("-p", "--strip"):
            strip = strip if plain else value
        elif option in ("-F", "--fuzz"):
            fuzz = value
        elif option in ("-d", "--directory"):
            folder = os.path.normpath(os.path.join(folder, value))
        elif option in ("-R", "--reverse"):
            ours.append("--reverse")
        elif option in ("-l", "--ignore-whitespace"):
            ours.append("--ignore-whitespace")
        elif option in ("--dry-run", "-C", "--check"):
            ours.append("--check")
        elif option in ("-r", "--reject-file"):
            left.append(value)
        elif option not in GNU_SILENT:
            raise Skip("option " + option)
    if strip is None:
        if re.search(rb"^(---|\+\+\+) (?!/dev/null)\S*/|^diff --git ", text, re.M):
            raise Skip("no -p: guesses by the last part of the names")
        strip = "0"
    if plain: # the name on the command line outranks those of the patch
        name = os.fsencode(plain[0])
        text = re.sub(rb"^(---|\+\+\+) .*$", lambda found: found.group(1) + b" " + name, text, flags=re.M)
    return [f"-p{strip}", "--fuzz", fuzz, *ours], folder, left, text


def without(tree, names, endings):
    return {path: what for path, what in tree.items()
            if os.fsdecode(path) not in names and not os.fsdecode(path).endswith(endings)}


# Our reasons for refusing what the tools take; docs/decisions/patches.md has them all.
DESIGNED = (
    (r"submodule", "submodules are refused"),
    (r"is not a path inside the folder|beyond|goes through", "paths that leave the folder are refused"),
    (r"\.git|version control", "version control is not written"),
    (r"it holds no data for this binary file", "binary texts are not taken from git's objects"),
    (r"^mux-acp apply: [a-z] is not there", "the file a rename names must be there"),
)


def ask(program, arguments, folder, record, text):
    """Our status, our tree, our sentence."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = pathlib.Path(scratch) / "tree"
        shutil.copytree(record / "before", tree, symlinks=True)
        done = subprocess.run([program, "apply", "--root", str(tree / folder), *arguments], input=text,
                              capture_output=True, check=False, timeout=60)
        return done.returncode, tree_of(tree), done.stderr.decode(errors="replace").strip()


def judge(program, place):
    """(class, reason) of one record."""
    record = json.loads((place / "record.json").read_text())
    text = (place / "patch").read_bytes()
    if record["tool"] == "git":
        arguments, folder, left, text = git_case(record, text)
    else:
        arguments, folder, left, text = patch_case(record, text)
    left += record["outputs"]
    endings = GNU_LEFTOVERS if record["tool"] == "patch" else ()
    before, theirs = tree_of(place / "before"), tree_of(place / "after")
    for extra in ([], ["--tolerant"]) if record["tool"] == "patch" else ([],):
        status, ours, sentence = ask(program, [*arguments, *extra], folder, place, text)
        if status not in (0, 1):
            return "bug", f"our status is {status}: {sentence}"
        if status == 1 and ours != before:
            return "bug", "a refused patch changed the tree"
        if record["status"] == 0 and status == 1:
            continue
        if (status == 0) != (record["status"] == 0):
            if "--index" in record["arguments"]:
                return "by design", "git's index is not looked at"
            if b"GIT binary patch" in text and record["tool"] == "patch":
                return "by design", "GNU patch knows no binary patches"
            return "bug", "we take what was refused"
        if status == 1 or without(ours, left, endings) == without(theirs, left, endings):
            return "agree", ("refused" if status else "taken") + (" with --tolerant" if extra else "")
        return "bug", "the trees differ: " + str(sorted(path for path in {*ours, *theirs}
                                                        if ours.get(path) != theirs.get(path)))
    for pattern, reason in DESIGNED:
        if re.search(pattern, sentence):
            return "by design", reason
    return "bug", "we refuse: " + sentence


def replay(records, program):
    program = str(pathlib.Path(program).resolve())
    is_wrong = False
    for tool in TOOLS:
        table, seen, total = collections.Counter(), set(), 0
        for place in sorted((pathlib.Path(records) / tool).iterdir()):
            if not (place / "record.json").exists():
                continue
            total += 1
            facts = json.loads((place / "record.json").read_text())
            key = repr((sorted(tree_of(place / "before").items()), (place / "patch").read_bytes(), facts["arguments"]))
            if key in seen:
                table["the same again", ""] += 1
                continue
            seen.add(key)
            try:
                verdict = judge(program, place)
            except Skip as why:
                verdict = ("not asked", str(why))
            if verdict[0] == "bug":
                is_wrong = True
                print(f"{place} ({facts['suite']}: {tool} {' '.join(facts['arguments'])}): {verdict[1]}")
                verdict = ("bug", "")
            table[verdict] += 1
        print(f"{tool}: {total} calls")
        for (kind, reason), count in sorted(table.items()):
            print(f"  {count:5} {kind}{': ' if reason else ''}{reason}")
    return is_wrong


def main(arguments):
    commands = {"fetch": (fetch, 1), "record": (record, 2), "replay": (replay, 2), "all": (None, 3)}
    if arguments[:1] == ["wrap"]:
        wrap(arguments[1], arguments[2:])
    if not arguments or arguments[0] not in commands or len(arguments) != 1 + commands[arguments[0]][1]:
        sys.exit(__doc__)
    if arguments[0] == "all":
        fetch(arguments[1])
        record(arguments[1], arguments[2])
        sys.exit(1 if replay(arguments[2], arguments[3]) else 0)
    sys.exit(1 if commands[arguments[0]][0](*arguments[1:]) else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
