"""What several seeds of pre-training left behind."""

from m3ae.config import Run
from m3ae.records import Record
from m3ae.report.results import find_record


def records_by_seed(run: Run, row: str, stage: str) -> dict[int, Record]:
    """The records of a row and of its repeats that exist, by the seed of pre-training."""
    models = (row, *run.repeats_of(row))
    found = {run.settings_of(model).seed: find_record(run, model, stage) for model in models}
    return {seed: record for seed, record in found.items() if record is not None}
