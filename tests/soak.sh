#!/bin/sh
# Long runs that make test has no time for, under ASan and UBSan: every fuzz target for SOAK_SECONDS (600), and
# SOAK_COMMANDS (100000) random commands.
# usage: soak.sh            writes tests/soak.log; exit 0: no finding. Needs clang with libFuzzer (libfuzzer-14-dev).
set -u
seconds=${SOAK_SECONDS:-600}
build=build/soak
log=tests/soak.log
mkdir -p "$build"
flags="-std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Wno-unknown-pragmas -I. -DKV_HAVE_PCRE2"
libs="-lm $(pkg-config --libs libpcre2-8 libcjson)"
common="kernels/base.c kernels/types.c"
failed=0
jobs=

start() { # name, sources
    name=$1
    shift
    # shellcheck disable=SC2086
    clang $flags -o "$build/$name" "tests/fuzz/$name.c" "$@" $common $libs || { failed=1; return; }
    mkdir -p "$build/$name.corpus"
    (cd "$build" && exec "./$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        "$name.corpus" >"$name.log" 2>&1) &
    jobs="$jobs $name:$!"
}

gcc -std=c11 -D_GNU_SOURCE -I. -o "$build/gguf_seeds" tests/fuzz/gguf_seeds.c tests/lib/gguf_writer.c kernels/base.c kernels/types.c && mkdir -p "$build/fuzz_gguf.corpus" &&
    "$build/gguf_seeds" "$build/fuzz_gguf.corpus" || failed=1
start fuzz_gguf engine/model/*.c
start fuzz_tokenizer engine/text/*.c
start fuzz_jsonl inspector/jsonl_read.c inspector/line.c

# Random command streams at a kvdbg with both sanitizers.
commands=${SOAK_COMMANDS:-100000}
stream() {
    make -j2 --no-print-directory BUILD=build/asan OPT='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' build/asan/kvdbg >"$build/stream.build" 2>&1 &&
        KVDBG=build/asan/kvdbg STREAM_COMMANDS=$commands tests/stream/run.sh >"$build/stream.log" 2>&1
}
stream &
stream_job=$!

{
    echo "kvdbg soak: each target $seconds s, clang $(clang -dumpversion), ASan + UBSan, commit $(git rev-parse --short HEAD), $(date -u +%F)"
    for job in $jobs; do
        name=${job%%:*}
        if wait "${job##*:}"; then verdict="no finding"; else verdict="FINDING, see $build/$name.log"; fi
        printf '%s: %s; %s\n' "$name" "$verdict" \
            "$(sed -n 's/^stat:://p' "$build/$name.log" | awk '{ printf "%s%s %s", n++ ? ", " : "", $1, $2 }' | tr -d :)"
    done
    if wait "$stream_job"; then verdict="no finding"; else verdict="FINDING, see $build/stream.log"; fi
    echo "command streams: $verdict; $commands commands, $(grep -c '^ok' "$build/stream.log") scripts passed"
} >"$log"
cat "$log"
grep -q FINDING "$log" && failed=1
exit $failed
