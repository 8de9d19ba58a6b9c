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
TITLE = 0.3  # inches, above the first row
SIZE = 11  # points, of captions
LINE = 0.25  # inches, from one line of a caption to the next
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


def draw_rows(run: Run, titles: Sequence[str], rows: Sequence[Row]) -> "Figure":
    """The rows below each other, a title above each column of pictures; "-" where there is no row."""
    height = TITLE + max(1, len(rows)) * (SIDE + GAP) + GAP
    figure = style.new_figure(run, height)
    figure.set_layout_engine("none")
    if not rows:
        style.say_nothing(figure.subplots())
        return figure
    for number, row in enumerate(rows):
        bottom = height - TITLE - (number + 1) * (SIDE + GAP)
        for column, draw in enumerate(row.pictures):
            axes = place(figure, GAP + column * (SIDE + GAP), bottom, SIDE, SIDE)
            draw(axes)
            axes.set_axis_off()
            if number == 0:
                axes.set_title(titles[column], fontsize=SIZE)
        left = GAP + len(row.pictures) * (SIDE + GAP) + GAP
        axes = place(figure, left, bottom, style.WIDTH - GAP - left, SIDE)
        axes.axis("off")
        write(axes, row, style.WIDTH - GAP - left)
    return figure


def place(figure: "Figure", left: float, bottom: float, width: float, height: float) -> "Axes":
    """Axes at a place that is given in inches from the figure's lower left corner."""
    whole_width, whole_height = figure.get_size_inches()
    sides = (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    return figure.add_axes(sides)


def write(axes: "Axes", row: Row, width: float) -> None:
    """The caption in lines that fit the width (inches), the note below."""
    axes.set(xlim=(0, width), ylim=(-SIDE, 0))
    x, y = 0.0, -0.16
    space = width_of("n", bold=False) * 0.6
    for word in row.caption:
        text, inner = word.text.removeprefix(INNER), word.text.startswith(INNER)
        long = width_of(text, bold=word.bold)
        if x and not inner:
            x += space
        if x + long > width and not inner:
            x, y = 0.0, y - LINE
        ground = {"facecolor": word.ground, "edgecolor": "none", "boxstyle": "square,pad=0.15"}
        axes.text(
            x,
            y,
            text,
            fontsize=SIZE,
            color=word.ink,
            fontweight="bold" if word.bold else "normal",
            va="baseline",
            bbox=ground if word.ground else None,
        )
        if word.struck:
            axes.plot([x, x + long], [y + 0.05, y + 0.05], color=word.ink, linewidth=1)
        x += long
    axes.text(0, y - LINE, row.note, fontsize=9.5, color=style.GREY, va="top", linespacing=1.4)


def width_of(text: str, *, bold: bool) -> float:
    """Width of a word in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(weight="bold" if bold else "normal")
    path = TextPath((0, 0), text, size=SIZE, prop=font)
    return float(path.get_extents().x1) / 72 if len(path.vertices) else 0.05
