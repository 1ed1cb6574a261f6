"""Writes tests/golden/model/press_*.npy and allocator_weights.npy: scores and kept sets of kvpress on the default model, for tests/unit/presses.c.

    python tests/oracle/press_golden.py            (from the top of the checkout, needs models/; a minute)

The prompt is excerpt_ids (model_golden.py), the model transformers' with eager attention in f32, and every score is the
press's own, taken where kvpress calls it. Scores [3][G][n] of layers 0, 14 and 29; kept sets of all layers as bits
[L][G][n/8]; weights [5][L] of cake, zigzag, squeeze, meda and lava, the largest made 1; NaN where a press puts its maximum + 1 on tokens that it keeps whatever they score.
With a folder, compares instead: all scores of a dump that `presses --dump FOLDER` wrote, and again on the tour's prompt.
"""
import os
import sys

import numpy as np
import torch
from kvpress import (ExpectedAttentionPress, KnormPress, ObservedAttentionPress, PyramidKVPress,
                     SnapKVPress, StreamingLLMPress, TOVAPress)
from transformers.cache_utils import DynamicCache

from oracle import MODEL, Oracle, Text, tour

OUT = "tests/golden/model"
LAYERS = (0, 14, 29)
RATIO = 0.5  # removed
# name: press, tokens at the start and at the end that it keeps whatever they score
PRESSES = {
    "snapkv": (lambda: SnapKVPress(RATIO, window_size=64, kernel_size=5), 0, 64),
    "tova": (lambda: TOVAPress(RATIO), 0, 1),
    "observed": (lambda: ObservedAttentionPress(RATIO), 0, 0),
    "knorm": (lambda: KnormPress(RATIO), 0, 0),
    "expected": (lambda: ExpectedAttentionPress(RATIO), 4, 0),
    "streaming": (lambda: StreamingLLMPress(RATIO, n_sink=4), 4, 0),
}


def save(name, array, dtype="<f4"):
    array = np.ascontiguousarray(array, dtype=dtype)
    np.save(os.path.join(OUT, name + ".npy"), array)
    print(f"{name:24s} {dtype} {array.shape} {array.nbytes}")


@torch.no_grad()
def run(model, ids, press):
    """(the press's scores [L][G][n] in f32, kept positions as 0/1 [L][G][n], the cache)"""
    seen, cache, score = [], DynamicCache(config=model.config), press.score

    def watched(*args, **kwargs):
        seen.append(score(*args, **kwargs))
        return seen[-1]

    press.score = watched
    with press(model):
        model(torch.tensor([ids]), past_key_values=cache, use_cache=True, output_attentions=True)
    scores = torch.stack([s[0] for s in seen])
    n_kept = cache.layers[0].keys.shape[2]
    kept = torch.zeros_like(scores, dtype=torch.uint8)
    if n_kept < len(ids):
        kept.scatter_(-1, scores.topk(n_kept, dim=-1).indices, 1)
    return scores.numpy(), kept.numpy(), cache


def unforced(scores, first, last):
    scores = scores.copy()
    scores[..., :first] = np.nan
    scores[..., scores.shape[-1] - last:] = np.nan
    return scores


def write_presses(model, ids):
    for name, (make, first, last) in PRESSES.items():
        scores, kept, _ = run(model, ids, make())
        save(f"press_{name}_kept", np.packbits(kept, axis=-1, bitorder="little"), "|u1")
        if name != "streaming":
            scores = unforced(scores, first, last)[list(LAYERS)]
            save(f"press_{name}_scores", scores[:, :1] if name == "tova" else scores)


def write_budgets(model, ids):
    """kvpress's pyramid where it is one: a short window, so that no bound binds and nothing falls back."""
    rows = []
    for ratio in (0.5, 0.6, 0.7):
        press = PyramidKVPress(ratio, window_size=8)
        rows.append([press.get_layer_budget(layer.self_attn, len(ids)) for layer in model.model.layers])
    save("press_pyramid_budgets", rows, "<i4")


def groups(cosine, share):
    """Three groups of layers by every cut there is; scipy-free, for k-means may stop in a worse one."""
    order, layers = np.sort(cosine), len(cosine)

    def scatter(part):
        return ((part - part.mean()) ** 2).sum()

    cuts = [(scatter(order[:a]) + scatter(order[a:b]) + scatter(order[b:]), b)
            for b in range(2, layers) for a in range(1, b)]
    upper = cosine >= order[min(cuts)[1]]
    return np.where(upper, share, (layers - upper.sum() * share) / (layers - upper.sum()))


@torch.no_grad()
def write_weights(model, ids, window=32, kernel=5):
    """Allocators' weights, the largest made 1, from attention, residuals and values of transformers, in f64."""
    cosine, handles = [], []

    def compare(module, args):
        cosine.append(torch.cosine_similarity(compare.before, args[0].double(), dim=-1).mean().item())

    def keep(module, args, kwargs):
        compare.before = (args[0] if args else kwargs["hidden_states"]).double()

    for layer in model.model.layers:
        handles.append(layer.register_forward_pre_hook(keep, with_kwargs=True))
        handles.append(layer.post_attention_layernorm.register_forward_pre_hook(compare))
    cache, n = DynamicCache(config=model.config), len(ids)
    out = model(torch.tensor([ids]), past_key_values=cache, use_cache=True, output_attentions=True)
    for handle in handles:
        handle.remove()
    cake, zigzag, lava, entropy = [], [], [], []
    for layer, attention in enumerate(out.attentions):
        a = attention[0].double()
        late = a[:, n - window:]
        before = late[:, :, : n - window]
        cake.append((-(before * torch.log(before + 1e-10)).sum() * before.var(dim=1, unbiased=True).sum()).item())
        held = late.sum(1).sort(dim=-1, descending=True).values.cumsum(-1)
        zigzag.append((1 + (held < 0.9 * held[:, -1:]).sum(-1)).double().mean().item())
        values = cache.layers[layer].values[0].double()
        pooled = torch.nn.functional.max_pool1d(before.mean(1), kernel, stride=1, padding=kernel // 2)
        score = pooled.view(len(values), -1, n - window).amax(1) * values.abs().sum(-1).amax(-1)[:, None]
        p = score.flatten() / score.sum()
        lava.append((-torch.xlogy(p, p).sum() / np.log(len(p))).item())
        entropy.append(-torch.xlogy(a, a).sum(-1).mean().item())
    u = np.array(zigzag) / sum(zigzag)
    rows = [np.array(cake), 0.2 / len(u) + 0.8 * u, groups(np.array(cosine), 0.3), np.exp(np.array(entropy)),
            np.array(lava)]
    save("allocator_weights", np.stack([row / row.max() for row in rows]))


def main():
    text, oracle = Text(MODEL), Oracle(MODEL, attention="eager")
    ids = np.load(os.path.join(OUT, "excerpt_ids.npy")).tolist()
    if len(sys.argv) < 2:
        write_presses(oracle.model, ids)
        write_budgets(oracle.model, ids)
        write_weights(oracle.model, ids)
        return
    wrong = 0
    for prompt, ids in (("excerpt", ids), ("tour", tour(text)[0])):
        for name, (make, first, last) in PRESSES.items():
            if name == "streaming":
                continue
            scores, _, _ = run(oracle.model, ids, make())
            want = unforced(scores, first, last)
            got = np.load(os.path.join(sys.argv[1], f"{prompt}_{name}.npy"))
            share = np.nanmax(np.abs(got - want) / np.abs(want))
            wrong += not share <= 1e-3
            print(f"{prompt:8s} {name:10s} {want.size} scores, {len(ids)} tokens: within a share of {share:.2e} "
                  f"(median {np.nanmedian(np.abs(got - want) / np.abs(want)):.1e})", flush=True)
    sys.exit(bool(wrong))


main()
