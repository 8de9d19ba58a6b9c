"""``m3ae data tokens``."""

import click

from m3ae.cli.common import logged, run_option
from m3ae.config import load_run


@click.command()
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
