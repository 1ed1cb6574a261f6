#!/bin/sh
# A short slice of every fuzz target, as TAP: its seeds, then mutations of them in a fixed order.
# usage: run.sh      FUZZ_SECONDS: of each target (2); FUZZ_SEED: of the mutations (1); KVDBG: BUILD/kvdbg
#
# fuzz_NAME.c is a libFuzzer target, and the Makefile links it with driver.c. Its seeds: fuzz_NAME.lines, one a line;
# fuzz_NAME.seeds, between lines that are %% alone; what NAME_seeds.c writes into a folder; and for
# scripts the dialogues.
set -u
kvdbg=${KVDBG:-build/kvdbg}
build=$(dirname "$kvdbg")/tests/fuzz
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
export OMP_THREAD_LIMIT=1 FUZZ_INPUT="$folder/input"
number=0 failed=0
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    number=$((number + 1))
    set --
    for seeds in tests/fuzz/$name.lines tests/fuzz/$name.seeds; do [ ! -f "$seeds" ] || set -- "$@" "$seeds"; done
    [ "$name" != fuzz_script ] || set -- "$@" tests/dialogue/*.kv
    maker=$build/${name#fuzz_}_seeds
    if [ -x "$maker" ]; then
        mkdir "$folder/$name" && "$maker" "$folder/$name" && set -- "$@" "$folder/$name"
    fi
    if "$build/$name" "${FUZZ_SECONDS:-2}" "${FUZZ_SEED:-1}" "$@" >"$folder/out" 2>&1; then
        echo "ok $number - $name: $(tail -n 1 "$folder/out")"
    else
        echo "not ok $number - $name: exit $?"
        failed=1
        head -n 30 "$folder/out" | sed 's/^/# /'
        tail -c +5 "$folder/input" | head -c "$(od -An -tu4 -N4 "$folder/input" | tr -d ' ')" >"$build/$name.finding"
        echo "# $build/$name.finding: $(head -c 600 "$build/$name.finding" | tr '\n' '~' | cat -v)"
    fi
done
echo "1..$number"
exit $failed
