"""Writes tests/golden/policy.txt: budgets, kept sets and scores by an independent implementation.

    python tests/oracle/policy_golden.py > tests/golden/policy.txt

Budgets in exact fractions, selection by sorting, scores in float64, written from the method's description; where
kvpress has the method (ObservedAttention, SnapKV, TOVA, StreamingLLM), its own scores and kept sets. Inputs are not
stored: each line names a seed, and tests/unit/policy_golden.c draws the same numbers in the same order.

Generator: splitmix64. state starts as the seed; next(): state += 9e3779b97f4a7c15, z = state,
z = (z ^ z>>30) * bf58476d1ce4e5b9, z = (z ^ z>>27) * 94d049bb133111eb, z ^ z>>31, all mod 2^64.
draw(a, b) = a + next() mod (b - a + 1).

Lines, fields separated by blanks:
    solve SEED B...                          budgets
    select SEED REASONS                      a digit a token: 0 evicted 1 sink 2 recent 3 pin 4 top-k 5 tie
    score SEED SCORES...                     f32 as hexadecimal bits
    whole SEED TOTAL B... / REASONS...       one string for each layer and set
    observed|snapkv|tova SEED N_KEPT SCORES... / KEPT...    kvpress: decimal scores, kept as 0/1, by KV head
    streaming SEED N_KEPT / KEPT
"""
import math
import struct
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np

MASK = (1 << 64) - 1


class Rng:
    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return z ^ z >> 31

    def draw(self, a, b):
        return a + self.next() % (b - a + 1)


# --- budgets -----------------------------------------------------------------------------------------------------


def solve(weights, lo, hi, pinned, total):
    """Shares by weight within bounds, exact sum; fractions throughout."""
    layers = range(len(weights))
    lo = [p if p >= 0 else b for p, b in zip(pinned, lo)]
    hi = [p if p >= 0 else b for p, b in zip(pinned, hi)]
    total = min(max(total, sum(lo)), sum(hi))
    fixed = {l: pinned[l] for l in layers if pinned[l] >= 0}
    while True:
        free = [l for l in layers if l not in fixed]
        rest = total - sum(fixed.values())
        w = {l: Fraction(weights[l]) for l in free}
        if not sum(w.values()):
            w = {l: Fraction(1) for l in free}
        share = {l: rest * w[l] / sum(w.values()) for l in free}
        under = {l: lo[l] - share[l] for l in free if share[l] < lo[l]}
        over = {l: share[l] - hi[l] for l in free if share[l] > hi[l]}
        if not under and not over:
            break
        if sum(over.values()) >= sum(under.values()):
            fixed.update({l: hi[l] for l in over})
        else:
            fixed.update({l: lo[l] for l in under})
    budget = [fixed[l] if l in fixed else math.floor(share[l]) for l in layers]
    order = sorted(free, key=lambda l: (-(share[l] - math.floor(share[l])), l))
    for l in order[: total - sum(budget)]:
        budget[l] += 1
    assert sum(budget) == total and all(a <= b <= c for a, b, c in zip(lo, budget, hi))
    return total, budget


def solve_case(r):
    n_layer, n = r.draw(1, 40), r.draw(1, 4000)
    kind, bounds = r.draw(0, 6), r.draw(0, 3)
    weights = []
    for _ in range(n_layer):
        if kind == 0:
            weights.append(float(r.draw(0, 5)))
        elif kind == 1:
            weights.append(r.draw(1, 1000) / 1000)
        elif kind == 2:
            weights.append(0.0)
        elif kind == 3:
            weights.append(2.0 ** r.draw(-1000, 1000))
        elif kind == 4:
            weights.append(1.0)
        elif kind == 5:
            weights.append(float(r.draw(1, 9)) if r.draw(0, 2) == 0 else 0.0)
        else:
            weights.append(1 / r.draw(1, 100))
    common = r.draw(0, n // 4)
    lo, hi = [], []
    for _ in range(n_layer):
        a = [0, r.draw(0, n), min(n, 36), common][bounds]
        lo.append(a)
        hi.append([n, r.draw(a, n), n, r.draw(a, n)][bounds])
    pinned = [-1] * n_layer
    if r.draw(0, 2) == 0:
        pinned = [r.draw(0, n) if r.draw(0, 3) == 0 else -1 for _ in range(n_layer)]
    return solve(weights, lo, hi, pinned, r.draw(0, n * n_layer * 6 // 5))[1]


# --- selection ---------------------------------------------------------------------------------------------------


def select(score, n, budget, sinks, recent, pins):
    """A digit a token."""
    why = ["0"] * n
    forced = {}
    for j in range(n):
        if pins[j] < 0:
            continue
        if j < sinks:
            forced[j] = "1"
        elif j >= n - recent:
            forced[j] = "2"
        elif pins[j] > 0:
            forced[j] = "3"
    if len(forced) > budget:
        # too many: the user's pins from the left, then sinks from the left, then the most recent
        order = [j for j in range(n) if pins[j] > 0]
        order += [j for j in range(n) if j in forced and j not in order and forced[j] == "1"]
        order += [j for j in reversed(range(n)) if j in forced and j not in order]
        forced = {j: forced[j] for j in order[:budget]}
        for j, digit in forced.items():
            why[j] = digit
        return "".join(why)
    rest = [j for j in range(n) if j not in forced and pins[j] >= 0]
    value = {j: -math.inf if math.isnan(score[j]) else float(score[j]) for j in rest}
    # NaN is below minus infinity
    rest.sort(key=lambda j: (math.isnan(score[j]), -value[j], j))
    take = rest[: budget - len(forced)]
    left = rest[budget - len(forced) :]

    def same(a, b):
        return math.isnan(score[a]) and math.isnan(score[b]) or score[a] == score[b]

    for j in take:
        why[j] = "5" if left and same(take[-1], left[0]) and same(j, left[0]) else "4"
    for j, digit in forced.items():
        why[j] = digit
    return "".join(why)


def draw_pins(r, n):
    pins = [0] * n
    if r.draw(0, 2):
        for j in range(n):
            x = r.draw(0, 19)
            pins[j] = 1 if x == 0 else -1 if x == 1 else 0
    return pins


def select_case(r):
    n = r.draw(1, 200)
    budget, sinks, recent, kind = r.draw(0, n + 10), r.draw(0, 6), r.draw(0, 40), r.draw(0, 3)
    score = []
    for _ in range(n):
        if kind == 0:
            score.append(float(r.draw(0, 9)))
        elif kind == 1:
            score.append(r.draw(0, (1 << 24) - 1) / 4096)
        elif kind == 2:
            x = r.draw(-6, 9)
            score.append(math.nan if x > 7 else -0.0 if x == 7 else -math.inf if x == 6 else float(x))
        else:
            score.append(0.5)
    return [select(score, n, budget, sinks, recent, draw_pins(r, n))]


# --- scores ------------------------------------------------------------------------------------------------------


def pooled(x, kind, k):
    if kind == "none" or not len(x):
        return x
    edge = 0.0 if kind == "avg" else -np.inf
    wide = np.concatenate([np.full(k // 2, edge), x, np.full(k // 2, edge)])
    rows = np.stack([wide[i : i + len(x)] for i in range(k)])
    return rows.sum(0) / k if kind == "avg" else rows.max(0)


def score_row(p, stats, set_, forced):
    n = stats["columns"].shape[1]
    w = min(p["window"], n)
    heads = range(stats["columns"].shape[0])
    if p["group"] == "kv-head":
        g = len(heads) // stats["n_kv"]
        heads = range(set_ * g, set_ * g + g)

    def visible(first):
        slide = p["sliding"] or n
        return np.array([sum(1 for i in range(first, n) if j <= i < j + slide) for j in range(n)], float)

    def combine(per_head):
        x = np.stack(per_head)
        return {"sum": x.sum(0), "mean": x.sum(0) / len(x), "max": x.max(0)}[p["reduce"]]

    name = p["selector"]
    if name == "streaming":
        return np.arange(n, dtype=float)
    if name in ("sum", "mean"):
        source, first = {"all": ("columns", 0), "window": ("win", n - w), "last": ("last", n - 1)}[p["rows"]]
        seen = visible(first)
        per_head = []
        for h in heads:
            x = stats[source][h].astype(float)
            if name == "mean":
                x = np.where(seen > 0, x / np.maximum(seen, 1), 0)
            per_head.append(pooled(x, "none" if p["pool"] == "auto" else p["pool"], p["kernel"]))
        return combine(per_head)
    if name == "last":
        kind = "none" if p["pool"] == "auto" else p["pool"]
        return combine([pooled(stats["last"][h].astype(float), kind, p["kernel"]) for h in heads])
    if name == "window":
        kind = "avg" if p["pool"] == "auto" else p["pool"]
        per_head = []
        for h in heads:
            x = stats["win"][h].astype(float) / w
            per_head.append(np.concatenate(
                [pooled(x[: n - w], kind, p["kernel"]), pooled(x[n - w :], kind, p["kernel"])]))
        return combine(per_head)
    assert name == "mix"
    total = np.zeros(n)
    for part in ("sum", "window"):
        x = score_row({**p, "selector": part}, stats, set_, forced)
        mass = x[np.array(forced) == 0].sum()
        total += x / mass if mass else x
    return total


def draw_stats(r, n_head, n_kv, n):
    def field():
        x = [r.draw(0, 4095) / 4096 for _ in range(n_head * n)]
        return np.array(x, np.float32).reshape(n_head, n)

    return {"columns": field(), "win": field(), "last": field(), "n_kv": n_kv}


SELECTORS = ["sum", "mean", "window", "last", "mix", "streaming"]


def draw_scoring(r, n):
    return {
        "selector": SELECTORS[r.draw(0, 5)],
        "rows": ["all", "window", "last"][r.draw(0, 2)],
        "window": r.draw(1, 40),
        "pool": ["auto", "none", "avg", "max"][r.draw(0, 3)],
        "kernel": 2 * r.draw(0, 3) + 1,
        "reduce": ["sum", "mean", "max"][r.draw(0, 2)],
        "group": ["shared", "kv-head"][r.draw(0, 1)],
        "sliding": r.draw(1, n) if r.draw(0, 2) == 0 else 0,
    }


def score_case(r):
    n, n_kv, g = r.draw(1, 48), r.draw(1, 3), r.draw(1, 3)
    p = draw_scoring(r, n)
    stats = draw_stats(r, n_kv * g, n_kv, n)
    forced = [1 if r.draw(0, 4) == 0 else 0 for _ in range(n)]
    out = []
    for s in range(n_kv if p["group"] == "kv-head" else 1):
        out += ["%08x" % struct.unpack("<I", struct.pack("<f", v)) for v in score_row(p, stats, s, forced)]
    return out


# --- whole policies ----------------------------------------------------------------------------------------------


def layer_entropy(p, x, kind):
    n = x.shape[1]
    first = {"all": 0, "window": max(0, n - p["window"]), "last": n - 1}[p["rows"]]
    rows = range(first, n)
    seen = [min(i + 1, p["sliding"] or n) for i in range(n)]
    if kind == "raw":
        return np.mean([np.mean([float(h[i]) for i in rows]) for h in x])
    heads = []
    for h in x:
        part = [float(h[i]) / math.log(seen[i]) for i in rows if seen[i] > 1]
        heads.append(np.mean(part) if part else 0.0)
    return np.mean(heads)


def whole_case(r):
    n_layer, n, n_kv, g = r.draw(1, 8), r.draw(1, 80), r.draw(1, 3), r.draw(1, 3)
    allocator = ["entropy", "uniform", "inverse", "manual"][r.draw(0, 3)]
    kind = ["raw", "log-length"][r.draw(0, 1)]
    power = r.draw(1, 8) / 4
    sinks, recent = r.draw(0, 5), r.draw(0, 20)
    form, amount = r.draw(0, 2), r.draw(1, 100)
    floor = r.draw(1, n) if r.draw(0, 3) == 0 else -1
    cap = r.draw(max(floor, 1), n) if r.draw(0, 3) == 0 else -1
    bytes_per_token = 16 * r.draw(1, 64)
    p = draw_scoring(r, n)

    total = [math.floor(amount / 100 * (n * n_layer) + 0.5), amount * n_layer,
             amount * n_layer * 1000 // bytes_per_token][form]
    weights, lo, hi, layers = [], [], [], []
    for _ in range(n_layer):
        x = np.array([r.draw(0, 8191) / 1024 for _ in range(n_kv * g * n)], np.float32).reshape(-1, n)
        given = float(r.draw(0, 20))
        stats, pins = draw_stats(r, n_kv * g, n_kv, n), draw_pins(r, n)
        if all(v < 0 for v in pins):
            pins[0] = 0
        e = layer_entropy(p, x, kind)
        weights.append({"entropy": e**power, "uniform": 1.0, "inverse": max(e, 1e-6) ** -power,
                        "manual": given}[allocator])
        must = sum(1 for j in range(n) if pins[j] >= 0 and (j < sinks or j >= n - recent or pins[j] > 0))
        free = sum(1 for v in pins if v >= 0)
        hi.append(min(free, cap) if cap > 0 else free)
        lo.append(min(hi[-1], floor if floor > 0 else max(1, must)))
        layers.append((stats, pins))
    total, budget = solve(weights, lo, hi, [-1] * n_layer, total)
    out = [total, *budget, "/"]
    for (stats, pins), b in zip(layers, budget):
        must = sum(1 for j in range(n) if pins[j] >= 0 and (j < sinks or j >= n - recent or pins[j] > 0))
        forced = []
        for j in range(n):
            keep = j < sinks or j >= n - recent or pins[j] > 0
            forced.append(2 if pins[j] < 0 or must > b else 1 if keep else 0)
        for s in range(n_kv if p["group"] == "kv-head" else 1):
            score = score_row(p, stats, s, forced).astype(np.float32)
            out.append(select(score, n, b, sinks, recent, pins))
    return out


# --- kvpress -----------------------------------------------------------------------------------------------------


def draw_attention(r, n_head, n):
    a = np.zeros((n_head, n, n), np.float32)
    for h in range(n_head):
        for i in range(n):
            e = [float(r.draw(1, 1023) ** 2) for _ in range(i + 1)]
            a[h, i, : i + 1] = [np.float32(x / math.fsum(e)) for x in e]
    return a


def kvpress_case(name, r):
    import torch
    from kvpress import ObservedAttentionPress, SnapKVPress, StreamingLLMPress, TOVAPress

    n, n_kv, g = r.draw(24, 48), r.draw(1, 3), r.draw(1, 3)
    ratio, window, kernel = r.draw(1, 9) / 10, r.draw(2, 10), 2 * r.draw(0, 3) + 1
    attention = torch.from_numpy(draw_attention(r, n_kv * g, n))[None]
    keys = torch.zeros(1, n_kv, n, 4)
    module = SimpleNamespace(config=SimpleNamespace(num_attention_heads=n_kv * g, num_key_value_heads=n_kv))
    press = {
        "observed": lambda: ObservedAttentionPress(ratio),
        "snapkv": lambda: SnapKVPress(ratio, window_size=window, kernel_size=kernel),
        "tova": lambda: TOVAPress(ratio),
        "streaming": lambda: StreamingLLMPress(ratio, n_sink=min(4, int(n * (1 - ratio)))),
    }[name]()
    hidden = torch.zeros(1, n, 4)
    score = press.score(module, hidden, keys, keys, attention, {})[0]
    n_kept = max(int(n * (1 - ratio)), window if name == "snapkv" else 1)
    kept = torch.zeros_like(score)
    if name == "streaming":
        return [n_kept, "/", "".join("01"[int(v)] for v in score[0])]
    kept.scatter_(1, score.topk(n_kept, dim=-1).indices, 1)
    ordered = score.sort(dim=-1, descending=True).values
    if n_kept < n and ((ordered[:, n_kept - 1] - ordered[:, n_kept]) / ordered[:, n_kept - 1]).min() < 1e-5:
        return None  # too close for two ways of rounding to agree on the set
    out = [n_kept]
    out += ["%.8g" % v for v in score.flatten().tolist()]
    return out + ["/"] + ["".join("01"[int(v)] for v in row) for row in kept]


def main():
    cases = [("solve", 120, solve_case), ("select", 120, select_case), ("score", 100, score_case),
             ("whole", 80, whole_case)]
    for i, (name, count, case) in enumerate(cases):
        for k in range(count):
            seed = 1000 * (i + 1) + k
            print(name, seed, *case(Rng(seed)))
    for i, name in enumerate(["observed", "snapkv", "tova", "streaming"]):
        written, seed = 0, 100000 * (i + 1)
        while written < 12:
            fields = kvpress_case(name, Rng(seed))
            if fields:
                print(name, seed, *fields)
                written += 1
            seed += 1
    print(f"{4 * 12} cases by kvpress, {sum(c[1] for c in cases)} by the oracle", file=sys.stderr)


main()
