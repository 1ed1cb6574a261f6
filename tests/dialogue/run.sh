#!/bin/sh
# Dialogues with kvdbg, as TAP. usage: run.sh [--update] [--list] [NAME...]     (from the top; $KVDBG = the program)
#
# NAME.kv is a script and NAME.out what it must print: every command behind a +, its output and errors, and the exit
# status. The script's first line says how kvdbg is called; "# needs model" lines skip it where the default model is not
# there, "# mask" compares words only (numbers become #, bars go), "# pipe" feeds the script to standard input.
# NAME.t holds command lines instead: "## title", "$ command" (continued by "> "), output, "[status]" if not 0.
# In both, $T is an empty folder of the case. --update writes what was printed; read it before you believe it.
set -u
here=tests/dialogue
KVDBG=${KVDBG:-build/kvdbg}
case $KVDBG in /*) ;; *) KVDBG=$PWD/$KVDBG ;; esac
export KVDBG TERM=dumb LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive
unset NO_COLOR XDG_STATE_HOME
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
HOME=$scratch
export HOME
update= list= number=0 failed=0

kvdbg() { "$KVDBG" "$@"; }

# Names of temporary folders and the program's own build folder do not belong in a transcript, nor do hashes of states,
# which depend on the processor: equal ones have one number.
clean() { sed -e "s|$T|\$T|g" -e "s|$KVDBG|kvdbg|g" |
    awk 'length($0) == 16 && /^[0-9a-f]+$/ { if (!($0 in n)) n[$0] = ++count; $0 = "(hash " n[$0] ")" } 1'
}
mask() { sed -E -e 's/sha256 [0-9a-f]+/sha256 #/' -e 's/[0-9]+([.,][0-9]+)*(e[-+]?[0-9]+)?/#/g' -e 's/[|=%@#*+:. -]{4,}/ /g' -e 's/ +$//'; }

result() { # ok?, title, diff file
    number=$((number + 1))
    if [ "$1" = 0 ]; then echo "ok $number - $2"; return; fi
    failed=$((failed + 1))
    echo "not ok $number - $2"
    sed 's/^/# /' "$3" | head -40
}

# The script in $1, whose transcript goes to $T/out; on the CPU, whatever this machine has.
run_script() {
    args=$(sed -n '1s/^# kvdbg //p' "$1") cpu='--backend cpu'
    case " $args" in *' -c '*) cpu= ;; esac # a core file is not run
    if grep -q '^# pipe' "$1"; then
        eval "kvdbg -q -nx $cpu $args -ex 'set trace-commands on'" <"$1"
    else
        eval "kvdbg -q -nx -batch $cpu $args -ex 'set trace-commands on' -x '$1'" </dev/null
    fi >"$T/raw" 2>&1
    status=$?
    if grep -q '^# mask' "$1"; then clean <"$T/raw" | mask >"$T/out"; else clean <"$T/raw" >"$T/out"; fi
    echo "[exit $status]" >>"$T/out"
}

script_case() {
    name=$(basename "$1" .kv)
    [ -z "$list" ] || { echo "$name"; return; }
    if grep -q '^# needs model' "$1" && [ ! -f models/smollm2-135m-instruct-q4_1.gguf ]; then
        number=$((number + 1))
        echo "ok $number - $name # SKIP no model: make model"
        return
    fi
    T=$(mktemp -d -p "$scratch")
    export T
    run_script "$1"
    [ -z "$update" ] || cp "$T/out" "$here/$name.out"
    diff -u "$here/$name.out" "$T/out" >"$T/diff" 2>&1
    result $? "$name" "$T/diff"
}

# Cuts NAME.t into one folder a case: title, command, expected.
split_cases() {
    awk -v dir="$2" '
        /^## / { n++; d = sprintf("%s/%03d", dir, n); system("mkdir -p " d); print substr($0, 4) > (d "/title"); blank = 0; next }
        n && /^\$ / { print substr($0, 3) > (d "/command"); next }
        n && /^> / { print substr($0, 3) > (d "/command"); next }
        n && /^$/ { blank++; next }
        n { while (blank-- > 0) print "" > (d "/expected"); blank = 0; print > (d "/expected") }' "$1"
}

line_cases() {
    name=$(basename "$1" .t)
    cases=$(mktemp -d -p "$scratch")
    split_cases "$1" "$cases"
    [ -z "$update" ] || sed '/^## /,$d' "$1" >"$cases/new"
    for d in "$cases"/[0-9]*; do
        title="$name: $(cat "$d/title")"
        [ -z "$list" ] || { echo "$title"; continue; }
        T=$(mktemp -d -p "$scratch")
        export T
        ( . "$d/command" ) >"$d/raw" 2>&1 </dev/null
        status=$?
        clean <"$d/raw" >"$d/out"
        [ $status = 0 ] || echo "[$status]" >>"$d/out"
        touch "$d/expected"
        [ -z "$update" ] || { echo "## $(cat "$d/title")"; sed '1s/^/$ /; 2,$s/^/> /' "$d/command"; cat "$d/out"; echo; } >>"$cases/new"
        diff -u "$d/expected" "$d/out" >"$d/diff"
        result $? "$title" "$d/diff"
        rm -rf "$T"
    done
    [ -z "$update" ] || cp "$cases/new" "$1"
}

while [ $# -gt 0 ]; do
    case $1 in
    --update) update=1 ;;
    --list) list=1 ;;
    *) break ;;
    esac
    shift
done
[ -n "$list" ] || [ -x "$KVDBG" ] || { echo "1..0 # there is no $KVDBG"; exit 2; }
for file in "$here"/*.kv "$here"/*.t; do
    wanted=$#
    for name in "$@"; do case $file in *"$name"*) wanted=0 ;; esac; done
    [ "$wanted" = 0 ] || continue
    case $file in *.kv) script_case "$file" ;; *) line_cases "$file" ;; esac
done
[ -n "$list" ] || echo "1..$number"
[ "$failed" = 0 ]
