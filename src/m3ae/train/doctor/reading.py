"""How fast the run's own data come: from disk and from memory, part by part, and as training reads them."""

from dataclasses import dataclass

import torch

from m3ae.data.stream import bench
from m3ae.data.stream.bench import Times
from m3ae.data.stream.stream import Stream
from m3ae.train.doctor.resources import available_memory

NAMES = {
    bench.READ: "storage",
    bench.DECODE: "decode",
    bench.RESIZE: "augment",
    bench.WORDS: "words and masks",
    bench.OTHER: "collate",
}


@dataclass(frozen=True)
class Reading:
    """What was found of a run's data."""

    cold: dict[str, float]
    """Seconds of each part for one sample, in one process on one thread, with pages that had to be read."""
    warm: dict[str, float]
    """The same with the shards' pages in memory."""
    from_disk: bool
    """Whether ``cold`` really came from the disk: not every system forgets pages on request."""
    shard_bytes: int
    stays_in_memory: bool
    """Whether the shards fit into free memory, so that they are read from disk in the first epoch alone."""
    samples_per_s: float
    """As training reads, with ``workers`` processes."""
    workers: int

    @property
    def parts(self) -> dict[str, float]:
        """The seconds that count for most of the training."""
        return self.warm if self.stays_in_memory or not self.from_disk else self.cold

    @property
    def per_core(self) -> float:
        """Samples per second of one process."""
        return 1 / sum(self.parts.values())

    @property
    def binding(self) -> str:
        """The part that takes longest."""
        return max(self.parts, key=lambda part: self.parts[part])


def measure_reading(stream: Stream, samples: int, workers: int, seconds: float) -> Reading:
    """Time the stream in steps of ``samples`` samples. The parts share a half of ``seconds``."""
    shard_bytes = sum(shard.bytes for shard in stream.pairs.manifest.shards)
    stays = shard_bytes < available_memory() / 2
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # parts are told per core; data workers have one thread too
    try:
        cold, warm, from_disk = bench.measure_loader(stream, samples, seconds / 4)
    finally:
        torch.set_num_threads(threads)
    if not stays:
        bench.drop_pages(stream.pairs.folder)
    rate = bench.samples_per_s(stream, samples, workers, seconds / 2)
    return Reading(per_sample(cold), per_sample(warm), from_disk, shard_bytes, stays, rate, workers)


def per_sample(times: Times) -> dict[str, float]:
    """Seconds of each part of the stream for one sample."""
    return {name: times.seconds[part] / times.num_samples for part, name in NAMES.items()}
