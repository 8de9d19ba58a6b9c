"""The orderings that a run can confirm or contradict: the paper's, and ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from m3ae.config import Run

M3AE, MAE = "m3ae-b100", "mae-b100"
CLIP, CLIP_SHORT = "clip-b", "clip-b35"
LONGER, LARGER, MASKED = ("l25", "l50", "l100"), ("s50", "b50", "l50"), "m3ae-l50"
PAIRED = [f"{M3AE}-paired10", f"{M3AE}-paired20", f"{M3AE}-paired30", M3AE]


@dataclass(frozen=True)
class Claim:
    """One model is better than another on one measure."""

    source: str
    """`figure3`, `figure6`, or `ours`."""
    panel: str
    """The printed cells that it judges: those of its two models in a panel of that figure; empty: none."""
    better: str
    worse: str
    stage: str
    """Name of the records that are compared, such as `probe-digit`."""
    metric: str
    """Metric in these records."""


def claims(run: Run) -> list[Claim]:
    """All orderings in the order of the report."""
    return [*paper_claims(run), *own_claims(run)]


def paper_claims(run: Run) -> Iterator[Claim]:
    """What every version of the paper shows in Figures 3 to 6, on this run's first task and pair."""
    probe, ood = f"probe-{run.tasks[0]}", f"ood-{run.ood_pairs[0]}"
    yield Claim("figure3", "method", M3AE, MAE, probe, "accuracy")
    for fewer, more in [*pairwise(PAIRED), (PAIRED[0], PAIRED[-1])]:
        yield Claim("figure3", "paired share", more, fewer, probe, "accuracy")
    yield Claim("figure3", "paired share", PAIRED[0], MAE, probe, "accuracy")
    yield Claim("figure3", "method", CLIP, M3AE, probe, "accuracy")
    yield Claim("figure3", "method", "supervised-b", CLIP, probe, "accuracy")
    for model in LONGER:
        yield Claim("figure4", "epochs", f"m3ae-{model}", f"mae-{model}", probe, "accuracy")
    for model in LARGER:
        yield Claim("figure4", "size", f"m3ae-{model}", f"mae-{model}", probe, "accuracy")
    for worse in (f"{MASKED}-text90", f"{MASKED}-text50", f"{MASKED}-text15"):
        yield Claim("figure5", "text mask ratio", MASKED, worse, probe, "accuracy")
    for better in (f"{MASKED}-text50", f"{MASKED}-text90"):
        yield Claim("figure5", "text mask ratio", better, f"{MASKED}-text15", probe, "accuracy")
    yield Claim("figure6", "Mahalanobis", M3AE, MAE, ood, "mahalanobis_auroc")
    yield Claim("figure6", "MSP", M3AE, MAE, ood, "msp_auroc")


def own_claims(run: Run) -> Iterator[Claim]:
    """M3AE above MAE on our further tasks and pairs; our own rows; both above the untrained encoder."""
    for task in run.tasks[1:]:
        yield Claim("ours", "", M3AE, MAE, f"probe-{task}", "accuracy")
    if run.settings.concepts is not None:
        yield Claim("ours", "", M3AE, MAE, "concepts", "mean_average_precision")
    if f"{M3AE}-texts" in run.rows:
        yield Claim("ours", "", f"{M3AE}-texts", M3AE, f"probe-{run.tasks[0]}", "accuracy")
    if CLIP_SHORT in run.rows:
        for worse in (CLIP, M3AE):
            yield Claim("ours", "", CLIP_SHORT, worse, f"probe-{run.tasks[0]}", "accuracy")
    for pair in run.ood_pairs[1:]:
        for metric in ("mahalanobis_auroc", "msp_auroc"):
            yield Claim("ours", "", M3AE, MAE, f"ood-{pair}", metric)
    for task in run.tasks:
        for floor in (row for row in run.rows if run.model(row).epochs == 0):
            for model in (M3AE, MAE):
                yield Claim("ours", "", model, floor, f"probe-{task}", "accuracy")
