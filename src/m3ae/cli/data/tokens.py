"""``m3ae data tokens / texts``."""

import json

import click

from m3ae.cli.common import logged, run_option
from m3ae.config import load_run


@click.command()
@run_option
@logged
def tokens(run_name: str) -> None:
    """Train or build the tokenizer, and cut the captions of both splits into word pieces.

    The vocabulary of bert-base-uncased is read from bert-base-uncased-vocab.txt below the data root, else
    fetched once from the Hugging Face hub (google-bert/bert-base-uncased, vocab.txt) and kept in its cache.
    """
    from m3ae.data.tokenfacts import TOKENS_MANIFEST
    from m3ae.data.tokens import make_tokens

    run = load_run(run_name)
    make_tokens(run)
    folder = run.paths.tokenizer.parent
    facts = json.loads((folder / TOKENS_MANIFEST).read_text(encoding="utf-8"))
    for split, found in facts["splits"].items():
        click.echo(
            f"{folder}: {split}: {found['pairs']:,} samples, {found['captions']:,} captions of "
            f"{found['mean_length']:.1f} word pieces; {found['cut_share']:.2%} of them cut, "
            f"{found['unknown_share']:.3%} of the pieces unknown"
        )


@click.command()
@run_option
@logged
def texts(run_name: str) -> None:
    """Cut the run's text without images (`data.texts`) into passages of word pieces."""
    from m3ae.data.passages import make_passages
    from m3ae.data.tokenfacts import TEXTS_FACTS

    run = load_run(run_name)
    make_passages(run)
    path = run.paths.tokens("texts")
    found = json.loads(path.with_name(TEXTS_FACTS).read_text(encoding="utf-8"))
    click.echo(
        f"{path}: {found['passages']:,} passages of {found['mean_length']:.1f} word pieces from "
        f"{found['documents']:,} documents; {found['unknown_share']:.3%} of the pieces unknown"
    )
