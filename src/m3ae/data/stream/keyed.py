"""Randomness without state: numbers that are a pure function of what they are for.

A crop, a mask or the choice of a caption is drawn from (seed, purpose, epoch, sample id), never from a
generator that other draws have moved on. Workers, ranks, batch sizes and restarts cannot change it.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64, UInt64

# What a draw is for; each purpose has a sequence of its own.
CROP, FLIP, CAPTION, IMAGE_MASK, TEXT_MASK, SHUFFLE, PAIRS = range(7)
DROP_TEXT, PASSAGE_MASK, SHUFFLE_IMAGES, SHUFFLE_PASSAGES = range(7, 11)
SHUFFLE_LABELLED, AUGMENT, ERASE, MIX = range(11, 15)

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: multiples of it are spread evenly


def mix(x: UInt64[np.ndarray, "*shape"]) -> UInt64[np.ndarray, "*shape"]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit changes half of the output."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key_of(parts: Iterable[int | Int64[np.ndarray, " n"]]) -> UInt64[np.ndarray, " n"]:
    """One 64-bit key for each sample, folded from the parts (numbers, or one number per sample)."""
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = mix(key + GOLDEN + np.asarray(part, np.int64).astype(np.uint64))
    return key


def uniforms(count: int, *parts: int | Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n count"]:
    """``count`` numbers in [0, 1) for each sample, keyed by ``parts``."""
    counter = np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
    bits = mix(key_of(parts)[:, None] + counter)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(size: int, *parts: int) -> Int64[np.ndarray, " size"]:
    """A true permutation of ``range(size)``, keyed by ``parts``."""
    seed = int(key_of(parts)[0])
    return np.random.Generator(np.random.Philox(seed)).permutation(size)
