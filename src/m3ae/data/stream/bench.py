"""Where the time of the stream goes: read, decode, resize, words and masks, the rest; and what binds."""

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

from m3ae.config.run import Run
from m3ae.data.shards import Pairs
from m3ae.data.stream import augment
from m3ae.data.stream.loader import load_steps, to_tensors
from m3ae.data.stream.stream import Stream
from m3ae.errors import UserError

READ, DECODE, RESIZE, WORDS, OTHER, MOVE = PARTS = (
    "read",
    "decode",
    "crop, resize",
    "words, masks",
    "draws, collation",
    "to the device",
)
ADVICE = {
    READ: "reading binds: a faster disk (or a local cache), or more --workers, which wait at the same time",
    DECODE: "decoding binds: more --workers, up to the cores, or shards with a smaller "
    "data.clean.short_side_px or data.clean.jpeg_quality",
    RESIZE: "crops bind: more --workers, up to the cores",
    WORDS: "words and masks bind: more --workers, up to the cores",
    OTHER: "draws and collation bind: more --workers, up to the cores",
    MOVE: "the copy to the device binds: a smaller batch per device, or a wider bus",
}


class Times(NamedTuple):
    """Seconds of each part over a number of samples."""

    seconds: dict[str, float]
    num_samples: int
    num_steps: int

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(self.seconds.values())

    @property
    def samples_per_s(self) -> float:
        """Samples per second of one process."""
        return self.num_samples / self.total

    @property
    def binding(self) -> str:
        """The part that takes longest."""
        return max(self.seconds, key=lambda part: self.seconds[part])


class StreamFrom(Stream):
    """A run's stream that reads its pairs from a copy of the shards: another disk, a mounted bucket."""

    def __init__(self, run: Run, model: str, folder: Path) -> None:
        super().__init__(run, model)
        copy = Pairs(folder)
        if copy.manifest != self.pairs.manifest:
            raise UserError(f"{folder}: expected a copy of {self.pairs.folder}, found another manifest")
        self.pairs = copy

    def __reduce__(self) -> tuple[Any, ...]:
        return StreamFrom, (self.run, self.model, self.pairs.folder)


def time_parts(
    stream: Stream, batch_size: int, max_steps: int, device: torch.device, max_s: float = math.inf
) -> Times:
    """Make steps from 0 in this process, within both bounds but one at least, and time their parts."""
    spent: dict[str, float] = defaultdict(float)
    num_samples, began = 0, time.perf_counter()
    with timed_parts(spent):
        for step in range(max_steps):
            before = time.perf_counter()
            batch = stream.step(step, batch_size)
            made = time.perf_counter()
            to_device(batch, device)
            spent["step"] += made - before
            spent[MOVE] += time.perf_counter() - made
            num_samples += len(batch.sample) + len(batch.passage)
            if time.perf_counter() - began >= max_s:
                break
    spent[OTHER] = spent.pop("step") - sum(spent[part] for part in (READ, DECODE, RESIZE, WORDS))
    return Times({part: spent[part] for part in PARTS}, num_samples, step + 1)


def to_device(batch: Any, device: torch.device) -> None:
    """Copy a batch, and wait until it is there."""
    to_tensors(batch).to(device)  # type: ignore[union-attr]  # no worker, no failure
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def timed_parts(spent: dict[str, float]) -> Iterator[None]:
    """Add what the stream's parts take to ``spent``, while it is open."""
    places: list[tuple[Any, str, str]] = [
        (Pairs, "jpegs", READ),
        (augment, "decode_box", DECODE),
        (augment, "resize", RESIZE),
        (Stream, "words", WORDS),
        (Stream, "_orders", WORDS),
    ]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(patch.object(owner, name, timed(getattr(owner, name), spent, part)))
        yield


def timed(function: Callable, spent: dict[str, float], part: str) -> Callable:
    """The function, adding its seconds to ``spent[part]``."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[part] += time.perf_counter() - began

    return wrapper


def samples_per_s(stream: Stream, batch_size: int, workers: int, seconds: float) -> float:
    """Samples per second as training gets them, from the second batch on: the first waits for the start."""
    batches = load_steps(stream, batch_size, 0, 2**40, workers)
    next(batches)
    num_samples, began = 0, time.perf_counter()
    for batch in batches:
        num_samples += len(batch.sample) + len(batch.passage)
        if time.perf_counter() - began >= seconds:
            break
    return num_samples / (time.perf_counter() - began)


def drop_pages(folder: Path) -> bool:
    """Ask the system to forget the tars' pages, so that reading meets the disk. False where it cannot."""
    tars = sorted(Path(folder).glob("*.tar"))
    if not hasattr(os, "posix_fadvise") or not tars:
        return False
    for path in tars:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # pages that are not yet written cannot be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return True


def measure_loader(stream: Stream, batch_size: int, seconds: float) -> tuple[Times, Times, bool]:
    """The parts of at most one epoch, read from disk and then from memory; whether "from disk" is true."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    time_parts(stream, batch_size, 1, device)  # what only the first step needs: imports, memory
    dropped = drop_pages(stream.pairs.folder)
    first = time_parts(stream, batch_size, -(-len(stream) // batch_size), device, seconds)
    return first, time_parts(stream, batch_size, first.num_steps, device), dropped


def table(times: Times) -> list[str]:
    """The parts as lines: milliseconds per sample, and shares."""
    lines = [f"{'part':<20}{'ms/sample':>10}{'share':>8}"]
    for part, seconds in times.seconds.items():
        lines.append(f"{part:<20}{1e3 * seconds / times.num_samples:>10.3f}{seconds / times.total:>8.0%}")
    lines.append(f"{'all':<20}{1e3 * times.total / times.num_samples:>10.3f}{1:>8.0%}")
    return lines


def reading(first: Times, second: Times, dropped: bool) -> str:
    """What reading took without and with the tars' pages in memory, in one line."""
    cold, warm = (1e3 * times.seconds[READ] / times.num_samples for times in (first, second))
    if not dropped:
        return f"reading: {warm:.3f} ms/sample; whether from disk or from memory is not known here"
    return f"reading: {cold:.3f} ms/sample from disk, {warm:.3f} from memory (page cache)"
