"""Pictures without digits, in the colours of the scenes: what a digit classifier should find strange."""

import numpy as np
from jaxtyping import Float, UInt8

from m3ae.data.source.toy.attributes import COLOURS
from m3ae.data.source.toy.scenes import NOISE, contrast, shade


def stripes(rng: np.random.Generator, px: int) -> Float[np.ndarray, "px px"]:
    """Parallel bars at a random angle."""
    return (np.sin(waves(rng, px)) > 0).astype(float)


def checks(rng: np.random.Generator, px: int) -> Float[np.ndarray, "px px"]:
    """A chessboard at a random offset."""
    cell = rng.integers(px // 12, px // 4)
    rows = (np.arange(px) + rng.integers(px)) // cell
    columns = (np.arange(px) + rng.integers(px)) // cell
    return ((rows[:, None] + columns[None, :]) % 2).astype(float)


def speckles(rng: np.random.Generator, px: int) -> Float[np.ndarray, "px px"]:
    """Noise without structure."""
    return rng.random((px, px))


def gradient(rng: np.random.Generator, px: int) -> Float[np.ndarray, "px px"]:
    """A slow change from one colour to the other."""
    ramp, angle = np.linspace(-1, 1, px), rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    return (slope - slope.min()) / np.ptp(slope)


def blobs(rng: np.random.Generator, px: int) -> Float[np.ndarray, "px px"]:
    """Soft spots."""
    y, x = np.mgrid[:px, :px]
    field = np.zeros((px, px))
    for _ in range(rng.integers(3, 7)):
        radius = rng.uniform(px / 12, px / 5)
        distance = (y - rng.uniform(0, px)) ** 2 + (x - rng.uniform(0, px)) ** 2
        field = np.maximum(field, np.exp(-distance / (2 * radius**2)))
    return np.clip(2 * field - 0.3, 0, 1)


def waves(rng: np.random.Generator, px: int) -> Float[np.ndarray, "px px"]:
    """Phase of a plane wave (radians)."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(px / 8, px / 3)
    y, x = np.mgrid[:px, :px]
    return 2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period + rng.uniform(0, 2 * np.pi)


KINDS = (stripes, checks, speckles, gradient, blobs)


def draw_texture(rng: np.random.Generator, px: int) -> UInt8[np.ndarray, "px px 3"]:
    """A texture ``px`` pixels square, of a random kind, in two colours that contrast."""
    first = COLOURS[rng.integers(len(COLOURS))]
    others = [colour for colour in COLOURS if contrast(colour, first)]
    second = others[rng.integers(len(others))]
    share = KINDS[rng.integers(len(KINDS))](rng, px)[..., None]
    canvas = share * shade(first, rng) + (1 - share) * shade(second, rng)
    return np.clip(np.rint(canvas + rng.normal(0, NOISE, canvas.shape)), 0, 255).astype(np.uint8)
