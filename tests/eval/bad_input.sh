#!/bin/sh
# Bad input, through the real program: each case has its exit status and one clear sentence, and changes nothing on disk.
# Usage: tests/eval/bad_input.sh PATH_OF_MUX_ACP. The last line is "N passed, N failed, N skipped".
set -u
mux=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
tiny=$(dirname "$mux")/mux-tiny-q8_0.gguf
scratch=$(mktemp -d "${TMPDIR:-/tmp}/mux-bad-XXXXXX")
trap 'umount "$scratch/full" 2>/dev/null; chmod -R u+rwx "$scratch"; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
skipped=0

pass() { passed=$((passed + 1)) && echo "ok   $1"; }
fail() {
    failed=$((failed + 1))
    echo "FAIL $1: $2"
    sed 's/^/    /' "$scratch/err" | head -5
}
skip() { skipped=$((skipped + 1)) && echo "skip $1: $2"; }

# Every file with its rights and bytes; .mux is the program's own folder for backups where there is no git.
state() { (cd "$work" && find . \( -path ./.git -o -path ./.mux \) -prune -o -printf '%p %m %y\n' -type f -exec md5sum {} \; 2>/dev/null | sort); }

# expect NAME STATUSES PATTERN COMMAND...: one of the statuses, a sentence with the pattern, the tree as it was
expect() {
    name=$1 statuses=$2 pattern=$3
    shift 3
    before=$(state)
    got=0
    timeout 60 "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || got=$?
    case " $statuses " in
    *" $got "*) ;;
    *) fail "$name" "exit status $got, not $statuses" && return ;;
    esac
    if [ "$before" != "$(state)" ]; then
        fail "$name" "the tree has changed"
    elif ! grep -aqiE -- "$pattern" "$scratch/err"; then
        fail "$name" "no sentence with $pattern"
    else
        pass "$name"
    fi
}

work=$scratch/work
fresh() {
    chmod -R u+rwx "$work" 2>/dev/null
    rm -rf "$work"
    mkdir -p "$work"
    printf 'LIMIT = 10\n\n\ndef area(a, b):\n    return a * b\n' >"$work/shape.py"
    git -C "$work" init -q
}
ask() { expect "$1" "$2" "$3" "$mux" ask -C "$work" --apply --model "$4" "$5"; }
request='Change LIMIT from 10 to 12'

# edit_script FILE PATH OLD NEW
edit_script() { printf -- '--- reply repeat\nAn edit.\n\n%s\n<<<<<<< SEARCH\n%s\n=======\n%s\n>>>>>>> REPLACE\n' "$2" "$3" "$4" >"$1"; }
edit_script "$scratch/edit.txt" shape.py 'LIMIT = 10' 'LIMIT = 12'

# ---- models ----
fresh
ask model_missing 3 'no such|not found|does not exist|there is no' "$scratch/none.gguf" "$request"
for bytes in 0 3 20 5000 1000000; do
    head -c $bytes "$tiny" >"$scratch/cut.gguf"
    ask "model_cut_at_$bytes" 3 'cut\.gguf' "$scratch/cut.gguf" "$request"
done
{ printf 'GGML' && tail -c +5 "$tiny" | head -c 100000; } >"$scratch/magic.gguf"
ask model_wrong_magic 3 'magic\.gguf.*GGUF' "$scratch/magic.gguf" "$request"
# patch FILE OFFSET BYTES...: the named file is the embedded model with these bytes
patched() {
    cp "$tiny" "$scratch/$1"
    printf "$3" | dd of="$scratch/$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
patched tensors.gguf 8 '\377\377\377\377\377\377\377\177'
ask model_lies_about_tensors 3 'tensors\.gguf' "$scratch/tensors.gguf" "$request"
patched pairs.gguf 16 '\377\377\377\377\377\377\377\177'
ask model_lies_about_pairs 3 'pairs\.gguf' "$scratch/pairs.gguf" "$request"
patched version.gguf 4 '\143\000\000\000'
ask model_unknown_version 3 'version' "$scratch/version.gguf" "$request"
arch=$(LC_ALL=C grep -aob 'general.architecture' "$tiny" | head -1 | cut -d: -f1)
patched arch.gguf $((arch + 20 + 4 + 8)) 'zz'
ask model_unknown_architecture 3 'architecture' "$scratch/arch.gguf" "$request"
# A tensor's entry is its name, the count of dimensions, these, and its type.
tensor=$(LC_ALL=C grep -aob 'blk\.0\.attn_q\.weight' "$tiny" | head -1 | cut -d: -f1)
patched type.gguf $((tensor + 19 + 4 + 16)) '\143\000\000\000'
ask model_unknown_type 3 'type' "$scratch/type.gguf" "$request"
patched rows.gguf $((tensor + 19 + 4)) '\377\377\377\377\377\377\377\177'
ask model_lies_about_rows 3 'rows\.gguf' "$scratch/rows.gguf" "$request"
expect prompt_beyond_context '1 3' 'context|too long|tokens' "$mux" generate --model "$tiny" --context 64 -n 4 --prompt \
    "$(yes 'many words' | head -200 | tr '\n' ' ')"

# ---- folders ----
expect cwd_missing '2 3' 'missing-folder' "$mux" ask -C "$scratch/missing-folder" --apply --model "script:$scratch/edit.txt" "$request"
expect cwd_is_a_file '2 3' 'shape\.py' "$mux" ask -C "$work/shape.py" --apply --model "script:$scratch/edit.txt" "$request"
agent() { # NAME PATTERN LINES: what the agent answers has the pattern, and it lives on to answer the last request
    before=$(state)
    got=0
    printf '%b' "$3" >"$scratch/in"
    timeout 60 "$mux" --model "script:$scratch/edit.txt" <"$scratch/in" >"$scratch/out" 2>"$scratch/err" || got=$?
    cp "$scratch/out" "$scratch/err"
    if [ $got -ne 0 ]; then
        fail "$1" "exit status $got"
    elif ! grep -aqiE -- "$2" "$scratch/out"; then
        fail "$1" "no answer with $2"
    elif [ "$before" != "$(state)" ]; then
        fail "$1" "the tree has changed"
    elif ! grep -aq '"id":99[,}]' "$scratch/out"; then
        fail "$1" "the agent does not go on"
    else
        pass "$1"
    fi
}
hello='{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":1}}\n'
last='{"jsonrpc":"2.0","id":99,"method":"initialize","params":{"protocolVersion":1}}\n'
new() { printf '{"jsonrpc":"2.0","id":1,"method":"session/new","params":{"cwd":"%s","mcpServers":[]}}\\n' "$1"; }
agent cwd_relative '"id":1,"error".*absolute|"error".*absolute.*"id":1' "$hello$(new work)$last"
agent cwd_missing_agent '"error".*missing-folder' "$hello$(new "$scratch/missing-folder")$last"
agent json_malformed '-32700' "$hello{\"jsonrpc\":\n$last"
agent json_not_an_object '-32600' "$hello[1,2\n17\n$last"
agent utf8_invalid '-32700' "$hello{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"\\0377\\0376\"}\n$last"
agent method_unknown '-32601' "$hello{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"no/such\"}\n$last"
agent session_unknown '"error"' "$hello{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"session/prompt\",\"params\":{\"sessionId\":\"no\",\"prompt\":[]}}\n$last"

# ---- what stands in the folder ----
rm -rf "$work" && mkdir "$work"
ask folder_empty 1 'not|no ' "$tiny" 'Rename the function area to surface'
git -C "$work" init -q
ask repository_empty 1 'not|no ' "$tiny" 'Rename the function area to surface'
# No git repository is no error.
rm -rf "$work/.git"
printf 'LIMIT = 10\n' >"$work/shape.py"
if "$mux" ask -C "$work" --apply --model "script:$scratch/edit.txt" "$request" >"$scratch/out" 2>"$scratch/err" &&
    grep -q 'LIMIT = 12' "$work/shape.py"; then pass no_repository; else fail no_repository "not applied"; fi
fresh
printf 'LIMIT = 10\n\000\001\002' >"$work/data.bin"
edit_script "$scratch/binary.txt" data.bin 'LIMIT = 10' 'LIMIT = 12'
ask target_binary 1 'data\.bin' "script:$scratch/binary.txt" 'Change LIMIT in data.bin to 12'
fresh
{ echo 'LIMIT = 10' && yes 'a line of some length' | head -c 2200000; } >"$work/huge.txt"
edit_script "$scratch/huge.txt" huge.txt 'LIMIT = 10' 'LIMIT = 12'
ask target_huge 1 'huge\.txt' "script:$scratch/huge.txt" 'Change LIMIT in huge.txt to 12'
fresh
printf 'LIMIT = 10\n\377\376 latin\n' >"$work/latin.txt"
edit_script "$scratch/latin.txt" latin.txt 'LIMIT = 10' 'LIMIT = 12'
# Bytes that are no UTF-8 stay as they are around an edit.
if "$mux" ask -C "$work" --apply --model "script:$scratch/latin.txt" 'Change LIMIT in latin.txt to 12' >"$scratch/out" 2>"$scratch/err" &&
    printf 'LIMIT = 12\n\377\376 latin\n' | cmp -s - "$work/latin.txt"; then pass target_not_utf8; else fail target_not_utf8 "bytes were lost"; fi
fresh
ln -s /etc/passwd "$work/out.txt"
edit_script "$scratch/link.txt" out.txt 'root' 'toor'
ask target_outside 1 'out\.txt' "script:$scratch/link.txt" 'Change root in out.txt'
printf -- '--- reply repeat\n../made.txt\n<<<<<<< SEARCH\n=======\ntext\n>>>>>>> REPLACE\n' >"$scratch/up.txt"
ask target_above 1 'made\.txt' "script:$scratch/up.txt" 'Make ../made.txt'
[ ! -e "$scratch/made.txt" ] || fail target_above "a file was made above the folder"

# ---- rights: as somebody who is not root ----
somebody=
if [ "$(id -u)" != 0 ]; then
    somebody=env
elif command -v setpriv >/dev/null && getent passwd nobody >/dev/null; then
    somebody="setpriv --reuid nobody --regid $(id -g nobody) --clear-groups env HOME=$scratch/home XDG_STATE_HOME=$scratch/home"
    mkdir -p "$scratch/home" && chmod 777 "$scratch/home"
    chmod 755 "$scratch"
    $somebody "$mux" --version >/dev/null 2>&1 || somebody=
fi
rights() { # NAME STATUSES PATTERN
    # shellcheck disable=SC2086
    expect "$1" "$2" "$3" $somebody "$mux" ask -C "$work" --apply --model "script:$scratch/edit.txt" "$request"
}
own() { [ "$(id -u)" != 0 ] || chown -R nobody "$work"; }
if [ -n "$somebody" ]; then
    fresh && own && chmod 000 "$work/shape.py"
    rights target_unreadable 1 'shape\.py'
    fresh && own && chmod 555 "$work"
    rights folder_read_only '1 3' 'shape\.py|permission|read-only|not allowed|write'
    fresh && own && chmod 000 "$work"
    rights cwd_unreadable '1 2 3' 'work'
    chmod 755 "$work"
else
    for name in target_unreadable folder_read_only cwd_unreadable; do skip $name "only root here"; done
fi
fresh
chmod 444 "$work/shape.py"
if [ -n "$somebody" ]; then
    own
    rights target_read_only 1 'shape\.py'
else
    skip target_read_only "only root here"
fi

# ---- the disk is full ----
full=$scratch/full
mkdir "$full"
fill() { # leaves so many KiB free
    work=$full/work
    rm -rf "$work" "$full/filler"
    mkdir "$work"
    echo 'LIMIT = 10' >"$work/shape.py"
    i=0
    while [ $i -lt 400 ]; do echo "line $i of many lines in a long file" && i=$((i + 1)); done >>"$work/shape.py"
    dd if=/dev/zero of="$full/spare" bs=1k count="$1" 2>/dev/null
    dd if=/dev/zero of="$full/filler" bs=1k 2>/dev/null
    rm "$full/spare"
}
if mount -t tmpfs -o size=512k tmpfs "$full" 2>/dev/null; then
    old_work=$work
    for free in 0 8 16 24; do
        fill $free
        ask "disk_full_but_${free}_KiB" 1 'space|full' "script:$scratch/edit.txt" "$request"
    done
    umount "$full"
    work=$old_work
else
    skip disk_full "no file system may be mounted here"
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
