"""``m3ae budget``: what a run will cost. Imports no torch."""

from typing import TYPE_CHECKING

import click

from m3ae.cli.common import logged, run_option

if TYPE_CHECKING:
    from m3ae.config.run import Run
    from m3ae.train.budget import Cost

COLUMNS = ["samples (M)", "EFLOP", "GPU-hours", "checkpoints (GB)", "weights, features (GB)"]


@click.command()
@run_option
@click.option(
    "--mfu",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.25,
    show_default=True,
    help="Share of the peak rate that training reaches; one H100 reached 0.24 for B, 0.32 for L.",
)
@click.option(
    "--tflops",
    type=click.FloatRange(0, min_open=True),
    default=989.0,
    show_default=True,
    help="Peak rate of a GPU (TFLOP/s; an H100 SXM in bf16 without sparsity).",
)
@click.option(
    "--image-kb",
    type=click.FloatRange(0, min_open=True),
    default=50.0,
    show_default=True,
    help="Mean size of a clean image (kB); `m3ae data inspect` measures yours.",
)
@logged
def budget(run_name: str, mfu: float, tflops: float, image_kb: float) -> None:
    """Print what a run will cost: GPU-hours, disk and samples of every model and target.

    Arithmetic on the configuration, at a rate that you assume; `m3ae doctor` measures the machine's.
    """
    from m3ae.config import load_run
    from m3ae.train.budget import epoch_mismatch, shards_of

    run = load_run(run_name)
    for table in (models(run, mfu, tflops), targets(run, mfu, tflops)):
        click.echo(table)
        click.echo()
    shards = shards_of(run, image_kb * 1e3)
    known = f"as {run.paths.manifest('train')} says" if shards.is_counted else f"of {image_kb:g} kB"
    click.echo(
        f"GPU-hours assume {100 * mfu:g} % of {tflops:g} TFLOP/s "
        "(benchmarks/results/gpu_step.md: 24 % for B, 32 % for L).\n"
        f"Clean shards: {shards.bytes / 1e9:,.1f} GB ({shards.samples:,} samples {known}); "
        "the raw ones come on top."
    )
    if mismatch := epoch_mismatch(run):
        click.echo(f"warning: {mismatch}", err=True)


def models(run: "Run", mfu: float, tflops: float) -> str:
    """A line for each row of the grid."""
    from m3ae.train.budget import cost_of, sample_flops

    rows = [
        [
            name,
            "yes" if name in run.models else "",
            shown(sample_flops(run, name) / 1e12),
            *cells(cost_of(run, name), mfu, tflops),
        ]
        for name in run.settings.models
    ]
    return table(["model", "in `all`", "TFLOP per sample", *COLUMNS], rows)


def targets(run: "Run", mfu: float, tflops: float) -> str:
    """A line for each target of the workflow."""
    from m3ae.train.budget import cost_of, models_of_targets, together

    rows = []
    for target, names in models_of_targets(run).items():
        cost = together(cost_of(run, name) for name in names)
        rows.append([target, str(cost.models), *cells(cost, mfu, tflops)])
    return table(["target", "models", *COLUMNS], rows)


def cells(cost: "Cost", mfu: float, tflops: float) -> list[str]:
    """The numbers under ``COLUMNS``."""
    return [
        shown(cost.samples / 1e6),
        shown(cost.flops / 1e18),
        shown(cost.gpu_hours(mfu, tflops)),
        shown(cost.checkpoint_bytes / 1e9),
        shown(cost.result_bytes / 1e9),
    ]


def shown(value: float) -> str:
    """Three digits that count, and whole numbers from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}" if value else "0"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Markdown, numbers to the right."""
    from tabulate import tabulate

    align = ["left", "left"] + ["right"] * (len(columns) - 2)
    return tabulate(rows, columns, tablefmt="pipe", disable_numparse=True, colalign=align)
