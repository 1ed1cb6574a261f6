"""Writes tests/golden/hf/: four small random models as Hugging Face folders by transformers' save_pretrained, what
transformers computes on them in f32, and the same models as GGUF files by llama.cpp's converter, for tests/unit/folder.c.

    python tests/oracle/hf_golden.py LLAMA_CPP        (its sources; from the top of the checkout, seconds)

The converter insists on a tokenizer, which these models have not; its reading of one is switched off.
"""
import os
import shutil
import sys

os.environ["TQDM_DISABLE"] = os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, MistralConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

OUT = "tests/golden/hf"
TOKENS = 48
BASE = dict(vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2)
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 32}
# name, config, type of the weights, largest file
MODELS = [
    ("llama-f32", LlamaConfig(**BASE, rms_norm_eps=1e-5), "float32", "1GB"),
    ("mistral-bf16", MistralConfig(**BASE, sliding_window=16, rms_norm_eps=1e-5,
                                   rope_parameters={"rope_type": "default", "rope_theta": 1e5}), "bfloat16", "30KB"),
    ("qwen2-f16", Qwen2Config(**BASE, tie_word_embeddings=True), "float16", "1GB"),
    ("qwen3-bf16", Qwen3Config(**BASE, head_dim=16, tie_word_embeddings=True, rope_parameters=YARN), "bfloat16", "1GB"),
]


def random_model(config, seed):
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn_like(p)
            p.copy_(1 + 0.3 * noise if "norm" in name else 0.2 * noise if "bias" in name else 0.25 * noise)
    return model


def entropy(attention):
    """Mean Shannon entropy of a layer's rows by head, nats."""
    p = attention[0].double()
    return -(p * torch.where(p > 0, p.log(), 0)).sum(-1).mean(-1)


def save_tokenizer(folder):
    """A token a character, but for two rare ones that there is no room for."""
    space = "\u0120"
    characters = [chr(c) for c in range(33, 127) if chr(c) not in "`~"] + [space]
    vocabulary = {text: i for i, text in enumerate(["<unk>", "<s>", "</s>"] + characters)}
    assert len(vocabulary) == BASE["vocab_size"]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>",
                            eos_token="</s>").save_pretrained(folder)


def convert(llama_cpp, folder, kind, out):
    sys.path.insert(0, llama_cpp)
    import convert_hf_to_gguf as converter
    import conversion.llama
    import conversion.qwen
    for reader in (conversion.llama.LlamaModel, conversion.qwen.Qwen2Model, conversion.qwen.Qwen3Model):
        reader.set_vocab = lambda self: None
    sys.argv = ["convert", folder, "--outtype", kind, "--outfile", out]
    converter.main()


def main(llama_cpp):
    transformers.logging.disable_progress_bar()
    ids = torch.randint(3, BASE["vocab_size"], (1, TOKENS), generator=torch.Generator().manual_seed(5))
    os.makedirs(OUT, exist_ok=True)
    np.save(f"{OUT}/ids.npy", ids[0].numpy().astype("<i4"))
    for seed, (name, config, kind, most) in enumerate(MODELS):
        folder = f"{OUT}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        random_model(config, seed).to(getattr(torch, kind)).save_pretrained(folder, max_shard_size=most)
        if name == "llama-f32":
            save_tokenizer(folder)
        for file in os.listdir(folder):
            os.chmod(f"{folder}/{file}", 0o644)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            out = model(ids, output_attentions=True)
        np.save(f"{OUT}/{name}.logits.npy", out.logits[0].numpy().astype("<f4"))
        np.save(f"{OUT}/{name}.entropy.npy", torch.stack([entropy(a) for a in out.attentions]).numpy().astype("<f4"))
        convert(llama_cpp, folder, name.split("-")[1], f"{OUT}/{name}.gguf")
        print(name, "logits up to", out.logits.abs().max().item())



if __name__ == "__main__":
    main(sys.argv[1])
