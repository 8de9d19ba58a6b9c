"""A picture under a map of attention, in colours that all eyes tell apart."""

from typing import TYPE_CHECKING

from m3ae.data.source.toy.scenes import Box
from m3ae.evaluate.attention.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEAT = "inferno"
SCALE = 3  # the brightest colour stands for so many times an even share, or for the peak if that is more
CHOSEN, TRUTH = "#56B4E9", "white"  # frames: the chosen patch, the digit


def picture(axes: "Axes", shown: Shown) -> None:
    """The picture as the encoder sees it."""
    axes.imshow(shown.picture, interpolation="nearest")


def heat(axes: "Axes", shown: Shown) -> None:
    """The attention of the word over the picture in grey: its peak is framed, the digit dashed."""
    size = len(shown.picture)
    axes.imshow(shown.picture.mean(axis=2), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    top = max(shown.over_patches.max(), SCALE / shown.over_patches.size)
    whole = (-0.5, size - 0.5, size - 0.5, -0.5)
    axes.imshow(
        shown.over_patches, cmap=HEAT, alpha=0.7, extent=whole, interpolation="nearest", vmin=0, vmax=top
    )
    frame_patch(axes, shown, shown.peak)
    if shown.box is not None:
        frame(axes, shown.box, TRUTH, "--", 1.4)


def patch(axes: "Axes", shown: Shown) -> None:
    """The picture with the chosen patch framed."""
    picture(axes, shown)
    frame_patch(axes, shown, shown.patch)


def frame_patch(axes: "Axes", shown: Shown, at: tuple[int, int]) -> None:
    """A frame around a patch, dark and light so that it shows on any ground."""
    px = len(shown.picture) / len(shown.over_patches)
    box = Box(round(at[0] * px), round(at[1] * px), round(px))
    frame(axes, box, "black", "-", 4)
    frame(axes, box, CHOSEN, "-", 2)


def frame(axes: "Axes", box: Box, colour: str, dashes: str, width: float) -> None:
    """The outline of a square."""
    from matplotlib.patches import Rectangle

    corner = (box.left - 0.5, box.top - 0.5)
    axes.add_patch(
        Rectangle(corner, box.side, box.side, fill=False, edgecolor=colour, linestyle=dashes, linewidth=width)
    )


def shade(share: float, largest: float) -> tuple[float, float, float]:
    """White for nothing, a full blue for the largest share: dark ink stays legible on it."""
    weight = share / largest if largest else 0.0
    red, green, blue = (1 + weight * (full - 1) for full in (0.34, 0.71, 0.91))
    return red, green, blue
