#!/bin/bash
# gpu_check.sh itself, over programs that fail, hang and die: a mistake in it would show on a GPU's first day alone.
# usage: check_script.sh BUILD     One TAP line a check.
set -u
dir=$(realpath -m "${1:?usage: check_script.sh BUILD}/tests/cuda/script")
number=0 bad=0
rm -rf "$dir"
mkdir -p "$dir/programs" "$dir/bin"

program() { cat >"$dir/programs/$1" && chmod +x "$dir/programs/$1"; }
touch "$dir/programs/kvdbg-cuda.so"
program parity <<'END'
#!/bin/bash
case "$*" in
--list) printf 'norm, f32\nattend, fast\nselect, f32\n' ;;
*"attend, fast") [ "${KVDBG_PLAIN:-}" = early ] ;;
*"select, f32") exit 0 ;;
*--small*) printf 'ok 1 - norm, f32\n1..1\n' ;;
*) printf 'ok 1 - norm, f32\nnot ok 2 - attend, fast\n# off by 3\nnot ok 3 - select, f32\n1..3\n'; exit 1 ;;
esac
END
program models <<'END'
#!/bin/bash
if [ "${1:-}" = --list ]; then printf 'llama\nqwen3\n'; fi
if [ $# -eq 2 ]; then printf '1..2\nok 1 - llama\n'; kill -9 $$; fi
[ "${1:-}" = --list ]
END
program requests <<'END'
#!/bin/bash
[ "${1:-}" != --list ] || { echo "a request"; exit; }
echo "ok 1 - nothing yet"
sleep 60
END
program end_to_end <<'END'
#!/bin/bash
printf 'ok 1 - tiny # SKIP no tiny\n1..1\n'
END
cp "$dir/programs/end_to_end" "$dir/programs/model_parity"
program bench <<'END'
#!/bin/bash
while [ $# -gt 0 ]; do
    [ "$1" != --json ] || json=$2
    [ "$1" != --only ] || only=$2
    shift
done
if [ "${only:-}" ]; then
    echo "ok 1 - $only, ${KVDBG_PLAIN:-}"
    exit
fi
printf 'ok 1 - attention: 400 TFLOP/s\nnot ok 2 - scores\n# It died of signal 11.\n1..2\n'
cat >"$json" <<LINES
{"row": "attention", "unit": "TFLOP/s", "median": 400, "min": 390, "max": 410, "sense": ">=", "gate": 335, "passed": true, "aim": 540, "samples": 20, "device": "A GPU"}
{"row": "select", "unit": "ms", "median": 9, "min": 8, "max": 10, "sense": "<=", "gate": 3, "passed": false, "samples": 20, "device": "A GPU"}
{"failed": "scores", "why": "It died of signal 11.", "device": "A GPU"}
{"saved": "m", "batch": 4, "context": 32768, "keep": 10, "whole_ms": 11, "whole_floor_ms": 10, "saved_ms": 5.4, "min": 5, "max": 6, "predicted_ms": 5, "share": 49.1, "predicted_share": 50, "gate": 4.5, "passed": true, "reached": true, "device": "A GPU"}
{"saved": "m", "batch": 1, "context": 8192, "keep": 50, "whole_ms": 11, "whole_floor_ms": 10, "saved_ms": 0.1, "min": 0, "max": 1, "predicted_ms": 0.2, "share": 1, "predicted_share": 2, "gate": 0.18, "passed": false, "device": "A GPU"}
{"row": "cut off", "unit": "TF
LINES
exit 1
END
cat >"$dir/bin/compute-sanitizer" <<'END'
#!/bin/bash
[ "$2" != memcheck ] || { echo "========= Error: Device not supported. Please refer to the documentation"; exit 1; }
printf 'ok 1 - norm, f32\n========= Error: Race reported\n========= RACECHECK SUMMARY: 1 hazard displayed\n'
exit 99
END
cat >"$dir/bin/nvidia-smi" <<'END'
#!/bin/bash
echo "A GPU, 1 MHz"
case "$*" in *"-l 2") while :; do sleep 0.2; done ;; esac
END
cat >"$dir/bin/python3" <<'END'
#!/bin/bash
printf 'ok 1 - peers # SKIP no torch\n1..1\n'
END
chmod +x "$dir"/bin/*

from=$SECONDS
OUT="" RESULTS=$dir/out GPU_CHECK_SECONDS=60 GPU_CHECK_COMMIT=abc GPU_CHECK_PROGRAMS=$dir/programs PATH=$dir/bin:$PATH \
    timeout 120 tests/cuda/gpu_check.sh "$1" >"$dir/said" 2>&1
status=$?
page=$(ls "$dir"/out/*.md 2>/dev/null)
GPU_CHECK_STEPS="benchmark" GPU_CHECK_PART=scores RESULTS=$dir/some GPU_CHECK_SECONDS=60 GPU_CHECK_PROGRAMS=$dir/programs \
    timeout 120 tests/cuda/gpu_check.sh "$1" >"$dir/some.said" 2>&1
GPU_CHECK_STEPS="benchmark tests" GPU_CHECK_PROGRAMS=$dir/programs tests/cuda/gpu_check.sh "$1" >"$dir/none.said" 2>&1

# says WHAT FILE PATTERN
says() {
    number=$((number + 1))
    if grep -qE -e "$3" "$2"; then echo "ok $number - $1"; else
        bad=1
        echo "not ok $number - $1"
        echo "# nothing like: $3"
    fi
}
echo "$status in $((SECONDS - from)) s, $(find "$dir/out" -type f | wc -l) files; $(pgrep -f "$dir/bin/nvidia-smi" | wc -l) left" >"$dir/how"
says "failures are its exit status, and it keeps to its time" "$dir/how" '^1 in [1-4]?[0-9] s'
says "no more files than can be taken home, and nothing runs on" "$dir/how" '[1-8] files; 0 left$'
says "a failed check is tried without parts" "$dir/said" '^# attend, fast, alone: as it is: fails; graphs: fails; early: passes$'
says "the part at fault" "$dir/said" '^#   at fault: early$'
says "a check that fails in company only" "$dir/said" 'it does not fail alone'
says "a program that dies" "$dir/said" 'It ended with status 137'
says "a case that was not come to" "$dir/said" '^# qwen3, alone: as it is: fails; graphs: fails;'
says "a program that hangs" "$dir/said" 'It was not through after [0-9]+ s'
says "a part of the benchmark runs again" "$dir/said" '^ok [0-9]+ - scores, graphs,early$'
says "memcheck that the driver refuses" "$dir/said" 'memcheck # SKIP .*Device not supported'
says "racecheck that finds something" "$dir/said" '^not ok [0-9]+ - racecheck, status 99|^not ok [0-9]+ - racecheck$'
says "peers that are not there" "$dir/said" 'peers # SKIP no torch'
says "lines are numbered in a row" <(awk '/^(not )?ok / { sub(/^not /, ""); if ($2 != ++n) bad = 1 } /^1\.\./ { if ($0 != "1.." n) bad = 1 } END { print bad ? "no" : "yes", n }' "$dir/said") '^yes'
says "the table" "$dir/said" '^# op parity +1 +2 +0'
says "gates that were missed" "$dir/said" '^#   select: 9 ms, wanted <= 3$'
says "savings that were missed" "$dir/said" '^#   a step saves, m, 1 x 8192, 50 % kept: 0.1 ms, wanted >= 0.18$'
says "the log has all of it" "$(ls "$dir"/out/*.log)" 'skipped; .*has the figures'
says "the page: a row" "$page" '^\| attention \| 400 \(390–410\) TFLOP/s \| >= 335 \| yes \| >= 540, no'
says "the page: what is saved" "$page" '^\| m \| 4 × 32768 \| 11.000 \(10.000\) \| 5.400 \(5.000\) yes, 49.1 % \(50.0 %\) ✓'
says "the page: what broke" "$page" '^- \*\*scores\*\*: It died of signal 11'
says "a line cut off is no row" <(grep -c 'cut off' "$page") '^0$'
says "some steps, some parts" <(grep -vE '^#' "$dir/some.said" | tr '\n' ' ') '^ok 1 - scores,  1..1 $'
says "a step that there is not" "$dir/none.said" '^There is no step tests[.]$'
echo "1..$number"
exit $bad
