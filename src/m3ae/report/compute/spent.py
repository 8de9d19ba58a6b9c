"""What each stage of each model cost: time and machine from its record, operations from its settings."""

from pathlib import Path
from typing import Any

import pandas as pd

from m3ae.config import Run
from m3ae.records import Record
from m3ae.report.origin import machine
from m3ae.report.results import STAGES, all_records
from m3ae.train.budget import features_flops, sample_flops
from m3ae.train.telemetry.cards import TERA, card_of, peak_of

COLUMNS = [
    "model", "stage", "wall_s", "covered", "machine", "samples", "samples_per_s", "flops", "flops_per_s",
    "mfu", "mfu_of", "energy_j", "co2_g", "record",
]  # fmt: skip
MATMULS = "matrix products, measured there"


def spent_table(run: Run) -> pd.DataFrame:
    """One row per model and stage that left a record; empty cells where nothing measured or counted it.

    ``covered`` is the share of a training that ``wall_s`` covers: one that was killed and went on states the
    time of its last part alone, and rates are those of that part. ``flops`` is of all of it, every caption
    of full length; ``mfu`` is what the training measured, on the words that there were.
    """
    rows = [
        {"model": model, "stage": stage, "record": path.as_posix(), **cost(run, record)}
        for (model, stage), (path, record) in longest(all_records(run)).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def longest(records: list[tuple[Path, Record]]) -> dict[tuple[str, str], tuple[Path, Record]]:
    """A record by model and stage, in the order of the work.

    A stage's records share one start, so that the longest time is its own.
    """
    found: dict[tuple[str, str], tuple[Path, Record]] = {}
    for path, record in records:
        key = record.model, record.stage
        if key not in found or wall_s(record) > wall_s(found[key][1]):
            found[key] = path, record
    models = list(dict.fromkeys(model for model, _ in found))
    order = sorted(found, key=lambda key: (models.index(key[0]), STAGES.index(key[1])))
    return {key: found[key] for key in order}


def wall_s(record: Record) -> float:
    """Seconds that the stage took; 0 where the record does not say."""
    return record.provenance.get("wall_s") or 0.0


def cost(run: Run, record: Record) -> dict[str, Any]:
    """The cells of a record's row. No record knows the CO2 of the electricity that it used."""
    facts = record.provenance
    cells: dict[str, Any] = {"wall_s": facts.get("wall_s"), "machine": machine(facts)}
    if record.stage == "pretrain":
        return cells | training(run, record)
    if record.stage == "features":
        images = sum(split["count"] for split in record.details.values())
        return cells | rates(images, features_flops(run, record.model, images), wall_s(record))
    return cells


def training(run: Run, record: Record) -> dict[str, Any]:
    """Rates of the part that the record's time covers.

    Speed and utilisation that the training logged are medians over all its parts, which may have run on
    different machines: of one that went on, they are left out.
    """
    facts, details = record.provenance, record.details
    samples, steps = details["samples"], details["steps"]
    resumed = facts.get("resumed_at_step") or 0
    covered = 1 - resumed / steps if steps else 1.0
    cells = rates(samples, samples * sample_flops(run, record.model), wall_s(record), covered)
    mfu = None if resumed else facts.get("mfu")
    return {
        **cells,
        "covered": round(covered, 4),
        "mfu": mfu,
        "mfu_of": peak_words(facts) if mfu is not None else None,
        "energy_j": facts.get("energy_j"),
    }


def rates(samples: int, flops: float, seconds: float, covered: float = 1.0) -> dict[str, Any]:
    """Samples and operations, and the rates of the share ``covered`` of them that took ``seconds``."""
    cells: dict[str, Any] = {"samples": samples, "flops": float(f"{flops:.4g}")}
    if seconds and samples and covered > 0:
        cells["samples_per_s"] = round(covered * samples / seconds, 1)
        cells["flops_per_s"] = float(f"{covered * flops / seconds:.4g}")
    return cells


def peak_words(facts: dict[str, Any]) -> str | None:
    """What the recorded utilisation is a share of, with its source; None if that is not known here."""
    name, precision = facts.get("machine", {}).get("accelerator"), facts.get("precision", "")
    if name is None:
        return MATMULS
    card, peak = card_of(name), peak_of(name, precision)
    if card is None or peak is None:
        return None
    devices = f"{facts['ranks']} x " if facts.get("ranks", 1) > 1 else ""
    return f"{devices}{peak / TERA:g} TFLOP/s {precision} ({card.source})"
