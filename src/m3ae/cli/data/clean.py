"""``m3ae data clean`` and ``m3ae data verify``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from m3ae.cli.common import logged, run_option
from m3ae.config import load_run
from m3ae.errors import UserError

if TYPE_CHECKING:
    from m3ae.data.clean.verify import Broken
    from m3ae.data.manifest import Manifest


@click.command()
@run_option
@click.option(
    "--split",
    type=click.Choice(["train", "heldout", "images"]),
    required=True,
    help="Pre-training or held-out pairs, or images without captions.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Decoders at a time.",
)
@logged
def clean(run_name: str, split: str, processes: int) -> None:
    """Decode, check and normalise a split's samples; write clean shards and their manifest.

    Goes on behind the last finished shard of an interrupted call.
    """
    from m3ae.data.clean.clean import clean_split

    run = load_run(run_name)
    clean_split(run, split, processes=processes)
    manifest = json.loads(run.paths.manifest(split).read_text(encoding="utf-8"))
    rejected = sum(manifest["rejected"].values())
    click.echo(f"{run.paths.shards(split)}: {manifest['count']:,} samples kept, {rejected:,} rejected")


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "--repair",
    "wants_repair",
    is_flag=True,
    help="Rebuild what is broken, and that alone, from the raw samples.",
)
@logged
def verify(manifest: Path, wants_repair: bool) -> None:
    """Recompute every checksum of the clean shards beside MANIFEST, and name each one that is broken."""
    from m3ae.data.clean.verify import find_broken, repair_hint
    from m3ae.data.manifest import MANIFEST, read_manifest

    path = manifest / MANIFEST if manifest.is_dir() else manifest
    folder, expected = path.parent, read_manifest(path)
    broken = find_broken(folder, expected)
    for item in broken:
        click.echo(item)
    if broken and not wants_repair:
        raise UserError(f"{len(broken)} of the files beside {path} are broken; {repair_hint(folder)}")
    if broken:
        rebuild(folder, expected, broken)
    shards = f"{len(expected.shards)} shards, {expected.count:,} samples"
    click.echo(f"{folder}: {shards}: every checksum is right{' again' if broken else ''}")


def rebuild(folder: Path, expected: "Manifest", broken: "list[Broken]") -> None:
    """Rebuild what can be; say which files cannot, a line each."""
    from m3ae.data.clean.repair import repair

    failures = repair(folder, expected, broken)
    for line in failures:
        click.echo(line)
    if failures:
        raise UserError(
            f"{len(failures)} of {len(broken)} broken files could not be rebuilt, and stay as they were"
        )
