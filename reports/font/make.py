#!/usr/bin/env python3
"""Makes report.ttf: Latin letters of Roboto and the common Chinese characters of Droid Sans Fallback, both Apache-2.0.

Needs Debian's fonttools, fonts-roboto-unhinted and fonts-droid-fallback. The characters are ASCII, Latin-1, some signs, the
3755 of the first level of GB 2312, and CJK punctuation.
"""
import os
import tempfile
import sys

sys.path.append("/usr/lib/python3/dist-packages")
from fontTools import merge, subset
from fontTools.ttLib import TTFont
from fontTools.ttLib.scaleUpem import scale_upem

LATIN = "/usr/share/fonts/truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf"
HAN = "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report.ttf")


def level_one():
    for row in range(0xB0, 0xD8):
        for cell in range(0xA1, 0xFF):
            try:
                yield ord(bytes([row, cell]).decode("gb2312"))
            except UnicodeDecodeError:
                pass


def cut(path, code_points, name):
    options = subset.Options(hinting=False, layout_features=[], drop_tables=["GSUB", "GPOS", "GDEF", "vhea", "vmtx", "VORG", "BASE", "kern", "DSIG", "LTSH", "hdmx", "VDMX", "gasp", "meta", "vrt2"])
    font = TTFont(path)
    s = subset.Subsetter(options)
    s.populate(unicodes=code_points)
    s.subset(font)
    scale_upem(font, 1000)
    font.save(name)


def main():
    latin = list(range(0x20, 0x7F)) + list(range(0xA0, 0x180)) + [0x2013, 0x2014, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2026, 0x20AC, 0x2212, 0x2264, 0x2265]
    han = list(level_one()) + list(range(0x3001, 0x3020)) + list(range(0xFF01, 0xFF5F)) + [0x2192, 0x25A1]
    with tempfile.TemporaryDirectory() as d:
        a, b = os.path.join(d, "a.ttf"), os.path.join(d, "b.ttf")
        cut(LATIN, latin, a)
        cut(HAN, han, b)
        font = merge.Merger().merge([a, b])
        font["post"].formatType = 3  # no names of glyphs
        font.save(OUT)
    print(OUT, os.path.getsize(OUT), "bytes")


if __name__ == "__main__":
    main()
