#!/usr/bin/env python3
"""What every prefix of the commands that kvdbg shares with GDB means there.

usage: gdb_prefixes.py >tests/golden/gdb-prefixes.txt      (needs gdb 13 on the PATH)

One line a prefix: the prefix, a tab, GDB's command, "ambiguous" or "undefined", and for the prefixes that must be just
so in kvdbg a tab and "must". GDB itself says so: `help PREFIX` names the command, or has the text of just one of the
completions that `complete PREFIX` lists.
"""
import subprocess

# inspector.md 1.1 without the TUI's commands, in its order; then commands whose every prefix is asked for.
LISTED = """r s n c si ni u fin adv b br tb wat wa aw rw cat cond ign comm d dis en disp und p x l f up do dow i sho h k q
so doc ch rs rn rc rsi rni t w j re co com con a ad sav def se e o v he rec fg bt where""".split()
SHARED = """run start starti step stepi next nexti continue finish until advance jump kill detach reverse-step reverse-next
reverse-stepi reverse-nexti reverse-continue reverse-finish record checkpoint restart break tbreak rbreak watch rwatch
awatch catch tcatch delete enable disable condition ignore commands clear save handle info print output call x printf
whatis ptype display undisplay list backtrace frame up down thread disassemble set show file help apropos complete echo
source define document alias with pipe shell eval dont-repeat if while quit core-file generate-core-file gcore
hook-stop maintenance add-auto-load-safe-path""".split()
GROUPS = {"show": "h", "info": "b br f reg", "delete": "ch b", "enable": "o d c", "save": "b"}


def first_lines(commands):
    """The first line that GDB prints for each command, all in one process."""
    mark = "@@mark@@"
    args = ["gdb", "-nx", "-batch"]
    for command in commands:
        args += ["-ex", command, "-ex", f"echo {mark}\\n"]
    text = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    return [part.strip().split("\n") if part.strip() else [""] for part in text.split(mark)[: len(commands)]]


def main():
    asked = list(LISTED)
    for name in SHARED:
        asked += [name[:n] for n in range(1, len(name) + 1)]
    for group, words in GROUPS.items():
        asked += [f"{group} {word}" for word in words.split()]
    asked = list(dict.fromkeys(asked))
    said = [lines[0] for lines in first_lines([f"help {p}" for p in asked])]
    completed = first_lines([f"complete {p}" for p in asked])
    names = sorted({c for lines in completed for c in lines if c})
    text_of = {n: lines[0] for n, lines in zip(names, first_lines([f"help {n}" for n in names]))}
    must = set(LISTED) | {"show h"}
    for prefix, line, candidates in zip(asked, said, completed):
        if line.startswith("Ambiguous"):
            meaning = "ambiguous"
        elif line.startswith("Undefined"):
            meaning = "undefined"
        elif "," in line and line.split(",")[0].replace("-", "").replace(" ", "").isalpha() and line[0].islower():
            meaning = line.split(",")[0]
        else:
            same = [c for c in candidates if text_of[c] == line]
            meaning = prefix if prefix in same else same[0] if len(same) == 1 else min(same, key=len)
        print(f"{prefix}\t{meaning}" + ("\tmust" if prefix in must else ""))


main()
