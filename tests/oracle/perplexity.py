"""Perplexity, kvdbg's beside llama.cpp's and transformers'.

    python tests/oracle/perplexity.py golden
        writes tests/golden/perplexity.txt: what transformers, in f32, says of sessions/tour.txt.
    python tests/oracle/perplexity.py table TEXT FILES PEER [WINDOWS [TYPE...]]
        requantizes the default model to every type with PEER/llama-quantize (once, into FILES), reads TEXT with
        build/kvdbg and PEER/llama-perplexity, and prints a Markdown table. llama.cpp rounds activations to 8 bits where
        weights are quantized; kvdbg does in precision int8, and the two are compared in that. To compare fast, llama.cpp
        also reads the same weights, which llama-quantize writes as F32.
    python tests/oracle/perplexity.py logits FILES TYPE...
        logits of the last token of three prompts, kvdbg in f32 against transformers on the same file.

Run from the top of the checkout, after `make` and `make model`.
"""
import os
import re
import subprocess
import sys
import tempfile

MODEL = "models/smollm2-135m-instruct-q4_1.gguf"
KVDBG = os.environ.get("KVDBG", "build/kvdbg")
THREADS = os.environ.get("THREADS", "2")
TYPES = ["F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_1", "Q5_0", "Q4_K_M", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "Q3_K_M",
         "Q2_K", "Q3_K-pure", "Q2_K-pure"]
TEXT, WINDOW, WINDOWS = "sessions/tour.txt", 256, 2


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


def golden():
    """Negative log-likelihoods of the second half of each window, alone in the model."""
    import torch
    from oracle import Oracle, Text

    ids = Text(MODEL).encode(open(TEXT).read().removesuffix("\n"))
    oracle = Oracle(MODEL)
    nll = []
    for w in range(WINDOWS):
        window = ids[w * WINDOW:(w + 1) * WINDOW]
        logits, _, _ = oracle.prefill(window)
        p = logits.double().log_softmax(-1)
        nll += [-p[i, window[i + 1]].item() for i in range(WINDOW // 2, WINDOW - 1)]
    nll = torch.tensor(nll, dtype=torch.float64)
    with open("tests/golden/perplexity.txt", "w") as out:
        out.write("# python tests/oracle/perplexity.py golden\n")
        out.write(f"{TEXT} {WINDOW} {WINDOWS} {len(ids)} {len(nll)} {nll.mean():.9f} "
                  f"{(nll.var(unbiased=False) / (len(nll) - 1)).sqrt():.9f}\n")


def quantized(files, peer, kind):
    """Path of the default model in a type; F16 comes first, for it is what the others are made of. Its rows of 576 are no
    whole blocks of 256: only -pure puts Q2_K and Q3_K where they fit."""
    path = os.path.join(files, kind + ".gguf")
    if not os.path.exists(path):
        source = MODEL if kind == "F16" else quantized(files, peer, "F16")
        pure = ["--pure"] if kind.endswith("-pure") else []
        run([os.path.join(peer, "llama-quantize"), "--allow-requantize", *pure, source, path, kind.removesuffix("-pure"),
             "2"])
    return path


def types_of(path):
    """Which types the file's matrices are of, and how many of each."""
    import gguf

    count = {}
    for t in gguf.GGUFReader(path).tensors:
        if t.tensor_type.name != "F32":
            count[t.tensor_type.name] = count.get(t.tensor_type.name, 0) + 1
    return " ".join(f"{n} {k}" for k, n in sorted(count.items(), key=lambda c: -c[1]))


def kvdbg_ppl(path, text, windows, precision):
    said = run([KVDBG, "-q", "-nx", "-batch", "--precision", precision, "--threads", THREADS, "-ex",
                f"perplexity {text} 512 {windows}", path])
    return float(re.search(r": ([\d.]+) \+/-", said)[1])


def peer_ppl(path, text, windows, peer):
    said = run([os.path.join(peer, "llama-perplexity"), "-m", path, "-f", text, "-c", "512", "--chunks", str(windows),
                "-t", THREADS])
    return float(re.search(r"PPL = ([\d.]+)", said)[1])


def table(text, files, peer, windows="8", *kinds):
    print("| file | MiB | matrices | int8 | llama-perplexity | ratio | fast | llama-perplexity, as F32 | ratio |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for kind in kinds or TYPES:
        path, exact = quantized(files, peer, kind), os.path.join(files, kind + ".F32.gguf")
        coarse, theirs = kvdbg_ppl(path, text, windows, "int8"), peer_ppl(path, text, windows, peer)
        fast = kvdbg_ppl(path, text, windows, "fast")
        run([os.path.join(peer, "llama-quantize"), "--allow-requantize", path, exact, "F32", "2"])
        same = peer_ppl(exact, text, windows, peer)
        os.remove(exact)
        print(f"| {kind} | {os.path.getsize(path) / 2**20:.1f} | {types_of(path)} | {coarse:.4f} | {theirs:.4f} | "
              f"{coarse / theirs:.4f} | {fast:.4f} | {same:.4f} | {fast / same:.4f} |", flush=True)


def logits(files, *kinds):
    import numpy as np
    from oracle import Oracle, Text

    document = open(TEXT).read()
    for kind in kinds:
        path = os.path.join(files, kind + ".gguf")
        oracle, text = Oracle(path), Text(path)
        for characters in (40, 400, 1600):
            with tempfile.TemporaryDirectory() as d:
                prompt = document[:characters].rstrip()
                open(d + "/prompt", "w").write(prompt)
                run([KVDBG, "-q", "-nx", "-batch", "--precision", "f32", "--threads", "2", "--chat", "off", "-p",
                     d + "/prompt", "-ex", "set policy full", "-ex", "break compress", "-ex", "run", "-ex",
                     f"export npy {d}/logit.npy logit", path])
                ours = np.load(d + "/logit.npy")
            ids = text.encode(prompt)
            theirs = oracle.prefill(ids)[0][-1].numpy()
            print(f"{kind}: {len(ids)} tokens, largest difference of {ours.size} logits "
                  f"{np.abs(ours - theirs).max():.2e}", flush=True)


if __name__ == "__main__":
    {"golden": golden, "table": table, "logits": logits}[sys.argv[1]](*sys.argv[2:])
