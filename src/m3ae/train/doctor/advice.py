"""The setting to change, for what binds."""

import math
import os
from dataclasses import dataclass

from m3ae.config.models import RunSettings
from m3ae.data.cache import CACHE_DIR
from m3ae.data.remote import SHARDS_URL
from m3ae.train.doctor.reading import Reading
from m3ae.train.doctor.resources import Cores
from m3ae.train.doctor.verdict import COPY, STEP, Rates
from m3ae.train.machine import Machine

HEADROOM = 1.1  # of workers over what the step takes
WAITING = 5  # a loader so many times as fast as the step is not worth a core of its own


@dataclass(frozen=True)
class Situation:
    """What advice depends on."""

    settings: RunSettings
    """Of the row."""
    machine: Machine
    cores: Cores
    threads: int
    on_gpu: bool
    has_bf16: bool
    largest_pass: int
    """Samples of a pass that the device's memory holds, by estimate."""
    fits_without_recompute: bool

    @property
    def spare_cores(self) -> int:
        """For data workers: a GPU's host needs one core, a processor's threads theirs."""
        return max(0, self.cores.usable - self.cores.busy - (1 if self.on_gpu else self.threads))


def advise(binds: str, rates: Rates, reading: Reading | None, situation: Situation) -> str:
    """What to change, in one sentence."""
    if binds == STEP:
        return advise_step(rates, situation)
    if binds == COPY:
        return "copy less: a smaller data.image.size_px, or a GPU on a wider bus"
    assert reading is not None  # only the loader is left
    more = more_workers(rates, reading, situation)
    if binds == "storage":
        return f"{advise_storage()}{f'; or {more}' if more else ''}"
    return more or advise_loader(binds, reading, situation)


def advise_storage() -> str:
    """A nearer copy of the shards."""
    if os.environ.get(SHARDS_URL) and not os.environ.get(CACHE_DIR):
        return f"keep the shards on this machine: {CACHE_DIR} and M3AE_CACHE_GB"
    return "copy the shards to a faster disk of this machine, or into its memory"


def more_workers(rates: Rates, reading: Reading, situation: Situation) -> str | None:
    """As many workers as the step can use; None if there are no cores for them."""
    wanted = math.ceil(HEADROOM * rates.step / reading.per_core)
    workers = min(wanted, situation.spare_cores)
    if workers <= situation.machine.workers:
        return None
    short = "" if workers == wanted else f" (the step could use {wanted}, this machine has no more cores)"
    return f"--workers {workers}{short}"


def advise_loader(binds: str, reading: Reading, situation: Situation) -> str:
    """All cores are at work: make the work less."""
    if situation.machine.workers and reading.samples_per_s < reading.per_core:
        return "fewer --workers: handing batches over costs more here than making them"
    image, clean = situation.settings.data.image, situation.settings.data.clean
    cores = f"every core is at work: a machine with more than {situation.cores.usable}"
    if binds == "decode" and clean.short_side_px > image.size_px:
        return (
            f"{cores}, or shards with data.clean.short_side_px nearer to {image.size_px} "
            f"(now {clean.short_side_px})"
        )
    return cores


def advise_step(rates: Rates, situation: Situation) -> str:
    """A step that computes less, or a device that computes more."""
    recipe, machine, cores = situation.settings.pretrain, situation.machine, situation.cores
    found = []
    if machine.recompute and situation.fits_without_recompute:
        found.append("leave out --recompute: memory suffices")
    most = min(situation.largest_pass, situation.settings.batch_size)
    if situation.on_gpu and machine.device_batch and most >= 2 * machine.device_batch:
        found.append(f"--device-batch {most}, which memory allows")
    if recipe.precision == "fp32" and situation.has_bf16:
        found.append("pretrain.precision: bf16, native here (another run, by its settings)")
    if rates.loader and not rates.beside and situation.spare_cores and rates.loader < WAITING * rates.step:
        found.append("--workers 1, so that no step waits for its data")
    elif not situation.on_gpu and situation.threads < cores.left - machine.workers:
        found.append(f"OMP_NUM_THREADS={cores.left - machine.workers}")
    found.append("more GPUs" if situation.on_gpu else "a GPU")
    return "; ".join(found)
