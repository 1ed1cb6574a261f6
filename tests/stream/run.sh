#!/bin/sh
# Random commands at the tiny model, in scripts of 500: none may crash, hang, leak or trip a sanitizer. As TAP.
# usage: run.sh      STREAM_COMMANDS: how many (4000); STREAM_SEED: the first seed (1); KVDBG: the program
set -u
kvdbg=${KVDBG:-build/kvdbg}
case $kvdbg in /*) ;; *) kvdbg=$PWD/$kvdbg ;; esac
here=$PWD/tests/stream
commands=${STREAM_COMMANDS:-4000}
seed=${STREAM_SEED:-1}
last=$((seed + (commands + 499) / 500 - 1))
export TERM=dumb LC_ALL=C.UTF-8 OMP_NUM_THREADS=1
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
HOME=$folder
export HOME
cp tests/dialogue/*.txt tests/dialogue/*.kv "$folder"
cd "$folder" || exit 2

first=$seed
echo "1..$((last - first + 1))"
failed=0
while [ "$seed" -le "$last" ]; do
    awk -v seed="$seed" -v lines=500 -f "$here/generate.awk" ./*.kv >stream.script
    timeout 120 "$kvdbg" -q -nx -batch --keep-going --precision f32 -p fox.txt -x stream.script synthetic:tiny >out 2>&1
    status=$?
    if [ $status -le 6 ] && ! grep -q -a -e 'Sanitizer' -e 'runtime error' out; then
        echo "ok $((seed - first + 1)) - 500 commands of seed $seed"
    else
        failed=1
        echo "not ok $((seed - first + 1)) - 500 commands of seed $seed"
        echo "# exit $status; awk -v seed=$seed -v lines=500 -f tests/stream/generate.awk tests/dialogue/*.kv"
        { grep -a -A 12 -e 'Sanitizer' -e 'runtime error' out || tail -n 5 out; } | head -n 16 | sed 's/^/# /'
    fi
    seed=$((seed + 1))
done
exit $failed
