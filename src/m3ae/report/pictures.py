"""Figures that are pictures (2, 7, 8, 9): drawn by the models' own targets, shown with what they tell."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.format import rounded
from m3ae.report.rows import INNER


def picture_figure(run: Run, name: str) -> str:
    """``reports/{run}/{name}.png`` with the samples behind it; "-" if it was not drawn.

    Facts about a sample stand behind its caption, unless the figure has a table of them.
    """
    picture, facts = (run.paths.reports / f"{name}.{end}" for end in ("png", "json"))
    if not (picture.is_file() and facts.is_file()):
        return html.note(f"- ({name} is not drawn yet: m3ae figure {name} --run {run.name})")
    alt, samples = described(facts)
    has_table = picture.with_suffix(".csv").is_file()
    items = [Markup("<li>{}</li>").format(told(sample, with_facts=not has_table)) for sample in samples]
    captions = Markup('<ol class="captions">{}</ol>').format(html.joined(items)) if items else Markup("")
    return html.framed(html.picture(picture, alt), html.forms(picture)) + captions


def described(facts: Path) -> tuple[str, Sequence[Any]]:
    """The text alternative and the samples of a picture, from the JSON beside it."""
    content = json.loads(facts.read_text(encoding="utf-8"))
    samples = content.get("samples", [])
    return content.get("alt") or f"{len(samples)} samples", samples


def told(sample: Any, *, with_facts: bool) -> Markup:
    """A sample in a line: its caption, then the other facts about it."""
    if not isinstance(sample, dict):
        return Markup("{}").format(sample)
    caption = sample.get("caption", "")
    text = words(caption) if isinstance(caption, list) else Markup("{}").format(caption)
    if not with_facts:
        return text
    facts = [fact(name, value) for name, value in sample.items() if name not in ("caption", "model")]
    shown = ", ".join(fact for fact in facts if fact)
    return Markup("{} <small>{}</small>").format(text, shown)


def fact(name: str, value: Any) -> str:
    """`image error 0.123`; nothing for what is no single value."""
    if isinstance(value, float):
        return f"{name.replace('_', ' ')} {rounded(value, 3)}"
    return f"{name.replace('_', ' ')} {value}" if isinstance(value, str | int) else ""


def words(caption: Sequence[Any]) -> Markup:
    """A caption: chosen words are marked; of hidden ones a wrong prediction stands behind the right word.

    An inner piece follows its word without a space.
    """
    text = Markup("")
    for entry in caption:
        space = "" if first(entry).startswith(INNER) or not text else " "
        text += Markup("{}{}").format(space, shown(entry))
    return text


def first(entry: Any) -> str:
    """The piece of a caption that an entry is about."""
    return str(entry["chosen"] if isinstance(entry, dict) else entry if isinstance(entry, str) else entry[0])


def shown(entry: Any) -> Markup:
    """One piece of a caption."""
    piece = first(entry).removeprefix(INNER)
    if isinstance(entry, dict):
        return Markup('<mark title="chosen">{}</mark>').format(piece)
    if isinstance(entry, str) or not entry[1]:
        return Markup("<span>{}</span>").format(piece)
    if entry[0] == entry[2]:
        return Markup('<ins title="hidden, predicted">{}</ins>').format(piece)
    wrong = Markup('<del title="hidden">{}</del> <mark title="predicted">{}</mark>')
    return wrong.format(piece, entry[2].removeprefix(INNER))
