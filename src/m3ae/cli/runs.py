"""``m3ae runs``: what was run, when, on what. Imports no torch and no pandas."""

import json
from typing import Any

import click

from m3ae.cli.common import logged

SHORT, MOST = 7, 2
"""Digits of a commit in the table, and how many of them."""


@click.command()
@click.option("--run", "run_name", help="This run alone (default: every folder of results/).")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@logged
def runs(run_name: str | None, as_json: bool) -> None:
    """Tell what was run, when, and on what: a line for each run and model that has records.

    Stages are those that left a record (x2: two records); the time is the sum over them; a commit with a `+`
    had changes that were not committed. Records that were edited or are broken are named on stderr.
    """
    from m3ae.report.runs import runs as found

    rows, refused = found(run_name)
    if rows or as_json:
        click.echo(json.dumps(rows, indent=1) if as_json else table(rows))
    for reason in refused:
        click.echo(f"m3ae: left out: {reason}", err=True)


def table(rows: list[dict[str, Any]]) -> str:
    """One line per run and model."""
    from tabulate import tabulate

    cells = [
        {
            "run": row["run"],
            "model": row["model"],
            "stages": ", ".join(f"{name} x{num}" if num > 1 else name for name, num in row["stages"].items()),
            "finished (UTC)": row["finished"][:16].replace("T", " ") or "-",
            "time": duration(row["wall_s"]),
            "machine": "; ".join(row["machines"]).replace("(R)", ""),
            "commit": short(row["commits"]),
        }
        for row in rows
    ]
    return tabulate(cells, headers="keys", disable_numparse=True)


def short(commits: list[str]) -> str:
    """`dca7323+, b949f62, ...`: the + stands for changes beside it."""
    marks = [commit[:SHORT] + ("+" if commit.endswith("changes") else "") for commit in commits]
    different = list(dict.fromkeys(marks))
    return ", ".join(different[:MOST] + (["..."] if different[MOST:] else []))


def duration(seconds: float) -> str:
    """`1 h 12 min`, `3 min`, `42 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
