"""Writes tests/golden/model/*.npy: what transformers computes on the default model, for tests/unit/parity.c.

    python tests/oracle/model_golden.py            (from the top of the checkout, needs models/; a minute)

tests/golden/model/README lists every file. Nothing of the C engine takes part.
"""
import os

import numpy as np
import torch

from oracle import MODEL, Oracle, Text, keep_sets, kl, scores, tour

OUT = "tests/golden/model"
EXCERPT, STEPS, ASK_STEPS, TOP = 640, 64, 16, 8
HEAD_LAYERS = (0, 14, 29)
# Order of the bits in kept_*.npy and of the rows in budgets.npy and cuts.npy (first all of ratio 0.5, then 0.25).
CASES = [(a, s) for s in ("sum", "window") for a in ("entropy", "uniform", "inverse")]
RATIOS = (0.5, 0.25)
DECODE = (("entropy", "sum"), ("uniform", "window"))


def save(name, array, dtype="<f4"):
    array = np.ascontiguousarray(array, dtype=dtype)
    np.save(os.path.join(OUT, name + ".npy"), array)
    print(f"{name:24s} {dtype} {array.shape} {array.nbytes}")


def sketch(logits, ids):
    """[rows][1 + ids + 2 TOP]: logsumexp, logits of the fixed ids, the TOP highest, their ids (exact in f32)."""
    top = logits.topk(TOP)
    return torch.cat([logits.double().logsumexp(-1, keepdim=True).float(), logits[:, ids], top.values,
                      top.indices.float()], 1).numpy()


def narrowest(logits):
    """Smallest lead of an argmax over its runner-up: below the tolerance, two right engines may disagree."""
    top = logits.topk(2).values
    return (top[:, 0] - top[:, 1]).min().item()


def split_question(text, ids, question):
    """Length of the context: where the question's own tokens begin."""
    tail = text.encode(question)
    return next(i for i in range(len(ids), 0, -1) if ids[i:i + len(tail)] == tail)


def write_excerpt(oracle, text, document, fixed):
    ids = text.encode(document)[:EXCERPT]
    assert len(ids) == EXCERPT
    logits, _, stats = oracle.prefill(ids)
    save("excerpt_ids", ids, "<i4")
    save("excerpt_logits", sketch(logits, fixed))
    save("excerpt_entropy", stats.entropy)
    save("excerpt_columns", stats.sums.sum(1))
    save("excerpt_columns_heads", stats.sums[list(HEAD_LAYERS)])
    save("excerpt_window", stats.window.mean(1))
    print("  narrowest argmax lead", narrowest(logits))


def write_policy(stats):
    save("tour_layer_score", stats.layer_score())
    save("tour_score_sum", scores(stats, "sum"))
    save("tour_score_window", scores(stats, "window"))
    budgets, cuts = [], []
    for ratio in RATIOS:
        bits = np.zeros((len(stats.entropy), stats.n), np.uint8)
        for bit, (allocator, selector) in enumerate(CASES):
            kept, budget, cut = keep_sets(stats, allocator, selector, ratio)
            bits |= kept.astype(np.uint8) << bit
            budgets.append(budget)
            cuts.append(cut)
        save(f"tour_kept_{round(ratio * 100)}", bits, "|u1")
    save("tour_budgets", np.stack(budgets), "<i4")
    save("tour_cuts", np.stack(cuts))
    gap = [abs(c[:, 0] - c[:, 1]) / c[:, 0] for c in cuts]
    print("  smallest relative gap at a cut-off", np.nanmin(gap), "layers below 1e-4:", int((np.array(gap) < 1e-4).sum()))


def write_decode(oracle, text, ids, logits, cache, stats, fixed):
    reply = oracle.greedy(logits[-1], cache, steps=STEPS + 1, forbid=text.eos)
    save("tour_reply", reply, "<i4")
    full = oracle.forced(reply[:-1], cache)
    save("decode_full", sketch(full, fixed))
    print("  narrowest argmax lead", narrowest(full))
    steps = []
    for allocator, selector in DECODE:
        other = oracle.forced(reply[:-1], cache, keep_sets(stats, allocator, selector, 0.5)[0])
        save(f"decode_{allocator}_{selector}", sketch(other, fixed))
        steps.append(kl(full, other))
        print(f"  KL mean {steps[-1].mean():.4f}; narrowest argmax lead {narrowest(other)}")
    save("decode_kl", np.stack(steps))
    return reply


def write_ask(oracle, context, question, reply, fixed):
    """The context is compressed before the question is read; question and reply then see what was kept."""
    _, cache, stats = oracle.prefill(context)
    fed = list(question) + reply[:ASK_STEPS]
    save("ask_full", sketch(oracle.forced(fed, cache, one_by_one=False), fixed))
    bits, budgets = np.zeros((len(stats.entropy), stats.n), np.uint8), []
    for bit, (allocator, selector) in enumerate(DECODE):
        kept, budget, _ = keep_sets(stats, allocator, selector, 0.5)
        bits |= kept.astype(np.uint8) << bit
        budgets.append(budget)
        save(f"ask_{allocator}_{selector}", sketch(oracle.forced(fed, cache, kept, one_by_one=False), fixed))
    save("ask_kept", bits, "|u1")
    save("ask_budgets", np.stack(budgets), "<i4")


def main():
    os.makedirs(OUT, exist_ok=True)
    text, oracle = Text(MODEL), Oracle(MODEL)
    ids, document, question = tour(text)
    fixed = np.sort(np.random.default_rng(3).choice(oracle.model.config.vocab_size, 64, replace=False))
    save("vocabulary_ids", fixed, "<i4")
    save("tour_ids", ids, "<i4")
    split = split_question(text, ids, question)
    save("tour_split", [split], "<i4")
    write_excerpt(oracle, text, document, fixed)
    logits, cache, stats = oracle.prefill(ids)
    save("tour_logits", sketch(logits[-1:], fixed))
    write_policy(stats)
    reply = write_decode(oracle, text, ids, logits, cache, stats, fixed)
    write_ask(oracle, ids[:split], ids[split:], reply, fixed)
    print("reply:", text.decode(reply))


if __name__ == "__main__":
    main()
