"""A checked run: its settings, the identity of its stages, and where its files lie."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from m3ae.config.evaluation import EvalSplit, Task
from m3ae.config.extended import Extended
from m3ae.config.grid import SEED
from m3ae.config.models import RunSettings
from m3ae.config.paths import Paths
from m3ae.config.rows import READS_WORDS, REBUILDS, settings_of_row
from m3ae.config.stages import splits_of, stage_settings
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

    @property
    def headline(self) -> list[str]:
        """The rows that get everything beyond the figures."""
        extended = self.settings.extended
        return [row for row in extended.rows if row in self.rows] if extended else []

    @property
    def extended(self) -> Extended:
        """What is measured beyond the figures. Raises UserError for a run without."""
        if self.settings.extended is None:
            raise UserError(
                f"run {self.name!r} has the figures alone; set `extended` in config/{self.name}.yaml"
            )
        return self.settings.extended

    @property
    def detection_pairs(self) -> list[str]:
        """Names of the pairs that every score tells apart."""
        extended = self.settings.extended
        return [pair.name for pair in extended.detection.pairs] if extended else []

    @property
    def augmented_tasks(self) -> list[str]:
        """Tasks whose heads are also trained on augmented images; none where `augmented` is no target."""
        augmented = self.settings.extended and self.settings.extended.augmented
        return augmented.tasks if augmented else []

    @property
    def readers(self) -> list[str]:
        """Those of them that read captions, where the run measures that."""
        if self.settings.language is None:
            return []
        return [row for row in self.headline if row in self.models_of(*READS_WORDS)]

    def reads_captions(self, name: str) -> bool:
        """Whether the captions of the run's pairs, too, pass through a model's encoder."""
        return self.settings.language is not None and self.model(name).method in READS_WORDS

    def stage(self, stage: str, model: str | None = None) -> dict[str, Any]:
        """The sorted settings that ``stage`` depends on: its identity in the workflow and in records."""
        return stage_settings(self.settings, stage, self.model(model) if model else None)

    @property
    def tasks(self) -> list[str]:
        """Names of the probe's tasks."""
        return [task.name for task in self.settings.probe.tasks]

    def task(self, name: str) -> Task:
        """The probe's task of a name."""
        return next(task for task in self.settings.probe.tasks if task.name == name)

    @property
    def clustered(self) -> list[str]:
        """The two models whose features Figure 9 compares: the first MAE and the first M3AE."""
        return self.models_of("mae")[:1] + self.models_of("m3ae")[:1]

    @property
    def knows_places(self) -> bool:
        """Whether it is known where the things of its pictures are: of scenes that are made here."""
        return self.settings.data.source.kind == "toy"

    @property
    def ood_pairs(self) -> list[str]:
        """Names of the out-of-distribution pairs."""
        return [pair.name for pair in self.settings.ood.pairs]

    @property
    def eval_splits(self) -> list[EvalSplit]:
        """Every split of an evaluation set that this run passes through its encoders, once."""
        return splits_of(self.settings)

    @property
    def eval_datasets(self) -> list[str]:
        """Registry names of the evaluation sets of this run."""
        return list(dict.fromkeys(split.dataset for split in self.eval_splits))
