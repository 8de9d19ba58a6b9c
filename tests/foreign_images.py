"""Images as the web has them: other modes, other metadata, damaged on the way."""

import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

from raw_shards import encoded, picture


def with_metadata(image: Image.Image, **options) -> bytes:
    """A JPEG that says where and how it was taken, with a profile, and bytes behind its end."""
    exif = Image.Exif()
    exif[0x010F] = "camera of somebody"
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    said = {"exif": exif, "comment": b"made by me", "icc_profile": profile, "xmp": b"<xmp>me</xmp>"}
    return encoded(image, **said, **options) + b"another file behind the end"


def png16(image: Image.Image) -> bytes:
    """A PNG of 16 bits in colour, with alpha or not, which Pillow does not write."""
    pixels = np.asarray(image, np.uint16) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", *image.size, 16, {"RGB": 2, "RGBA": 6}[image.mode], 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def adobe_inks(image: Image.Image, transform: int) -> bytes:
    """A four-colour JPEG with Adobe's marker, inverted as Photoshop writes it: CMYK (0) or YCCK (2)."""
    data = encoded(image.convert("CMYK"), quality=95)
    at = data.index(b"Adobe") + 11
    return data[:at] + bytes([transform]) + data[at + 1 :]


def every_kind() -> dict[str, bytes]:
    """A valid image of each format and kind."""
    rgb, others = picture(64, 60, 1), [picture(64, 60, seed) for seed in (2, 3)]
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray(np.arange(3840).reshape(60, 64).astype(np.uint8)))
    animated = {"save_all": True, "append_images": others}
    return {
        "jpeg": encoded(rgb),
        "progressive": encoded(rgb, progressive=True),
        "grey": encoded(rgb.convert("L")),
        "cmyk": encoded(rgb.convert("CMYK")),
        "mpo": encoded(rgb, "MPO", **animated),
        "exif": with_metadata(rgb),
        "png": encoded(rgb, "PNG"),
        "rgba": encoded(alpha, "PNG"),
        "palette": encoded(alpha.quantize(32), "PNG"),
        "png16": png16(rgb),
        "apng": encoded(rgb, "PNG", **animated),
        "gif": encoded(rgb, "GIF", **animated),
        "webp": encoded(rgb, "WEBP"),
        "webp-lossless": encoded(alpha, "WEBP", lossless=True),
        "webp-animated": encoded(rgb, "WEBP", **animated),
        "bmp": encoded(rgb, "BMP"),
        "tiff": encoded(rgb, "TIFF"),
        "tiff-lzw": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": encoded(rgb, "TIFF", compression="jpeg"),
        "tiff-deflate": encoded(rgb, "TIFF", compression="tiff_deflate"),
    }


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, half of the time within the header; sometimes cut, sometimes a piece twice."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        end = len(changed) if rng.random() < 0.5 else min(len(changed), 200)
        changed[rng.integers(end)] = rng.integers(256)
    if rng.random() < 0.3:
        changed = changed[: rng.integers(len(changed))]
    elif rng.random() < 0.1:
        changed += changed[rng.integers(len(changed)) :]
    return bytes(changed)
