"""Write the sources of `tiny`: images and lists for pre-training, labelled sets as Parquet."""

import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from m3ae.config.data import ToySource
from m3ae.data.source.lists import Row, write_list
from m3ae.data.source.toy.attributes import COLOURS, PLACES, SIZES, Scene
from m3ae.data.source.toy.bad import bad_rows
from m3ae.data.source.toy.captions import describe
from m3ae.data.source.toy.digits import UNSEEN, Pool, digit_pools
from m3ae.data.source.toy.scenes import draw_scene, paint
from m3ae.data.source.toy.textures import draw_texture

DESCRIBED_TWICE = 0.25  # share of the scenes with two captions, as real sets have several

Draw = Callable[[int], np.random.Generator]
"""Random numbers of a set: a generator for each index, of no other index or set."""


def make_toy(folder: Path, source: ToySource, seed: int, host: str) -> None:
    """Write everything that `tiny` starts from into ``folder``; its images are to be served as ``host``.

    Every picture is drawn from (seed, set, index) alone.
    """
    pools = digit_pools(seed, source.heldout_digits)
    seen = [digit for digit in range(10) if digit not in source.heldout_digits]
    num_test = source.num_probe_test
    pairs = PairWriter(folder, host, source)
    pairs.write("train", source.num_train, pools["train"], draw_of(seed, "train"))
    pairs.write("heldout", source.num_heldout, pools["heldout"], draw_of(seed, "heldout"))
    for name, pool, count, classes in (
        ("toy-scenes-train", "probe-train", source.num_probe_train, seen),
        ("toy-scenes-test", "probe-test", num_test, seen),
        ("toy-heldout-digits-test", UNSEEN, num_test, list(range(10))),
    ):
        draw = draw_of(seed, name)
        scenes = (labelled_scene(i, pools[pool], classes, draw(i), source) for i in range(count))
        write_parquet(folder / f"{name}.parquet", scenes, count)
    draw = draw_of(seed, "toy-textures-test")
    textures = (
        {"image": image_cell(i, draw_texture(draw(i), source.scene_px), source.jpeg_quality)}
        for i in range(num_test)
    )
    write_parquet(folder / "toy-textures-test.parquet", textures, num_test)


def draw_of(seed: int, name: str) -> Draw:
    """Random numbers of the set ``name``."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    return lambda index: np.random.default_rng([seed, key, index])


@dataclass(frozen=True)
class PairWriter:
    """Writes images and lists of pre-training pairs."""

    folder: Path
    host: str
    source: ToySource

    def write(self, split: str, count: int, pool: Pool, draw: Draw) -> None:
        """Write a split; `bad_share` further rows are as bad as rows of the web."""
        images = self.folder / "images" / split
        images.mkdir(parents=True)
        rows: list[Row] = []
        for index in tqdm(range(count), desc=f"{split} scenes", unit=" scenes", disable=None):
            rows += self.write_scene(images, index, pool, draw(index))
        rows += bad_rows(images, rows, round(count * self.source.bad_share), draw(count))
        order = draw(count + 1).permutation(len(rows))
        prefix = f"{self.host}/images/{split}"
        write_list(
            self.folder / f"{split}.tsv", (Row(f"{prefix}/{rows[i].url}", rows[i].caption) for i in order)
        )

    def write_scene(self, images: Path, index: int, pool: Pool, rng: np.random.Generator) -> list[Row]:
        """Write one image; its rows name the file.

        Another picture has another name: downloads know a picture by its address.
        """
        scene = draw_scene(rng, pool, may_have_two=True)
        data = jpeg(paint(scene, rng, self.source.scene_px), self.source.jpeg_quality)
        name = f"{index:05d}-{hashlib.sha256(data).hexdigest()[:8]}.jpg"
        (images / name).write_bytes(data)
        return [Row(name, caption) for caption in captions_of(scene, rng)]


def captions_of(scene: Scene, rng: np.random.Generator) -> list[str]:
    """One caption, or two."""
    return [describe(scene, rng) for _ in range(2 if rng.random() < DESCRIBED_TWICE else 1)]


def labelled_scene(
    index: int, pool: Pool, classes: list[int], rng: np.random.Generator, source: ToySource
) -> dict[str, Any]:
    """A scene with one digit, and its labels; the digit's label is its place in ``classes``."""
    scene = draw_scene(rng, pool)
    figure = scene.figures[0]
    return {
        "image": image_cell(index, paint(scene, rng, source.scene_px), source.jpeg_quality),
        "digit": classes.index(figure.digit),
        "colour": COLOURS.index(figure.colour),
        "size": SIZES.index(figure.size),
        "place": PLACES.index(figure.place),
        "background": COLOURS.index(scene.background),
    }


def image_cell(index: int, pixels: UInt8[np.ndarray, "height width 3"], quality: int) -> dict[str, Any]:
    """An image as Hugging Face keeps it in Parquet."""
    return {"bytes": jpeg(pixels, quality), "path": f"{index:05d}.jpg"}


def jpeg(pixels: UInt8[np.ndarray, "height width 3"], quality: int) -> bytes:
    """Encode as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_parquet(path: Path, rows: Iterable[dict[str, Any]], count: int) -> None:
    """Write ``count`` rows as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = tqdm(rows, desc=path.stem, total=count, unit=" scenes", disable=None)
    pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=500)
