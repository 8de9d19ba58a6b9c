"""One downloaded sample: fit to be kept, or the reason why not. Pure: bytes in, bytes out."""

import io
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from m3ae.config.data import Clean
from m3ae.data.clean.captions import fit_captions
from m3ae.data.clean.orientation import UPRIGHT, stored_orientation, turn_upright
from m3ae.data.clean.rejects import RejectionError
from m3ae.data.images import open_image, resize_short_side, to_rgb
from m3ae.data.raw.samples import RawSample, Rejected


class CleanImage(NamedTuple):
    """An RGB or grey JPEG, upright and within bounds."""

    jpeg: bytes
    width: int
    height: int


class CleanSample(NamedTuple):
    """A sample that is kept."""

    url: str
    sha256: bytes
    """Digest of the image as it was received: equal ones are duplicates."""
    image: CleanImage
    captions: list[str]


def examine(sample: RawSample, settings: Clean) -> CleanSample | Rejected:
    """Judge one sample, and bring its image and captions into shape."""
    try:
        captions = fit_captions(sample.captions, settings)
        image = clean_image(sample.image, settings, sample.orientation)
    except RejectionError as error:
        return Rejected(sample.url, error.reason, error.detail)
    return CleanSample(sample.url, sample.sha256, image, captions)


def clean_image(data: bytes, settings: Clean, noted: int = UPRIGHT) -> CleanImage:
    """Decode the whole image, turn it upright, shrink it, encode it as JPEG.

    ``noted`` is the EXIF orientation of an image whose own was lost. A JPEG that needs none of
    this keeps its bytes. Raises RejectionError, with the reason.
    """
    try:
        image = open_image(data)
        check_bounds(image.size, settings)  # before decoding: the header costs nothing
        image.load()
        orientation = stored_orientation(image) or noted
        if orientation == UPRIGHT and is_fit_jpeg(image, settings):
            return CleanImage(data, *image.size)
        rgb = turn_upright(to_rgb(image), orientation)
    except RejectionError:
        raise
    except Exception as error:  # decoders raise many kinds on foreign bytes
        raise RejectionError(*broken(error)) from None
    return encode(rgb, settings)


def check_bounds(size: tuple[int, int], settings: Clean) -> None:
    """Refuse decompression bombs, tiny images and slivers, by the size in the header."""
    short, long = sorted(size)
    came = f"{size[0]} x {size[1]} pixels"
    if short * long > settings.max_pixels:
        raise RejectionError("image_too_large", came)
    if short < settings.min_side_px:
        raise RejectionError("image_too_small", came)
    if long > settings.max_aspect * short:
        raise RejectionError("image_aspect", came)


def is_fit_jpeg(image: Image.Image, settings: Clean) -> bool:
    """Whether the received bytes can be kept: a colour or grey JPEG that is not too large."""
    is_plain = image.format == "JPEG" and image.mode in ("RGB", "L")
    return is_plain and min(image.size) <= settings.short_side_px


def encode(rgb: Image.Image, settings: Clean) -> CleanImage:
    """Shrink to the short side if larger, and encode as JPEG."""
    if min(rgb.size) > settings.short_side_px:
        rgb = resize_short_side(rgb, settings.short_side_px)
    rgb.info.clear()  # comments of the original would be written again
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG", quality=settings.jpeg_quality)
    return CleanImage(buffer.getvalue(), *rgb.size)


def broken(error: Exception) -> tuple[str, str]:
    """Reason and detail for a decoder's exception, the same at every call."""
    if isinstance(error, Image.DecompressionBombError):
        return "image_too_large", str(error)
    if isinstance(error, UnidentifiedImageError):
        return "image_broken", "not an image of a known format"  # Pillow's text holds an address
    reason = "image_truncated" if "truncated" in str(error).lower() else "image_broken"
    return reason, f"{type(error).__name__}: {error}"
