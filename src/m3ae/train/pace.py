"""How fast a training is, beside what its machine could do."""

from typing import Any

import torch

from m3ae.train.interval import Interval
from m3ae.train.spread import Spread
from m3ae.train.telemetry.energy import open_energy
from m3ae.train.telemetry.memory import peak_gib
from m3ae.train.telemetry.rate import matmul_rate, mfu, peak_flops

RATE_S = 0.2  # how long a processor's rate is measured


class Pace:
    """Speed, utilisation, memory and energy of all ranks together."""

    def __init__(self, spread: Spread, precision: str) -> None:
        self.ranks = spread.ranks
        device = self.ranks.device
        a = spread.objective.model.architecture
        self.rate = peak_flops(device, precision)
        if self.rate is None and device.type == "cpu":
            widths = [a.width] + [a.decoder_width] * a.has_decoder
            shapes = [(2048, width, a.mlp_ratio * width) for width in widths]
            self.rate = matmul_rate(shapes, precision, RATE_S)
        self.energy = open_energy(device)
        self.joules = self.energy.joules() if self.energy else {}

    def facts(self, interval: Interval) -> dict[str, Any]:
        """What a line of the step log says of its interval. Every rank must ask."""
        seconds = interval.seconds()
        flops, energy = self.ranks.total(
            torch.tensor([interval.flops, self.spent()], dtype=torch.float64)
        ).tolist()
        facts = {
            "samples_per_s": round(interval.samples / seconds, 1),
            "data_wait_share": round(interval.data_wait_s / seconds, 4),
            "save_share": round(interval.save_s / seconds, 4),
            "memory_gib": round(peak_gib(self.ranks.device), 3),
        }
        if self.rate:
            facts["mfu"] = round(mfu(flops, seconds, self.rate * self.ranks.world), 4)
        if energy:
            facts["energy_j"] = round(energy, 1)
        return facts

    def spent(self) -> float:
        """Joules of this rank's devices since it was last asked: a processor is its node's first rank's."""
        if self.energy is None:
            return 0.0
        before, self.joules = self.joules, self.energy.joules()
        mine = {"accelerator"} | ({"processor"} if self.ranks.local_rank == 0 else set())
        return sum(value - before.get(name, 0.0) for name, value in self.joules.items() if name in mine)
