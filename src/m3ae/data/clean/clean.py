"""From raw samples to clean shards: decode, judge, normalise, drop duplicates, number densely.

A pure function of the received bytes and the settings: the same input gives the same files, whatever the
kind of source, the number of processes, and however often a pass was killed.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
from tqdm import tqdm

from m3ae.config import Run
from m3ae.data.clean.describe import (
    CAPTIONS_SCHEMA,
    ORIGINS_SCHEMA,
    write_columns,
    write_index,
    write_rejected,
)
from m3ae.data.clean.digests import Digests
from m3ae.data.clean.examine import CleanSample, examine
from m3ae.data.clean.parts import Consumed, Part, Parts, resumable_folder
from m3ae.data.clean.rejects import RejectLog
from m3ae.data.clean.shardwriter import TarWriter, flush_to_disk, shard_name
from m3ae.data.clean.workers import judged
from m3ae.data.manifest import (
    CAPTIONS,
    FORMAT,
    INDEX,
    MANIFEST,
    ORIGIN,
    ORIGINS,
    REJECTED,
    Manifest,
    Shard,
    Yield,
    write_manifest,
)
from m3ae.data.raw.open import open_raw
from m3ae.data.raw.samples import Outcome, Raw, Rejected
from m3ae.errors import UserError
from m3ae.files import sha256_of, write_text


def clean_split(run: Run, split: str, *, processes: int = 1) -> None:
    """Write the clean shards of a split, and what describes them, all or nothing.

    Goes on behind the last finished shard of an interrupted pass. Raises UserError if the raw samples are
    missing or broken, or if too few of them are fit.
    """
    raw, settings = open_raw(run, split), run.settings.data.clean
    judge = partial(examine, settings=settings, captioned=split != "images")
    with resumable_folder(run.paths.shards(split)) as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # strange metadata is no news
        identity = {"split": split, "version": run.stage("clean")["version"], **settings.plain()}
        sieve = Sieve(folder, Parts(folder, identity), settings.shard_samples)
        with tqdm(total=raw.total, desc=f"clean {split}", unit=" images", disable=None) as progress:
            outcomes = sieve.go_on(raw, progress)
            for outcome, result in judged(outcomes, judge, processes):
                sieve.take(outcome, result)
                progress.update()
            sieve.finish()
        finish(run, split, raw, folder, sieve)


class Sieve:
    """Sends every image to the shards or to the rejections."""

    def __init__(self, folder: Path, parts: Parts, shard_samples: int) -> None:
        self.folder, self.parts, self.shard_samples = folder, parts, shard_samples
        self.kept, self.consumed = Digests(), Consumed()
        self.rejected: Counter[str] = Counter()
        self.done: list[Part] = []

    def go_on(self, raw: Raw, progress: tqdm) -> Iterator[Outcome]:
        """The outcomes behind the parts of an interrupted pass: all of them, if the source has changed."""
        self.done = self.parts.load()
        outcomes = raw.outcomes()
        if self.done:
            for outcome in islice(outcomes, self.done[-1].num_outcomes):
                self.consumed.take(outcome)
                progress.update()
            if self.consumed.everything.hexdigest() != self.done[-1].consumed:
                self.parts.clear()
                self.done, self.consumed, outcomes = [], Consumed(), raw.outcomes()
                progress.reset(raw.total)
        for number in range(len(self.done)):
            self._recall(number)
        self._begin()
        return outcomes

    def _recall(self, number: int) -> None:
        """Take over what a part kept and rejected."""
        for sha256 in pq.read_table(self.parts.rows(number), columns=["sha256"])["sha256"].to_pylist():
            self.kept.add(bytes.fromhex(sha256))
        reasons = pq.read_table(self.parts.rejected(number), columns=["reason"])["reason"]
        self.rejected.update(reasons.to_pylist())

    def _begin(self) -> None:
        """Begin the next part."""
        self._path = self.folder / shard_name(len(self.done))
        self._file = self._path.open("wb")
        self._tar = TarWriter(self._file, len(self.kept))
        self._log = RejectLog(self.parts.rejected(len(self.done)))

    def take(self, outcome: Outcome, result: CleanSample | Rejected) -> None:
        """Keep the first fit one of equal images; its duplicates' captions are not merged into it."""
        self.consumed.take(outcome)
        if isinstance(result, Rejected):
            self._log.add(result)
        elif (same := self.kept.find(result.sha256)) is not None:
            self._log.add(Rejected(result.url, "image_duplicate", f"same bytes as sample {same}", result.key))
        else:
            self.kept.add(result.sha256)
            self._tar.add(result)
            if len(self._tar.rows) == self.shard_samples:
                self._end()
                self._begin()

    def _end(self) -> None:
        """Finish the part: its tar and lists on the disk first, then its note."""
        number, name = len(self.done), self._path.name
        rows = self._tar.close()
        self._file.close()
        self._log.close()
        pq.write_table(rows, self.parts.rows(number))
        shard = None
        if len(rows):
            flush_to_disk(self._path)
            shard = Shard(
                name=name, count=len(rows), bytes=self._path.stat().st_size, sha256=sha256_of(self._path)
            )
        else:
            self._path.unlink()
        self.done.append(self.parts.save(number, shard, self.consumed))
        self.rejected += self._log.counts

    def finish(self) -> None:
        """Finish the last part, and write what describes all of them."""
        self._end()
        parts, folder, numbers = self.parts, self.folder, range(len(self.done))
        write_index(folder / INDEX, (pq.read_table(parts.rows(n)) for n in numbers))
        for name, schema in ((CAPTIONS, CAPTIONS_SCHEMA), (ORIGINS, ORIGINS_SCHEMA)):
            write_columns(folder / name, schema, (pq.read_table(parts.rows(n)) for n in numbers))
        write_rejected(folder / REJECTED, (parts.rejected(n) for n in numbers))


def finish(run: Run, split: str, raw: Raw, folder: Path, sieve: Sieve) -> None:
    """Write where the samples came from, and the manifest, if enough of them are fit."""
    if sieve.consumed.num_outcomes != raw.num_images:
        raise UserError(
            f"{raw.name}: expected an outcome for each of {raw.num_images} images, "
            f"found {sieve.consumed.num_outcomes}; bring the split again"
        )
    manifest = describe(run, split, raw, folder, sieve)
    check_yield(manifest, run.settings.data.download.min_yield, raw.name)
    origin = {"run": run.name, "split": split, "source": raw.name, **raw.origin}
    write_text(folder / ORIGIN, json.dumps(origin, indent=1, sort_keys=True, default=str) + "\n")
    write_manifest(folder / MANIFEST, manifest)


def describe(run: Run, split: str, raw: Raw, folder: Path, sieve: Sieve) -> Manifest:
    """The manifest of a finished pass."""
    count, consumed = len(sieve.kept), sieve.consumed
    return Manifest(
        format=FORMAT,
        split=split,
        count=count,
        shards=[part.shard for part in sieve.done if part.shard],
        yield_=Yield(
            rows=raw.num_rows,
            images=raw.num_images,
            received=consumed.num_received,
            kept=count,
            share=count / raw.num_images if raw.num_images else 0.0,
        ),
        rejected=dict(sorted(sieve.rejected.items())),
        index_sha256=sha256_of(folder / INDEX),
        captions_sha256=sha256_of(folder / CAPTIONS),
        inputs={"received": consumed.received.hexdigest()},
        settings=run.stage("clean"),
    )


def check_yield(manifest: Manifest, min_yield: float, source: str) -> None:
    """Raise UserError, with the table of reasons, if too few images gave a sample."""
    if manifest.count and manifest.yield_.share >= min_yield:
        return
    by_count = sorted(manifest.rejected.items(), key=lambda item: -item[1])
    reasons = ", ".join(f"{reason} {count}" for reason, count in by_count)
    raise UserError(
        f"{source}: {manifest.count} of {manifest.yield_.images} images gave a sample "
        f"({manifest.yield_.share:.1%}), expected at least data.download.min_yield = {min_yield:.1%}; "
        f"rejected: {reasons or 'none'}; mend the list or the network, or lower min_yield"
    )
