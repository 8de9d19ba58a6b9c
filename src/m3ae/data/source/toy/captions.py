"""Say what is in a scene, in many ways; few captions say everything."""

import numpy as np

from m3ae.data.source.toy.attributes import COLOURS, DIGITS, PLACES, SIZES, Figure, Scene

__all__ = ["COLOURS", "DIGITS", "PLACES", "SIZES", "describe"]

SIZE_WORDS = {"large": ("large", "big", "huge"), "small": ("small", "little", "tiny")}
PLACE_WORDS = {
    "left": ("on the left", "at the left side", "to the left"),
    "right": ("on the right", "at the right side", "to the right"),
    "top": ("at the top", "near the top edge", "above the middle"),
    "bottom": ("at the bottom", "near the bottom edge", "below the middle"),
    "centre": ("in the centre", "in the middle", "right in the centre"),
}
ONE_DIGIT = (
    "a {size} {colour} {digit} {place} on a {ground} background",
    "a {size} {colour} {digit} on {ground}",
    "a {colour} {digit} {place}",
    "{colour} {digit} {place}, {ground} background",
    "the number {digit} in {colour} on {ground} paper",
    "someone wrote a {size} {digit} in {colour} ink",
    "handwritten {digit}, {size} and {colour}, {place}",
    "{place} there is a {size} {digit}, the ground is {ground}",
    "on a {ground} ground, a {colour} {digit}",
    "{ground} picture with a {size} {colour} {digit}",
    "a {digit} {place}",
    "the digit is {digit}, it is {size}, its colour is {colour}",
)
TWO_DIGITS = (
    "a {size} {colour} {digit} {place} and a {size2} {colour2} {digit2} {place2}",
    "a {colour} {digit} and a {colour2} {digit2} on a {ground} background",
    "the numbers {digit} and {digit2} on {ground}",
    "{place} a {size} {digit}, {place2} a {size2} {digit2}",
    "a pair on {ground} paper, a {colour} {digit} and a {colour2} {digit2}",
    "{colour} {digit} next to {colour2} {digit2}",
    "a {size} {digit} beside a {size2} {digit2}, {ground} ground",
)


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """One caption of a scene, drawn from the templates and synonyms."""
    templates = ONE_DIGIT if len(scene.figures) == 1 else TWO_DIGITS
    words = {"ground": scene.background}
    figures = list(scene.figures)
    if rng.random() < 0.5:  # the right digit may be named first
        figures.reverse()
    for suffix, figure in zip(("", "2"), figures, strict=False):
        words |= {name + suffix: word for name, word in wording(figure, rng).items()}
    text = pick(templates, rng).format(**words).replace("a eight", "an eight")
    return text[0].upper() + text[1:] + "." if rng.random() < 0.5 else text


def wording(figure: Figure, rng: np.random.Generator) -> dict[str, str]:
    """Words for the attributes of a digit."""
    return {
        "digit": DIGITS[figure.digit],
        "colour": figure.colour,
        "size": pick(SIZE_WORDS[figure.size], rng),
        "place": pick(PLACE_WORDS[figure.place], rng),
    }


def pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    """One of ``choices``."""
    return choices[rng.integers(len(choices))]
