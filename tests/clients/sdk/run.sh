#!/bin/sh
# The scripted client on the official SDK: run.sh PATH_OF_MUX_ACP [--sample] [NAME...]
# What agents recorded, against the schema: run.sh --records FOLDER
# Installs what package-lock.json pins on the first run; skips with a reason where it cannot.
set -eu
script=run.mjs
if [ "$1" = --records ]; then
    script=records.mjs
    shift
fi
target=$1
shift
case $target in /*) ;; *) target=$PWD/$target ;; esac
cd "$(dirname "$0")"
skip() {
    echo "skip all: $*"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
command -v node >/dev/null || skip "node is not installed"
if ! node -e 'process.exit(require("fs").readFileSync("package-lock.json", "utf8") === require("fs").readFileSync("node_modules/.pinned", "utf8") ? 0 : 1)' 2>/dev/null; then
    command -v npm >/dev/null || skip "npm is not installed"
    npm ci --no-audit --no-fund --silent || skip "npm cannot fetch the SDK (no network?)"
    cp package-lock.json node_modules/.pinned
fi
if [ $script = records.mjs ]; then
    exec node records.mjs "$target"
fi
exec node run.mjs --agent "$target" "$@"
