#!/bin/sh
# What `why` says of every token of every test prompt, against what was kept, and both against check.py, as TAP.
# usage: run.sh      KVDBG: the program, build/kvdbg by default
set -u
kvdbg=${KVDBG:-build/kvdbg}
model=models/smollm2-135m-instruct-q4_1.gguf
export TERM=dumb LC_ALL=C.UTF-8
folder=$(mktemp -d) || exit 2
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
number=0 failed=0

# MODEL LAYERS PROMPT, then the rest of a preset's command line on stdin: PRESET|SINKS|RECENT|RATIO|SETTINGS|EDITS
judge() {
    while IFS='|' read -r preset sinks recent ratio settings edits; do
        rm -f "$folder"/*
        {
            echo "handle SINKLOSS nostop noprint"
            echo "set policy $preset"
            echo "set policy.ratio $ratio policy.sinks $sinks policy.recent $recent decode.tokens 1"
            [ -z "$settings" ] || echo "set $settings"
            echo "$edits" | tr ';' '\n' | awk '
                $1 == "budget" { print "set budget L" $2, $3 }
                $1 == "pin" || $1 == "evict" { print "kv", $1, $2, "layer", $3 }'
            echo run
            for value in score kept reason rank margin cut weight budget.app budget.total; do
                echo "export csv $folder/$value.csv $value"
            done
            layer=0
            while [ $layer -lt "$2" ]; do
                printf 'set logging file %s/why.%d\nset logging enabled on\nwhy 0..last layer %d\nset logging enabled off\n' \
                    "$folder" $layer $layer
                layer=$((layer + 1))
            done
        } >"$folder/script"
        number=$((number + 1))
        if "$kvdbg" -q -nx -batch --precision f32 -p "$3" -x "$folder/script" "$1" >"$folder/said" 2>&1 </dev/null &&
            python3 tests/why/check.py "$folder" "$sinks" "$recent" "$ratio" "$edits" >"$folder/said" 2>&1; then
            echo "ok $number - $(basename "$3"): $preset $settings $edits"
        else
            failed=1
            echo "not ok $number - $(basename "$3"): $preset $settings $edits"
            tail -n 4 "$folder/said" | sed 's/^/# /'
        fi
    done
}

if ! python3 -c 'import csv, fractions' 2>/dev/null; then
    echo "1..1"
    echo "ok 1 - why agrees with kept # SKIP no python3"
    exit 0
fi
for prompt in tests/dialogue/fox.txt tests/dialogue/inner.txt; do
    judge synthetic:tiny 3 $prompt <<'END'
seed|4|5|0.25||
seed|4|5|0.5|policy.selector window|
seed|2|3|0.4|policy.selector mix|
seed-literal|0|0|0.3|policy.selector mean policy.pool max|
uniform|4|5|0.5|policy.selector last|
inverse|1|2|0.6||
streaming|4|5|0.5||
manual|3|3|0.35|policy.selector random|
full|4|5|1||
seed|4|5|0.5||pin 10..12 0;pin 10..10 2;evict 0..1 1;evict 13..13 0
uniform|4|4|0.5|policy.selector window|budget 1 12;pin 9..14 2;evict 8..8 1
inverse|1|1|0.5|policy.reduce max|budget 0 15;pin 11..13 0;evict 5..6 2
streaming|2|2|0.4||pin 5..9 1;evict 12..14 1
END
done
if [ -f $model ]; then
    judge $model 30 tests/dialogue/fox.txt <<'END'
seed|4|32|0.5||
seed|4|8|0.4||pin 20..24 3;evict 30..33 7;evict 0..0 12;budget 5 40;budget 20 12
END
fi
echo "1..$number"
exit $failed
