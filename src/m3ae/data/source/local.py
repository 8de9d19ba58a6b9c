"""Sources whose images lie in files: which files a split is read from."""

import os
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from m3ae.config import Run
from m3ae.config.data import FolderSource, ImageFolder, ImageWebdataset, WebdatasetSource
from m3ae.config.sources import below_root, is_remote, source_of
from m3ae.data.source.files import SourceFile, existing_file, file_here
from m3ae.data.source.remote import find_remote
from m3ae.errors import UserError

TAR = ".tar"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def find_files(run: Run, split: str) -> Iterator[SourceFile]:
    """The files of a split, in the order in which they are read. Raises UserError where there are none."""
    source = source_of(run, split)
    key = "data.images" if split == "images" else "data.source"
    if isinstance(source, FolderSource | ImageFolder):
        folder = below_root(source.images)
        if not folder.is_dir():
            raise UserError(f"{key}.images: expected a folder at {folder}, found none; mend the path")
        if isinstance(source, ImageFolder):
            return find_images(folder)
    setting, location = f"{key}.train", source.train  # type: ignore[union-attr]
    if split == "heldout" and isinstance(heldout := source.heldout, str):  # type: ignore[union-attr]
        setting, location = f"{key}.heldout", heldout
    if isinstance(source, WebdatasetSource | ImageWebdataset):
        return iter(find_tars(location, setting))
    if is_remote(location):
        raise UserError(f"{setting}: expected a file of this machine, got {location}; bring it here first")
    return iter([file_here(existing_file(below_root(location), setting))])


def find_tars(location: str, setting: str) -> list[SourceFile]:
    """The tars of a folder, a pattern (``*``, ``{000..099}``) or an address, sorted by name."""
    found = find_remote(location, TAR) if is_remote(location) else find_here(below_root(location))
    tars = {file.location: file for file in found if tar_path(file.location).endswith(TAR)}
    if not tars:
        raise UserError(
            f"{setting}: expected tars (*.tar) at {location}, found none; "
            "mend the path, or give a pattern such as FOLDER/*/*.tar"
        )
    return [tars[name] for name in sorted(tars, key=os.fsencode)]


def find_here(path: Path) -> list[SourceFile]:
    """The tars that a path of this machine stands for."""
    from braceexpand import braceexpand

    if path.is_dir():
        return [file_here(tar) for tar in path.glob(f"*{TAR}") if tar.is_file()]
    found: list[SourceFile] = []
    for pattern in braceexpand(str(path)):
        anchor = Path(pattern).anchor
        matches = list(Path(anchor or ".").glob(os.path.relpath(pattern, anchor or ".")))
        if not matches and "*" not in pattern:
            raise UserError(f"{pattern}: no such tar; put it there, or mend the pattern {path}")
        found += [file_here(tar) for tar in matches if tar.is_file()]
    return found


def tar_path(location: str) -> str:
    """The path in a location: an address may carry a query behind it."""
    return urlsplit(location).path if is_remote(location) else location


def tar_names(locations: Iterable[str]) -> list[str]:
    """A short name for each tar, unlike all others: its path below the folder that all share."""
    paths = [tar_path(location) for location in locations]
    shared = posixpath.commonpath([posixpath.dirname(path) or "." for path in paths])
    return [posixpath.relpath(path, shared) for path in paths]


def find_images(folder: Path) -> Iterator[SourceFile]:
    """Every image below ``folder``, by its relative path, in the order of the paths' bytes.

    Links to folders are not followed.
    """
    is_empty = True
    for path in walk(str(folder)):
        if path.lower().endswith(IMAGE_SUFFIXES):
            is_empty = False
            size = os.stat(path).st_size if os.path.isfile(path) else 0  # a link may lead nowhere
            yield SourceFile(os.path.relpath(path, folder), size)
    if is_empty:
        raise UserError(f"{folder}: expected images ({', '.join(IMAGE_SUFFIXES)}), found none")


def walk(folder: str) -> Iterator[str]:
    """The files below a folder, in the order of their paths' bytes, in memory for one folder at a time."""
    with os.scandir(folder) as entries:
        here = {entry.name + "/" * entry.is_dir(follow_symlinks=False): entry.path for entry in entries}
    for name in sorted(here, key=os.fsencode):
        yield from walk(here[name]) if name.endswith("/") else [here[name]]
