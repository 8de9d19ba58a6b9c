"""img2dataset's downloader with our guard in it: a worker fetches with `fetch_bytes`, and with nothing else.

The downloader travels to its workers by pickling, as img2dataset's own does, whichever distributor takes
it there: processes of this machine, Ray, Spark. They need this package installed.
"""

import io
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

from img2dataset import downloader as img2dataset_downloader
from img2dataset.distributor import multiprocessing_distributor, retrier

from m3ae.data.download.failures import failure_of
from m3ae.data.download.guard import Guard
from m3ae.data.download.progress import count_file
from m3ae.data.download.request import fetch_bytes
from m3ae.data.download.slots import check_slots

Row = tuple[int, str]
"""A shard for img2dataset: its number, and the file of its rows."""
FEW = 5  # shards: img2dataset's worker, too, makes as many before another takes its place


class GuardedDownloader(img2dataset_downloader.Downloader):
    """img2dataset's downloader of one shard, for use in a worker."""

    def __init__(self, guard: Guard, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.guard = guard

    def __call__(self, row: Row) -> tuple[bool, Row]:
        """Download a shard; whether it is whole, and which one it was."""
        try:
            check_slots()
        except OSError as error:  # the machine's fault, not that of the URLs: the shard is asked for again
            print(f"shard {row[0]} failed: no slots for connections ({error})")
            return False, row
        with FetchForShard(self.guard, count_file(Path(self.output_folder), row[0])) as fetch:
            img2dataset_downloader.download_image_with_retry = fetch
            is_whole, _ = super().__call__(row)
        if is_whole and not fetch.was_used:  # another version of img2dataset: refuse to go unguarded
            raise RuntimeError("img2dataset did not call our fetch: expected version 1.47")
        return is_whole, row


class FetchForShard:
    """Takes the place of img2dataset's `download_image_with_retry` while a shard is made.

    Appends a byte to a small file for each URL, so that the progress bar need not wait for the shard.
    """

    def __init__(self, guard: Guard, counts: Path) -> None:
        self.guard, self.was_used = guard, False
        self.handle = os.open(counts, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o644)

    def __call__(self, row: tuple[int, str], **_: Any) -> tuple[int, io.BytesIO | None, str | None]:
        """Fetch one URL, in one try: key, image or None, error or None."""
        self.was_used = True
        key, url = row
        try:
            return key, io.BytesIO(fetch_bytes(url, self.guard)), None
        except Exception as error:  # whatever a URL of the web does, the shard goes on
            return key, None, str(failure_of(error))
        finally:
            with suppress(OSError):  # a full disk spoils the progress bar; raised here it would hang the pool
                os.write(self.handle, b".")

    def __enter__(self) -> "FetchForShard":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)


class NoLogger:
    """In the place of img2dataset's logging process, which takes as long to start as a worker.

    It only prints rates: the progress bar and the report say more.
    """

    def __init__(self, *_: object) -> None:
        self.done_shards: set[int] = set()

    def start(self) -> None:
        """Log nothing."""

    def join(self) -> None:
        """Nothing to wait for."""

    def terminate(self) -> None:
        """Nothing to stop."""


def distribute_here(
    processes: int, downloader: GuardedDownloader, reader: Iterable[Row], size: int, max_shard_retry: int
) -> None:
    """img2dataset's distributor for this machine, but one worker with few shards is this process itself.

    A worker of its own would import img2dataset once more, which takes four seconds.
    """
    rows = iter(reader)
    first = list(islice(rows, FEW + 1))
    if processes > 1 or len(first) > FEW:
        multiprocessing_distributor(processes, downloader, chain(first, rows), size, max_shard_retry)
        return

    def run(rows: Iterable[Row]) -> list[Row]:
        return [row for is_whole, row in map(downloader, rows) if not is_whole]

    retrier(run, run(first), max_shard_retry)


def distribute_over_ray(
    processes: int, downloader: GuardedDownloader, reader: Iterable[Row], _: int, max_shard_retry: int
) -> None:
    """img2dataset's distributor for Ray, but shards that fail are tried again as elsewhere.

    img2dataset's own drops the tasks' answers, and does nothing at all where Ray is missing.
    """
    import ray

    task = ray.remote(GuardedDownloader.__call__)

    def run(rows: Iterable[Row]) -> list[Row]:
        answers = ray.get([task.remote(downloader, row) for row in rows])
        return [row for is_whole, row in answers if not is_whole]

    retrier(run, run(reader), max_shard_retry)
