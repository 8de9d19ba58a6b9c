"""A contact sheet: random samples with their captions, as one picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

COLUMNS = 6
TILE_PX = 192
GAP_PX = 16
TEXT_PX = 13
LINE_PX = 17
MAX_LINES = 16
"""Of all captions of a sample; longer ones end in an ellipsis."""
BORDER, FAINT, INK = "#D0D0D0", "#6B6B6B", "#000000"


class Sample(NamedTuple):
    """What one place of the sheet shows."""

    id: int
    image: Image.Image
    captions: list[str]


def contact_sheet(samples: Sequence[Sample], title: str) -> Image.Image:
    """Six samples to a row: the image within a square, its id and size, its captions below.

    The font is DejaVu Sans, which ships with matplotlib; it draws a box for a letter that it lacks.
    """
    font = load_font()
    texts = [lines_of(sample, font) for sample in samples]
    rows = [range(first, min(first + COLUMNS, len(samples))) for first in range(0, len(samples), COLUMNS)]
    heights = [TILE_PX + LINE_PX * max(len(texts[i]) for i in row) + 2 * GAP_PX for row in rows]
    width = GAP_PX + COLUMNS * (TILE_PX + GAP_PX)
    sheet = Image.new("RGB", (width, 2 * GAP_PX + LINE_PX + sum(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, GAP_PX), title, FAINT, font)
    top = 2 * GAP_PX + LINE_PX
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left = GAP_PX + column * (TILE_PX + GAP_PX)
            paste(sheet, samples[i].image, left, top)
            write_lines(draw, texts[i], left, top + TILE_PX, font)
        top += height
    return sheet


def load_font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, TEXT_PX)


def paste(sheet: Image.Image, image: Image.Image, left: int, top: int) -> None:
    """Put an image in the middle of its square, shrunk if larger."""
    shown = image.copy()
    shown.thumbnail((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
    x, y = left + (TILE_PX - shown.width) // 2, top + (TILE_PX - shown.height) // 2
    sheet.paste(shown, (x, y))
    frame = (left - 1, top - 1, left + TILE_PX, top + TILE_PX)
    ImageDraw.Draw(sheet).rectangle(frame, outline=BORDER)


def lines_of(sample: Sample, font: ImageFont.FreeTypeFont) -> list[str]:
    """The id and size of a sample, then its captions, wrapped, each after a dash where there are several."""
    dash = "- " if len(sample.captions) > 1 else ""
    lines = [line for caption in sample.captions for line in wrap(dash + caption, font, TILE_PX)]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], shorten(lines[MAX_LINES - 1], font, TILE_PX)]
    return [f"{sample.id}: {sample.image.width} x {sample.image.height}", *lines]


def write_lines(
    draw: ImageDraw.ImageDraw, lines: list[str], left: int, top: int, font: ImageFont.FreeTypeFont
) -> None:
    """Write below each other; the first line is a heading."""
    for number, line in enumerate(lines):
        place = (left, top + GAP_PX // 2 + number * LINE_PX)
        draw.text(place, line, INK if number else FAINT, font)


def wrap(text: str, font: ImageFont.FreeTypeFont, width_px: int) -> list[str]:
    """Lines of at most ``width_px``: cut at spaces, and inside a word only where it is wider than a line."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if font.getlength(joined) <= width_px:
            line = joined
            continue
        if line:
            lines.append(line)
        *full, line = split_word(word, font, width_px)
        lines += full
    return [*lines, line] if line else lines


def split_word(word: str, font: ImageFont.FreeTypeFont, width_px: int) -> list[str]:
    """Pieces of a word, each as long as fits, and at least one letter."""
    pieces, piece = [], ""
    for letter in word:
        if piece and font.getlength(piece + letter) > width_px:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


def shorten(line: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    """The line with an ellipsis at its end."""
    while line and font.getlength(line + "…") > width_px:
        line = line[:-1]
    return line + "…"
