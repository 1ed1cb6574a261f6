#!/usr/bin/env python3
"""Whether the committed pictures are those of sessions/gallery.kv, by their recipes: bytes may differ where fonts do.
usage: gallery.py KVDBG     (from the top) prints what is out of date; exit 1 if anything is"""
import hashlib
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from png import Png  # noqa: E402

MOST = 60 * 1024
bad = []


def program(*lines):
    args = [word for line in lines for word in ("-ex", line)]
    return subprocess.run([sys.argv[1], "-q", "-nx", "-batch", "synthetic:tiny", *args], capture_output=True, text=True).stdout


script, readme = open("sessions/gallery.kv").read(), open("README.md").read()
exports = re.findall(r"^export png -f (sessions/pictures/\S+) (.*)$", script, re.M)
prompt = hashlib.sha256(open(re.search(r"^prompt (\S+)", script, re.M)[1], "rb").read()).hexdigest()
question = re.search(r"^question (.*)", script, re.M)[1]
model = re.search(r"[0-9a-f]{64}", open("engine/model/fetch.sh").read())
version = program("show version").split()
settings = {row.split()[0] for row in program("show policy", "show engine", "show decode").splitlines() if "." in row}

shots = re.findall(r"^shot (\S+)", open("sessions/screen.keys").read(), re.M)
drawn = {path for path, _ in exports} | set(shots)
for path in shots:
    if not os.path.exists(path) or path not in readme:
        bad.append("%s is missing, or README does not show it: make gallery" % path)
for name in os.listdir("sessions/pictures"):
    path = "sessions/pictures/" + name
    if path not in drawn and name.endswith(".png"):
        bad.append("%s is drawn by no line of sessions/gallery.kv or screen.keys" % path)
for path, what in exports:
    if not os.path.exists(path):
        bad.append("%s is missing: make gallery" % path)
        continue
    if os.path.getsize(path) > MOST:
        bad.append("%s has more than %d bytes" % (path, MOST))
    text = Png(path).text
    have = text.get("kvdbg:command", "").split()[3:]
    want, skip = what.split(), False
    for word in want:  # the recipe spells defaults out, and rows counted from the end
        if not skip and word not in have:
            bad.append("%s was drawn by \"%s\", not \"%s\"" % (path, " ".join(have), what))
            break
        skip = word in ("rows", "cols")
    if text.get("kvdbg:prompt-sha256") != prompt or text.get("kvdbg:question") != question:
        bad.append("%s is of another prompt or question" % path)
    if model and text.get("kvdbg:model-sha256") != model[0]:
        bad.append("%s is of another model" % path)
    if text.get("Software", "x").split()[-1] not in " ".join(version):
        bad.append("%s was drawn by %s" % (path, text.get("Software")))
    for room in ("policy", "engine", "decode"):
        names = {"%s.%s" % (room, key) for key in json.loads(text["kvdbg:" + room])}
        if names != {name for name in settings if name.startswith(room + ".")}:
            bad.append("%s has other settings of %s than there are now" % (path, room))
    if path not in readme or "`%s`" % what not in readme:
        bad.append("README does not show %s with \"%s\"" % (path, what))
print("\n".join(bad) or "%d pictures, %d of the screen" % (len(exports), len(shots)))
sys.exit(bool(bad))
