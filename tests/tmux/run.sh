#!/bin/sh
# The screen on real terminals, by tmux: sizes, kinds of terminals, signals, noise. TAP.
# usage: run.sh     KVDBG: the program, build/kvdbg by default
skip() { echo "1..1"; echo "ok 1 - tmux # SKIP $1"; exit 0; }
command -v tmux >/dev/null || skip "no tmux for a terminal"
command -v python3 >/dev/null || skip "no python3 to drive tmux"
exec python3 tests/tmux/screens.py
