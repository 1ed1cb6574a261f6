#!/bin/bash
# What tuned budgets do on prompts that the calibration never saw, beside seed, uniform and inverse ones:
#
#     tests/bench/tuned.sh NEWS.jsonl NEEDLES.jsonl [PROFILE]
#
# NEWS holds rows {"document"}: the first four calibrate, the twenty shortest of the others are judged by KL. NEEDLES
# holds rows {"prompt", "answers"}, judged by whether the answer is found. Without PROFILE, one is measured first, at
# build/tuned.profile.json (the same command goes on where it stopped). Environment: KVDBG, MODEL, COUNT (20).
set -euo pipefail
news=${1:?"usage: tests/bench/tuned.sh NEWS.jsonl NEEDLES.jsonl [PROFILE]"}
needles=${2:?"rows with prompt and answers"}
profile=${3:-build/tuned.profile.json}
kvdbg=${KVDBG:-build/kvdbg}
others=build/tuned.jsonl
run() { echo; echo "    $1"; echo; "$kvdbg" -q -nx -batch ${MODEL:+"$MODEL"} -ex "$1" | sed 's/^/    /'; }

tail -n +5 "$news" | awk '{ print length($0) "\t" $0 }' | sort -s -n -k1,1 | head -n "${COUNT:-20}" | cut -f2- >"$others"
[ $# -gt 2 ] || run "sensitivity $news -rows 0:4 -shares 0.02,0.04,0.08,0.15,0.25,0.4,0.6,0.8 -o $profile"
run "tune $profile $others -ratio 0.5,0.25,0.1 -with sum,mix,window"
tuned() { echo "-policy \"tuned-$1: tuned policy.profile=$profile policy.selector=$1\""; }
run "evaluate $needles -ratio 0.25 -n 32 -judge 0 -policy full $(tuned window) $(tuned mix) $(tuned sum) -policy \"uniform-window: uniform policy.selector=window\" -policy \"seed-window: seed policy.selector=window\""
