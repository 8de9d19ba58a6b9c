"""Memory at its peak."""

import resource
import sys
from pathlib import Path

import torch

GIB = 2**30
STATUS = Path("/proc/self/status")


def peak_gib(device: torch.device) -> float:
    """The most memory that a training held so far (GiB): tensors on a GPU, or all of a process without one.

    A GPU's context, and what torch keeps for later tensors, are not in it.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    return peak_resident_gib()


def peak_resident_gib(status: Path = STATUS) -> float:
    """The most physical memory that this process had (GiB).

    Linux says it in ``status``. ``getrusage`` is for other systems: on Linux its number is also that of the
    process which started this one, where that was larger.
    """
    try:
        lines = status.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / GIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * maxrss_unit(sys.platform) / GIB


def maxrss_unit(platform: str) -> int:
    """Bytes in a unit of ``ru_maxrss``: macOS counts bytes, the others KiB."""
    return 1 if platform == "darwin" else 1024
