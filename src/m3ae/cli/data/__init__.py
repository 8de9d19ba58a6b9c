"""``m3ae data``: from lists of URLs to clean shards, tokens and checked evaluation sets."""

import click

from m3ae.cli.lazy import lazy_group

COMMANDS = {
    "source": ("data.bring", "Make the lists of a run; for `tiny`, the images too."),
    "download": ("data.bring", "Bring a split's images; goes on where an interrupted call stopped."),
    "clean": ("data.clean", "Decode, check and normalise a split; write clean shards and their manifest."),
    "tokens": ("data.tokens", "Cut every caption into word pieces."),
    "evalset": ("data.evalsets", "Check an evaluation set's files against the registry, and list them."),
}


@click.group(cls=lazy_group(COMMANDS))
def data() -> None:
    """Bring and build a run's data: source, download, clean, tokens; and evaluation sets."""
