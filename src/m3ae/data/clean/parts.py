"""What an interrupted pass leaves behind: a part for each finished shard, behind which the next pass goes on.

A part is the tar itself, the rows of its samples, the rejections on the way to it, and a note, written last,
of how far into the source it reaches. The next pass reads the source again that far, without decoding, and
goes on only if it is the same, byte for byte: so it ends with the bytes of a pass that nobody disturbed.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from m3ae.data.clean.shardwriter import flush_to_disk
from m3ae.data.manifest import Entry, Shard
from m3ae.data.raw.samples import Outcome, RawSample
from m3ae.errors import UserError
from m3ae.files import put_back, write_text

PARTS = "parts"


class Part(Entry):
    """How far a finished shard reaches into the source."""

    settings: dict[str, Any]
    """What it depends on: parts of another cleaning are not gone on with."""
    shard: Shard | None
    """None for the end of a source behind whose last shard everything was rejected."""
    num_outcomes: int
    consumed: str
    """Digest of all outcomes up to it."""


class Consumed:
    """A running digest of everything that a source gave: samples and rejections."""

    def __init__(self) -> None:
        self.num_outcomes = self.num_received = 0
        self.everything = hashlib.sha256()
        self.received = hashlib.sha256()

    def take(self, outcome: Outcome) -> None:
        """Count and digest one outcome."""
        self.num_outcomes += 1
        if isinstance(outcome, RawSample):
            self.num_received += 1
            self.received.update(line(outcome.sha256.hex(), outcome.captions))
            facts = (outcome.key, outcome.url, outcome.sha256.hex(), outcome.captions, outcome.orientation)
        else:
            facts = tuple(outcome)  # type: ignore[assignment]
        self.everything.update(line(*facts))


def line(*facts: Any) -> bytes:
    """Facts as one line of JSON: no two different ones look the same."""
    return (json.dumps(facts) + "\n").encode()


class Parts:
    """The parts of one pass, in a folder beside the tars."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, settings
        self.inner = folder / PARTS

    def rows(self, number: int) -> Path:
        """The samples of a part's shard."""
        return self.inner / f"{number:05d}.rows.parquet"

    def rejected(self, number: int) -> Path:
        """The rejections since the part before."""
        return self.inner / f"{number:05d}.rejected.parquet"

    def note(self, number: int) -> Path:
        """Where the part's note lies."""
        return self.inner / f"{number:05d}.json"

    def save(self, number: int, shard: Shard | None, consumed: Consumed) -> Part:
        """Note a part whose files are complete."""
        for path in (self.rows(number), self.rejected(number)):
            flush_to_disk(path)
        part = Part(
            settings=self.settings,
            shard=shard,
            num_outcomes=consumed.num_outcomes,
            consumed=consumed.everything.hexdigest(),
        )
        write_text(self.note(number), part.model_dump_json() + "\n")
        return part

    def load(self) -> list[Part]:
        """The parts of an interrupted pass with the same settings; without any, an empty folder."""
        found = []
        for number in count():
            if (part := self._read(number)) is None:
                break
            found.append(part)
        if not found:
            self.clear()
        return found

    def clear(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.inner.mkdir(parents=True)

    def _read(self, number: int) -> Part | None:
        try:
            part = Part.model_validate_json(self.note(number).read_bytes())
            tar = self.folder / part.shard.name if part.shard else None
            is_whole = tar is None or tar.stat().st_size == part.shard.bytes  # type: ignore[union-attr]
            for path in (self.rows(number), self.rejected(number)):
                pq.read_metadata(path)
        except (OSError, ValidationError, ValueError):
            return None
        return part if is_whole and part.settings == self.settings else None


@contextmanager
def resumable_folder(folder: Path) -> Iterator[Path]:
    """A neighbour that replaces ``folder`` if the block succeeds; else both stay, for the next call.

    Unlike ``files.new_folder``, which begins anew.
    """
    partial, old = (folder.with_name(f".{folder.name}.{word}") for word in ("partial", "old"))
    try:
        put_back(old, folder)  # an earlier call was killed between the two renames
        partial.mkdir(parents=True, exist_ok=True)
        yield partial
        shutil.rmtree(partial / PARTS)
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error}); what is finished is kept: run the command again"
        ) from None
    finally:
        put_back(old, folder)
