"""A ready crawl: the samples of WebDataset tars, in the order of the tars' names and of their members."""

import json
from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from m3ae.config import Run
from m3ae.config.sources import is_remote, num_heldout
from m3ae.data.clean.orientation import UPRIGHT, noted_orientation
from m3ae.data.raw.local import Listed, LocalRaw
from m3ae.data.raw.samples import Outcome, RawSample, Rejected
from m3ae.data.raw.tars import TarSample, each_sample
from m3ae.data.source.files import SourceFile, as_utf8
from m3ae.data.source.local import tar_names

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
MAX_TEXT_BYTES = 1 << 20
"""Longest caption or metadata that is read (bytes)."""


class LocalTar(NamedTuple):
    """A tar of the source, as it lies on this machine."""

    name: str
    path: Path
    file: SourceFile


def local_tars(run: Run, split: str, files: list[SourceFile]) -> list[LocalTar]:
    """Where the tars of a split lie; held-out samples that a hash sets aside lie in those of `train`."""
    is_shared = num_heldout(run, split) is not None
    folder = run.paths.raw("train" if is_shared else split)
    names = tar_names(file.location for file in files)
    return [
        LocalTar(name, folder / name if is_remote(file.location) else Path(file.location), file)
        for name, file in zip(names, files, strict=True)
    ]


class WebdatasetRaw(LocalRaw):
    """A crawl as WebDataset tars. A sample's key is ``tar/key``, its URL what its JSON says."""

    def __init__(self, run: Run, split: str) -> None:
        super().__init__(run, split)
        self.tars = local_tars(run, split, list(self.files()))
        self.total = images_of(self.report.images, num_heldout(run, split), split)
        self.skipped: Counter[str] = Counter()

    def read(self, keys: Collection[str] | None) -> Iterator[Listed]:
        """The samples of every tar, or of those that hold ``keys``."""
        self.skipped.clear()
        for tar in self.tars:
            prefix = f"{as_utf8(tar.name)}/"
            if keys is None or any(key.startswith(prefix) for key in keys):
                read = partial(self.listed, prefix=prefix, keys=keys)
                found = each_sample(tar.path, read, self.skipped)
                yield from (listed for listed in found if listed is not None)
        self.origin = {**self.origin, "skipped_members": dict(self.skipped)}

    def listed(self, sample: TarSample, *, prefix: str, keys: Collection[str] | None) -> Listed | None:
        """One sample; None if it is not asked for, or of the other side."""
        key = prefix + sample.key
        if keys is not None and key not in keys:
            return None
        facts = read_facts(sample)
        if not self.takes(url_of(facts, sample.key)):
            return None
        captions = read_captions(sample, facts) if self.has_captions else []
        return Listed(self.outcome(sample, key, facts, captions), len(captions or []))

    def outcome(
        self, sample: TarSample, key: str, facts: dict[str, Any] | None, captions: list[str] | None
    ) -> Outcome:
        """A sample, or why there is none."""
        url = url_of(facts, sample.key)
        ending = next((ending for ending in IMAGE_ENDINGS if ending in sample.members), None)
        if ending is None:
            there = ", ".join(sorted(sample.members))
            return Rejected(url, "image_missing", f"no image among its files ({there})", key)
        if facts is None:
            return Rejected(url, "metadata_broken", "expected an object in its .json", key)
        if captions is None:
            return Rejected(url, "caption_missing", "neither .txt nor a caption in its .json", key)
        if (size := sample.members[ending].size) > self.max_bytes:
            return self.too_heavy(key, url, size)
        raw = self.sample(key, url, sample.read(ending), captions)
        return raw._replace(orientation=orientation_of(facts)) if isinstance(raw, RawSample) else raw


def images_of(images: int | None, heldout: int | None, split: str) -> int | None:
    """Images of a split, for a progress bar; a crawl that repeats URLs may have some more or less."""
    if images is None or heldout is None:
        return images
    return heldout if split == "heldout" else images - heldout


def read_facts(sample: TarSample) -> dict[str, Any] | None:
    """What the sample's JSON says, {} where it has none; None if it is broken."""
    if "json" not in sample.members:
        return {}
    if sample.members["json"].size > MAX_TEXT_BYTES:
        return None
    try:
        facts = json.loads(sample.read("json"))
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def url_of(facts: dict[str, Any] | None, key: str) -> str:
    """Where the image came from, as UTF-8 can hold it; the key where nothing says so."""
    url = (facts or {}).get("url")
    return as_utf8(url) if isinstance(url, str) and url else key


def read_captions(sample: TarSample, facts: dict[str, Any] | None) -> list[str] | None:
    """All captions: the JSON's list, or its one, or the text; None where there is none."""
    captions = texts_in((facts or {}).get("captions")) or texts_in((facts or {}).get("caption"))
    if captions is None and "txt" in sample.members and sample.members["txt"].size <= MAX_TEXT_BYTES:
        return [sample.read("txt").decode("utf-8", "replace")]
    return captions


def texts_in(value: Any) -> list[str] | None:
    """The texts of a JSON value: one, a list, or a list written as text (img2dataset's further columns)."""
    if isinstance(value, str):
        try:
            inner = json.loads(value) if value.startswith("[") else None
        except (ValueError, RecursionError):
            inner = None
        return (texts_in(inner) if isinstance(inner, list) else None) or [value]
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        return value
    return None


def orientation_of(facts: dict[str, Any]) -> int:
    """The orientation that img2dataset noted of an image that it resized."""
    try:
        return noted_orientation(facts)
    except (ValueError, TypeError, RecursionError):
        return UPRIGHT


def walk_tars(tars: list[LocalTar]) -> Iterator[str]:
    """The identity of every sample (its URL, else its key), from headers and JSON alone.

    Raises UserError for a broken tar: better before cleaning than in its midst.
    """
    for tar in tars:
        yield from each_sample(tar.path, lambda sample: url_of(read_facts(sample), sample.key), Counter())
