"""``m3ae data``: from lists of URLs to clean shards, tokens and checked evaluation sets."""

import json

import click

from m3ae.cli.common import logged, run_option, split_option
from m3ae.config import load_run


@click.group()
def data() -> None:
    """Bring and build a run's data: source, download, clean, tokens; and evalset for evaluation sets."""


@data.command()
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


@data.command()
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


@data.command()
@run_option
@split_option
@logged
def clean(run_name: str, split: str) -> None:
    """Decode, check and normalise a split's samples; write clean shards and their manifest."""
    from m3ae.data.clean.clean import clean_split

    run = load_run(run_name)
    clean_split(run, split)
    manifest = json.loads(run.paths.manifest(split).read_text(encoding="utf-8"))
    rejected = sum(manifest["rejected"].values())
    click.echo(f"{run.paths.shards(split)}: {manifest['count']:,} samples kept, {rejected:,} rejected")


@data.command()
@run_option
@logged
def tokens(run_name: str) -> None:
    """Train or build the tokenizer, and cut the captions of both splits into word pieces."""
    from m3ae.data.tokens import make_tokens

    run = load_run(run_name)
    make_tokens(run)
    import pyarrow.parquet as pq

    counts = ", ".join(
        f"{pq.read_metadata(run.paths.tokens(split)).num_rows:,} samples of {split}"
        for split in ("train", "heldout")
    )
    click.echo(f"{run.paths.tokenizer.parent}: word pieces for {counts}")


@data.command()
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
