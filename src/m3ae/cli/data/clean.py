"""``m3ae data clean``."""

import json

import click

from m3ae.cli.common import logged, run_option, split_option
from m3ae.config import load_run


@click.command()
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
