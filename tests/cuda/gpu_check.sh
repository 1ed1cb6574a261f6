#!/bin/bash
# Everything that only a GPU can prove: op parity in full, whole requests, the benchmark, other programs beside it, then
# the sanitizer's tools. `make gpu-build` made the programs; they need nothing but gcc, nvcc and cuBLAS. One line a
# check, a table last. All of it fits ten minutes: each step has a limit, what is left goes to the benchmark, and the
# results are in the folder as soon as they are known. A check that fails is tried again, as it is and with parts of the
# backend left out (KVDBG_PLAIN), to say which of them is at fault.
#
# Where a GPU is lent by the call, with little time in all: count a minute and a half for its start, some forty to sixty
# seconds for gpu-build on 16 cores (30 files of kernels for two GPUs, each below half a minute of one core), and keep the
# calls close together, for what the first one built must still be there. What travels may be limited too, so the model
# goes in halves, which git ignores as it does the model:
#     split -n 2 --numeric-suffixes=1 -a 1 models/X.gguf models/X.gguf.part        # here, once; X is $model below
#     call 1, taking models/X.gguf.part1 along:  make gpu-build
#     call 2, taking models/X.gguf.part2 along:  GPU_CHECK_SECONDS=N make gpu-check
# N: at most 580, and 20 less than is left. Both fit one call of ten minutes, less the model:
#     make gpu-build && GPU_CHECK_SECONDS=500 make gpu-check
# A call that is cut short has left all rows that it had, and its log, in the folder of the results. What is left of the
# time is for what failed: GPU_CHECK_STEPS="parity benchmark" GPU_CHECK_PART=mistral-q4 GPU_CHECK_SECONDS=100 make gpu-check
#
# usage: gpu_check.sh BUILD
#     RESULTS=folder             of the JSON, the log and the page; else $OUT, else tests/bench/results
#     GPU_CHECK_SECONDS=580      for all of it
#     GPU_CHECK_STEPS="..."      some of: parity architectures requests made_up smollm2 benchmark peers sanitizer
#     GPU_CHECK_PART=word        of the benchmark, only parts with it in their names (bench --list)
#     GPU_CHECK_PROGRAMS=folder  of the programs, else BUILD/gpu; asks for no GPU
#     GPU_CHECK_EMULATED=1       the emulated GPU's programs, in small and in as long as it takes
set -u -o pipefail
build=${1:?usage: gpu_check.sh BUILD}
emulated=${GPU_CHECK_EMULATED:-}
here=${GPU_CHECK_PROGRAMS:-$build/$([ "$emulated" ] && echo tests/cuda || echo gpu)}
results=${RESULTS:-${OUT:-tests/bench/results}}
seconds=${GPU_CHECK_SECONDS:-$([ "$emulated" ] && echo 3000 || echo 580)}
all_steps="parity architectures requests made_up smollm2 benchmark peers sanitizer"
steps=${GPU_CHECK_STEPS:-$all_steps}
model=models/smollm2-135m-instruct-q4_1.gguf
plugin=$here/kvdbg-cuda.so
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
stem=$results/gpu-$(date +%Y-%m-%d)
log=$here/check.log
number=0 passed=0 failed=0 skipped=0 table=

why=
for step in $steps; do
    [[ " $all_steps " == *" $step "* ]] || { echo "There is no step $step." >&2; exit 2; }
done
[ -e "$here/parity" ] && [ -e "$plugin" ] || why="no programs for a GPU: run make gpu-build where nvcc is"
[ "$emulated${GPU_CHECK_PROGRAMS:-}" ] || [ -e /dev/nvidiactl ] || [ -e /dev/nvidia0 ] || nvidia-smi -L >/dev/null 2>&1 || why="no NVIDIA GPU on this machine"
if [ -n "$why" ]; then
    echo "1..1"
    echo "ok 1 - the CUDA backend on a GPU # SKIP $why"
    exit 0
fi
mkdir -p "$results"
rm -f "$stem"-*.jsonl "$stem".md
end=$((SECONDS + seconds))
hunting=$((seconds / 8)) # seconds for what failed
left() { echo $((end - SECONDS)); }
share() { echo $(($1 * seconds / 580 > 1 ? $1 * seconds / 580 : 1)); }

row() { table+=$(printf '%-40.40s %7s %7s %7s %8s' "$@")$'\n'; }
skip() {
    number=$((number + 1)) skipped=$((skipped + 1))
    echo "ok $number - $1 # SKIP $2"
    row "$1" - - 1 -
}
fail() { # name, why
    number=$((number + 1)) failed=$((failed + 1))
    echo "not ok $number - $1"
    echo "# $2"
}

# The lines of a TAP program, numbered anew as they come, and kept as they were. Not beyond a second of $SECONDS: what
# hangs in the driver cannot be killed, and keeps the pipe open.
renumber() { # that second
    local line
    : >"$log"
    while [ "$1" -gt "$SECONDS" ] && IFS= read -r -t $(($1 - SECONDS)) line; do
        printf '%s\n' "$line" >>"$log"
        case $line in
        'ok '* | 'not ok '*)
            number=$((number + 1))
            [[ $line =~ ^((not )?ok)\ [0-9]+(.*) ]] && line="${BASH_REMATCH[1]} $number${BASH_REMATCH[3]}"
            echo "$line"
            ;;
        1..*) ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
}

# take NAME LIMIT PROGRAM...: runs it and adds a row of the table. One that dies or hangs is one more failure.
status=0 # of the last one
take() {
    local name=$1 limit from=$SECONDS good wrong without
    limit=$(share "$2")
    shift 2
    [ "$limit" -le "$(left)" ] || limit=$(left)
    [ "$limit" -ge 1 ] || { skip "$name" "no time is left of $seconds s"; : >"$log"; status=0; return; }
    rm -f "$log.status"
    renumber $((SECONDS + limit + 8)) < <(timeout -k 2 "$limit" "$@" 2>&1; echo "$?" >"$log.status")
    status=$(cat "$log.status" 2>/dev/null || echo 137)
    good=$(grep -c '^ok ' "$log") wrong=$(grep -c '^not ok ' "$log") without=$(grep -c '^ok .*# SKIP' "$log")
    passed=$((passed + good - without)) failed=$((failed + wrong)) skipped=$((skipped + without))
    if [ "$status" -gt 1 ] || { [ "$status" -ne 0 ] && [ "$wrong" -eq 0 ]; }; then
        wrong=$((wrong + 1))
        fail "$name" "$([ "$status" -ge 124 ] && [ $((SECONDS - from)) -ge "$limit" ] && echo "It was not through after $limit s." || echo "It ended with status $status.")"
    fi
    row "$name" $((good - without)) "$wrong" "$without" "$((SECONDS - from)) s"
}

# hunt LIMIT CASES PROGRAM...: of CASES, a line each, those that the last program failed in or did not come to are run
# alone: as they are, and without one part of the backend after the other, until one cures them. Some cases do for all.
hunt() {
    local limit=$1 cases=$2 name what answer cure code tried=0 from
    shift 2
    [ "$status" -ne 0 ] || return
    grep '^ok ' "$log" | sed -E 's/^ok [0-9]+ - //; s/ # SKIP.*//' >"$log.fine"
    while IFS= read -r name; do
        [ -n "$name" ] && ! grep -qxF -e "$name" "$log.fine" || continue
        [ "$hunting" -gt 0 ] && [ "$(left)" -gt 0 ] && [ $((tried += 1)) -le 4 ] || break
        from=$SECONDS answer="" cure=""
        for what in 'as it is' graphs early fuse hopper pools graphs,early,fuse,hopper,pools; do # without these
            [ $((hunting - (SECONDS - from))) -gt 0 ] || { cure=unknown; break; }
            KVDBG_PLAIN=${what#as it is} timeout -k 2 "$(share "$limit")" "$@" "$name" >/dev/null 2>&1
            code=$?
            [ $code -ne 0 ] || { answer+=" $what: passes;" cure=$what; break; }
            answer+=" $what: $([ $code -ge 124 ] && echo hangs || echo fails);"
        done
        hunting=$((hunting - (SECONDS - from)))
        echo "# $name, alone:${answer%;}"
        case $cure in
        '') echo "#   nothing that can be left out is at fault" ;;
        unknown) echo "#   no time is left to find out more" ;;
        'as it is') echo "#   it does not fail alone: it depends on what ran before it, or on chance" ;;
        *) echo "#   at fault: $cure" ;;
        esac
        echo "{\"hunt\": \"${name//\"/\'}\", \"cure\": \"$cure\"}" >>"$stem-parity.jsonl"
    done <<<"$cases"
}

# The sanitizer runs the small shapes. Where the driver does not let it, that is said and skipped.
refusal='not supported|Unable to|Failed to (initialize|start)|InitializationError|requires root|permission'
sanitize() {
    local tool=$1 limit from=$SECONDS
    shift
    [ -n "$sanitizer" ] || { skip "$tool" "no compute-sanitizer here"; return; }
    limit=$(($(left) - 10 < 80 ? $(left) - 10 : 80))
    [ "$limit" -gt 10 ] || { skip "$tool" "no time is left of $seconds s"; return; }
    timeout -k 2 "$limit" "$sanitizer" --tool "$tool" --error-exitcode 99 "$here/parity" --small --together "$@" "$plugin" >"$log" 2>&1
    status=$?
    if grep -qE "$refusal" "$log" && ! grep -q '^ok 1 ' "$log"; then
        skip "$tool" "$(grep -m1 -E "$refusal" "$log" | tr -s '= ' ' ')"
        return
    fi
    if [ $status -eq 0 ]; then
        number=$((number + 1)) passed=$((passed + 1))
        echo "ok $number - $tool finds nothing in $(grep -c '^ok ' "$log") checks"
        row "$tool" 1 0 0 "$((SECONDS - from)) s"
    elif [ $status -ge 124 ] && ! grep -q '^=========.*\(error\|hazard\|Invalid\)' "$log"; then
        skip "$tool" "not through after $limit s; nothing found in the $(grep -c '^ok ' "$log") checks that it had done"
    else
        fail "$tool" "status $status"
        grep -m8 '^=========' "$log" | sed 's/^/# /'
        row "$tool" 0 1 0 "$((SECONDS - from)) s"
    fi
}

# Clocks, power and what holds them back. While somebody watches, the driver does not put the GPU away between two
# programs either, which would cost each of them seconds.
watch_clocks() {
    command -v nvidia-smi >/dev/null || return
    local why=clocks_throttle_reasons.active # its name of old
    nvidia-smi --help-query-gpu 2>/dev/null | grep -q clocks_event_reasons.active && why=clocks_event_reasons.active
    nvidia-smi --query-gpu=timestamp,clocks.sm,clocks.mem,power.draw,temperature.gpu,utilization.gpu,$why \
        --format=csv -l 2 >"$stem-clocks.csv" 2>/dev/null &
    watcher=$!
}

# How each step runs: on a GPU in full.
parity_small=() architectures=() requests=("$here/requests") end_to_end=(synthetic:tiny synthetic:tiny-sliding synthetic:tiny-qwen3 synthetic:tiny-mistral)
bench_small=() peers_small=() parity_only=()
if [ "$emulated" ]; then
    parity_small=(--small) parity_only=(append) architectures=(mistral) requests=("$here/requests" "a request on synthetic:tiny")
    end_to_end=(--tokens 4 synthetic:tiny-sliding) bench_small=(--smoke) peers_small=(--device cpu --smoke)
    export EMU_LAZY=1 EMU_GUARD=0
fi

# ---- steps ----

step_parity() {
    take "op parity" 130 "$here/parity" --json "$stem-parity.jsonl" "${parity_small[@]}" "$plugin" "${parity_only[@]}"
    hunt 15 "$([ $status -eq 0 ] || "$here/parity" --list)" "$here/parity" "${parity_small[@]}" "$plugin"
}

step_architectures() {
    take "architectures against Hugging Face" 30 "$here/models" --backend cuda "${architectures[@]}"
    hunt 10 "$([ $status -eq 0 ] || "$here/models" --list)" "$here/models" --backend cuda
}

step_requests() {
    take "requests, number by number" 30 "${requests[@]}"
    hunt 10 "$([ $status -eq 0 ] || "$here/requests" --list | grep -v SmolLM2)" "$here/requests"
}

step_made_up() {
    take "requests on made-up models" 40 "$here/end_to_end" --json "$stem-end-to-end.jsonl" "${end_to_end[@]}"
}

step_smollm2() {
    # The model may have come in halves.
    if [ ! -e "$model" ] && [ -e "$model.part1" ] && [ -e "$model.part2" ]; then
        cat "$model.part1" "$model.part2" >"$model"
    fi
    if [ "$emulated" ]; then
        skip "SmolLM2" "the emulator takes too long"
    elif [ -e "$model" ]; then
        take "SmolLM2 against Hugging Face" 40 "$here/model_parity" --backend cuda
        take "SmolLM2, number by number" 20 "$here/requests" SmolLM2
        take "requests on SmolLM2" 50 "$here/end_to_end" --json "$stem-end-to-end.jsonl" "$model"
    else
        skip "SmolLM2" "$model is not here"
    fi
}

for_peers() { if [[ " $steps " == *" peers "* ]]; then share 75; else echo 0; fi; }

step_benchmark() {
    local time part peers
    peers=$(for_peers)
    time=$(($(left) - peers - 10 < 310 ? $(left) - peers - 10 : 310))
    take "benchmark" "$((time * 580 / seconds + 5))" "$here/bench" "${bench_small[@]}" ${GPU_CHECK_PART:+--only "$GPU_CHECK_PART"} \
        --seconds $((time - 5)) --json "$stem-bench.jsonl"
    # A part that broke may run without what breaks it: figures are better than none.
    for part in $(sed -n 's/^{"failed": "\([^"]*\)".*/\1/p' "$stem-bench.jsonl" 2>/dev/null | sort -u | head -2); do
        [ "$(left)" -gt $((peers + 20)) ] || break
        export KVDBG_PLAIN=graphs,early
        take "$part, without graphs, early starts" 60 "$here/bench" "${bench_small[@]}" --seconds 50 --only "$part" --json "$log.plain"
        cat "$log.plain" >>"$stem-parity.jsonl" # some places take few files
        unset KVDBG_PLAIN
    done
}

step_peers() {
    if command -v python3 >/dev/null; then
        take "other programs beside it" 75 python3 tests/cuda/peers.py "${peers_small[@]}" --bench "$here/bench" \
            --seconds $(($(share 75) - 5)) --json "$stem-peers.jsonl" "$model"
    else
        skip "other programs beside it" "no python3 here"
    fi
}

step_sanitizer() {
    sanitize memcheck
    # Copies that are handed on by barriers in shared memory are no race, but racecheck knows nothing of them.
    sanitize racecheck --sm 80
}

main() {
    local step
    trap '[ -z "${watcher:-}" ] || kill "$watcher" 2>/dev/null' EXIT
    watch_clocks
    for step in $steps; do "step_$step"; done

    # shellcheck disable=SC2046
    awk -v date="$(date +%Y-%m-%d)" -v commit="${GPU_CHECK_COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}" \
        -f tests/cuda/table.awk $(ls "$stem"-bench.jsonl "$stem"-peers.jsonl 2>/dev/null) /dev/null >"$stem.md"
    echo "1..$number"
    # Once more at the end, where a caller that is shown the last lines alone sees it.
    echo "# gates missed:"
    sed -nE -e 's/^\{"row": "([^"]*)", "unit": "([^"]*)", "median": ([^,]*),.*"sense": "(..)", "gate": ([^,]*), "passed": false.*/#   \1: \3 \2, wanted \4 \5/p' \
        -e 's/^\{"saved": "([^"]*)", "batch": ([^,]*), "context": ([^,]*), "keep": ([^,]*),.*"saved_ms": ([^,]*),.*"gate": ([^,]*), "passed": false.*/#   a step saves, \1, \2 x \3, \4 % kept: \5 ms, wanted >= \6/p' \
        -e 's/^\{"peer": "([^"]*)", "against": "([^"]*)",.*"ratio": ([^,]*),.*"passed": false.*/#   \2, beside \1: \3 x/p' \
        "$stem"-bench.jsonl "$stem"-peers.jsonl 2>/dev/null | head -60
    echo "#"
    printf '# %-40s %7s %7s %7s %8s\n' check passed failed skipped time
    printf '%s' "$table" | sed 's/^/# /'
    command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | sed 's/^/# /'
    echo "# $passed passed, $failed failed, $skipped skipped; $stem.md has the figures"
    [ "$failed" -eq 0 ]
}

main 2>&1 | tee "$stem.log"
