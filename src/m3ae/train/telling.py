"""How training goes, told while it goes: step log, progress bar, TensorBoard, warnings, pictures."""

import sys
from pathlib import Path
from typing import Any

from m3ae.config.run import Run
from m3ae.data.stream.loader import AnyStream
from m3ae.train.interval import Interval
from m3ae.train.pace import Pace
from m3ae.train.pictures import Pictures
from m3ae.train.schedule import Schedule
from m3ae.train.spread import Spread
from m3ae.train.step import total_norm
from m3ae.train.steplog import StepLog
from m3ae.train.telemetry.spikes import SpikeWatch
from m3ae.train.telemetry.tensorboard import Board


class Telling:
    """What is told of a training. Every rank takes part, the first one speaks."""

    def __init__(
        self, run: Run, name: str, stream: AnyStream, spread: Spread, schedule: Schedule, precision: str
    ) -> None:
        self.run, self.name, self.settings, self.schedule = run, name, run.settings, schedule
        self.spread, self.ranks = spread, spread.ranks
        self.pace = Pace(spread, precision)
        self.pictures = Pictures(run, name, stream, spread, precision)
        self.log: StepLog | None = None
        self.board: Board | None = None

    def begin(self, path: Path, first_step: int, tensorboard: Path | None) -> None:
        """Start to tell, after ``first_step`` steps that were told before: the first rank alone does."""
        title = f"{self.run.name} {self.name}"
        self.log = StepLog(path, first_step, self.schedule.steps, self.settings.batch_size, title)
        self.spikes = SpikeWatch(self.log.lines)
        if tensorboard is not None:
            self.board = Board(tensorboard, purge_step=first_step + 1)

    def advance(self) -> None:
        """A step is done."""
        if self.log is not None:
            self.log.advance()

    def line(self, done: int, lr: float, interval: Interval) -> None:
        """Write one line of the step log: means over its interval. Every rank must ask."""
        samples = done * self.settings.batch_size
        line: dict[str, Any] = {
            "step": done,
            "samples": samples,
            "epoch": round(samples / self.settings.samples_per_epoch, 4),
            "lr": lr,
            **interval.means(self.ranks),
            "param_norm": float(total_norm([p.detach() for p in self.spread.parameters()])),
            **self.pace.facts(interval),
        }
        if self.log is not None:
            self.log.write(line)
            if warning := self.spikes.look(line):
                say(f"{self.name}: {warning}")
        if self.board is not None:
            self.board.write(line)

    def picture(self, done: int) -> None:
        """Draw what the model makes of a few samples, where it is due. Every rank must ask."""
        if not self.pictures.is_due(done):
            return
        drawn = self.pictures.draw(done)
        if self.board is not None and drawn is not None:
            self.board.picture(done, drawn)

    def close(self) -> None:
        """End the log and the board."""
        for told in (self.log, self.board):
            if told is not None:
                told.close()


def say(message: str) -> None:
    """One line on stderr."""
    print(f"m3ae: {message}", file=sys.stderr, flush=True)
