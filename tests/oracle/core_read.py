"""Checks a core file of kvdbg with numpy and the safetensors package alone: what must follow from what does.

    kvdbg -batch -p sessions/tour.txt --precision f32 -ex run -ex 'gcore FILE +scores +entropy_q +columns +kv +attn 3.1'
    python tests/oracle/core_read.py FILE          (needs no model; exit status 1 when a check fails)
"""
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

failed = []


def check(what, right):
    print(("ok      " if right else "NOT OK  ") + what)
    if not right:
        failed.append(what)


def budgets(t, layers, n):
    kept = t["kept"].astype(bool)
    check("kept is what has a reason", np.array_equal(kept, t["reason"] > 0))
    check("n_kept counts it", np.array_equal(kept.sum(1), t["n_kept"]))
    check("budgets add up to the total", t["budget.app"].sum() == t["budget.total"][1])
    check("kept sets have their budgets' size", np.array_equal(t["n_kept"], np.minimum(t["budget.app"], n)))
    check("floors and caps hold", (t["budget.floor"] <= t["budget.app"]).all() and
          (t["budget.app"] <= t["budget.cap"]).all())
    check("E is the mean over heads", np.array_equal(np.array([sum(row) / len(row) for row in t["entropy"]]), t["E"]))


def scores(t, layers):
    right = True
    for l in range(layers):
        free = np.flatnonzero(t["rank"][l] >= 0)
        order = free[np.lexsort((free, -t["score"][l, free]))]
        right &= np.array_equal(t["rank"][l, order], np.arange(len(free)))
    check("ranks sort the scores", right)
    by_score = (t["reason"] == 4) | (t["reason"] == 5)
    lowest = np.array([s[b].min() if b.any() else np.nan for s, b in zip(t["score"], by_score)])
    check("cut is the lowest score let in", np.array_equal(lowest, t["cut"], equal_nan=True))


def statistics(t):
    mean = t["entropy_q"].astype(np.float64).mean(-1)
    check("entropy is the mean over rows", np.allclose(mean, t["entropy"], rtol=0, atol=1e-12))
    check("column sums add up to the rows", np.allclose(t["columns"].sum(-1, dtype=np.float64), t["tok"].size, rtol=1e-5))
    check("scores are column sums over heads (selector sum)",
          np.allclose(t["columns"].sum(1, dtype=np.float64), t["score"], rtol=1e-5, atol=1e-6))


def maps(t, n):
    for name in [k for k in t if k.startswith("attn.")]:
        l, h = map(int, name.split(".")[1:])
        p = t[name].astype(np.float64)
        check(f"{name}: rows sum to 1", np.allclose(p.sum(1), 1, atol=1e-5))
        check(f"{name}: nothing above the diagonal", not np.triu(p, 1).any())
        prompt = p[:n, :n]
        check(f"{name}: column sums", np.allclose(prompt.sum(0), t["columns"][l, h], rtol=1e-4, atol=1e-4))
        logp = np.log(prompt, out=np.zeros_like(prompt), where=prompt > 0)
        check(f"{name}: entropies", np.allclose(-(prompt * logp).sum(1), t["entropy_q"][l, h], atol=1e-4))
        evicted = np.flatnonzero(t["kept"][l] == 0)
        check(f"{name}: the reply does not see what was evicted", not p[n:, evicted].any())


def caches(t, layers, n):
    right = positions = True
    for l in range(layers):
        kept = np.flatnonzero(t["kept"][l])
        tail = t[f"active.pos.{l}"].size - kept.size
        positions &= np.array_equal(t[f"active.pos.{l}"], np.concatenate([kept, n + np.arange(tail)]))
        for which in "kv":
            resident, active = t[f"resident.{which}.{l}"], t[f"active.{which}.{l}"]
            right &= np.array_equal(resident[:, kept], active[:, :kept.size])
    check("active positions are the kept ones, then those behind the prompt", bool(positions))
    check("active keys and values are the resident ones of kept tokens", bool(right))


def main():
    with safe_open(sys.argv[1], "numpy") as f:
        notes = f.metadata()
    t = load_file(sys.argv[1])
    layers, n = int(notes["model.layers"]), t["tok"].size
    check("format kvdbg-core 1", (notes["format"], notes["format.version"]) == ("kvdbg-core", "1"))
    start, data = t["piece.start"], t["piece.bytes"].tobytes()
    piece = {int(i): data[start[k]:start[k + 1]] for k, i in enumerate(t["piece.id"])}
    text = b"".join(piece[int(i)] for i in t["tok"]).decode(errors="replace")
    check("every token has a piece", all(int(i) in piece for name in ("tok", "question", "reply") for i in t[name]))
    print(f"        {n} tokens: {text[:60]!r}...; reply {b''.join(piece[int(i)] for i in t['reply'])!r}")
    budgets(t, layers, n)
    scores(t, layers)
    statistics(t)
    maps(t, n)
    caches(t, layers, n)
    sys.exit(bool(failed))


main()
