"""The authors' HDF5 layout: encoded images in `jpg`, captions in `caption`, a row per pair.

They write one variable-length row of bytes for each (their m3ae/data.py, class ImageTextDataset).
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from m3ae.config import Run
from m3ae.data.raw.local import Listed, LocalRaw
from m3ae.errors import UserError

CHUNK_ROWS = 64


class Pair(NamedTuple):
    """One row of the file."""

    image: bytes
    caption: bytes


class Datasets(NamedTuple):
    """The two columns; no captions where images alone are read."""

    images: h5py.Dataset
    captions: h5py.Dataset | None


class Hdf5Raw(LocalRaw):
    """Rows of HDF5. Neighbours with the same bytes are one image; its key is the number of its first row."""

    def __init__(self, run: Run, split: str) -> None:
        super().__init__(run, split)
        self.path = Path(next(self.files()).location)

    def read(self, keys: Collection[str] | None) -> Iterator[Listed]:
        """The images in the order of their first rows."""
        with open_datasets(self.path, self.has_captions) as datasets:
            num_rows = len(datasets.images)
            starts = [0] if keys is None else sorted(int(key) for key in keys)
            for start in starts:
                size = CHUNK_ROWS if keys is None else 1
                for first, pairs in groups(read_pairs(datasets, range(start, num_rows), size), start):
                    if self.takes(*(str(row) for row in range(first, first + len(pairs)))):
                        yield self.listed(str(first), pairs)
                    if keys is not None:
                        break

    def listed(self, key: str, pairs: list[Pair]) -> Listed:
        """One image with the captions of all its rows."""
        captions = [pair.caption.decode("utf-8", "replace") for pair in pairs] if self.has_captions else []
        return Listed(self.sample(key, key, pairs[0].image, captions), len(captions))


def groups(pairs: Iterator[Pair], start: int) -> Iterator[tuple[int, list[Pair]]]:
    """Neighbouring rows with the same image, and the number of the first."""
    first = start
    group: list[Pair] = []
    for row, pair in enumerate(pairs, start):
        if group and pair.image != group[0].image:
            yield first, group
            first, group = row, []
        # One copy of the image: a file whose rows are all alike must not fill the memory.
        group.append(pair._replace(image=group[0].image) if group else pair)
    if group:
        yield first, group


def read_pairs(datasets: Datasets, rows: range, chunk: int) -> Iterator[Pair]:
    """Rows of the file, ``chunk`` at a time. Raises UserError, one line, where the file is damaged."""
    images, captions = datasets
    for begin in range(rows.start, rows.stop, chunk):
        end = min(begin + chunk, rows.stop)
        try:
            found = images[begin:end]
            texts = [b""] * len(found) if captions is None else captions[begin:end]
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{images.file.filename}: rows {begin} to {end - 1} cannot be read ({error}); bring it again"
            ) from None
        for image, text in zip(found, texts, strict=True):
            yield Pair(bytes_of(image), bytes_of(text))


def bytes_of(value: np.ndarray | bytes) -> bytes:
    """A row: an array of bytes, or text as HDF5 stores it."""
    return value.tobytes() if isinstance(value, np.ndarray) else bytes(value)


@contextmanager
def open_datasets(path: Path, has_captions: bool) -> Iterator[Datasets]:
    """The columns of a file. Raises UserError, one line, if it is not in the authors' layout."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(f"{path}: expected an HDF5 file, cannot open it ({error}); bring it again") from None
    with file:
        images = column(file, path, "jpg")
        captions = column(file, path, "caption") if has_captions else None
        if captions is not None and len(captions) != len(images):
            raise UserError(
                f"{path}: expected as many rows of caption as of jpg, got {len(captions)} and {len(images)}; "
                "make the file again"
            )
        yield Datasets(images, captions)


def column(file: h5py.File, path: Path, name: str) -> h5py.Dataset:
    """A column that lies in the file itself: links and external storage may name any file of the machine."""
    if name not in file:
        there = ", ".join(sorted(file)) or "nothing"
        raise UserError(f"{path}: expected a dataset {name!r} (the authors' layout), found {there}")
    is_here = isinstance(file.get(name, getlink=True), h5py.HardLink)
    dataset = file[name] if is_here else None
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise UserError(f"{path}: expected {name!r} as a dataset in the file itself, found a link or a group")
    base = h5py.check_vlen_dtype(dataset.dtype)
    is_text = name != "jpg" and (h5py.check_string_dtype(dataset.dtype) or dataset.dtype.kind == "S")
    if dataset.ndim != 1 or not (base == np.uint8 or is_text):
        raise UserError(
            f"{path}: expected {name!r} as one row of bytes (uint8) per pair, "
            f"got {dataset.dtype} of shape {dataset.shape}"
        )
    return dataset


def count_rows(path: Path, has_captions: bool) -> int:
    """The number of rows, without reading them."""
    with open_datasets(path, has_captions) as datasets:
        return len(datasets.images)
