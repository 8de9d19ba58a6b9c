"""Augmentation for supervised training: crop and flip as in pre-training, RandAugment, random erasing."""

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from m3ae.config.models import RunSettings
from m3ae.data.stream.augment import draw_crop, resize
from m3ae.data.stream.decode import Pixels
from m3ae.data.stream.keyed import AUGMENT, ERASE, key_of
from m3ae.torchvision_ops import make_importable

View = UInt8[np.ndarray, "3 size size"]
ERASED_AREA = (0.02, 1 / 3)  # of the image, as timm's RandomErasing draws it
ERASED_ASPECT = (math.log(0.3), math.log(1 / 0.3))
ATTEMPTS = 10


def labelled_view(picture: Image.Image, settings: RunSettings, epoch: int, sample: int) -> View:
    """What a supervised model sees of an RGB image in an epoch; keyed by (seed, epoch, sample)."""
    image, recipe, seed = settings.data.image, settings.supervised, settings.seed
    low, high = image.crop_scale
    crop = draw_crop(picture.size, (low, high), image.flip, seed, epoch, sample)
    right, bottom = crop.left + crop.width, crop.top + crop.height
    part = np.array(picture)[crop.top : bottom, crop.left : right].copy()
    view = resize(Pixels(part, (0, 0, crop.width, crop.height)), image.size_px)
    view = np.ascontiguousarray(view[:, :, ::-1] if crop.flip else view)
    if recipe.rand_augment:
        mean = tuple(round(255 * value) for value in image.mean)
        view = rand_augmented(view, recipe.rand_augment, mean, int(key_of((seed, AUGMENT, epoch, sample))[0]))
    if recipe.erase:
        rng = np.random.default_rng(int(key_of((seed, ERASE, epoch, sample))[0]))
        view = erased(view, recipe.erase, image.mean, image.std, rng)
    return view


def rand_augmented(view: View, rule: str, mean: tuple[int, ...], key: int) -> View:
    """timm's RandAugment, whose draws come from global generators: seeded with ``key`` meanwhile."""
    with seeded(0):
        augment = augmenter(rule, mean, view.shape[-1])  # the first import of timm draws numbers too
    with seeded(key):
        picture = augment(Image.fromarray(view.transpose(1, 2, 0)))
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


@lru_cache
def augmenter(rule: str, mean: tuple[int, ...], size_px: int) -> Callable[[Image.Image], Image.Image]:
    """The transform that timm makes of ``rule``, with the settings of its own training transform."""
    make_importable()
    from timm.data.auto_augment import rand_augment_transform

    augment = rand_augment_transform(rule, {"translate_const": int(size_px * 0.45), "img_mean": mean})
    for operation in augment.ops:
        if operation.name == "PosterizeIncreasing":
            operation.level_fn = partial(at_least_one_bit, operation.level_fn)
    return augment


def at_least_one_bit(level_fn: Callable[..., tuple[int]], level: float, hparams: dict) -> tuple[int]:
    """Pillow from 12 on refuses to posterize to 0 bits, which timm asks for at the highest level."""
    return (max(1, *level_fn(level, hparams)),)


@contextmanager
def seeded(key: int) -> Iterator[None]:
    """Python's and NumPy's global generators at a state of their own, and back at theirs afterwards."""
    before = random.getstate(), np.random.get_state()
    random.seed(key)
    np.random.seed(key % 2**32)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def erased(view: View, chance: float, mean: list[float], std: list[float], rng: np.random.Generator) -> View:
    """With a chance, one rectangle filled with noise: N(0, 1) once normalised, as timm's mode `pixel`.

    Timm's rule for its place: area and aspect at random, ten attempts, else nothing.
    """
    if rng.random() >= chance:
        return view
    size = view.shape[-1]
    for _ in range(ATTEMPTS):
        area = rng.uniform(*ERASED_AREA) * size * size
        aspect = math.exp(rng.uniform(*ERASED_ASPECT))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height < size and width < size:
            top, left = rng.integers(size - height + 1), rng.integers(size - width + 1)
            noise = rng.standard_normal((height, width, 3)) * std + mean
            filled = view.copy()
            filled[:, top : top + height, left : left + width] = to_bytes(255 * noise).transpose(2, 0, 1)
            return filled
    return view


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Rounded, and kept between 0 and 255."""
    return values.round().clip(0, 255).astype(np.uint8)
