#!/bin/bash
# Measures the speed and memory of kvdbg, beside llama.cpp's llama-bench where its path is given, and prints one
# Markdown table on stdout.
#
#     tests/bench/run.sh BUILD [PEER]       make bench [PEER=/path/to/llama-bench]
#
# Every sample is a fresh process, and the two programs take turns (kvdbg, peer, kvdbg, peer, ...), so that a
# machine that drifts meets both; read bandwidth and peak are measured before and after. llama-quantize, when it
# lies beside llama-bench, makes the BF16 and Q8_0 files. Environment: BENCH_QUICK=1 for a version of about three
# minutes; THREADS (2); ROUNDS (5) processes a row, LONG (3) of those behind 7,900 tokens; MODEL; BENCH_RUN, words
# put before every timed program ("env OMP_PROC_BIND=true chrt -f 1" on a machine that others use too).
set -euo pipefail
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-4000} # as kvdbg sets it for itself; the peer keeps its own default

build=${1:?Usage: tests/bench/run.sh BUILD [PEER]}
peer=${2:-}
model=${MODEL:-models/smollm2-135m-instruct-q4_1.gguf}
threads=${THREADS:-2}
rounds=${ROUNDS:-$([ "${BENCH_QUICK:-}" ] && echo 2 || echo 5)}
long=${LONG:-$([ "${BENCH_QUICK:-}" ] && echo 1 || echo 3)}
here=$(dirname "$0")
bin=$build/tests/bench
dir=$build/bench
read -ra prefix <<<"${BENCH_RUN:-}"

fail() { echo "bench: $*" >&2; exit 1; }
[ -f "$model" ] || fail "no model at $model. Run: make model"
[ -z "$peer" ] || [ -x "$peer" ] || fail "PEER=$peer cannot be run; it must be the path of llama-bench."
mkdir -p "$dir"
samples=$dir/samples.txt
: >"$samples"

say() { if [ -t 2 ]; then printf '\r\033[K%s' "$1" >&2; fi; }

# record ROW SIDE ROUND PROGRAM...: the program's name=value line, labeled.
record() {
    local row=$1 side=$2 round=$3 out
    shift 3
    say "bench: $row, $side, round $round of $rounds"
    out=$("${prefix[@]}" "$@" 2>"$dir/stderr.txt") || fail "$row failed: $(tail -n 1 "$dir/stderr.txt")"
    [ -z "$out" ] || sed "s/^/$row $side $round /" <<<"$out" >>"$samples"
}

settings=(engine.threads="$threads" engine.stats=policy)
entropy=(policy.allocator=entropy policy.selector=streaming)
ours() { record "$1" kvdbg "$2" "$bin/bench" "${@:3}" "${settings[@]}"; }

# llama-bench's tokens a second, as name=value.
theirs() {
    local row=$1 round=$2
    [ -n "$peer" ] || return 0
    shift 2
    record "$row" peer "$round" bash -c '"$@" -o jsonl | sed -n "s/.*\"avg_ts\": \([0-9.]*\).*/tps=\1/p"' - \
        env -u GOMP_SPINCOUNT "$peer" -t "$threads" -r 1 "$@"
}

# One process of the program itself, wall clock; the words behind the name are its stop.
timed_run() {
    local name=$1 start
    shift
    start=$(date +%s%N)
    "$build/kvdbg" -q -nx -batch --threads "$threads" -p "$dir/numbers.txt" -ex "set decode.tokens 64" \
        -ex "${*:-print 0}" -ex run "$model" >"$dir/$name.txt"
    echo "${name}_ms=$((($(date +%s%N) - start) / 1000))e-3"
}
export -f timed_run
export build threads dir model
# A run with a condition that is asked in every layer of every pass and true nowhere, beside the run without.
condition() {
    record condition kvdbg "$1" bash -c \
        'echo $(timed_run without) $(timed_run with "break .attend if entropy[12][3] > 99")'
}
# The screen: pictures of a made-up record (a core file), and how much longer a process takes that draws one picture of
# the real model than one that only opens it.
picture_ms() { # name, keys, arguments of kvdbg
    printf "$2" >"$dir/$1.keys"
    "$build/kvdbg" -q -nx --keys "$dir/$1.keys" "${@:3}" | sed -n "s/^\\([0-9.]*\\) ms a frame.*/$1_ms=\\1/p"
}
process_ms() { # name, arguments of kvdbg
    local start=$(date +%s%N)
    "$build/kvdbg" -q -nx "${@:2}" >/dev/null
    echo "$1_ms=$((($(date +%s%N) - start) / 1000))e-3"
}
export -f picture_ms process_ms
screen() {
    record screen kvdbg "$1" bash -c 'for name in heat tokens split budget; do
            picture_ms $name "size 200x60\\nline layout $name\\ntime 50\\n" -c "$dir/record.core"
        done | tr "\\n" " "; printf "size 200x60\\ndump\\n" >"$dir/first.keys"
        echo $(process_ms first --keys "$dir/first.keys" "$model") $(process_ms opened -batch "$model")'
}
seq -s ' ' 460 >"$dir/numbers.txt"

limits() { record limits "$1" 1 "$bin/limits" "$threads"; }

# requantize TYPE: a file of the same weights, made once.
requantize() {
    local file=$dir/$1.gguf tool
    tool=$(dirname "$peer")/llama-quantize
    [ -n "$peer" ] && [ -x "$tool" ] || return 1
    [ -f "$file" ] && [ "$file" -nt "$model" ] && return 0
    say "bench: making $file"
    "$tool" --allow-requantize "$model" "$file.part" "$1" "$threads" >"$dir/stderr.txt" 2>&1 || return 1
    mv "$file.part" "$file"
}

# Types of weights that other files come in. The default model's rows of 576 are no whole blocks of 256: where the K types
# and IQ4_XS do not fit, llama-quantize takes Q5_0, Q5_1, Q8_0 or IQ4_NL; kernels_linear times them alone.
types="F16 Q8_0 Q6_K Q5_K_M Q5_1 Q5_0 Q4_K_M Q4_1 Q4_0 IQ4_NL IQ4_XS Q3_K_M Q2_K"
each_type() {
    local type
    for type in $types; do
        requantize "$type" || continue
        ours "decode_$type" 1 decode "$dir/$type.gguf" 1 64 policy.preset=full
        theirs "decode_$type" 1 -m "$dir/$type.gguf" -p 0 -n 64
        ours "prefill_$type" 1 prefill "$dir/$type.gguf" 512 1 "${entropy[@]}"
        theirs "prefill_$type" 1 -m "$dir/$type.gguf" -p 512 -n 0
    done
}

files=
if requantize BF16 && requantize Q8_0; then files=1; fi

# Without python3 there is no record and no row of the screen.
command -v python3 >/dev/null && python3 "$here/record.py" "$dir/record.core"

commit=$(git rev-parse --short HEAD 2>/dev/null || echo "no commit")
[ -z "$(git status --porcelain -uno 2>/dev/null)" ] || commit="$commit with local changes"
load_before=$(cut -d' ' -f1 /proc/loadavg)
limits before
for round in $(seq "$rounds"); do
    ours prefill "$round" prefill "$model" 2048 1 "${entropy[@]}"
    theirs prefill "$round" -m "$model" -p 2048 -n 0
    ours scores "$round" prefill "$model" 2048 1
    ours decode0 "$round" decode "$model" 1 64 policy.preset=full
    theirs decode0 "$round" -m "$model" -p 0 -n 64
    ours stages "$round" stages "$model" 2048 32
    record boundary kvdbg "$round" "$bin/bench" boundary synthetic:tiny 8 400 engine.threads=1
    condition "$round"
    if [ -f "$dir/record.core" ]; then screen "$round"; fi
    if [ "$files" ]; then
        ours prefill_bf16 "$round" prefill "$dir/BF16.gguf" 2048 1 "${entropy[@]}"
        theirs prefill_bf16 "$round" -m "$dir/BF16.gguf" -p 2048 -n 0
        ours prefill_q8_0 "$round" prefill "$dir/Q8_0.gguf" 2048 1 "${entropy[@]}"
    fi
done
for round in $(seq "$long"); do
    ours decode8k "$round" decode "$model" 7900 64 policy.preset=full
    [ "${BENCH_QUICK:-}" ] || theirs decode8k "$round" -m "$model" -p 0 -n 64 -d 7900
    ours compress "$round" compress "$model" 8000 32 "${entropy[@]}" policy.ratio=0.25
done
[ ! "$files" ] || [ "${BENCH_QUICK:-}" ] || each_type
record entropy kvdbg 1 "$bin/entropy" "$model" 2048 "$((rounds + 1))" "$threads"
ours memory 1 memory "$model" 8064 127
ours twin 1 twin "$model" 2048 32
ours score 1 score "$model" 2048 64 8
limits after
say ""

cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
cat <<END
# kvdbg bench

- $(date -u +'%Y-%m-%d %H:%M UTC'), commit $commit, $(basename "$model"), $threads threads
- machine: ${cpu:-unknown CPU} (family $(awk '/^cpu family/ { print $4; exit }' /proc/cpuinfo) model $(awk '/^model\t/ { print $3; exit }' /proc/cpuinfo)), $(nproc) CPUs, $(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r); load average $load_before before, $(cut -d' ' -f1 /proc/loadavg) after${BENCH_RUN:+; programs run by \`$BENCH_RUN\`}
- $(sed -n 's/^prefill kvdbg 1 engine=//p' "$samples")
- peer: $(if [ -n "$peer" ]; then echo "llama.cpp, llama-bench with f16 KV, flash attention and batches as its defaults"; else echo "absent (make bench PEER=/path/to/llama-bench): its columns and ratios are empty"; fi)
END
[ -z "$peer" ] || [ "$files" ] || echo "- no llama-quantize beside llama-bench, so no BF16 and Q8_0 rows"
awk -v types="$types" -f "$here/table.awk" "$samples"
