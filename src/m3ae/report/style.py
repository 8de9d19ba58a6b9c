"""One look for all charts: a colour per method, the banner on top, files that are the same byte for byte."""

import io
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from m3ae.config import Run
from m3ae.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: tells methods apart for all kinds of colour vision
COLOURS = {
    "M3AE": "#0072B2",
    "MAE": "#D55E00",
    "CLIP": "#009E73",
    "Supervised": "#CC79A7",
    "untrained": "#6B6B6B",
}
MARKERS = {"M3AE": "o", "MAE": "s", "CLIP": "^", "Supervised": "D", "untrained": "_"}
IN, OUT = "navy", "crimson"  # as the paper draws Figure 6
GREY, WARNING = "#5F5F5F", "#A33A00"
WIDTH = 7.2
"""Inches: the text stays legible when a page shows the chart at half of it."""
LINE = 0.3
"""Inches of a line of the banner."""
SETTINGS = {
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "m3ae",  # ids of elements must not be random
    "svg.fonttype": "path",
}


@contextmanager
def theme() -> Iterator[None]:
    """Draw in the project's style, and leave matplotlib's settings as they were."""
    import matplotlib as mpl
    import seaborn as sns

    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc must not change a figure
        mpl.use("Agg")
        sns.set_theme(style="ticks", rc=SETTINGS)
        yield


def new_figure(run: Run, height: float, *, legend: bool = False) -> "Figure":
    """An empty figure of the common width; it grows (inches) by the banner and a ``legend`` below."""
    from matplotlib.figure import Figure

    lines = balanced(run.settings.banner) + [" "] * legend
    figure = Figure(figsize=(WIDTH, height + LINE * len(lines)), layout="constrained")
    if lines:
        figure.suptitle("\n".join(lines), color=WARNING, fontsize=15, fontweight="bold")
    return figure


def below_banner(run: Run, figure: "Figure") -> float:
    """Where the room below the banner begins, as a share of the figure's height."""
    return 1 - LINE * len(balanced(run.settings.banner)) / float(figure.get_figheight())


def balanced(text: str, width: int = 56) -> list[str]:
    """Lines of at most ``width`` characters and of about the same length."""
    lines = textwrap.wrap(text, width)
    for narrower in range(1 + len(text) // max(1, len(lines)), width):
        if len(textwrap.wrap(text, narrower)) == len(lines):
            return textwrap.wrap(text, narrower)
    return lines


def say_nothing(axes: "Axes") -> None:
    """An empty panel: "-" where nothing was run."""
    axes.text(0.5, 0.5, "-", transform=axes.transAxes, ha="center", va="center", fontsize=28, color=GREY)
    axes.set(xticks=[], yticks=[])


METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def save(figure: "Figure", run: Run, name: str, alt: str, kinds: Iterable[str] = METADATA) -> None:
    """Write ``reports/{run}/{name}.svg`` and ``.png`` atomically, without dates or versions in them."""
    for kind in kinds:
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=160, metadata={**METADATA[kind], "Title": alt})
        with atomic_write(run.paths.reports / f"{name}.{kind}") as file:
            file.write(content.getvalue())
