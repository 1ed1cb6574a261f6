"""Writes tests/golden/quant.bin: random blocks of every weight type with the values that the gguf package reads in
them. Run from the top of the checkout with a Python that has gguf and numpy:

    python tests/oracle/quant_golden.py

For each type, little-endian: u32 type number, u32 elements n, u32 bytes b; b bytes of blocks; n f32 values. First come
blocks of random bits whose f16 fields are finite (denormals and -0 among them), then one block for each pair of the
f16 fields in EXTREMES, infinities and NaN too: all weights of such a block are 0, infinite or NaN, or huge."""
import warnings

import gguf
import numpy as np
import struct

HALVES = {  # type: offsets of the f16 fields
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "F16": [0], "BF16": [], "F32": [],
}
EXTREMES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]


def put(blocks, at, halves):
    blocks[:, at : at + 2] = np.asarray(halves, np.uint16).view(np.uint8).reshape(-1, 2)


def main():
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(20250813)
    out = bytearray()
    for name, halves in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        count = 6 if elements > 1 else 50
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for at in halves:
            half = rng.integers(0, 1 << 16, count, dtype=np.uint16)
            half[(half & 0x7C00) == 0x7C00] &= 0x83FF  # also leaves some denormals
            put(blocks, at, half)
        if name == "F32":
            blocks = rng.standard_normal(count, dtype=np.float32).view(np.uint8).reshape(count, size)
        if name == "BF16":
            blocks[(blocks[:, 1] & 0x7F) == 0x7F, 1] = 0x3F
        if elements > 1:
            pairs = [(a, EXTREMES[(i + 4) % len(EXTREMES)]) for i, a in enumerate(EXTREMES)]
            extreme = rng.integers(0, 256, (len(pairs), size), dtype=np.uint8)
            for which, at in enumerate(halves):
                put(extreme, at, [pair[which] for pair in pairs])
            blocks = np.concatenate([blocks, extreme])
        values = gguf.quants.dequantize(blocks.reshape(1, -1), kind).astype(np.float32).reshape(-1)
        assert values.size == blocks.size // size * elements
        out += struct.pack("<III", int(kind), values.size, blocks.size)
        out += blocks.tobytes() + values.tobytes()
    with open("tests/golden/quant.bin", "wb") as f:
        f.write(out)


if __name__ == "__main__":
    main()
