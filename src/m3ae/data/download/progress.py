"""How far a download is, URL by URL: finished shards, and what the workers count in small files."""

from contextlib import suppress
from pathlib import Path

from m3ae.data.download.resume import SCRATCH, read_report


def count_file(folder: Path, shard: int) -> Path:
    """Where a worker counts the URLs of its shard: a byte for each."""
    return folder / SCRATCH / f"{shard}.count"


class Progress:
    """The URLs of a folder of raw shards that have been asked for; reads each shard's report once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.finished: dict[int, int] = {}  # shard -> its rows

    def count(self) -> int:
        """URLs asked for by now."""
        for path in self.folder.glob("*_stats.json"):
            shard = int(path.name.removesuffix("_stats.json"))
            if shard not in self.finished and (report := read_report(path)):
                self.finished[shard] = report["count"]
        return sum(self.finished.values()) + sum(self.begun().values())

    def begun(self) -> dict[int, int]:
        """URLs asked for in shards that are not whole yet."""
        sizes = {}
        for path in (self.folder / SCRATCH).glob("*.count"):
            if int(path.stem) not in self.finished:
                with suppress(FileNotFoundError):  # img2dataset removes the folder at its end
                    sizes[int(path.stem)] = path.stat().st_size
        return sizes
