#!/bin/sh
# The CUDA plugin where there is no GPU: on the emulator of tests/cuda/emu, and on a machine without a driver.
set -u
here=$(dirname "$KVDBG")/tests/cuda
log=$here/run.log
number=0 bad=0

# Passes on a test program's lines, numbered anew; a program that dies is one more failure.
take() {
    name=$1
    shift
    "$@" >"$log" 2>&1
    status=$?
    printed=$(grep -c -E '^(not )?ok ' "$log")
    awk -v n="$number" '/^not ok |^ok / { sub(/ok [0-9]+/, "ok " ++n) } !/^1\.\./ { print }' "$log"
    number=$((number + printed))
    if [ $status -gt 1 ]; then
        number=$((number + 1)) bad=1
        echo "not ok $number - $name ended with status $status"
        grep '^emulator:' "$log" | sed 's/^/# /'
    fi
    grep -q '^not ok' "$log" && bad=1
}

take "the emulator" "$here/emu_test"
EMU_LAZY=1 take parity "$here/parity" --small "$here/kvdbg-cuda.so"
EMU_LAZY=1 take "kernels of sm_80" "$here/parity" --small --sm 80 "$here/kvdbg-cuda.so" attend
EMU_MEMORY=300000000 take "all of a small memory" "$here/parity" --small "$here/kvdbg-cuda.so" "memory, all"
EMU_LAZY=1 EMU_PROCESSORS=5 take "products that few SMs share" "$here/parity" --small "$here/kvdbg-cuda.so" "linear, tiles"
take "the same requests on both" "$here/requests"
take "SmolLM2 on both" env EMU_GUARD=0 "$here/requests" SmolLM2
# What make gpu-check does, in small: Hugging Face's numbers, bf16 on both, the benchmark, its page.
rm -rf "$here/check"
take "make gpu-check, emulated" env GPU_CHECK_EMULATED=1 RESULTS="$here/check" tests/cuda/gpu_check.sh "$(dirname "$KVDBG")"
take "make gpu-check's script" tests/cuda/check_script.sh "$(dirname "$KVDBG")"
take "the compiler's report" tests/cuda/spills.sh "$(dirname "$KVDBG")"
take loader tests/cuda/loader.sh "$(dirname "$KVDBG")"
take "a GPU" tests/cuda/gpu_check.sh "$(dirname "$KVDBG")"
echo "1..$number"
exit $bad
