"""From raw shards to clean ones: decode, judge, normalise, drop duplicates, number densely.

A pure function of the downloaded bytes and the settings: the same input gives the same files,
whatever the order in which downloads finished and the number of threads.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.data import Clean
from m3ae.data.clean.examine import CleanSample, examine
from m3ae.data.clean.rejects import RejectLog
from m3ae.data.clean.shardwriter import ShardWriter
from m3ae.data.images import bounded_decoding
from m3ae.data.manifest import INDEX, MANIFEST, REJECTED, Manifest, Yield, write_manifest
from m3ae.data.raw.img2dataset import RawSplit, open_raw, read_failures, read_samples
from m3ae.data.raw.samples import Rejected
from m3ae.errors import UserError
from m3ae.files import new_folder, sha256_of

T = TypeVar("T")
R = TypeVar("R")

BATCH_PER_THREAD = 32  # samples in memory at once, per thread


def clean_split(run: Run, split: str, *, threads: int = 1) -> None:
    """Write the clean shards, index, rejections and manifest of a split, all or nothing.

    Raises UserError if the download is missing or broken, or if too few of its URLs are fit.
    """
    raw = open_raw(run, split)
    settings = run.settings.data
    with new_folder(run.paths.shards(split)) as folder:
        with (
            ShardWriter(folder, settings.clean.shard_samples) as writer,
            RejectLog(folder / REJECTED) as rejects,
            tqdm(total=raw.report.urls, desc=f"clean {split}", unit="url", disable=None) as progress,
        ):
            sieve = Sieve(writer, rejects, progress)
            for tar in raw.tars:
                sieve.pass_shard(tar, settings.clean, threads)
            sieve.account(raw)
        manifest = describe(run, split, raw, folder, sieve)
        check_yield(manifest, settings.download.min_yield, raw.path)
        write_manifest(folder / MANIFEST, manifest)


class Sieve:
    """Sends every URL to the shards or to the rejections."""

    def __init__(self, writer: ShardWriter, rejects: RejectLog, progress: tqdm) -> None:
        self.writer, self.rejects, self.progress = writer, rejects, progress
        self.kept: dict[bytes, int] = {}  # digest of the received image -> id
        self.received = hashlib.sha256()  # over every received image, in order
        self.num_received = self.num_failed = 0

    def pass_shard(self, tar: Path, settings: Clean, threads: int) -> None:
        """Judge the samples of a raw shard, and take over its failed downloads."""
        with bounded_decoding(settings.max_pixels):
            judged = in_order(partial(examine, settings=settings), read_samples(tar), threads)
            for sample, outcome in judged:
                self.num_received += 1
                self.received.update(f"{sample.key} {sample.sha256.hex()}\n".encode())
                self.take(outcome)
        for failure in read_failures(tar):
            self.num_failed += 1
            self.take(failure)

    def take(self, outcome: CleanSample | Rejected) -> None:
        """Keep the first fit one of equal images; its duplicates' captions are not merged into it."""
        self.progress.update()
        if isinstance(outcome, Rejected):
            self.rejects.add(outcome)
        elif outcome.sha256 in self.kept:
            same = f"same bytes as sample {self.kept[outcome.sha256]}"
            self.rejects.add(Rejected(outcome.url, "image_duplicate", same))
        else:
            self.kept[outcome.sha256] = self.writer.add(outcome)

    def account(self, raw: RawSplit) -> None:
        """Compare with the download's report, and count the URLs that img2dataset lost."""
        lost = raw.report.urls - self.num_received - self.num_failed
        if self.num_received != raw.report.downloaded or lost < 0:
            raise UserError(
                f"{raw.tars[0].parent}: expected {raw.report.downloaded} samples of {raw.report.urls} URLs, "
                f"as {raw.path.name} says; found {self.num_received} samples and {self.num_failed} failures; "
                "remove both and run the download again"
            )
        for _ in range(lost):
            self.take(Rejected("", "download_lost", "img2dataset noted no outcome for a URL of the list"))


def in_order(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[tuple[T, R]]:
    """Each item with its result, in order; Pillow frees the interpreter's lock while it decodes."""
    items = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(items, BATCH_PER_THREAD * threads)):
            yield from zip(batch, pool.map(function, batch), strict=True)


def describe(run: Run, split: str, raw: RawSplit, folder: Path, sieve: Sieve) -> Manifest:
    """The manifest of a finished pass."""
    report, count = raw.report, sieve.writer.count
    return Manifest(
        run=run.name,
        split=split,
        count=count,
        shards=sieve.writer.shards,
        yield_=Yield(
            rows=report.rows,
            urls=report.urls,
            downloaded=report.downloaded,
            kept=count,
            share=count / report.urls if report.urls else 0.0,
        ),
        rejected=dict(sorted(sieve.rejects.counts.items())),
        index_sha256=sha256_of(folder / INDEX),
        inputs={"list": report.list_sha256, "received": sieve.received.hexdigest()},
        settings=run.stage("clean"),
    )


def check_yield(manifest: Manifest, min_yield: float, report: Path) -> None:
    """Raise UserError, with the table of reasons, if too few URLs gave a sample."""
    if manifest.count and manifest.yield_.share >= min_yield:
        return
    by_count = sorted(manifest.rejected.items(), key=lambda item: -item[1])
    reasons = ", ".join(f"{reason} {count}" for reason, count in by_count)
    raise UserError(
        f"{report}: {manifest.count} of {manifest.yield_.urls} URLs gave a sample "
        f"({manifest.yield_.share:.1%}), expected at least data.download.min_yield = {min_yield:.1%}; "
        f"rejected: {reasons or 'none'}; mend the list or the network, or lower min_yield"
    )
