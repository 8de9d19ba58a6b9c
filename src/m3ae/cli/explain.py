"""``m3ae explain``: where a number comes from. Imports no torch and no pandas."""

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from m3ae.cli.common import logged
from m3ae.errors import UserError

if TYPE_CHECKING:
    from m3ae.config import Run

INDENT, WIDTH = 12, 110
GLUE = "\N{NO-BREAK SPACE}"
SHORT_UNITS = ("%", "points")
"""Those that stand behind the number; what takes a phrase stands at the end of the line."""


@click.command()
@click.argument("cell", required=False)
@click.option(
    "--run", "run_name", default="tiny", show_default=True, help="Run of config/: tiny, photos, paper."
)
@click.option("--list", "listed", is_flag=True, help="List all cells, or those that begin with CELL.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, resolved settings included.")
@logged
def explain(cell: str | None, run_name: str, listed: bool, as_json: bool) -> None:
    """Tell where a number comes from: value, interval, record, code, data, machine, and how to make it again.

    CELL names a table and a row of it, such as

    \b
      figure3.m3ae-b100                        a model's accuracy in Figure 3
      figure4.size.m3ae-l50                    where a figure has several panels
      figure6.m3ae-b100.mahalanobis            where it has several scores
      figure9.m3ae-b100.silhouette             ours, of a figure that prints no number
      figure3.m3ae-b100.cifar10                on another task of the run
      probes.m3ae-b100.cifar100.knn            what the paper does not print
      orderings.figure3.m3ae-b100.over.mae-b100    a paired difference

    `--list` prints all of them.
    """
    from m3ae.config import load_run
    from m3ae.report.cells import find_cell
    from m3ae.report.explain import explain as found

    run = load_run(run_name)
    if listed:
        list_cells(run, cell or "", as_json)
    elif cell is None:
        raise UserError(f"expected the name of a cell; all of them: m3ae explain --list --run {run_name}")
    else:
        facts = found(run, find_cell(run, cell))
        click.echo(json.dumps(facts, indent=1) if as_json else "\n".join(in_words(facts)))


def list_cells(run: "Run", start: str, as_json: bool) -> None:
    """The names, one a line; those of records that are not there say so."""
    from m3ae.report.cells import all_cells

    cells = [cell for cell in all_cells(run) if cell.name.startswith(start)]
    if not cells:
        raise UserError(f"{start}: no cell of run {run.name!r} begins so; all of them: m3ae explain --list")
    if as_json:
        click.echo(json.dumps([cell.name for cell in cells], indent=1))
        return
    for cell in cells:
        click.echo(cell.name if cell.metric else f"{cell.name}  (no record: its cells are not known yet)")


def in_words(facts: dict[str, Any]) -> Iterator[str]:
    """One fact a line."""
    yield f"{facts['cell']}: {facts['title']}, {facts['measured']}, run {facts['run']}"
    yield line("ours", ours(facts))
    yield line("paper", ", ".join(f"{value:g} ({version})" for version, value in facts["paper"].items()))
    yield line("verdict", facts["verdict"])
    yield line("config", " < ".join(facts["config"]))
    for record in facts["records"]:
        yield ""
        yield from of_record(record)
    for record in facts["made_from"]:
        yield ""
        yield from of_record(record)
    yield ""
    yield from (line("make again", command) for command in facts["commands"])
    for row in facts["absent"]:
        yield line(
            "make again",
            f"run {facts['run']} has no row {row}: give it a line of `models` in {facts['config'][0]}, and "
            "let `rows` be null or name it",
        )


def line(name: str, text: str) -> str:
    """`name        text`, or "-"."""
    return f"{name:<{INDENT}}{text or '-'}"


def wrapped(name: str, parts: list[str]) -> str:
    """Several short facts below each other's first letter."""
    whole = "; ".join(part.replace(" ", GLUE) for part in parts)  # a fact is not broken
    text = textwrap.fill(
        whole or "-",
        WIDTH,
        initial_indent=f"{name:<{INDENT}}",
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text.replace(GLUE, " ")


def ours(facts: dict[str, Any]) -> str:
    """`24.25 [22.40, 26.15]` and what stands behind it."""
    found = facts["ours"]
    if found is None:
        return "nothing was run"
    share = f"{100 * facts['confidence']:g} % interval"
    records = facts["records"]
    numbers = ", ".join(dict.fromkeys(f"n = {record['n']}" for record in records))
    unit = records[0]["unit"] if facts["cell"].partition(".")[0] != "orderings" else "points"
    short, long = (f" {unit}", "") if unit in SHORT_UNITS else ("", f"; {unit}")
    return f"{found['value']:g}{short} [{found['low']:g}, {found['high']:g}] ({share}), {numbers}{long}"


def of_record(record: dict[str, Any]) -> Iterator[str]:
    """A record: value, hash, who made it, when, on what, from what, with which settings."""
    from m3ae.report.provenance import commit, machine

    made = record["provenance"]
    yield line("record", record["record"])
    if "value" in record:
        yield line("  value", f"{record['value']:g} [{record['low']:g}, {record['high']:g}]")
    yield line("  sha256", record["sha256"])
    if said := seeds(record):
        yield line("  seed", said)
    yield line("  made", f"{made.get('finished', '-')} in {made.get('wall_s', 0):g} s, commit {commit(made)}")
    yield line("  machine", machine(made))
    versions = [f"{name} {found or 'not installed'}" for name, found in made.get("versions", {}).items()]
    yield wrapped("  versions", versions)
    for name, digest in record["inputs"].items():
        yield line("  input", f"{digest}  {name}")
    yield wrapped("  settings", settings(record["settings"]))


def seeds(record: dict[str, Any]) -> str:
    """`42, of the model 43`: the stage's own, and that of the training before it."""
    said = [" ".join(map(str, record["seeds"]))] if record["seeds"] else []
    return ", ".join(
        [*said, *([f"of the model {seed}"] if (seed := record["model_seed"]) is not None else [])]
    )


def settings(found: dict[str, Any]) -> list[str]:
    """The resolved settings of a stage: `key = value`, dotted keys."""
    from m3ae.report.differences import leaves, shown

    return [f"{key} = {shown(value)}" for key, value in leaves(found)]
