"""Draw a scene's attributes, and paint it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from m3ae.data.source.toy.attributes import COLOURS, PLACES, SIZES, Figure, Scene
from m3ae.data.source.toy.digits import Pool

RGB = {
    "red": (222, 28, 36),
    "green": (46, 176, 72),
    "blue": (24, 72, 224),
    "yellow": (252, 214, 20),
    "purple": (164, 66, 200),
    "white": (246, 246, 246),
    "black": (14, 14, 14),
}
# Ink and ground that a person can hardly tell apart; neither is put on the other
TOO_CLOSE = ({"white", "yellow"}, {"blue", "purple"}, {"blue", "black"}, {"red", "purple"})
SIDE = {"large": 0.6, "small": 0.42}  # of the scene's side; the box of 8 x 8, its margins included
PAIR_SHRINK = 0.85  # two large digits side by side must not cover each other
TWO_DIGITS = 0.25  # share of the pre-training scenes
COLOUR_JITTER, GRADIENT, NOISE = 8.0, 14.0, 4.0  # grey levels


class Box(NamedTuple):
    """The square (pixels) in which a digit was painted; row and column of its first pixel."""

    top: int
    left: int
    side: int


def draw_scene(rng: np.random.Generator, pool: Pool, *, may_have_two: bool = False) -> Scene:
    """Draw a scene: every attribute uniform over its names, the ground unlike the ink."""
    two = may_have_two and rng.random() < TWO_DIGITS
    places = ["left", "right"] if two else [PLACES[rng.integers(len(PLACES))]]
    figures = tuple(draw_figure(rng, pool, place) for place in places)
    inks = {figure.colour for figure in figures}
    grounds = [colour for colour in COLOURS if all(contrast(colour, ink) for ink in inks)]
    if not grounds:  # two inks that between them forbid every ground
        figures = tuple(Figure(f.ink, f.digit, figures[0].colour, f.size, f.place) for f in figures)
        grounds = [colour for colour in COLOURS if contrast(colour, figures[0].colour)]
    return Scene(figures, grounds[rng.integers(len(grounds))])


def draw_figure(rng: np.random.Generator, pool: Pool, place: str) -> Figure:
    """Draw a digit: first its class, then one of the pool's images of it."""
    digit = pool.classes[rng.integers(len(pool.classes))]
    image = rng.choice(np.flatnonzero(pool.digits == digit))
    colour, size = COLOURS[rng.integers(len(COLOURS))], SIZES[rng.integers(len(SIZES))]
    return Figure(pool.ink[image], digit, colour, size, place)


def contrast(one: str, other: str) -> bool:
    """Whether a person tells ink and ground of these colours apart."""
    return one != other and {one, other} not in TOO_CLOSE


def paint(scene: Scene, rng: np.random.Generator, px: int) -> UInt8[np.ndarray, "px px 3"]:
    """Paint a scene ``px`` pixels square: ground with a light gradient, digits in ink, noise over all."""
    return paint_and_place(scene, rng, px)[0]


def paint_and_place(
    scene: Scene, rng: np.random.Generator, px: int
) -> tuple[UInt8[np.ndarray, "px px 3"], list[Box]]:
    """The picture of ``paint``, and where each digit is, in the order of the scene's figures."""
    canvas, boxes = ground(scene.background, rng, px), []
    shrink = PAIR_SHRINK if len(scene.figures) == 2 else 1.0
    for figure in scene.figures:
        side = round(px * SIDE[figure.size] * shrink * rng.uniform(0.95, 1.05))
        cover = np.zeros((px, px, 1))
        top, left = corner(figure.place, side, px, rng)
        cover[top : top + side, left : left + side, 0] = enlarge(figure.ink, side)
        canvas += cover * (shade(figure.colour, rng) - canvas)
        boxes.append(Box(top, left, side))
    pixels = np.clip(np.rint(canvas + rng.normal(0, NOISE, canvas.shape)), 0, 255).astype(np.uint8)
    return pixels, boxes


def shade(colour: str, rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """The colour, slightly off."""
    return np.array(RGB[colour]) + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, 3)


def ground(colour: str, rng: np.random.Generator, px: int) -> Float[np.ndarray, "px px 3"]:
    """A ground that grows a little lighter in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.linspace(-1, 1, px)
    slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    return shade(colour, rng) + GRADIENT * slope[..., None]


def enlarge(ink: Float[np.ndarray, "8 8"], side: int) -> Float[np.ndarray, "side side"]:
    """Enlarge a digit smoothly, with strokes as firm as a pen's; 0 is paper, 1 is ink."""
    image = Image.fromarray(np.rint(ink * 255).astype(np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    return np.clip(np.asarray(image) / 255 * 1.9 - 0.5, 0, 1)


def corner(place: str, side: int, px: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top left corner of a box of ``side`` pixels: near an edge's middle or the centre, not quite exactly."""
    middle, near, far = (px - side) / 2, px / 48, px - side - px / 48
    y = {"top": near, "bottom": far}.get(place, middle)
    x = {"left": near, "right": far}.get(place, middle)
    top, left = np.rint(np.array([y, x]) + rng.uniform(-px / 32, px / 32, 2)).astype(int)
    return int(np.clip(top, 0, px - side)), int(np.clip(left, 0, px - side))
