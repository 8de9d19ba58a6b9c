"""Where the digits of `tiny`'s pairs are: the scenes are drawn once more, from the same random numbers."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow.parquet as pq

from m3ae.config import Run
from m3ae.config.data import ToySource
from m3ae.data.manifest import ORIGINS
from m3ae.data.source.toy.attributes import DIGITS
from m3ae.data.source.toy.digits import digit_pools
from m3ae.data.source.toy.scenes import Box, draw_scene, paint_and_place
from m3ae.data.source.toy.write import draw_of
from m3ae.errors import UserError

SCENE = re.compile(r"/images/\w+/(\d{5})-[0-9a-f]{8}\.jpg$")


class Placed(NamedTuple):
    """A digit of a scene, by its words, and where it is."""

    digit: str
    colour: str
    box: Box


def placed_digits(source: ToySource, seed: int, split: str) -> Iterator[list[Placed]]:
    """The digits of every scene of a split (`train`, `heldout`), in the order of the scenes."""
    pool, draw = digit_pools(seed, source.heldout_digits)[split], draw_of(seed, split)
    for index in range(source.num_train if split == "train" else source.num_heldout):
        rng = draw(index)
        scene = draw_scene(rng, pool, may_have_two=True)
        _, boxes = paint_and_place(scene, rng, source.scene_px)
        figures = zip(scene.figures, boxes, strict=True)
        yield [Placed(DIGITS[figure.digit], figure.colour, box) for figure, box in figures]


def placed_in_pairs(run: Run, split: str) -> list[list[Placed]]:
    """The digits of every pair of a split's clean shards, by id; none for a scene under another name.

    Raises UserError for a run whose scenes are not ours: their truth is not known.
    """
    source = run.settings.data.source
    if not isinstance(source, ToySource):
        raise UserError(
            f"run {run.name!r}: expected data.source.kind toy, got {source.kind}: only of scenes that are "
            "made here is it known where things are"
        )
    path = run.paths.shards(split) / ORIGINS
    if not path.is_file():
        raise UserError(f"{path}: no such file; snakemake {run.paths.manifest(split)} makes it")
    scenes = list(placed_digits(source, run.settings.seed, split))
    found = [SCENE.search(url) for url in pq.read_table(path, columns=["url"])["url"].to_pylist()]
    return [scenes[int(match[1])] if match else [] for match in found]
