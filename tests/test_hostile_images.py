"""What is no image, lies about its size or was damaged is refused under one reason, at no cost."""

import resource
import struct
import subprocess
import sys
import time
import warnings
import zlib

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from foreign_images import chunk, damaged, every_kind
from m3ae.config import load_run
from m3ae.data.clean.examine import clean_image
from m3ae.data.clean.reasons import REASONS, RejectionError
from m3ae.data.clean.segments import read_segments
from m3ae.data.images import decode_rgb
from raw_shards import encoded, picture


@pytest.fixture
def settings(in_project):
    """Sides from 16 px, short side at most 48 px, at most a million pixels."""
    return load_run("tiny").settings.data.clean


def reason(data, settings):
    with pytest.raises(RejectionError) as rejection:
        clean_image(data, settings)
    return rejection.value.reason


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"<html><svg></svg></html>", b"\xff\xd8\xff" * 9, b"MZ" * 50, bytes(500)]
)
def test_what_is_no_image_is_rejected(settings, data):
    assert reason(data, settings) == "image_broken"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("SVG", b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg width='9'>"),
        ("PSD", b"8BPS\0\1"),
        ("HEIC", b"\0\0\0\x18ftypheic"),
        ("AVIF", b"\0\0\0\x20ftypavif"),  # whether or not this Pillow reads it
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0"),
        ("PDF", b"%PDF-1.7"),
        ("ICO", b"\0\0\1\0\1\0"),
        ("JPEG XL", b"\xff\x0a"),
        ("JPEG 2000", b"\xff\x4f\xff\x51"),
        ("BigTIFF", b"II+\0\x08\0"),
    ],
)
def test_other_formats_are_refused_by_name(settings, name, data):
    with pytest.raises(RejectionError) as rejection:
        clean_image(data + bytes(40), settings)
    assert (rejection.value.reason, rejection.value.detail) == ("image_format", name)


def tiff_of_one_tile(side: int) -> bytes:
    """A TIFF of 48 x 48 pixels in one tile of ``side`` x ``side``, compressed to nothing."""
    data = zlib.compress(bytes(2304))
    tags = {256: 48, 257: 48, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 200, 325: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + data


def bomb(kind: str) -> bytes:
    """A small file of many pixels."""
    if kind == "png":  # 2^62 pixels
        header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9)))
    if kind == "bmp":
        sides = (60_000).to_bytes(4, "little") * 2
        return b"BM" + bytes(12) + b"\x28\0\0\0" + sides + b"\1\0\x18\0" + bytes(24)
    if kind == "tile":
        return tiff_of_one_tile(60_000)
    return encoded(Image.new("L", (2_000, 2_000)), kind.upper())


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "tiff", "bmp", "tile"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(settings, monkeypatch, kind):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    assert reason(bomb(kind), settings) == "image_too_large"


def test_a_tiff_of_a_fit_tile_is_read(settings):
    assert clean_image(tiff_of_one_tile(48), settings).width == 48


def test_bounds_are_the_settings_own_and_nothing_of_the_process_is_changed(settings, recwarn):
    """Pillow's own bound, shared by all threads, warns from 89 million pixels."""
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    wide = settings.model_copy(update={"max_pixels": 120_000_000})
    assert clean_image(encoded(Image.new("1", (10_000, 10_000)), "PNG"), wide).width == 48
    assert (Image.MAX_IMAGE_PIXELS, list(warnings.filters)) == before
    assert not [warning for warning in recwarn if "ecompression" in str(warning.message)]


def test_a_progressive_jpeg_of_a_thousand_scans_is_refused_unread(settings):
    data = encoded(picture(48, 48), progressive=True)
    last = data.rindex(b"\xff\xda")
    scans = data[:-2] + data[last:-2] * 1000 + data[-2:]
    assert read_segments(scans).num_scans > 1000
    with pytest.raises(RejectionError, match="scans"):
        clean_image(scans, settings)


def test_a_jpeg_with_a_hole_is_rejected_although_pillow_shows_it(settings):
    """As a lost packet leaves it: Pillow decodes it without a word."""
    data = encoded(picture(200, 200, 7), quality=95)
    for lost in (100, 400, 1000):
        holed = data[: len(data) // 2] + data[len(data) // 2 + lost :]
        assert decode_rgb(holed).size == (200, 200)
        assert reason(holed, settings) == "image_truncated"
    rng = np.random.default_rng(7)
    noise = encoded(Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)), quality=95)
    assert decode_rgb(noise[:20_000] + noise[20_403:]).size == (200, 200)
    assert reason(noise[:20_000] + noise[20_403:], settings) == "image_broken"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_with_a_false_end_is_rejected(settings, share, progressive):
    """As an editor or a proxy closes a file that was cut."""
    rng = np.random.default_rng(7)
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(image, quality=95, progressive=progressive)
    assert reason(data[: int(len(data) * share)] + b"\xff\xd9", settings) in (
        "image_truncated",
        "image_broken",
    )


def test_harmless_oddities_lose_no_image(settings):
    """Fill bytes, stray bytes before the end, an unknown segment."""
    image = picture(48, 48, 2)
    data = encoded(image)
    odd = [
        data[:2] + b"\xff\xff\xff" + data[2:],  # fill bytes before a marker
        data[:-2] + bytes(5) + data[-2:],  # padding
        data[:2] + b"\xff\xef\x00\x06none" + data[2:],
    ]
    for version in odd:
        jpeg = clean_image(version, settings).jpeg
        assert np.abs(np.asarray(decode_rgb(jpeg), float) - np.asarray(image, float)).mean() < 8
        assert simplejpeg.decode_jpeg(jpeg, strict=True).shape == (48, 48, 3)


def test_an_image_without_a_side_is_rejected(settings):
    data = bytearray(encoded(picture(48, 48)))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 7] = b"\0\0"
    assert reason(bytes(data), settings) in REASONS
    assert reason(b"GIF89a" + bytes(30), settings) in REASONS


def test_too_little_memory_is_not_the_images_fault(settings, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("m3ae.data.clean.examine.decode", fail)
    with pytest.raises(MemoryError):
        clean_image(encoded(picture(48, 48)), settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", list(every_kind()))
def test_damaged_bytes_give_a_sample_or_a_reason_never_an_error_a_hang_or_much_memory(settings, kind):
    data, rng = every_kind()[kind], np.random.default_rng(0)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = set()
    for _ in range(250):
        try:
            jpeg, width, height = clean_image(damaged(data, rng), settings)
        except RejectionError as rejection:
            found.add(rejection.reason)
        else:
            assert simplejpeg.decode_jpeg(jpeg, strict=True).shape == (height, width, 3)
            assert min(width, height) <= settings.short_side_px
    assert found & {"image_broken", "image_truncated"}
    assert found <= set(REASONS)
    assert time.process_time() - started < 60  # CPU seconds: a quarter of a second each
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 200 * settings.max_pixels


def test_the_header_of_a_bomb_costs_no_memory(in_project):
    """In a process of its own, where nothing else has needed memory before."""
    script = """
import io, resource
from PIL import Image
from m3ae.config import load_run
from m3ae.data.clean.examine import clean_image
from m3ae.data.clean.reasons import RejectionError
settings = load_run("tiny").settings.data.clean
buffer = io.BytesIO()
Image.new("RGB", (48, 48)).save(buffer, "WEBP", lossless=True)
webp = bytearray(buffer.getvalue())
at = webp.index(b"VP8L") + 9
webp[at : at + 4] = ((12000 - 1) | (12000 - 1) << 14).to_bytes(4, "little")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(3):
    try:
        clean_image(bytes(webp), settings)
    except RejectionError as rejection:
        print(rejection.reason)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *reasons, grown_mib = done.stdout.split()
    assert reasons == ["image_too_large"] * 3
    assert int(grown_mib) < 50
