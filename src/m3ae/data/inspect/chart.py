"""The histograms of caption lengths as a chart."""

import io
from typing import TYPE_CHECKING

from m3ae.data.inspect.facts import Captions, Lengths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 7.2, 3.0
COLOUR = "#0072B2"


def captions_chart(captions: Captions) -> bytes:
    """An SVG, the same bytes for the same counts."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # a user's matplotlibrc must not change a chart
        mpl.rcParams["svg.hashsalt"] = "m3ae"  # ids of elements must not be random
        figure = Figure(figsize=(WIDTH, HEIGHT * len(captions.lengths)), layout="constrained")
        panels = figure.subplots(len(captions.lengths), squeeze=False)[:, 0]
        for axes, lengths in zip(panels, captions.lengths, strict=True):
            draw(axes, lengths, captions.num)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def draw(axes: "Axes", lengths: Lengths, num: int) -> None:
    """One panel: share of the captions per bin."""
    shares = [100 * entry.num / num for entry in lengths.bins]
    places = range(len(shares))
    axes.bar(places, shares, width=0.9, color=COLOUR)
    axes.set_xticks(places, [entry.label for entry in lengths.bins], rotation=45, ha="right", fontsize=8)
    axes.set_xlabel(f"length of a caption ({lengths.unit})")
    axes.set_ylabel("share of captions (%)")
    axes.set_title(f"{num:,} captions, median {lengths.spread.median:g} {lengths.unit}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
