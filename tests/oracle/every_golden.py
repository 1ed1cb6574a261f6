"""Writes tests/golden/model/every_*.npy: what kvpress keeps while it compresses during decode, for tests/unit/every.c.

    python tests/oracle/every_golden.py            (from the top of the checkout, needs models/; a minute)

The prompt is excerpt_ids (model_golden.py), the model transformers' with eager attention in f32. A press keeps half of
the prompt, then PrefillDecodingPress brings every layer back to as many tokens whenever EVERY were decoded, greedily.
For each press: the reply [STEPS], and for each compression of the reply what is kept of all positions, as bits
[K][L][G][n/8].
Only presses whose decode-time score is the one described are here: SnapKV's turns all rows of its window by the present
position, ObservedAttention's sees the last row alone, and StreamingLLM's counts slots in the order in which top-k left
them.
"""
import os

import numpy as np
import torch
from kvpress import DecodingPress, KnormPress, PrefillDecodingPress, TOVAPress
from transformers.cache_utils import DynamicCache

from oracle import MODEL, Oracle

OUT = "tests/golden/model"
EVERY, STEPS = 16, 49
PRESSES = {
    "knorm": lambda: KnormPress(0.5),
    "tova": lambda: TOVAPress(0.5),
}


class Watch:
    """Follows the positions of a layer's slots through the press's top-k, which leaves them in its own order."""

    def __init__(self, press):
        self.score, self.at, self.kept = press.score, {}, []
        press.score = self
        self.press = press

    def __call__(self, module, hidden_states, keys, *rest):
        scores = self.score(module, hidden_states, keys, *rest)
        layer, n = module.layer_idx, keys.shape[2]
        before = self.at.get(layer)
        if before is None:
            position = torch.arange(n).expand(scores.shape[1], n)
        else:
            first = self.seen
            new = torch.arange(first, first + n - before.shape[1]).expand(scores.shape[1], -1)
            position = torch.cat([before, new], dim=1)
        n_kept = int(n * (1 - self.press.compression_ratio))
        index = scores.topk(n_kept, dim=-1).indices[0]
        self.at[layer] = position.gather(1, index)
        self.kept.append(self.at[layer].sort(dim=-1).values.numpy())
        return scores


@torch.no_grad()
def run(model, ids, name):
    prefill, decode = PRESSES[name](), PRESSES[name]()
    watch, later = Watch(prefill), Watch(decode)
    later.at = watch.at
    size = len(ids) // 2
    press = PrefillDecodingPress(prefill, DecodingPress(decode, compression_interval=EVERY, target_size=size))
    cache, reply, layers = DynamicCache(config=model.config), [], model.config.num_hidden_layers
    with press(model):
        out = model(torch.tensor([ids]), past_key_values=cache, use_cache=True)
        for step in range(STEPS):
            reply.append(out.logits[0, -1].argmax().item())
            position = torch.tensor([len(ids) + step])
            later.seen = len(ids) + step - step % EVERY
            if step < STEPS - 1:
                out = model(torch.tensor([reply[-1:]]), past_key_values=cache, use_cache=True,
                            position_ids=position[None], cache_position=position)
    kept = np.array(later.kept).reshape(-1, layers, *later.kept[0].shape)
    return np.array(reply), kept


def main():
    oracle = Oracle(MODEL, attention="eager")
    ids = np.load(os.path.join(OUT, "excerpt_ids.npy")).tolist()
    for name in PRESSES:
        reply, kept = run(oracle.model, ids, name)
        mask = np.zeros((*kept.shape[:-1], len(ids) + STEPS - 1), dtype=np.uint8)
        np.put_along_axis(mask, kept, 1, axis=-1)
        for what, array, dtype in (("reply", reply, "<i4"),
                                   ("kept", np.packbits(mask, axis=-1, bitorder="little"), "|u1")):
            np.save(os.path.join(OUT, f"every_{name}_{what}.npy"), np.ascontiguousarray(array, dtype=dtype))
        print(name, len(ids), reply[:12], kept.shape, kept[-1, 0, 0, -20:])


if __name__ == "__main__":
    main()
