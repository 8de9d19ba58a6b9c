"""Names beside points of a chart: each where it covers no point, line, interval or other name."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

FAR = (9, 24, 40, 52, 64)  # points between a point and its name: the nearest first
STEP = 2  # pixels between two of the places that a line takes
CLEAR = 3  # pixels around a name
WORST = 1000  # to cover another name, or to leave the chart: worse than any line


def place_names(names: Sequence[Any]) -> None:
    """Move annotations of one chart, one after another, to the best of the places around their points."""
    placed: list[Any] = []
    for name in names:
        taken = obstacles(name.axes)
        others = [text for text in name.axes.texts if text not in names or text in placed]
        boxes = [text.get_window_extent() for text in others]
        places = around(1 if name.get_horizontalalignment() == "left" else -1)
        frame = name.axes.get_window_extent()
        costs = [cost(at(name, *place), taken, boxes, frame) for place in places]
        at(name, *places[int(np.argmin(costs))])
        placed.append(name)


def around(side: int) -> list[tuple[str, int, int]]:
    """Alignment and offset of every place: beside a point on its ``side`` first, then above and below."""
    sides = [("left", 1), ("right", -1)][::side]
    beside = [(align, sign * 9, 0) for align, sign in sides]
    slanted = [(align, sign * 7, dy) for far in FAR for align, sign in sides for dy in (far, -far)]
    return beside[:1] + slanted + beside[1:]


def at(name: Any, align: str, dx: int, dy: int) -> Any:
    """The box (pixels) of a name that is put there."""
    name.set_horizontalalignment(align)
    name.xyann = (dx, dy)
    return name.get_window_extent().padded(CLEAR)


def cost(box: Any, taken: np.ndarray, boxes: Sequence[Any], frame: Any) -> int:
    """How many places of lines a box covers; much more for another name, and for leaving the ``frame``."""
    x, y = taken.T
    covered = int(((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).sum())
    leaves = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
    return covered + WORST * (sum(map(box.overlaps, boxes)) + leaves)


def obstacles(axes: Any) -> np.ndarray:
    """Places (pixels) of everything that is drawn as a line."""
    from matplotlib.collections import LineCollection

    paths = [line.get_transform().transform(line.get_xydata()) for line in axes.lines]
    for one in (each for each in axes.collections if isinstance(each, LineCollection)):
        paths += [axes.transData.transform(segment) for segment in one.get_segments()]
    return np.concatenate([along(np.asarray(path, dtype=float)) for path in paths if len(path)])


def along(path: np.ndarray) -> np.ndarray:
    """Points on a path, at most ``STEP`` pixels apart."""
    parts = [path[:1]]
    for start, end in pairwise(path):
        count = 1 + int(np.hypot(*(end - start)) / STEP)
        parts.append(start + (end - start) * np.linspace(0, 1, count + 1)[1:, None])
    return np.concatenate(parts)
