#!/bin/sh
# Screens: keys in, what the screen shows out, as TAP. usage: run.sh [--update] [NAME...]     KVDBG: the program
#
# NAME.keys is a script of keys (inspector/tui/tui.h) and NAME.out what it must show: text, and where it says `dump roles`
# the role of every cell (render/screen.h). Its first line says how kvdbg is called: "# kvdbg ARGS"; "# needs model" skips
# it where the default model is not there. --update writes what was shown; read it before you believe it.
set -u
here=tests/screen
KVDBG=${KVDBG:-build/kvdbg}
export LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive
unset NO_COLOR XDG_STATE_HOME
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
HOME=$scratch
export HOME
update= number=0 failed=0
[ "${1-}" != --update ] || { update=1; shift; }

for file in "$here"/*.keys; do
    wanted=$#
    for name in "$@"; do case $file in *"$name"*) wanted=0 ;; esac; done
    [ "$wanted" = 0 ] || continue
    name=$(basename "$file" .keys)
    number=$((number + 1))
    if grep -q '^# needs model' "$file" && [ ! -f models/smollm2-135m-instruct-q4_1.gguf ]; then
        echo "ok $number - $name # SKIP no model: make model"
        continue
    fi
    args=$(sed -n '1s/^# kvdbg //p' "$file")
    eval "timeout 120 $KVDBG -q -nx --keys '$PWD/$file' $args" >"$scratch/out" 2>&1 </dev/null
    echo "[exit $?]" >>"$scratch/out"
    sed -i 's/: PNG of .*/: PNG.../' "$scratch/out" # pictures have tests of their own
    [ -z "$update" ] || cp "$scratch/out" "$here/$name.out"
    if diff -u "$here/$name.out" "$scratch/out" >"$scratch/diff" 2>&1; then echo "ok $number - $name"
    else
        failed=$((failed + 1))
        echo "not ok $number - $name"
        sed 's/^/# /' "$scratch/diff" | head -60
    fi
done
echo "1..$number"
[ "$failed" = 0 ]
