"""What happened since the last line of the step log."""

import time
from dataclasses import dataclass, field

import torch

from m3ae.train.ranks import Ranks
from m3ae.train.step import StepResult


@dataclass
class Interval:
    """Running sums over steps; on the device, so that no step waits for them."""

    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    """This rank's losses (fp64)."""
    grad_norm: torch.Tensor | float = 0.0
    before: dict[str, float] = field(default_factory=dict)
    """Sums of all ranks over steps of the same interval that an earlier process took."""
    steps_before: int = 0
    steps: int = 0
    samples: int = 0
    flops: float = 0.0
    """Of this rank."""
    data_wait_s: float = 0.0
    save_s: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def add(self, result: StepResult, samples: int, flops: float, data_wait_s: float) -> None:
        """Add one step."""
        for name, value in result.losses.items():
            self.sums[name] = self.sums.get(name, 0) + value.double()
        self.grad_norm = self.grad_norm + result.grad_norm.double()
        self.steps += 1
        self.samples += samples
        self.flops += flops
        self.data_wait_s += data_wait_s

    def totals(self, ranks: Ranks) -> dict[str, float]:
        """Sums over the interval's steps and all ranks: every rank must ask."""
        names = list(self.sums)
        if names:
            summed = ranks.total(torch.stack([self.sums[name] for name in names])).tolist()
            totals = {**dict(zip(names, summed, strict=True)), "grad_norm": float(self.grad_norm)}
        else:
            totals = {}
        return {
            name: totals.get(name, 0.0) + self.before.get(name, 0.0) for name in {**self.before, **totals}
        }

    def means(self, ranks: Ranks) -> dict[str, float]:
        """Means over the interval's steps: every rank must ask."""
        steps = self.steps_before + self.steps
        return {name: value / steps for name, value in self.totals(ranks).items()}

    def facts(self, ranks: Ranks) -> dict:
        """What a checkpoint keeps, so that a log line is the same after a kill: every rank must ask."""
        return {"sums": self.totals(ranks), "steps": self.steps_before + self.steps}

    @classmethod
    def after(cls, facts: dict) -> "Interval":
        """The interval that an earlier process had begun."""
        return cls(before=facts.get("sums", {}), steps_before=facts.get("steps", 0))

    def seconds(self) -> float:
        """Since the interval began."""
        return time.perf_counter() - self.began
