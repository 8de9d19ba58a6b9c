"""Records as the report reads them: absent ones are None, and none of other settings gets in."""

import math
from functools import lru_cache
from pathlib import Path

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.records import Metric, Record, read_placed
from m3ae.report.differences import unequal
from m3ae.report.intervals import shown

FIGURES = ("pretrain", "heldout", "features", "probe", "ood", "concepts")
TRAINING = "pretrain"
STAGES = (
    *FIGURES,
    "probes",
    "augmented",
    "detection",
    "shift",
    "robustness",
    "captions",
    "pointing",
    "clusters",
)


def find_record(run: Run, model: str, stage: str) -> Record | None:
    """The record of ``stage`` (``pretrain``, ``probe-digit``, ...), or None where nothing was run.

    Raises UserError if it is broken, of another model or stage, made with other settings than the run's or of
    an encoder that was, or has a number without an interval: no table and no chart is made with one.
    """
    path = run.paths.record(model, stage)
    if model not in run.models or not path.is_file():
        return None
    facts = path.stat()
    confidence = run.settings.statistics.confidence
    record = read_once(path, Path.cwd(), (facts.st_mtime_ns, facts.st_ino, facts.st_size), confidence)
    for key, made, now in unequal(record.settings, run.stage(stage.partition("-")[0], model)):
        raise UserError(
            f"{path}: made with {key} = {made}, but run {run.name!r} now states {now}; "
            f"make it again: snakemake {path}"
        )
    if stage != TRAINING:
        find_record(run, model, TRAINING)
    return record


@lru_cache(maxsize=512)
def read_once(path: Path, folder: Path, state: tuple[int, ...], confidence: float) -> Record:
    """The record in the ``state`` that a file has, as it is shown: a table asks for it once per metric."""
    record = read_placed(path)
    for name, metric in record.metrics.items():
        check_interval(path, name, metric)
    return shown(record, confidence)


def check_interval(path: Path, name: str, metric: Metric) -> None:
    """Raise UserError for a number without an interval."""
    if not -math.inf < metric.low <= metric.value <= metric.high < math.inf:  # false of NaN
        raise UserError(
            f"{path}: {name}: expected an interval around {metric.value}, got [{metric.low}, {metric.high}]; "
            f"remove it and make it again: snakemake {path}"
        )


def record_path(run: Run, model: str, stage: str) -> Path:
    """Where the record lies, relative to the project folder."""
    return run.paths.record(model, stage)


def all_records(run: Run) -> list[tuple[Path, Record]]:
    """Every record that the run's models have, by model (as in its tables), then by the file's name."""
    found = []
    for model in run.models:
        for path in sorted(run.paths.results(model).glob("*.json")):
            if path.stem.partition("-")[0] in STAGES:
                record = find_record(run, model, path.stem)
                found += [(path, record)] if record else []
    return found
