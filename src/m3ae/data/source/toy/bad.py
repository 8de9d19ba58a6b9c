"""What the web does to a list of images, in small: rows that download or cleaning must reject."""

from pathlib import Path

import numpy as np

from m3ae.data.source.lists import Row

ERROR_PAGE = b"<!DOCTYPE html>\n<html><head><title>Not found</title></head><body>Gone.</body></html>\n"
KINDS = ("dead", "page", "truncated", "duplicate")


def bad_rows(images: Path, rows: list[Row], count: int, rng: np.random.Generator) -> list[Row]:
    """Make ``count`` bad rows after random good ones, every kind in turn, files included.

    `dead` has no file; `page` is HTML under an image's name; `truncated` is half a JPEG;
    `duplicate` is a good image once more, under another name.
    """
    made = []
    for index in range(count):
        model = rows[rng.integers(len(rows))]
        kind = KINDS[index % len(KINDS)]
        name = f"{kind}-{index:05d}.jpg"
        content = spoil(kind, (images / model.url).read_bytes())
        if content is not None:
            (images / name).write_bytes(content)
        made.append(Row(name, model.caption))
    return made


def spoil(kind: str, image: bytes) -> bytes | None:
    """The bytes that a server sends for a row of this kind; None where it has none."""
    return {
        "dead": None,
        "page": ERROR_PAGE,
        "truncated": image[: len(image) // 2],
        "duplicate": image,
    }[kind]
