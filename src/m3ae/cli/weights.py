"""``m3ae weights``: show, convert and export weights of ours, of the authors and of Facebook's MAE."""

from pathlib import Path
from typing import Any

import click

from m3ae.cli.common import logged
from m3ae.errors import UserError

set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replace a setting of the file, or give one that it does not name, such as num_heads=12.",
)


@click.group()
def weights() -> None:
    """Show, convert and export weights.

    SRC and PATH are the authors' *.pkl, Facebook's MAE *.pth, an encoder.safetensors of the workflow, a
    folder of save_pretrained, or a Hugging Face hub id. Nothing in a file is executed.
    """


@weights.command()
@click.argument("src")
@click.argument("dst", type=click.Path(path_type=Path))
@set_option
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="tokenizer.json to put into the folder; that of the run, if not given.",
)
@logged
def convert(src: str, dst: Path, settings: tuple[str, ...], tokenizer: Path | None) -> None:
    """Write SRC as a Hugging Face folder with model card and processor, or as one .safetensors file."""
    from m3ae.pretrained import convert as converting

    converting.convert(src, dst, parse(settings), tokenizer)
    click.echo(f"{dst}: written; load it with m3ae.load_pretrained({str(dst)!r})")


@weights.command()
@click.argument("path")
@set_option
@logged
def show(path: str, settings: tuple[str, ...]) -> None:
    """Print sizes, parameters, SHA-256, and where the weights came from."""
    from m3ae.pretrained.describe import describe

    click.echo(describe(path, parse(settings)))


@weights.command()
@click.argument("src")
@click.argument("dst", type=click.Path(path_type=Path))
@click.option("--format", "layout", type=click.Choice(["timm"]), required=True, help="Library to write for.")
@set_option
@logged
def export(src: str, dst: Path, layout: str, settings: tuple[str, ...]) -> None:
    """Write SRC's image encoder for another library: a timm VisionTransformer with the same features.

    DST is a folder for timm.create_model("local-dir:DST"), or a .safetensors or .pth file of the state.
    """
    from m3ae.pretrained.load import read_source
    from m3ae.pretrained.timm_export import export_timm

    source = read_source(src, parse(settings))
    export_timm(source.core(src), dst, source.view)
    gelu = source.architecture.gelu
    click.echo(f"{dst}: written for {layout}, with the {gelu} form of GELU")


def parse(settings: tuple[str, ...]) -> dict[str, Any]:
    """`num_heads=12` as a dict, the value as YAML reads it."""
    import yaml

    parsed = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"--set: expected NAME=VALUE, got {text!r}")
        try:
            parsed[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"--set: {name}: expected a number, a word or a list, got {value!r}") from None
    return parsed
