"""Writes the fonts that the tests render: `pip install fonttools`, then `python make.py`.

They are the project's own: letters of a few rectangles, with known pixels. Licence: MIT, as the project.
"""
import pathlib

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

LETTERS = "ABCDEFGHIJ"
HERE = pathlib.Path(__file__).parent


def rectangle(pen, left, bottom, right, top):
    pen.moveTo((left, bottom))
    pen.lineTo((left, top))
    pen.lineTo((right, top))
    pen.lineTo((right, bottom))
    pen.closePath()


def letter(index, width):
    """A bar over the left half, a bar along the bottom, and the index in binary as squares in the upper right."""
    pen = TTGlyphPen(None)
    rectangle(pen, 0, 0, width // 2, 700)
    rectangle(pen, width // 2, 0, width, 100)
    for bit in range(4):
        if index >> bit & 1:
            rectangle(pen, width * 3 // 4, 600 - 125 * bit, width, 700 - 125 * bit)
    return pen.glyph()


def write(name, family, letters=LETTERS, width=400, drawn=lambda index: index, symbol=False):
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *letters])
    base = 0xF000 if symbol else 0
    builder.setupCharacterMap({base + ord(character): character for character in letters}, allowFallback=True)
    glyphs = {character: letter(drawn(index), width) for index, character in enumerate(letters)}
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), **glyphs})
    builder.setupHorizontalMetrics({character: (width + 50, 0) for character in [".notdef", *letters]})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular", "licenseDescription": "MIT"})
    builder.setupOS2()
    builder.setupPost()
    if symbol:
        tables = builder.font["cmap"].tables
        del tables[1:]
        tables[0].platformID, tables[0].platEncID = 3, 0
    builder.font["head"].created = builder.font["head"].modified = 0
    builder.font.recalcTimestamp = False
    builder.save(HERE / name)


write("Blocks.ttf", "Blocks")
write("Blocks Wide.ttf", "Blocks", width=900, drawn=lambda index: index + 3)
write("Blocks Narrow.ttf", "Blocks", width=200, drawn=lambda index: index + 5)
write("Lacking.ttf", "Lacking", letters="ABCDEFGHI")
write("Boxes.ttf", "Boxes", drawn=lambda index: index // 2)
write("Symbols.ttf", "Symbols", symbol=True)
