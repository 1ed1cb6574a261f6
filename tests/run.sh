#!/bin/sh
# Runs every test program under prove and ends with one line: N passed, N failed, N skipped.
# usage: run.sh BUILD [NAME...]     NAME: only programs whose path contains it
set -u
build=${1:?usage: run.sh BUILD [NAME...]}
shift
log=$build/tests/test.log
programs=$(find "$build/tests/unit" tests/*/run.sh -type f -perm -u+x | grep -v -e bench -e '\.o$' | sort)
for name in "$@"; do programs=$(printf '%s\n' "$programs" | grep -e "$name"); done
[ -n "$programs" ] || { echo "No test program is called that." >&2; exit 2; }

export KVDBG="$build/kvdbg"
export GOMP_SPINCOUNT=4000 # as kvdbg sets it for itself
# shellcheck disable=SC2086
prove --timer --merge -v -e '' $programs >"$log" 2>&1
status=$?
# One line a program, each failure with the comment that explains it, and what was skipped, with the reason.
awk '/^\[[0-9:]+\] / { name = $2; next }
     /^not ok/ { print name ": " $0; bad = 1; next } bad && /^#/ { print; next } { bad = 0 }
     /^ok +[0-9]+ ms/ { printf "%-40s ok  %6.1f s\n", name, $2 / 1000 }
     /^(Dubious|Failed|  Parse|  Non-zero|Bail out)/ { print name ": " $0 }' "$log"
sed -n 's/^ok .*# SKIP/skipped:/p' "$log" | sort | uniq -c
passed=$(grep -c '^ok [0-9]' "$log")
skipped=$(grep -c '^ok [0-9].*# SKIP' "$log")
failed=$(grep -c '^not ok' "$log")
# A program that died or broke its plan has failed even where no single test did.
[ $status -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$((passed - skipped)) passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
