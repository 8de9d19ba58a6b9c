"""``evalsets/<dataset>.json``: what the files of an evaluation set were when they were checked."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from m3ae.errors import UserError, first_finding


class Entry(BaseModel):
    """A part of the listing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ListedFile(Entry):
    """One Parquet file."""

    name: str
    sha256: str
    count: int
    """Its rows."""


class ListedFolder(Entry):
    """All image files of a split together: they may be more than a million."""

    order: str
    """How they are numbered."""
    total_bytes: int
    names_and_sizes_sha256: str
    """Of the lines `file<TAB>size<TAB>label`, in order."""
    contents_sha256: str | None = None
    """Of the files' own SHA-256 sums in hexadecimal, one a line, in order; only after `--full`."""


class ListedSplit(Entry):
    """The files of a split, in the order in which their rows are numbered."""

    files: list[ListedFile]
    """Parquet files; empty for folders."""
    count: int
    folder: ListedFolder | None = None
    """For folders."""


class ListedClasses(Entry):
    """What the labels of a set mean that shares its classes with others."""

    order: str
    """How the classes are numbered."""
    wnids: list[str]
    """WordNet id of label 0, 1, ..."""
    parent: str
    """The list that they are taken from."""
    parent_indices: list[int]
    """Their labels there: the outputs of a 1,000-way classifier that count for this set."""


class Listing(Entry):
    """An evaluation set that passed its check."""

    dataset: str
    title: str
    splits: dict[str, ListedSplit]
    """Those that the run uses."""
    labels: dict[str, int]
    """Number of classes of every label column."""
    classes: dict[str, ListedClasses] | None = None
    """For labels whose classes are a shared list, or a subset of one."""
    version: int | None = None
    """Of the check (`config/stages.py`), from 2 on: records know those of version 1 by their bytes."""


def read_listing(path: Path, split: str) -> ListedSplit:
    """The listed files of a split. Raises UserError, one line, if listing or split are missing."""
    try:
        listing = Listing.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such listing; the workflow makes it: snakemake {path}") from None
    except ValidationError as error:
        again = f"make it again: snakemake --force {path}"
        raise UserError(f"{path}: not a listing ({first_finding(error)}); {again}") from None
    if split not in listing.splits:
        raise UserError(
            f"{path}: expected split {split!r}, found {', '.join(listing.splits)}; "
            f"make it again: snakemake --force {path}"
        )
    return listing.splits[split]
