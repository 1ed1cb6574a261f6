#!/bin/sh
# Long runs that make test has no time for, under ASan and UBSan: every fuzz target for SOAK_SECONDS (600), as many at a
# time as there are cores, then SOAK_COMMANDS (100000) random commands and SOAK_WALKS (40) walks through time.
# usage: soak.sh [TARGET...]   writes tests/soak.log; exit 0: no finding. Needs clang with libFuzzer (libfuzzer-14-dev).
set -u
seconds=${SOAK_SECONDS:-600}
commands=${SOAK_COMMANDS:-100000}
walks=${SOAK_WALKS:-40}
build=build/soak
log=tests/soak.log
cores=$(nproc)
sanitize="address,undefined -fno-sanitize-recover=undefined"
failed=0
export OMP_THREAD_LIMIT=1
verdict() { if [ "$1" = 0 ]; then echo "no finding"; else echo "FINDING, see $2"; fi; }
mkdir -p "$build"

# --- fuzz targets ----------------------------------------------------------------------------------------------------

# The inspector, the renderer and the engine are watched and steer the fuzzer; the kernels are gcc's, from build/.
objects=$(for source in inspector/*.c inspector/*/*.c render/*.c engine/*.c engine/*/*.c tests/fuzz/tiny.c; do
    [ "$source" = inspector/main.c ] || echo "$build/${source%.c}.o"
done)
# shellcheck disable=SC2086
make -j"$cores" --no-print-directory BUILD="$build" CC=clang \
    CFLAGS="-std=c11 -g -O1 -fsanitize=fuzzer-no-link,$sanitize -Wno-unknown-pragmas" $objects || exit 2

prepare() { # target: its program and its first corpus
    # shellcheck disable=SC2086
    clang -std=c11 -D_GNU_SOURCE -I. -g -O1 -fsanitize=fuzzer,$sanitize -o "$build/$1" "tests/fuzz/$1.c" $objects \
        build/libengine.a -lm -ldl -lgomp $(pkg-config --libs libpng freetype2 libedit ncursesw libcrypto libcjson libpcre2-8 libutf8proc) || return 1
    corpus=$build/$1.corpus
    mkdir -p "$corpus"
    [ ! -f "tests/fuzz/$1.lines" ] || awk -v to="$corpus" '{ printf "%s", $0 >(to "/line" NR) }' "tests/fuzz/$1.lines"
    [ ! -f "tests/fuzz/$1.seeds" ] || awk -v to="$corpus" 'BEGIN { n = 1 } /^%%$/ { n++; next } { print >(to "/seed" n) }' "tests/fuzz/$1.seeds"
    [ "$1" != fuzz_script ] || cp tests/dialogue/*.kv "$corpus"
    maker=tests/fuzz/${1#fuzz_}_seeds.c
    [ ! -f "$maker" ] || { make --no-print-directory "build/${maker%.c}" && "build/${maker%.c}" "$corpus"; }
}

fuzz() { # target
    (cd "$build" || exit 1; rm -f "$1.status"; "./$1" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=4096 -max_len=8192 -print_final_stats=1 \
        "$OLDPWD/$build/$1.corpus" >"$1.log" 2>&1
    echo $? >"$1.status")
}

[ $# -gt 0 ] || set -- $(basename -s .c tests/fuzz/fuzz_*.c)
for target in "$@"; do prepare "$target" || failed=1; done
running=0
for target in "$@"; do
    fuzz "$target" &
    running=$((running + 1))
    [ $((running % cores)) != 0 ] || wait
done
wait

{
    echo "kvdbg soak: each target $seconds s, clang $(clang -dumpversion), ASan + UBSan, commit $(git rev-parse --short HEAD), $(date -u +%F)"
    for name in "$@"; do
        printf '%s: %s; %s\n' "$name" "$(verdict "$(cat "$build/$name.status")" "$build/$name.log")" \
            "$(sed -n 's/^stat:://p' "$build/$name.log" | awk '{ printf "%s%s %s", n++ ? ", " : "", $1, $2 }' | tr -d :)"
    done
} >"$log"

# --- random commands and walks at a kvdbg with both sanitizers ---------------------------------------------------------

make -j"$cores" --no-print-directory BUILD=build/asan \
    OPT="-O1 -g -fsanitize=$sanitize -fno-omit-frame-pointer" build/asan/kvdbg >"$build/asan.build" 2>&1 || exit 2
export KVDBG=build/asan/kvdbg
{
    STREAM_COMMANDS=$commands tests/stream/run.sh >"$build/stream.log" 2>&1
    echo "command streams: $(verdict $? "$build/stream.log"); $commands commands, $(grep -c '^ok' "$build/stream.log") scripts passed"
    TIME_SEEDS=$(seq -s ' ' "$walks") tests/time/run.sh >"$build/time.log" 2>&1
    echo "walks through time: $(verdict $? "$build/time.log"); $(grep -c '^ok' "$build/time.log") passed"
    keys=$build/keys && mkdir -p "$keys"
    for seed in $(seq 40); do printf 'line run\nfuzz %d 2500\n' "$seed" >"$keys/$seed.keys"; done
    screen=0
    for seed in $(seq 40); do
        "$PWD/$KVDBG" -q -nx --cd "$keys" --keys "$PWD/$keys/$seed.keys" --precision f32 --threads 1 \
            --text "A quick fox and a lazy dog." synthetic:tiny </dev/null >"$build/keys.log" 2>&1
        [ $? -le 1 ] || { screen=$seed; break; }
    done
    echo "keys at the screen: $(verdict "$screen" "$build/keys.log"); 100000 keys, clicks and sizes"
    python3 tests/chaos/chaos.py 100000 7 >"$build/chaos.log" 2>&1
    echo "keys, sizes and signals on a terminal: $(verdict $? "$build/chaos.log"); 100000 of them"
    make -j"$cores" --no-print-directory build/kvdbg >"$build/large.build" 2>&1
    KVDBG=build/kvdbg tests/pictures/large.sh >"$build/large.log" 2>&1
    echo "the longest map: $(verdict $? "$build/large.log"); $(tail -1 "$build/large.log")"
} >>"$log"
cat "$log"
grep -q FINDING "$log" && failed=1
exit $failed
