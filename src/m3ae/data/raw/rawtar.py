"""One raw shard as img2dataset's WebDataset writer leaves it."""

import hashlib
import json
import tarfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from m3ae.data.clean.orientation import noted_orientation
from m3ae.data.download.layout import FIRST_KEY
from m3ae.data.raw.samples import RawSample
from m3ae.errors import UserError

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp")
FETCH_AGAIN = "remove this raw shard and run the download again"


def read_samples(tar_path: Path, keys: Collection[str] | None = None) -> Iterator[RawSample]:
    """The samples of a raw shard (those with ``keys``), sorted by key: img2dataset's order is chance.

    Raises UserError, one line, if the shard is broken.
    """
    try:
        with tarfile.open(tar_path) as tar:
            groups = group_by_key(tar)
            for key in sorted(groups if keys is None else groups.keys() & set(keys)):
                files = {ending: tar.extractfile(member).read() for ending, member in groups[key].items()}  # type: ignore[union-attr]
                yield read_sample(key, files)
    except (tarfile.TarError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{tar_path}: broken raw shard ({error}); {FETCH_AGAIN}") from None


def group_by_key(tar: tarfile.TarFile) -> dict[str, dict[str, tarfile.TarInfo]]:
    """Members by key and ending: WebDataset cuts a name at the first dot. Reads headers only."""
    groups: dict[str, dict[str, tarfile.TarInfo]] = defaultdict(dict)
    for member in tar.getmembers():
        if member.isfile():
            key, _, ending = member.name.partition(".")
            groups[key][ending] = member
    return groups


def read_sample(key: str, files: dict[str, bytes]) -> RawSample:
    """One sample from its files. Raises ValueError or KeyError if they are not img2dataset's."""
    endings = [ending for ending in IMAGE_ENDINGS if ending in files]
    if not endings:
        raise ValueError(f"sample {key} has no image")
    metadata = json.loads(files["json"])
    image = files[endings[0]]
    return RawSample(
        key=metadata.get(FIRST_KEY, key),
        url=metadata["url"],
        image=image,
        sha256=hashlib.sha256(image).digest(),
        captions=captions_of(metadata, files),
        orientation=noted_orientation(metadata),
    )


def captions_of(metadata: dict[str, Any], files: dict[str, bytes]) -> list[str]:
    """All captions of the URL; a crawl with one caption per image keeps it as text."""
    if "captions" in metadata:
        return [str(caption) for caption in json.loads(metadata["captions"])]
    return [files["txt"].decode("utf-8", errors="replace")] if "txt" in files else []
