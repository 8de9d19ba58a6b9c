"""The registry of evaluation sets: ``config/datasets.yaml``."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from m3ae.config.base import Positive, Settings
from m3ae.config.load import nearest, read_yaml
from m3ae.config.paths import Paths, data_root
from m3ae.config.run import Run
from m3ae.config.stages import sort_keys
from m3ae.errors import UserError

REGISTRY = Path("config/datasets.yaml")


class Split(Settings):
    """One split of an evaluation set: Parquet files with encoded images and labels."""

    path: str
    """File, or pattern of files, below the data root (or below `data/<run>/source` if made here)."""
    count: Positive | None = None
    """Number of rows; none for sets whose size the run's own settings give (images)."""
    sha256: str | None = None
    """Checksum of the file, where a single file is published."""


class Dataset(Settings):
    """An evaluation set."""

    title: str
    """Name and citation."""
    source: str
    """Where a user gets it."""
    licence: str
    """Terms of use."""
    image: str
    """Column of encoded images: bytes, or Hugging Face's {bytes, path}."""
    labels: dict[str, list[str] | Positive]
    """Columns of integer classes, each with the class names in order, or their number."""
    splits: dict[str, Split]
    """The splits by name."""
    made_here: bool = False
    """Made by the run's own source stage: lies in `data/<run>/source`."""

    def num_classes(self, label: str) -> int:
        """Number of classes of a label column."""
        if label not in self.labels:
            raise UserError(f"label {label!r}: expected one of {', '.join(self.labels)}")
        classes = self.labels[label]
        return classes if isinstance(classes, int) else len(classes)


def load_dataset(name: str) -> Dataset:
    """The registry's entry ``name``."""
    entries = read_yaml(REGISTRY)
    if name not in entries:
        raise UserError(
            f"data set {name!r}: expected an entry of {REGISTRY} ({', '.join(entries)})"
            f"{nearest(name, list(entries))}"
        )
    try:
        return Dataset.model_validate(entries[name])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(f"{REGISTRY}: {name}.{key}: {first['msg'].lower()}, got {first['input']!r}") from None


def evalset_stage(run: Run, name: str) -> dict[str, Any]:
    """The identity of the stage that checks an evaluation set: its entry, whatever else the registry says."""
    return sort_keys({**run.stage("evalset"), "entry": load_dataset(name).plain()})


def files_of(run: str, dataset: Dataset, split: str) -> list[Path]:
    """The files of a split, in order. Raises UserError, with the way to get them, where there are none."""
    if split not in dataset.splits:
        raise UserError(f"{dataset.title}: split {split!r}: expected one of {', '.join(dataset.splits)}")
    folder = Paths(run).source if dataset.made_here else data_root()
    files = sorted(folder.glob(dataset.splits[split].path))
    if not files:
        raise UserError(
            f"{dataset.title}: expected {folder / dataset.splits[split].path}, found nothing; get it from "
            f"{dataset.source} ({dataset.licence}) and set data_root (or $M3AE_DATA_ROOT) to the folder"
        )
    return files
