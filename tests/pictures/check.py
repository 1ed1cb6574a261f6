#!/usr/bin/env python3
"""What a reader that is not ours finds in pictures.
usage: check.py raw16 PNG NPY     a 16-bit picture's values against the array's, to 1/65534 of the range
       check.py palette PNG       checksums, palette, and that the page is paper with something on it
       check.py shot PNG          a screen of 60 x 20 cells: dark, with text and the grounds of a map
       check.py notes PNG         the text chunks as "info png" prints them"""
import math
import sys

from png import Png, npy

what, path = sys.argv[1:3]
png = Png(path)
if what == "raw16":
    low, high = float(png.text["kvdbg:raw16-min"]), float(png.text["kvdbg:raw16-max"])
    want, grey, worst, none = npy(sys.argv[3]), png.grey16(), 0, 0
    assert len(want) == png.height and len(want[0]) == png.width
    for i, row in enumerate(grey):
        for j, g in enumerate(row):
            if not g:
                none += 1
                assert math.isnan(want[i][j]) or want[i][j] == 0, "row %d, column %d is %g, not no data" % (i, j, want[i][j])
            else:
                worst = max(worst, abs(low + (g - 1) / 65534 * (high - low) - want[i][j]))
    assert worst <= (high - low) / 65534, "off by %g of %g" % (worst, high - low)
    print("%dx%d values within 1/65534 of their range, %d of no data" % (png.width, png.height, none))
elif what == "palette":
    colors = png.colors()
    paper = colors.get((255, 255, 255), 0)
    assert "tIME" not in png.kinds
    assert 0.05 * png.width * png.height < paper < 0.995 * png.width * png.height, "%d of paper" % paper
    assert len(colors) > 8, "%d colors" % len(colors)
    print("a page of paper and colors")
elif what == "shot":
    colors = png.colors()
    assert (png.width, png.height) == (60 * 8, 20 * 17), "%d x %d" % (png.width, png.height)
    dark = sum(n for (r, g, b), n in colors.items() if r + g + b < 120)
    assert dark > 0.4 * png.width * png.height and len(colors) > 40, "%d dark, %d colors" % (dark, len(colors))
    print("a dark page with %s colors" % ("many" if len(colors) > 40 else "few"))
else:
    for key, text in png.text.items():
        print("  %-22s %s" % (key, text))
