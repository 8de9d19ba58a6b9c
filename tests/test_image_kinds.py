"""Every kind of image that the web sends becomes an upright JPEG without metadata, in its own colours."""

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image, ImageCms, ImageOps

from foreign_images import adobe_inks, png16, with_metadata
from m3ae.config import load_run
from m3ae.data.clean.examine import clean_image
from m3ae.data.clean.reasons import RejectionError
from m3ae.data.images import decode_rgb
from raw_shards import encoded, picture


@pytest.fixture
def settings(in_project):
    """Sides from 16 px, short side at most 48 px, at most a million pixels."""
    return load_run("tiny").settings.data.clean


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def close(a: Image.Image, b: Image.Image, tolerance: float = 6) -> bool:
    """Equal up to JPEG's losses."""
    return a.size == b.size and np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() < tolerance


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_kept_jpeg_loses_its_metadata_and_no_bit_of_its_picture(settings, mode, progressive):
    image = picture(60, 48, mode=mode)
    data = with_metadata(image, progressive=progressive)
    jpeg = clean_image(data, settings).jpeg
    assert jpeg == encoded(image, progressive=progressive)  # Pillow's own, written without metadata
    assert (np.asarray(opened(jpeg)) == np.asarray(opened(data))).all()


def test_a_reencoded_image_carries_no_metadata(settings):
    jpeg = clean_image(with_metadata(picture(300, 300)), settings).jpeg
    for said in (b"made by me", b"somebody", b"ICC_PROFILE", b"<xmp>", b"another file"):
        assert said not in jpeg


def test_the_thumbnail_in_a_jfif_header_is_cut_out(settings):
    plain = encoded(picture(48, 48))
    assert plain[2:4] == b"\xff\xe0"
    header = b"\xff\xe0" + (16 + 12).to_bytes(2, "big") + plain[6:18] + b"\x02\x02" + b"t" * 12
    assert clean_image(plain[:2] + header + plain[20:], settings).jpeg == plain


def test_colours_that_only_a_marker_explains_stay(settings):
    """Adobe's marker says that a JPEG holds red, green and blue as such: without it they would be misread."""
    image = picture(48, 48, 5)
    jpeg = clean_image(encoded(image, quality=95, keep_rgb=True), settings).jpeg
    assert close(decode_rgb(jpeg), image)
    assert close(Image.fromarray(simplejpeg.decode_jpeg(jpeg)), image)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_colour_profiles_are_ignored(settings, format):
    """Documented in examine.py: numbers are taken for sRGB, whether they are kept or encoded again."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red = profile.index(b"rXYZ", 128 + 12)  # its entry in the table: where red's colour stands
    at = int.from_bytes(profile[red + 4 : red + 8], "big") + 8
    profile[at : at + 4] = b"\0\0\x20\0"  # a much weaker red
    image = picture(48, 48, 2)
    data = encoded(image, format, icc_profile=bytes(profile))
    assert close(decode_rgb(clean_image(data, settings).jpeg), image)


def test_a_jpeg_of_several_pictures_is_its_first(settings):
    first = picture(48, 48, 1)
    data = encoded(first, "MPO", save_all=True, append_images=[picture(48, 48, 2)])
    assert data.count(b"\xff\xd8\xff") == 2
    assert clean_image(data, settings).jpeg == encoded(first)


@pytest.mark.parametrize(
    "options",
    [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"restart_marker_blocks": 2}],
)
@pytest.mark.parametrize("size", [(48, 48), (61, 47), (600, 333)])
def test_what_is_kept_the_fast_decoder_reads_as_pillow_does(settings, options, size):
    jpeg, width, height = clean_image(encoded(picture(*size, 4), quality=90, **options), settings)
    fast = simplejpeg.decode_jpeg(jpeg, strict=True)
    assert fast.shape == (height, width, 3)
    assert np.abs(fast.astype(int) - np.asarray(decode_rgb(jpeg))).max() <= 3


def test_a_grey_jpeg_stays_grey_and_is_read_as_rgb(settings):
    data = encoded(picture(48, 48, 1, "L"))
    jpeg = clean_image(data, settings).jpeg
    assert opened(jpeg).mode == "L"
    rgb = np.asarray(decode_rgb(jpeg))
    assert (rgb == np.asarray(opened(data))[:, :, None]).all()
    assert (simplejpeg.decode_jpeg(jpeg) == rgb).all()


def test_a_large_jpeg_is_decoded_shrunk_without_a_loss_that_could_be_seen(settings):
    data = encoded(picture(700, 500, 8), quality=95)  # decoded at 1/4
    jpeg, width, height = clean_image(data, settings)
    assert (width, height) == (67, 48)
    whole = decode_rgb(data).resize((67, 48), Image.Resampling.BICUBIC)
    assert close(decode_rgb(jpeg), whole, 1.5)


@pytest.mark.parametrize("transform", [0, 2])
def test_adobes_inverted_inks_are_read_as_libjpeg_and_pillow_read_them(settings, transform):
    data = adobe_inks(picture(40, 40, 3), transform)
    cleaned = decode_rgb(clean_image(data, settings).jpeg)
    inks = simplejpeg.decode_jpeg(data, "CMYK").astype(float)  # inverted: 255 is no ink
    by_hand = inks[:, :, :3] * inks[:, :, 3:] / 255
    assert np.abs(np.asarray(cleaned, float) - by_hand).mean() < 6
    if transform == 0:
        assert close(cleaned, picture(40, 40, 3))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_sixteen_bits_of_colour_are_scaled_to_eight(settings, mode):
    image = picture(40, 40, 3)
    assert close(decode_rgb(clean_image(png16(image.convert(mode)), settings).jpeg), image)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_and_white(settings, format):
    image = picture(40, 40, 3, "L").point(lambda value: 255 * (value > 127)).convert("1")
    cleaned = decode_rgb(clean_image(encoded(image, format), settings).jpeg)
    assert close(cleaned, image.convert("RGB"), 12)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_counts(settings, format):
    first, second = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))
    data = encoded(first, format, save_all=True, append_images=[second])
    assert opened(data).n_frames == 2
    assert close(decode_rgb(clean_image(data, settings).jpeg), first)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_counts_in_every_format_that_can_state_it(settings, format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(40, 30, 6), format, exif=exif, **({"lossless": True} if format == "WEBP" else {}))
    upright = ImageOps.exif_transpose(opened(data)).convert("RGB")
    assert upright.size == ((30, 40) if orientation > 4 else (40, 30))
    assert close(decode_rgb(clean_image(data, settings).jpeg), upright)


def test_floating_point_pixels_are_refused(settings):
    data = encoded(Image.fromarray(np.linspace(0, 1, 1600, dtype=np.float32).reshape(40, 40)), "TIFF")
    with pytest.raises(RejectionError, match="image_format"):
        clean_image(data, settings)
