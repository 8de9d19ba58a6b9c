"""``m3ae check``: ours against the paper and the committed reference. Imports no torch and no pandas."""

from pathlib import Path

import click

from m3ae.cli.common import logged, run_option


@click.command()
@run_option
@click.option("--all", "whole", is_flag=True, help="Show every number, not figures and failures alone.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Also write what is printed to FILE, if all is well."
)
@click.option("--write-reference", is_flag=True, help="Make the records that are there the reference.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help="With --write-reference: the same tolerance for every cell (default: half of its interval).",
)
@logged
def check(
    run_name: str, whole: bool, report: Path | None, write_reference: bool, tolerance: float | None
) -> None:
    """Hold a run's numbers to the paper and to its reference.

    A run that measures what the paper measured (`check.comparable`) must give the printed numbers within
    `check.tolerance_points`. A run with a file tests/reference/RUN.json must give its values within their
    tolerances: a change of the code that moves a number is seen. Orderings are listed.

    \b
    Exit code: 0  every number that was run is as it should be
               1  one is not, or there is nothing to hold the run to
    """
    from m3ae.config import load_run
    from m3ae.errors import UserError
    from m3ae.files import write_text
    from m3ae.report import check as found
    from m3ae.report import checked, references

    run = load_run(run_name)
    if write_reference:
        num = references.write_reference(run, tolerance)
        click.echo(f"{references.reference_path(run)}: {num} cells")
        return
    if tolerance is not None:
        raise UserError("--tolerance: expected with --write-reference; the reference holds the tolerances")
    lines = found.check(run)
    text = checked.in_words(run, lines, whole=whole)
    click.echo(text, nl=False)
    if checked.failures(lines):
        raise SystemExit(1)
    if report is not None:
        write_text(report, text)
