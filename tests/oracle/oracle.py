"""The judge: Hugging Face transformers on the same GGUF file, with an attention function of our own, and the seed
policy in numpy.

Nothing here is shared with the C engine. Tensors are dequantized to f32 by transformers; ids are made with the
`tokenizers` library from the file's own vocabulary and merges (transformers reads this file without its digit
rule, so it is never handed text). Attention is the plain equation, softmax in f64, with three uses of the same
probabilities: the output, the statistics of the prompt's rows, and the output under a per-layer eviction mask.
Notation: L layers, H query heads, n prompt tokens; entropy in nats.
"""
import os

import gguf
import jinja2
import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import eager_mask
from transformers.utils import logging as transformers_logging

MODEL = "models/smollm2-135m-instruct-q4_1.gguf"
transformers_logging.disable_progress_bar()
SINKS, RECENT, WINDOW, KERNEL = 4, 32, 32, 5


class Text:
    """Byte-level BPE exactly as the file states it; special tokens are found in the text."""

    def __init__(self, path):
        fields = gguf.GGUFReader(path).fields
        tokens = fields["tokenizer.ggml.tokens"].contents()
        kinds = fields["tokenizer.ggml.token_type"].contents()
        merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
        tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
        tok.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        tok.decoder = decoders.ByteLevel()
        tok.add_special_tokens([AddedToken(t, special=True, normalized=False)
                                for t, kind in zip(tokens, kinds) if kind == 3])
        self.tok = tok
        self.eos = int(fields["tokenizer.ggml.eos_token_id"].contents())
        self.template = jinja2.Environment().from_string(fields["tokenizer.chat_template"].contents())

    def encode(self, text):
        return self.tok.encode(text, add_special_tokens=False).ids

    def decode(self, ids):
        return self.tok.decode(list(map(int, ids)), skip_special_tokens=False)

    def chat(self, content):
        """One user message under the model's default system prompt, ready for the reply."""
        return self.template.render(messages=[{"role": "user", "content": content}], add_generation_prompt=True)


class Statistics:
    """What one prefill showed. entropy [L][H][n]; sums [L][H][n] column sums over all rows; window: last 32 rows."""

    def __init__(self, layers, heads, n):
        self.n = n
        self.entropy = np.zeros((layers, heads, n))
        self.sums = np.zeros((layers, heads, n))
        self.window = np.zeros((layers, heads, n))

    def take(self, layer, p, logp, first_row):
        """p, logp f64 [H][m][keys] of prompt rows first_row .. first_row + m."""
        rows = slice(first_row, first_row + p.shape[1])
        self.entropy[layer, :, rows] = -(p * torch.where(p > 0, logp, torch.zeros_like(p))).sum(-1).numpy()
        self.sums[layer, :, : p.shape[2]] += p.sum(1).numpy()
        late = max(0, self.n - WINDOW - first_row)
        if late < p.shape[1]:
            self.window[layer, :, : p.shape[2]] += p[:, late:].sum(1).numpy()

    def layer_score(self):
        return self.entropy.mean(axis=(1, 2))


class Oracle:
    """One model. keep: None, or bool [L][n]: prompt positions that rows after the prompt may still see."""

    def __init__(self, path=MODEL, attention="kvdbg"):
        AttentionInterface.register("kvdbg", self.attend)
        AttentionMaskInterface.register("kvdbg", eager_mask)
        folder, name = os.path.split(os.path.abspath(path))
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.float32, attn_implementation=attention).eval()
        cfg = self.model.config
        self.layers, self.heads = cfg.num_hidden_layers, cfg.num_attention_heads
        self.stats, self.keep = None, None

    def attend(self, module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
        """softmax(q k^T scaling) v; query [1][H][m][d], key and value [1][G][t][d], rows are the last m positions."""
        group = query.shape[1] // key.shape[1]
        k, v = key[0].repeat_interleave(group, 0), value[0].repeat_interleave(group, 0)
        m, t = query.shape[2], key.shape[2]
        seen = torch.ones(m, t, dtype=torch.bool).tril(t - m)
        if self.keep is not None:
            kept = torch.from_numpy(self.keep[module.layer_idx])
            assert t - m >= len(kept), "eviction applies to rows after the prompt only"
            seen[:, : len(kept)] &= kept
        s = (query[0] @ k.transpose(1, 2) * scaling).double().masked_fill(~seen, -torch.inf)
        logp = torch.log_softmax(s, -1)
        p = logp.exp()
        if self.stats is not None:
            self.stats.take(module.layer_idx, p, logp, t - m)
        return (p @ v.double()).float().transpose(0, 1)[None], None

    @torch.no_grad()
    def run(self, ids, cache):
        """Appends ids to the cache at the next true positions; logits f32 [len(ids)][vocabulary]."""
        past = cache.get_seq_length()
        where = torch.arange(past, past + len(ids))
        out = self.model(torch.tensor([ids]), past_key_values=cache, use_cache=True,
                         position_ids=where[None], cache_position=where)
        return out.logits[0]

    def prefill(self, ids, segment=512):
        """Dense prefill with statistics. Returns (logits [n][vocabulary], cache, statistics)."""
        self.keep, self.stats = None, Statistics(self.layers, self.heads, len(ids))
        cache = DynamicCache(config=self.model.config)
        logits = torch.cat([self.run(ids[i:i + segment], cache) for i in range(0, len(ids), segment)])
        stats, self.stats = self.stats, None
        return logits, cache, stats

    def forced(self, reply, cache, keep=None, one_by_one=True):
        """Logits [len(reply)][vocabulary] after each forced token; the cache is left as it was."""
        n = cache.get_seq_length()
        self.keep = keep
        parts = [[t] for t in reply] if one_by_one else [list(reply)]
        logits = torch.cat([self.run(part, cache) for part in parts])
        self.keep = None
        cache.crop(n)
        return logits

    def greedy(self, first, cache, keep=None, steps=32, eos=None, forbid=None):
        """Greedy reply that starts from logits row `first`; ends with eos, or never picks `forbid`."""
        n = cache.get_seq_length()
        self.keep, reply, row = keep, [], first
        while len(reply) < steps:
            row = row.clone()
            if forbid is not None:
                row[forbid] = -torch.inf
            reply.append(int(row.argmax()))
            if reply[-1] == eos:
                break
            row = self.run([reply[-1]], cache)[0]
        self.keep = None
        cache.crop(n)
        return reply


def solve(weights, total, lo, hi):
    """Whole budgets proportional to weights within [lo, hi], sum exact (policies.md 6.1 as this project states it)."""
    w = np.asarray(weights, float)
    lo, hi = np.broadcast_to(lo, w.shape), np.broadcast_to(hi, w.shape)
    total = int(min(max(total, lo.sum()), hi.sum()))
    y, free = np.zeros(len(w)), np.ones(len(w), bool)
    while free.any():
        rem = total - y[~free].sum()
        wsum = w[free].sum()
        y[free] = rem * w[free] / wsum if wsum > 0 else rem / free.sum()
        below, above = free & (y < lo), free & (y > hi)
        if not (below.any() or above.any()):
            break
        lack, excess = (lo - y)[below].sum(), (y - hi)[above].sum()
        side, bound = (above, hi) if excess >= lack else (below, lo)
        y[side] = bound[side]
        free &= ~side
    # A whole share that arithmetic left a hair below its integer is that integer.
    near = np.round(y)
    y = np.where(np.abs(y - near) < 1e-9 * np.maximum(1, near), near, y)
    budget = np.floor(y).astype(int)
    order = sorted(range(len(w)), key=lambda l: (-(y[l] - budget[l]), l))
    while budget.sum() < total:
        for l in order:
            if budget.sum() < total and budget[l] < hi[l]:
                budget[l] += 1
    return budget


def pool(score, kernel=KERNEL):
    """SnapKV's average pooling: centered, always divided by the kernel's size, zero beyond the ends. Keys before the
    observation window and those inside it are pooled apart."""
    late = max(0, len(score) - WINDOW)
    flat = np.ones(kernel) / kernel
    return np.concatenate([np.convolve(part, flat)[kernel // 2:][: len(part)] for part in (score[:late], score[late:])])


def scores(stats, selector):
    """Token score [L][n], heads added up; the window's is the mean over its rows."""
    n = stats.n
    if selector == "sum":
        return stats.sums.sum(1)
    if selector == "mean":
        return stats.sums.sum(1) / (n - np.arange(n))
    if selector == "window":
        return np.stack([pool(row) for row in stats.window.sum(1) / min(WINDOW, n)])
    if selector == "random":
        return np.random.default_rng(0).random((stats.sums.shape[0], n))
    if selector == "streaming":
        return np.tile(np.arange(n, dtype=float), (stats.sums.shape[0], 1))
    raise ValueError(selector)


ALLOCATORS = {"entropy": lambda e: e, "uniform": np.ones_like, "inverse": lambda e: 1 / e}


def budgets(layer_score, n, allocator, ratio, sinks=SINKS, recent=RECENT):
    total = int(np.floor(ratio * n * len(layer_score) + 0.5))
    return solve(ALLOCATORS[allocator](layer_score), total, min(n, max(1, sinks + recent)), n)


def select(score, budget, sinks=SINKS, recent=RECENT):
    """Kept bool [n] and the cut-off (last kept, first evicted score among the unforced; NaN where there is none)."""
    n = len(score)
    keep = np.zeros(n, bool)
    keep[:sinks] = keep[n - recent:] = True
    rest = np.flatnonzero(~keep)
    rest = rest[np.lexsort((rest, -score[rest]))]
    picked = max(0, int(budget) - int(keep.sum()))
    keep[rest[:picked]] = True
    last = score[rest[picked - 1]] if picked else np.nan
    first = score[rest[picked]] if picked < len(rest) else np.nan
    return keep, (last, first)


def keep_sets(stats, allocator, selector, ratio):
    """(kept bool [L][n], budgets [L], cut-offs [L][2])"""
    budget = budgets(stats.layer_score(), stats.n, allocator, ratio)
    done = [select(row, b) for row, b in zip(scores(stats, selector), budget)]
    return np.stack([k for k, _ in done]), budget, np.array([c for _, c in done])


def kl(full, other):
    """KL(full || other) in nats per row, f64."""
    p, q = torch.log_softmax(full.double(), -1), torch.log_softmax(other.double(), -1)
    return (p.exp() * (p - q)).sum(-1).numpy()


def tour(text):
    """Ids of the demo's request: document, blank line, question, in one user message."""
    with open("sessions/tour.txt") as f:
        document = f.read().rstrip("\n")
    with open("sessions/tour-question.txt") as f:
        question = f.read().rstrip("\n")
    return text.encode(text.chat(document + "\n\n" + question)), document, question
