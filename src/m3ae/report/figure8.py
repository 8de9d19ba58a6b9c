"""Figure 8: what a patch of a picture looks at in its caption."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from m3ae.config import Run
from m3ae.evaluate.attention.shown import Shown
from m3ae.report import heat
from m3ae.report.looks import place_of, write_looks
from m3ae.report.rows import INNER, Row, Word

NAME = "figure8"
ABOUT = (
    "Attention of one patch (framed) over the caption's word pieces (the darker, the more), nothing hidden."
)
CHOSEN = {
    True: "The patch: at the centre of the digit that the word names; where it names none, the one that the "
    "word looks at most.",
    False: "The patch: the one that the word looks at most (Figure 7).",
}


def make_figure8(run: Run, pairs: Sequence[Shown]) -> None:
    """Write ``figure8.png``, ``.json``, ``.csv`` and ``.md``."""
    rows = [Row([partial(heat.patch, shown=pair)], shaded(pair), note(pair)) for pair in pairs]
    about = f"{ABOUT} {CHOSEN[any(pair.box is not None for pair in pairs)]}"
    write_looks(run, NAME, about, ["patch"], rows, table_of(pairs), [in_words(pair) for pair in pairs])


def shaded(pair: Shown) -> list[Word]:
    """The caption, each piece on a ground as strong as the attention to it."""
    largest = float(pair.over_words.max())
    return [
        Word(piece, heat.shade(float(share), largest), bold=slot in pair.slots, chosen=slot in pair.slots)
        for slot, (piece, share) in enumerate(zip(pair.pieces, pair.over_words, strict=True))
    ]


def note(pair: Shown) -> str:
    """The most attended piece, and what the word of Figure 7 gets."""
    most = int(pair.over_words.argmax())
    return (
        f'most: "{piece(pair, most)}", {100 * pair.over_words[most]:.0f} % (spread evenly: '
        f"{100 / len(pair.pieces):.0f} %)\n{pair.word}: {100 * of_word(pair):.0f} %"
    )


def in_words(pair: Shown) -> str:
    """What a row shows, for those who cannot see it."""
    at, most = place_of(pair.patch), int(pair.over_words.argmax())
    share = 100 * float(pair.over_words[most])
    return f'row {at["row"]}, column {at["column"]} looks most at "{piece(pair, most)}" ({share:.0f} %)'


def piece(pair: Shown, slot: int) -> str:
    """A word piece as the picture shows it: an inner one without its mark."""
    return pair.pieces[slot].removeprefix(INNER)


def of_word(pair: Shown) -> float:
    """Share of the patch's attention that goes to the word of Figure 7, all its pieces together."""
    return float(pair.over_words[pair.slots].sum())


def table_of(pairs: Sequence[Shown]) -> pd.DataFrame:
    """A row for each pair: the patch, the piece that it looks at most, and the word of Figure 7 (%)."""
    most = [int(pair.over_words.argmax()) for pair in pairs]
    return pd.DataFrame(
        {
            "word": [pair.word for pair in pairs],
            "sample": [pair.sample for pair in pairs],
            "row": [place_of(pair.patch)["row"] for pair in pairs],
            "column": [place_of(pair.patch)["column"] for pair in pairs],
            "looks_at": [piece(pair, at) for pair, at in zip(pairs, most, strict=True)],
            "share_percent": [
                round(100 * float(pair.over_words[at]), 1) for pair, at in zip(pairs, most, strict=True)
            ],
            "share_of_word_percent": [round(100 * of_word(pair), 1) for pair in pairs],
            "evenly_percent": [round(100 / len(pair.pieces), 1) for pair in pairs],
        }
    )
