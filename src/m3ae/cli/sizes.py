"""``m3ae sizes``: parameters and FLOPs of every size of a run. Imports no torch."""

import math
from typing import TYPE_CHECKING

import click

from m3ae.cli.common import logged, run_option

if TYPE_CHECKING:
    from m3ae.config import Run
    from m3ae.model.architecture import Architecture

COLUMNS = [
    "model",
    "width x depth x heads",
    "parameters (M)",
    "of which encoder (M)",
    "TFLOP per sample, authors",
    "TFLOP per sample, ours",
    "decoder's blocks",
    "decoder's blocks, projection, heads",
]


@click.command()
@run_option
@logged
def sizes(run_name: str) -> None:
    """Print parameters and cost of every size of a run, as M3AE and as MAE.

    FLOPs are those of one training sample, forward and backward. The authors' code applies its heads to
    every token, ours to hidden ones alone. The shares are of the authors' FLOPs.
    """
    from tabulate import tabulate

    from m3ae.config import load_run

    run = load_run(run_name)
    rows = [
        cells(f"{method} {size.upper()}", architecture_of(run, size, reads_text))
        for method, reads_text in (("M3AE", True), ("MAE", False))
        for size in run.settings.architecture.sizes
    ]
    align = ["left"] * 2 + ["right"] * (len(COLUMNS) - 2)
    click.echo(tabulate(rows, COLUMNS, tablefmt="pipe", disable_numparse=True, colalign=align))


def architecture_of(run: "Run", size: str, reads_text: bool) -> "Architecture":
    """A size of the run with its recipe, from the configuration alone: no vocabulary need exist yet."""
    from m3ae.model.architecture import Architecture

    settings = run.settings
    shared, recipe = settings.architecture, settings.pretrain
    encoder, decoder = shared.sizes[size], shared.decoder
    return Architecture(
        width=encoder.width,
        depth=encoder.depth,
        num_heads=encoder.heads,
        decoder_width=decoder.width,
        decoder_depth=decoder.depth,
        decoder_num_heads=decoder.heads,
        mlp_ratio=shared.mlp_ratio,
        image_px=settings.data.image.size_px,
        patch_px=shared.patch_px,
        vocab_size=settings.data.tokens.vocab_size if reads_text else 0,
        max_tokens=settings.data.tokens.max_tokens,
        type_embedding=shared.type_embedding and reads_text,
        image_mask_ratio=recipe.image_mask_ratio,
        text_mask_ratio=recipe.text_mask_ratio,
    )


def cells(model: str, a: "Architecture") -> list[str]:
    """A row of the table."""
    from m3ae.model.cost import num_encoder_parameters, num_parameters, training_flops

    authors, ours = training_flops(a, heads_on_all=True), training_flops(a, heads_on_all=False)
    return [
        model,
        f"{a.width} x {a.depth} x {a.num_heads}",
        shown(num_parameters(a) / 1e6),
        shown(num_encoder_parameters(a) / 1e6),
        shown(authors.training / 1e12),
        shown(ours.training / 1e12),
        f"{authors.decoder_share:.0%}".replace("%", " %"),
        f"{authors.decoding_share:.0%}".replace("%", " %"),
    ]


def shown(value: float) -> str:
    """Three digits that count, and at least one behind the point: small runs must not become 0.000."""
    return f"{value:.{max(1, 2 - math.floor(math.log10(value)))}f}"
