"""The same made-up pictures in each of the forms that a source may have."""

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from raw_shards import encoded, picture

CAPTIONS = [
    "a plain picture",
    'a "quoted" one, with a comma',
    '"a quote at the beginning',
    "naïve café 東京",
    "one line\u2028by Unicode\x85alone",
    "a &amp; b <PERSON>",
    "it's 100 % 'fine'",
]


class Picture(NamedTuple):
    """A picture as every source has it."""

    name: str
    image: bytes
    captions: list[str]


def pictures(num: int = 40) -> list[Picture]:
    """Pictures with one caption or several; of 28, one is a duplicate, one broken, one without words."""
    made = []
    for i in range(num):
        captions = [f"{CAPTIONS[(i + k) % len(CAPTIONS)]} {i} {k}" for k in range(1 + i % 3)]
        format = "PNG" if i % 5 == 4 else "JPEG"
        image = encoded(picture(40 + i, 48, seed=i), format)
        made.append(Picture(f"{i // 10}/p {i:03d}.{'png' if format == 'PNG' else 'jpg'}", image, captions))
    if num > 27:
        made[17] = made[17]._replace(image=made[3].image)
        made[21] = made[21]._replace(image=b"GIF89a is no image")
        made[27] = made[27]._replace(captions=[""])
    return made


def write_list(path: Path, made: list[Picture], host: str) -> None:
    """A list of URLs, a row per caption."""
    rows = [f"{host}/{p.name.replace(' ', '%20')}\t{caption}\n" for p in made for caption in p.captions]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(rows), encoding="utf-8", newline="\n")


def write_images(folder: Path, made: list[Picture]) -> None:
    """Files below a folder."""
    for p in made:
        path = folder / p.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(p.image)


def write_table(path: Path, made: list[Picture]) -> None:
    """A table of captions, by its suffix: CSV and TSV with a row per caption, JSON lines with lists too."""
    rows = [(p.name, caption) for p in made for caption in p.captions]
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file).writerows([("id", "filename", "caption")] + [(7, *row) for row in rows])
    elif path.suffix == ".tsv":
        lines = "".join(f"{name}\t{caption}\n" for name, caption in rows)
        path.write_text("filepath\ttitle\n" + lines, encoding="utf-8", newline="\n")
    else:
        objects = [
            {"file_name": p.name, "text": p.captions if p.captions[1:] else p.captions[0]} for p in made
        ]
        path.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects), encoding="utf-8")


def write_crawl(folder: Path, made: list[Picture], per_tar: int = 15) -> None:
    """WebDataset tars; a picture with several captions has them in its JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(made), per_tar):
        with tarfile.open(folder / f"cc-{start // per_tar:04d}.tar", "w") as tar:
            for i, p in enumerate(made[start : start + per_tar]):
                add(tar, f"{i:09d}{Path(p.name).suffix}", p.image)
                add(tar, f"{i:09d}.txt", p.captions[0].encode())
                facts: dict[str, Any] = {"url": f"http://web.test/{p.name}", "width": 1}
                if p.captions[1:]:
                    facts["captions"] = p.captions
                add(tar, f"{i:09d}.json", json.dumps(facts).encode())


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file to a tar."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def write_hdf5(path: Path, made: list[Picture]) -> None:
    """The authors' layout: a row of bytes per pair."""
    pairs = [(p.image, caption.encode()) for p in made for caption in p.captions]
    with h5py.File(path, "w") as file:
        for name, values in (("jpg", [a for a, _ in pairs]), ("caption", [b for _, b in pairs])):
            dataset = file.create_dataset(name, (len(values),), h5py.vlen_dtype(np.uint8))
            for row, value in enumerate(values):
                dataset[row] = np.frombuffer(value, np.uint8)


def source_settings(kind: str, root: Path, made: list[Picture], heldout: int | str) -> dict[str, Any]:
    """Write a source of local files below ``root``; its settings. ``kind`` may be a table's suffix."""
    root.mkdir(parents=True, exist_ok=True)
    if kind == "webdataset":
        write_crawl(root / "crawl", made)
        return {"kind": kind, "train": "crawl", "heldout": heldout}
    if kind == "hdf5":
        write_hdf5(root / "pairs.h5", made)
        return {"kind": kind, "train": "pairs.h5", "heldout": heldout}
    write_images(root / "images", made)
    write_table(root / f"table.{kind}", made)
    return {"kind": "folder", "images": "images", "train": f"table.{kind}", "heldout": heldout}
