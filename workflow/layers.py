"""Places for the nodes of a graph without cycles: layers from top to bottom, few crossings, short edges.

After Sugiyama, Tagawa and Toda 1981. The same graph gets the same places, whatever the order of its edges.
"""

from collections import defaultdict
from itertools import pairwise
from statistics import mean
from typing import NamedTuple

Edge = tuple[str, str]
SWEEPS = 24


class Layout(NamedTuple):
    """Where everything is."""

    place: dict[str, tuple[float, int]]
    """x (1 is the width of a node and its margin) and layer, of every node."""
    route: dict[Edge, list[tuple[float, int]]]
    """The points that an edge passes, one in each layer, its ends included."""


def lay_out(nodes: list[str], edges: list[Edge]) -> Layout:
    """Places for ``nodes``; edges that longer paths imply need not be among ``edges``."""
    layers = layers_of(nodes, edges)
    chains = {edge: chain(edge, layers) for edge in sorted(edges)}
    rows = ordered(rows_of(layers, chains), links(chains))
    x = spread(rows, links(chains))
    left = min(x.values(), default=0.0)
    place = {node: (x[node] - left, layers[node]) for node in sorted(nodes)}
    route = {edge: [(x[point] - left, layer(point, layers)) for point in chains[edge]] for edge in chains}
    return Layout(place, route)


def reduced(edges: set[Edge]) -> list[Edge]:
    """The edges without those that a longer path implies."""
    after = defaultdict(set)
    for start, end in edges:
        after[start].add(end)
    return sorted(
        (start, end)
        for start, end in edges
        if not any(reaches(other, end, after) for other in after[start] - {end})
    )


def reaches(start: str, end: str, after: dict[str, set[str]]) -> bool:
    """Whether a path leads from ``start`` to ``end``."""
    seen, waiting = set(), [start]
    while waiting:
        node = waiting.pop()
        if node == end:
            return True
        if node not in seen:
            seen.add(node)
            waiting += after.get(node, ())
    return False


def layers_of(nodes: list[str], edges: list[Edge]) -> dict[str, int]:
    """Every node one below the lowest of those that it needs."""
    before = defaultdict(list)
    for start, end in edges:
        before[end].append(start)
    found: dict[str, int] = {}

    def depth(node: str) -> int:
        if node not in found:
            found[node] = max((depth(other) + 1 for other in before[node]), default=0)
        return found[node]

    return {node: depth(node) for node in sorted(nodes)}


def chain(edge: Edge, layers: dict[str, int]) -> list[str]:
    """An edge as a point in each layer; those between its ends have names of their own."""
    start, end = edge
    between = [f"{start} {end} {number}" for number in range(layers[start] + 1, layers[end])]
    return [start, *between, end]


def layer(point: str, layers: dict[str, int]) -> int:
    """The layer of a node or of a point between nodes."""
    return layers[point] if point in layers else int(point.rsplit(" ", 1)[1])


def links(chains: dict[Edge, list[str]]) -> dict[str, list[str]]:
    """The neighbours of every point, above and below."""
    found = defaultdict(list)
    for points in chains.values():
        for upper, lower in pairwise(points):
            found[upper].append(lower)
            found[lower].append(upper)
    return found


def rows_of(layers: dict[str, int], chains: dict[Edge, list[str]]) -> list[list[str]]:
    """The points of each layer, in some order that the names alone decide."""
    rows: list[list[str]] = [[] for _ in range(1 + max(layers.values(), default=0))]
    for point in sorted({*layers, *(point for points in chains.values() for point in points)}):
        rows[layer(point, layers)].append(point)
    return rows


def ordered(rows: list[list[str]], near: dict[str, list[str]]) -> list[list[str]]:
    """The order with the fewest crossings of all that sweeps down and up have met."""
    best, fewest = rows, crossings(rows, near)
    for sweep in range(SWEEPS):
        rows = [list(row) for row in rows]
        steps = range(1, len(rows)) if sweep % 2 == 0 else range(len(rows) - 2, -1, -1)
        for step in steps:
            other = rows[step - 1 if sweep % 2 == 0 else step + 1]
            index = {point: number for number, point in enumerate(other)}
            own = {point: number for number, point in enumerate(rows[step])}
            rows[step].sort(key=lambda point: middle(point, near, index, own[point]))
        if (found := crossings(rows, near)) < fewest:
            best, fewest = rows, found
    return best


def middle(point: str, near: dict[str, list[str]], index: dict[str, int], own: int) -> float:
    """The mean place of a point's neighbours in the next layer; its own where it has none there."""
    places = [index[other] for other in near.get(point, ()) if other in index]
    return mean(places) if places else own


def crossings(rows: list[list[str]], near: dict[str, list[str]]) -> int:
    """How often lines between neighbouring layers cross."""
    total = 0
    for upper, lower in pairwise(rows):
        index = {point: number for number, point in enumerate(lower)}
        lines = [
            (number, index[other])
            for number, point in enumerate(upper)
            for other in near.get(point, ())
            if other in index
        ]
        total += sum(a < c and b > d for a, b in lines for c, d in lines)
    return total


def spread(rows: list[list[str]], near: dict[str, list[str]]) -> dict[str, float]:
    """x of every point: near the mean of its neighbours, in its row's order, nodes at least 1 apart."""
    x = {point: number - len(row) / 2 for row in rows for number, point in enumerate(row)}
    for sweep in range(2 * SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = [mean([x[other] for other in near.get(point, ())] or [x[point]]) for point in row]
            for point, value in zip(row, apart(row, wanted), strict=True):
                x[point] = value
    return x


def apart(row: list[str], wanted: list[float]) -> list[float]:
    """The places nearest to ``wanted`` (least squares) with the gaps that the row needs.

    Pool adjacent violators: points that would come too close move as one block.
    """
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + gap(left, right))
    blocks: list[list[float]] = []
    for value, offset in zip(wanted, offsets, strict=True):
        blocks.append([value - offset])
        while len(blocks) > 1 and mean(blocks[-2]) > mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    flat = [mean(block) for block in blocks for _ in block]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


def gap(left: str, right: str) -> float:
    """How far two neighbours of a row are apart: a line needs less room than a node."""
    return 0.5 * (width(left) + width(right))


def width(point: str) -> float:
    """1 for a node, less for a line that passes."""
    return 0.3 if " " in point else 1.0
