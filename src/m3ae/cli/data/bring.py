"""``m3ae data source / download``."""

import json

import click

from m3ae.cli.common import logged, run_option, split_option
from m3ae.config import load_run


@click.command()
@run_option
@logged
def source(run_name: str) -> None:
    """Make the lists train.tsv and heldout.tsv (`url<TAB>caption`); for `tiny`, the images too."""
    from m3ae.data.source.lists import count_rows
    from m3ae.data.source.sources import make_source

    run = load_run(run_name)
    make_source(run)
    counts = ", ".join(
        f"{count_rows(run.paths.list(split)):,} rows for {split}" for split in ("train", "heldout")
    )
    click.echo(f"{run.paths.source}: {counts}")


@click.command()
@run_option
@split_option
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Shards at a time."
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=16, show_default=True, help="Connections per shard."
)
@logged
def download(run_name: str, split: str, processes: int, threads: int) -> None:
    """Download a split's images with img2dataset. Goes on where an interrupted call stopped."""
    from m3ae.data.download.download import download_split

    run = load_run(run_name)
    download_split(run, split, processes, threads)
    report = json.loads(run.paths.download(split).read_text(encoding="utf-8"))
    click.echo(f"{run.paths.raw(split)}: {report['downloaded']:,} of {report['urls']:,} images downloaded")
