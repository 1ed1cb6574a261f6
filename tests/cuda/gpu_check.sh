#!/bin/sh
# Everything that only a GPU can prove: op parity in full, whole requests, the benchmark, then the sanitizer's tools.
# `make gpu-build` made the programs; they need nothing but gcc, nvcc and cuBLAS. One line a check, a table last.
# usage: gpu_check.sh BUILD      RESULTS=folder of the JSON, else $OUT, else tests/bench/results
set -u
build=${1:?usage: gpu_check.sh BUILD}
here=$build/gpu
results=${RESULTS:-${OUT:-tests/bench/results}}
model=models/smollm2-135m-instruct-q4_1.gguf
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
number=0 passed=0 failed=0 skipped=0
table=

why=
[ -e "$here/parity" ] && [ -e "$here/kvdbg-cuda.so" ] || why="no programs for a GPU: run make gpu-build where nvcc is"
[ -e /dev/nvidiactl ] || [ -e /dev/nvidia0 ] || why="no NVIDIA GPU on this machine"
if [ -n "$why" ]; then
    echo "1..1"
    echo "ok 1 - the CUDA backend on a GPU # SKIP $why"
    exit 0
fi
mkdir -p "$results"
stem=$results/gpu-$(date +%Y-%m-%d)
end=$(($(date +%s) + 580)) # all of it fits ten minutes, the benchmark takes what is left
left() { echo $((end - $(date +%s))); }
log=$here/check.log

row() { table="$table$(printf '%-44s %7s %7s %7s %8s' "$1" "$2" "$3" "$4" "$5")
"; }
skip() {
    number=$((number + 1)) skipped=$((skipped + 1))
    echo "ok $number - $1 # SKIP $2"
    row "$1" - - 1 -
}

# A program that prints TAP: its lines, numbered anew, and a row of the table. One that dies is one more failure.
take() {
    name=$1 limit=$2
    shift 2
    from=$(date +%s)
    [ "$limit" -le "$(left)" ] || limit=$(left)
    [ "$limit" -gt 5 ] || { skip "$name" "no time is left of ten minutes"; return; }
    timeout "$limit" "$@" >"$log" 2>&1
    status=$?
    awk -v n="$number" '/^not ok |^ok / { sub(/ok [0-9]+/, "ok " ++n) } !/^1\.\./ { print }' "$log"
    good=$(grep -c '^ok ' "$log") wrong=$(grep -c '^not ok ' "$log") left=$(grep -c '^ok .*# SKIP' "$log")
    number=$((number + good + wrong))
    if [ $status -ne 0 ] && [ "$wrong" -eq 0 ]; then
        number=$((number + 1)) wrong=1
        echo "not ok $number - $name ended with status $status"
        tail -5 "$log" | sed 's/^/# /'
    fi
    passed=$((passed + good - left)) failed=$((failed + wrong)) skipped=$((skipped + left))
    row "$name" $((good - left)) "$wrong" "$left" "$(($(date +%s) - from)) s"
}

# The sanitizer runs the small shapes. Where the driver does not let it, that is said and skipped.
sanitize() {
    tool=$1
    shift
    [ -n "$sanitizer" ] || { skip "$tool" "no compute-sanitizer here"; return; }
    from=$(date +%s)
    limit=$(($(left) - 60 < 80 ? $(left) - 60 : 80))
    [ "$limit" -gt 10 ] || { skip "$tool" "no time is left of ten minutes"; return; }
    timeout "$limit" "$sanitizer" --tool "$tool" --error-exitcode 99 "$here/parity" --small --together "$@" "$here/kvdbg-cuda.so" >"$log" 2>&1
    status=$?
    if grep -qE 'not supported|Unable to|Failed to (initialize|start)|InitializationError|requires root|permission' "$log" &&
        ! grep -q '^ok 1 ' "$log"; then
        skip "$tool" "$(grep -m1 -E 'not supported|Unable to|Failed to|InitializationError|requires root|permission' "$log" | tr -s '= ' ' ')"
        return
    fi
    number=$((number + 1))
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok $number - $tool finds nothing in $(grep -c '^ok ' "$log") checks"
        row "$tool" 1 0 0 "$(($(date +%s) - from)) s"
    elif [ $status -eq 124 ] && ! grep -q '^=========.*\(error\|hazard\|Invalid\)' "$log"; then
        number=$((number - 1))
        skip "$tool" "not through after $limit s; nothing found in the $(grep -c '^ok ' "$log") checks that it had done"
    else
        failed=$((failed + 1))
        echo "not ok $number - $tool, status $status"
        grep -m8 '^=========' "$log" | sed 's/^/# /'
        row "$tool" 0 1 0 "$(($(date +%s) - from)) s"
    fi
}

# The model may have come in halves.
if [ ! -e "$model" ] && [ -e "$model.part1" ] && [ -e "$model.part2" ]; then
    cat "$model.part1" "$model.part2" >"$model"
fi

take "op parity" 200 "$here/parity" --json "$stem-parity.jsonl" "$here/kvdbg-cuda.so"
take "architectures against Hugging Face" 60 "$here/models" --backend cuda
take "requests, number by number" 60 "$here/requests"
rm -f "$stem-end-to-end.jsonl"
take "requests on made-up models" 120 "$here/end_to_end" --json "$stem-end-to-end.jsonl" synthetic:tiny synthetic:tiny-sliding
if [ -e "$model" ]; then
    take "SmolLM2 against Hugging Face" 120 "$here/model_parity" --backend cuda
    take "SmolLM2, number by number" 60 "$here/requests" SmolLM2
    take "requests on SmolLM2" 120 "$here/end_to_end" --json "$stem-end-to-end.jsonl" "$model"
else
    skip "SmolLM2" "$model is not here"
fi
if [ -e "$here/bench" ]; then
    take "benchmark" 300 "$here/bench" --seconds $(($(left) - 60 < 260 ? $(left) - 60 : 260)) --json "$stem-bench.jsonl"
else
    skip "benchmark" "there is no program for it yet"
fi

sanitize memcheck
# Copies that are handed on by barriers in shared memory are no race, but racecheck knows nothing of them.
sanitize racecheck --sm 80

echo "1..$number"
echo "# "
printf '# %-44s %7s %7s %7s %8s\n' check passed failed skipped time
printf '%s' "$table" | sed 's/^/# /'
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | sed 's/^/# /'
echo "# $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
