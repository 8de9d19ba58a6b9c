"""``m3ae data sets / get / evalset``."""

import json
import os
import sys
from pathlib import Path

import click

from m3ae.cli.common import logged
from m3ae.config import load_run
from m3ae.config.datasets import load_dataset
from m3ae.config.paths import DATA_ROOT
from m3ae.errors import UserError


@click.command()
@click.option("--run", "run_name", help="Run whose splits are checked and listed: tiny, photos, paper.")
@click.option(
    "--dataset",
    "datasets",
    required=True,
    multiple=True,
    help="Name in config/datasets.yaml, such as toy-scenes or cifar100; may be given several times.",
)
@click.option("--split", help="Check this split alone, without a run; nothing is written.")
@click.option("--full", is_flag=True, help="Hash every byte of image files too, not names and sizes alone.")
@logged
def evalset(run_name: str | None, datasets: tuple[str, ...], split: str | None, full: bool) -> None:
    """Check an evaluation set's files against the registry, and list them."""
    for dataset in datasets:
        if split is not None:
            check_one(run_name, dataset, split, full)
        elif run_name is None:
            raise UserError("expected --run RUN (to check what a run uses) or --split SPLIT, got neither")
        else:
            check_for_run(run_name, dataset, full)


def check_for_run(run_name: str, dataset: str, full: bool) -> None:
    """Check the splits that a run uses and write the listing."""
    from m3ae.data.evalsets.evalsets import check_evalset

    run = load_run(run_name)
    check_evalset(run, dataset, full)
    listing = json.loads(run.paths.evalset(dataset).read_text(encoding="utf-8"))
    counts = ", ".join(f"{entry['count']:,} images in {split}" for split, entry in listing["splits"].items())
    click.echo(f"{run.paths.evalset(dataset)}: {counts}")


def check_one(run_name: str | None, dataset: str, split: str, full: bool) -> None:
    """Check one split and print what it is."""
    from m3ae.data.evalsets.evalsets import list_split

    listed = list_split(run_name, load_dataset(dataset), split, full)
    click.echo(f"{dataset}, {split}: {listed.count:,} images, as the registry says")
    if listed.folder is None:
        for file in listed.files:
            click.echo(f"  {file.name}: sha256 {file.sha256}")
    else:
        click.echo(f"  names and sizes: sha256 {listed.folder.names_and_sizes_sha256}")
        click.echo(f"  contents: {listed.folder.contents_sha256 or 'not read (--full reads them)'}")


@click.command()
@logged
def sets() -> None:
    """Show the registry: images, classes and licence of every set, whether it is here, who uses it."""
    from tabulate import tabulate

    from m3ae.data.evalsets.overview import COLUMNS, overview

    click.echo(tabulate(overview(), COLUMNS, tablefmt="simple", maxcolwidths=[None] * 5 + [40]))


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="I have read the terms that are printed, and agree to them.")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="Data root to bring it to [default: $M3AE_DATA_ROOT or data/originals].",
)
@logged
def get(name: str, yes: bool, to: Path | None) -> None:
    """Download an evaluation set: prints its licence and asks first. Goes on where it was interrupted."""
    if to is not None:
        os.environ[DATA_ROOT] = str(to)
    from m3ae.data.evalsets.get import counts_if_here, make_offer, take

    dataset = load_dataset(name)
    counts = None if dataset.made_here else counts_if_here(dataset)
    if counts is not None:
        click.echo(f"{dataset.title} ({dataset.licence}) is here already")
    else:
        offer = make_offer(name, dataset)
        click.echo("\n".join(offer.lines()))
        agree(name, yes)
        counts = take(offer)
    click.echo(f"{name}: " + ", ".join(f"{count:,} images in {split}" for split, count in counts.items()))
    if to is not None:
        click.echo(f"Tell the workflow: export {DATA_ROOT}={to}")


def agree(name: str, yes: bool) -> None:
    """Ask for consent to the terms. Raises UserError without it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(
            f"data set {name!r}: expected your consent to the terms above, and there is no terminal to ask; "
            "add --yes"
        )
    if not click.confirm("Download it under these terms?"):
        raise UserError(f"data set {name!r}: not downloaded, as you said")
