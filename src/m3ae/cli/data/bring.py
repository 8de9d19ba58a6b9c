"""``m3ae data source / download``."""

import json

import click

from m3ae.cli.common import logged, run_option, split_option
from m3ae.config import Run, load_run
from m3ae.config.sources import is_web_list, splits_of


@click.command()
@run_option
@click.option(
    "--only",
    type=click.Choice(["pairs", "images"]),
    help="Lists of pairs alone, or of the images without captions. [default: both, where a run has both]",
)
@logged
def source(run_name: str, only: str | None) -> None:
    """List what a run is made from: train.tsv, heldout.tsv and images.tsv. For `tiny`, make the images too.

    Lines are `url<TAB>caption` for lists from the web, and `file<TAB>bytes` for crawls, folders and HDF5.
    """
    from m3ae.data.source.sources import make_files, make_source
    from m3ae.data.source.summary import summary

    run = load_run(run_name)
    splits = [split for split in splits_of(run) if only is None or (split == "images") == (only == "images")]
    if only != "images":
        make_source(run)
    if only == "images" or "images" in splits:
        make_files(run, "images")
    for split in splits:
        click.echo(summary(run, split))


def bring_files(run: Run, split: str) -> None:
    """Bring the files of a split, and say what is there."""
    from m3ae.data.raw.bring import bring

    report = bring(run, split)
    images = "" if report.images is None else f", {report.images:,} images"
    files = f"{report.files:,} file{'s' * (report.files != 1)}"
    click.echo(f"{run.paths.download(split)}: {report.kind}: {files}, {report.bytes / 1e9:,.2f} GB{images}")


@click.command()
@run_option
@split_option
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Shards at a time."
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=16, show_default=True, help="Connections per shard."
)
@click.option(
    "--distributor",
    default="multiprocessing",
    show_default=True,
    help="Where the shards are made: multiprocessing (this machine), ray or pyspark (a cluster).",
)
@logged
def download(run_name: str, split: str, processes: int, threads: int, distributor: str) -> None:
    """Bring a split's images. Goes on where an interrupted call stopped.

    img2dataset downloads those of a list of URLs; the files of a crawl, a folder or HDF5 are brought here
    if they lie elsewhere, and checked.
    """
    from m3ae.data.download.download import download_split
    from m3ae.data.download.report import HOSTS, yield_tables

    run = load_run(run_name)
    if not is_web_list(run, split):
        bring_files(run, split)
        return
    download_split(run, split, processes, threads, distributor)
    path = run.paths.download(split)
    report = json.loads(path.read_text(encoding="utf-8"))
    click.echo(yield_tables(report, path.with_name(path.stem + HOSTS)) + "\n")
    click.echo(f"{run.paths.raw(split)}: {report['downloaded']:,} of {report['urls']:,} images downloaded")
