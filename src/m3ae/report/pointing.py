"""How often a word's attention is highest on what it names: the record of `pointing` as a table."""

import pandas as pd

from m3ae.config import Run
from m3ae.report import html
from m3ae.report.format import NOTHING, interval, rounded, signed
from m3ae.report.results import find_record, record_path

BESIDE = {"chance": "chance", "untrained": "untrained", "other_scene": "another scene"}
ABOUT = (
    "Most attended patch on the digit (%), over all held-out captions that name a digit once. Chance: the "
    "share of the patches whose centre lies on the digit. Another scene: the patch that a word looks at most "
    "there, which tells what always looking at the same place would hit. Own of two: where two digits are "
    "named, how often a word's attention is higher on its own; 50 % if the word makes no difference."
)


def pointing_frame(run: Run) -> pd.DataFrame:
    """A row for each kind of word: hit rate, and the paired difference to what it is beside (%)."""
    models = run.models_of("m3ae")[:1]
    record = find_record(run, models[0], "pointing") if models else None
    if record is None:
        return pd.DataFrame()
    found, rows = record.metrics, []
    for kind in (name.removesuffix("_hit_rate") for name in found if name.endswith("_hit_rate")):
        hits = found[f"{kind}_hit_rate"]
        cells = {"words": kind, "n": str(hits.n)}
        cells["hits"] = f"{rounded(hits.value)} {interval(hits.low, hits.high)}"
        for name, title in BESIDE.items():
            gain = found[f"{kind}_gain_over_{name}"]
            cells[title] = rounded(found[f"{kind}_{name}"].value)
            cells[f"over {title}"] = f"{signed(gain.value)} {interval(gain.low, gain.high)}"
        two = found.get(f"{kind}_own_of_two")
        cells["own of two"] = f"{rounded(two.value)} {interval(two.low, two.high)}" if two else NOTHING
        rows.append(cells)
    return pd.DataFrame(rows)


def pointing_table(run: Run) -> str:
    """The table of the page; says so where it is not known where things are, or nothing was run."""
    if not run.knows_places:
        return html.note("Whether words look at what they name is measured where places are known: in tiny.")
    frame = pointing_frame(run)
    if frame.empty:
        model = (run.models_of("m3ae") or ["m3ae-b100"])[0]
        return html.note(f"- (not measured yet: snakemake {record_path(run, model, 'pointing')})")
    return html.table(frame, words=["words"], caption="Does a word look at what it names? (%)") + html.note(
        ABOUT
    )


def pointing_markdown(run: Run) -> str:
    """The same in Markdown; nothing where there is none."""
    frame = pointing_frame(run)
    return f"{ABOUT}\n\n{frame.to_markdown(index=False, disable_numparse=True)}\n" if len(frame) else ""
