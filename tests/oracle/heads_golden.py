"""Writes tests/golden/model/heads_*.npy: kept sets of KV heads by kvpress on the default model, and what the model then
says, for tests/unit/heads.c.

    python tests/oracle/heads_golden.py            (from the top of the checkout, needs models/; half a minute)

The prompt is the first 512 of excerpt_ids (model_golden.py). SnapKVPress really compacts its cache; AdaKVPress masks what
it drops. Both keep 128 tokens a KV head on average, of which 64 are the observation window. Then a given reply is
fed token by token at its true positions.
"""
import os

import numpy as np
import torch
from kvpress import AdaKVPress, SnapKVPress
from transformers.cache_utils import DynamicCache

from model_golden import sketch
from oracle import MODEL, Oracle

OUT = "tests/golden/model"
LAYERS = (0, 14, 29)
N, STEPS, RATIO, WINDOW = 512, 16, 0.75, 64
PRESSES = {
    "snapkv": lambda: SnapKVPress(RATIO, window_size=WINDOW, kernel_size=5),
    "adakv": lambda: AdaKVPress(SnapKVPress(RATIO, window_size=WINDOW, kernel_size=5), alpha_safeguard=0.2),
}


def save(name, array, dtype="<f4"):
    array = np.ascontiguousarray(array, dtype=dtype)
    np.save(os.path.join(OUT, name + ".npy"), array)
    print(f"{name:24s} {dtype} {array.shape} {array.nbytes}")


@torch.no_grad()
def prefill(model, ids, press):
    """(scores [L][G][n], kept 0/1 [L][G][n], cache, the last row's logits)"""
    scorer = getattr(press, "press", press)
    seen, cache, score = [], DynamicCache(config=model.config), scorer.score

    def watched(*args, **kwargs):
        seen.append(score(*args, **kwargs).clone())
        return seen[-1].clone()

    scorer.score = watched
    with press(model):
        out = model(torch.tensor([ids]), past_key_values=cache, use_cache=True)
    scores = torch.stack([s[0] for s in seen])
    kept = torch.ones_like(scores, dtype=torch.uint8)
    if cache.layers[0].keys.shape[2] < len(ids):
        kept.zero_().scatter_(-1, scores.topk(cache.layers[0].keys.shape[2], dim=-1).indices, 1)
    else:
        for l, layer in enumerate(model.model.layers):
            _, head, position = layer.self_attn.masked_key_indices
            kept[l, head, position] = 0
    return scores.numpy(), kept.numpy(), cache, out.logits[0, -1:]


@torch.no_grad()
def forced(model, reply, cache, n):
    rows = []
    for i, token in enumerate(reply):
        where = torch.tensor([[n + i]])
        out = model(torch.tensor([[token]]), past_key_values=cache, use_cache=True, position_ids=where)
        rows.append(out.logits[0])
    return torch.cat(rows)


def main():
    model = Oracle(MODEL, attention="sdpa").model
    ids = np.load(os.path.join(OUT, "excerpt_ids.npy"))[:N].tolist()
    fixed = np.load(os.path.join(OUT, "vocabulary_ids.npy"))
    with torch.no_grad():
        reply = model.generate(torch.tensor([ids]), max_new_tokens=STEPS, do_sample=False, eos_token_id=None)[0, N:].tolist()
    save("heads_reply", reply, "<i4")
    for name, press in PRESSES.items():
        scores, kept, cache, _ = prefill(model, ids, press())
        if name == "snapkv":
            save("heads_score", scores[list(LAYERS)][..., : N - WINDOW])
        counts = kept.sum(-1)
        assert (counts.sum(-1) == 3 * 128).all(), counts
        print(f"  {name}: {counts.min()} to {counts.max()} tokens a KV head")
        save(f"heads_kept_{name}", np.packbits(kept, axis=-1, bitorder="little"), "u1")
        save(f"heads_decode_{name}", sketch(forced(model, reply, cache, N), fixed))


if __name__ == "__main__":
    main()
