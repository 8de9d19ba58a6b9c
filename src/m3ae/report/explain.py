"""Where a cell's number comes from: value, paper, verdict, and the records behind it."""

from typing import Any

from m3ae.config import Run
from m3ae.config.load import read_layers
from m3ae.config.rows import taken_weights
from m3ae.records import HASH, Record, content_hash
from m3ae.report.cells import Cell
from m3ae.report.claims import Claim
from m3ae.report.orderings import ordering
from m3ae.report.paper import label
from m3ae.report.results import find_record, record_path
from m3ae.report.seeds import records_by_seed
from m3ae.report.tables import measured, printed_row
from m3ae.report.verdicts import NOT_RUN

BEFORE = ("pretrain", "features")
"""The stages that every number goes through, where they were run."""


def explain(run: Run, cell: Cell) -> dict[str, Any]:
    """Everything that is known of a cell, as plain JSON; ``ours`` is None where nothing was run."""
    sides = [cell.claim.better, cell.claim.worse] if cell.claim else [cell.model]
    numbers = of_ordering(run, cell.claim) if cell.claim else of_number(run, cell)
    found = {side: models_with(run, side, cell.stage, cell.metric) for side in sides}
    records = {model: record for models in found.values() for model, record in models.items()}
    makeable = [model for side, models in found.items() for model in models or [side] if model in run.models]
    return {
        "cell": cell.name,
        "run": run.name,
        "measured": f"{cell.metric or 'metrics'} of {cell.stage}",
        **numbers,
        "confidence": run.settings.statistics.confidence,
        "config": [path.as_posix() for path, _ in read_layers(run.name)],
        "records": [facts(run, model, cell.stage, record, cell.metric) for model, record in records.items()],
        "made_from": made_from(run, list(records), cell.stage),
        "commands": [
            f"snakemake {record_path(run, model, cell.stage).as_posix()} --config run={run.name}"
            for model in makeable
        ],
        "absent": [side for side in sides if side not in run.rows],
    }


def of_number(run: Run, cell: Cell) -> dict[str, Any]:
    """What the paper prints, what we measured, the verdict."""
    row = measured(run, cell.model, cell.stage, cell.metric)
    verdict = "" if row else NOT_RUN
    if figure := cell.printed and cell.name.partition(".")[0]:
        assert cell.printed is not None
        row = printed_row(run, figure, cell.printed)
        verdict = row["verdict"]
    ours = {"value": row["ours"], "low": row["low"], "high": row["high"]} if "ours" in row else None
    panel = cell.printed["panel"] if cell.printed else ""
    return {
        "title": label(run, cell.model, panel),
        "ours": ours,
        "paper": paper(row),
        "verdict": verdict,
    }


def of_ordering(run: Run, claim: Claim) -> dict[str, Any]:
    """Better minus worse: the paper's and ours, in points."""
    row = ordering(run, claim)
    found = row["difference"] is not None
    ours = {"value": row["difference"], "low": row["low"], "high": row["high"]} if found else None
    return {"title": row["ordering"], "ours": ours, "paper": paper(row), "verdict": row["verdict"]}


def paper(row: dict[str, Any]) -> dict[str, float]:
    """The paper's values by version; those that it does not have are left out (nan is not itself)."""
    values = {version: row.get(f"paper_{version}") for version in ("v1", "v3")}
    return {version: value for version, value in values.items() if value is not None and value == value}


def models_with(run: Run, row: str, stage: str, metric: str) -> dict[str, Record]:
    """The models behind a row's number, one for each seed, with their records."""
    records = records_by_seed(run, row, stage) if row in run.rows else {}
    return {record.model: record for record in records.values() if metric in record.metrics}


def facts(run: Run, model: str, stage: str, record: Record, metric: str = "") -> dict[str, Any]:
    """A record without the values of single test items."""
    content = record.model_dump(mode="json")
    found = record.metrics.get(metric)
    return {
        "record": record_path(run, model, stage).as_posix(),
        HASH: content_hash(content),
        "model": model,
        "model_seed": None if stage == "pretrain" else seed_of(run, model),
        **(found.model_dump(exclude={"items"}) if found else {}),
        **{key: content[key] for key in ("seeds", "inputs", "provenance", "details", "settings")},
    }


def seed_of(run: Run, model: str) -> int | None:
    """The seed of a model's pre-training, which later stages need not share; None if weights were taken."""
    taken = taken_weights(run.settings, run.model(model))
    return None if taken else run.settings_of(model).seed


def made_from(run: Run, models: list[str], stage: str) -> list[dict[str, Any]]:
    """The records of the stages before, of every model behind the number."""
    found = [(model, before, find_record(run, model, before)) for model in models for before in BEFORE]
    return [facts(run, *one[:2], one[2]) for one in found if one[2] is not None and one[1] != stage]
