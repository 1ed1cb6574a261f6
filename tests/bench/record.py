"""A made-up record for the screen: a core file of 36 layers x 32 heads x 32,768 tokens, random numbers throughout.

    python3 tests/bench/record.py OUT [LAYERS HEADS TOKENS]     (python3 alone; 170 MB as it stands)
"""
import array
import json
import random
import struct
import sys

out, (layers, heads, n) = sys.argv[1], map(int, sys.argv[2:5] or (36, 32, 32768))
rng = random.Random(1)
pieces = [b" the", b" cache", b" keeps", b" what", b" it", b" needs", b".", b"\n", b" attention", b" entropy"]
budgets = [n // 8 + rng.randrange(n // 8) for _ in range(layers)]


def kept():
    """The first 4, the last 32, and as many others as the layer's budget has; reasons 1 sink, 2 recent, 4 top-k."""
    for budget in budgets:
        row = bytearray(n)
        row[:4], row[-32:] = b"\1" * 4, b"\2" * 32
        for j in rng.sample(range(4, n - 32), budget - 36):
            row[j] = 4
        yield row


reasons = b"".join(kept())
noise = array.array("f", (rng.random() for _ in range(1 << 16))) * (n * max(layers, heads) // (1 << 16) + 2)


def reals(count):
    at = rng.randrange(1 << 16)
    return noise[at:at + count]


total = sum(budgets)
values = {
    "tok": ("I32", [n], array.array("i", (rng.randrange(len(pieces)) for _ in range(n)))),
    "entropy": ("F64", [layers, heads], array.array("d", (rng.uniform(0.1, 8) for _ in range(layers * heads)))),
    "E": ("F64", [layers], array.array("d", (rng.uniform(1, 6) for _ in range(layers)))),
    "weight": ("F64", [layers], array.array("d", (rng.uniform(1, 6) for _ in range(layers)))),
    "budget.req": ("F64", [layers], array.array("d", map(float, budgets))),
    "budget.app": ("I32", [layers], array.array("i", budgets)),
    "budget.used": ("I32", [layers], array.array("i", budgets)),
    "budget.total": ("I32", [2], array.array("i", (total, total))),
    "kept": ("U8", [layers, n], reasons.translate(bytes(1) + b"\1" * 255)),
    "reason": ("U8", [layers, n], reasons),
    "score": ("F32", [layers, n], reals(layers * n)),
    "entropy_q": ("F32", [layers, heads, n], b"".join(bytes(reals(heads * n)) for _ in range(layers))),
    "n_kept": ("I32", [layers], array.array("i", budgets)),
    "piece.id": ("I32", [len(pieces)], array.array("i", range(len(pieces)))),
    "piece.start": ("I32", [len(pieces) + 1], array.array("i", (sum(map(len, pieces[:i])) for i in range(len(pieces) + 1)))),
    "piece.bytes": ("U8", [sum(map(len, pieces))], b"".join(pieces)),
}
notes = {"format": "kvdbg-core", "format.version": "1", "program": "record.py", "phase": "done", "model.layers": layers,
         "model.heads": heads, "model.kv-heads": 8, "model.vocabulary": len(pieces), "model.arch": "qwen3",
         "model.name": "record", "model.synthetic": "on", "model.context": n, "model.head-dim": 128}
head, at = {"__metadata__": {k: str(v) for k, v in notes.items()}}, 0
for name, (kind, shape, data) in values.items():
    size = len(bytes(data))
    head[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
    at += size
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
with open(out, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    for _, _, data in values.values():
        f.write(bytes(data))
