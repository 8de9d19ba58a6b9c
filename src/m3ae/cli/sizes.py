"""``m3ae sizes``: parameters and FLOPs of every size of a run. Imports no torch."""

import math
from typing import TYPE_CHECKING

import click

from m3ae.cli.common import logged, run_option

if TYPE_CHECKING:
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
    from m3ae.train.architecture import architecture_of_size

    settings = load_run(run_name).settings
    rows = [
        cells(f"{method} {size.upper()}", architecture_of_size(settings, size, vocab_size))
        for method, vocab_size in (("M3AE", settings.data.tokens.vocab_size), ("MAE", 0))
        for size in settings.architecture.sizes
    ]
    align = ["left"] * 2 + ["right"] * (len(COLUMNS) - 2)
    click.echo(tabulate(rows, COLUMNS, tablefmt="pipe", disable_numparse=True, colalign=align))


def cells(model: str, a: "Architecture") -> list[str]:
    """A row of the table."""
    from m3ae.model.cost import authors_flops, num_encoder_parameters, num_parameters, training_flops

    authors, ours = authors_flops(a), training_flops(a)
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
