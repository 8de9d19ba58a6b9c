"""Raw shards as img2dataset's WebDataset writer leaves them: samples, and failed downloads."""

import hashlib
import json
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from m3ae.config import Run
from m3ae.data.clean.orientation import noted_orientation
from m3ae.data.raw.reasons import download_reason
from m3ae.data.raw.samples import Outcome, RawSample, Rejected
from m3ae.errors import UserError, first_finding

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp")
FETCH_AGAIN = "remove this raw shard and run the download again"


class DownloadReport(BaseModel):
    """What a finished download wrote about itself."""

    rows: int
    """Lines of the list."""
    urls: int
    """Distinct URLs: what was asked for."""
    downloaded: int
    list_sha256: str


class RawSplit(NamedTuple):
    """A finished download."""

    path: Path
    """Its report's file."""
    report: DownloadReport
    tars: list[Path]


def open_raw(run: Run, split: str) -> RawSplit:
    """The raw shards of a split. Raises UserError if the download is missing or did not finish."""
    path, folder = run.paths.download(split), run.paths.raw(split)
    report = read_report(path)
    again = f"remove {path}, then run snakemake {path}"
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        raise UserError(f"{folder}: expected raw shards (*.tar), found none; {again}")
    for tar in tars:
        if not tar.with_suffix(".parquet").is_file():
            raise UserError(f"{tar}: expected its list of outcomes beside it (.parquet); {again}")
    return RawSplit(path, report, tars)


def read_report(path: Path) -> DownloadReport:
    """The report of a finished download. Raises UserError, one line, if it is missing or broken."""
    try:
        return DownloadReport.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"{path}: expected the report of a finished download, found nothing; run snakemake {path}"
        ) from None
    except ValidationError as error:
        raise UserError(
            f"{path}: not a download report ({first_finding(error)}); remove it, then run snakemake {path}"
        ) from None


def read_samples(tar_path: Path) -> Iterator[RawSample]:
    """The samples of a raw shard, sorted by key: img2dataset's own order is that of completion.

    Raises UserError, one line, if the shard is broken.
    """
    try:
        with tarfile.open(tar_path) as tar:
            groups = group_by_key(tar)
            for key in sorted(groups):
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
    sha256 = hashlib.sha256(image).digest()
    return RawSample(
        key, metadata["url"], image, sha256, captions_of(metadata, files), noted_orientation(metadata)
    )


def captions_of(metadata: dict[str, Any], files: dict[str, bytes]) -> list[str]:
    """All captions of the URL; a crawl with one caption per image keeps it as text."""
    if "captions" in metadata:
        return [str(caption) for caption in json.loads(metadata["captions"])]
    return [files["txt"].decode("utf-8", errors="replace")] if "txt" in files else []


def read_failures(tar_path: Path) -> Iterator[Rejected]:
    """The URLs of a raw shard that gave no image, with the reason, sorted by key."""
    columns = ["key", "url", "status", "error_message"]
    path = tar_path.with_suffix(".parquet")
    try:
        table = pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: broken list of outcomes ({error}); {FETCH_AGAIN}") from None
    failed = table.filter(pc.not_equal(table["status"], "success")).sort_by("key")
    for row in failed.to_pylist():
        message = row["error_message"] or row["status"]
        # img2dataset decodes where it resizes: then the bytes came, but are no image.
        is_broken = row["status"] == "failed_to_resize"
        yield Rejected(row["url"], "image_broken" if is_broken else download_reason(message), message)


def read_outcomes(folder: Path) -> Iterator[Outcome]:
    """What became of every URL of a finished download, in the order of its list."""
    for tar in sorted(folder.glob("*.tar")):
        yield from read_samples(tar)
        yield from read_failures(tar)
