"""A list from the web (CC12M's): fetched once, split by a hash of the URL, never whole in memory."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.data import TsvSource
from m3ae.config.sources import below_root, is_remote
from m3ae.data.source.broken import BrokenRows
from m3ae.data.source.files import existing_file
from m3ae.data.source.heldout import hash_of, heldout_bound
from m3ae.data.source.lists import Row, line_of, read_rows, write_list
from m3ae.data.source.remote import fetch_file
from m3ae.files import atomic_write


def make_lists(run: Run, source: TsvSource) -> None:
    """Write ``train.tsv`` and ``heldout.tsv``, without their broken rows, which are listed beside them."""
    train, heldout = (run.paths.list(split) for split in ("train", "heldout"))
    whole = local_copy(run, source.train, "data.source.train")
    if isinstance(source.heldout, int):
        split_list(whole, train, heldout, source.heldout)
        return
    check_list(whole, train)
    check_list(local_copy(run, source.heldout, "data.source.heldout"), heldout)


def local_copy(run: Run, location: str, setting: str) -> Path:
    """A list as a file of this machine: an address is fetched once."""
    if not is_remote(location):
        return existing_file(below_root(location), setting)
    name = f"list-{hashlib.sha256(location.encode()).hexdigest()[:8]}.tsv"  # another address, another file
    path = run.paths.source / name
    if not path.is_file():
        with tqdm(desc=name, unit="B", unit_scale=True, disable=None) as bar:
            fetch_file(location, path, bar=bar)
    return path


def check_list(whole: Path, checked: Path) -> None:
    """Copy a list without its broken rows."""
    broken = BrokenRows(whole)
    write_list(checked, rows_of(whole, checked.stem, broken))
    broken.write_beside(checked)


def split_list(whole: Path, train: Path, heldout: Path, num_heldout: int) -> None:
    """Split a list: the ``num_heldout`` URLs with the smallest hashes are held out, with all their rows.

    A URL's side depends on the URL alone, whatever the order of the rows. Broken rows stand beside ``train``.
    """
    broken = BrokenRows(whole)
    urls = (row.url for row in rows_of(whole, "hash", broken))
    bound = heldout_bound(urls, num_heldout, f"URLs of {whole}")
    with atomic_write(train, "w") as others, atomic_write(heldout, "w") as smallest:
        for row in rows_of(whole, "split", BrokenRows(whole)):
            (smallest if hash_of(row.url) <= bound else others).write(line_of(row))
    broken.write_beside(train)
    BrokenRows(whole).write_beside(heldout)


def rows_of(path: Path, what: str, broken: BrokenRows) -> Iterator[Row]:
    """The whole rows of a list, with a progress bar."""
    rows = read_rows(path, broken.add)
    return iter(tqdm(rows, desc=what, unit=" rows", unit_scale=True, disable=None))
