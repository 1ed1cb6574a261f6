"""Writes a core file of kvdbg from a run in Hugging Face transformers, or in kvpress: somebody else's compression, to be
looked at with `kvdbg -c FILE` (or numpy). The format is told in engine/core.h.

    python tests/oracle/core_from_hf.py OUT [--press PRESS] [--ratio R] [--head G] [--prompt FILE] [--steps N]
        [--attn L.H]... [--logits]                    (from the top of the checkout, needs models/)

Without --press: eager attention over the full cache, a kept set by column sums (sinks, recent tokens, then the best),
the same number of tokens in every layer, and the full cache's own reply. With --press: any scoring press of kvpress
(TOVAPress(), "SnapKVPress(window_size=16)", "ObservedAttentionPress()", ...), which keeps a share R, and the reply that its cache gives.
Maps of attention are over prompt and reply without a press, over the prompt with one, whose reply reads another cache.
kvpress keeps one set for each KV head; a core has one for each layer, so `kept` says what any head of the layer keeps,
or with --head what KV head G keeps, and the file's tensor kept.heads U8 [L][G][n] has them all.

write() is all that another program needs: values by name, texts by key, and the bytes of each token.
"""
import argparse
import importlib.metadata

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers.cache_utils import DynamicCache

from oracle import MODEL, Oracle, Text

EVICTED, SINK, RECENT, TOP_K = 0, 1, 2, 4  # kv_reason_name
SINKS, RECENTS = 4, 8


def write(path, values, notes, pieces):
    """values: {name: array}; notes: {key: text}; pieces: {token id: bytes} of all tokens that occur."""
    ids = sorted(pieces)
    start = np.cumsum([0] + [len(pieces[i]) for i in ids])
    values = dict(values)
    values["piece.id"] = np.array(ids, np.int32)
    values["piece.start"] = start.astype(np.int32)
    values["piece.bytes"] = np.frombuffer(b"".join(pieces[i] for i in ids), np.uint8)
    notes = {"format": "kvdbg-core", "format.version": "1", **notes}
    save_file({k: np.ascontiguousarray(v) for k, v in values.items()}, path, metadata={k: str(v) for k, v in notes.items()})


def byte_alphabet():
    """What each character of a byte-level vocabulary stands for (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(b): b for b in plain}
    rest = [b for b in range(256) if b not in plain]
    return {**table, **{chr(256 + i): b for i, b in enumerate(rest)}}


def piece(text, token):
    alphabet = byte_alphabet()
    name = text.tok.id_to_token(int(token))
    return bytes(alphabet[c] for c in name) if all(c in alphabet for c in name) else name.encode()


@torch.no_grad()
def prefill(model, ids, press=None):
    """(attention [L][H][n][n] in f64, logits of the last row, cache, scores of the press [L][G][n] or None)"""
    cache, seen = DynamicCache(config=model.config), []
    if press is not None:
        score = press.score

        def watched(*args, **kwargs):
            seen.append(score(*args, **kwargs))
            return seen[-1]

        press.score = watched
        with press(model):
            out = model(torch.tensor([ids]), past_key_values=cache, use_cache=True, output_attentions=True)
    else:
        out = model(torch.tensor([ids]), past_key_values=cache, use_cache=True, output_attentions=True)
    attention = torch.stack([a[0] for a in out.attentions]).double()
    return attention, out.logits[0, -1], cache, torch.stack([s[0] for s in seen]) if seen else None


@torch.no_grad()
def reply(model, row, cache, n, steps, eos):
    """Greedy, at the positions that follow the prompt whatever the cache still holds."""
    tokens = []
    while len(tokens) < steps:
        tokens.append(int(row.argmax()))
        if tokens[-1] == eos:
            break
        where = torch.tensor([n + len(tokens) - 1])
        row = model(torch.tensor([[tokens[-1]]]), past_key_values=cache, use_cache=True, position_ids=where[None],
                    cache_position=where).logits[0, -1]
    return tokens, row


def ranks(score, forced):
    """0 for the best of those that compete, earlier tokens first among equals; -1 for the others."""
    rank = np.full(score.shape, -1, np.int32)
    for l, row in enumerate(score):
        free = np.flatnonzero(~forced[l])
        rank[l, free[np.lexsort((free, -row[free]))]] = np.arange(len(free))
    return rank


def by_column_sums(attention, ratio):
    """score [L][n], kept, reason"""
    score = attention.sum((1, 2)).numpy()
    n = score.shape[1]
    forced = np.zeros(score.shape, bool)
    forced[:, :SINKS] = forced[:, n - RECENTS:] = True
    budget = max(SINKS + RECENTS, round(ratio * n))
    rank = ranks(score, forced)
    kept = forced | ((rank >= 0) & (rank < budget - SINKS - RECENTS))
    reason = np.where(kept, TOP_K, EVICTED).astype(np.uint8)
    reason[:, n - RECENTS:], reason[:, :SINKS] = RECENT, SINK
    return score, kept, reason, rank, None


def by_press(scores, n_kept, head):
    """The sets of all KV heads by the press's own scores, and what a core says of them."""
    best = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, scores.topk(n_kept, dim=-1).indices, True).numpy()
    scores = scores.double().numpy()
    kept = best.any(1) if head is None else best[:, head]
    score = scores.max(1) if head is None else scores[:, head]
    return score, kept, np.where(kept, TOP_K, EVICTED).astype(np.uint8), ranks(score, np.zeros(score.shape, bool)), best


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out")
    p.add_argument("--press")
    p.add_argument("--ratio", type=float, default=0.5)
    p.add_argument("--head", type=int)
    p.add_argument("--prompt", default="tests/dialogue/fox.txt")
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--attn", action="append", default=[])
    p.add_argument("--logits", action="store_true")
    a = p.parse_args()
    text, oracle = Text(MODEL), Oracle(MODEL, attention="eager")
    model, config = oracle.model, oracle.model.config
    with open(a.prompt) as f:
        prompt = f.read().rstrip("\n")
    ids = text.encode(text.chat(prompt))
    n, layers = len(ids), config.num_hidden_layers
    press, program = None, "transformers " + importlib.metadata.version("transformers")
    if a.press:
        import kvpress

        press = eval(a.press, vars(kvpress))
        press.compression_ratio = 1 - a.ratio
        program = "kvpress " + importlib.metadata.version("kvpress")
    attention, row, cache, scores = prefill(model, ids, press)
    n_kept = cache.layers[0].keys.shape[2] if press else 0
    score, kept, reason, rank, heads = by_press(scores, n_kept, a.head) if press else by_column_sums(attention, a.ratio)
    tokens, row = reply(model, row, cache, n, a.steps, text.eos)
    entropy = -torch.xlogy(attention, attention).sum(-1).mean(-1).numpy()
    held = kept.sum(1).astype(np.int32)
    cut = np.array([s[r == r[k & (r >= 0)].max()].min() if (k & (r >= 0)).any() else np.nan
                    for s, k, r in zip(score, kept, rank)])
    budget = np.full(layers, n_kept, np.int32) if press else held
    values = {
        "tok": np.array(ids, np.int32), "reply": np.array(tokens, np.int32), "entropy": entropy.astype(np.float32),
        "E": entropy.mean(1).astype(np.float32), "weight": np.ones(layers, np.float32),
        "budget.req": budget.astype(np.float32), "budget.app": budget, "budget.used": held + len(tokens) - 1,
        "budget.total": np.array([budget.sum()] * 2, np.int32), "kept": kept.astype(np.uint8), "reason": reason,
        "n_kept": held, "score": score.astype(np.float32), "rank": rank, "cut": cut.astype(np.float32),
        "prompt.text": np.frombuffer(prompt.encode(), np.uint8),
    }
    if heads is not None:
        values["kept.heads"] = heads.astype(np.uint8)
    if a.logits:
        values["logit"] = row.float().numpy()
    read = attention if press or not a.attn else prefill(model, ids + tokens[:-1])[0]
    for which in a.attn:
        l, h = map(int, which.split("."))
        values[f"attn.{l}.{h}"] = read[l, h].float().numpy()
    title = f"{a.press}, kept {a.ratio:g}" if press else f"column sums, kept {a.ratio:g}"
    if press:
        title += " of what any KV head keeps" if a.head is None else f" by KV head {a.head}"
    write(a.out, values, {
        "program": program, "phase": "done", "tail": len(tokens) - 1, "prompt.name": a.prompt, "chat": "on",
        "compress.title": title, "policy.preset": "manual", "policy.ratio": f"{a.ratio:g}", "backend": f"torch {torch.__version__}, eager attention", "engine.precision": "f32",
        "decode.tokens": a.steps, "model.path": MODEL, "model.name": "SmolLM2 135M Instruct", "model.arch": "llama",
        "model.layers": layers, "model.heads": config.num_attention_heads,
        "model.kv-heads": config.num_key_value_heads, "model.head-dim": config.head_dim,
        "model.hidden": config.hidden_size, "model.ffn": config.intermediate_size,
        "model.vocabulary": config.vocab_size, "model.context": config.max_position_embeddings,
    }, {int(t): piece(text, t) for t in {*ids, *tokens}})
    print(f"{a.out}: {title}; {held.min()} to {held.max()} of {n} tokens a layer; reply {text.decode(tokens)!r}")


main()
