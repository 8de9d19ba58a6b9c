"""The step log: one JSON line per interval, and a progress bar on a terminal."""

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from m3ae.errors import UserError


@dataclass
class Interval:
    """Running sums since the last line; on the device, so that no step waits for them."""

    sums: dict[str, torch.Tensor] = field(default_factory=dict)
    steps: int = 0
    samples: int = 0
    data_wait_s: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def add(self, values: dict[str, torch.Tensor], samples: int, data_wait_s: float) -> None:
        """Add one step."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        self.steps += 1
        self.samples += samples
        self.data_wait_s += data_wait_s

    def means(self) -> dict[str, float]:
        """Means over the interval's steps."""
        return {name: float(value) / self.steps for name, value in self.sums.items()}

    def speed(self) -> dict[str, float]:
        """Samples per second, and the share of the time that was spent waiting for data."""
        seconds = time.perf_counter() - self.began
        return {
            "samples_per_s": round(self.samples / seconds, 1),
            "data_wait_share": round(self.data_wait_s / seconds, 4),
        }


class StepLog:
    """Appends lines to a JSONL file; a resumed run first drops the lines after its checkpoint."""

    def __init__(
        self, path: Path, first_step: int, last_step: int, samples_per_step: int, title: str
    ) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_lines(path) if line["step"] <= first_step]
        try:
            path.write_text("".join(json.dumps(line) + "\n" for line in kept))
            self.file = path.open("a", buffering=1)
        except OSError as error:
            raise UserError(f"{path}: the step log cannot be written ({error.strerror})") from None
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
        self.file.write(json.dumps(line) + "\n")
        losses: dict[str, object] = {
            name: round(value, 3) for name, value in line.items() if name.endswith("_loss")
        }
        self.bar.set_postfix(losses, refresh=False)
        if self.bar.disable and time.perf_counter() - self.told > 30:
            self.told = time.perf_counter()
            text = ", ".join(f"{name} {value}" for name, value in losses.items())
            speed = f"{line['samples_per_s']:.0f} samples/s"
            print(f"{self.title}: step {line['step']} of {self.last_step}, {text}, {speed}", file=sys.stderr)

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
