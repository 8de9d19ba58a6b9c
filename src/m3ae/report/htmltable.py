"""Tables of the page: wide ones scroll within themselves, on a phone each row becomes a card."""

import re
from collections.abc import Collection, Iterable

import pandas as pd
from markupsafe import Markup

from m3ae.report.format import NOTHING

MINUS = "\N{MINUS SIGN}"
NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?")
INTERACTIVE = "interactive"
"""Class of the tables that a reader can sort and filter, where the browser runs scripts."""
SPARSE = "sparse"
"""Class of the tables most of whose cells hold nothing."""
PAIRS = "pairs"
"""Class of the tables of names and numbers, which stay on one line where there is little room."""
INTERVAL = re.compile(r"(\[[^\s,\]]+,) ([^\s,\]]+\])")
BEHIND = re.compile(r"(?<=\S) (\[[^\]]+\])$")
"""An interval behind its number."""
GLUE = "\N{NO-BREAK SPACE}"


def table(
    frame: pd.DataFrame,
    *,
    words: Collection[str],
    caption: str = "",
    interactive: bool = False,
    choices: Collection[str] = (),
    sparse: bool = False,
) -> Markup:
    """A table; the columns ``words`` are set left, all others are numbers and set right.

    Text is escaped, save what is Markup already. An empty frame says that there is nothing. An
    ``interactive`` one can be sorted and searched, and filtered by the values of the columns ``choices``.
    Of a ``sparse`` one a narrow screen leaves out the cells that hold nothing.
    """
    if frame.empty:
        return Markup('<p class="note">{}</p>').format(NOTHING)
    columns = [(kind(str(column), words), str(column)) for column in frame.columns]
    head = joined(header(*column, choice=column[1] in choices) for column in columns)
    rows = joined(
        Markup("<tr>{}</tr>\n").format(
            joined(cell(*column, value, interactive) for column, value in zip(columns, row, strict=True))
        )
        for row in frame.itertuples(index=False)
    )
    title = Markup("<caption>{}</caption>").format(caption) if caption else ""
    pairs = [look for look, _ in columns] == ["words", "number"]
    kinds = " ".join([INTERACTIVE] * interactive + [SPARSE] * sparse + [PAIRS] * pairs)
    look = Markup(' class="{}"').format(kinds) if kinds else ""
    body = Markup("<table{}>{}<thead><tr>{}</tr></thead>\n<tbody>{}</tbody></table>")
    return Markup('<div class="scroll">{}</div>').format(body.format(look, title, head, rows))


def kind(column: str, words: Collection[str]) -> str:
    """How a column looks: `words`, `chip` (a verdict), or `number`."""
    if column == "verdict":
        return "chip"
    return "words" if column in words else "number"


def header(look: str, column: str, *, choice: bool) -> Markup:
    """A column's heading; ``choice``: its values can be chosen from."""
    mark = Markup(" data-choice") if choice else ""
    links = " trace" if column == "trace" else ""  # nothing to sort by
    return Markup('<th scope="col" class="{}{}" data-label="{}"{}>{}</th>').format(
        look, links, column, mark, column
    )


def cell(look: str, column: str, value: object, interactive: bool) -> Markup:
    """A cell that knows its column's name: a narrow screen shows the name above the value."""
    text = str(Markup.escape(value))
    if look == "number" and not isinstance(value, Markup):
        text = BEHIND.sub(r" <small>\1</small>", text)
    shown = Markup(INTERVAL.sub(rf"\1{GLUE}\2", text))  # an interval is not broken
    nothing = " nothing" if value == NOTHING else ""
    order = Markup(' data-order="{}"').format(rank(value)) if interactive and look == "number" else ""
    return Markup('<td class="{}{}" data-label="{}"{}>{}</td>').format(look, nothing, column, order, shown)


def rank(value: object) -> str:
    """What a number's cell is sorted by: the first number in it; empty where there is none."""
    text = value.striptags() if isinstance(value, Markup) else str(value)
    found = NUMBER.search(text.replace(MINUS, "-"))
    return found[0].replace(",", "").lstrip("+") if found else ""


def joined(parts: Iterable[Markup]) -> Markup:
    """The parts in one."""
    return Markup("").join(parts)
