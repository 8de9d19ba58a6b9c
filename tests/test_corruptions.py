"""ImageNet-C's corruptions: noise against its statistics, the rest against naive references."""

import colorsys
import hashlib
import io
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from m3ae.errors import UserError
from m3ae.evaluate.shift import blur, corruptions, digital, frost, noise, weather, zoom
from m3ae.evaluate.shift.constants import CIFAR, IMAGENET, TINY_IMAGENET
from m3ae.evaluate.shift.corruptions import (
    ALEXNET_ERRORS,
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


def random(seed=5):
    return np.random.default_rng(seed)


PICTURE = textured(48)
SMALL = textured(12) / 255
WITHOUT_CHANCE = {"brightness", "contrast", "pixelate", "jpeg_compression", "defocus_blur", "zoom_blur"}


# ---- what holds for all ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_is_a_function_of_image_seed_item_kind_and_severity(kind):
    one = corrupt(PICTURE, kind, 3, seed=1, item=7)
    corrupt(PICTURE, "gaussian_noise", 5, seed=9, item=1)  # other draws change nothing
    before = PICTURE.copy()
    np.testing.assert_array_equal(corrupt(before, kind, 3, seed=1, item=7), one)
    np.testing.assert_array_equal(before, PICTURE)  # nor is the image itself changed
    for other in ({"seed": 2, "item": 7}, {"seed": 1, "item": 8}):
        assert np.array_equal(corrupt(PICTURE, kind, 3, **other), one) == (kind in WITHOUT_CHANCE)


def test_another_process_that_goes_the_other_way_round_makes_the_same_bytes():
    code = (
        "import hashlib, numpy as np\n"
        "from m3ae.evaluate.shift.corruptions import KINDS, corrupt\n"
        "image = (np.arange(20 * 20 * 3) * 7 % 256).astype(np.uint8).reshape(20, 20, 3)\n"
        "made = {kind: corrupt(image, kind, 4, seed=3, item=11) for kind in ORDER}\n"
        "print(hashlib.sha256(b''.join(made[kind].tobytes() for kind in KINDS)).hexdigest())\n"
    )
    image = (np.arange(20 * 20 * 3) * 7 % 256).astype(np.uint8).reshape(20, 20, 3)
    here = b"".join(corrupt(image, kind, 4, seed=3, item=11).tobytes() for kind in KINDS)
    command = [sys.executable, "-c", code.replace("ORDER", "KINDS[::-1]")]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert found.stdout.strip() == hashlib.sha256(here).hexdigest()


# Of the authors' own constants, these do not make every step farther: sizes and smoothness change together.
NOT_AT_EVERY_STEP = {"glass_blur", "frost", "elastic_transform"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NOT_AT_EVERY_STEP])
def test_a_severer_corruption_is_farther_from_the_image(kind):
    pictures = [textured(48, seed) for seed in range(6)]
    errors = []
    for severity in SEVERITIES:
        made = [corrupt(picture, kind, severity, seed=1, item=i) for i, picture in enumerate(pictures)]
        errors.append(np.mean((np.stack(made) - np.stack(pictures).astype(float)) ** 2))
    assert errors[0] > 0
    assert errors == sorted(set(errors))


@pytest.mark.parametrize("side", [15, 32, 48, 224])
def test_every_kind_keeps_size_and_type_even_of_extreme_images(side):
    images = [np.full((side, side, 3), level, np.uint8) for level in (0, 255)]
    for kind in KINDS:
        for image in [*images, textured(side)] if side < 224 else [textured(side)]:
            with np.errstate(all="raise", under="ignore"):
                found = corrupt(image, kind, 5, seed=0, item=0)
            assert found.shape == image.shape
            assert found.dtype == np.uint8


def test_what_treats_all_channels_alike_keeps_a_grey_picture_grey():
    grey = np.repeat(textured(32)[..., :1], 3, axis=2)
    with_colour = {"gaussian_noise", "shot_noise", "impulse_noise", "frost"}
    for kind in KINDS:
        found = corrupt(grey, kind, 5, seed=0, item=0).astype(int)
        assert (np.ptp(found, axis=2).max() <= 1) == (kind not in with_colour), kind


@pytest.mark.parametrize(
    ("side", "constants"),
    [
        *((side, CIFAR) for side in (32, 45)),
        *((side, TINY_IMAGENET) for side in (46, 48, 64, 119)),
        *((side, IMAGENET) for side in (120, 224, 256)),
    ],
)
def test_constants_are_those_of_the_nearest_size(side, constants):
    assert constants_for(side) is constants
    assert constants.keys() == set(KINDS)
    assert {len(each) for each in constants.values()} == {5}


@pytest.mark.parametrize(
    ("side", "constants", "digest"),
    [
        (32, CIFAR, "9e2beff580093b61"),
        (64, TINY_IMAGENET, "ee32ccd3025b1db8"),
        (224, IMAGENET, "84fdb9a9575b30b5"),
    ],
)
def test_constants_are_the_authors(side, constants, digest):
    """Golden: digests of the tables `c` in the authors' scripts, read as Python, not of ours.

    A line is a kind and a severity's values, as they write them: all factors of a zoom, lengths in pixels.
    """
    lines = []
    for kind in sorted(constants):
        for constant in constants[kind]:
            values = np.array(constant, dtype=float)
            if kind == "zoom_blur":
                values = np.arange(1, *constant)
            elif kind == "elastic_transform":
                values = values * side
            lines.append(" ".join([kind, *(f"{value:.9g}" for value in values)]))
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


def test_no_two_kinds_severities_items_or_seeds_share_their_draws(monkeypatch):
    drawn = []

    def draw(image, constant, random):
        drawn.append(random.random())
        return image

    for kind in KINDS:
        monkeypatch.setitem(corruptions.FUNCTIONS, kind, draw)
        for severity in SEVERITIES:
            for seed in (0, 1):
                for item in (0, 1):
                    corrupt(PICTURE, kind, severity, seed=seed, item=item)
    assert len(set(drawn)) == len(drawn) == 15 * 5 * 2 * 2


def test_what_imagenet_c_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"corruption 'rain': expected one of gaussian_noise, "):
        corrupt(PICTURE, "rain", 1, seed=0, item=0)
    for severity in (0, 6):
        with pytest.raises(UserError, match=rf"severity {severity} of fog: expected one of 1, 2, 3, 4, 5"):
            corrupt(PICTURE, "fog", severity, seed=0, item=0)


# ---- noise -------------------------------------------------------------------------------------------------

GREY = np.full((128, 128, 3), 128, np.uint8)  # so large that ImageNet-C's constants are taken


@pytest.mark.parametrize(
    ("severity", "std", "photons", "share"),
    [
        (1, 0.08, 60, 0.03),
        (2, 0.12, 25, 0.06),
        (3, 0.18, 12, 0.09),
        (4, 0.26, 5, 0.17),
        (5, 0.38, 3, 0.27),
    ],
)
def test_noise_has_the_published_strength(severity, std, photons, share):
    x = GREY / 255
    found = noise.gaussian_noise(x, IMAGENET["gaussian_noise"][severity - 1], random())
    assert (found - x).std() == pytest.approx(std, rel=0.02)
    found = noise.shot_noise(x, IMAGENET["shot_noise"][severity - 1], random())
    assert found.mean() == pytest.approx(x.mean(), rel=0.02)
    assert found.var() == pytest.approx(x.mean() / photons, rel=0.03)  # variance = mean
    found = corrupt(GREY, "impulse_noise", severity, seed=0, item=0)
    assert set(np.unique(found)) == {0, 128, 255}
    assert [np.mean(found == level) for level in (0, 255)] == pytest.approx([share / 2] * 2, rel=0.1)


def test_noise_of_a_whole_corruption_is_cut_at_black_and_white():
    found = corrupt(GREY, "gaussian_noise", 5, seed=0, item=0) / 255
    tail = 0.5 * math.erfc(0.5 / 0.38 / math.sqrt(2))
    assert np.mean(found == 0) == pytest.approx(tail, rel=0.1)
    assert np.mean(found == 1) == pytest.approx(tail, rel=0.1)
    assert np.mean(abs(found - 128 / 255) < 0.38) == pytest.approx(math.erf(1 / math.sqrt(2)), rel=0.02)


# ---- light, weather ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("severity", SEVERITIES)
def test_light_and_contrast_follow_their_formulas(severity):
    image = textured(20)  # so small that CIFAR-10-C's constants are taken
    brighter = corrupt(image, "brightness", severity, seed=0, item=0)
    flatter = corrupt(image, "contrast", severity, seed=0, item=0)
    more, share = [(0.05, 0.75), (0.1, 0.5), (0.15, 0.4), (0.2, 0.3), (0.3, 0.15)][severity - 1]
    means = image.reshape(-1, 3).mean(axis=0) / 255
    for row in range(20):
        for column in range(20):
            pixel = image[row, column] / 255
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, min(1, value + more)))
            assert np.abs(brighter[row, column] - expected).max() < 1.01
            expected = [255 * ((p - m) * share + m) for p, m in zip(pixel, means, strict=True)]
            assert np.abs(flatter[row, column] - expected).max() < 1.01


def naive_plasma(side, decay, draws):
    """Diamond-square, one height after another, on a torus."""
    cloud, step, wobble = np.zeros((side, side)), side, 100.0
    while step >= 2:
        half = step // 2
        for top, left, beside in (
            (half, half, [(-half, -half), (-half, half), (half, -half), (half, half)]),
            (0, half, [(-half, 0), (half, 0), (0, -half), (0, half)]),
            (half, 0, [(-half, 0), (half, 0), (0, -half), (0, half)]),
        ):
            for row in range(top, side, step):
                for column in range(left, side, step):
                    near = [cloud[(row + down) % side, (column + right) % side] for down, right in beside]
                    cloud[row, column] = sum(near) / 4 + wobble * draws.uniform(-wobble, wobble)
        step, wobble = half, wobble / decay
    return (cloud - cloud.min()) / (cloud.max() - cloud.min())


def test_fog_adds_a_cloud_and_keeps_the_brightest_value():
    cloud = naive_plasma(16, 2.5, random())[:12, :12, None]
    for image in (SMALL, 0.6 * SMALL):  # the second one's brightest value is not white
        expected = (image + 0.75 * cloud) * image.max() / (image.max() + 0.75)
        np.testing.assert_allclose(weather.fog(image, (0.75, 2.5), random()), expected)


def test_snow_whitens_the_image_and_falls_both_ways():
    mean, std, length, sigma, kept = 0.3, 0.4, 4, 2, 0.8
    none = weather.snow(SMALL, (mean, std, 1.5, 9.0, length, sigma, kept), random())  # no flakes
    for pixel, found in zip(SMALL.reshape(-1, 3), none.reshape(-1, 3), strict=True):
        grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
        expected = [kept * p + (1 - kept) * max(p, 1.5 * grey + 0.5) for p in pixel]
        np.testing.assert_allclose(found, expected)
    flakes = weather.snow(SMALL, (mean, std, 1.5, 0.5, length, sigma, kept), random()) - none
    assert flakes.min() > -1e-9
    assert flakes.max() > 0.1
    np.testing.assert_allclose(flakes, np.rot90(flakes, k=2), atol=1e-9)


def test_frost_has_the_published_weights():
    texture = frost.texture(12, random())
    black = frost.frost(np.zeros_like(SMALL), (0.7, 0.55), random())
    np.testing.assert_allclose(black, 0.55 * texture)
    np.testing.assert_allclose(frost.frost(SMALL, (0.7, 0.55), random()) - black, 0.7 * SMALL)
    assert CIFAR["frost"][1] == (1, 0.3)
    assert TINY_IMAGENET["frost"][4] == (0.7, 0.55)
    assert IMAGENET["frost"][2] == (0.7, 0.7)


def test_drawn_frost_is_as_light_uneven_and_blue_as_photographs_of_it():
    """The numbers are those of crops of the authors' photographs, measured (see the module)."""
    drawn = [frost.texture(64, random(seed)) for seed in range(100)]
    lightness = [each.mean() for each in drawn]
    assert np.mean(lightness) == pytest.approx(0.635, abs=0.03)
    assert 0.42 < min(lightness) < max(lightness) < 0.82
    contrast = [each.mean(axis=2).std() for each in drawn]
    assert 0.055 < min(contrast) < max(contrast) < 0.145
    red, green, blue = np.mean(drawn, axis=(0, 1, 2))
    assert red < green < blue


# ---- blurs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma", "reach", "passes"), [(0.4, 1, 2), (0.9, 2, 2), (1.0, 3, 1)])
def test_glass_moves_one_pixel_after_another(sigma, reach, passes):
    draws = random()

    def blurred(x):
        return ndimage.gaussian_filter(x, (sigma, sigma, 0), mode="nearest")

    x = (blurred(SMALL) * 255).astype(np.uint8)
    for _ in range(passes):
        moves = iter(draws.integers(-reach, reach, size=((12 - 2 * reach) ** 2, 2)))
        for row in range(12 - reach, reach, -1):
            for column in range(12 - reach, reach, -1):
                right, down = next(moves)
                here, there = x[row, column], x[row + down, column + right]
                here[:], there[:] = there, here  # views: the second one gets back what it gave
    found = blur.glass_blur(SMALL, (sigma, reach, passes), random())
    np.testing.assert_allclose(found, blurred(x / 255))


def naive_line(line, factor):
    """The centre of a line, enlarged linearly from end to end, trimmed."""
    cut = math.ceil(len(line) / factor)
    top = (len(line) - cut) // 2
    centre, large = line[top : top + cut], round(cut * factor)
    enlarged = []
    for place in range(large):
        at = place * (cut - 1) / (large - 1)
        left = min(math.floor(at), cut - 2)
        enlarged.append((1 - at + left) * centre[left] + (at - left) * centre[left + 1])
    trim = (large - len(line)) // 2
    return np.array(enlarged[trim : trim + len(line)])


def test_zoom_is_the_mean_of_the_image_and_its_enlargements():
    total, factors = SMALL.copy(), (1.0, 1.1, 1.2, 1.3)
    for factor in factors:
        rows = naive_line(SMALL, factor)
        total += naive_line(rows.transpose(1, 0, 2), factor).transpose(1, 0, 2)
    found = zoom.zoom_blur(SMALL, (1.35, 0.1), random())
    np.testing.assert_allclose(found, total / (len(factors) + 1), atol=1e-12)


@pytest.mark.parametrize("degrees", [0.0, 30.0, -45.0, -100.0])
def test_motion_averages_over_a_half_line_of_falling_weights(degrees):
    found = blur.along_line(SMALL, 4, 2, degrees)
    weights = [math.exp(-(distance**2) / 8) for distance in range(9)]
    for row in range(12):
        for column in range(12):
            expected = np.zeros(3)
            for distance, weight in enumerate(weights):
                down = round(distance * math.sin(math.radians(degrees)))
                right = round(distance * math.cos(math.radians(degrees)))
                near = SMALL[min(max(row + down, 0), 11), min(max(column + right, 0), 11)]
                expected += weight / sum(weights) * near
            np.testing.assert_allclose(found[row, column], expected)


def test_eight_bits_of_a_motion_blur_are_rounded():
    white = np.full((32, 32, 3), 255, np.uint8)  # weights sum to a little less than 1: cutting would show
    np.testing.assert_array_equal(corrupt(white, "motion_blur", 5, seed=0, item=0), white)


def test_defocus_averages_over_a_disk():
    image = np.zeros((31, 31, 3))
    image[15, 15] = 1
    found = blur.defocus_blur(image, (3, 0.1), random())  # so little softness that the disk stays hard
    inside = [(r, c) for r in range(31) for c in range(31) if (r - 15) ** 2 + (c - 15) ** 2 <= 9]
    expected = np.zeros((31, 31, 3))
    for row, column in inside:
        expected[row, column] = 1 / len(inside)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(("radius", "softness"), IMAGENET["defocus_blur"])
def test_the_disk_is_softened_as_opencv_does(radius, softness):
    """Also where it touches the edge of its window, which makes the authors' kernels sum to more than 1."""
    cv2 = pytest.importorskip("cv2")
    reach, window = (8, 3) if radius <= 8 else (radius, 5)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    hard = (np.hypot(rows, columns) <= radius).astype(np.float64)
    expected = cv2.GaussianBlur(hard / hard.sum(), (window, window), softness)
    np.testing.assert_allclose(blur.disk(radius, softness), expected, atol=1e-7)


# ---- digital -----------------------------------------------------------------------------------------------


def test_an_elastic_transform_looks_up_every_pixel_elsewhere():
    """No affine map; the smooth displacement by SciPy's filter in two dimensions, the pixels one by one."""
    strength, sigma = 1.5, 0.4
    draws = random()
    draws.uniform(size=6)  # for the affine map, which has nothing to shake
    fields = [draws.uniform(-1, 1, (12, 12)) for _ in range(2)]
    smooth = [ndimage.gaussian_filter(each, sigma * 12, mode="reflect", truncate=3) for each in fields]
    right, down = (12 * strength * each for each in smooth)
    found = digital.elastic_transform(SMALL, (strength, sigma, 0.0), random())
    assert max(abs(right).max(), abs(down).max()) > 0.5  # so that there is something to see

    def pixel(row, column):  # mirrored behind the edge, which is half a pixel beyond the last one
        mirrored = [place if 0 <= place < 12 else (-1 - place) % 24 for place in (row, column)]
        return SMALL[mirrored[0], mirrored[1]]

    for row in range(12):
        for column in range(12):
            y, x = row + down[row, column], column + right[row, column]
            top, left = math.floor(y), math.floor(x)
            expected = np.zeros(3)
            for near_y, share_y in ((top, 1 - y + top), (top + 1, y - top)):
                for near_x, share_x in ((left, 1 - x + left), (left + 1, x - left)):
                    expected += share_y * share_x * pixel(near_y, near_x)
            np.testing.assert_allclose(found[row, column], expected, atol=1e-9)


def test_an_affine_map_takes_three_points_to_where_they_are_shaken():
    image = np.zeros((30, 30, 3))
    points = [(25, 25), (5, 25), (5, 5)]  # rows, columns: 15 plus or minus a third of the side
    for channel, (row, column) in enumerate(points):
        image[row - 1 : row + 2, column - 1 : column + 2, channel] = 1
    found = digital.affine(image, 3.0, random())
    moves = random().uniform(-3, 3, size=(3, 2))  # columns, rows
    for channel, (row, column) in enumerate(points):
        centre = ndimage.center_of_mass(found[..., channel])
        assert centre == pytest.approx((row + moves[channel, 1], column + moves[channel, 0]), abs=0.3)


@pytest.mark.parametrize("seed", [0, 1])
def test_an_affine_map_mirrors_the_image_behind_its_edge(seed):
    """The map by its three points and the pixels one by one; the mirror stands on the last pixel."""
    shake, side = 2.0, 12
    moves = random(seed).uniform(-shake, shake, size=(3, 2))[:, ::-1]  # drawn as columns, rows
    before = np.array([[10, 10], [2, 10], [2, 2]], dtype=float)  # 6 plus or minus 4
    system = np.column_stack([before + moves, np.ones(3)])
    to_row, to_column = np.linalg.solve(system, before[:, 0]), np.linalg.solve(system, before[:, 1])
    found, num_outside = digital.affine(SMALL, shake, random(seed)), 0

    def pixel(row, column):
        mirrored = [side - 1 - abs(side - 1 - abs(place)) for place in (row, column)]
        return SMALL[mirrored[0], mirrored[1]]

    for row in range(side):
        for column in range(side):
            y, x = (float(line @ [row, column, 1]) for line in (to_row, to_column))
            num_outside += not (0 <= y <= side - 1 and 0 <= x <= side - 1)
            top, left = math.floor(y), math.floor(x)
            down, right = y - top, x - left
            expected = (1 - down) * ((1 - right) * pixel(top, left) + right * pixel(top, left + 1))
            expected += down * ((1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1))
            np.testing.assert_allclose(found[row, column], expected, atol=1e-9)
    assert num_outside > 10  # so that there is something to see


@pytest.mark.parametrize(
    ("severity", "quality", "share"),
    [(1, 65, 0.9), (2, 58, 0.8), (3, 50, 0.7), (4, 40, 0.6), (5, 25, 0.5)],
)
def test_jpeg_and_pixels_are_pillows(severity, quality, share):
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG", quality=quality)
    found = corrupt(PICTURE, "jpeg_compression", severity, seed=0, item=0)
    np.testing.assert_array_equal(found, np.asarray(Image.open(buffer)))
    side = int(48 * share)
    small = Image.fromarray(PICTURE).resize((side, side), Image.Resampling.BOX)
    found = corrupt(PICTURE, "pixelate", severity, seed=0, item=0)
    np.testing.assert_array_equal(found, np.asarray(small.resize((48, 48), Image.Resampling.BOX)))


# ---- the mean corruption error -----------------------------------------------------------------------------


def test_alexnet_has_a_mean_corruption_error_of_100():
    errors = np.outer(ALEXNET_ERRORS, [0.6, 0.8, 1.0, 1.2, 1.4])  # the mean over severities is what counts
    assert mean_corruption_error(errors, ALEXNET_ERRORS) == pytest.approx(100)
    assert mean_corruption_error(errors / 2, ALEXNET_ERRORS) == pytest.approx(50)
    assert len(ALEXNET_ERRORS) == 15


def test_the_errors_of_alexnet_are_the_published_ones():
    """As google-research/augmix (imagenet.py, ALEXNET_ERR) lists them, shares in ImageNet-C's order."""
    noises, blurs = [0.886428, 0.894468, 0.922640], [0.819880, 0.826268, 0.785948, 0.798360]
    weathers, digitals = [0.866816, 0.826572, 0.819324, 0.564592], [0.853204, 0.646056, 0.717840, 0.606500]
    np.testing.assert_allclose(ALEXNET_ERRORS, 100 * np.array(noises + blurs + weathers + digitals))


def test_the_mean_corruption_error_by_hand():
    two = np.array([[10.0, 30.0], [40.0, 40.0]])  # sums 40 and 80, over 80 and 160 (means 40 and 80)
    assert mean_corruption_error(two, np.array([40.0, 80.0])) == pytest.approx(50)
    assert mean_corruption_error(two, np.array([20.0, 80.0])) == pytest.approx(75)  # kinds weigh the same
    assert mean_corruption_error(two) == pytest.approx(30)
