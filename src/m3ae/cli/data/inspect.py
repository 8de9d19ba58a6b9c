"""``m3ae data inspect``."""

from pathlib import Path

import click

from m3ae.cli.common import logged
from m3ae.config import load_run


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--run", "run_name", help="Compare mean and std of the pixels with this run's constants.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=5000,
    show_default=True,
    help="Images and captions to read, drawn at random; all, if there are no more.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws another sample.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for pictures and numbers [data/RUN/inspect/SPLIT]."
)
@click.option("--json", "as_json", is_flag=True, help="Print inspect.json instead of tables.")
@logged
def inspect(
    manifest: Path, run_name: str | None, samples: int, seed: int, out: Path | None, as_json: bool
) -> None:
    """Look at clean shards: MANIFEST is their manifest.json, or its folder.

    Prints counts, yield, rejections, sizes, caption lengths, and mean and std of the pixels. Writes a
    contact sheet, a chart and inspect.json to a folder that git ignores: they hold photographs and captions.
    """
    from m3ae.data.inspect.inspection import default_out, inspect_split
    from m3ae.data.inspect.text import render

    out = out or default_out(manifest)
    found = inspect_split(manifest, load_run(run_name) if run_name else None, samples, seed, out)
    if as_json:
        click.echo(found.model_dump_json(by_alias=True, indent=1))
    else:
        written = ", ".join(sorted(path.name for path in out.iterdir() if path.name[0] != "."))
        click.echo(f"{render(found)}\n\n{out}: {written}")
