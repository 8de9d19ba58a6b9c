"""Where, and by how much, a training left a reference: two step logs side by side. Imports no torch."""

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from m3ae.errors import UserError

INSTANT = ("param_norm", "lr")
"""Compared metrics that belong to a step; the others are means over the steps since the line before."""
MEANS = ("grad_norm",)  # and all losses
SPEED = ("samples_per_s", "mfu", "data_wait_share", "save_share", "memory_gib", "energy_j", "seconds")
"""The machine's, not the model's: shown beside, never judged."""
PLACE = ("step", "samples", "epoch")

Line = dict[str, float]


@dataclass(frozen=True)
class StepLines:
    """The lines of a step log by their step."""

    path: str
    lines: dict[int, Line]
    begins: dict[int, int]
    """For each line the step of the one before it: where its means begin."""
    cut_off: bool
    """Whether the last line is not whole, as behind a training that still writes or was killed."""

    def fields(self) -> set[str]:
        """Every name that stands in some line."""
        return {name for line in self.lines.values() for name in line}


@dataclass(frozen=True)
class Difference:
    """Two values of a metric at one step."""

    step: int
    ours: float
    reference: float
    relative: float
    """|ours - reference| over the larger of |ours| and |reference|; 0 where both are 0."""


@dataclass(frozen=True)
class Finding:
    """How a metric differs over all steps that can be compared."""

    left: Difference | None
    """The first difference above the tolerance."""
    largest: Difference
    last: Difference


@dataclass(frozen=True)
class Comparison:
    """What two step logs say of each other."""

    tolerance: float
    steps: list[int]
    """Of lines that stand in both."""
    metrics: dict[str, Finding]
    speed: dict[str, float]
    """Our median over the reference's."""
    not_compared: list[str]

    @property
    def has_left(self) -> bool:
        """Whether any metric left the reference."""
        return any(finding.left for finding in self.metrics.values())

    def plain(self) -> dict[str, Any]:
        """As a dict of JSON types."""
        steps = {"shared": len(self.steps), "first": self.steps[0], "last": self.steps[-1]}
        return {**asdict(self), "steps": steps, "has_left": self.has_left}


def compare_logs(ours: Path, reference: Path, tolerance: float, names: Sequence[str] = ()) -> Comparison:
    """Compare two step logs line by line, in the metrics ``names`` or in all that belong to the model.

    Raises UserError where a file is no step log, or nothing can be compared.
    """
    a, b = read_log(ours), read_log(reference)
    steps = sorted(a.lines.keys() & b.lines.keys())
    if not steps:
        raise UserError(
            f"expected two logs with a step in common, got {span(a)} in {ours} and {span(b)} in {reference}"
        )
    metrics, shared = {}, a.fields() & b.fields()
    for name in asked(names, shared) if names else sorted(filter(is_compared, shared)):
        differences = list(differences_of(name, a, b, steps))
        if differences:
            metrics[name] = finding_of(differences, tolerance)
    missing = [name for name in names if name not in metrics]
    if missing or not metrics:
        what = missing[0] if missing else "a metric of a model"
        raise UserError(
            f"{ours} and {reference}: expected {what} in both at the "
            "same step, over the same interval, got none; log both every so many steps (pretrain.log_steps)"
        )
    speed = {name: ratio for name in SPEED if (ratio := median_ratio(name, a, b, steps)) is not None}
    return Comparison(tolerance, steps, metrics, speed, list(left_out(a, b, steps, metrics)))


def is_compared(name: str) -> bool:
    """Whether a field is a fact of the model, which two runs of the same thing share."""
    return name == "loss" or name.endswith("_loss") or name in MEANS or name in INSTANT


def asked(names: Sequence[str], shared: set[str]) -> Sequence[str]:
    """The metrics that were asked for, if both logs have them."""
    for name in names:
        if name not in shared or name in PLACE:
            known = ", ".join(sorted(shared - set(PLACE)))
            raise UserError(f"--metric: expected one that both logs have ({known}), got {name!r}")
    return names


def differences_of(name: str, a: StepLines, b: StepLines, steps: list[int]) -> Iterator[Difference]:
    """A metric's differences at each step where both have it, and mean the same steps by it."""
    for step in steps:
        ours, reference = a.lines[step].get(name), b.lines[step].get(name)
        same = name in INSTANT or a.begins[step] == b.begins[step]
        if ours is not None and reference is not None and same:
            larger = max(abs(ours), abs(reference))
            yield Difference(step, ours, reference, abs(ours - reference) / larger if larger else 0.0)


def finding_of(differences: list[Difference], tolerance: float) -> Finding:
    """First above the tolerance, largest (the first of equals), last."""
    left = next((each for each in differences if each.relative > tolerance), None)
    return Finding(left, max(differences, key=lambda each: each.relative), differences[-1])


def median_ratio(name: str, a: StepLines, b: StepLines, steps: list[int]) -> float | None:
    """Our median over the reference's, at the steps of both; None where one has none, or it is 0."""
    ours, reference = ([log.lines[step][name] for step in steps if name in log.lines[step]] for log in (a, b))
    if not ours or not reference or not statistics.median(reference):
        return None
    return statistics.median(ours) / statistics.median(reference)


def left_out(a: StepLines, b: StepLines, steps: list[int], metrics: dict[str, Finding]) -> Iterator[str]:
    """What was not compared, and why: one line each."""
    for name, log, other in (("ours", a, b), ("the reference", b, a)):
        alone = sorted(log.lines.keys() - other.lines.keys())
        if alone:
            yield f"{len(alone)} steps in {name} alone, {alone[0]} to {alone[-1]}"
        if log.cut_off:
            yield f"the last line of {name}, which is cut off"
        fields = sorted(log.fields() - other.fields() - set(SPEED) - set(PLACE))
        if fields:
            yield f"in {name} alone: {', '.join(fields)}"
    uneven = [step for step in steps if a.begins[step] != b.begins[step]]
    if uneven:
        yield f"means at {len(uneven)} steps, {uneven[0]} the first: they cover other steps in each log"
    others = (a.fields() & b.fields()) - set(metrics) - set(SPEED) - set(PLACE)
    if others:
        yield f"in both, not asked for, unknown or never over the same steps: {', '.join(sorted(others))}"
    seen = [(step, a.lines[step].get("samples"), b.lines[step].get("samples")) for step in steps]
    for step, ours, reference in seen:
        if ours is not None and reference is not None and ours != reference:
            yield f"samples seen: {ours:.0f} at step {step}, the reference {reference:.0f}; other batch sizes"
            break


def span(log: StepLines) -> str:
    """The steps of a log, in words."""
    return f"{len(log.lines)} steps from {min(log.lines)} to {max(log.lines)}"


def read_log(path: Path) -> StepLines:
    """Read and check a step log: a JSON object with finite numbers in each line, in the order of steps."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"{path}: expected a step log, cannot read it ({reason})") from None
    lines: dict[int, Line] = {}
    begins: dict[int, int] = {}
    before, rows = 0, text.removesuffix("\n").split("\n") if text else []
    whole = text.endswith("\n") or len(rows) < 2 or is_json(rows[-1])
    for number, row in enumerate(rows if whole else rows[:-1], 1):
        line = checked(row, f"{path}: line {number}", before)
        step = int(line["step"])
        lines[step], begins[step], before = line, before, step
    if not lines:
        raise UserError(f"{path}: expected a step log, got an empty file; an untrained model has no steps")
    return StepLines(str(path), lines, begins, not whole)


def checked(row: str, where: str, before: int) -> Line:
    """The numbers of a line; what is text, true, false or null in it is left out."""
    line = json.loads(row) if is_json(row) else None
    if not isinstance(line, dict):
        refuse(where, "a JSON object", row)
    numbers = {name: value for name, value in line.items() if type(value) in (int, float)}
    for name, value in numbers.items():
        if not math.isfinite(value):
            refuse(where, f"a finite number as {name}", str(value))
    if type(line.get("step")) is not int:
        refuse(where, "a step, counted from 1", row)
    if line["step"] <= before:
        refuse(where, f"a step after {before}", str(line["step"]))
    return numbers


def refuse(where: str, expected: str, got: str) -> NoReturn:
    """Say what a step log should have had there."""
    raise UserError(
        f"{where}: expected {expected}, got {got[:60]!r}; give a step log of `m3ae pretrain` (steps.jsonl)"
    )


def is_json(row: str) -> bool:
    """Whether a line can be read."""
    try:
        json.loads(row)
    except (ValueError, RecursionError):
        return False
    return True
