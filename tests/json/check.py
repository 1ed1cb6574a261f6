"""Checks what kvdbg --json writes. usage: check.py WHAT [ARGS] <objects; prints nothing and exits 0, or says what is wrong.

  session STATUS       a whole session: every line an object with the keys of its type, numbered, from ready to exit
  answers TOKEN...     every token is answered, in this order, by one result or error, after all else that names it
  page FILE [--update] the transcript in FILE is what kvdbg (KVDBG) says; no standard input
  columns              every table's rows have the columns that its text's head line names
"""
import itertools
import json
import math
import os
import re
import subprocess
import sys

ALWAYS = {"type": str, "seq": int, "tick": int, "branch": int, "focus": dict}
TYPES = {
    "result": {"text": str},
    "stop": {"reason": str, "where": dict, "next": str, "mode": str},
    "event": {"event": str},
    "error": {"message": str, "code": str, "status": int},
    "progress": {"what": str, "done": (int, float), "total": (int, float)},
}
EVENTS = {
    "ready": {"version": str, "protocol": int, "model": dict},
    "token": {"step": int, "id": int, "text": str},
    "exit": {"status": int},
}


def fail(why, line=""):
    sys.exit(f"{why}: {line}"[:400])


def no_constant(name):
    fail(f"{name} is no JSON")


def unique(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        fail("a key twice", keys)
    return dict(pairs)


def objects():
    out = []
    for line in sys.stdin.buffer:
        try:
            o = json.loads(line.decode("utf-8"), parse_constant=no_constant, object_pairs_hook=unique)
        except ValueError as e:
            fail(f"no JSON ({e})", line)
        if not isinstance(o, dict):
            fail("no object", line)
        need = dict(ALWAYS)
        need.update(TYPES.get(o.get("type")) or fail("unknown type", line))
        if o["type"] == "event":
            need.update(EVENTS.get(o["event"]) or fail("unknown event", line))
        for key, kind in need.items():
            if not isinstance(o.get(key), kind) or isinstance(o[key], bool):
                fail(f"{key} is missing or of another kind", line)
        if set(o["focus"]) != {"layer", "head", "token"}:
            fail("focus", line)
        if o["type"] == "stop" and set(o["where"]) != {"phase", "pass", "layer", "stage"}:
            fail("where", line)
        out.append(o)
    return out


def session(status):
    row = seq = open_ = None
    for o in objects():
        if o.get("event") == "ready":
            if open_:
                fail("ready before exit", o)
            row, seq, open_ = o.get("row"), 0, True
        # What is wrong with model, prompt or row comes before there is anything to be ready.
        if not open_ and o["type"] != "error" and o.get("event") != "exit":
            fail("before ready", o)
        seq = (seq or 0) + 1
        if o["seq"] != seq or o.get("row") != row:
            fail(f"seq {seq} of row {row} expected", o)
        if o.get("event") == "exit":
            open_, last, seq = None, o["status"], 0
    if open_ is not None or last != int(status):
        fail(f"the session exits with {status}", o)


def answers(tokens):
    got, open_ = [], {}
    for o in objects():
        token = o.get("token")
        if token is None or o.get("depth"):
            continue
        if token in open_:
            fail("something after the answer", o)
        if o["type"] in ("result", "error"):
            got.append(token)
            open_[token] = True
    if [str(t) for t in got] != tokens:
        fail(f"answered: {got}")


def covered(head, keys):
    """Whether a head line is a sequence of keys; how many."""
    count = 0
    while head:
        key = next((k for k in sorted(keys, key=len, reverse=True) if re.match(re.escape(k) + r"(\s|$)", head)), None)
        if not key:
            return 0
        head, count = head[len(key) :].strip(), count + 1
    return count


def columns():
    """A head line has no digits and begins with a column; all of it must be keys of the rows."""
    tables = set()
    for o in objects():
        keys = {key for row in o.get("rows", []) for key in row}
        for line in o.get("text", "").split("\n") if keys else []:
            head = re.sub(r"  # .*|, nats|\(.*", "", line).strip()
            words = head.split()
            if len(words) < 2 or words[0] not in keys or re.search(r"[0-9:=]", head):
                continue
            if not covered(head, keys):
                fail(f"{o['cmd']}: the columns are {head}, the rows have {sorted(keys)}")
            tables.add(head)
    if len(tables) < 10:
        fail(f"only {len(tables)} tables were found: {tables}")


def converse(command, lines):
    """Sends lines one by one, each once the one before it is answered; yields what is sent and received."""
    program = [os.environ.get("KVDBG", "build/kvdbg")] + command.split()[1:]
    p = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", bufsize=1)
    yield "< " + p.stdout.readline()
    for line in lines:
        yield "> " + line + "\n"
        p.stdin.write(line + "\n")
        for answer in p.stdout:
            o = json.loads(answer)
            if o["type"] != "progress":
                yield "< " + answer
            if o["type"] in ("result", "error") and "depth" not in o:
                break
    p.stdin.close()
    for answer in p.stdout:
        yield "< " + answer


def same(a, b):
    """Numbers may differ in the last digits: another CPU adds in another order."""
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, (int, float)) and isinstance(b, (int, float)) and math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-7)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def same_line(a, b):
    return same(json.loads(a[2:]), json.loads(b[2:])) if a[:2] == b[:2] == "< " else a == b


def page(name, update=False):
    text = open(name, encoding="utf-8").read()
    old = re.search(r"(?s)\n\$ (kvdbg .*?)\n(.*?)```", text)
    sent = [line[2:] for line in old.group(2).split("\n") if line.startswith("> ")]
    new = "".join(converse(old.group(1), sent))
    if update:
        open(name, "w", encoding="utf-8").write(text[: old.start(2)] + new + text[old.end(2) :])
    for got, want in itertools.zip_longest(new.split("\n"), old.group(2).split("\n"), fillvalue=""):
        if not update and not same_line(got, want):
            sys.exit(f"says:     {got}\nthe page: {want}\ncheck.py page FILE --update writes it anew")


if __name__ == "__main__":
    what = sys.argv[1]
    {"session": lambda: session(sys.argv[2]), "answers": lambda: answers(sys.argv[2:]), "columns": columns,
     "page": lambda: page(sys.argv[2], "--update" in sys.argv)}[what]()
