"""Checks what kvdbg --json writes. usage: check.py WHAT [ARGS] <objects; prints nothing and exits 0, or says what is wrong.

  session STATUS       a whole session: every line an object with the keys of its type, numbered, from ready to exit
  answers TOKEN...     every token is answered, in this order, by one result or error, after all else that names it
  columns              every table's rows have the columns that its text's head line names
"""
import json
import re
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


def columns():
    """The head line is the one whose words, in order, are all of the rows' keys."""
    tables = 0
    for o in objects():
        if not o.get("rows") or not o.get("text"):
            continue
        keys = sorted({key for row in o["rows"] for key in row}, key=len, reverse=True)
        pattern = "|".join(re.escape(key) for key in keys)
        heads = []
        for line in o["text"].split("\n"):
            rest = re.sub(r"(?<![^\s])(" + pattern + r")(?![^\s,])", "", line)
            rest = re.sub(r"#.*|\(.*|, nats", "", rest)
            if not rest.strip() and line.strip():
                heads.append(set(re.findall(r"(?<![^\s])(" + pattern + r")(?![^\s,])", line)))
        if set(keys) in heads:
            tables += 1
        elif any(len(h) > 1 for h in heads):
            fail(f"keys {keys}, but the head line has {heads}", o["cmd"])
    print(tables, "tables")


if __name__ == "__main__":
    what = sys.argv[1]
    {"session": lambda: session(sys.argv[2]), "answers": lambda: answers(sys.argv[2:]), "columns": columns}[what]()
