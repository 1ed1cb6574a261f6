#!/usr/bin/env python3
"""Drives kvdbg from Python over JSON Lines (sessions/JSONL.md); standard library only.

    with Kvdbg("model.gguf", "-p", "prompt.txt") as kv:
        kv.command("run")
        print(kv.value("E"), kv.rows("info budget"))

usage: kvdbg_client.py [MODEL [PROMPT]]     KVDBG: the program (build/kvdbg)
"""
import json
import os
import subprocess
import sys


class KvdbgError(Exception):
    """A command failed; status is the exit status that it implies."""

    def __init__(self, answer):
        super().__init__(answer["message"])
        self.answer, self.status = answer, answer["status"]


class Kvdbg:
    def __init__(self, model=None, *options, program=os.environ.get("KVDBG", "build/kvdbg")):
        line = [program, "--json", "-nx", *options] + ([model] if model else [])
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", bufsize=1)
        self.token, self.on_text = 0, lambda text: None
        self.stop = None  # where the request stands: the last stop
        first = self._read()
        if first["type"] == "error":
            raise KvdbgError(first)
        self.model = first["model"]

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise EOFError(f"kvdbg has gone (exit status {self.process.wait()})")
        return json.loads(line)

    def command(self, text):
        """Runs a command, or several lines; returns its answer, raises KvdbgError where it failed."""
        self.token += 1
        self.process.stdin.write(json.dumps({"token": self.token, "cmd": text}) + "\n")
        while True:
            o = self._read()
            if o["type"] == "stop":
                self.stop = o
            elif o.get("event") == "token":
                self.on_text(o["text"])  # the reply as it comes
            elif o.get("token") == self.token and "depth" not in o and o["type"] in ("result", "error"):
                if o["type"] == "error":
                    raise KvdbgError(o)
                return o

    def value(self, expression):
        """A number, text or nested list; None for void and for what is not finite."""
        return self.command(f"print {expression}")["value"]

    def rows(self, table):
        return self.command(table).get("rows", [])

    def close(self):
        """Returns the exit status."""
        self.process.stdin.close()
        for _ in self.process.stdout:
            pass
        return self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main(model=None, prompt="sessions/tour.txt"):
    with Kvdbg(model, "-p", prompt) as kv:
        print(f"{kv.model['name']}: {kv.model['layers']} layers" + (", synthetic weights" if kv.model["synthetic"] else ""))
        kv.command("set decode.tokens 16")
        kv.on_text = lambda text: print(text, end="", flush=True)
        kv.command("run")
        print(f"\nstopped by {kv.stop['reason']} at tick {kv.stop['tick']}")
        for row in kv.rows("info layers"):
            print(f"layer {row['layer']:3}: {row['E']:.3f} nats, {row['budget']:.0f} tokens")
        for ratio in (0.5, 0.1):
            kv.command(f"set policy.ratio {ratio}")
            kv.on_text = lambda text: None
            kv.command("recompress\ncontinue")
            judged = kv.command("diff steps 16")
            print(f"ratio {ratio}: {kv.value('sum(kept)')} entries kept, KL {judged['kl_mean']:.3g} nats a token")


if __name__ == "__main__":
    main(*sys.argv[1:])
