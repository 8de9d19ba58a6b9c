"""Stored features of the run's pairs, read back only if every hash fits. No encoder runs."""

from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int64

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.evaluate.archive import Archive, digest_of
from m3ae.evaluate.layers import POOLINGS
from m3ae.evaluate.pairs.asked import SPLITS
from m3ae.evaluate.pairs.extract import DIGEST, extract_pairs, pair_inputs

Ids = Int64[np.ndarray, " rows"]


class PairFeatures(Archive):
    """Features and labels of a model's pairs, by split and by what the encoder saw of them."""

    def __init__(self, run: Run, model: str) -> None:
        """Open the archive of ``model``.

        Raises UserError, one line, if it is not of the run's settings, of these weights, pairs and word
        pieces, or if a byte of it has changed.
        """
        super().__init__(run.paths.pairs(model), f"pairs --run {run.name} --model {model}")
        self.check("settings", run.stage("pairs", model), "made with other settings than the run's")
        stated = self.facts["inputs"]
        for name, expected in pair_inputs(run, model).items():
            if stated.get(name) != expected:
                raise self.unlike(f"made from {name} of", expected, stated.get(name, "none"))
        arrays = {name: self.array(name) for name in self.names - {DIGEST}}
        expected, found = self.array(DIGEST).tobytes().hex(), digest_of(self.facts, arrays).tobytes().hex()
        if found != expected:
            raise self.unlike("a byte has changed: its hash is", expected, found)

    @classmethod
    def made(cls, run: Run, model: str) -> Self:
        """The archive; made first where there is none."""
        if not run.paths.pairs(model).is_file():
            extract_pairs(run, model)
        return cls(run, model)

    def unlike(self, what: str, expected: str, got: str) -> UserError:
        """The one line for an archive that does not fit."""
        return UserError(
            f"{self.path}: {what} {got[:12]}, expected {expected[:12]}; "
            f"make it again with: m3ae {self.command}"
        )

    def kinds(self) -> list[str]:
        """What the encoder saw: `image`, and where it reads captions `text` and (M3AE) `joint`."""
        return [seen for seen in ("image", "text", "joint") if f"train/{seen}/ids" in self.names]

    def shapes(self) -> Iterator[tuple[str, str, int, int]]:
        """Split, what was seen, number of pairs, and of features, of each part."""
        for split in SPLITS:
            for seen in self.kinds():
                count, _, _, width = self.array(f"{split}/{seen}/features").shape
                yield split, seen, count, width

    def ids(self, split: str, seen: str) -> Ids:
        """Pairs of the split by their number, in the order of the features."""
        return self.array(f"{split}/{seen}/ids")

    def features(
        self, split: str, seen: str, pooling: str, ids: Ids | None = None
    ) -> Float[np.ndarray, "rows width"]:
        """`cls` or `mean` after the last block, of all pairs that were shown so, or of ``ids`` among them."""
        last = self.array(f"{split}/{seen}/features")[:, -1, POOLINGS.index(pooling)]
        rows = slice(None) if ids is None else places_of(ids, self.ids(split, seen))
        return np.ascontiguousarray(last[rows])

    def labels(self, split: str, seen: str, concepts: Iterable[str]) -> Bool[np.ndarray, "rows concepts"]:
        """Which concepts the captions name that label these pairs."""
        found = [self.array(f"{split}/{seen}/labels/{concept}") for concept in concepts]
        return np.stack(found, axis=1).astype(bool)


def places_of(ids: Ids, stored: Ids) -> Ids:
    """Where each of ``ids`` stands among ``stored``, which has them all."""
    order = np.argsort(stored)
    return order[np.searchsorted(stored, ids, sorter=order)]
