"""What binds, how fast the training will be, and what to change."""

from dataclasses import dataclass

from m3ae.train.doctor.reading import Reading

STEP, COPY = "step", "host to device"


@dataclass(frozen=True)
class Rates:
    """Samples per second of what a step waits for; None where it was not measured or needs nothing."""

    step: float
    loader: float | None = None
    copy: float | None = None
    together: float | None = None
    """Steps on the run's own data: the real thing."""
    beside: bool = True
    """Whether the loader works while a step computes: workers do, and so does the host beside a GPU."""
    share_cores: bool = False
    """Whether there are fewer cores than threads of the step and workers together."""

    @property
    def allowed(self) -> float:
        """What the slowest part allows; where the loader does not work beside the step, times add up."""
        if self.loader is not None and not self.beside:
            return 1 / (1 / self.loader + 1 / self.step)
        return min(rate for rate in (self.loader, self.copy, self.step) if rate is not None)

    @property
    def expected(self) -> float:
        """Samples per second of the training: as measured, else what the parts allow."""
        return self.allowed if self.together is None else self.together


def binding(rates: Rates, reading: Reading | None) -> str:
    """The part that binds: the slower of loader, copy and step, and of the loader its slowest part."""
    slowest = min(
        (rate, part)
        for rate, part in ((rates.step, STEP), (rates.copy, COPY), (rates.loader, "loader"))
        if rate is not None
    )[1]
    return reading.binding if reading is not None and slowest == "loader" else slowest
