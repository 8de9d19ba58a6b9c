"""Captions of some of the samples: how many per image, how long, how often repeated."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from m3ae.data.inspect.facts import Captions, Lengths
from m3ae.data.manifest import MANIFEST
from m3ae.errors import UserError

COLUMN = "captions"
MIN_GROUPS = 16
"""Row groups that are read at least: neighbours in a list are often alike."""


def caption_facts(
    path: Path, num_samples: int, seed: int, num_pieces: Callable[[int], list[int]] | None
) -> Captions | None:
    """Read captions of at least ``num_samples`` samples; None if none of these has a caption.

    ``num_pieces`` gives the number of word pieces of each caption of a sample, where tokens were made.
    """
    with opened(path) as file:
        groups = draw_groups(file.metadata, num_samples, seed)
        column = file.read_row_groups([group for group, _ in groups], columns=[COLUMN])[COLUMN]
    texts = pc.list_flatten(column)
    if not len(texts):
        return None
    lengths = [Lengths.of("characters", pc.utf8_length(texts).to_numpy())]
    if num_pieces:
        ids = (id for _, rows in groups for id in rows)
        pieces = np.array([num for id in ids for num in num_pieces(id)], np.int64)
        lengths.append(Lengths.of("word pieces", pieces))
    return Captions(
        num_samples=len(column),
        num=len(texts),
        per_image=per_image(column),
        repeated=len(texts) - pc.count_distinct(texts).as_py(),
        lengths=lengths,
    )


def captions_of(path: Path, ids: list[int]) -> list[list[str]]:
    """The captions of some samples; reads no more than their row groups."""
    with opened(path) as file:
        ends = np.cumsum(group_sizes(file.metadata))
        groups = np.searchsorted(ends, ids, side="right").tolist()
        columns = {group: file.read_row_group(group, columns=[COLUMN])[COLUMN] for group in set(groups)}
    return [
        columns[group][id - int(ends[group]) + len(columns[group])].as_py()
        for id, group in zip(ids, groups, strict=True)
    ]


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The file of captions. Raises UserError, one line, if it is missing or broken."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, KeyError) as error:
        message = " ".join(str(error).split())
        raise UserError(
            f"{path}: expected the captions of the samples ({message}); rebuild the shards: "
            f"snakemake --force {path.with_name(MANIFEST)}"
        ) from None


def group_sizes(metadata: pq.FileMetaData) -> list[int]:
    """Rows of each row group."""
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def draw_groups(metadata: pq.FileMetaData, num_samples: int, seed: int) -> list[tuple[int, range]]:
    """Row groups at random, in the order of the file, each with its rows."""
    sizes = group_sizes(metadata)
    starts = np.cumsum([0, *sizes]).tolist()
    drawn: list[int] = []
    num = 0
    for group in random.Random(seed).sample(range(len(sizes)), len(sizes)):
        if num >= num_samples and len(drawn) >= MIN_GROUPS:
            break
        drawn.append(group)
        num += sizes[group]
    return [(group, range(starts[group], starts[group + 1])) for group in sorted(drawn)]


def per_image(column: pa.ChunkedArray) -> dict[int, int]:
    """Number of captions -> number of images that have so many."""
    counts = pc.value_counts(pc.list_value_length(column)).to_pylist()
    return dict(sorted((entry["values"], entry["counts"]) for entry in counts))
