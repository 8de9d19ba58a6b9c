"""The formats of pictures on the web: which file is which, and its header read by the one parser for it.

Each parser of Pillow is called by name: `Image.open` would also try others, and warn about or refuse large
images by a number that all threads of the process share. Bounds are ours to check (examine.py).
"""

import io
from collections.abc import Callable

from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from m3ae.data.clean.reasons import RejectionError

# A JPEG of several pictures (MPO, of stereo cameras and telephones) is read as its first.
PARSERS: dict[str, Callable[[io.BytesIO], Image.Image]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}

MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    # Pictures too, but not ours: no decoder that comes with every Pillow, or a drawing without a size.
    (b"8BPS", "PSD"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
)
BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC",
          b"mif1": "HEIC", b"msf1": "HEIC"}  # fmt: skip
TEXT_BYTES = 1024  # within which a drawing says `<svg`


def format_of(data: bytes) -> str | None:
    """The format that a file's first bytes announce; None for anything else, such as a web page."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return BRANDS.get(data[8:12])
    for magic, name in MAGIC:
        if data.startswith(magic):
            return name
    begin = data[:TEXT_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_drawing = begin.startswith(b"<svg") or (
        begin.startswith((b"<?xml", b"<!doctype svg")) and b"<svg" in begin
    )
    return "SVG" if is_drawing else None


def read_header(data: bytes) -> tuple[str, Image.Image]:
    """Format and header of an encoded image; nothing is decoded yet.

    Raises RejectionError for a format that is not ours, and whatever Pillow's parsers raise on broken bytes.
    """
    name = format_of(data)
    if name is None:
        raise RejectionError("image_broken", "not an image of a known format")
    if name not in PARSERS:
        raise RejectionError("image_format", name)
    return name, PARSERS[name](io.BytesIO(data))
