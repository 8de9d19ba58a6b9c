"""How a step is split: over the kinds of samples by declared weights, and over ranks."""

from functools import lru_cache
from typing import NamedTuple

from m3ae.config.training import Mixture
from m3ae.errors import UserError


class Counts(NamedTuple):
    """How many samples of each kind every step has."""

    pairs: int
    images: int
    texts: int


class Rows(NamedTuple):
    """Positions ``start`` to ``stop`` (exclusive) of the stream of one kind: a rank's part of a step."""

    start: int
    stop: int
    first: int
    """Position at which the step begins, the same for all ranks."""


NO_ROWS = Rows(0, 0, 0)


def split_batch(batch_size: int, mixture: Mixture, world: int = 1) -> Counts:
    """Split a global batch by the mixture's weights: largest remainder, one sample at least of each kind.

    Raises UserError if a kind has fewer samples in a step than there are ranks: no rank may go without.
    """
    counts = largest_remainder(batch_size, (mixture.pairs, mixture.images, mixture.texts))
    for kind, count in zip(Counts._fields, counts, strict=True):
        if 0 < count < world:
            raise UserError(
                f"pretrain.mixture.{kind}: expected at least one sample per rank in a step, got {count} of "
                f"{batch_size} for {world} ranks; raise batch_size or the weight"
            )
    return counts


@lru_cache
def largest_remainder(batch_size: int, weights: tuple[float, float, float]) -> Counts:
    """The split itself: one of each kind with a weight, then each next sample to the kind that lacks most."""
    counts = [int(weight > 0) for weight in weights]
    if sum(counts) > batch_size:
        raise UserError(
            f"batch_size: expected at least {sum(counts)}, one sample of each kind in pretrain.mixture, "
            f"got {batch_size}; raise it"
        )
    shares = [batch_size * weight / sum(weights) for weight in weights]
    for _ in range(batch_size - sum(counts)):
        lacking = [share - count for share, count in zip(shares, counts, strict=True)]
        counts[lacking.index(max(lacking))] += 1
    return Counts(*counts)


def rows_of(step: int, count: int, rank: int, world: int) -> Rows:
    """The rows of a rank: contiguous, each rank's number the same or one less than another's."""
    first = step * count
    return Rows(first + rank * count // world, first + (rank + 1) * count // world, first)
