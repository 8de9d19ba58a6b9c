"""Figure 2: originals, what the model saw of them, what it made of the rest."""

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from m3ae.config import Run
from m3ae.evaluate.rebuilt import Picture, Rebuilt
from m3ae.files import write_text
from m3ae.report import style
from m3ae.report.format import NOTHING, rounded
from m3ae.report.paper import label
from m3ae.report.rows import Row, Word, draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "figure2"
TITLES = ["original", "seen", "rebuilt"]
RIGHT, WRONG = "#D5EFE3", "#F7DDCB"  # grounds of hidden words
GREEN, RED = "#00573F", "#8A2F00"


def make_figure2(run: Run, pairs: Sequence[Rebuilt]) -> None:
    """Write ``figure2.png`` and ``figure2.json``: of photographs neither is published."""
    rows = [
        Row([partial(show, image) for image in images_of(pair)], words(pair), note(pair)) for pair in pairs
    ]
    alt = describe(run, pairs)
    content = {"alt": alt, "samples": [sample(pair) for pair in pairs]}
    with style.theme():
        style.save(draw_rows(run, TITLES, rows), run, NAME, alt, kinds=("png",))
    write_text(run.paths.reports / f"{NAME}.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def images_of(pair: Rebuilt) -> tuple[Picture, Picture, Picture]:
    """The pictures of a row."""
    return pair.original, pair.masked, pair.rebuilt


def show(image: Picture, axes: "Axes") -> None:
    """A picture, its pixels as squares."""
    axes.imshow(image, interpolation="nearest")


def words(pair: Rebuilt) -> list[Word]:
    """The caption: hidden words on a ground, a wrong guess behind the struck word."""
    found = []
    for piece, hidden, predicted in pair.caption:
        if not hidden:
            found.append(Word(piece))
        elif piece == predicted:
            found.append(Word(piece, RIGHT, GREEN, bold=True))
        else:
            found += [Word(piece, WRONG, RED, struck=True), Word(predicted.removeprefix("##"), WRONG, RED)]
    return found


def note(pair: Rebuilt) -> str:
    """The error of the picture, and how many hidden words are right."""
    right, num = pair.words
    return f"error of hidden patches: {rounded(pair.image_error, 3)}\nhidden words right: {right} of {num}"


def sample(pair: Rebuilt) -> dict[str, Any]:
    """A sample as the page reads it."""
    right, num = pair.words
    return {
        "model": pair.model,
        "sample": pair.sample,
        "caption": pair.caption,
        "image_error": pair.image_error,
        "hidden_words_right": f"{right} of {num}",
    }


def describe(run: Run, pairs: Sequence[Rebuilt]) -> str:
    """The picture in words, for those who cannot see it."""
    if not pairs:
        return "Held-out images: none was rebuilt."
    mean = sum(pair.image_error for pair in pairs) / len(pairs)
    right, num = (sum(counts) for counts in zip(*(pair.words for pair in pairs), strict=True))
    return (
        f"{len(pairs)} held-out images: original, the patches that {label(run, pairs[0].model)} saw, and "
        f"what it made of the hidden ones (mean error {rounded(mean, 3)}); beside them the captions, "
        f"of whose hidden words {right if num else NOTHING} of {num} are right."
    )
