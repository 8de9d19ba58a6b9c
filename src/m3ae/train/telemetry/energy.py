"""Energy that the devices used: RAPL for the processor, NVML for an NVIDIA GPU.

RAPL counts whole sockets and NVML whole GPUs: other programs on them are in the number.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"
MICROJOULE, MILLIJOULE = 1e-6, 1e-3


class Counter:
    """The joules that a device's own counter has grown by since this one was made."""

    def __init__(self, read: Callable[[], int], unit_j: float, largest: int = 0) -> None:
        """``read`` gives the count, in units of ``unit_j``; behind ``largest`` it begins at 0 again."""
        self.read, self.unit_j, self.largest = read, unit_j, largest
        self.before, self.units = read(), 0

    def joules(self) -> float:
        """What was used so far; a count that cannot be read now is made up for by the next one."""
        try:
            now = self.read()
        except OSError:
            return self.units * self.unit_j
        used = now - self.before
        self.units += used if used >= 0 else max(0, used + self.largest)
        self.before = now
        return self.units * self.unit_j


class Energy:
    """Joules since the meter was opened.

    Ask at least every three minutes: some sockets' counters go up to 65 kJ, four minutes at 270 W, and begin
    again; two such rounds look like one.
    """

    def __init__(self, counters: dict[str, list[Counter]]) -> None:
        self.counters = counters

    def joules(self) -> dict[str, float]:
        """Of each kind of device that can be read: `processor` (all sockets, without DRAM), `accelerator`."""
        return {
            kind: sum(counter.joules() for counter in counters) for kind, counters in self.counters.items()
        }


def open_energy(device: torch.device, powercap: Path = POWERCAP, nvml: str = NVML) -> Energy | None:
    """A meter for the processor and, if ``device`` is a GPU, for that; None if neither can be read."""
    counters = {"processor": socket_counters(powercap)}
    if device.type == "cuda":
        uuid = torch.cuda.get_device_properties(device).uuid  # its number may differ: CUDA_VISIBLE_DEVICES
        counters["accelerator"] = gpu_counters(f"GPU-{uuid}", nvml)
    readable = {kind: found for kind, found in counters.items() if found}
    return Energy(readable) if readable else None


def socket_counters(powercap: Path) -> list[Counter]:
    """A counter for each socket of the processor; none unless all can be read (Linux lets root alone).

    Other zones are parts of a socket (`core`, `dram`), or hold the sockets themselves (`psys`).
    """
    try:
        zones = [
            zone
            for zone in sorted(powercap.glob("intel-rapl:*"))
            if (zone / "name").read_text().startswith("package")
        ]
        return [
            Counter(reader(zone / "energy_uj"), MICROJOULE, number(zone / "max_energy_range_uj"))
            for zone in zones
        ]
    except OSError:
        return []


def reader(path: Path) -> Callable[[], int]:
    """What reads a number from a file, anew each time."""
    return lambda: number(path)


def number(path: Path) -> int:
    """The whole number in a file; OSError if there is none."""
    text = path.read_text()
    try:
        return int(text)
    except ValueError:
        raise OSError(f"{path}: expected a whole number, got {text[:20]!r}") from None


def gpu_counters(uuid: str, nvml: str) -> list[Counter]:
    """The counter of one GPU; none without the driver's library, or for a GPU older than Volta."""
    try:
        return [Counter(gpu_reader(uuid, nvml), MILLIJOULE)]
    except (OSError, AttributeError):  # no library, no such function in it, or a code other than success
        return []


def gpu_reader(uuid: str, nvml: str) -> Callable[[], int]:
    """What reads a GPU's energy since its driver was loaded (mJ), by NVIDIA's management library."""
    library = ctypes.CDLL(nvml)
    handle, value = ctypes.c_void_p(), ctypes.c_ulonglong()
    succeed(library.nvmlInit_v2())
    succeed(library.nvmlDeviceGetHandleByUUID(ctypes.c_char_p(uuid.encode()), ctypes.byref(handle)))

    def read() -> int:
        succeed(library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(value)))
        return value.value

    return read


def succeed(code: int) -> None:
    """Raise OSError unless NVML's return code is its success, 0."""
    if code != 0:
        raise OSError(f"NVML returned {code}")
