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


class ListedSplit(Entry):
    """The files of a split, in the order in which their rows are numbered."""

    files: list[ListedFile]
    count: int


class Listing(Entry):
    """An evaluation set that passed its check."""

    dataset: str
    title: str
    splits: dict[str, ListedSplit]
    """Those that the run uses."""
    labels: dict[str, int]
    """Number of classes of every label column."""


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
