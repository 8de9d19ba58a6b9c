"""``m3ae data inspect``: look at a folder of clean shards, and leave pictures and numbers of it."""

import io
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from m3ae.config import Run
from m3ae.data.index import Index, read_index
from m3ae.data.inspect.captions import caption_facts, captions_of
from m3ae.data.inspect.chart import captions_chart
from m3ae.data.inspect.facts import Images, Inspection, Spread
from m3ae.data.inspect.measure import decoded, pixel_facts
from m3ae.data.inspect.rejections import rejection_table
from m3ae.data.inspect.sheet import Sample, contact_sheet
from m3ae.data.manifest import CAPTIONS, INDEX, MANIFEST, Manifest
from m3ae.data.shards import Pairs
from m3ae.data.tokens import Tokens
from m3ae.errors import UserError
from m3ae.files import atomic_write, write_text

NUM_SHOWN = 24
"""Samples on the contact sheet."""
THREADS = min(8, os.cpu_count() or 1)
PAPER_PX = 256
SHEET, CHART, FACTS = "contact_sheet.png", "captions.svg", "inspect.json"


def inspect_split(manifest: Path, run: Run | None, num_samples: int, seed: int, out: Path) -> Inspection:
    """Inspect the shards of ``manifest`` and write what was found below ``out``.

    Of a large split, captions and pixels of ``num_samples`` samples are read, drawn with ``seed``; all
    else comes from the manifest and the index. Raises UserError, one line, for a broken folder.
    """
    folder = folder_of(manifest)
    pairs = Pairs(folder)
    ids = draw(len(pairs), num_samples, seed)
    num_pieces, no_pieces = find_pieces(folder)
    found = Inspection(
        folder=str(folder),
        split=pairs.manifest.split,
        seed=seed,
        count=len(pairs),
        num_shards=len(pairs.manifest.shards),
        bytes=sum(shard.bytes for shard in pairs.manifest.shards),
        yield_=pairs.manifest.yield_.model_dump(),
        rejected=rejection_table(folder, pairs.manifest),
        duplicates=pairs.manifest.rejected.get("image_duplicate", 0),
        images=image_facts(read_index(folder / INDEX)),
        captions=caption_facts(folder / CAPTIONS, num_samples, seed, num_pieces),
        no_pieces=no_pieces,
        pixels=pixel_facts(pairs, ids, size_of(pairs.manifest, run), run, THREADS),
    )
    write_files(found, pairs, draw(len(pairs), NUM_SHOWN, seed), out)
    return found


def find_pieces(folder: Path) -> tuple[Callable[[int], list[int]] | None, str | None]:
    """The number of word pieces of each caption of a sample, or why that is not known."""
    path = folder.absolute().parents[1] / "tokens" / f"{folder.absolute().name}.arrow"
    if not path.is_file():
        return None, "no tokens were made of these captions"
    try:
        tokens = Tokens(path)
    except UserError as error:
        return None, str(error)
    return lambda id: [len(caption) for caption in tokens.captions(id)], None


def folder_of(manifest: Path) -> Path:
    """The folder of a manifest, which may be named itself."""
    return manifest.parent if manifest.name == MANIFEST else manifest


def default_out(manifest: Path) -> Path:
    """Beside the shards: ``data/{run}/inspect/{split}`` for ``data/{run}/shards/{split}``."""
    folder = folder_of(manifest).absolute()
    above = folder.parent.parent if folder.parent.name == "shards" else folder.parent
    return Path(os.path.relpath(above / "inspect" / folder.name))


def draw(count: int, num: int, seed: int) -> list[int]:
    """Ids without repetition, in their order: neighbours in a shard are read together."""
    return sorted(random.Random(seed).sample(range(count), min(num, count)))


def size_of(manifest: Manifest, run: Run | None) -> int:
    """The side to which images are cut: the run's, or the one to which cleaning shrank them."""
    if run:
        return run.settings.data.image.size_px
    return int(manifest.settings.get("short_side_px", PAPER_PX))


def image_facts(index: Index) -> Images | None:
    """Sizes of all images; None if there is none."""
    if not len(index.size):
        return None
    short, long = np.minimum(index.width, index.height), np.maximum(index.width, index.height)
    return Images(
        num=len(index.size),
        width=Spread.of(index.width),
        height=Spread.of(index.height),
        aspect=Spread.of(long / short),
        bytes=Spread.of(index.size),
        total_bytes=int(index.size.sum(dtype=np.int64)),
    )


def write_files(found: Inspection, pairs: Pairs, shown: list[int], out: Path) -> None:
    """Write the contact sheet, the chart and ``inspect.json``; git is told to ignore their folder."""
    write_text(out / ".gitignore", "# photographs and captions are not ours to publish\n*\n")
    texts = captions_of(pairs.folder / CAPTIONS, shown)
    images = map(partial(decoded, pairs), shown, pairs.jpegs(shown))
    samples = [Sample(*sample) for sample in zip(shown, images, texts, strict=True)]
    title = f"{len(shown)} of {found.count:,} samples of {found.split}, drawn with seed {found.seed}"
    png = io.BytesIO()
    contact_sheet(samples, title).save(png, "PNG")
    write_bytes(out / SHEET, png.getvalue())
    if found.captions:
        write_bytes(out / CHART, captions_chart(found.captions))
    else:
        (out / CHART).unlink(missing_ok=True)  # of an earlier call
    write_text(out / FACTS, found.model_dump_json(by_alias=True, indent=1) + "\n")


def write_bytes(path: Path, content: bytes) -> None:
    """Write atomically."""
    with atomic_write(path) as file:
        file.write(content)
