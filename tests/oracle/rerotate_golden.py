"""Writes tests/golden/model/rerotate_*.npy: a cache whose keys kvpress has turned to their places, and what the model
then says, for tests/unit/rerotate.c.

    python tests/oracle/rerotate_golden.py            (from the top of the checkout, needs models/; half a minute)

The prompt is excerpt_ids (model_golden.py) under KeyRerotationPress of SnapKVPress and TOVAPress, which keep a quarter.
kept: what is kept of all positions, as bits [L][G][n/8]; keys: of layers 0, 14 and 29, every tenth slot [3][G][B/10][d];
logits (model_golden.py's sketch) of heads_reply, fed token by token from position B on [STEPS][...].
"""
import os

import numpy as np
import torch
from kvpress import KeyRerotationPress, SnapKVPress, TOVAPress
from transformers.cache_utils import DynamicCache

from model_golden import sketch
from oracle import MODEL, Oracle

OUT = "tests/golden/model"
LAYERS = [0, 14, 29]
PRESSES = {"snapkv": lambda: SnapKVPress(0.75, window_size=64, kernel_size=5), "tova": lambda: TOVAPress(0.75)}


def save(name, array, dtype="<f4"):
    array = np.ascontiguousarray(array, dtype=dtype)
    np.save(os.path.join(OUT, name + ".npy"), array)
    print(f"{name:24s} {dtype} {array.shape} {array.nbytes}")


@torch.no_grad()
def main():
    model = Oracle(MODEL, attention="eager").model
    ids = np.load(os.path.join(OUT, "excerpt_ids.npy")).tolist()
    reply = np.load(os.path.join(OUT, "heads_reply.npy")).tolist()
    fixed = np.load(os.path.join(OUT, "vocabulary_ids.npy"))
    for name, make in PRESSES.items():
        press, seen, cache = KeyRerotationPress(make()), [], DynamicCache(config=model.config)
        score = press.press.score

        def watched(*args, **kwargs):
            seen.append(score(*args, **kwargs))
            return seen[-1]

        press.press.score = watched
        with press(model):
            model(torch.tensor([ids]), past_key_values=cache, use_cache=True)
        scores = torch.stack([s[0] for s in seen])
        budget = cache.layers[0].keys.shape[2]
        kept = torch.zeros_like(scores, dtype=torch.uint8).scatter_(-1, scores.topk(budget, dim=-1).indices, 1)
        save(f"rerotate_{name}_kept", np.packbits(kept.numpy(), axis=-1, bitorder="little"), "|u1")
        save(f"rerotate_{name}_keys", np.stack([cache.layers[l].keys[0, :, ::10].numpy() for l in LAYERS]))
        rows = []
        for i, token in enumerate(reply):
            where = torch.tensor([[budget + i]])
            out = model(torch.tensor([[token]]), past_key_values=cache, use_cache=True, position_ids=where)
            rows.append(out.logits[0])
        save(f"rerotate_{name}_logits", sketch(torch.cat(rows), fixed))


if __name__ == "__main__":
    main()
