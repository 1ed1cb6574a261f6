"""Writes tests/golden/judge.txt: KL divergences by torch in float64, summaries and bootstraps by numpy.

    python tests/oracle/judge_golden.py > tests/golden/judge.txt

Logits are drawn by splitmix64 as in policy_golden.py, in step with tests/unit/judge.c: a row of n logits is
draw(-8000, 8000) / 1000 + offset, the other row adds draw(-s, s) / 1000 to each.
Lines: kl SEED NATS TOP_FULL TOP_OTHER | summary SEED MEAN MEDIAN P90 P95 P99 MAX | bootstrap SEED MEAN LOW HIGH
"""
import numpy as np
import torch

MASK = (1 << 64) - 1


class Rng:
    def __init__(self, seed):
        self.state = seed

    def draw(self, a, b):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return a + (z ^ z >> 31) % (b - a + 1)


for seed in range(1, 31):
    r = Rng(seed)
    n, offset, spread = r.draw(1, 3000), r.draw(-300, 300), r.draw(0, 4000)
    full = np.array([r.draw(-8000, 8000) / 1000 + offset for _ in range(n)], np.float32)
    other = np.array([float(x) + r.draw(-spread, spread) / 1000 for x in full], np.float32)
    p = torch.log_softmax(torch.from_numpy(full).double(), -1)
    q = torch.log_softmax(torch.from_numpy(other).double(), -1)
    kl = torch.nn.functional.kl_div(q, p, reduction="sum", log_target=True).item()
    print("kl", seed, repr(max(kl, 0.0)), int(full.argmax()), int(other.argmax()))

for seed in range(101, 111):
    r = Rng(seed)
    x = np.array([r.draw(0, 100000) / 7000 for _ in range(r.draw(1, 300))])
    quantiles = np.percentile(x, [50, 90, 95, 99])
    print("summary", seed, *(repr(float(v)) for v in (x.mean(), *quantiles, x.max())))

for seed in range(201, 211):
    r = Rng(seed)
    x = np.array([r.draw(-10000, 10000) / 7000 for _ in range(r.draw(1, 60))])
    r = Rng(seed)
    means = [np.mean([x[r.draw(0, len(x) - 1)] for _ in x]) for _ in range(500)]
    print("bootstrap", seed, *(repr(float(v)) for v in (x.mean(), *np.percentile(means, [2.5, 97.5]))))
