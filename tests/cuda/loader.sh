#!/bin/sh
# The plugin's loader: what is no plugin, or finds no GPU, is refused in one sentence with exit status 1 where CUDA was
# asked for; `auto` goes on with the CPU and says why.
# usage: loader.sh BUILD
set -u
build=${1:?usage: loader.sh BUILD}
odd=$build/tests/cuda
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
cp "$build/kvdbg" "$dir/kvdbg"
number=0 bad=0

run() { timeout 60 "$dir/kvdbg" --backend "$1" -q -nx -batch --threads 1 -p tests/dialogue/fox.txt -ex run -ex 'info engine' synthetic:tiny; }

# check NAME REASON: with $dir/kvdbg-cuda.so as it is.
check() {
    name=$1 reason=$2 wrong=
    run cuda >"$dir/out" 2>"$dir/err"
    status=$?
    [ $status = 1 ] || wrong="status $status with --backend cuda"
    [ "$(grep -c . "$dir/err")" = 1 ] && grep -q '^[A-Z].*\.$' "$dir/err" || wrong="not one sentence: $(cat "$dir/err")"
    grep -qF "$reason" "$dir/err" || wrong="no \"$reason\" in: $(cat "$dir/err")"
    run auto >"$dir/out" 2>&1
    status=$?
    [ $status = 0 ] || wrong="status $status with --backend auto: $(tail -1 "$dir/out")"
    grep -q "^cpu (.*$reason" "$dir/out" || wrong="auto does not say \"$reason\": $(grep -a '^cpu' "$dir/out")"
    number=$((number + 1))
    if [ -z "$wrong" ]; then
        echo "ok $number - $name"
    else
        bad=1
        echo "not ok $number - $name"
        echo "# $wrong"
    fi
    rm -rf "$dir/kvdbg-cuda.so"
}
skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

check "no plugin" "no kvdbg-cuda.so beside the program"
: >"$dir/kvdbg-cuda.so"
check "an empty file" "file too short"
seq 1000 >"$dir/kvdbg-cuda.so"
check "a text" "invalid ELF header"
mkdir "$dir/kvdbg-cuda.so"
check "a folder" "Is a directory"
for bytes in 64 500 20000; do
    head -c $bytes "$odd/kvdbg-cuda.so" >"$dir/kvdbg-cuda.so"
    check "the first $bytes bytes of a plugin" "kvdbg-cuda.so is cut short"
done
cp "$odd/odd_name.so" "$dir/kvdbg-cuda.so"
check "a library that is no plugin" "kvdbg-cuda.so is no backend"
cp "$odd/odd_library.so" "$dir/kvdbg-cuda.so"
check "a plugin whose library is missing" "libgone.so: cannot open shared object file"
cp "$odd/odd_abi.so" "$dir/kvdbg-cuda.so"
check "a plugin of an older version" "was built for another version of the program"
cp "$odd/odd_size.so" "$dir/kvdbg-cuda.so"
check "a plugin with another table" "was built for another version of the program"

if [ ! -e "$build/kvdbg-cuda.so" ]; then
    skip "the plugin without a driver" "there is no nvcc here"
elif [ -e /dev/nvidiactl ]; then
    skip "the plugin without a driver" "this machine has one"
else
    cp "$build/kvdbg-cuda.so" "$dir/"
    check "the plugin without a driver" "No NVIDIA GPU with a driver"
fi

# Machines that are emulated.
emulated() {
    cp "$odd/kvdbg-cuda.so" "$dir/"
    check "$1" "$2"
}
export EMU_DEVICES=0
emulated "a driver without a GPU" "No NVIDIA GPU with a driver"
unset EMU_DEVICES
export EMU_SM=75
emulated "a GPU that is too old" "has compute capability 7.5; the CUDA backend needs 8.0 or newer"
unset EMU_SM
export KVDBG_PLAIN=graphs,fusion
emulated "an unknown part to do without" 'KVDBG_PLAIN names "fusion"; it can name graphs, early, fuse, hopper'
unset KVDBG_PLAIN

# What is left out is said, and leaves out nothing else: the reply is the same.
cp "$odd/kvdbg-cuda.so" "$dir/"
reply() { timeout 60 "$dir/kvdbg" --backend cuda -q -nx -batch --threads 1 -p tests/dialogue/fox.txt -ex 'set decode.tokens 6' -ex run -ex 'print logit' -ex 'info backend' synthetic:tiny; }
number=$((number + 1)) wrong=
reply 2>&1 | grep -v '^[A-Z][a-z]*:' >"$dir/whole"
KVDBG_PLAIN=graphs,early,fuse,hopper reply >"$dir/plain" 2>&1
grep -q '; without graphs, early, fuse, hopper$' "$dir/plain" || wrong="it does not say what is left out"
grep -q '^Graphs:' "$dir/plain" && wrong="graphs although they are left out"
for what in whole plain; do grep '= {' "$dir/$what" >"$dir/$what.logits"; done
[ -s "$dir/whole.logits" ] && cmp -s "$dir/whole.logits" "$dir/plain.logits" || wrong="other logits"
if [ -z "$wrong" ]; then
    echo "ok $number - without graphs, early starts, fusion and new kernels"
else
    bad=1
    echo "not ok $number - without graphs, early starts, fusion and new kernels"
    echo "# $wrong"
fi

# Too little memory is no reason to go elsewhere unasked: one sentence with the bytes, exit status 5.
cp "$odd/kvdbg-cuda.so" "$dir/"
for backend in cuda auto; do
    EMU_MEMORY=36000000 run $backend >"$dir/out" 2>"$dir/err"
    status=$?
    number=$((number + 1))
    if [ $status = 5 ] && grep -qxE 'The GPU has no memory for [a-z]+: [0-9.]+ MiB wanted, [0-9.]+ of 34.3 MiB free\.' "$dir/err"; then
        echo "ok $number - a GPU with too little memory, --backend $backend"
    else
        bad=1
        echo "not ok $number - a GPU with too little memory, --backend $backend"
        echo "# status $status: $(cat "$dir/err")"
    fi
done
echo "1..$number"
exit $bad
