"""Whether the listing of an evaluation set is the one that the registry and the images would give now.

It has no record of its own: those who read it know its bytes. Listings state no settings, so what they do
state is compared.
"""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from m3ae.artifacts.cache import Hashes
from m3ae.config.classes import Classes, read_classes
from m3ae.config.datasets import Dataset, Split, load_dataset, root_of
from m3ae.config.run import Run
from m3ae.config.stages import VERSIONS
from m3ae.data.evalsets.listing import ListedSplit, Listing
from m3ae.errors import first_finding


def wrong_listing(run: Run, path: Path, hashes: Hashes) -> str | None:
    """The first thing that registry or images say otherwise; None if they agree."""
    try:
        listing = Listing.model_validate_json(path.read_bytes())
    except ValidationError as error:
        return f"not a listing ({first_finding(error)})"
    entry = load_dataset(path.stem)
    return contradiction(listing, entry) or (
        other_images(run, listing, entry, hashes) if entry.made_here else None
    )


def contradiction(listing: Listing, entry: Dataset) -> str | None:
    """The first thing that the registry says otherwise: its name, both values."""
    said = {**own_facts(listing, entry), **dict(split_facts(listing, entry))}
    for name, (listed, now) in said.items():
        if listed != now:
            return f"{name}: listed with {listed}, the registry has {now}"
    return None


def own_facts(listing: Listing, entry: Dataset) -> dict[str, tuple[Any, Any]]:
    """Facts of the whole set: as listed, as they are now."""
    shared = {name: found for name, found in entry.labels.items() if isinstance(found, Classes)}
    classes = {name: read_classes(found).wnids for name, found in shared.items()}
    listed = {name: found.wnids for name, found in (listing.classes or {}).items()}
    return {
        "version": (listing.version or 1, VERSIONS["evalset"]),
        "title": (listing.title, entry.title),
        "labels": (listing.labels, {label: entry.num_classes(label) for label in entry.labels}),
        "classes": (listed, classes),
    }


def split_facts(listing: Listing, entry: Dataset) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Facts of each split: whether there is one, its number of images, its files."""
    for name, listed in listing.splits.items():
        split = entry.splits.get(name)
        yield f"split {name}", (True, split is not None)
        if split:
            of_files = sum(file.count for file in listed.files) if listed.files else listed.count
            yield f"{name}: count", (listed.count, split.count or of_files)
            yield f"{name}: files", (names(listed), [name for name in names(listed) if fits(name, split)])


def names(listed: ListedSplit) -> list[str]:
    """Names of a split's Parquet files."""
    return [file.name for file in listed.files]


def fits(name: str, split: Split) -> bool:
    """Whether a file's name is of the pattern in the registry."""
    return fnmatch(name, Path(split.path).name)


def other_images(run: Run, listing: Listing, entry: Dataset, hashes: Hashes) -> str | None:
    """The first file that is here with other bytes than were listed, of a set that the run makes itself."""
    for name, listed in listing.splits.items():
        folder = (root_of(run.name, entry) / entry.splits[name].path).parent
        for file in listed.files:
            found = hashes.of(folder / file.name)
            if found not in (None, file.sha256):
                return f"{file.name}: listed with sha256 {file.sha256[:12]}, which is {found[:12]} now"
    return None
