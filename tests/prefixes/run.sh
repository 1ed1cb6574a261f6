#!/bin/sh
# Abbreviations mean what they mean in GDB, as TAP: tests/golden/gdb-prefixes.txt, which GDB itself wrote.
# usage: run.sh     KVDBG: the program, build/kvdbg by default
#
# A prefix that inspector.md 1.1 lists ("must") resolves to GDB's command, or is refused where GDB refuses it. Any other
# prefix of a command that both have may be refused, but never means another command; back alone is a command here, which
# users of rr know.
set -u
kvdbg=${KVDBG:-build/kvdbg}
golden=tests/golden/gdb-prefixes.txt
asked=$(mktemp)
said=$(mktemp)
trap 'rm -f "$asked" "$said"' EXIT
cut -f1 "$golden" | while IFS= read -r prefix; do
    printf 'echo \\n%s\\t\nmaint which %s\n' "$prefix" "$prefix"
done >"$asked"
"$kvdbg" -q -nx synthetic:tiny <"$asked" 2>&1 >"$said" | grep -v -e '^Ambiguous' -e '^Undefined' >&2

awk -F '\t' -v golden="$golden" '
    NR == FNR { if ($1 != "") means[$1] = $2; next }
    {
        n++
        have = means[$1]
        gdb = $2
        refused = have == "" || have == "delete" || have == "enable" || have == "show" # a group: none of its words
        if ($1 == "back") gdb = "back"
        if (gdb == "tui window height") gdb = "winheight"
        if (index($1, " ") == 0 && have != "") refused = 0
        good = refused ? $3 != "must" || gdb == "ambiguous" || gdb == "undefined" : have == gdb || (gdb == "ambiguous" && $3 != "must")
        printf "%s %d - %s\n", good ? "ok" : "not ok", n, $1
        if (!good) printf "# GDB: %s; here: %s\n", gdb, have == "" ? "refused" : have
    }
    END { printf "1..%d\n", n }' "$said" "$golden"
