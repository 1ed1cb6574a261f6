#!/bin/bash
# What tuned budgets do on prompts that the calibration never saw, beside seed, uniform and inverse ones:
#
#     tests/bench/tuned.sh NEWS.jsonl CALIBRATION-NEEDLES.jsonl NEEDLES.jsonl [PROFILE]
#
# NEWS holds rows {"document"}: the first four calibrate, the next 24 are judged by KL. Needles are rows {"prompt",
# "answers"}; those judged must be others than those that calibrate. Without PROFILE, one is measured first (resumable) at
# build/tuned.profile.json. Environment: KVDBG, MODEL, FIRST and LAST (4:28, rows of NEWS that are judged).
set -euo pipefail
news=${1:?"usage: tests/bench/tuned.sh NEWS.jsonl CALIBRATION-NEEDLES.jsonl NEEDLES.jsonl [PROFILE]"}
calibration=${2:?needles to calibrate on}
needles=${3:?needles to judge}
profile=${4:-build/tuned.profile.json}
kvdbg=${KVDBG:-build/kvdbg}
rows=${FIRST:-4}:${LAST:-28}
run() { echo; echo "    $1"; echo; "$kvdbg" -q -nx -batch ${MODEL:+"$MODEL"} -ex "$1" | sed 's/^/    /'; }

if [ $# -lt 4 ]; then
    how="-shares 0.02,0.04,0.08,0.15,0.25,0.4,0.6,0.8 -selectors sum,window,mix -o $profile"
    run "sensitivity $news -rows 0:4 $how" >build/tuned.log
    run "sensitivity $calibration $how" >>build/tuned.log
fi
run "tune $profile $news -rows $rows -ratio 0.5,0.25,0.1 -with sum"
run "tune $profile $news -rows $rows -ratio 0.25 -with mix"
tuned() { echo "-policy \"tuned-$1: tuned policy.profile=$profile policy.selector=$1\""; }
run "evaluate $needles -ratio 0.5,0.25,0.1 -n 32 -judge 0 -policy full -policy \"seed-window: seed policy.selector=window\" -policy \"uniform-window: uniform policy.selector=window\" $(tuned sum) $(tuned window) $(tuned mix) $(tuned tuned)"
