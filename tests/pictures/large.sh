#!/bin/sh
# A map of a very long prompt, drawn row by row: how much memory the drawing takes beyond what the engine holds, as the
# kernel counts it, and how long it takes. usage: large.sh [TOKENS SIDE MIB]     (from the top; $KVDBG = the program)
# Exit 1: it took more than MIB. The prompt is TOKENS bytes that the model's merges leave alone.
set -u
KVDBG=${KVDBG:-build/kvdbg}
tokens=${1:-32768} side=${2:-4096} most=${3:-64}
T=$(mktemp -d) || exit 2
trap 'rm -rf "$T"' EXIT
awk -v n="$tokens" 'BEGIN { for (i = 1; i <= n; i++) { x = (x * 75 + 74) % 65537; printf "%c", 65 + x % 26 } }' >"$T/long.txt"
memory() { printf "shell awk '/^%s:/ { print \"%s\", \$2 }' /proc/\$PPID/status\n" "$1" "$2"; }
{
    echo "set policy.ratio 0.25 decode.tokens 1"
    echo "tbreak decode"
    echo run
    memory VmRSS before
    echo "shell echo 5 >/proc/\$PPID/clear_refs" # the high-water mark begins anew
    echo "shell date +'start %s.%N'"
    echo "export png $T/map.png attn layer 0 head 1 -rank pool max side $side"
    echo "shell date +'end %s.%N'"
    memory VmHWM after
} >"$T/script"
"$KVDBG" -q -nx -batch synthetic:long --chat off -p "$T/long.txt" -x "$T/script" >"$T/log" 2>&1 || { cat "$T/log"; exit 1; }
awk -v tokens="$tokens" -v side="$side" -v most="$most" '
    /tokens \(/ { for (i = 2; i <= NF; i++) if ($i ~ /^tokens?$/) n = $(i - 1) }
    /^before/ { before = $2 } /^after/ { after = $2 } /^start/ { start = $2 } /^end/ { end = $2 }
    /PNG of/ { shape = $0; sub(/.*PNG of /, "", shape); sub(/ .*/, "", shape) }
    END {
        if (!before || !after || !shape) { print "no figures"; exit 1 }
        took = (after - before) / 1024
        printf "attention of %d x %d tokens at %d cells (%s pixels): %.1f MiB beyond the engine (at most %d), %.1f s\n",
            n, n, side, shape, took, most, end - start
        exit took > most
    }' "$T/log"
