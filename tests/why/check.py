"""Whether what `why` says agrees with what was kept, and whether both are what the numbers ask for.

usage: check.py FOLDER SINKS RECENT RATIO EDITS      EDITS: "pin A..B LAYER", "evict A..B LAYER", "budget LAYER N", ;-joined

FOLDER holds NAME.csv of the values, and why.L: the text of `why 0..last layer L`. Budgets are worked out in exact
fractions, kept sets by sorting; nothing here is shared with kvdbg.
"""
import csv
import math
import re
import sys
from fractions import Fraction

RULE = re.compile(r" (sink|recent|pin|top-k|tie|evicted|evicted by edit|evicted, no room)$")
REASONS = ["evicted", "sink", "recent", "pin", "top-k", "tie"]


def table(folder, name):
    """{layer: [value]}, or a list where there is no position."""
    with open(f"{folder}/{name}.csv", newline="") as f:
        rows = list(csv.reader(f))[1:]
    if len(rows[0]) - (name == "reason") == 2:
        return [float(r[1] or "nan") for r in rows]
    out = {}
    for r in rows:
        out.setdefault(int(r[0]), []).append(float(r[2] or "nan"))
    return [out[layer] for layer in sorted(out)]


def read_edits(text, n_layer, n):
    pins, budget = [[0] * n for _ in range(n_layer)], [-1] * n_layer
    for word in filter(None, (edit.split() for edit in text.split(";"))):
        if word[0] == "budget":
            budget[int(word[1])] = int(word[2])
            continue
        first, last = (int(x) for x in word[1].split(".."))
        for j in range(first, last + 1):
            pins[int(word[2])][j] = 1 if word[0] == "pin" else -1
    return pins, budget


def share_out(weight, lo, hi, fixed, total):
    """Exact shares by weight; the side with the larger violation is fixed at its bound, until there is none."""
    done = {l: b for l, b in enumerate(fixed) if b >= 0}
    while True:
        free = [l for l in range(len(weight)) if l not in done]
        rest, sum_w = total - sum(done.values()), sum(Fraction(weight[l]) for l in free)
        share = {l: rest * Fraction(weight[l]) / sum_w if sum_w else Fraction(rest, len(free)) for l in free}
        under = {l: lo[l] - share[l] for l in free if share[l] < lo[l]}
        over = {l: share[l] - hi[l] for l in free if share[l] > hi[l]}
        if not under and not over:
            break
        side, bound = (over, hi) if sum(over.values()) >= sum(under.values()) else (under, lo)
        done.update({l: bound[l] for l in side})
    budget = [done[l] if l in done else math.floor(share[l]) for l in range(len(weight))]
    for l in sorted(free, key=lambda l: (math.floor(share[l]) - share[l], l))[: total - sum(budget)]:
        budget[l] += 1
    return budget


def choose(score, pins, budget, sinks, recent):
    """Reason of every token; the score of the last one in; ranks of those that competed."""
    n = len(score)
    forced = {j: 1 if j < sinks else 2 if j >= n - recent else 3
              for j in range(n) if pins[j] >= 0 and (j < sinks or j >= n - recent or pins[j] > 0)}
    assert len(forced) <= budget, "the test's budgets hold all forced tokens"
    order = sorted((j for j in range(n) if j not in forced and pins[j] >= 0), key=lambda j: (-score[j], j))
    chosen, rest = order[: budget - len(forced)], order[budget - len(forced):]
    cut = score[chosen[-1]] if chosen else math.nan
    reason = [forced.get(j, 0) for j in range(n)]
    for j in chosen:
        reason[j] = 5 if score[j] == cut and any(score[k] == cut for k in rest) else 4
    return reason, cut, {j: k for k, j in enumerate(order)}


def check_text(path, kept, reason, pins):
    seen = 0
    with open(path, encoding="utf-8", errors="replace") as f:
        lines = f.read().split("\n")
    for line in lines[lines.index(next(x for x in lines if x.startswith("position"))) + 1:]:
        if not line.strip():
            continue
        j, rule = int(line.split()[0]), RULE.search(line).group(1)
        assert rule.startswith("evicted") == (kept[j] == 0), f"{path}: token {j} is {kept[j]}, why says {rule}"
        assert rule.split()[0].rstrip(",") == REASONS[int(reason[j])], f"{path}: token {j}: {rule}, {reason[j]}"
        assert (rule == "evicted by edit") == (pins[j] < 0), f"{path}: token {j}: {rule}"
        seen += 1
    assert seen == len(kept), f"{path} has {seen} of {len(kept)} tokens"


def main(folder, sinks, recent, ratio, edits):
    sinks, recent = int(sinks), int(recent)
    score, kept, reason, rank, margin, cut = (table(folder, x) for x in "score kept reason rank margin cut".split())
    weight, applied, total = (table(folder, x) for x in "weight budget.app budget.total".split())
    n_layer, n = len(score), len(score[0])
    pins, fixed = read_edits(edits, n_layer, n)
    lo, hi = [], []
    for row in pins:
        forced = sum(p >= 0 and (p > 0 or j < sinks or j >= n - recent) for j, p in enumerate(row))
        hi.append(sum(p >= 0 for p in row))
        lo.append(min(max(forced, 1), hi[-1]))
    plain = min(n, max(1, sinks + recent))
    asked = math.floor(Fraction(ratio) * n * n_layer + Fraction(1, 2))
    shared = max(asked, sum(plain if fixed[l] >= 0 else lo[l] for l in range(n_layer)))
    shared = min(shared, sum(n if fixed[l] >= 0 else hi[l] for l in range(n_layer)))
    assert total == [asked, shared], f"total {total}, expected {asked}, {shared}"
    budget = share_out(weight, lo, hi, fixed, shared)
    assert applied == budget, f"budgets {applied}, expected {budget}"
    for l in range(n_layer):
        want, last, ranks = choose(score[l], pins[l], budget[l], sinks, recent)
        assert reason[l] == want, f"layer {l}: reasons differ at {[j for j in range(n) if reason[l][j] != want[j]]}"
        assert kept[l] == [float(r > 0) for r in want], f"layer {l}: kept"
        assert rank[l] == [float(ranks.get(j, -1)) for j in range(n)], f"layer {l}: ranks"
        assert cut[l] == last or (math.isnan(cut[l]) and math.isnan(last)), f"layer {l}: cut {cut[l]}, not {last}"
        for j in range(n):
            m = (score[l][j] - last) / abs(last) if j in ranks and last else math.nan
            if not math.isnan(m):
                assert abs(margin[l][j] - m) <= 1e-5 * abs(m) + 1e-9, f"layer {l}, token {j}: margin {margin[l][j]}, not {m}"
            elif j not in ranks:
                assert math.isnan(margin[l][j]), f"layer {l}, token {j} is forced, its margin {margin[l][j]}"
        check_text(f"{folder}/why.{l}", kept[l], reason[l], pins[l])


main(*sys.argv[1:])
