"""All orderings with their verdicts, as a table, as ``orderings.csv`` and as ``orderings.md``."""

import math
from typing import TYPE_CHECKING, Any

from m3ae.config import Run
from m3ae.files import write_text
from m3ae.report.claims import Claim, claims
from m3ae.report.format import NOTHING, interval, signed
from m3ae.report.paper import label, printed_cells
from m3ae.report.subjects import subject
from m3ae.report.verdicts import difference, sides, verdict

if TYPE_CHECKING:
    from pandas import DataFrame

VERSIONS = ("v1", "v3")
METRICS = {
    "accuracy": "accuracy",
    "mean_average_precision": "mean average precision",
    "mahalanobis_auroc": "Mahalanobis AUROC",
    "msp_auroc": "MSP AUROC",
}


def write_orderings(run: Run) -> None:
    """Write ``reports/{run}/orderings.csv`` and ``.md``: the same bytes for the same records."""
    table = orderings(run)
    folder, banner = run.paths.reports, f"# {run.settings.banner}\n\n" if run.settings.banner else ""
    write_text(folder / "orderings.csv", table.to_csv(index=False, lineterminator="\n"))
    rows = readable(table).to_markdown(index=False, disable_numparse=True)
    about = (
        f"{run.settings.title} (`{run.name}`). Better minus worse in percentage points, over the same test "
        "items. Seeds are those of pre-training, `better against worse` where the two have others. An "
        "ordering holds where the whole interval lies above 0, and does not where it lies below."
    )
    write_text(folder / "orderings.md", f"{banner}## Orderings\n\n{about}\n\n{rows}\n")


def readable(table: "DataFrame") -> "DataFrame":
    """The table in words: one decimal, intervals, "-" for empty cells."""
    import pandas as pd

    return pd.DataFrame(
        {
            "ordering": table["ordering"],
            "figure": [source.removeprefix("figure") for source in table["source"]],
            "measured on": [measured_on(row) for row in table.to_dict("records")],
            **{f"paper {version}": table[f"paper_{version}"].map(signed) for version in VERSIONS},
            "ours": table["difference"].map(signed),
            "interval": [interval(*ends) for ends in zip(table["low"], table["high"], strict=True)],
            "seeds": [seeds or NOTHING for seeds in table["seeds"]],
            "verdict": table["verdict"],
        }
    )


def orderings(run: Run) -> "DataFrame":
    """All orderings, the paper's first.

    Columns: source (``figure3``, ``figure6``, ``ours``), ordering, subject (our task or pair), metric,
    paper_v1, paper_v3 (its differences, empty for ours), difference, low, high (percentage points), seeds,
    verdict.
    """
    import pandas as pd

    return pd.DataFrame([ordering(run, claim) for claim in claims(run)])


def measured_on(row: dict[Any, Any]) -> str:
    """`CIFAR-100, accuracy`."""
    return f"{subject(row['subject'] or 'concepts of captions')}, {METRICS[row['metric']]}"


def ordering(run: Run, claim: Claim) -> dict[str, Any]:
    """One row of ``orderings``."""
    found = difference(run, claim)
    value, low, high = (round(number, 4) for number in found) if found else (None, None, None)
    return {
        "source": claim.source,
        "ordering": f"{label(run, claim.better, claim.panel)} > {label(run, claim.worse, claim.panel)}",
        "subject": claim.stage.partition("-")[2],
        "metric": claim.metric,
        **{f"paper_{version}": paper_difference(claim, version) for version in VERSIONS},
        "difference": value,
        "low": low,
        "high": high,
        "seeds": seeds(run, claim) if found else "",
        "verdict": verdict(run, claim),
    }


def seeds(run: Run, claim: Claim) -> str:
    """`42 43 44`; where the two models have others, `42 against 42 43 44`."""
    better, worse = (" ".join(map(str, sorted(side))) for side in sides(run, claim))
    return better if better == worse else f"{better} against {worse}"


def counted(seeds: str) -> str:
    """How many they are: `3`; where the two models have others, `1 and 3`; "-" for none."""
    return " and ".join(str(len(side.split())) for side in seeds.split(" against ")) if seeds else NOTHING


def paper_difference(claim: Claim, version: str) -> float | None:
    """Better minus worse as a version of the paper prints them (percentage points); None if it does not."""
    if claim.source == "ours":
        return None
    cells = sorted(printed_cells(claim.source), key=lambda cell: cell["panel"] == claim.panel)
    measured = [cell for cell in cells if cell["metric"] == claim.metric] or cells
    values = {
        cell["model"]: cell[f"paper_{version}"] for cell in measured
    }  # printed twice: the panel's counts
    found = values[claim.better] - values[claim.worse]
    return None if math.isnan(found) else round(found, 3)
