"""Real handwritten digits (UCI optdigits, as scikit-learn ships them), in pools that share no image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from m3ae.errors import UserError

# Share of each class's images in each pool; what is drawn from one is never seen through another
POOLS = {"train": 0.5, "heldout": 0.1, "probe-train": 0.2, "probe-test": 0.2}
UNSEEN = "unseen-digits"  # the pool of the classes that no other pool has


@dataclass(frozen=True)
class Pool:
    """Images of handwritten digits with their classes."""

    ink: Float[np.ndarray, "images 8 8"]
    """Strength of the ink, from 0 to 1."""
    digits: Int[np.ndarray, " images"]
    """Class of each image, 0 to 9."""

    @property
    def classes(self) -> list[int]:
        """The classes that occur."""
        return [int(digit) for digit in np.unique(self.digits)]


def digit_pools(seed: int, heldout_digits: Sequence[int]) -> dict[str, Pool]:
    """Deal the images of every class out to the pools, ``heldout_digits`` to `UNSEEN` alone."""
    from sklearn.datasets import load_digits

    seen = sorted(set(range(10)) - set(heldout_digits))
    if len(seen) < 2 or len(seen) == 10:
        raise UserError(
            "data.source.heldout_digits: expected one to eight of the digits 0 to 9, "
            f"got {list(heldout_digits)}; the others are learned"
        )
    bunch = load_digits()
    ink, digits = bunch.images / 16.0, bunch.target
    dealt = deal(digits, seen, seed)
    dealt[UNSEEN] = np.flatnonzero(~np.isin(digits, seen))
    return {name: Pool(ink[indices], digits[indices]) for name, indices in dealt.items()}


def deal(digits: Int[np.ndarray, " images"], classes: list[int], seed: int) -> dict[str, np.ndarray]:
    """Indices of every pool: each class is shuffled and cut at the same shares."""
    cuts = np.cumsum(list(POOLS.values()))[:-1]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in POOLS}
    for digit in classes:
        indices = np.flatnonzero(digits == digit)
        indices = np.random.default_rng([seed, digit]).permutation(indices)
        for name, part in zip(
            POOLS, np.split(indices, np.rint(cuts * len(indices)).astype(int)), strict=True
        ):
            parts[name].append(part)
    return {name: np.concatenate(pieces) for name, pieces in parts.items()}
