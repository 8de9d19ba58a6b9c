"""Pieces of the page as HTML: everything inside the file, nothing fetched."""

import base64
import re
from pathlib import Path

from markupsafe import Markup

from m3ae.config import Run
from m3ae.report.format import NOTHING
from m3ae.report.htmltable import joined, table

__all__ = ["chart", "details", "joined", "link", "marked", "note", "picture", "table", "terminal", "verdict"]

MIME = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg"}
STRESSED, CODE = re.compile(r"\*(\w[^*]*)\*"), re.compile(r"`([^`]+)`")
VERDICTS = {
    "reproduced": "good",
    "ordering holds": "good",
    "deviates": "bad",
    "ordering does not hold": "bad",
    "not resolved": "open",
    "not compared": "none",
    "not run": "none",
}
"""How a verdict looks: its name is always written out, colour only repeats it."""


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


def details(summary: str, body: Markup, *, numbers: bool = False) -> Markup:
    """What only some want to read: on paper it is left out, but for ``numbers`` that stand nowhere else."""
    look = Markup(' class="numbers"') if numbers else ""
    return Markup("<details{}><summary>{}</summary>{}</details>").format(look, summary, body)


def marked(text: str) -> Markup:
    """Text whose `*words*` are stressed and whose words between backticks are code, as Markdown has it."""
    safe = str(Markup.escape(text))
    return Markup(CODE.sub(r"<code>\1</code>", STRESSED.sub(r"<em>\1</em>", safe)))


def terminal(*lines: str) -> Markup:
    """Commands as one types them."""
    return Markup('<pre class="terminal" tabindex="0"><code>{}</code></pre>').format("\n".join(lines))


def chart(run: Run, name: str, alt: str) -> Markup:
    """A chart of ``reports/{run}``, in the page itself, with links to its other forms."""
    path = run.paths.reports / f"{name}.svg"
    if not path.is_file():
        return note(f"- ({name} is not drawn yet: m3ae figure {name} --run {run.name})")
    return framed(picture(path, alt), forms(path))


def framed(image: Markup, caption: Markup) -> Markup:
    """An image, which a narrow screen scrolls within itself, with what stands below it."""
    return Markup('<figure><div class="sideways">{}</div><figcaption>{}</figcaption></figure>').format(
        image, caption
    )


def forms(path: Path) -> Markup:
    """Links to the same content in other formats, those that exist."""
    found = [path.with_suffix(suffix) for suffix in (".csv", ".json", ".md", ".svg", ".png")]
    links = Markup(" · ").join(
        Markup('<a href="{0}" aria-label="{1} as {2}">{2}</a>').format(
            form.name, form.stem, form.suffix[1:].upper()
        )
        for form in found
        if form.is_file()
    )
    return Markup('<span class="forms">{}</span>').format(links)


def picture(path: Path, alt: str) -> Markup:
    """An image as data in the page."""
    return embedded(path.read_bytes(), path.suffix, alt)


def embedded(content: bytes, kind: str, alt: str) -> Markup:
    """An image's bytes of a ``kind`` (`.png`) as data in the page."""
    data = base64.b64encode(content).decode()
    return Markup('<img alt="{}" src="data:{};base64,{}">').format(alt, MIME[kind], data)
