"""``m3ae figure`` and ``m3ae report``: what people look at, from records alone."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from m3ae.cli.common import logged, run_option

if TYPE_CHECKING:
    from m3ae.config import Run

NAMES = [f"figure{number}" for number in range(2, 10)] + ["curves", "compute"]
NAMES += ["probes", "augmented", "detection", "shift", "robustness", "captions"]
LOOKS = {"figure7", "figure8"}


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=click.Choice(NAMES))
@run_option
@logged
def figure(names: tuple[str, ...], run_name: str) -> None:
    """Write reports/RUN/NAME: CSV, Markdown, SVG and PNG (figures of pictures have JSON and no SVG).

    Figures 3 to 6 and 9 are made from records alone; 2, 7 and 8 need the first M3AE and held-out pairs.
    """
    from m3ae.artifacts.receipts import receipt
    from m3ae.config import load_run

    run = load_run(run_name)
    with ExitStack() as receipts:
        for name in names:
            receipts.enter_context(receipt(run, name))
        draw(run, names)
    for name in names:
        click.echo(f"{name}: {run.paths.reports / name}.*")


def draw(run: "Run", names: Iterable[str]) -> None:
    """Make targets of ``figure``."""
    if LOOKS & set(names):
        draw_looks(run, names)
    for name in (name for name in names if name not in LOOKS):
        if name == "figure2":  # needs the models themselves
            from m3ae.evaluate.reconstructions import rebuilt_pairs
            from m3ae.report.figure2 import make_figure2

            make_figure2(run, rebuilt_pairs(run))
        else:
            from m3ae.report.figures import make_figure

            make_figure(run, name)


def draw_looks(run: "Run", names: Iterable[str]) -> None:
    """Figures 7 and 8, of the same pairs: the model looks at them once."""
    from m3ae.evaluate.attention.choose import shown_pairs
    from m3ae.report.figure7 import make_figure7
    from m3ae.report.figure8 import make_figure8

    pairs = shown_pairs(run)
    if "figure7" in names:
        make_figure7(run, pairs)
    if "figure8" in names:
        make_figure8(run, pairs)


@click.command()
@run_option
@click.option("--code", is_flag=True, help="Show the code of the notebook's cells in the pages, too.")
@logged
def report(run_name: str, code: bool) -> None:
    """Render the pages reports/RUN/*.html, report.ipynb and summary.json."""
    from m3ae.artifacts.receipts import receipt
    from m3ae.config import load_run
    from m3ae.report.render import render_report

    run = load_run(run_name)
    with receipt(run, "report"):
        render_report(run, code=code)
    click.echo(f"report: {run.paths.reports / 'index.html'}")


@click.command()
@run_option
@logged
def report_pdf(run_name: str) -> None:
    """Print the rendered report to reports/RUN/report.pdf, with the Chromium of this machine."""
    from m3ae.config import load_run
    from m3ae.report.pdf import print_report

    click.echo(f"report: {print_report(load_run(run_name))}")
