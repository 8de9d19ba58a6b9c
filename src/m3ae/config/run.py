"""A checked run: its settings, the identity of its stages, and where its files lie."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from m3ae.config.evaluation import EvalSplit
from m3ae.config.models import RunSettings
from m3ae.config.paths import Paths
from m3ae.config.rows import REBUILDS, settings_of_row
from m3ae.config.stages import stage_settings
from m3ae.config.training import Model
from m3ae.errors import UserError

SEED = "-seed"
"""Between a row's name and the seed of a repeat."""


@dataclass(frozen=True)
class Run:
    """One run by name (``tiny``, ``photos``, ``paper``) with its settings."""

    name: str
    settings: RunSettings

    @cached_property
    def paths(self) -> Paths:
        """Where the files of this run lie, relative to the project folder."""
        return Paths(self.name)

    @property
    def rows(self) -> list[str]:
        """The rows of this run's tables, in their order."""
        return self.settings.rows

    @property
    def models(self) -> list[str]:
        """The models that this run makes: its rows, then their repeats with other seeds."""
        return [*self.rows, *(repeat for row in self.rows for repeat in self.repeats_of(row))]

    def repeats_of(self, row: str) -> list[str]:
        """The models that repeat a row with other seeds."""
        return [f"{row}{SEED}{seed}" for seed in self.settings.repeats.get(row, [])]

    def model(self, name: str) -> Model:
        """The row ``name`` of the grid, or a repeat of one (`ROW-seed43`)."""
        row, _, seed = name.partition(SEED)
        if row not in self.settings.models or (seed and name not in self.repeats_of(row)):
            known = ", ".join(dict.fromkeys([*self.settings.models, *self.models]))
            raise UserError(f"model {name!r}: expected a model of run {self.name!r}: {known}")
        grid = self.settings.models[row]
        return grid.model_copy(update={"seed": int(seed)}) if seed else grid

    def settings_of(self, name: str) -> RunSettings:
        """The settings as the pre-training of a model sees them: what its row overrides in its place."""
        return settings_of_row(self.settings, self.model(name))

    def models_of(self, *methods: str) -> list[str]:
        """The rows of some methods (`m3ae`, `mae`, `clip`, `supervised`) that are trained at all."""
        grid = self.settings.models
        return [name for name in self.rows if grid[name].method in methods and grid[name].epochs > 0]

    @property
    def rebuilding(self) -> list[str]:
        """The models that have a decoder, and so errors on what was hidden."""
        return [name for name in self.models if self.model(name).method in REBUILDS]

    def stage(self, stage: str, model: str | None = None) -> dict[str, Any]:
        """The sorted settings that ``stage`` depends on: its identity in the workflow and in records."""
        return stage_settings(self.settings, stage, self.model(model) if model else None)

    @property
    def tasks(self) -> list[str]:
        """Names of the probe's tasks."""
        return [task.name for task in self.settings.probe.tasks]

    @property
    def ood_pairs(self) -> list[str]:
        """Names of the out-of-distribution pairs."""
        return [pair.name for pair in self.settings.ood.pairs]

    @property
    def eval_splits(self) -> list[EvalSplit]:
        """Every split of an evaluation set that this run passes through its encoders, once."""
        splits = [
            EvalSplit(dataset=task.dataset, split=split)
            for task in self.settings.probe.tasks
            for split in (task.train, task.test)
        ]
        splits += [pair.out for pair in self.settings.ood.pairs]
        return list(dict.fromkeys(splits))

    @property
    def eval_datasets(self) -> list[str]:
        """Registry names of the evaluation sets of this run."""
        return list(dict.fromkeys(split.dataset for split in self.eval_splits))
