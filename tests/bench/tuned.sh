#!/bin/bash
# What tuned budgets do on prompts that the calibration never saw, beside seed, uniform and inverse ones:
#
#     tests/bench/tuned.sh NEWS.jsonl NEEDLES.jsonl PROFILE [SELECTORS [OPTIONS]]
#
# NEWS holds rows {"document"}: the first four are left out, for they calibrate, and the twenty shortest of the others are
# judged by KL. NEEDLES holds rows {"prompt", "answers"}, judged by whether the answer is found. PROFILE is one of
# `sensitivity`, say sessions/smollm2-135m.profile.json. SELECTORS, as "sum,mix,window", take the place of the profile's
# choice; OPTIONS go to both commands (-apart). Environment: KVDBG, MODEL, COUNT (20).
set -euo pipefail
news=${1:?"usage: tests/bench/tuned.sh NEWS.jsonl NEEDLES.jsonl PROFILE [SELECTORS [OPTIONS]]"}
needles=${2:?"rows with prompt and answers"}
profile=${3:?"a profile"}
selectors=${4:-}
options=${5:-}
kvdbg=${KVDBG:-build/kvdbg}
others=build/tuned.jsonl
run() { echo; echo "    $1"; echo; "$kvdbg" -q -nx -batch ${MODEL:+"$MODEL"} -ex "$1" | sed 's/^/    /'; }

tail -n +5 "$news" | awk '{ print length($0) "\t" $0 }' | sort -s -n -k1,1 |
    awk -v count="${COUNT:-20}" 'NR <= count' | cut -f2- >"$others"
run "tune $profile $others -ratio 0.5,0.25,0.1 ${selectors:+-with $selectors} $options"
policies="-policy full -policy \"tuned: tuned policy.profile=$profile\""
for selector in ${selectors//,/ }; do
    policies="$policies -policy \"tuned-$selector: tuned policy.profile=$profile policy.selector=$selector\""
done
policies="$policies -policy seed -policy uniform -policy \"seed-window: seed policy.selector=window\""
run "evaluate $needles -ratio 0.25,0.1 -n 32 -judge 0 $policies -policy \"uniform-window: uniform policy.selector=window\" $options"
