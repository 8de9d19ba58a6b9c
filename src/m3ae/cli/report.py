"""``m3ae figure`` and ``m3ae report``: what people look at, from records alone."""

import click

from m3ae.cli.common import logged, run_option

NAMES = ["figure2", "figure3", "figure4", "figure5", "figure6", "curves"]
NAMES += ["probes", "augmented", "detection", "shift", "robustness", "captions"]


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@run_option
@logged
def figure(name: str, run_name: str) -> None:
    """Write reports/RUN/NAME: CSV, Markdown, SVG and PNG (figure2: PNG and JSON)."""
    from m3ae.config import load_run

    run = load_run(run_name)
    if name == "figure2":  # needs the models themselves
        from m3ae.evaluate.reconstructions import draw_reconstructions

        draw_reconstructions(run)
    else:
        from m3ae.report.figures import make_figure

        make_figure(run, name)
    click.echo(f"{name}: {run.paths.reports / name}.*")


@click.command()
@run_option
@click.option("--code", is_flag=True, help="Show the code of the notebook's cells in the pages, too.")
@logged
def report(run_name: str, code: bool) -> None:
    """Render the pages reports/RUN/*.html, report.ipynb and summary.json."""
    from m3ae.config import load_run
    from m3ae.report.render import render_report

    run = load_run(run_name)
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
