#!/bin/sh
# kvdbg on a terminal: what a person's keys do. TAP; needs python3 for the terminal.
# usage: run.sh     KVDBG: the program, build/kvdbg by default
command -v python3 >/dev/null || { echo "1..1"; echo "ok 1 - terminal # SKIP no python3 for a pseudo-terminal"; exit 0; }
exec python3 tests/terminal/keys.py
