#!/bin/sh
# Who may include whom: every #include "..." of the rooms against the table of docs/ARCHITECTURE.md.
# One test per room; usage: tests/layering.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/..}"

passed=0
failed=0

# room NAME FILES... : the headers (shell patterns) that NAME may include besides its own
check() {
    room=$1
    shift
    files=$(find "$room" -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | sort)
    [ -n "$files" ] || return 0
    bad=$(for file in $files; do
        sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' "$file" | while read -r header; do
            allowed=no
            case $file in
            acp/main.c | acp/house.* | acp/replay* | acp/commands/*) # the front doors open every other door
                case $header in
                *_internal.h) ;;
                */*.h) allowed=yes ;;
                esac
                ;;
            esac
            case $header in
            "$room"/*) allowed=yes ;;
            esac
            for pattern in "$@"; do
                # shellcheck disable=SC2254
                case $header in
                *_internal.h) ;;
                $pattern) allowed=yes ;;
                esac
            done
            [ $allowed = yes ] || echo "    $file includes $header"
        done
    done)
    if [ -z "$bad" ]; then
        echo "ok   layering/$room"
        passed=$((passed + 1))
    else
        echo "$bad"
        echo "FAIL layering/$room"
        failed=$((failed + 1))
    fi
}

check base
check kernels
check engine 'base/*' kernels/backend.h kernels/tensor.h
check diff 'base/*'
check workspace 'base/*'
check prompts 'base/*'
check planner 'base/*' engine/engine.h 'diff/*.h' workspace/workspace.h workspace/files.h workspace/syntax.h \
    workspace/process.h workspace/terminal.h \
    prompts/prompts.h
check acp 'base/*' workspace/files.h workspace/terminal.h planner/planner.h

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
