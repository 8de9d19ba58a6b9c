"""Figures of pictures: a sample in each row, its pictures on the left, its caption on the right."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from m3ae.config import Run
from m3ae.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.12  # inches, between pictures and around the figure
SIDE = 1.3  # inches, of a picture
TITLE = 0.4  # inches, above the first row
SIZE = 11  # points, of captions
FIRST = 0.16  # inches, from the top of a row to the base of its first line
LINE = 0.25  # inches, from one line of a caption to the next
BELOW, NOTE = 0.14, 0.2  # inches, from the last line to the note, and for each line of it
PAD = 0.02  # inches around the letters
INNER = "##"


class Word(NamedTuple):
    """A word piece of a caption, and how it is set."""

    text: str
    ground: str | tuple[float, ...] | None = None
    """Colour behind it."""
    ink: str = "black"
    bold: bool = False
    struck: bool = False
    chosen: bool = False
    """Whether the figure is about it."""


class Row(NamedTuple):
    """A sample: what draws each of its pictures, its caption, and a line below that."""

    pictures: Sequence[Callable[["Axes"], object]]
    caption: Sequence[Word]
    note: str


class Laid(NamedTuple):
    """A word at its place in the lines of a caption."""

    word: Word
    text: str
    x: float
    """Inches from the left."""
    line: int
    width: float


def draw_rows(run: Run, titles: Sequence[str], rows: Sequence[Row]) -> "Figure":
    """The rows below each other, a title above each column of pictures; "-" where there is no row.

    A row is as high as its pictures, or its caption where that is longer.
    """
    left = 2 * GAP + len(titles) * (SIDE + GAP)
    width = style.WIDTH - GAP - left
    captions = [lay(row.caption, width) for row in rows]
    heights = [max(SIDE, height_of(*pair)) for pair in zip(rows, captions, strict=True)]
    height = TITLE + GAP + sum(heights, GAP * len(rows)) if rows else SIDE
    figure = style.new_figure(run, height)
    figure.set_layout_engine("none")
    if not rows:
        style.say_nothing(place(figure, GAP, GAP, style.WIDTH - 2 * GAP, SIDE - 2 * GAP))
    top = height - TITLE
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        for column, draw in enumerate(row.pictures):
            axes = place(figure, GAP + column * (SIDE + GAP), top - SIDE, SIDE, SIDE)
            draw(axes)
            axes.set_axis_off()
            if number == 0:
                axes.set_title(titles[column], fontsize=SIZE)
        axes = place(figure, left, top - heights[number], width, heights[number])
        axes.set(xlim=(0, width), ylim=(-heights[number], 0))
        axes.set_axis_off()
        write(axes, caption, row.note)
        top -= heights[number] + GAP
    return figure


def place(figure: "Figure", left: float, bottom: float, width: float, height: float) -> "Axes":
    """Axes at a place that is given in inches from the figure's lower left corner."""
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def lay(caption: Sequence[Word], width: float) -> list[Laid]:
    """The words in lines that fit the width (inches); an inner piece follows its word without a space."""
    found: list[Laid] = []
    x, line, space = 0.0, 0, 0.6 * width_of("n", bold=False)
    for word in caption:
        text, inner = word.text.removeprefix(INNER), word.text.startswith(INNER)
        long = width_of(text, bold=word.bold)
        x += space if x and not inner else 0.0
        if x and x + long > width:
            x, line = 0.0, line + 1
        found.append(Laid(word, text, x, line, long))
        x += long
    return found


def height_of(row: Row, caption: Sequence[Laid]) -> float:
    """What the caption and its note need (inches)."""
    lines = caption[-1].line + 1 if caption else 0
    return FIRST + LINE * max(0, lines - 1) + BELOW + NOTE * (row.note.count("\n") + 1)


def write(axes: "Axes", caption: Sequence[Laid], note: str) -> None:
    """The words of a caption at their places, the note below."""
    for laid in caption:
        word, y = laid.word, -FIRST - LINE * laid.line
        if word.ground:
            lay_ground(axes, laid, y)
        weight = "bold" if word.bold else "normal"
        axes.text(
            laid.x, y, laid.text, fontsize=SIZE, color=word.ink, fontweight=weight, va="baseline", zorder=4
        )
        if word.struck:
            axes.plot([laid.x, laid.x + laid.width], [y + 0.05] * 2, color=word.ink, linewidth=1.2, zorder=5)
    below = -FIRST - LINE * (caption[-1].line if caption else 0) - BELOW
    axes.text(0, below, note, fontsize=9.5, color=style.GREY, va="top", linespacing=1.4)


def lay_ground(axes: "Axes", laid: Laid, y: float) -> None:
    """The ground of a word, below all letters: an inner piece begins where the one before it ends."""
    from matplotlib.patches import Rectangle

    left = laid.x - (0.0 if laid.word.text.startswith(INNER) else PAD)
    width = laid.x + laid.width + PAD - left
    axes.add_patch(Rectangle((left, y - 0.06), width, 0.22, color=laid.word.ground, linewidth=0, zorder=3))


def width_of(text: str, *, bold: bool) -> float:
    """Width of a word in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(weight="bold" if bold else "normal")
    path = TextPath((0, 0), text, size=SIZE, prop=font)
    return float(path.get_extents().x1) / 72 if len(path.vertices) else 0.05
