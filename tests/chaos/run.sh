#!/bin/sh
# The screen on a pseudo-terminal under keys, sizes and signals by chance: a short slice; `make soak` has the long one.
# usage: run.sh     KVDBG: the program, build/kvdbg by default
command -v python3 >/dev/null || { echo "1..1"; echo "ok 1 - chaos # SKIP no python3 for a pseudo-terminal"; exit 0; }
exec python3 tests/chaos/chaos.py 2000 1
