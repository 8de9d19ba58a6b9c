"""The step log: one JSON line per interval, and a progress bar on a terminal."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from m3ae.errors import UserError
from m3ae.files import write_text

TELL_S = 30  # without a terminal, a line this often (seconds)


class StepLog:
    """Appends lines to a JSONL file; a resumed run first drops the lines after its checkpoint."""

    def __init__(
        self, path: Path, first_step: int, last_step: int, samples_per_step: int, title: str
    ) -> None:
        self.path = path
        self.lines = [line for line in read_lines(path) if line["step"] <= first_step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in self.lines))
        self.file = path.open("a", buffering=1)
        self.samples_per_step, self.last_step, self.title = samples_per_step, last_step, title
        self.bar = tqdm(
            total=last_step * samples_per_step,
            initial=first_step * samples_per_step,
            desc=title,
            unit="samples",
            unit_scale=True,
            disable=None,  # silent where there is no terminal
        )
        self.told = time.perf_counter()

    def advance(self) -> None:
        """Move the progress bar by one step."""
        self.bar.update(self.samples_per_step)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line; without a terminal, say where the run is twice a minute."""
        try:
            self.file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise UserError(
                f"{self.path}: the step log cannot be written ({error.strerror}); make room, then run the "
                "command again: it goes on from its last checkpoint"
            ) from None
        self.lines.append(line)
        losses = {name: round(value, 3) for name, value in line.items() if name.endswith("_loss")}
        self.bar.set_postfix(losses, refresh=False)
        if self.bar.disable and time.perf_counter() - self.told > TELL_S:
            self.told = time.perf_counter()
            self.say(line, losses)

    def say(self, line: dict[str, Any], losses: dict[str, float]) -> None:
        """Where the run is, and how long it will take, as one line."""
        text = ", ".join(f"{name} {value}" for name, value in losses.items())
        left, rate = (self.last_step - line["step"]) * self.samples_per_step, line["samples_per_s"]
        time_left = f", {tqdm.format_interval(left / rate)} left" if rate else ""  # 0.0 after hours suspended
        print(
            f"{self.title}: step {line['step']} of {self.last_step}, {text}, {rate:.0f} samples/s{time_left}",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """End the progress bar and the file."""
        self.bar.close()
        self.file.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a step log; a line that a kill cut off is dropped."""
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
