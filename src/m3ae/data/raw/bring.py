"""Bring a split whose images lie in files: copy what is behind a protocol, check it, note what is there."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.data import FolderSource, ImageFolder, ImageWebdataset, WebdatasetSource
from m3ae.config.sources import is_remote, num_heldout, source_of
from m3ae.data.raw.report import RawReport, read_report, write_report
from m3ae.data.source.files import read_files
from m3ae.data.source.heldout import heldout_bound
from m3ae.data.source.remote import fetch_file
from m3ae.errors import UserError
from m3ae.files import sha256_of


def bring(run: Run, split: str) -> RawReport:
    """Make every file of a split ready, and write its report.

    Files that are there already, whole, are not brought again. Raises UserError, one line, for a file
    that cannot be brought, is broken, or is not what the source stage saw.
    """
    source, path = source_of(run, split), run.paths.list(split)
    if (report := report_of_train(run, split)) is not None:
        write_report(run, split, report)
        return report
    if isinstance(source, WebdatasetSource | ImageWebdataset):
        identities = Counted(identities_of_tars(run, split))
    elif isinstance(source, ImageFolder):
        identities = Counted(file.location for file in read_files(path))  # looked at when they are read
    elif isinstance(source, FolderSource):
        identities = Counted(identities_of_table(path))
    else:
        identities = Counted(identities_of_rows(path, has_captions=split != "images"))
    bound = bound_of(run, split, identities)
    sizes = [file.bytes for file in read_files(path)]
    report = RawReport(
        kind=source.kind,
        files=len(sizes),
        bytes=sum(sizes),
        images=None if source.kind == "hdf5" else identities.count,
        heldout_bound=bound,
        list_sha256=sha256_of(path),
    )
    write_report(run, split, report)
    return report


def report_of_train(run: Run, split: str) -> RawReport | None:
    """The report of `train`, where it is of the same files, split by the same hash: it is the split's own."""
    if split != "heldout" or num_heldout(run, split) is None:
        return None
    try:
        report = read_report(run, "train")
    except UserError:
        return None
    return report if report.list_sha256 == sha256_of(run.paths.list(split)) else None


class Counted:
    """Counts what passes."""

    def __init__(self, items: Iterable[str]) -> None:
        self.items, self.count = items, 0

    def __iter__(self) -> Iterator[str]:
        for item in self.items:
            self.count += 1
            yield item


def bound_of(run: Run, split: str, identities: Counted) -> str | None:
    """The largest hash that is held out, if a hash splits these files. Uses the identities up."""
    number = num_heldout(run, split)
    if number is None:
        for _ in identities:
            pass
        return None
    what = "rows" if run.settings.data.source.kind == "hdf5" else "images"
    return heldout_bound(identities, number, f"{what} of {run.paths.list(split)}").hex()


def identities_of_tars(run: Run, split: str) -> Iterator[str]:
    """The samples of a crawl, when all its tars are here."""
    from m3ae.data.raw.webdataset import local_tars, walk_tars

    tars = local_tars(run, split, list(read_files(run.paths.list(split))))
    size = sum(tar.file.bytes for tar in tars)
    with tqdm(desc=f"{split}: tars", total=size, unit="B", unit_scale=True, disable=None) as bar:
        for tar in tars:
            bring_file(tar.file.location, tar.path, tar.file.bytes, bar)
    yield from tqdm(walk_tars(tars), desc=f"{split}: checked", unit=" samples", unit_scale=True, disable=None)


def bring_file(location: str, path: Path, size: int, bar: tqdm) -> None:
    """A file on this machine, with the size that the source stage saw."""
    here = path.stat().st_size if path.is_file() else None
    if is_remote(location) and here != size:
        fetch_file(location, path, size, bar)
        return
    if here != size:
        found = "nothing" if here is None else f"{here}"
        raise UserError(f"{path}: expected {size} bytes, found {found}; run m3ae data source again")
    bar.update(size)


def identities_of_table(path: Path) -> Iterator[str]:
    """The images of a table."""
    from m3ae.data.raw.tables import read_table

    (table,) = read_files(path)
    check_size(table.location, table.bytes)
    yield from read_table(Path(table.location)).captions


def identities_of_rows(path: Path, *, has_captions: bool) -> Iterator[str]:
    """The rows of an HDF5 file, by number."""
    from m3ae.data.raw.hdf5 import count_rows

    (file,) = read_files(path)
    check_size(file.location, file.bytes)
    yield from map(str, range(count_rows(Path(file.location), has_captions)))


def check_size(location: str, size: int) -> None:
    """Raise UserError unless a file of this machine is what the source stage saw."""
    with tqdm(disable=True) as bar:
        bring_file(location, Path(location), size, bar)
