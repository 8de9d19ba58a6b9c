"""What Figures 7 and 8 share: the files of a figure of pairs, and places in words."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from m3ae.config import Run
from m3ae.evaluate.attention.shown import Shown
from m3ae.files import write_text
from m3ae.report import style
from m3ae.report.filetable import in_words
from m3ae.report.paper import label
from m3ae.report.rows import Row, draw_rows


def write_looks(
    run: Run,
    name: str,
    about: str,
    titles: Sequence[str],
    rows: Sequence[Row],
    table: pd.DataFrame,
    told: Sequence[str],
) -> None:
    """Write ``reports/{run}/{name}.png``, ``.json``, ``.csv`` and ``.md``; ``told``: each row in words.

    The caption of a sample is in the picture and in the JSON, which are not published for photographs; the
    tables have single words alone.
    """
    folder, model = run.paths.reports, run.models_of("m3ae")[0]
    alt = f"{about} {label(run, model)}: {'; '.join(told) or 'no word was found'}."
    with style.theme():
        style.save(draw_rows(run, titles, rows), run, name, alt, kinds=("png",))
    samples = [sample(row, facts) for row, facts in zip(rows, table.to_dict("records"), strict=True)]
    content = json.dumps({"alt": alt, "samples": samples}, indent=1, ensure_ascii=False)
    write_text(folder / f"{name}.json", content + "\n")
    write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.md", markdown(run, name, about, table))


def sample(row: Row, facts: dict[Any, Any]) -> dict[str, Any]:
    """A sample as the page reads it: its caption, the chosen words marked, and the facts of the table."""
    caption = [{"chosen": word.text} if word.chosen else word.text for word in row.caption]
    return {"caption": caption, **facts}


def markdown(run: Run, name: str, about: str, table: pd.DataFrame) -> str:
    """The banner, what is shown, and the table."""
    banner = f"# {run.settings.banner}\n\n" if run.settings.banner else ""
    cells = (
        table.rename(columns=in_words).to_markdown(index=False, disable_numparse=True)
        if len(table)
        else "Nothing of it was run: -"
    )
    block = run.settings.attended.block
    return (
        f"{banner}## Figure {name.removeprefix('figure')}\n\n{run.settings.title} (`{run.name}`). {about} "
        f"Block {block} from the end of the encoder, mean over its heads.\n\n{cells}\n"
    )


def place_of(at: tuple[int, int]) -> dict[str, int]:
    """Row and column of a patch as people count: from 1, at the upper left."""
    return {"row": at[0] + 1, "column": at[1] + 1}


def hits_of(pairs: Sequence[Shown]) -> dict[str, list[str]]:
    """A column that says whether each peak lies on its digit; none where that is nowhere known."""
    if all(pair.hit is None for pair in pairs):
        return {}
    return {"on the digit": [{True: "yes", False: "no", None: ""}[pair.hit] for pair in pairs]}
