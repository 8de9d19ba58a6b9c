"""What a scene of `tiny` is made of: the names of its attributes, and the scene itself."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COLOURS = ("red", "green", "blue", "yellow", "purple", "white", "black")
SIZES = ("large", "small")
PLACES = ("left", "right", "top", "bottom", "centre")


@dataclass(frozen=True)
class Figure:
    """One handwritten digit in a scene."""

    ink: Float[np.ndarray, "8 8"]
    """Strength of the ink, from 0 to 1."""
    digit: int
    colour: str
    size: str
    place: str


@dataclass(frozen=True)
class Scene:
    """One or two digits on a background of another colour."""

    figures: tuple[Figure, ...]
    background: str
