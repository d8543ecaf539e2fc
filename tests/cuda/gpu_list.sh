#!/bin/sh
# gpu_list.sh BUILD OUT: what a GPU has to show, from a finished build, in under ten minutes: kernel parity, golden
# tokens, the twins of the emulator against the real instructions, compute-sanitizer on the small tests, measurements.
# Logs and one CSV (the columns of docs/bench) go to OUT. Ends with "N passed, N failed, N skipped".
set -u
build=$1
out=$2
here=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$out"

passed=0
failed=0
skipped=0
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -1)
if [ -z "$gpu" ]; then
    echo "there is no GPU here: nvidia-smi names none"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
file=$(echo "$gpu" | tr 'A-Z /' 'a-z--')
commit=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || echo unknown)
csv=$out/$file.csv
[ -f "$csv" ] || echo "date,machine,commit,case,figure,unit,peer,peer_figure,ratio" >"$csv"

# Libraries that came with the build, and cuBLASLt where only Python has it; Python itself must not find them.
libraries=$build/lib
if ! ldconfig -p 2>/dev/null | grep -q libcublasLt; then
    blas=$(python3 -c 'import glob, sys
found = [f for p in sys.path for f in glob.glob(p + "/nvidia/*/lib/libcublasLt.so.1[23]")]
print(found[0].rsplit("/", 1)[0] if found else "")' 2>/dev/null)
    libraries=$libraries${blas:+:$blas}
fi
libraries=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
if [ -d "$build/shared" ]; then
    MUX_SHARED=$(cd "$build/shared" && pwd)
    export MUX_SHARED
fi
row() { echo "$(date +%F),$gpu,$commit,$*" >>"$csv"; }

# step NAME SECONDS COMMAND...: one log; a program that prints a count is counted by it.
step() {
    name=$1
    limit=$2
    shift 2
    began=$(date +%s)
    status=0
    LD_LIBRARY_PATH=$libraries timeout -k 5 "$limit" "$@" >"$out/$name.log" 2>&1 </dev/null || status=$?
    line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$out/$name.log" | tail -1)
    case $line in "0 passed, 0 failed, 0 skipped") line="0 passed, 1 failed, 0 skipped" ;; esac # it found no test
    if [ -z "$line" ]; then
        line="1 passed, 0 failed, 0 skipped"
        [ $status -eq 0 ] || line="0 passed, 1 failed, 0 skipped"
    elif [ $status -ne 0 ]; then
        line=$(echo "$line" | awk '{ if ($3 == 0) $3 = 1; print }')
    fi
    # shellcheck disable=SC2086
    set -- $line
    passed=$((passed + $1))
    failed=$((failed + $3))
    skipped=$((skipped + $5))
    printf '%-24s %4d s  %s\n' "$name" $(($(date +%s) - began)) "$line"
    [ "$3" = 0 ] || grep -aE '^FAIL|ERROR|=========' "$out/$name.log" | head -20
}

nvidia-smi >"$out/nvidia-smi.log" 2>&1
step doctor 30 "$build/mux-acp" doctor
step parity 100 "$build/tests-cuda-gpu"
step engine 60 "$build/tests-engine-gpu" devices
[ -x "$build/twins-gpu" ] && step twins 30 sh -c '"$0/twins-gpu" "$1/twins.gpu" && "$0/twins-emulated" "$1/twins.emulated" && cmp "$1/twins.gpu" "$1/twins.emulated"' "$build" "$out"
step bench-operations 90 "$build/bench-gpu"
sed -n 's/^csv,//p' "$out/bench-operations.log" | while read -r line; do row "$line"; done
step bench-hopper 60 "$build/bench-gpu" --attention --wgmma
sed -n 's/^csv,\(attention forward.*wgmma,\)/\1/p' "$out/bench-hopper.log" | while read -r line; do row "$line"; done
copy=$(sed -n 's/^csv,copy,\([0-9.]*\),.*/\1/p' "$out/bench-operations.log")
ours=$libraries
libraries=${LD_LIBRARY_PATH:-}
step peers 60 python3 "$here/tests/bench/gpu_peers.py"
libraries=$ours
sed -n 's/^csv,//p' "$out/peers.log" | while read -r line; do row "$line"; done

# model SHAPE:TYPE PROMPT NEW: tokens per second, and the bytes they stand for beside the copy.
model() {
    step "bench-$(echo "$1" | tr ':' '-')-$2" 60 "$build/mux-acp" bench --synthetic "$1" --backend cuda --context 8192 -p "$2" -n "$3" --reps 3 --json
    python3 - "$out/bench-$(echo "$1" | tr ':' '-')-$2.log" "$1" "${copy:-0}" <<'END' | while read -r line; do row "$line"; done
import json, sys
try:
    b = json.loads(open(sys.argv[1]).read().strip().splitlines()[-1])
except (ValueError, IndexError):
    sys.exit()
copy = float(sys.argv[3])
p, g = b["prompt"], b["gen"]
print("prompt %d %s,%.0f,tok/s,,," % (p["n"], sys.argv[2], p["median"]))
rate = g["gbps"] * g["median"] / g["best"] if g["best"] else 0
print("decode %s after %d,%.1f,tok/s,,," % (sys.argv[2], p["n"], g["median"]))
print("decode %s after %d bytes,%.0f,GB/s,copy,%.0f,%.3f" % (sys.argv[2], p["n"], rate, copy, rate / copy if copy else 0))
END
}
model llama-8b:bf16 512 128
model llama-8b:q8_0 512 128
model llama-8b:q4_k_m 512 128
model qwen3moe-30b-a3b:q4_k_m 512 128
model dense-27b:q4_k_m 512 64
model llama-8b:bf16 4096 8

# The small tests: every kind of kernel; those of compute 9.0 under memcheck alone, as the copy engine is no thread.
small="backend/steps backend/choices gemv/few gemv/gated repack/both cuda_gemm/quantised cuda_gemm/dense elements/ sample/filters
moe/experts cuda_rope/remember cuda_attention/decode_lengths cuda_attention/prefill_lengths"

# Last, as the slowest: what was measured is there when somebody ends this early.
if command -v compute-sanitizer >/dev/null 2>&1; then
    for tool in memcheck racecheck initcheck; do
        tests=$small
        [ $tool = memcheck ] && tests="$small hopper/lengths"
        # shellcheck disable=SC2086
        step "sanitizer-$tool" 80 compute-sanitizer --tool "$tool" --error-exitcode 1 --report-api-errors no "$build/tests-cuda-gpu" $tests
    done
else
    skipped=$((skipped + 1))
    echo "compute-sanitizer is not installed: skipped"
fi

cat "$csv"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
