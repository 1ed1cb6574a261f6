#!/bin/sh
# README.md's command table is the program's own.
# usage: run.sh [--update]      KVDBG: the program, build/kvdbg by default
set -u
kvdbg=${KVDBG:-build/kvdbg}
want=$(mktemp)
have=$(mktemp)
trap 'rm -f "$want" "$have"' EXIT
"$kvdbg" -q -nx -batch -ex 'maint help-markdown' synthetic:tiny >"$want" || { echo "Bail out! no table"; exit 1; }

if [ "${1-}" = --update ]; then
    awk -v table="$want" '/^<!-- commands -->/ { print; print ""; while ((getline line <table) > 0) print line; print ""; skip = 1; next }
        /^<!-- end of commands -->/ { skip = 0 } !skip' README.md >"$have" && cat "$have" >README.md
    exit
fi
sed -n '/^<!-- commands -->/,/^<!-- end of commands -->/p' README.md | sed '1d;$d' | sed '/./,$!d' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' >"$have"
echo 1..1
if diff "$want" "$have" >/dev/null; then echo "ok 1 - README's command table"
else
    echo "not ok 1 - README's command table"
    diff "$want" "$have" | head -n 10 | sed 's/^/# /'
    echo "# bring it up to date: tests/readme/run.sh --update"
    exit 1
fi
