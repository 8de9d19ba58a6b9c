"""Pieces of the page as HTML: everything inside the file, nothing fetched."""

import base64
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from m3ae.config import Run
from m3ae.report.format import NOTHING

MIME = {".svg": "image/svg+xml", ".png": "image/png"}
VERDICTS = {
    "reproduced": "good",
    "ordering holds": "good",
    "deviates": "bad",
    "not resolved": "open",
    "not run": "none",
}
"""How a verdict looks: its name is always written out, colour only repeats it."""


def table(frame: pd.DataFrame, *, words: Iterable[str], caption: str = "") -> Markup:
    """A table; the columns ``words`` are set left, all others are numbers and set right.

    Text is escaped, save what is Markup already. An empty frame says that there is nothing.
    """
    if frame.empty:
        return note("-")
    kinds = ["words" if column in set(words) else "number" for column in frame.columns]
    kinds = [
        "chip" if column == "verdict" else kind for column, kind in zip(frame.columns, kinds, strict=True)
    ]
    columns = list(zip(kinds, frame.columns, strict=True))
    head = joined(Markup('<th scope="col" class="{}">{}</th>').format(kind, name) for kind, name in columns)
    rows = joined(
        Markup("<tr>{}</tr>\n").format(
            joined(cell(column, value) for column, value in zip(columns, row, strict=True))
        )
        for row in frame.itertuples(index=False)
    )
    title = Markup("<caption>{}</caption>").format(caption) if caption else ""
    body = Markup("<table>{}<thead><tr>{}</tr></thead>\n<tbody>{}</tbody></table>").format(title, head, rows)
    return Markup('<div class="scroll">{}</div>').format(body)


def cell(column: tuple[str, str], value: object) -> Markup:
    """A cell that knows its column's name: a narrow screen shows the name above the value."""
    return Markup('<td class="{}" data-label="{}">{}</td>').format(*column, value)


def joined(parts: Iterable[Markup]) -> Markup:
    """The parts in one."""
    return Markup("").join(parts)


def verdict(name: str) -> Markup:
    """A verdict as a coloured label; "-" where there is none to give."""
    if not name:
        return Markup(NOTHING)
    return Markup('<span class="verdict {}">{}</span>').format(VERDICTS[name], name)


def link(path: object, text: str) -> Markup:
    """A link from the page to a file of the project folder, or "-"."""
    if not isinstance(path, str):
        return Markup(NOTHING)
    return Markup('<a href="../../{}">{}</a>').format(path, text)


def note(text: str) -> Markup:
    """A quiet line."""
    return Markup('<p class="note">{}</p>').format(text)


def chart(run: Run, name: str, alt: str) -> Markup:
    """A chart of ``reports/{run}``, in the page itself, with links to its other forms."""
    path = run.paths.reports / f"{name}.svg"
    if not path.is_file():
        return note(f"- ({name} is not drawn yet: m3ae figure {name} --run {run.name})")
    forms = [form for form in map(path.with_suffix, (".csv", ".md", ".svg", ".png")) if form.is_file()]
    links = Markup(" · ").join(
        Markup('<a href="{}">{}</a>').format(form.name, form.suffix[1:].upper()) for form in forms
    )
    return Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(picture(path, alt), links)


def picture(path: Path, alt: str) -> Markup:
    """An image as data in the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return Markup('<img alt="{}" src="data:{};base64,{}">').format(alt, MIME[path.suffix], data)
