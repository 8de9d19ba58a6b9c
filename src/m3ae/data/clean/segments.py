"""The segments of a JPEG file (ITU T.81, annex B), and the same image without its metadata.

Decodes nothing: a kept JPEG loses its EXIF (where it was taken, by which camera), thumbnails, comments,
colour profiles and whatever follows its end, and keeps every bit of the picture.
"""

import re
from typing import NamedTuple

SOI, EOI, SOS, COM, APP0, APP14 = 0xD8, 0xD9, 0xDA, 0xFE, 0xE0, 0xEE
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: what every decoder reads
OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
METADATA = (*range(0xE0, 0xF0), COM)

# In coded data 0xFF is followed by 0 or by a restart marker; anything else begins a segment.
NEXT_SEGMENT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class Segments(NamedTuple):
    """What the segments of a JPEG say of it."""

    is_plain: bool
    """Whole, of 8 bits, grey or three colours, and in a coding that every decoder reads."""
    num_scans: int
    stripped: bytes
    """The image without metadata."""


def read_segments(data: bytes) -> Segments:
    """Walk through a JPEG's segments, as far as they make sense."""
    kept, num_scans, place = [data[:2]], 0, 2
    frames: list[tuple[int, bytes]] = []
    while marker := NEXT_SEGMENT.match(data, skip_fill(data, place)):
        code, start = data[marker.end() - 1], marker.start()
        if code == EOI:
            kept.append(data[start : start + 2])
            return Segments(frames_are_plain(frames) and num_scans > 0, num_scans, b"".join(kept))
        place = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if code in (*FRAMES, *OTHER_FRAMES):
            frames.append((code, data[start + 4 : place]))
        if code == SOS:
            num_scans += 1
            coded = NEXT_SEGMENT.search(data, place)
            place = coded.start() if coded else len(data)
        kept.append(without_metadata(code, data[start:place]))
    return Segments(False, num_scans, b"")


def skip_fill(data: bytes, place: int) -> int:
    """Past the fill bytes before a marker, of which there may be any number."""
    while data[place : place + 2] == b"\xff\xff":
        place += 1
    return place


def frames_are_plain(frames: list[tuple[int, bytes]]) -> bool:
    """One frame, 8 bits, one or three components."""
    if len(frames) != 1 or frames[0][0] not in FRAMES or len(frames[0][1]) < 6:
        return False
    header = frames[0][1]  # precision, height (2 bytes), width (2 bytes), components
    return header[0] == 8 and header[5] in (1, 3)


def without_metadata(code: int, segment: bytes) -> bytes:
    """The segment, or nothing; two that decide on the meaning of the colours stay, without a thumbnail."""
    if code == APP0 and segment[4:9] == b"JFIF\0" and len(segment) >= 18:
        return b"\xff\xe0\x00\x10" + segment[4:16] + b"\0\0"
    if code == APP14 and segment[4:9] == b"Adobe":
        return segment
    return b"" if code in METADATA else segment
