"""ImageNet-C's corruptions: noise against its statistics, the rest against naive references."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from m3ae.errors import UserError
from m3ae.evaluate.shift import blur, weather
from m3ae.evaluate.shift.constants import CIFAR, IMAGENET
from m3ae.evaluate.shift.corruptions import (
    ALEXNET,
    KINDS,
    SEVERITIES,
    constants_for,
    corrupt,
    mean_corruption_error,
)


def textured(side, seed=0):
    """Smooth colours with some detail."""
    rng = np.random.default_rng(seed)
    coarse = ndimage.gaussian_filter(rng.random((side, side, 3)), (side / 12, side / 12, 0), mode="wrap")
    image = coarse + 0.15 * ndimage.gaussian_filter(rng.random((side, side, 3)), (1, 1, 0))
    low, high = image.min(), image.max()
    return (255 * (image - low) / (high - low)).astype(np.uint8)


PICTURE = textured(48)


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_is_a_function_of_image_seed_item_kind_and_severity(kind):
    one = corrupt(PICTURE, kind, 3, seed=1, item=7)
    corrupt(PICTURE, "gaussian_noise", 5, seed=9, item=1)  # other draws change nothing
    again = corrupt(PICTURE.copy(), kind, 3, seed=1, item=7)
    np.testing.assert_array_equal(one, again)
    assert one.dtype == np.uint8
    assert one.shape == PICTURE.shape
    fixed = {"brightness", "contrast", "pixelate", "jpeg_compression", "defocus_blur", "zoom_blur"}
    for other in ({"seed": 2, "item": 7}, {"seed": 1, "item": 8}):
        assert np.array_equal(corrupt(PICTURE, kind, 3, **other), one) == (kind in fixed)


# Theirs do not grow at every step of these: sizes, smoothness and weights change together.
NOT_AT_EVERY_STEP = {"glass_blur", "motion_blur", "frost", "elastic_transform"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_severer_corruption_is_farther_from_the_image(kind):
    pictures = [textured(48, seed) for seed in range(4)]
    errors = [
        np.mean(
            [(corrupt(x, kind, s, seed=1, item=i) - x.astype(float)) ** 2 for i, x in enumerate(pictures)]
        )
        for s in SEVERITIES
    ]
    if kind not in NOT_AT_EVERY_STEP:
        assert errors == sorted(errors)
    assert min(errors) > 0


@pytest.mark.parametrize("side", [32, 48, 224])
def test_constants_are_those_of_the_nearest_size(side):
    assert constants_for(side) is (IMAGENET if side == 224 else CIFAR)
    assert CIFAR.keys() == IMAGENET.keys() == set(KINDS)
    assert {len(each) for each in (*CIFAR.values(), *IMAGENET.values())} == {5}


def test_noise_has_the_stated_strength():
    grey = np.full((224, 224, 3), 128, np.uint8)
    for severity, (std,) in enumerate(IMAGENET["gaussian_noise"][:2], start=1):
        found = corrupt(grey, "gaussian_noise", severity, seed=0, item=0) / 255
        assert found.std() == pytest.approx(std, rel=0.02)
    found = corrupt(grey, "shot_noise", 1, seed=0, item=0) / 255
    assert found.var() == pytest.approx(128 / 255 / 60, rel=0.03)  # a Poisson count's variance is its mean
    found = corrupt(grey, "impulse_noise", 5, seed=0, item=0)
    assert np.mean(found == 0) == pytest.approx(0.27 / 2, rel=0.05)
    assert np.mean(found == 255) == pytest.approx(0.27 / 2, rel=0.05)
    assert set(np.unique(found)) == {0, 128, 255}


def test_jpeg_and_pixels_are_pillows():
    for severity in SEVERITIES:
        buffer = io.BytesIO()
        quality = int(CIFAR["jpeg_compression"][severity - 1][0])
        Image.fromarray(PICTURE).save(buffer, "JPEG", quality=quality)
        expected = np.asarray(Image.open(buffer))
        np.testing.assert_array_equal(
            corrupt(PICTURE, "jpeg_compression", severity, seed=0, item=0), expected
        )
        side = int(48 * CIFAR["pixelate"][severity - 1][0])
        small = Image.fromarray(PICTURE).resize((side, side), Image.Resampling.BOX)
        expected = np.asarray(small.resize((48, 48), Image.Resampling.BOX))
        np.testing.assert_array_equal(corrupt(PICTURE, "pixelate", severity, seed=0, item=0), expected)


def test_light_and_contrast_follow_their_formulas():
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    image = PICTURE / 255
    for severity in SEVERITIES:
        hsv = rgb_to_hsv(image)
        hsv[..., 2] = np.clip(hsv[..., 2] + CIFAR["brightness"][severity - 1][0], 0, 1)
        expected = hsv_to_rgb(hsv) * 255
        found = corrupt(PICTURE, "brightness", severity, seed=0, item=0)
        np.testing.assert_allclose(found, expected, atol=1.01)
        means = image.mean(axis=(0, 1))
        expected = np.clip((image - means) * CIFAR["contrast"][severity - 1][0] + means, 0, 1) * 255
        found = corrupt(PICTURE, "contrast", severity, seed=0, item=0)
        np.testing.assert_allclose(found, expected, atol=1.01)
    black = corrupt(np.zeros((32, 32, 3), np.uint8), "brightness", 5, seed=0, item=0)
    assert set(np.unique(black)) == {int(0.3 * 255)}


def test_fog_is_a_cloud_that_keeps_the_brightest_value():
    image = PICTURE / 255
    found = weather.fog(image, (0.75, 2.5), np.random.default_rng(3))
    cloud = weather.plasma(64, 2.5, np.random.default_rng(3))
    assert (cloud.min(), cloud.max()) == (0, 1)
    expected = (image + 0.75 * cloud[:48, :48, None]) * image.max() / (image.max() + 0.75)
    np.testing.assert_allclose(found, expected)


def test_plasma_is_the_mean_of_four_neighbours_and_a_wobble():
    """Once the wobble has died away, every new height is the mean of its neighbours."""
    cloud = weather.plasma(8, 1e9, np.random.default_rng(0))  # the first step alone has a wobble
    torus = np.pad(cloud, 1, mode="wrap")
    for row, column in ((1, 2), (3, 0), (5, 6), (2, 1), (0, 3)):  # centres of edges of the finest squares
        beside = [
            torus[row, column + 1],
            torus[row + 2, column + 1],
            torus[row + 1, column],
            torus[row + 1, column + 2],
        ]
        assert cloud[row, column] == pytest.approx(np.mean(beside), abs=1e-6)


def test_glass_moves_one_pixel_after_another():
    image = textured(12)[..., :] / 255
    sigma, reach, passes = 0.4, 1, 2
    random = np.random.default_rng(5)
    x = (np.clip(ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest"), 0, 1) * 255).astype(
        np.uint8
    )
    for _ in range(passes):
        moves = iter(random.integers(-reach, reach, size=(12 - 2 * reach, 12 - 2 * reach, 2)).reshape(-1, 2))
        for row in range(12 - reach, reach, -1):
            for column in range(12 - reach, reach, -1):
                right, down = next(moves)
                x[row, column] = x[row + down, column + right]
    expected = ndimage.gaussian_filter(x / 255, (sigma, sigma, 0), mode="nearest")
    np.testing.assert_allclose(
        blur.glass_blur(image, (sigma, reach, passes), np.random.default_rng(5)), expected
    )


def test_zoom_is_the_mean_of_the_image_and_its_enlargements():
    image = PICTURE / 255
    whole = image.copy()
    factors = np.arange(1, 1.11, 0.01)
    for factor in factors:
        cut = int(np.ceil(48 / factor))
        top = (48 - cut) // 2
        part = ndimage.zoom(image[top : top + cut, top : top + cut], (factor, factor, 1), order=1)
        trim = (part.shape[0] - 48) // 2
        whole += part[trim : trim + 48, trim : trim + 48]
    found = blur.zoom_blur(image, (1.11, 0.01), np.random.default_rng(0))
    np.testing.assert_allclose(found, whole / (len(factors) + 1))


def test_motion_smears_a_point_along_one_line():
    image = np.zeros((31, 31, 3))
    image[15, 15] = 1
    found = blur.along_line(image, 6, 2, 0.0)
    weights = np.exp(-(np.arange(13) ** 2) / 8)
    np.testing.assert_allclose(found[15, 15 : 15 - 8 : -1, 0], (weights / weights.sum())[:8], atol=1e-9)
    assert np.count_nonzero(found.sum(axis=(1, 2))) == 1
    steep = blur.along_line(image, 6, 2, 90.0)
    np.testing.assert_allclose(steep, found.transpose(1, 0, 2), atol=1e-12)
    assert blur.disk(3, 0.1).sum() == pytest.approx(1)


def test_a_grey_picture_stays_valid():
    grey = np.repeat(textured(32)[..., :1], 3, axis=2)
    for kind in KINDS:
        assert corrupt(grey, kind, 5, seed=0, item=0).shape == grey.shape


def test_the_mean_corruption_error_is_the_published_one():
    alexnet = np.array([ALEXNET[kind] for kind in KINDS])
    errors = np.repeat(alexnet[:, None], 5, axis=1)
    assert mean_corruption_error(errors, alexnet) == pytest.approx(100)
    assert mean_corruption_error(errors / 2, alexnet) == pytest.approx(50)
    two = np.array([[10.0, 30.0], [40.0, 40.0]])
    assert mean_corruption_error(two, np.array([40.0, 80.0])) == pytest.approx(50)
    assert mean_corruption_error(two) == pytest.approx(30)


def test_what_imagenet_c_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"corruption 'rain': expected one of gaussian_noise, "):
        corrupt(PICTURE, "rain", 1, seed=0, item=0)
    with pytest.raises(UserError, match=r"severity 6 of fog: expected 1 to 5"):
        corrupt(PICTURE, "fog", 6, seed=0, item=0)
