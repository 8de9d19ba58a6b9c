"""A split as image files, in class folders or with a published list; sorted by class, then by name."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from PIL import Image
from tqdm import tqdm

from m3ae.config.datasets import Dataset, FileList, missing, root_of, split_of
from m3ae.data.evalsets.listing import ListedFolder, ListedSplit
from m3ae.data.images import decode_rgb
from m3ae.errors import UserError
from m3ae.files import sha256_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
ORDER = "by label, then by the file's path within the class folder"


class ImageFile(NamedTuple):
    """One image: sorts as the split does."""

    label: int
    name: str
    """Path below the split's folder, with slashes."""
    size: int


class FolderSplit:
    """The image files of a split, which were found and numbered but not read."""

    def __init__(self, run: str | None, dataset: Dataset, split: str) -> None:
        self.dataset, self.split = dataset, split_of(dataset, split)
        root = root_of(run, dataset)
        self.folder = root / self.split.path
        if not self.folder.is_dir():
            raise UserError(missing(run, dataset, self.split.path))
        if self.split.listed_in is None:
            self.files = in_class_folders(self.folder, dataset)
        else:
            self.files = in_list(self.folder, root, dataset, self.split.listed_in)

    @property
    def where(self) -> Path:
        """The split's folder."""
        return self.folder

    @property
    def count(self) -> int:
        """Images of the split."""
        return len(self.files)

    def listed(self, full: bool) -> ListedSplit:
        """Hash names and sizes, and with ``full`` every byte."""
        folder = ListedFolder(
            order=ORDER,
            total_bytes=sum(file.size for file in self.files),
            names_and_sizes_sha256=self.fingerprint(),
            contents_sha256=self.contents() if full else None,
        )
        return ListedSplit(files=[], count=self.count, folder=folder)

    def fingerprint(self) -> str:
        """SHA-256 of all names, sizes and labels, in order."""
        hashed = hashlib.sha256()
        for file in self.files:
            hashed.update(f"{file.name}\t{file.size}\t{file.label}\n".encode())
        return hashed.hexdigest()

    def contents(self) -> str:
        """SHA-256 of the sums of all files, in order."""
        hashed = hashlib.sha256()
        for file in tqdm(self.files, desc="checksums", unit=" files", unit_scale=True, disable=None):
            hashed.update(f"{sha256_of(self.folder / file.name)}\n".encode())
        return hashed.hexdigest()

    def difference(self, listed: ListedSplit) -> str | None:
        """What differs from the listing, by names and sizes; None if nothing does."""
        expected = listed.folder.names_and_sizes_sha256 if listed.folder else "a listing of folders"
        found = self.fingerprint()
        if found == expected:
            return None
        return (
            f"expected {listed.count} images (names and sizes: sha256 {expected}), "
            f"found {self.count} ({found})"
        )

    def labels(self, name: str) -> Int64[np.ndarray, " count"]:
        """The classes, from 0."""
        self.dataset.num_classes(name)  # refuses an unknown label
        return np.array([file.label for file in self.files], np.int64)

    def batches(self, batch_size: int) -> Iterator[list[Image.Image]]:
        """RGB images, streamed."""
        for start in range(0, self.count, batch_size):
            yield [decode_file(self.folder / file.name) for file in self.files[start : start + batch_size]]

    def image(self, row: int) -> Image.Image:
        """One RGB image."""
        return decode_file(self.folder / self.files[row].name)


def decode_file(path: Path) -> Image.Image:
    """One image, RGB. Raises UserError naming the file."""
    try:
        return decode_rgb(path.read_bytes())
    except Exception as error:  # decoders raise many kinds on broken bytes
        raise UserError(f"{path}: the image does not decode ({error}); get the file again") from None


def in_class_folders(where: Path, dataset: Dataset) -> list[ImageFile]:
    """Every image of the class folders, which must be all of them and no others."""
    expected = dataset.class_folders()
    found = {entry.name for entry in os.scandir(where) if entry.is_dir() and not is_hidden(entry.name)}
    absent = [name for name in expected if name not in found]
    if absent:
        label = expected.index(absent[0])
        raise UserError(
            f"{where}: expected a folder {absent[0]} (label {label}: {class_name(dataset, label)}), "
            f"found none ({len(absent)} of {len(expected)} lack); get it again: {dataset.source}"
        )
    others = sorted(found - set(expected))
    if others:
        raise UserError(
            f"{where}: expected the {len(expected)} class folders of {dataset.title} alone, "
            f"found {others[0]} ({len(others)} such); move it away, or is it another set?"
        )
    labels = tqdm(range(len(expected)), desc=where.name, unit=" classes", disable=None)
    return [file for label in labels for file in images_below(where, expected[label], label)]


def images_below(where: Path, folder: str, label: int) -> list[ImageFile]:
    """The images of a class, at whatever depth, sorted by path."""
    files = []
    for parent, folders, names in os.walk(where / folder, followlinks=True):
        folders[:] = [name for name in folders if not is_hidden(name)]
        below = Path(parent).relative_to(where).as_posix()
        files += [
            ImageFile(label, f"{below}/{name}", os.stat(f"{parent}/{name}").st_size)
            for name in names
            if name.lower().endswith(SUFFIXES) and not is_hidden(name)
        ]
    return sorted(files)


def in_list(where: Path, root: Path, dataset: Dataset, published: FileList) -> list[ImageFile]:
    """The images that a published list names, all of which must be there."""
    path = root / published.path
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[int(published.header) :]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected the list of {where} ({error}); get it: {dataset.source}") from None
    labels = {name: label for label, name in enumerate(dataset.class_folders())}
    files = []
    first = 1 + int(published.header)
    for number, line in tqdm(
        enumerate(lines, first), total=len(lines), desc=path.name, unit=" files", disable=None
    ):
        if not line.strip():
            continue
        name, folder = parse_line(line, published.suffix)
        if folder not in labels:
            raise UserError(
                f"{path}: line {number}: expected an image and a class of {dataset.title}, "
                f"found {line[:80]!r}; get the list again: {dataset.source}"
            )
        files.append(ImageFile(labels[folder], name, size_of(where / name, path, dataset)))
    refuse_repeats(files, path, dataset)
    return sorted(files)


def parse_line(line: str, suffix: str) -> tuple[str, str]:
    """Image and class folder of a line: the first two fields, or the image and the folder it lies in."""
    fields = re.split(r"[\t, ]+", line.strip())
    name = fields[0] + suffix
    return name, fields[1] if len(fields) > 1 else name.rpartition("/")[0]


def size_of(path: Path, published: Path, dataset: Dataset) -> int:
    """Size of a listed image (bytes)."""
    if ".." in path.parts:
        raise UserError(f"{published}: expected images below the split's folder, found {path}")
    try:
        return path.stat().st_size
    except OSError:
        raise UserError(
            f"{path}: {published.name} lists this image, found none; get it again: {dataset.source}"
        ) from None


def refuse_repeats(files: list[ImageFile], path: Path, dataset: Dataset) -> None:
    """Raise UserError if a list names an image twice."""
    seen: set[str] = set()
    for file in files:
        if file.name in seen:
            raise UserError(f"{path}: lists {file.name} twice; get the list again: {dataset.source}")
        seen.add(file.name)


def class_name(dataset: Dataset, label: int) -> str:
    """A class in words."""
    classes = dataset.classes_of(dataset.label)
    return str(label) if isinstance(classes, int) else classes.names[label]


def is_hidden(name: str) -> bool:
    """Whether a file system or an archiver put it there, not the set's authors."""
    return name.startswith(".") or name == "__MACOSX"
