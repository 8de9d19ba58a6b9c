"""What a pass asks for, as Parquet files that img2dataset reads one by one: it holds each whole in memory."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from m3ae.data.download.layout import FIRST_KEY, tars_of
from m3ae.data.raw.img2dataset import read_table
from m3ae.data.raw.reasons import may_pass
from m3ae.data.source.lists import read_rows
from m3ae.errors import UserError
from m3ae.files import new_folder

PART_ROWS = 100_000


def write_first(path: Path, folder: Path, shard_samples: int) -> None:
    """A list as img2dataset reads it: a row per URL, in the order in which the list first names them."""
    with new_folder(folder) as partial:
        write_parts(partial, first_rows(path), shard_samples)


def first_rows(path: Path) -> Iterator[dict[str, str]]:
    """A URL, its first caption, and all of them as a JSON list. Raises UserError for an empty or broken list.

    Reads the list three times instead of holding it in memory.
    """
    gathered = captions_of_repeated(path, repeated_hashes(path))
    for row in read_rows(path):
        captions = gathered.get(row.url, [row.caption])
        if captions:
            yield {
                "url": row.url,
                "caption": captions[0],
                "captions": json.dumps(captions, ensure_ascii=False),
            }
            if row.url in gathered:
                gathered[row.url] = []  # its other rows are in this one


def repeated_hashes(path: Path) -> set[int]:
    """The hashes that more than one row's URL has: 8 bytes a row."""
    hashes = np.fromiter((hash(row.url) for row in read_rows(path)), np.int64)
    if not len(hashes):
        raise UserError(f"{path}: expected lines `url<TAB>caption`, got an empty file; make the list again")
    hashes.sort()
    return set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())


def captions_of_repeated(path: Path, hashes: set[int]) -> dict[str, list[str]]:
    """All captions of the URLs with these hashes, in order; two URLs with the same hash do no harm."""
    captions: dict[str, list[str]] = {}
    for row in read_rows(path) if hashes else ():
        if hash(row.url) in hashes:
            captions.setdefault(row.url, []).append(row.caption)
    return captions


def write_retries(raw: Path, folder: Path, shard_samples: int) -> tuple[int, str]:
    """What failed in the raw shards ``raw`` for a reason that may pass; rows, and a digest of them."""
    digest, count = hashlib.sha256(), 0

    def noted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for row in retry_rows(raw):
            count += 1
            digest.update(f"{row[FIRST_KEY]} {row['url']}\n".encode())
            yield row

    with new_folder(folder) as partial:
        write_parts(partial, noted(), shard_samples)
    return count, digest.hexdigest()


def retry_rows(raw: Path) -> Iterator[dict[str, Any]]:
    """The failures of raw shards that may pass, in the order of the list."""
    for tar in tars_of(raw):
        table = read_table(tar, ["caption", "captions"])
        again = pa.array([may_pass(reason) for reason in table["reason"].to_pylist()], pa.bool_())
        chosen = table.filter(pc.fill_null(again, False))
        yield from chosen.select(["url", "caption", "captions", FIRST_KEY]).to_pylist()


def write_parts(folder: Path, rows: Iterable[dict[str, Any]], shard_samples: int) -> None:
    """Write rows as files of whole shards: img2dataset begins a new shard with each file."""
    rows, part_rows = iter(rows), shard_samples * max(1, PART_ROWS // shard_samples)
    number = 0
    while part := list(islice(rows, part_rows)):
        columns = {name: pa.array([row[name] for row in part], pa.string()) for name in part[0]}
        pq.write_table(pa.table(columns), folder / f"{number:05d}.parquet")
        number += 1
