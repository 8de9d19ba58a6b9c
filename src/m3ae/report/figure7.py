"""Figure 7: what a word of a caption looks at in its picture."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from m3ae.config import Run
from m3ae.evaluate.attention.shown import Shown
from m3ae.files import write_text
from m3ae.report import heat
from m3ae.report.looks import hits_of, place_of, write_looks
from m3ae.report.pointing import pointing_markdown
from m3ae.report.rows import Row, Word

NAME = "figure7"
ABOUT = (
    "Attention of one word of a held-out caption (mean over its pieces) over the patches of its picture, "
    "nothing hidden."
)
MARKED = "#FFE08A"


def make_figure7(run: Run, pairs: Sequence[Shown]) -> None:
    """Write ``figure7.png``, ``.json``, ``.csv`` and ``.md``."""
    rows = [
        Row(
            [partial(heat.picture, shown=pair), partial(heat.heat, shown=pair)],
            [marked(piece, slot in pair.slots) for slot, piece in enumerate(pair.pieces)],
            note(pair),
        )
        for pair in pairs
    ]
    told = [in_words(pair) for pair in pairs]
    write_looks(run, NAME, ABOUT, ["picture", "attention"], rows, table_of(pairs), told)
    if added := pointing_markdown(run):
        path = run.paths.reports / f"{NAME}.md"
        write_text(path, f"{path.read_text(encoding='utf-8')}\n{added}")


def marked(piece: str, chosen: bool) -> Word:
    """A word piece; the chosen word stands out."""
    return Word(piece, MARKED, bold=True, chosen=True) if chosen else Word(piece)


def note(pair: Shown) -> str:
    """Where the peak is, and how high."""
    at, even = place_of(pair.peak), 100 / pair.over_patches.size
    peak = 100 * pair.over_patches.max()
    text = (
        f"peak: row {at['row']}, column {at['column']}: {peak:.0f} % of the attention\n(evenly: {even:.0f} %)"
    )
    if pair.hit is None:
        return text
    return f"{text}; it lies {'on' if pair.hit else 'beside'} the digit"


def in_words(pair: Shown) -> str:
    """What a row shows, for those who cannot see it."""
    at, share = place_of(pair.peak), 100 * float(pair.over_patches.max())
    place = "" if pair.hit is None else f", {'on' if pair.hit else 'beside'} the digit"
    return f'"{pair.word}" looks most at row {at["row"]}, column {at["column"]} ({share:.0f} %{place})'


def table_of(pairs: Sequence[Shown]) -> pd.DataFrame:
    """A row for each word: the pair, its most attended patch, the share of the attention there (%)."""
    columns = {
        "word": [pair.word for pair in pairs],
        "sample": [pair.sample for pair in pairs],
        "row": [place_of(pair.peak)["row"] for pair in pairs],
        "column": [place_of(pair.peak)["column"] for pair in pairs],
        "share_percent": [round(100 * float(pair.over_patches.max()), 1) for pair in pairs],
        "evenly_percent": [round(100 / pair.over_patches.size, 1) for pair in pairs],
    }
    return pd.DataFrame(columns | hits_of(pairs))
