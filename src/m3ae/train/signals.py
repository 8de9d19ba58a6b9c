"""A request to stop: noted when it comes, obeyed at the end of the step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """True once SIGTERM or SIGUSR1 came (SLURM's pre-emption, a time limit, an operator)."""

    def __init__(self) -> None:
        self.name: str | None = None

    def __bool__(self) -> bool:
        return self.name is not None

    def note(self, number: int, _frame: object) -> None:
        """Remember the signal."""
        self.name = signal.Signals(number).name


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Listen to SIGTERM and SIGUSR1 inside the block."""
    request = StopRequest()
    before = {number: signal.signal(number, request.note) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
