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


def stroked(index, width, stroke):
    """A plain A to J out of bars `stroke` wide, in a box of `width` by 700; the A and the round ones are square."""
    middle = (350 - stroke // 2, 350 + stroke // 2)
    bars = {
        "left": (0, 0, stroke, 700),
        "right": (width - stroke, 0, width, 700),
        "top": (0, 700 - stroke, width, 700),
        "middle": (0, middle[0], width, middle[1]),
        "bottom": (0, 0, width, stroke),
        "lower right": (width - stroke, 0, width, 350),
        "inner middle": (width // 2, middle[0], width, middle[1]),
        "lower left": (0, 0, stroke, 250),
    }
    of_letters = {
        "A": ["left", "right", "top", "middle"],
        "B": ["left", "right", "top", "middle", "bottom"],
        "C": ["left", "top", "bottom"],
        "D": ["left", "right", "top", "bottom"],
        "E": ["left", "top", "middle", "bottom"],
        "F": ["left", "top", "middle"],
        "G": ["left", "top", "bottom", "lower right", "inner middle"],
        "H": ["left", "right", "middle"],
        "I": ["left"],
        "J": ["right", "bottom", "lower left"],
    }
    pen = TTGlyphPen(None)
    for bar in of_letters[LETTERS[index]]:
        rectangle(pen, *bars[bar])
    return pen.glyph()


def write(name, family, letters=LETTERS, width=400, drawn=lambda index: index, symbol=False, stroke=None):
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", *letters])
    base = 0xF000 if symbol else 0
    builder.setupCharacterMap({base + ord(character): character for character in letters}, allowFallback=True)
    draw = letter if stroke is None else lambda index, width: stroked(index, width, stroke)
    glyphs = {character: draw(drawn(index), width) for index, character in enumerate(letters)}
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
write("Letters.ttf", "Letters", stroke=90)
write("Letters Bold.ttf", "Letters", stroke=150)
