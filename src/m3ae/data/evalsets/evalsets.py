"""Evaluation sets: checked once against the registry, then streamed in a stated order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Int64
from PIL import Image

from m3ae.config import Run
from m3ae.config.classes import Classes, read_classes
from m3ae.config.datasets import Dataset, load_dataset, split_of
from m3ae.config.stages import VERSIONS
from m3ae.data.evalsets.folder import FolderSplit
from m3ae.data.evalsets.listing import ListedClasses, ListedSplit, Listing, read_listing
from m3ae.data.evalsets.parquet import ParquetSplit
from m3ae.errors import UserError
from m3ae.files import write_text


class SplitFiles(Protocol):
    """The files of a split, whatever their form."""

    @property
    def where(self) -> Path:
        """What errors name."""

    @property
    def count(self) -> int:
        """Number of images."""

    def listed(self, full: bool) -> ListedSplit:
        """What they are now, hashed; with ``full`` every byte of image files too."""

    def difference(self, listed: ListedSplit) -> str | None:
        """What differs from a listing, found without reading the images; None if nothing does."""

    def labels(self, name: str) -> Int64[np.ndarray, " count"]:
        """A label of every image: classes from 0."""

    def batches(self, batch_size: int) -> Iterator[list[Image.Image]]:
        """RGB images, streamed."""

    def image(self, row: int) -> Image.Image:
        """One RGB image."""


def open_split(run: str | None, dataset: Dataset, split: str) -> SplitFiles:
    """Find the files of a split."""
    if dataset.form == "folder":
        return FolderSplit(run, dataset, split)
    return ParquetSplit(run, dataset, split)


def check_evalset(run: Run, dataset: str, full: bool = False) -> None:
    """Check the splits of a data set that the run uses against the registry; write the listing.

    Raises UserError, with what was expected and what came, for a wrong count, checksum, column,
    label or class folder.
    """
    entry = load_dataset(dataset)
    used = [split.split for split in run.eval_splits if split.dataset == dataset]
    if not used:
        known = ", ".join(run.eval_datasets)
        raise UserError(f"data set {dataset!r}: expected one that run {run.name!r} uses: {known}")
    listing = Listing(
        dataset=dataset,
        title=entry.title,
        splits={split: list_split(run.name, entry, split, full) for split in used},
        labels={label: entry.num_classes(label) for label in entry.labels},
        classes=shared_classes(entry) or None,
        version=VERSIONS["evalset"] if VERSIONS["evalset"] > 1 else None,
    )
    write_text(run.paths.evalset(dataset), listing.model_dump_json(indent=1, exclude_none=True) + "\n")


def list_split(run: str | None, dataset: Dataset, split: str, full: bool = False) -> ListedSplit:
    """Count, hash and check the files of a split."""
    files = check_counts(run, dataset, split)
    listed = files.listed(full)
    for label in dataset.labels:
        check_balance(files, dataset, label, split_of(dataset, split).per_class)
    return listed


def check_balance(files: SplitFiles, dataset: Dataset, label: str, expected: int | None) -> None:
    """Raise UserError for a label out of range, or if the classes have not ``expected`` images each."""
    counts = np.bincount(files.labels(label), minlength=dataset.num_classes(label))
    wrong = np.flatnonzero(counts != expected)
    if expected is not None and len(wrong):
        raise UserError(
            f"{files.where}: expected {expected} images of every {label!r}, found {counts[wrong[0]]} of "
            f"{wrong[0]} ({len(wrong)} such classes); get it again: {dataset.source}"
        )


def check_counts(run: str | None, dataset: Dataset, split: str) -> SplitFiles:
    """The files of a split, if they hold as many images as the registry says."""
    files, expected = open_split(run, dataset, split), split_of(dataset, split).count
    if expected not in (None, files.count):
        rows = "rows" if dataset.form == "parquet" else "images"
        raise UserError(
            f"{files.where}: expected {expected} {rows}, found {files.count}; get it again: {dataset.source}"
        )
    return files


def shared_classes(dataset: Dataset) -> dict[str, ListedClasses]:
    """What the labels mean whose classes are a shared list."""
    listed = {}
    for label, classes in dataset.labels.items():
        if isinstance(classes, Classes):
            members = read_classes(classes)
            listed[label] = ListedClasses(
                order="sorted by WordNet id",
                wnids=members.wnids,
                parent=classes.of,
                parent_indices=members.parent_indices,
            )
    return listed


class EvalImages:
    """The images and labels of one split, in the order of its rows.

    Raises UserError if the listing is missing, or if the files are not the listed ones any more.
    """

    def __init__(self, run: Run, dataset: str, split: str) -> None:
        self.dataset = load_dataset(dataset)
        path = run.paths.evalset(dataset)
        listed = read_listing(path, split)
        self.files = open_split(run.name, self.dataset, split)
        difference = self.files.difference(listed)
        if difference is not None:
            raise UserError(f"{path}: {split}: {difference}; check the files again: snakemake --force {path}")

    def __len__(self) -> int:
        return self.files.count

    def labels(self, name: str) -> Int64[np.ndarray, " count"]:
        """A label of every image: classes from 0."""
        return self.files.labels(name)

    def parent_indices(self, name: str) -> Int64[np.ndarray, " classes"] | None:
        """Where the classes of a label stand in the shared list that they are taken from, in order.

        ``logits[:, parent_indices]`` restricts a classifier of all 1,000 to the classes of ImageNet-R
        or A, so that its argmax is comparable with ``labels``. None for a set with classes of its own.
        """
        classes = self.dataset.labels.get(name)
        return np.array(read_classes(classes).parent_indices) if isinstance(classes, Classes) else None

    def batches(self, batch_size: int) -> Iterator[list[Image.Image]]:
        """RGB images, streamed; a batch may be smaller."""
        return self.files.batches(batch_size)

    def image(self, row: int) -> Image.Image:
        """The RGB image of a row, from 0."""
        return self.files.image(row)
