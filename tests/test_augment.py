"""Training crops: the same numbers as the keyed draws, torchvision's rule, Pillow's pixels."""

import hashlib
import io
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from m3ae.config import load_run
from m3ae.data.stream.augment import Crop, draw_crop, resize, training_view
from m3ae.data.stream.decode import Pixels
from m3ae.data.stream.keyed import CROP, FLIP, uniforms
from m3ae.data.stream.splitmix import draws
from raw_shards import encoded, picture


@pytest.mark.parametrize("parts", [(0,), (42, 0, 3, 10**12 + 5), (2**31, 6, 0, 0), (1, 2, 3, 4, 5)])
def test_single_draws_are_those_of_the_arrays(parts):
    numbers = draws(*parts)
    assert [next(numbers) for _ in range(40)] == uniforms(40, *parts)[0].tolist()


def crop_by_arrays(size, scale, seed, epoch, sample):
    """RandomResizedCrop's rule over arrays of draws, all ten attempts at once."""
    width, height = size
    area, aspect, x, y = uniforms(40, seed, CROP, epoch, sample)[0].reshape(10, 4).T
    area = width * height * (scale[0] + (scale[1] - scale[0]) * area)
    aspect = np.exp(np.log(3 / 4) + (np.log(4 / 3) - np.log(3 / 4)) * aspect)
    w, h = np.round(np.sqrt(area * aspect)), np.round(np.sqrt(area / aspect))
    fits = np.flatnonzero((w > 0) & (w <= width) & (h > 0) & (h <= height))
    if not len(fits):
        return None
    i = fits[0]
    flip = uniforms(1, seed, FLIP, epoch, sample)[0, 0] < 0.5
    return Crop(int(x[i] * (width - w[i] + 1)), int(y[i] * (height - h[i] + 1)), int(w[i]), int(h[i]), flip)


@pytest.mark.parametrize("size", [(384, 256), (48, 48), (96, 300), (640, 427)])
def test_crops_follow_torchvisions_rule_from_keyed_draws(size):
    for sample in range(300):
        expected = crop_by_arrays(size, (0.2, 1.0), 7, 2, sample)
        if expected is not None:
            assert draw_crop(size, (0.2, 1.0), True, 7, 2, sample) == expected


def rows_then_columns(pixels, size_px):
    """Pillow's bicubic filter, first along the rows, then along the columns, as torch and Pillow to 12."""
    image = Image.fromarray(pixels).resize((size_px, len(pixels)), Image.Resampling.BICUBIC)
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("height", "width", "size_px"),
    [
        (256, 384, 256),
        (100, 60, 256),
        (60, 48, 48),
        (90, 96, 64),
        (400, 300, 64),
        (300, 200, 256),
        (64, 64, 64),
    ],
)
def test_resized_crops_are_pillows_within_two_levels(height, width, size_px):
    rng = np.random.default_rng(height)
    for pixels in (
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        np.array(picture(width, height, seed=width)),
    ):
        got = resize(Pixels(pixels, (0, 0, width, height)), size_px)
        difference = np.abs(got.astype(int) - rows_then_columns(pixels, size_px))
        assert difference.max() <= 2
        assert difference.mean() < 0.02


def digest_of_crops():
    """SHA-256 of some resized noise."""
    rng, digest = np.random.default_rng(0), hashlib.sha256()
    for height, width, size in (
        (256, 384, 256),
        (61, 47, 48),
        (300, 200, 256),
        (90, 96, 64),
        (700, 500, 224),
    ):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        digest.update(resize(Pixels(pixels, (0, 0, *pixels.shape[1::-1])), size).tobytes())
    return digest.hexdigest()


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="instructions of x86-64 are compared"
)
def test_crops_do_not_depend_on_the_processors_instructions():
    """Here with all of them, and in another process without vectors."""
    code = "import test_augment; print(test_augment.digest_of_crops())"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parent,
    )
    assert done.stdout.strip() == digest_of_crops(), done.stderr


def settings(size_px, **changes):
    image = load_run("tiny").settings.data.image
    return image.model_copy(update={"size_px": size_px, "crop_scale": [0.2, 1.0], "flip": True, **changes})


@pytest.mark.parametrize(("size", "size_px"), [((384, 256), 256), ((96, 128), 64), ((60, 48), 48)])
@pytest.mark.usefixtures("in_project")
def test_a_view_is_pillows_decoded_cropped_resized_mirrored_image(size, size_px):
    jpeg = encoded(picture(*size, seed=3), quality=90)
    whole = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    flips = set()
    for sample in range(20):
        left, top, width, height, flip = draw_crop(size, (0.2, 1.0), True, 5, 1, sample)
        expected = rows_then_columns(whole[top : top + height, left : left + width], size_px)
        got = training_view(jpeg, settings(size_px), 5, 1, sample)
        assert got.dtype == np.uint8
        assert got.shape == (3, size_px, size_px)
        assert got.flags.c_contiguous
        assert np.abs(got.astype(int) - (expected[:, :, ::-1] if flip else expected)).max() <= 2
        flips.add(flip)
    assert flips == {True, False}


@pytest.mark.usefixtures("in_project")
def test_a_view_of_a_shrunken_image_is_close_to_pillows_of_the_whole():
    """Edges within a pixel of the shrunken image stay where they are: a shift of half a pixel would show."""
    jpeg = encoded(picture(640, 480, seed=1), quality=95)
    whole = Image.open(io.BytesIO(jpeg)).convert("RGB")
    for sample in range(20):
        left, top, width, height, flip = draw_crop((640, 480), (0.2, 1.0), True, 5, 1, sample)
        crop = whole.crop((left, top, left + width, top + height)).resize((64, 64), Image.Resampling.BICUBIC)
        expected = np.asarray(crop).transpose(2, 0, 1)[:, :, :: -1 if flip else 1].astype(float)
        noise = ((training_view(jpeg, settings(64), 5, 1, sample) - expected) ** 2).mean()
        assert 10 * np.log10(255**2 / noise) > 40


@pytest.mark.usefixtures("in_project")
def test_a_view_is_keyed_by_seed_epoch_and_sample():
    jpeg = encoded(picture(96, 96))
    views = [
        training_view(jpeg, settings(64), *keys) for keys in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    assert np.array_equal(views[0], training_view(jpeg, settings(64), 0, 0, 0))
    assert all(not np.array_equal(views[0], other) for other in views[1:])
