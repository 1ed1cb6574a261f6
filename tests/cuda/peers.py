#!/usr/bin/env python3
"""Other programs on the same GPU, by turns with ours: torch's SDPA (flash, and cuDNN where it has that), Hugging Face
transformers with SDPA and with eager attention that gives its maps out, llama.cpp's llama-bench.

    peers.py [--device cuda|cpu] [--smoke] [--bench build/gpu/bench] [--seconds N] [--json FILE] [MODEL.gguf]

Ours is `bench --serve`, which runs a row each time it is asked to. A round is one of ours and one of theirs, so both
meet the same clocks; a ratio above 1 says that ours is faster. Nothing is installed and nothing fetched: what is not
there is skipped, with the reason. Models have random weights of a real shape. llama-bench is $LLAMA_BENCH or in PATH
and needs MODEL.gguf. --smoke: small shapes, which with --device cpu test this script on the emulated GPU."""

import argparse
import itertools
import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import time


class Failure(Exception):
    """Ours cannot say: it died, or has not answered."""


class Report:
    """TAP on stdout, lines of JSON in a file."""

    def __init__(self, path, device):
        self.file = open(path, "w", encoding="utf-8") if path else None
        self.device, self.number, self.bad = device, 0, 0

    def line(self, good, text, **fields):
        self.number += 1
        self.bad += not good
        print(f"{'' if good else 'not '}ok {self.number} - {text}", flush=True)
        if self.file:
            self.file.write(json.dumps({**fields, "device": self.device}, ensure_ascii=False) + "\n")
            self.file.flush()

    def skip(self, name, why):
        why = " ".join(str(why).replace('"', "'").split())[:160]
        self.line(True, f"{name} # SKIP {why}", skipped=name, why=why)

    def fail(self, name, why):
        why = " ".join(str(why).replace('"', "'").split())[:160]
        self.line(False, f"{name}\n# {why}", failed=name, why=why)


class Ours:
    """bench --serve."""

    def __init__(self, bench, smoke):
        self.process = subprocess.Popen([bench, "--serve"] + ["--smoke"] * smoke, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0)
        self.rest, self.patience = b"", 900 if smoke else 60

    def answer(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failure(f"bench --serve has not answered in {seconds:.0f} s")
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                raise Failure(f"bench --serve ended with status {self.process.wait()}")
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        word, _, value = line.decode().partition(" ")
        if word == "error":
            raise ValueError(value)
        return value

    def us(self, row):
        self.process.stdin.write(row.encode() + b"\n")
        return float(self.answer(self.patience))

    def close(self):
        self.process.kill()
        self.process.wait()


class Peers:
    def __init__(self, options):
        self.o = options
        self.end = time.monotonic() + options.seconds
        self.ours = Ours(options.bench, options.smoke)
        self.report = Report(options.json, self.ours.answer(60))
        self.torch = None

    def left(self):
        return self.end - time.monotonic()

    def turns(self, peer, against, row, theirs, unit, convert, gate=None, rounds=7, need=5):
        """Rounds of ours (a row of bench --serve) and theirs (a function that gives microseconds)."""
        name = f"{against}, beside {peer}"
        if self.left() < need:
            return self.report.skip(name, "no time is left for it")
        mine, other = [], []
        try:
            self.ours.us(row), theirs()
            while len(mine) < (2 if self.o.smoke else rounds) and (not mine or self.left() > 0):
                mine.append(self.ours.us(row))
                other.append(theirs())
        except ValueError as why:
            return self.report.skip(name, f"ours: {why}")
        except MemoryError as why:  # that is a result
            us = statistics.median([self.ours.us(row) for _ in range(3)])
            return self.report.line(True, f"{name}: {convert(us):.4g} {unit}, and {why}", peer=peer, against=against,
                                    unit=unit, ours=float(f"{convert(us):.6g}"), why=str(why))
        except Failure:
            raise
        except Exception as why:  # whatever another program says is its answer
            return self.report.skip(name, f"{type(why).__name__}: {why}")
        ratios = [b / a for a, b in zip(mine, other)]
        ratio = statistics.median(other) / statistics.median(mine)
        a, b = convert(statistics.median(mine)), convert(statistics.median(other))
        good = gate is None or ratio >= gate or self.o.smoke
        fields = {"peer": peer, "against": against, "unit": unit, "ours": float(f"{a:.6g}"),
                  "theirs": float(f"{b:.6g}"), "ratio": round(ratio, 3), "worst": round(min(ratios), 3)}
        if gate is not None:
            fields.update(gate=gate, passed=ratio >= gate)
        fields["rounds"] = len(mine)
        wanted = "" if gate is None else f", wanted >= {gate:g}"
        self.report.line(good, f"{name}: {a:.4g} and {b:.4g} {unit}, {ratio:.2f} x (worst round {min(ratios):.2f})"
                         f"{wanted}", **fields)

    # ---- torch ----

    def open_torch(self):
        try:
            import torch
        except ImportError as why:
            return f"no torch here ({why})"
        if self.o.device == "cuda" and not torch.cuda.is_available():
            return "torch has no CUDA here"
        self.torch = torch
        torch.manual_seed(1)
        return None

    def sync(self):
        if self.o.device == "cuda":
            self.torch.cuda.synchronize()

    def timed(self, run, inner):
        """Microseconds of one run; one before, for the device comes from another program's work."""
        run()
        self.sync()
        start = time.perf_counter()
        for _ in range(inner):
            run()
        self.sync()
        return (time.perf_counter() - start) / inner * 1e6

    def attention(self, backend, dim, rows, keys, inner):
        """SDPA of the last rows of keys, causal; K and V of 8 heads for 32."""
        torch = self.torch
        from torch.nn.attention import sdpa_kernel
        heads, groups = (4, 2) if self.o.smoke else (32, 8)

        def random(n, count):  # [1][count][n][dim], a row's heads side by side, as models have them
            return torch.randn(1, n, count, dim, device=self.o.device, dtype=torch.bfloat16).transpose(1, 2)

        # more sets than the L2 cache holds, where reading them is all there is
        sets = 1 if rows > 1 or self.o.smoke else min(16, 200_000_000 // (keys * groups * dim * 4) + 2)
        q, kv = random(rows, heads), [(random(keys, groups), random(keys, groups)) for _ in range(sets)]
        order = itertools.cycle(range(sets))

        def run(grouped):
            k, v = kv[next(order)]
            with sdpa_kernel(backend):
                torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=rows > 1, enable_gqa=grouped)

        grouped = True
        try:
            run(grouped)
        except RuntimeError:  # a backend that knows no groups: heads are repeated beforehand
            grouped = False
            kv = [tuple(x.repeat_interleave(heads // groups, 1).contiguous() for x in pair) for pair in kv]
        return lambda: self.timed(lambda: run(grouped), inner)

    def attention_rows(self):
        from torch.nn.attention import SDPBackend
        small = self.o.smoke
        heads = 4 if small else 32
        for dim, n in [(128, 64)] if small else [(128, 8192), (128, 16384), (64, 8192), (64, 16384)]:
            flops = 2 * n * n * heads * dim
            rate = lambda us, flops=flops: flops / us * 1e-6
            for name, backend in [("torch SDPA, flash", SDPBackend.FLASH_ATTENTION),
                                  ("torch SDPA, cuDNN", SDPBackend.CUDNN_ATTENTION)]:
                flash = backend == SDPBackend.FLASH_ATTENTION
                if self.o.device == "cpu" and not flash:
                    continue
                gate = 1.0 if flash and dim == 128 else None
                self.with_peer(name, f"prefill attention with entropy, d {dim}, {n} tokens", f"attention {dim} {n}",
                               lambda: self.attention(backend, dim, n, n, 5 if n <= 8192 else 2), "TFLOP/s", rate, gate)
        for n in [100] if small else [32768, 131072]:
            self.with_peer("torch SDPA, flash", f"decode attention, d 128, {n} tokens", f"decode-attention 128 {n}",
                           lambda: self.attention(SDPBackend.FLASH_ATTENTION, 128, 1, n, 50), "us", float)

    def with_peer(self, peer, against, row, make, unit, convert, gate=None, **how):
        """turns() with a peer that has to be made first, and may not be had."""
        if self.left() < how.get("need", 5):
            return self.report.skip(f"{against}, beside {peer}", "no time is left for it")
        try:
            theirs = make()
        except Exception as why:
            return self.report.skip(f"{against}, beside {peer}", f"{type(why).__name__}: {why}")
        self.turns(peer, against, row, theirs, unit, convert, gate, **how)

    # ---- transformers ----

    def open_model(self):
        from transformers import AutoModelForCausalLM, Qwen3Config
        torch = self.torch
        if self.o.smoke:
            shape = dict(hidden_size=128, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=64, vocab_size=320)
        else:
            shape = dict(hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, num_attention_heads=32,
                         num_key_value_heads=8, head_dim=128, vocab_size=151936)
        config = Qwen3Config(**shape, max_position_embeddings=40960, tie_word_embeddings=True)
        torch.set_default_dtype(torch.bfloat16)
        try:
            with torch.device(self.o.device):
                return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
        finally:
            torch.set_default_dtype(torch.float32)

    def attend_by(self, model, how):
        if hasattr(model, "set_attn_implementation"):
            model.set_attn_implementation(how)
        else:
            model.config._attn_implementation = how

    def transformers_rows(self):
        torch, small = self.torch, self.o.smoke
        if self.left() < 20:
            return self.report.skip("Hugging Face transformers", "no time is left for it")
        try:
            model = self.open_model()
        except Exception as why:
            return self.report.skip("Hugging Face transformers", f"{type(why).__name__}: {why}")
        ours = "tiny-qwen3:bf16" if small else "qwen3-4b:bf16"

        def ids(n):
            return torch.randint(5, 300, (1, n), device=self.o.device)

        def prefill(n, maps):
            tokens = ids(n)

            def run():
                with torch.inference_mode():
                    model(tokens, use_cache=True, logits_to_keep=1, output_attentions=maps)

            def theirs():
                try:
                    return self.timed(run, 1)
                except getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError):
                    raise MemoryError("out of memory") from None
                finally:
                    if self.o.device == "cuda":
                        torch.cuda.empty_cache()

            return theirs

        def decode(n):
            with torch.inference_mode():
                out = model(ids(n), use_cache=True, logits_to_keep=1)
            state = {"cache": out.past_key_values, "token": ids(1)}

            def run():
                with torch.inference_mode():
                    step = model(state["token"], past_key_values=state["cache"], use_cache=True)
                    state.update(cache=step.past_key_values, token=step.logits[:, -1:].argmax(-1))

            return lambda: self.timed(run, 8)

        ms = lambda us: us * 1e-3
        for n in [48] if small else [1024]:
            self.with_peer("transformers, SDPA", f"decode step, {ours}, context {n}", f"decode {ours} {n}",
                           lambda: decode(n), "ms", ms, rounds=5, need=10)
        for n in [100] if small else [8192]:
            self.with_peer("transformers, SDPA", f"prefill with entropy, scores and compaction, {ours}, {n} tokens",
                           f"prefill {ours} {n}", lambda: prefill(n, False), "ms", ms, rounds=4, need=10)
        self.attend_by(model, "eager")
        for n in [100] if small else [2048, 4096, 8192]:
            self.with_peer("transformers, eager with output_attentions",
                           f"prefill with entropy, scores and compaction, {ours}, {n} tokens", f"prefill {ours} {n}",
                           lambda: prefill(n, True), "ms", ms, rounds=3, need=8)

    # ---- llama.cpp ----

    def llama_rows(self):
        program = os.environ.get("LLAMA_BENCH") or shutil.which("llama-bench")
        if not program:
            return self.report.skip("llama.cpp", "no llama-bench in PATH, nor LLAMA_BENCH")
        if not self.o.model or not os.path.exists(self.o.model):
            return self.report.skip("llama.cpp", f"no model at {self.o.model}")
        name = os.path.basename(self.o.model)

        def theirs(*args):
            layers = "0" if self.o.device == "cpu" else "99"

            def run():
                out = subprocess.run([program, "-m", self.o.model, "-ngl", layers, "-fa", "1", "-r", "3", "-o", "jsonl",
                                      *args], capture_output=True, text=True, timeout=60, check=True).stdout
                row = json.loads([line for line in out.splitlines() if line.startswith("{")][-1])
                if self.o.device == "cuda" and "CUDA" not in row.get("backends", "CUDA"):
                    raise RuntimeError(f"it is built for {row['backends']}")
                return row["avg_ns"] / 1e3

            return run

        for n in [8] if self.o.smoke else [2048]:
            self.turns("llama.cpp", f"prefill with entropy, scores and compaction, {name}, {n} tokens",
                       f"prefill {self.o.model} {n}", theirs("-p", str(n), "-n", "0"), "t/s",
                       lambda us: n / us * 1e6, rounds=3, need=15)
        for n in [8] if self.o.smoke else [1024]:
            run = theirs("-p", "0", "-n", "32", "-d", str(n))
            self.turns("llama.cpp", f"decode step, {name}, context {n}", f"decode {self.o.model} {n}",
                       lambda: run() / 32, "t/s", lambda us: 1e6 / us, rounds=3, need=15)

    def run(self):
        why = self.open_torch()
        if why:
            self.report.skip("torch SDPA and Hugging Face transformers", why)
        else:
            self.attention_rows()
        self.llama_rows()
        if not why:
            self.transformers_rows()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--bench", default="build/gpu/bench")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--json")
    parser.add_argument("model", nargs="?")
    peers = None
    try:
        peers = Peers(parser.parse_args())
        peers.run()
    except (Failure, ValueError, OSError) as why:
        if not peers:
            print(f"ok 1 - other programs beside ours # SKIP {why}\n1..1")
            return 0
        peers.report.fail("ours beside other programs", why)
    peers.ours.close()
    print(f"1..{peers.report.number}")
    return 1 if peers.report.bad else 0


if __name__ == "__main__":
    sys.exit(main())
