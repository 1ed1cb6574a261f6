"""The engine's whole output against transformers: every logit, entropy, column sum, score and kept token.

    mkdir DUMP && build/tests/unit/parity --dump DUMP
    python tests/oracle/parity.py DUMP             (from the top of the checkout, needs models/; minutes, 1 GB)

The test compares a sketch of the logits that fits into the repository; this compares all 49,152 of every row, and
the oracle with transformers' own eager attention. Prints the largest differences; exit status 1 when one is beyond
its tolerance.
"""
import os
import sys

import numpy as np
import torch

from model_golden import ASK_STEPS, CASES, DECODE, EXCERPT, RATIOS
from oracle import MODEL, Oracle, Text, keep_sets, kl, scores, tour

failed = []


def report(what, worst, tolerance, note=""):
    right = worst <= tolerance
    if not right:
        failed.append(what)
    print(f"{what:44s} {worst:10.2e}   {'<=' if right else 'NOT <='} {tolerance:.0e}  {note}", flush=True)


class Dump:
    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        return np.load(os.path.join(self.folder, name + ".npy"), mmap_mode="r")

    def logits(self, name, want):
        """Largest difference over all logits; rows of another argmax must be none."""
        got = self(name)
        assert got.shape == tuple(want.shape), (name, got.shape, tuple(want.shape))
        got = torch.from_numpy(np.array(got))
        apart = int((got.argmax(-1) != want.argmax(-1)).sum())
        note = f"{got.numel()} logits, {apart} of {len(got)} argmax differ, KL at most {kl(want, got).max():.1e} nats"
        report("logits: " + name, (got - want).abs().max().item() if not apart else np.inf, 2e-3, note)


def relative(got, want):
    return (np.abs(got - want) / (np.abs(want) + 1e-4)).max()


def excerpt(oracle, dump, ids):
    logits, _, stats = oracle.prefill(ids)
    dump.logits("excerpt_logits", logits)
    report("entropy, nats", np.abs(dump("excerpt_entropy") - stats.entropy).max(), 1e-4, f"{stats.entropy.size} rows")
    report("column sums by head, relative", relative(dump("excerpt_columns"), stats.sums), 1e-4,
           f"{stats.sums.size} sums")
    return logits, stats


def eager(ids, logits, stats):
    """The oracle itself against transformers' eager attention, whose softmax is in f32."""
    plain = Oracle(MODEL, attention="eager")
    with torch.no_grad():
        out = plain.model(torch.tensor([ids]), output_attentions=True)
    report("oracle against eager: logits", (out.logits[0] - logits).abs().max().item(), 1e-3)
    p = torch.stack([a[0] for a in out.attentions]).double()
    entropy = -torch.xlogy(p, p).sum(-1).numpy()
    report("oracle against eager: entropy, nats", np.abs(entropy - stats.entropy).max(), 1e-4)
    report("oracle against eager: column sums, relative", relative(p.sum(2).numpy(), stats.sums), 1e-4)


def policies(dump, stats):
    for selector in ("sum", "window"):
        report(f"scores: {selector}, relative", relative(dump("tour_score_" + selector), scores(stats, selector)), 1e-4)
    for r, ratio in enumerate(RATIOS):
        for c, (allocator, selector) in enumerate(CASES):
            kept, budget, _ = keep_sets(stats, allocator, selector, ratio)
            got = dump(f"tour_kept_{r * len(CASES) + c}").astype(bool)
            report(f"kept: {allocator} x {selector} at {ratio}", float((got != kept).mean()), 1e-3,
                   f"{int((got != kept).sum())} tokens of {kept.size} differ; budgets equal: "
                   f"{np.array_equal(got.sum(1), budget)}")


def decode(oracle, dump, logits, cache, stats, reply):
    dump.logits("decode_full", oracle.forced(reply[:-1], cache))
    for allocator, selector in DECODE:
        kept = keep_sets(stats, allocator, selector, 0.5)[0]
        dump.logits(f"decode_{allocator}_{selector}", oracle.forced(reply[:-1], cache, kept))


def ask(oracle, dump, ids, split, reply):
    _, cache, stats = oracle.prefill(ids[:split])
    fed = ids[split:] + reply[:ASK_STEPS]
    dump.logits("ask_full", oracle.forced(fed, cache, one_by_one=False))
    for allocator, selector in DECODE:
        kept = keep_sets(stats, allocator, selector, 0.5)[0]
        dump.logits(f"ask_{allocator}_{selector}", oracle.forced(fed, cache, kept, one_by_one=False))


def main():
    dump, golden = Dump(sys.argv[1]), Dump("tests/golden/model")
    text, oracle = Text(MODEL), Oracle(MODEL)
    ids, document, _ = tour(text)
    reply = golden("tour_reply").tolist()
    words = text.encode(document)[:EXCERPT]
    logits, stats = excerpt(oracle, dump, words)
    eager(words, logits, stats)
    oracle = Oracle(MODEL)
    logits, cache, stats = oracle.prefill(ids)
    policies(dump, stats)
    decode(oracle, dump, logits, cache, stats, reply)
    ask(oracle, dump, ids, int(golden("tour_split")[0]), reply)
    print("beyond tolerance: " + ", ".join(failed) if failed else "all within tolerance")
    sys.exit(bool(failed))


main()
