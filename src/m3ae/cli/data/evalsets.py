"""``m3ae data evalset``."""

import json

import click

from m3ae.cli.common import logged, run_option
from m3ae.config import load_run


@click.command()
@run_option
@click.option(
    "--dataset", required=True, help="Name in config/datasets.yaml, such as toy-scenes or cifar100."
)
@logged
def evalset(run_name: str, dataset: str) -> None:
    """Check an evaluation set's files against the registry, and list them."""
    from m3ae.data.evalsets.evalsets import check_evalset

    run = load_run(run_name)
    check_evalset(run, dataset)
    listing = json.loads(run.paths.evalset(dataset).read_text(encoding="utf-8"))
    counts = ", ".join(f"{entry['count']:,} images in {split}" for split, entry in listing["splits"].items())
    click.echo(f"{run.paths.evalset(dataset)}: {counts}")
