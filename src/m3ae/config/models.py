"""The whole of ``config/<run>.yaml``, and what must hold between its parts."""

from typing import Annotated, Self

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from m3ae.config.base import Count, Positive, Settings
from m3ae.config.data import Data
from m3ae.config.evaluation import Check, Concepts, Features, Ood, Probe, Statistics
from m3ae.config.extended import Extended
from m3ae.config.fit import check_row, check_temperature
from m3ae.config.grid import check_grid, known
from m3ae.config.language import Language
from m3ae.config.pictures import Attended, Clusters
from m3ae.config.rows import settings_of_row
from m3ae.config.training import Architecture, Clip, Heldout, Model, Pretrain, Supervised


def every_model(rows: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> list[str]:
    """The rows as given; for null all of `models`, the untrained, which is their floor, last."""
    models: dict[str, Model] = info.data.get("models", {})  # empty where a line of them is wrong
    made: list[str] = sorted(models, key=lambda row: models[row].epochs == 0) if rows is None else check(rows)
    return made


Names = Annotated[list[str], Field(min_length=1)]
Rows = Annotated[Names, WrapValidator(every_model, json_schema_input_type=Names | None)]


class RunSettings(Settings):
    """The science of one run. What belongs to a machine is in ``profiles/``."""

    title: str
    """One line for reports and menus."""
    banner: str
    """Printed in large letters on every report; empty for a run at the paper's scale."""
    seed: Count
    """Everything random is drawn from it."""
    batch_size: Positive
    """Global batch of pre-training (samples); the share of each device is derived."""
    samples_per_epoch: Positive
    """Samples that count as one epoch: the length of training is stated in samples seen."""
    data: Data
    architecture: Architecture
    pretrain: Pretrain
    clip: Clip
    supervised: Supervised
    models: dict[str, Model]
    """The grid: every row of the paper's tables, and ours; each line is a model that the run makes."""
    rows: Rows
    """Null makes every one of `models`; a list of names makes these alone, and other cells stay "-"."""
    repeats: dict[str, list[Count]]
    """Further seeds of pre-training, by row: its cells get an interval over seeds. Of no other row."""
    heldout: Heldout
    attended: Attended
    features: Features
    probe: Probe
    ood: Ood
    clusters: Clusters
    concepts: Concepts | None
    """Null for runs without: `concepts` is then no target."""
    language: Language | None
    """Null for runs without: `captions` is then no target."""
    extended: Extended | None
    """Null for the figures alone."""
    statistics: Statistics
    check: Check

    @model_validator(mode="after")
    def parts_fit(self) -> Self:
        """Check what no single field can know."""
        check_grid(self)
        tasks = [task.name for task in self.probe.tasks]
        for pair in self.ood.pairs:
            known(pair.task, tasks, f"ood.pairs.{pair.name}.task", "probe.tasks")
        known(self.clusters.task, tasks, "clusters.task", "probe.tasks")
        self.extended_fits(tasks)
        for name, size in {**self.architecture.sizes, "decoder": self.architecture.decoder}.items():
            if size.width % size.heads or size.width % 4:
                raise ValueError(
                    f"architecture: {name} has width {size.width} and {size.heads} heads; "
                    "expected a width that both the heads and 4 divide"
                )
        check_temperature(self.clip)
        for name in self.rows:
            check_row(name, settings_of_row(self, self.models[name]))
        return self

    def extended_fits(self, tasks: list[str]) -> None:
        """Check what is measured beyond the figures against rows and tasks."""
        if self.extended is None:
            return
        for row in self.extended.rows:
            known(row, self.models, "extended.rows", "models")
        for pair in self.extended.detection.pairs:
            known(pair.task, tasks, f"extended.detection.pairs.{pair.name}.task", "probe.tasks")
        for task in self.extended.augmented.tasks if self.extended.augmented else ():
            known(task, tasks, "extended.augmented.tasks", "probe.tasks")
        known(self.extended.robustness.task, tasks, "extended.robustness.task", "probe.tasks")
        for shift in self.extended.shift.natural:
            known(shift.task, tasks, f"extended.shift.natural.{shift.name}.task", "probe.tasks")
