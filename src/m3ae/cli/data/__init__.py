"""``m3ae data``: from lists of URLs to clean shards, tokens and checked evaluation sets."""

import click

from m3ae.cli.lazy import lazy_group

COMMANDS = {
    "source": ("data.bring", "Make the lists of a run; for `tiny`, the images too."),
    "download": ("data.bring", "Bring a split's images; goes on where an interrupted call stopped."),
    "clean": ("data.clean", "Decode, check and normalise a split; write clean shards and their manifest."),
    "verify": ("data.clean", "Recompute the checksums of clean shards; rebuild broken ones alone."),
    "tokens": ("data.tokens", "Cut every caption into word pieces."),
    "texts": ("data.tokens", "Cut text without images into passages of word pieces."),
    "sets": ("data.evalsets", "Show the evaluation sets: licence, counts, which are here, who uses them."),
    "get": ("data.evalsets", "Download an evaluation set, after you agree to its terms."),
    "evalset": ("data.evalsets", "Check an evaluation set's files against the registry, and list them."),
    "inspect": ("data.inspect", "Look at clean shards: counts, rejections, sizes, captions, pixels."),
}


@click.group(cls=lazy_group(COMMANDS))
def data() -> None:
    """Bring and build a run's data: source, download, clean, tokens; and evaluation sets."""
