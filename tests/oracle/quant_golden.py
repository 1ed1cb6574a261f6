"""Writes tests/golden/quant.bin: random blocks of every weight type with the values that the gguf package reads in
them. Run from the top of the checkout with a Python that has gguf and numpy.

For each type, little-endian: u32 type number, u32 elements n, u32 bytes b; b bytes of blocks; n f32 values."""
import struct

import gguf
import numpy as np

BLOCKS = {  # type: offsets of the f16 fields, which must not be infinite or NaN
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [0], "BF16": [], "F32": [],
}


def main():
    rng = np.random.default_rng(20250813)
    out = bytearray()
    for name, halves in BLOCKS.items():
        kind = gguf.GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        count = 6 if elements > 1 else 50
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for at in halves:
            half = rng.integers(0, 1 << 16, count, dtype=np.uint16)
            half[(half & 0x7C00) == 0x7C00] &= 0x83FF  # also leaves some denormals
            blocks[:, at : at + 2] = half.view(np.uint8).reshape(count, 2)
        if name == "F32":
            blocks = rng.standard_normal(count, dtype=np.float32).view(np.uint8).reshape(count, size)
        if name == "BF16":
            blocks[(blocks[:, 1] & 0x7F) == 0x7F, 1] = 0x3F
        values = gguf.quants.dequantize(blocks.reshape(1, -1), kind).astype(np.float32).reshape(-1)
        assert values.size == count * elements and np.isfinite(values).all()
        out += struct.pack("<III", int(kind), values.size, blocks.size)
        out += blocks.tobytes() + values.tobytes()
    with open("tests/golden/quant.bin", "wb") as f:
        f.write(out)


if __name__ == "__main__":
    main()
