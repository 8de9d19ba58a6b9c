"""A data set as large as CC12M in index and tokens, whose samples are the same few pictures over and over."""

from pathlib import Path

import numpy as np

from m3ae.config import Run
from m3ae.data.index import IndexWriter, read_index
from m3ae.data.manifest import CAPTIONS, INDEX, MANIFEST, Shard, read_manifest, write_manifest
from m3ae.data.tokens import COLUMN, LEVELS
from m3ae.data.wordfile import WordWriter
from m3ae.files import sha256_of
from made_shards import make_stream_project, manifest_of

BLOCK = 1_000_000


def make_large(folder: Path, num_samples: int, num_words: int = 16) -> Run:
    """The run `micro` whose training split says that it has ``num_samples``; in the current folder."""
    run = make_stream_project(folder, mixture={"pairs": 1.0, "images": 0.0, "texts": 0.0})
    shards = run.paths.shards("train")
    repeat_index(shards, num_samples)
    path, tokenizer = run.paths.tokens("train"), run.paths.tokenizer
    facts = {
        "tokenizer_sha256": sha256_of(tokenizer),
        "vocab_size": "256",
        "max_tokens": "20",
        "captions_sha256": sha256_of(shards / CAPTIONS),
    }
    with path.open("wb") as file, WordWriter(file, COLUMN, LEVELS, 256, facts) as writer:
        for start in range(0, num_samples, BLOCK):
            num = min(BLOCK, num_samples - start)
            ids = np.random.default_rng(start).integers(2, 50, num * num_words)
            writer.add(ids, np.full(num, num_words), np.ones(num, np.int64))
    return run


def repeat_index(shards: Path, num_samples: int) -> None:
    """Let ``num_samples`` rows of the index point at the few samples that are there."""
    few = [np.array(column) for column in read_index(shards / INDEX)]
    tars = read_manifest(shards / MANIFEST).shards
    with IndexWriter(shards / INDEX) as index:
        for start in range(0, num_samples, BLOCK):
            rows = np.arange(start, min(start + BLOCK, num_samples)) % len(few[0])
            index.extend(*(column[rows] for column in few))
    counts = np.bincount(read_index(shards / INDEX).shard, minlength=len(tars)).tolist()
    tars = [Shard(**{**tar.model_dump(), "count": count}) for tar, count in zip(tars, counts, strict=True)]
    write_manifest(shards / MANIFEST, manifest_of(shards, num_samples, tars))
