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

tiny() { # script; leaves its output in out and err
    set -- "$1" --keep-going --precision f32 --threads 1 -p tests/dialogue/fox.txt
    [ $((seed % 2)) = 1 ] || set -- "$@" --question 'And the dog?'
    script=$1
    shift
    timeout 120 "$kvdbg" -q -nx -batch "$@" -x "$script" synthetic:tiny >"$folder/out" 2>"$folder/err"
}

for seed in $seeds; do
    number=$((number + 1))
    awk -v seed="$seed" -v commands="$commands" -f tests/time/walk.awk >"$folder/walk.kv"
    tiny "$folder/walk.kv"
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

# Stops of the way forward, in the order of time, and those of the way back in the same; at tick 0 nothing goes forward.
for seed in $seeds; do
    number=$((number + 1))
    awk -v seed="$seed" -f tests/time/mirror.awk >"$folder/mirror.kv"
    tiny "$folder/mirror.kv"
    awk '/^forth$/ || /^back$/ { way = $0 } !/^Tick [1-9]/ { next } !/, done,/ && way == "forth" && !($2 in met) { met[$2]; print $2 }' "$folder/out" | sort -n >"$folder/forth"
    awk '/^forth$/ || /^back$/ { way = $0 } !/^Tick [1-9]/ { next } way == "back" && !($2 in met) { met[$2]; print $2 }' "$folder/out" | sort -n >"$folder/back"
    if cmp -s "$folder/forth" "$folder/back"; then
        echo "ok $number - breakpoints of seed $seed: $(wc -l <"$folder/forth") stops, the same on the way back"
    else
        failed=1
        echo "not ok $number - breakpoints of seed $seed stop elsewhere on the way back"
        sed -n '/^Num/,/^forth/s/^/# /p' "$folder/out"
        diff "$folder/forth" "$folder/back" | head -n 8 | sed 's/^/# /'
    fi
done
echo "1..$number"
exit $failed
