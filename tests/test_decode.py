"""Decoding for crops: Pillow's pixels to the bit, whatever is cut away; close to them where it shrinks."""

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from m3ae.data.stream import decode
from m3ae.data.stream.decode import Box, decode_box, image_size, place_of_height, shrinking
from raw_shards import encoded, picture

BOXES = [Box(0, 0, 90, 70), Box(11, 3, 40, 21), Box(0, 0, 90, 1), Box(50, 100, 33, 29), Box(3, 37, 87, 92)]


def busy(width, height, mode="RGB", seed=0):
    """A picture with structure at every scale."""
    rng = np.random.default_rng(seed)
    pixels = np.asarray(picture(width, height, seed)).astype(int) + rng.integers(-40, 40, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert(mode)


def pillow(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


ANY_MODE = [
    {},
    {"quality": 30},
    {"progressive": True},
    {"optimize": True},
    {"restart_marker_rows": 1},
    {"comment": b"a comment before the frame", "icc_profile": b"no profile " * 9000},
]
COLOUR = [
    {"subsampling": "4:4:4"},
    {"subsampling": "4:2:2"},
    {"subsampling": "4:2:0", "quality": 98},
    {"subsampling": "4:1:1"},
    {"keep_rgb": True},
]


@pytest.mark.parametrize(
    ("mode", "options"),
    [("RGB", options) for options in ANY_MODE + COLOUR] + [("L", options) for options in ANY_MODE],
    ids=lambda value: str(value)[:40],
)
def test_unscaled_pixels_are_pillows_to_the_bit(mode, options):
    for width, height in ((90, 129), (91, 144), (97, 131)):
        jpeg = encoded(busy(width, height, mode), **options)
        assert image_size(jpeg) == (width, height)
        for box in BOXES:
            expected = pillow(jpeg)[box.top : box.top + box.height, box.left : box.left + box.width]
            assert np.array_equal(decode_box(jpeg, box, 1000).values, expected)


def test_rows_far_below_the_crop_are_never_decoded():
    jpeg = encoded(busy(64, 400))
    place = place_of_height(jpeg)
    assert place is not None
    assert int.from_bytes(jpeg[place : place + 2], "big") == 400
    assert len(decode.decode_top(jpeg, 100, 1)) == 100 + decode.MARGIN
    assert len(decode.decode_top(jpeg, 390, 1)) == 400
    assert place_of_height(encoded(busy(64, 400), progressive=True)) is None


@pytest.mark.parametrize(
    ("box", "size_px", "factor"),
    [
        (Box(0, 0, 127, 300), 64, 1),
        (Box(0, 0, 128, 128), 64, 2),
        (Box(7, 9, 300, 255), 64, 2),
        (Box(7, 9, 256, 300), 64, 4),
        (Box(7, 9, 2000, 2000), 64, 8),
    ],
)
def test_an_image_shrinks_no_further_than_its_crop_allows(box, size_px, factor):
    assert shrinking(box, size_px) == factor
    jpeg = encoded(picture(box.left + box.width + 5, box.top + box.height + 31))
    pixels, (left, top, right, bottom) = decode_box(jpeg, box, size_px)
    assert (right - left, bottom - top) == (box.width / factor, box.height / factor)
    assert min(right - left, bottom - top) >= size_px
    assert min(left, top) >= 0
    assert max(left, top) < 1
    assert (right, bottom) <= (pixels.shape[1], pixels.shape[0])


def psnr(got, expected):
    return 10 * np.log10(255**2 / ((got.astype(float) - expected) ** 2).mean())


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shrunk_pixels_are_close_to_pillows_shrunken_image(factor):
    """The crop's edges lie on the grid here, so that only the filters differ."""
    image = picture(512, 640, seed=1)
    jpeg = encoded(image, quality=95)
    box = Box(2 * factor, 3 * factor, 32 * factor, 40 * factor)
    edges = (box.left, box.top, box.left + box.width, box.top + box.height)
    expected = Image.open(io.BytesIO(jpeg)).crop(edges).resize((32, 40), Image.Resampling.BICUBIC)
    got = decode_box(jpeg, box, 32).values
    assert got.shape == (40, 32, 3)
    assert psnr(got, np.asarray(expected)) > 38


def test_a_shrunk_image_may_be_cut_as_well():
    jpeg = encoded(busy(300, 700))
    box = Box(0, 0, 256, 256)
    assert np.array_equal(
        decode_box(jpeg, box, 64).values,
        simplejpeg.decode_jpeg(jpeg, min_height=175, min_width=75, min_factor=4)[:64, :64],
    )


@pytest.mark.parametrize(
    "jpeg",
    [
        encoded(busy(90, 129, "CMYK")),
        encoded(busy(90, 129), "PNG"),
        encoded(busy(90, 129), "WEBP", lossless=True),
    ],
    ids=["CMYK", "PNG", "WebP"],
)
def test_pillow_decodes_what_the_fast_decoder_does_not(jpeg):
    assert image_size(jpeg) == (90, 129)
    for box in BOXES:
        got = decode_box(jpeg, box, 10).values
        assert np.array_equal(
            got, pillow(jpeg)[box.top : box.top + box.height, box.left : box.left + box.width]
        )


@pytest.mark.parametrize("cut", [0.02, 0.3, 0.6, 0.99])
def test_bytes_that_end_too_early_are_refused(cut):
    jpeg = encoded(busy(90, 300))
    with pytest.raises(Exception, match=r"(?i)truncated|cannot identify"):
        decode_box(jpeg[: int(cut * len(jpeg))], Box(0, 0, 90, 20), 100)


def test_a_header_of_anything_is_read_without_an_error():
    """No bytes send the search for the frame astray, or round in circles."""
    rng = np.random.default_rng(0)
    jpeg = encoded(busy(40, 60))
    for _ in range(2000):
        broken = bytearray(jpeg)
        for place in rng.integers(2, 300, 4):
            broken[place] = rng.integers(0, 256)
        place_of_height(bytes(broken))
    for short in range(40):
        assert place_of_height(jpeg[:short] + b"\xff\xd9") is None
