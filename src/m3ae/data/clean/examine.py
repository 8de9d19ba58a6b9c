"""One received sample: fit to be kept, or the reason why not. Pure: bytes in, bytes out, no shared state.

Colour profiles are ignored: pixel values are taken for sRGB, as nearly all of the web means them, and as the
training's decoders would take them.
"""

import io
from typing import NamedTuple

from PIL import Image

from m3ae.config.data import Clean
from m3ae.data.clean.captions import fit_captions
from m3ae.data.clean.decoding import decode
from m3ae.data.clean.formats import read_header
from m3ae.data.clean.orientation import UPRIGHT, stored_orientation, turn_upright
from m3ae.data.clean.reasons import RejectionError
from m3ae.data.clean.segments import read_segments
from m3ae.data.images import resize_short_side, to_rgb
from m3ae.data.raw.samples import Outcome, Rejected

MAX_SCANS = 100  # of a progressive JPEG, which needs about ten; each costs a pass over all pixels
TILE_TAGS = (322, 323)  # TileWidth and TileLength, in TIFF 6.0: a tile is decoded whole


class CleanImage(NamedTuple):
    """An RGB or grey JPEG without metadata, upright and within bounds."""

    jpeg: bytes
    width: int
    height: int


class CleanSample(NamedTuple):
    """A sample that is kept."""

    key: str
    url: str
    sha256: bytes
    """Digest of the image as it was received: equal ones are duplicates."""
    image: CleanImage
    captions: list[str]


def examine(outcome: Outcome, settings: Clean, *, captioned: bool = True) -> CleanSample | Rejected:
    """Judge one sample, and bring its image and captions into shape; what never came stays rejected.

    Images without captions (``captioned`` False) are judged alone, and keep none.
    """
    if isinstance(outcome, Rejected):
        return outcome
    try:
        captions = fit_captions(outcome.captions, settings) if captioned else []
        image = clean_image(outcome.image, settings, outcome.orientation)
    except RejectionError as error:
        return Rejected(outcome.url, error.reason, error.detail, outcome.key)
    return CleanSample(outcome.key, outcome.url, outcome.sha256, image, captions)


def clean_image(data: bytes, settings: Clean, noted: int = UPRIGHT) -> CleanImage:
    """Decode the whole image, turn it upright, shrink it, encode it as JPEG.

    ``noted`` is the EXIF orientation of an image whose own was lost. A JPEG that needs none of this keeps its
    coded picture bit by bit, without the metadata. Raises RejectionError, with the reason.
    """
    try:
        format, header = read_header(data)
        check_bounds(header, settings)  # before decoding: the header costs nothing
        stripped = plain_jpeg(data) if format == "JPEG" else None
        image, is_flawless = decode(header, data, settings.short_side_px)
        orientation = stored_orientation(header) or noted  # after decoding, which turns a TIFF by itself
        is_small = min(image.size) <= settings.short_side_px
        if stripped and is_flawless and is_small and orientation == UPRIGHT:
            return CleanImage(stripped, *image.size)
        rgb = turn_upright(to_rgb(image), orientation)
    except (RejectionError, MemoryError):  # too little memory is the machine's fault
        raise
    except Exception as error:  # decoders raise many kinds on foreign bytes
        raise RejectionError(*broken(error)) from None
    return encode(rgb, settings)


def check_bounds(image: Image.Image, settings: Clean) -> None:
    """Refuse decompression bombs, tiny images and slivers, by the size in the header."""
    short, long = sorted(image.size)
    came = f"{image.width} x {image.height} pixels"
    tile_width, tile_height = (getattr(image, "tag_v2", {}).get(tag, 0) for tag in TILE_TAGS)
    if max(short * long, tile_width * tile_height) > settings.max_pixels:
        raise RejectionError("image_too_large", came)
    if short < settings.min_side_px:
        raise RejectionError("image_too_small", came)
    if long > settings.max_aspect * short:
        raise RejectionError("image_aspect", came)


def plain_jpeg(data: bytes) -> bytes | None:
    """The JPEG without metadata; None if it has to be encoded again. Refuses one of too many scans."""
    segments = read_segments(data)
    if segments.num_scans > MAX_SCANS:
        raise RejectionError("image_broken", f"{segments.num_scans} scans")
    return segments.stripped if segments.is_plain else None


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
    reason = "image_truncated" if "truncated" in str(error).lower() else "image_broken"
    return reason, f"{type(error).__name__}: {error}"
