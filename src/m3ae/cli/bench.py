"""``m3ae bench``: how fast a run's parts are on this machine."""

import os
from pathlib import Path

import click

from m3ae.cli.common import logged, run_option

LARGEST_STEP = 128  # samples: `paper`'s 4,096 would be nearly a gigabyte


@click.group()
def bench() -> None:
    """How fast a run's parts are on this machine, and what binds."""


@bench.command()
@run_option
@click.option("--model", help="Model of the run's grid (default: the first that reads words).")
@click.option(
    "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes, as in pretrain."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10,
    show_default=True,
    help="How long each of the measurements takes.",
)
@click.option(
    "--shards",
    type=click.Path(path_type=Path),
    help="A copy of the run's shards elsewhere, to compare disks.",
)
@logged
def loader(run_name: str, model: str | None, workers: int, seconds: float, shards: Path | None) -> None:
    """Time the training stream on the run's own shards: samples/s per core, and what binds.

    First in one process without the tars' pages in memory (where the system can drop them), then again with
    them, part by part; then as training reads, with --workers processes.
    """
    import torch

    from m3ae.config import load_run
    from m3ae.data.stream import bench as measure
    from m3ae.data.stream.stream import Stream

    run = load_run(run_name)
    name = model or next(iter(run.models_of("m3ae")), run.models[0])
    stream = Stream(run, name) if shards is None else measure.StreamFrom(run, name, shards)
    torch.set_num_threads(1)
    size = min(run.settings.batch_size, LARGEST_STEP)
    cold, warm, dropped = measure.measure_loader(stream, size, seconds)
    click.echo(f"{name} of {run_name}, crops of {run.settings.data.image.size_px} px, steps of {size}:")
    click.echo("\n".join(measure.table(warm)))
    click.echo(f"{warm.samples_per_s:,.0f} samples/s per core")
    click.echo(measure.reading(cold, warm, dropped))
    rate = measure.samples_per_s(stream, size, workers, seconds)
    click.echo(f"{rate:,.0f} samples/s as training reads, with --workers {workers} on {os.cpu_count()} cores")
    click.echo(measure.ADVICE[cold.binding if dropped else warm.binding])
