"""A checked run: its settings, the identity of its stages, and where its files lie."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from m3ae.config.evaluation import EvalSplit
from m3ae.config.models import RunSettings
from m3ae.config.paths import Paths
from m3ae.config.stages import stage_settings
from m3ae.config.training import Model
from m3ae.errors import UserError


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
    def models(self) -> list[str]:
        """The models that this run makes, in the order of its tables."""
        return self.settings.rows

    def model(self, name: str) -> Model:
        """The row ``name`` of the grid."""
        if name not in self.settings.models:
            known = ", ".join(self.settings.models)
            raise UserError(f"model {name!r}: expected a model of run {self.name!r}: {known}")
        return self.settings.models[name]

    def models_of(self, method: str) -> list[str]:
        """The made models of a method (`m3ae`, `mae`) that are trained at all."""
        grid = self.settings.models
        return [name for name in self.models if grid[name].method == method and grid[name].epochs > 0]

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
