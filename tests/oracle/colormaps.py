#!/usr/bin/env python3
"""Writes render/color_tables.c: the perceptual maps and their ladders for 256-color terminals.

    python3 -m venv DIR && DIR/bin/pip install matplotlib
    DIR/bin/python tests/oracle/colormaps.py > render/color_tables.c

The 256-entry tables of viridis, magma and cividis are matplotlib's (CC0), each channel rounded to the nearest byte,
or to its other neighbor where plain rounding would let L* stall or dip (some 20 entries move by one); grey is the
straight sRGB ramp. "diverging" is our own: straight lines in CIELAB from a neutral grey (entry 128, L* 90) through a
middle tone to a dark blue below and a dark red above, each side as strict in L* as the others.
A ladder is the best of all 12-step walks through the fixed xterm colors 16..255 whose L* rises by at least 3 a
step: dynamic programming over (step, color) on the summed CIE76 distance to the map at 0, 1/11, ... 1. Naive
nearest-color quantizing goes backwards in lightness.
"""
from itertools import product
from math import ceil, floor

from matplotlib import colormaps

STEPS, RISE = 12, 3.0


def lab(rgb):
    lin = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
    rows = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
    white = (0.95047, 1.0, 1.08883)
    f = []
    for row, w in zip(rows, white):
        t = sum(a * b for a, b in zip(row, lin)) / w
        f.append(t ** (1 / 3) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def xterm(i):
    if i >= 232:
        return (8 + 10 * (i - 232),) * 3
    i -= 16
    return tuple(0 if v == 0 else 55 + 40 * v for v in (i // 36, i // 6 % 6, i % 6))


def bytes_of(table):
    """Eight-bit colors nearest to the table's whose L* rises strictly."""
    out, last = [], -1.0
    for rgb in table:
        sides = [sorted((floor(255 * v), ceil(255 * v)), key=lambda b: abs(b - 255 * v)) for v in rgb]
        choices = [c for c in product(*sides) if lab(c)[0] > last]
        out.append(min(choices, key=lambda c: sum((a - 255 * b) ** 2 for a, b in zip(c, rgb))))
        last = lab(out[-1])[0]
    return out


def srgb(lightness, a, b):
    """Channels in 0..1, cut off where the color is out of gamut."""
    fy = (lightness + 16) / 116
    xyz = []
    for f, w in zip((fy + a / 500, fy, fy - b / 200), (0.95047, 1.0, 1.08883)):
        xyz.append(w * (f ** 3 if f > 6 / 29 else 3 * (6 / 29) ** 2 * (f - 4 / 29)))
    rows = ((3.2404542, -1.5371385, -0.4985314), (-0.9692660, 1.8760108, 0.0415560), (0.0556434, -0.2040259, 1.0572252))
    lin = [min(max(sum(p * q for p, q in zip(row, xyz)), 0), 1) for row in rows]
    return [12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055 for c in lin]


def side(middle, end, steps):
    """From next to the neutral grey to the end, through the middle tone."""
    points, out = ((90.0, 0.0, 0.0), middle, end), []
    for i in range(1, steps + 1):
        t = 2 * i / steps
        p, q, t = (points[0], points[1], t) if t <= 1 else (points[1], points[2], t - 1)
        out.append(srgb(*(u + (v - u) * t for u, v in zip(p, q))))
    return out


def diverging():
    below = bytes_of(side((62.0, -8.0, -38.0), (27.0, 12.0, -50.0), 128)[::-1])
    above = bytes_of(side((62.0, 38.0, 28.0), (27.0, 46.0, 30.0), 127)[::-1])
    return below + [(226, 226, 226)] + above[::-1]


def ladder(table, steps=STEPS):
    colors = sorted((lab(xterm(i)), i) for i in range(16, 256))
    best = []  # [step][color] = (cost of the cheapest walk that ends here, color of the step before)
    for step in range(steps):
        want = lab(table[round(step * (len(table) - 1) / (steps - 1))])
        row = []
        for have, _ in colors:
            cost = sum((a - b) ** 2 for a, b in zip(want, have)) ** 0.5
            darker = [m for m in range(len(colors)) if colors[m][0][0] + RISE <= have[0]]
            before = min(((best[-1][m][0], m) for m in darker), default=(1e9, 0)) if step else (0.0, 0)
            row.append((before[0] + cost, before[1]))
        best.append(row)
    at, walk = min(range(len(colors)), key=lambda m: best[-1][m][0]), []
    for row in reversed(best):
        walk.append(colors[at][1])
        at = row[at][1]
    return walk[::-1]


def show(name, diverging, table, steps):
    print(f'    {{ "{name}", {diverging}, {{')
    for at in range(0, 256, 10):
        print("        " + " ".join("0x%02x%02x%02x," % rgb for rgb in table[at:at + 10]))
    print("      }, %d, { %s } }," % (len(steps), ", ".join(map(str, steps))))


def main():
    maps = {name: bytes_of(colormaps[name].colors) for name in ("viridis", "magma", "cividis")}
    maps["grey"] = [(v, v, v) for v in range(256)]
    print("/* Made by tests/oracle/colormaps.py, which says how; viridis, magma and cividis are matplotlib's data (CC0). */")
    about = diverging()
    # Each side is a ladder of its own up to the grey that they share: 5 steps, the grey, 5 steps.
    lower, upper = ladder(about[:129], 6), ladder(about[:127:-1], 6)
    assert lower[5] == upper[5] == 254
    print('#include "render/color.h"\n')
    print("/* clang-format off */\nconst struct color_map color_maps[COLOR_MAPS] = {")
    for name in ("magma", "viridis", "cividis", "grey"):
        show(name, "false", maps[name], ladder(maps[name]))
    show("diverging", "true", about, lower + upper[4::-1])
    print("};\n/* clang-format on */")


main()
