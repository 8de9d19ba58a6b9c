"""Word pieces of every caption: made once, read by id."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64
from tokenizers import Tokenizer
from tqdm import tqdm

from m3ae.config import Run
from m3ae.data.manifest import MANIFEST, read_manifest
from m3ae.data.shards import check_folder, iter_captions
from m3ae.data.wordpiece import bert_tokenizer, train_tokenizer
from m3ae.errors import UserError
from m3ae.files import atomic_write, sha256_of, write_text

BATCH_PAIRS = 4096
COLUMN = "tokens"
COLUMN_TYPE = pa.list_(pa.list_(pa.int32()))
TOKENIZER_SHA256, VOCAB_SIZE, INDEX_SHA256 = b"tokenizer_sha256", b"vocab_size", b"index_sha256"


def make_tokens(run: Run) -> None:
    """Make the run's tokenizer, and the word pieces of both splits."""
    settings = run.settings.data.tokens
    for split in ("train", "heldout"):
        check_folder(run.paths.shards(split))
    if settings.tokenizer == "trained":
        training = partial(flat_captions, run.paths.shards("train"))
        tokenizer = train_tokenizer(training, settings.vocab_size)
    else:
        tokenizer = bert_tokenizer()
    write_text(run.paths.tokenizer, tokenizer.to_str(pretty=True) + "\n")
    for split in ("train", "heldout"):
        encode_split(run, split, tokenizer)


def flat_captions(folder: Path) -> Iterator[str]:
    """Every caption of every pair."""
    for batch in iter_captions(folder, BATCH_PAIRS):
        for captions in batch:
            yield from captions


def encode_split(run: Run, split: str, tokenizer: Tokenizer) -> None:
    """Write the word pieces of a split's captions, cut at ``max_tokens``; row i is pair i."""
    folder, max_tokens = run.paths.shards(split), run.settings.data.tokens.max_tokens
    manifest = read_manifest(folder / MANIFEST)
    metadata = {
        TOKENIZER_SHA256: sha256_of(run.paths.tokenizer),
        VOCAB_SIZE: str(tokenizer.get_vocab_size()),
        INDEX_SHA256: manifest.index_sha256,
    }
    schema = pa.schema([(COLUMN, COLUMN_TYPE)], metadata=metadata)
    with (
        atomic_write(run.paths.tokens(split)) as file,
        pq.ParquetWriter(file, schema) as writer,
        tqdm(total=manifest.count, desc=f"tokens {split}", unit="pair", disable=None) as progress,
    ):
        for batch in iter_captions(folder, BATCH_PAIRS):
            rows = encode(tokenizer, batch, max_tokens)
            writer.write_table(pa.table([pa.array(rows, COLUMN_TYPE)], schema=schema))
            progress.update(len(batch))


def encode(tokenizer: Tokenizer, captions: list[list[str]], max_tokens: int) -> list[list[list[int]]]:
    """Ids of every caption of every pair, without [CLS] and [SEP]: the authors' code adds none."""
    flat = [caption for texts in captions for caption in texts]
    encoded: Iterator[list[int]] = (
        encoding.ids[:max_tokens] for encoding in tokenizer.encode_batch_fast(flat, add_special_tokens=False)
    )
    return [[next(encoded) for _ in texts] for texts in captions]


def load_tokenizer(path: Path) -> Tokenizer:
    """The run's tokenizer. Raises UserError, one line, if it is missing or broken."""
    if not path.is_file():
        raise UserError(f"{path}: no such tokenizer; snakemake {path} makes it")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise UserError(
            f"{path}: not a tokenizer ({error}); snakemake --force {path} makes it again"
        ) from None


class Tokens:
    """The word pieces of a split, by pair id, in flat arrays.

    Raises UserError, one line, if the file is missing, broken, or made from other shards
    than the ones that lie beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._again = f"snakemake --force {self.path} makes it again"
        table = self._read()
        metadata = table.schema.metadata
        self.tokenizer_sha256 = metadata[TOKENIZER_SHA256].decode()
        self.vocab_size = int(metadata[VOCAB_SIZE])
        self._check_shards(table.num_rows, metadata[INDEX_SHA256].decode())
        self._first_caption, self._first_token, self._ids = flatten(table[COLUMN])

    def __len__(self) -> int:
        return len(self._first_caption) - 1

    def captions(self, id: int) -> list[np.ndarray]:
        """The ids (int32) of every caption of a pair, in the order of its captions."""
        if not 0 <= id < len(self):
            raise IndexError(f"{self.path}: pair {id}: expected an id from 0 to {len(self) - 1}")
        first, last = self._first_caption[id : id + 2]
        ends = self._first_token[first : last + 1]
        return [self._ids[start:end] for start, end in pairwise(ends)]

    def counts(self) -> Int64[np.ndarray, " vocab"]:
        """How often each word piece occurs, over every caption of the split."""
        return np.bincount(self._ids, minlength=self.vocab_size)

    def _read(self) -> pa.Table:
        if not self.path.is_file():
            raise UserError(f"{self.path}: no such tokens; snakemake {self.path} makes them")
        try:
            table = pq.read_table(self.path)
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{self.path}: not a Parquet file ({error}); {self._again}") from None
        wanted = {TOKENIZER_SHA256, VOCAB_SIZE, INDEX_SHA256}
        if table.schema.names != [COLUMN] or not wanted <= set(table.schema.metadata or {}):
            raise UserError(f"{self.path}: expected a column {COLUMN!r} and its provenance; {self._again}")
        return table

    def _check_shards(self, num_rows: int, index_sha256: str) -> None:
        """Compare with the manifest of data/<run>/shards/<split>, where it lies."""
        path = self.path.parents[1] / "shards" / self.path.stem / MANIFEST
        if not path.is_file():
            return  # tokens can be read alone
        manifest = read_manifest(path)
        if num_rows != manifest.count:
            raise UserError(
                f"{self.path}: expected {manifest.count} rows, as in {path}, found {num_rows}; {self._again}"
            )
        if index_sha256 != manifest.index_sha256:
            raise UserError(f"{self.path}: made from other shards than {path.parent} holds; {self._again}")


def flatten(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nested lists as flat arrays: first caption of each pair, first token of each caption, all ids.

    The offsets are int64 and have one entry more than there are pairs and captions.
    """
    counts = [np.diff(chunk.offsets.to_numpy()) for chunk in column.chunks]
    captions = [chunk.flatten() for chunk in column.chunks]
    lengths = [np.diff(chunk.offsets.to_numpy()) for chunk in captions]
    ids = [chunk.flatten().to_numpy() for chunk in captions]
    return starts(counts), starts(lengths), np.concatenate(ids or [np.zeros(0, np.int32)])


def starts(lengths: list[np.ndarray]) -> np.ndarray:
    """Where consecutive parts of these lengths begin, and the end of the last."""
    return np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64)
