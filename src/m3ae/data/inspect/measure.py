"""Pixel statistics of random images of a split, decoded in parallel."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from jaxtyping import Int64
from PIL import Image
from tqdm import tqdm

from m3ae.config import Run
from m3ae.data.images import decode_rgb, view
from m3ae.data.inspect import facts
from m3ae.data.inspect.pixels import CHANNELS, Estimate, PixelSums, count_levels
from m3ae.data.shards import Pairs

BATCH = 64
"""Images at a time: one request where the shards lie behind a network."""
UNKNOWN = [None] * len(CHANNELS)


def pixel_facts(
    pairs: Pairs, ids: list[int], size_px: int, run: Run | None, threads: int
) -> facts.Pixels | None:
    """Mean and standard deviation over the images ``ids``; None if there is none."""
    if not ids:
        return None
    sums = PixelSums()
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(ids), desc=f"pixels {pairs.manifest.split}", unit="image", disable=None) as progress,
    ):
        for first in range(0, len(ids), BATCH):
            batch = ids[first : first + BATCH]
            # Pillow frees the interpreter's lock.
            for levels in pool.map(partial(levels_of, pairs, size_px), batch, pairs.jpegs(batch)):
                sums.add(levels)
                progress.update()
    image = run.settings.data.image if run else None
    means, stds = (image.mean, image.std) if image else (UNKNOWN, UNKNOWN)
    channels = [
        facts.Channel(name=name, mean=beside(channel.mean, mean), std=beside(channel.std, std))
        for name, channel, mean, std in zip(CHANNELS, sums.estimates(len(pairs)), means, stds, strict=True)
    ]
    name = run.name if run else None
    return facts.Pixels(num_images=len(ids), size_px=size_px, run=name, channels=channels)


def beside(estimate: Estimate, configured: float | None) -> facts.Estimate:
    """An estimate and the run's constant."""
    return facts.Estimate(**estimate._asdict(), configured=configured)


def levels_of(pairs: Pairs, size_px: int, id: int, jpeg: bytes) -> Int64[np.ndarray, "3 256"]:
    """The levels of one image, as an encoder sees it."""
    return count_levels(view(decoded(pairs, id, jpeg), size_px, size_px))


def decoded(pairs: Pairs, id: int, jpeg: bytes) -> Image.Image:
    """An image of a batch, RGB. Raises UserError, naming shard and sample, if it does not decode."""
    try:
        return decode_rgb(jpeg)
    except Exception as error:  # decoders raise many kinds on broken bytes
        raise pairs.undecodable(id, error) from None
