"""Where pairs come from: the stage `source` makes ``train.tsv`` and ``heldout.tsv`` of a run.

They are lists `url<TAB>caption`, or, where the images lie in files already, lists `file<TAB>bytes`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from m3ae.config import Run
from m3ae.config.data import Flickr8kSource, ToySource, TsvSource
from m3ae.config.paths import data_root
from m3ae.config.sources import Local
from m3ae.data.source.lists import Row, write_list
from m3ae.errors import UserError
from m3ae.files import new_folder

HOST = "http://127.0.0.1:8765"
"""Stands in lists for images of this machine. Nobody listens there: see `m3ae.data.download.server`."""

FLICKR8K = (
    "get Flickr8k from https://github.com/jbrownlee/Datasets/releases, lay it out as data/README.md says, "
    "and set M3AE_DATA_ROOT to the folder above it"
)


def make_source(run: Run) -> None:
    """Make the lists of a run's pairs, and for `tiny` the images behind them."""
    source = run.settings.data.source
    if isinstance(source, ToySource):
        make_toy_source(run, source)
    elif isinstance(source, Flickr8kSource):
        make_flickr8k_lists(run, source)
    elif isinstance(source, TsvSource):
        from m3ae.data.source.weblist import make_lists

        make_lists(run, source)
    elif isinstance(source, Local):
        for split in ("train", "heldout"):
            make_files(run, split)


def make_files(run: Run, split: str) -> None:
    """Write the list of the files that a split is read from, without reading them."""
    from m3ae.data.source.files import write_files
    from m3ae.data.source.local import find_files

    write_files(run.paths.list(split), find_files(run, split))


def served_folder(run: Run) -> Path | None:
    """The folder behind `HOST` in the lists of a run; None where they name the web."""
    source = run.settings.data.source
    if isinstance(source, ToySource):
        return run.paths.source
    return data_root() / "flickr8k" if isinstance(source, Flickr8kSource) else None


def make_toy_source(run: Run, source: ToySource) -> None:
    """Make the scenes beside the old folder, and put them in its place when all are there."""
    from m3ae.data.source.toy.write import make_toy

    with new_folder(run.paths.source) as folder:
        make_toy(folder, source, run.settings.seed, HOST)
        images = run.paths.list("images")  # another stage's, in the folder that goes
        if images.is_file():
            shutil.copy2(images, folder)


def make_flickr8k_lists(run: Run, source: Flickr8kSource) -> None:
    """Lists of Flickr8k's official splits, a line per caption, with URLs of this machine."""
    root = data_root() / "flickr8k"
    captions = read_captions(root / "captions.tsv")
    for split, official in (("heldout", source.heldout_split), ("train", "train")):
        names = text_of(root / f"split_{official}.txt").split()
        write_list(run.paths.list(split), flickr8k_rows(root, official, names, captions))


def flickr8k_rows(root: Path, split: str, names: list[str], captions: dict[str, list[str]]) -> Iterator[Row]:
    """The captions of the photographs ``names``. Raises UserError for one without caption or file."""
    for name in names:
        if name not in captions:
            raise UserError(
                f"{root}/captions.tsv: expected captions of {name} (in split_{split}.txt), got none"
            )
        existing(root / "images" / name)
        for caption in captions[name]:
            yield Row(f"{HOST}/images/{quote(name)}", caption)


def read_captions(path: Path) -> dict[str, list[str]]:
    """Captions by file name, from lines ``file<TAB>caption``."""
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(text_of(path).rstrip("\n").split("\n"), 1):
        name, tab, caption = line.partition("\t")
        if not (name and tab and caption.strip()) or "\t" in caption:
            raise UserError(
                f"{path}: line {number}: expected `file<TAB>caption`, got {line[:60]!r}; {FLICKR8K}"
            )
        captions.setdefault(name, []).append(caption)
    return captions


def text_of(path: Path) -> str:
    """The text of a file of Flickr8k."""
    try:
        return existing(path).read_text(encoding="utf-8")  # Windows line ends become newlines
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: expected UTF-8 text, got {error.reason} at byte {error.start}; {FLICKR8K}"
        ) from None


def existing(path: Path) -> Path:
    """``path``, if it is a file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; {FLICKR8K}")
    return path
