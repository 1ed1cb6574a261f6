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
elif [ -e /dev/nvidiactl ] || nvidia-smi -L >/dev/null 2>&1; then
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
emulated "an unknown part to do without" 'KVDBG_PLAIN names "fusion"; it can name graphs, early, fuse, hopper, pools'
unset KVDBG_PLAIN

# ask NAME ARGS: runs kvdbg on the emulated GPU to $dir/NAME.out and .err; more arguments may come first, as ENV=VALUE.
cp "$odd/kvdbg-cuda.so" "$dir/"
ask() {
    to=$1
    shift
    timeout 100 env $more "$dir/kvdbg" --backend cuda -q -nx -batch --threads 1 -p tests/dialogue/fox.txt -ex 'set decode.tokens 6' "$@" synthetic:tiny >"$dir/$to.out" 2>"$dir/$to.err"
}
said() {
    number=$((number + 1))
    [ -n "$wrong" ] && bad=1 && echo "not ok $number - $1" && echo "# $wrong" && return
    echo "ok $number - $1"
}
logits() { grep '^\$1 = ' "$dir/$1.out" >"$dir/$1.logits" && [ -s "$dir/$1.logits" ]; }

# What is left out is said, and leaves out nothing else: the reply is the same.
more= wrong=
ask whole -ex run -ex 'print logit' -ex 'info backend'
more=KVDBG_PLAIN=graphs,early,fuse,hopper,pools
ask plain -ex run -ex 'print logit' -ex 'info backend'
grep -q '; without graphs, early, fuse, hopper, pools$' "$dir/plain.out" || wrong="it does not say what is left out"
grep -q '^Graphs:' "$dir/whole.out" || wrong="no graphs"
grep -q '^Graphs:' "$dir/plain.out" && wrong="graphs although they are left out"
logits whole && logits plain && cmp -s "$dir/whole.logits" "$dir/plain.logits" || wrong="other logits"
said "without graphs, early starts, fusion and new kernels"

more=EMU_POOLS=0 wrong=
ask plain -ex run -ex 'print logit'
logits plain && cmp -s "$dir/whole.logits" "$dir/plain.logits" || wrong="other logits: $(cat "$dir/plain.err")"
said "a GPU without memory pools"

# Each op is timed: as often as it was called, where it is not joined with others; and the bits are the same.
more= wrong=
ask timed -ex 'maint time ops on' -ex run -ex 'print logit' -ex 'info backend' -ex 'maint time ops off' -ex run -ex 'info backend'
logits timed && cmp -s "$dir/whole.logits" "$dir/timed.logits" || wrong="other logits"
awk '/^op / { table++; next }
    /^phase / && table == 1 && (share < 99 || share > 101) { print "shares add up to " share "%" }
    /^phase / { table += 0.5 }
    table == 0 && /^Graphs:/ { print "graphs while timing" }
    table == 1 { share += $NF; if ($(NF - 2) <= 0) print $1 " took no time" }
    table == 1 && /^(attend|linear|select|gather|columns|argmax|copy)/ && $(NF - 3) != $(NF - 4) { print $1 " called " $(NF - 4) ", timed " $(NF - 3) }
    table == 2.5 && /^select / { print $(NF - 3) == 3 && $(NF - 4) == 6 ? "off" : "timed after off" }' "$dir/timed.out" >"$dir/found"
[ "$(cat "$dir/found")" = off ] || wrong="$(tr '\n' ';' <"$dir/found")"
said "a clock around each op"

# A GPU that is lost in the middle: one sentence with the op, the same again for what would need it, and the rest is saved.
for fault in 20 120; do
    more=EMU_FAULT=$fault wrong=
    rm -f "$dir/saved"
    ask lost --keep-going -ex run -ex run -ex 'info program' -ex "gcore $dir/saved" -ex 'maint hash' -ex 'set engine.backend cpu' -ex run
    [ $? = 1 ] || wrong="not status 1"
    sentence='The GPU failed at [a-z ]*, within [0-9]* ops from [a-z ]* to [a-z ]* (an illegal memory access was encountered), and takes no more work: .*\.'
    [ "$(grep -cx "$sentence" "$dir/lost.err")" -ge 3 ] || wrong="not the sentence: $(head -1 "$dir/lost.err")"
    [ "$(sort -u "$dir/lost.err" | wc -l)" = 1 ] || wrong="other sentences: $(sort -u "$dir/lost.err" | tail -1)"
    grep -q '^Saved corefile' "$dir/lost.out" || [ $fault -lt 100 ] || wrong="no core file"
    grep -q '^It stopped by: error' "$dir/lost.out" || wrong="the request is gone"
    tail -1 "$dir/lost.out" | grep -q '^\[Request finished.*cpu' || wrong="the CPU does not go on"
    said "a GPU that is lost at kernel $fault"
done
more= wrong=
timeout 60 "$dir/kvdbg" -q -nx -batch -c "$dir/saved" -ex 'print reply' -ex 'print entropy' >"$dir/core.out" 2>&1 || wrong="$(tail -1 "$dir/core.out")"
said "the core file of a GPU that was lost"

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
more=EMU_MEMORY=35500000 wrong=
ask small -ex run
[ $? = 5 ] || wrong="not status 5"
grep -qxE 'This request takes [0-9.]+ MiB of the GPU beside the weights \(.*\), and [0-9.]+ MiB are free; .*\.' "$dir/small.err" || wrong="$(cat "$dir/small.err")"
said "a request that a GPU's memory cannot hold"
echo "1..$number"
exit $bad
