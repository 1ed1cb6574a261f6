"""Writes tests/golden/model/cake_scores.npy: CAKE's token score on the default model, for tests/unit/cake.c.

    python tests/oracle/cake_golden.py            (from the top of the checkout, needs models/; a minute)

The prompt is excerpt_ids (model_golden.py), attention transformers' eager one in f32, then f64. Of the last 32 rows: mean
plus 200 times the unbiased variance, keys before these rows pooled (average of 5, zeros beyond the ends), mean over the
query heads of a KV head. [3][G][n - 32] of layers 0, 14 and 29.
"""
import os

import numpy as np
import torch

from oracle import MODEL, Oracle

OUT = "tests/golden/model"
LAYERS, WINDOW, GAMMA, KERNEL = (0, 14, 29), 32, 200, 5


@torch.no_grad()
def main():
    model = Oracle(MODEL, attention="eager").model
    ids = np.load(os.path.join(OUT, "excerpt_ids.npy")).tolist()
    attentions = model(torch.tensor([ids]), output_attentions=True).attentions
    rows = []
    for layer in LAYERS:
        late = attentions[layer][0, :, -WINDOW:, :-WINDOW].double()
        score = late.mean(1) + GAMMA * late.var(1, unbiased=True)
        pooled = torch.nn.functional.avg_pool1d(score, KERNEL, stride=1, padding=KERNEL // 2)
        rows.append(pooled.view(model.config.num_key_value_heads, -1, pooled.shape[-1]).mean(1))
    scores = np.ascontiguousarray(torch.stack(rows).numpy(), dtype="<f4")
    np.save(os.path.join(OUT, "cake_scores.npy"), scores)
    print(scores.shape, scores[:, 0, :4])


if __name__ == "__main__":
    main()
