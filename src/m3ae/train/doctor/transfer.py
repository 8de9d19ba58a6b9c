"""How fast a batch comes to a GPU from pinned memory."""

from dataclasses import dataclass

import torch

from m3ae.config.models import RunSettings
from m3ae.data.stream.loader import TensorBatch
from m3ae.train.doctor.synthetic import synthetic_batch
from m3ae.train.doctor.timing import measure

COPIES = 50


@dataclass(frozen=True)
class Transfer:
    """Speed of the copy."""

    gb_per_s: float
    """1e9 bytes per second."""
    samples_per_s: float


def measure_transfer(
    settings: RunSettings, samples: int, device: torch.device, seconds: float
) -> Transfer | None:
    """Copy a batch of ``samples`` samples again and again; None for a processor, which needs no copy."""
    if device.type != "cuda":
        return None
    batch = TensorBatch(*(tensor.pin_memory() for tensor in synthetic_batch(settings, 1, samples)))

    def take() -> int:
        batch.to(device)
        return samples

    take()
    speed = measure(take, lambda: torch.cuda.synchronize(device), seconds, COPIES)
    copied = sum(tensor.nbytes for tensor in batch) * speed.samples / samples
    return Transfer(copied / speed.seconds / 1e9, speed.samples_per_s)
