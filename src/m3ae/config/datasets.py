"""The registry of evaluation sets: ``config/datasets.yaml``."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from m3ae.config.base import Positive, Settings
from m3ae.config.classes import Classes, ClassList, read_classes
from m3ae.config.load import nearest, read_yaml
from m3ae.config.origins import Archive, Hub, Sha256
from m3ae.config.paths import Paths, data_root
from m3ae.config.run import Run
from m3ae.config.stages import sort_keys
from m3ae.errors import UserError

REGISTRY = Path("config/datasets.yaml")


class FileList(Settings):
    """A published text file that says which images a split has, one a line."""

    path: str
    """The file, below the data root. Fields are parted by tabs, commas or blanks: the image, then its
    class (the name of a class folder); an image alone has the class of its folder."""
    header: bool = False
    """Whether the first line names the columns."""
    suffix: str = ""
    """What the images' names lack, such as `.JPEG`."""


class Split(Settings):
    """One split of an evaluation set."""

    path: str
    """Parquet: a file, or a pattern of files. Folders: the folder of the class folders, or of the listed
    images. Below the data root (or below `data/<run>/source` if made here)."""
    count: Positive | None = None
    """Number of images; none for sets whose size the run's own settings give (images)."""
    per_class: Positive | None = None
    """Images of every class, where they are equally many."""
    sha256: Sha256 | None = None
    """Checksum of the file, where a single file is published."""
    listed_in: FileList | None = None
    """Folders: the published list of the images; none if every image of the class folders belongs to it."""


class Dataset(Settings):
    """An evaluation set."""

    title: str
    """Name and citation."""
    source: str
    """Where a user gets it."""
    licence: str
    """Terms of use."""
    form: Literal["parquet", "folder"] = "parquet"
    """`parquet`: files with encoded images and labels, in the order of their rows. `folder`: image files
    in class folders or with a list, in the order of their classes, then of their names."""
    image: str | None = None
    """Parquet: column of encoded images: bytes, or Hugging Face's {bytes, path}."""
    labels: dict[str, list[str] | Positive | Classes]
    """Columns of integer classes, each with the class names in order, a shared list, or their number."""
    folders: Literal["wnid", "name", "index"] | None = None
    """Folders: what class folders are named by."""
    splits: dict[str, Split]
    """The splits by name."""
    made_here: bool = False
    """Made by the run's own source stage: lies in `data/<run>/source`."""
    get: Annotated[Hub | Archive, Field(discriminator="kind")] | None = None
    """What `m3ae data get` downloads; none if a user has to bring it."""

    @model_validator(mode="after")
    def check_form(self) -> "Dataset":
        """Every form has its own fields."""
        if self.form == "parquet" and (self.image is None or self.folders is not None):
            raise ValueError("form parquet: expected `image`, and no `folders`")
        if self.form == "folder":
            if self.image is not None or self.folders is None or len(self.labels) != 1:
                raise ValueError("form folder: expected `folders` and one label, and no `image`")
            if isinstance(self.classes_of(self.label), int):
                raise ValueError("form folder: expected the names of the classes, got their number")
        return self

    @property
    def label(self) -> str:
        """The only label of a set of folders."""
        return next(iter(self.labels))

    def num_classes(self, label: str) -> int:
        """Number of classes of a label column."""
        classes = self.classes_of(label)
        return classes if isinstance(classes, int) else len(classes.names)

    def classes_of(self, label: str) -> ClassList | int:
        """The classes of a label in their order, or their number where the registry has no names."""
        if label not in self.labels:
            raise UserError(f"label {label!r}: expected one of {', '.join(self.labels) or 'none'}")
        classes = self.labels[label]
        if isinstance(classes, int):
            return classes
        if isinstance(classes, Classes):
            return read_classes(classes)
        return ClassList(names=classes, wnids=[], parent_indices=list(range(len(classes))))

    def class_folders(self) -> list[str]:
        """The names of the class folders, in the order of the labels."""
        classes = self.classes_of(self.label)
        assert isinstance(classes, ClassList)
        if self.folders == "index":
            return [str(index) for index in classes.parent_indices]
        return classes.wnids if self.folders == "wnid" else classes.names


def load_datasets() -> dict[str, Dataset]:
    """The whole registry."""
    entries = registry()
    return {name: validate(name, entry) for name, entry in entries.items()}


def load_dataset(name: str) -> Dataset:
    """The registry's entry ``name``."""
    entries = registry()
    if name not in entries:
        raise UserError(
            f"data set {name!r}: expected an entry of {REGISTRY} ({', '.join(entries)})"
            f"{nearest(name, list(entries))}"
        )
    return validate(name, entries[name])


def registry() -> dict[str, Any]:
    """The entries as they are written, parsed once for each state of the file: a plan asks often."""
    try:
        found = REGISTRY.stat()
    except OSError:
        return read_yaml(REGISTRY)  # which says what is wrong
    return parsed(REGISTRY.absolute(), (found.st_mtime_ns, found.st_size, found.st_ino))


@lru_cache(maxsize=8)
def parsed(path: Path, state: tuple[int, ...]) -> dict[str, Any]:
    """The registry at ``path`` in the ``state`` that the file has."""
    return read_yaml(REGISTRY)


def validate(name: str, entry: Any) -> Dataset:
    """An entry, or a UserError with the first mistake in it."""
    try:
        return Dataset.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, (name, *first["loc"])))
        raise UserError(f"{REGISTRY}: {key}: {first['msg'].lower()}, got {first['input']!r}") from None


def evalset_stage(run: Run, name: str) -> dict[str, Any]:
    """The identity of the stage that checks an evaluation set: what its listing depends on.

    Not the prose: a licence in other words plans nothing.
    """
    dataset = load_dataset(name)
    entry = dataset.model_dump(mode="json", exclude={"source", "licence", "get"}, exclude_defaults=True)
    for label, classes in dataset.labels.items():
        if isinstance(classes, Classes):
            entry["labels"][label]["classes"] = read_classes(classes).wnids
    return sort_keys({**run.stage("evalset"), "entry": entry})


def root_of(run: str | None, dataset: Dataset) -> Path:
    """The folder below which the splits lie: the data root, or what the run made."""
    if not dataset.made_here:
        return data_root()
    if run is None:
        raise UserError(f"{dataset.title}: every run makes its own; say which: --run RUN")
    return Paths(run).source


def split_of(dataset: Dataset, split: str) -> Split:
    """A split of the registry's entry."""
    if split not in dataset.splits:
        raise UserError(f"{dataset.title}: split {split!r}: expected one of {', '.join(dataset.splits)}")
    return dataset.splits[split]


def files_of(run: str | None, dataset: Dataset, split: str) -> list[Path]:
    """The Parquet files of a split, in order. Raises UserError, with the way to get them, where none are."""
    pattern = split_of(dataset, split).path
    files = sorted(root_of(run, dataset).glob(pattern))
    if not files:
        raise UserError(missing(run, dataset, pattern))
    return files


def missing(run: str | None, dataset: Dataset, path: str) -> str:
    """What to say where a part of a set does not lie where it should."""
    where = root_of(run, dataset) / path
    if dataset.made_here:
        return f"{dataset.title}: expected {where}, found nothing; make it: m3ae data source --run {run}"
    return (
        f"{dataset.title}: expected {where}, found nothing; get it from {dataset.source} "
        f"({dataset.licence}) and set data_root (or $M3AE_DATA_ROOT) to the folder"
    )
