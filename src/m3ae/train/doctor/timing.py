"""How long something takes that is done again and again."""

import time
from collections.abc import Callable
from dataclasses import dataclass

ENOUGH = 100  # repetitions: more say nothing new


@dataclass(frozen=True)
class Speed:
    """So many samples in so many seconds."""

    samples: int
    seconds: float

    @property
    def samples_per_s(self) -> float:
        """Samples per second."""
        return self.samples / self.seconds


def measure(take: Callable[[], int], wait: Callable[[], None], seconds: float, enough: int = ENOUGH) -> Speed:
    """Call ``take``, which does some samples and says how many, for about ``seconds``, or often enough.

    ``wait`` returns when the device is done: it is asked before the first and after the last call alone.
    """
    wait()
    samples, began = 0, time.perf_counter()
    for _ in range(enough):
        samples += take()
        if time.perf_counter() - began >= seconds:
            break
    wait()
    return Speed(samples, time.perf_counter() - began)
