"""The picture of the rules: an SVG that follows the light or dark scheme, and holds its graph as data."""

import json
import re
from html import escape, unescape
from pathlib import Path
from typing import Any

from layers import Edge, Layout, lay_out, reduced

DOC = re.compile(r"^rule (\w+):\n    \"\"\"(.+?)\"\"\"", re.MULTILINE | re.DOTALL)
WIDTH, HEIGHT, STEP_X, STEP_Y, MARGIN = 132, 26, 142, 60, 20
PARTS = {
    "data": ("from lists to clean shards", "#0072B2", "#56B4E9"),
    "pretrain": ("pre-training", "#D55E00", "#F0935C"),
    "evaluate": ("frozen encoders, for the figures", "#00795A", "#2FC497"),
    "extended": ("beyond the figures", "#A4507F", "#E29CC4"),
    "pictures": ("attention and classes", "#8C2D04", "#E8A27C"),
    "report": ("figures and pages", "#5F5F5F", "#B5B5B5"),
    "check": ("against the paper and the reference", "#7A6A00", "#D9C94A"),
}
"""Files of workflow/rules: what they do, and their colour on light and on dark ground."""
OTHER = ("other rules", "#1b1b1b", "#ececec")


def drawing(graph: dict[str, Any]) -> str:
    """The SVG of a graph."""
    layout = lay_out(list(graph["rules"]), reduced({(start, end) for start, end in graph["edges"]}))
    width = 2 * MARGIN + WIDTH + STEP_X * max(x for x, _ in layout.place.values())
    bottom = MARGIN + HEIGHT + STEP_Y * max(layer for _, layer in layout.place.values())
    parts = used_parts(graph)
    height = bottom + 22 + 20 * len(parts) + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
            'aria-labelledby="title desc">',
            f'<title id="title">The rules of the workflow, run tiny: {len(graph["rules"])} rules</title>',
            f'<desc id="desc">{escape(in_words(graph))}</desc>',
            f"<metadata>{escape(json.dumps(graph), quote=False)}</metadata>",
            f"<style>{style(parts)}</style>",
            f'<rect class="ground" width="{width:.0f}" height="{height:.0f}"/>',
            *(line(edge, points) for edge, points in layout.route.items()),
            *nodes(graph, layout),
            *legend(parts, bottom + 32),
            "</svg>\n",
        ]
    )


def in_words(graph: dict[str, Any]) -> str:
    """The graph as text: for each rule, what it needs at once."""
    before: dict[str, list[str]] = {name: [] for name in graph["rules"]}
    for start, end in reduced({(start, end) for start, end in graph["edges"]}):
        before[end].append(start)
    needs = [f"{name} needs {', '.join(found)}" for name, found in before.items() if found]
    return f"From top to bottom, each rule below those that it needs. {'; '.join(needs)}."


def used_parts(graph: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """The parts of the workflow that the graph has rules of, with words and colours."""
    used = set(graph["rules"].values()) - {"Snakefile"}
    known = {name: PARTS[name] for name in PARTS if name in used}
    return known | {name: (f"{name}: {OTHER[0]}", *OTHER[1:]) for name in sorted(used - set(PARTS))}


def style(parts: dict[str, tuple[str, str, str]]) -> str:
    """Colours that follow the reader's light or dark scheme."""
    light = "".join(f".{name} rect{{stroke:{colour}}}" for name, (_, colour, _) in parts.items())
    dark = "".join(f".{name} rect{{stroke:{colour}}}" for name, (_, _, colour) in parts.items())
    return (
        "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1b1b1b}"
        ".rule text{text-anchor:middle}rect{stroke-width:2;fill:#fff;stroke:#1b1b1b}"
        ".ground{stroke:none}path{fill:none;stroke:#8a8a8a;stroke-width:1.2}"
        f"{light}@media (prefers-color-scheme:dark){{text{{fill:#ececec}}rect{{fill:#22272e;stroke:#ececec}}"
        f".ground{{fill:#15191e;stroke:none}}path{{stroke:#8d96a0}}{dark}}}"
    )


def at(x: float, layer: int) -> tuple[float, float]:
    """The middle of a place, in pixels."""
    return MARGIN + WIDTH / 2 + STEP_X * x, MARGIN + HEIGHT / 2 + STEP_Y * layer


def line(edge: Edge, points: list[tuple[float, int]]) -> str:
    """An edge: from the lower side of a rule to the upper one of another, upright where it passes a layer."""
    places = [at(*point) for point in points]
    x, y = places[0][0], places[0][1] + HEIGHT / 2
    path = f"M{x:.1f} {y:.1f}"
    for number, (end_x, middle_y) in enumerate(places[1:], 2):
        end_y = middle_y - HEIGHT / 2
        half = (end_y - y) / 2
        path += f"C{x:.1f} {y + half:.1f} {end_x:.1f} {end_y - half:.1f} {end_x:.1f} {end_y:.1f}"
        x, y = end_x, end_y
        if number < len(places):
            y += HEIGHT
            path += f"V{y:.1f}"
    return f'<path data-edge="{edge[0]} {edge[1]}" d="{path}"/>'


def nodes(graph: dict[str, Any], layout: Layout) -> list[str]:
    """A box with a name for each rule; its docstring appears under the pointer."""
    told, found = docstrings(), []
    for name, place in layout.place.items():
        x, y = at(*place)
        found.append(
            f'<g class="rule {graph["rules"][name]}" data-rule="{name}">'
            f"<title>{escape(told.get(name, name))}</title>"
            f'<rect x="{x - WIDTH / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{WIDTH}" height="{HEIGHT}" '
            'rx="6"/>'
            f'<text x="{x:.1f}" y="{y + 4:.1f}">{name}</text></g>'
        )
    return found


def legend(parts: dict[str, tuple[str, str, str]], top: float) -> list[str]:
    """Which colour is which file of workflow/rules."""
    return [
        f'<g class="{name}"><rect x="{MARGIN}" y="{top + 20 * number:.0f}" width="22" height="12" rx="3"/>'
        f'<text x="{MARGIN + 32}" y="{top + 10 + 20 * number:.0f}">{escape(words)}</text></g>'
        for number, (name, (words, _, _)) in enumerate(parts.items())
    ]


def docstrings() -> dict[str, str]:
    """The first sentence of every rule that has one."""
    paths = [Path("Snakefile"), *sorted(Path("workflow/rules").glob("*.smk"))]
    return {name: " ".join(text.split()) for path in paths for name, text in DOC.findall(path.read_text())}


def drawn_graph(path: Path) -> dict[str, Any]:
    """The graph that a drawing holds; an empty one if there is no drawing."""
    text = path.read_text() if path.is_file() else ""
    found = re.search(r"<metadata>(.*?)</metadata>", text, re.DOTALL)
    return json.loads(unescape(found[1])) if found else {}
