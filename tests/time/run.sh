#!/bin/sh
# Random walks of the whole program through time, as TAP: whatever commands led to a boundary of a branch, the state there
# has one hash; N stages on and N back is where it began.
# usage: run.sh      TIME_COMMANDS: of one walk (600); TIME_SEEDS: which ("1 2 3 4 5 6"); KVDBG: the program
set -u
kvdbg=${KVDBG:-build/kvdbg}
commands=${TIME_COMMANDS:-600}
seeds=${TIME_SEEDS:-1 2 3 4 5 6}
export TERM=dumb LC_ALL=C.UTF-8 OMP_NUM_THREADS=1
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
number=0 failed=0
for seed in $seeds; do
    number=$((number + 1))
    awk -v seed="$seed" -v commands="$commands" -f tests/time/walk.awk >"$folder/walk.kv"
    set --
    [ $((seed % 2)) = 1 ] || set -- --question 'And the dog?'
    timeout 120 "$kvdbg" -q -nx -batch --keep-going --precision f32 --threads 1 -p tests/dialogue/fox.txt "$@" \
        -x "$folder/walk.kv" synthetic:tiny >"$folder/out" 2>"$folder/err"
    status=$?
    verdict=$(awk -f tests/time/check.awk "$folder/out") && [ $status -le 1 ]
    if [ $? = 0 ]; then
        echo "ok $number - $commands commands of seed $seed: $verdict"
    else
        failed=1
        echo "not ok $number - $commands commands of seed $seed"
        printf '%s\n# exit %s; awk -v seed=%s -v commands=%s -f tests/time/walk.awk\n' "$verdict" $status "$seed" "$commands"
        tail -n 3 "$folder/err" | sed 's/^/# /'
    fi
done
echo "1..$number"
exit $failed
