"""A contact sheet: random training pairs, as the model reads them."""

import random

from markupsafe import Markup

from m3ae.config import Run
from m3ae.data.inspect.captions import captions_of
from m3ae.data.manifest import CAPTIONS, PACKED, read_manifest
from m3ae.data.shards import Pairs
from m3ae.report import html

NUM_SHOWN = 24


def contact_sheet(run: Run, split: str = "train") -> str:
    """Random pairs, drawn with the run's seed, each caption below its image.

    "-" where the shards are not here: tables are made from manifests alone.
    """
    manifest = run.paths.manifest(split)
    folder = manifest.parent
    if not manifest.is_file():
        return html.note("-")
    is_here = all((folder / shard.name).is_file() for shard in read_manifest(manifest).shards)
    if not is_here and not (folder / PACKED).is_file():  # packed ones are unpacked by whoever reads them
        return html.note("- (the shards are not on this machine)")
    pairs = Pairs(folder)
    ids = sorted(random.Random(run.settings.seed).sample(range(len(pairs)), min(NUM_SHOWN, len(pairs))))
    shown = zip(pairs.jpegs(ids), captions_of(folder / CAPTIONS, ids), strict=True)
    tiles = [tile(*pair, number) for number, pair in enumerate(shown, 1)]
    return Markup('<ul class="contacts">{}</ul>').format(html.joined(tiles))


def tile(jpeg: bytes, captions: list[str], number: int) -> Markup:
    """An image with its first caption, which describes it; how many more captions there are."""
    caption = captions[0] if captions else "no caption"
    more = f" (+{len(captions) - 1})" if len(captions) > 1 else ""
    image = html.embedded(jpeg, ".jpg", f"image {number}, described by its caption")
    return Markup("<li><figure>{}<figcaption>{}{}</figcaption></figure></li>").format(image, caption, more)
