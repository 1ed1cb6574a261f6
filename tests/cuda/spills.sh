#!/bin/sh
# What the compiler says of every kernel: none keeps registers or arrays in memory, on any architecture, and no wgmma waits
# for the one before. One line a file.
# usage: spills.sh BUILD      reads BUILD/cuda/*.ptxas
set -u
build=${1:?usage: spills.sh BUILD}

# Kernels that may, for a pass runs them once: sine and cosine of large angles in f64 have a table on their stack.
cold="angles_kernel"

if [ ! -e "$build/kvdbg-cuda.so" ]; then
    echo "1..1"
    echo "ok 1 - the compiler's report on kernels # SKIP there is no nvcc here"
    exit 0
fi
number=0 bad=0
for report in "$build"/cuda/*.ptxas; do
    source=$(basename "$report" .ptxas).cu
    [ -e "kernels/cuda/$source" ] || continue
    number=$((number + 1))
    awk -v cold="$cold" -v number="$number" -v source="$source" '
        /Compiling entry function/ {
            split($0, part, "\047")
            name = part[2]
            of = part[4]
        }
        /bytes stack frame/ {
            kernels[of]++
            if ($1 + $5 + $9 > 0 && !index(name, cold)) spilled = spilled "# " of " " name ": " $0 "\n"
        }
        /instructions are serialized/ { spilled = spilled "# " $0 "\n" }
        END {
            same = kernels["sm_80"] == kernels["sm_90a"] || !kernels["sm_80"]
            good = spilled == "" && same
            printf "%sok %d - %s: %d kernels for sm_80, %d for sm_90a, none spills\n%s", good ? "" : "not ", number, source,
                kernels["sm_80"], kernels["sm_90a"], spilled
            exit !good
        }' "$report" || bad=1
done
echo "1..$number"
exit $bad
