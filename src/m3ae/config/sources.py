"""Where the splits of a run come from, as far as the workflow and the data stages share it."""

from pathlib import Path

from m3ae.config.data import (
    FolderSource,
    Hdf5Source,
    ImageFolder,
    ImageHdf5,
    Images,
    ImageWebdataset,
    Source,
    TsvSource,
    WebdatasetSource,
)
from m3ae.config.paths import data_root
from m3ae.config.run import Run
from m3ae.errors import UserError

Local = WebdatasetSource | FolderSource | Hdf5Source | ImageWebdataset | ImageFolder | ImageHdf5
"""What needs no list of URLs: the images lie in files."""


def source_of(run: Run, split: str) -> Source | Images:
    """The settings of a split's source. Raises UserError for `images` of a run that has none."""
    if split != "images":
        return run.settings.data.source
    if run.settings.data.images is None:
        raise UserError(f"split images: run {run.name!r} has none; set data.images, or take another split")
    return run.settings.data.images


def splits_of(run: Run) -> list[str]:
    """The splits of clean shards that a run has."""
    return ["train", "heldout"] + ["images"] * (run.settings.data.images is not None)


def is_web_list(run: Run, split: str) -> bool:
    """Whether img2dataset brings the images of a split, from the web or from our own server."""
    return not isinstance(source_of(run, split), Local)


def num_heldout(run: Run, split: str) -> int | None:
    """How many images a hash sets aside, where `heldout` shares the files of `train`; else None."""
    source = source_of(run, split)
    heldout = getattr(source, "heldout", None)
    return heldout if isinstance(source, Local) and isinstance(heldout, int) else None


def is_remote(location: str) -> bool:
    """Whether a file lies behind a protocol (http://, hf://, s3://, gs://)."""
    return "://" in location


def below_root(location: str) -> Path:
    """A path of the configuration: below the data root unless absolute."""
    return data_root() / location


def original_files(run: Run, split: str) -> list[str]:
    """The files or folders of this machine that a split comes from, as far as they exist.

    For Snakemake, which makes the lists again when one of them is newer.
    """
    source = source_of(run, split)
    if not isinstance(source, TsvSource | Local):
        return []
    named = [getattr(source, key, None) for key in ("train", "heldout")]
    if isinstance(source, ImageFolder):
        named = [source.images]
    paths = [below_root(name) for name in named if isinstance(name, str) and not is_remote(name)]
    return [str(path) for path in paths if path.exists()]


def brought_before(run: Run, split: str) -> list[str]:
    """The download that must be finished first: held-out samples of a crawl lie in the tars of `train`."""
    source = source_of(run, split)
    is_shared = isinstance(source, WebdatasetSource) and isinstance(source.heldout, int)
    return [str(run.paths.download("train"))] if is_shared and split == "heldout" else []
