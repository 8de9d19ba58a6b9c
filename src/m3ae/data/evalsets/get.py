"""Getting a published evaluation set: terms first, then the download, then its counts."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse

from m3ae.config.datasets import Dataset
from m3ae.config.origins import Archive, Hub
from m3ae.config.paths import data_root
from m3ae.data.evalsets.evalsets import check_counts
from m3ae.data.evalsets.fetch import fetch_archive
from m3ae.data.evalsets.hub import HubFile, download_from_hub, files_on_hub
from m3ae.data.evalsets.unpack import unpack
from m3ae.errors import UserError


@dataclass(frozen=True)
class Offer:
    """What a download would bring, for a user to agree to."""

    name: str
    dataset: Dataset
    origin: Hub | Archive
    root: Path
    size_bytes: int | None
    """Bytes of the download; None where no source states them."""
    files: list[HubFile] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Title, terms, origin, size and place."""
        size = "size not stated" if self.size_bytes is None else words_of(self.size_bytes)
        return [
            self.dataset.title,
            f"  licence: {self.dataset.licence}",
            f"  source:  {self.dataset.source}",
            f"  from:    {self.origin.where}",
            f"  size:    {size}",
            f"  check:   {self.check()}",
            f"  to:      {self.root / self.origin.to}",
            *([f"  first:   {self.origin.before}"] if self.origin.before else []),
        ]

    def check(self) -> str:
        """What the download is verified by."""
        if isinstance(self.origin, Hub):
            return "the hub's checksums, counts"
        kinds = [kind for kind in ("sha256", "md5") if getattr(self.origin, kind) is not None]
        return ", ".join([*kinds, "counts"]) + ("" if kinds else " (no checksum is published)")


def make_offer(name: str, dataset: Dataset) -> Offer:
    """Look up what a download would bring. Raises UserError where there is nothing to download."""
    root, origin = data_root(), dataset.get
    if dataset.made_here:
        raise UserError(f"data set {name!r}: every run makes its own: m3ae data source --run RUN")
    if origin is None:
        raise UserError(
            f"data set {name!r}: expected one that can be downloaded; bring it yourself from "
            f"{dataset.source} ({dataset.licence}), to {root / next(iter(dataset.splits.values())).path}"
        )
    if isinstance(origin, Hub):
        files = files_on_hub(origin)
        return Offer(name, dataset, origin, root, sum(file.size for file in files), files)
    return Offer(name, dataset, origin, root, origin.size_bytes)


def take(offer: Offer) -> dict[str, int]:
    """Download, verify and unpack; the images of every split. Goes on where it was interrupted."""
    check_room(offer)
    if isinstance(offer.origin, Hub):
        download_from_hub(offer.origin, offer.files, offer.root)
    else:
        take_archive(offer.origin, offer.root)
    return count_splits(offer.dataset)


def take_archive(origin: Archive, root: Path) -> None:
    """Download and unpack an archive, which is removed then."""
    folder = root / origin.to
    if folder.exists():
        raise UserError(
            f"{folder}: is there already, but is not the whole set; move it away, then run the command again"
        )
    archive = root / ".downloads" / f"{origin.to}-{PurePosixPath(urlparse(origin.url).path).name}"
    fetch_archive(origin, archive)
    unpack(archive, origin.inside, folder)
    archive.unlink()


def counts_if_here(dataset: Dataset) -> dict[str, int] | None:
    """The images of every split if the whole set is here, else None."""
    try:
        return count_splits(dataset)
    except UserError:
        return None


def count_splits(dataset: Dataset) -> dict[str, int]:
    """The images of every split, counted. Raises UserError if a split is missing or has another count."""
    return {split: check_counts(None, dataset, split).count for split in dataset.splits}


def check_room(offer: Offer) -> None:
    """Raise UserError if the disk cannot hold the download, and beside an archive what it unpacks to."""
    offer.root.mkdir(parents=True, exist_ok=True)
    here = sum(path.stat().st_size for path in present(offer))
    need = (offer.size_bytes or 0) * (2 if isinstance(offer.origin, Archive) else 1) - here
    free = shutil.disk_usage(offer.root).free
    if need > free:
        raise UserError(
            f"{offer.root}: expected {words_of(need)} of free disk, found {words_of(free)}; "
            "make room, or choose another folder: --to FOLDER"
        )


def present(offer: Offer) -> list[Path]:
    """Files of the hub that an earlier call brought."""
    paths = [offer.root / offer.origin.to / file.name for file in offer.files]
    return [path for path in paths if path.is_file()]


def words_of(size: int) -> str:
    """A number of bytes for people: powers of 1,000."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
