"""A finished download as a source: img2dataset's raw shards of all passes, in the order of the list."""

import heapq
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from m3ae.config import Run
from m3ae.data.download.layout import FIRST_KEY, keys_of, list_folder, pass_folder, tars_of
from m3ae.data.raw.rawtar import FETCH_AGAIN, read_samples
from m3ae.data.raw.reasons import download_reason
from m3ae.data.raw.samples import Outcome, RawSample, Rejected
from m3ae.errors import UserError, first_finding

T = TypeVar("T", RawSample | Rejected, Rejected)

CAME = ""
"""The reason of a URL whose image came."""

LOST = "img2dataset noted no outcome for a URL of the list"


class DownloadReport(BaseModel):
    """What a finished download wrote about itself."""

    rows: int
    """Lines of the list."""
    urls: int
    """Distinct URLs: what was asked for."""
    downloaded: int
    list_sha256: str
    passes: list[dict[str, Any]] = []
    settings: dict[str, Any] = {}


class Img2datasetRaw:
    """Raw samples of a list of URLs (see `m3ae.data.raw.samples.Raw`).

    Raises UserError if the download is missing, did not finish, or lost a shard since.
    """

    def __init__(self, run: Run, split: str) -> None:
        self.path, self.folder = run.paths.download(split), run.paths.raw(split)
        self.report = read_report(self.path)
        num_passes = max(1, len(self.report.passes))
        self.passes = [raw_shards(pass_folder(self.folder, n + 1), self.path) for n in range(num_passes)]
        self.name = str(self.path)
        self.num_rows, self.num_images = self.report.rows, self.report.urls
        self.total: int | None = self.report.urls
        self.origin: dict[str, Any] = {
            "kind": run.settings.data.source.kind,
            "files": [str(run.paths.list(split))],
            "list_sha256": self.report.list_sha256,
            "downloaded": self.report.downloaded,
        }

    def outcomes(self) -> Iterator[Outcome]:
        """What became of every URL, in the order of the list, whichever pass brought it.

        Raises UserError at the end if that is not what the report says.
        """
        num_samples = num_others = 0
        merged = merge_passes([outcomes_of(tars) for tars in self.passes])
        for outcome in with_lost(merged, self.folder, self.report.settings.get("shard_samples")):
            num_samples += isinstance(outcome, RawSample)
            num_others += isinstance(outcome, Rejected)
            yield outcome
        lost = self.report.urls - num_samples - num_others
        if num_samples != self.report.downloaded or lost < 0:
            raise UserError(
                f"{self.folder}: expected {self.report.downloaded} samples of {self.report.urls} URLs, as "
                f"{self.path.name} says; found {num_samples} samples and {num_others} failures; "
                "remove both and run the download again"
            )
        for _ in range(lost):  # of a download that kept no list
            yield Rejected("", "download_lost", LOST)

    def samples(self, keys: Collection[str]) -> Iterator[RawSample]:
        """The samples of these keys, in the same order; opens only the raw shards that hold them."""
        wanted = pa.array(sorted(keys), pa.string())
        return heapq.merge(*(samples_of(tars, wanted) for tars in self.passes), key=place)


def raw_shards(folder: Path, report: Path) -> list[Path]:
    """The raw shards of a pass. Raises UserError if there are none, or not whole ones."""
    tars = tars_of(folder)
    again = f"remove {report}, then run snakemake {report}"
    if not tars:
        raise UserError(f"{folder}: expected raw shards (*.tar), found none; {again}")
    for tar in tars:
        if not tar.with_suffix(".parquet").is_file():
            raise UserError(f"{tar}: expected its list of outcomes beside it (.parquet); {again}")
    return tars


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


def place(outcome: Outcome) -> tuple[int, str]:
    """Sorts outcomes as the list does, also where a key outgrows its digits."""
    return len(outcome.key), outcome.key


def outcomes_of(tars: list[Path]) -> Iterator[Outcome]:
    """What became of the URLs of one pass, in order; one raw shard is open at a time."""
    for tar in tars:
        samples: Iterator[Outcome] = read_samples(tar)
        failures: Iterator[Outcome] = (row for row in read_statuses(tar) if row.reason != CAME)
        yield from heapq.merge(samples, failures, key=place)


def merge_passes(passes: list[Iterator[T]]) -> Iterator[T]:
    """The first pass's outcomes; a later pass's stands in the place of the failure that it cured, or not."""
    merged = passes[0]
    for later in passes[1:]:
        merged = replaced(merged, later)
    return merged


def replaced(outcomes: Iterator[T], later: Iterator[T]) -> Iterator[T]:
    """``outcomes`` with those of ``later`` in the places of the same keys; both are in order."""
    newer = next(later, None)
    for outcome in outcomes:
        if newer is not None and newer.key == outcome.key:
            yield newer
            newer = next(later, None)
        else:
            yield outcome
    assert newer is None, f"{newer.key} is in a later pass, but not in the one before"


def with_lost(outcomes: Iterator[T], folder: Path, shard_samples: int | None) -> Iterator[T | Rejected]:
    """Each URL of the kept list once: those without an outcome are rejected at their place."""
    newest = next(outcomes, None)
    for key, url in listed(folder, shard_samples):
        if newest is not None and newest.key == key:
            yield newest
            newest = next(outcomes, None)
        else:
            yield Rejected(url, "download_lost", LOST, key)
    while newest is not None:
        yield newest
        newest = next(outcomes, None)


def listed(folder: Path, shard_samples: int | None) -> Iterator[tuple[str, str]]:
    """Key and URL of everything that was asked for, in order; nothing where the list was not kept."""
    if shard_samples is None:
        return
    keys = keys_of(shard_samples)
    for path in sorted(list_folder(folder, 1).glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(columns=["url"]):
            for url in batch["url"].to_pylist():
                yield next(keys), url


def read_statuses(tar: Path) -> list[Rejected]:
    """What became of the URLs of a raw shard, by its list of outcomes; `CAME` is the reason of images."""
    table = read_table(tar)
    columns = (table[name].to_pylist() for name in ("url", "reason", "detail", FIRST_KEY))
    return [Rejected(*row) for row in zip(*columns, strict=True)]


def read_table(tar: Path, extra: Collection[str] = ()) -> pa.Table:
    """A raw shard's list of outcomes by key: `url`, `reason`, `detail`, `first_key`, `key`, ``extra``."""
    path = tar.with_suffix(".parquet")
    try:
        names = pq.read_schema(path).names
        first = [FIRST_KEY] if FIRST_KEY in names else []
        table = pq.read_table(path, columns=["key", "url", "status", "error_message", *first, *extra])
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: broken list of outcomes ({error}); {FETCH_AGAIN}") from None
    table = table.sort_by("key")
    if not first:
        table = table.append_column(FIRST_KEY, table["key"])
    detail = pc.coalesce(table["error_message"], table["status"])
    statuses = zip(table["status"].to_pylist(), detail.to_pylist(), strict=True)
    reasons = pa.array([reason_of(*status) for status in statuses], pa.string())
    return table.append_column("detail", detail).append_column("reason", reasons)


def reason_of(status: str, message: str) -> str:
    """The reason behind a status of img2dataset, which decodes images where it resizes them."""
    if status == "success":
        return CAME
    return "image_broken" if status == "failed_to_resize" else download_reason(message)


def samples_of(tars: list[Path], wanted: pa.Array) -> Iterator[RawSample]:
    """The wanted samples of one pass."""
    for tar in tars:
        table = read_table(tar)
        is_here = pc.and_(pc.equal(table["reason"], CAME), pc.is_in(table[FIRST_KEY], wanted))
        if found := table.filter(is_here)["key"].to_pylist():
            yield from read_samples(tar, set(found))
