import numpy as np
import pytest
from PIL import Image

from m3ae.data.clean.examine import clean_image
from m3ae.data.clean.reasons import RejectionError
from m3ae.data.images import decode_rgb, normalise, to_rgb, view
from m3ae.errors import UserError
from raw_shards import encoded, picture, project


@pytest.fixture
def run(tmp_path, monkeypatch):
    return project(tmp_path, monkeypatch)


@pytest.fixture
def settings(run):
    """Sides from 16 px, short side at most 48 px, at most a million pixels."""
    return run.settings.data.clean


def close(a: Image.Image, b: Image.Image, tolerance: float = 6) -> bool:
    """Equal up to JPEG's losses."""
    return a.size == b.size and np.abs(np.asarray(a, float) - np.asarray(b, float)).mean() < tolerance


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_that_needs_no_change_keeps_its_bytes(settings, mode):
    data = encoded(picture(60, 48, mode=mode))
    assert clean_image(data, settings) == (data, 60, 48)


def test_a_large_image_is_shrunk_to_the_short_side(settings):
    original = picture(300, 200)
    jpeg, width, height = clean_image(encoded(original), settings)
    assert (width, height) == (72, 48)
    assert close(decode_rgb(jpeg), original.resize((72, 48), Image.Resampling.LANCZOS))


def test_orientation_that_was_noted_counts_where_the_bytes_have_none(settings):
    image = picture(40, 30)
    assert close(
        decode_rgb(clean_image(encoded(image), settings, 6).jpeg), image.transpose(Image.Transpose.ROTATE_270)
    )


def test_cmyk_jpeg_keeps_its_colours(settings):
    image = picture(40, 40, 3)
    jpeg = clean_image(encoded(image.convert("CMYK"), quality=95), settings).jpeg
    assert close(decode_rgb(jpeg), image)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_lie_over_white(settings, mode):
    alpha = np.zeros((40, 40), np.uint8)
    alpha[:, :20] = 255
    image = picture(40, 40, 3, "L" if mode == "LA" else "RGB")
    image.putalpha(Image.fromarray(alpha))
    if mode == "P":
        image = image.quantize(64)
    pixels = np.asarray(decode_rgb(clean_image(encoded(image, "PNG"), settings).jpeg))
    expected = np.asarray(picture(40, 40, 3).convert("L" if mode == "LA" else "RGB").convert("RGB"), float)
    assert pixels[:, 24:].min() > 240
    assert np.abs(pixels[:, :16] - expected[:, :16]).mean() < 12


def test_sixteen_bits_are_scaled_to_eight():
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    rgb = np.asarray(to_rgb(Image.fromarray(ramp)))
    assert np.abs(rgb[:, :, 0] - ramp / 65535 * 255).max() <= 0.51
    data = encoded(Image.fromarray(ramp), "PNG")
    assert (np.asarray(decode_rgb(data)) == rgb).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_every_cut_image_is_rejected(settings, format):
    data = encoded(picture(200, 150, 1), format)
    assert clean_image(data, settings)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(RejectionError) as rejection:
            clean_image(data[: int(len(data) * share)], settings)
        assert rejection.value.reason in ("image_truncated", "image_broken")
        assert " at 0x" not in rejection.value.detail  # the same at every call


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_loses_no_image(settings):
    data = encoded(picture(40, 40), exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff\x12\x01")
    assert clean_image(data, settings).width == 40


@pytest.mark.parametrize("size", [(70, 50), (50, 70), (48, 48), (31, 200)])
def test_view_resizes_the_short_side_and_crops_the_centre(size):
    image = picture(*size, seed=2)
    got = view(image, 32, 24)

    width, height = size
    scale = 32 / min(size)
    resized = np.asarray(
        image.resize((int(width * scale + 1e-9), int(height * scale + 1e-9)), Image.Resampling.BICUBIC)
    )
    top, left = round((resized.shape[0] - 24) / 2), round((resized.shape[1] - 24) / 2)
    assert got.shape == (24, 24, 3)
    assert (got == resized[top : top + 24, left : left + 24]).all()


def test_view_of_an_image_that_fits_is_the_image():
    image = picture(32, 32)
    assert (view(image, 32, 32) == np.asarray(image)).all()


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(UserError, match=r"features.resize_px: expected at least .* 64, got 32"):
        view(picture(32, 32), 32, 64)


def test_normalise_matches_the_formula_written_out():
    batch = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    mean, std = [0.5, 0.4, 0.3], [0.3, 0.2, 0.1]
    got = normalise(batch, mean, std)
    assert got.dtype == np.float32
    assert got.shape == (2, 3, 3, 4)
    for b, row, column, channel in np.ndindex(2, 3, 4, 3):
        expected = (batch[b, row, column, channel] / 255 - mean[channel]) / std[channel]
        assert got[b, channel, row, column] == pytest.approx(expected, abs=1e-5)
