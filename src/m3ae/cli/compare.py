"""``m3ae compare-log``: at which step, and by how much, a run left the reference. Imports no torch."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from m3ae.cli.common import fail, logged
from m3ae.errors import UserError

if TYPE_CHECKING:
    from m3ae.train.compare import Comparison, Finding

COLUMNS = ("metric", "left at step", "by", "ours", "reference", "largest", "at step", "last")
BAD_INPUT = 2  # as for click's usage errors: 1 says that a metric left the reference


@click.command("compare-log")
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("reference", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1e-3,
    show_default=True,
    help="Largest relative difference that counts as the same.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Compare this one alone; may be given several times (default: losses, grad_norm, param_norm, lr).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the finding as JSON.")
@logged
def compare_log(
    ours: Path, reference: Path, tolerance: float, metrics: tuple[str, ...], as_json: bool
) -> None:
    """Tell at which step, and by how much, the step log OURS left the step log REFERENCE.

    Lines are matched by their step. A difference is relative to the larger of the two values. Means (losses,
    grad_norm) are compared where both lines cover the same steps. Speed, memory and energy belong to the
    machine: the ratio of their medians is shown and judged by nobody.

    \b
    Exit code: 0  no metric left the reference
               1  one did
               2  something is wrong with the files or the options

    Logs of a run are results/RUN/MODEL/steps.jsonl, and runs/RUN/MODEL/*/steps.jsonl while it trains; those
    of our runs are reports/RUN/logs/MODEL.jsonl.
    """
    from m3ae.train.compare import compare_logs

    try:
        found = compare_logs(ours, reference, tolerance, metrics)
    except UserError as error:
        fail(str(error), BAD_INPUT)
    click.echo(json.dumps(found.plain(), indent=1) if as_json else in_words(found))
    raise SystemExit(1 if found.has_left else 0)


def in_words(found: "Comparison") -> str:
    """Table, speed, what was left out, and the verdict last."""
    from tabulate import tabulate

    rows = [cells(name, finding) for name, finding in found.metrics.items()]
    steps = found.steps
    said = [
        f"{len(steps)} steps in both, {steps[0]} to {steps[-1]}; tolerance {found.tolerance:g}",
        "",
        tabulate(rows, COLUMNS, disable_numparse=True),
        "",
    ]
    if found.speed:
        ratios = ", ".join(f"{name} {ratio:.3g}" for name, ratio in found.speed.items())
        said.append(f"ours / reference, medians: {ratios}")
    said += [f"not compared: {what}" for what in found.not_compared]
    return "\n".join([*said, verdict(found)])


def cells(name: str, finding: "Finding") -> list[str]:
    """A metric's row; a dash where it never left."""
    left, largest = finding.left, finding.largest
    first = (
        ["-"] * 4
        if left is None
        else [str(left.step), f"{left.relative:.2e}", f"{left.ours:.6g}", f"{left.reference:.6g}"]
    )
    return [name, *first, f"{largest.relative:.2e}", str(largest.step), f"{finding.last.relative:.2e}"]


def verdict(found: "Comparison") -> str:
    """Who left first, or nobody."""
    lefts = {name: finding.left for name, finding in found.metrics.items() if finding.left}
    if not lefts:
        return f"No metric left the reference ({', '.join(found.metrics)})."
    name, first = min(lefts.items(), key=lambda item: item[1].step)
    return f"Left the reference at step {first.step}: {name} by {first.relative:.2e}."
