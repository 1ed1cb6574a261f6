"""All logits and entropies of the tiny models, read by kvdbg from files, against transformers.

    python tests/oracle/tiny_parity.py OUT [NAME...]

OUT is what tiny_models.py filled. Each model is read twice, as a Hugging Face folder and as the GGUF file that
llama.cpp's converter made of it, and its run is compared with the reference: logits of every prompt and reply row, the
entropy of every prompt row, layer and head. Both ways must agree to the last bit. A GGUF file has no sliding window
(the converter leaves it out): it is compared with the run that has none.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

PROGRAM = "build/tests/unit/models"


def dump(path, name, run, prefix):
    done = subprocess.run([PROGRAM, "--file", str(path), name, run, str(prefix)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return np.load(f"{prefix}.logits.npy"), np.load(f"{prefix}.entropy.npy")


def worst(got, reference):
    """The reply alone where the prompt's rows read another cache."""
    logits, entropy = got
    return np.abs(logits - reference["logits"]).max(), np.abs(entropy - reference["entropy"]).max()


def compare(out, name, folder):
    windowed = (out / f"{name}.off.npz").exists()
    runs = [(out / name, run, run) for run in ("model", "kept", "off") if run != "off" or windowed]
    runs += [(out / f"{name}.gguf", "model", "off" if windowed else "model")]
    runs += [] if windowed else [(out / f"{name}.gguf", "kept", "kept")]
    got = {}
    bad = 0
    for path, run, reference in runs:
        kind = "GGUF" if path.suffix == ".gguf" else "folder"
        got[kind, reference] = dump(path, name, run, folder / "dump")
        logits, entropy = worst(got[kind, reference], np.load(out / f"{name}.{reference}.npz"))
        fine = logits <= 2e-3 and entropy <= 1e-4
        same = ""
        if kind == "GGUF":
            other = got["folder", reference]
            same = all(np.array_equal(a, b) for a, b in zip(got[kind, reference], other))
            fine = fine and same
            same = "the folder's bits" if same else "NOT the folder's bits"
        print(f"{name:18} {kind:7} {reference:6} {logits:10.1e} {entropy:10.1e}  {same}{'' if fine else '  BAD'}")
        bad += not fine
    return bad


def main():
    out = pathlib.Path(sys.argv[1])
    names = sys.argv[2:] or sorted(p.stem for p in out.glob("*.gguf"))
    print(f"{'model':18} {'file':7} {'run':6} {'logits':>10} {'entropy':>10}  (largest differences; nats)")
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            try:
                bad += compare(out, name, pathlib.Path(folder))
            except RuntimeError as error:
                bad += 1
                print(f"{name:18} {error}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
