"""Word pieces of every caption: made once, read by id. Training tokenises nothing."""

from collections.abc import Iterator
from functools import partial
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int64
from tokenizers import Tokenizer
from tqdm import tqdm

from m3ae.config import Run
from m3ae.data.manifest import MANIFEST, read_manifest
from m3ae.data.shards import check_folder, iter_captions
from m3ae.data.tokenfacts import TOKENS_MANIFEST, SplitFacts, Tally, TokenizerFacts, TokensManifest
from m3ae.data.tokenized import TokenizedRows
from m3ae.data.wordfile import WordWriter
from m3ae.data.wordpiece import bert_tokenizer, encode, train_tokenizer, unknown_id
from m3ae.errors import UserError
from m3ae.files import atomic_write, sha256_of, write_text

SPLITS = ("train", "heldout")
BATCH_PAIRS = 4096
COLUMN, LEVELS = "tokens", 2  # the captions of a pair, the word pieces of a caption
FACTS = {"tokenizer_sha256", "vocab_size", "max_tokens", "captions_sha256"}


def make_tokens(run: Run) -> None:
    """Make the run's tokenizer, the word pieces of both splits, and their manifest."""
    manifest = run.paths.tokenizer.with_name(TOKENS_MANIFEST)
    for split in SPLITS:
        check_folder(run.paths.shards(split))
    tokenizer = make_tokenizer(run)
    manifest.unlink(missing_ok=True)
    write_text(run.paths.tokenizer, tokenizer.to_str(pretty=True) + "\n")
    facts = TokensManifest(
        tokenizer=TokenizerFacts.of(run, tokenizer),
        max_tokens=run.settings.data.tokens.max_tokens,
        splits={split: encode_split(run, split, tokenizer) for split in SPLITS},
        settings=run.stage("tokens"),
    )
    write_text(manifest, facts.model_dump_json(indent=1) + "\n")


def make_tokenizer(run: Run) -> Tokenizer:
    """Learn the tokenizer from the training captions, or take that of bert-base-uncased."""
    settings = run.settings.data.tokens
    if settings.tokenizer == "trained":
        return train_tokenizer(partial(flat_captions, run.paths.shards("train")), settings.vocab_size)
    return bert_tokenizer()


def flat_captions(folder: Path) -> Iterator[str]:
    """Every caption of every pair."""
    for batch in iter_captions(folder, BATCH_PAIRS):
        for captions in batch:
            yield from captions


def encode_split(run: Run, split: str, tokenizer: Tokenizer) -> SplitFacts:
    """Write the word pieces of a split's captions, cut at ``max_tokens``; row i is pair i."""
    folder, path = run.paths.shards(split), run.paths.tokens(split)
    max_tokens, vocab_size = run.settings.data.tokens.max_tokens, tokenizer.get_vocab_size()
    shards = read_manifest(folder / MANIFEST)
    facts = {
        "tokenizer_sha256": sha256_of(run.paths.tokenizer),
        "vocab_size": str(vocab_size),
        "max_tokens": str(max_tokens),
        "captions_sha256": shards.captions_sha256,
    }
    tally, cut = Tally(unknown_id(tokenizer)), 0
    with (
        atomic_write(path) as file,
        WordWriter(file, COLUMN, LEVELS, vocab_size, facts) as writer,
        tqdm(total=shards.count, desc=f"tokens {split}", unit="pair", disable=None) as progress,
    ):
        for batch in iter_captions(folder, BATCH_PAIRS):
            words = encode(tokenizer, list(chain.from_iterable(batch)))
            lengths = np.array([len(caption) for caption in words])
            cut += int((lengths > max_tokens).sum())
            ids = np.array([id for caption in words for id in caption[:max_tokens]])
            writer.add(ids, lengths.clip(max=max_tokens), np.array([len(captions) for captions in batch]))
            tally.add(ids, len(words))
            progress.update(len(batch))
    return SplitFacts(
        pairs=shards.count,
        captions=tally.lists,
        tokens=tally.tokens,
        mean_length=tally.mean_length,
        cut_share=round(cut / max(tally.lists, 1), 6),
        unknown_share=tally.unknown_share,
        sha256=sha256_of(path),
        index_sha256=shards.index_sha256,
        captions_sha256=shards.captions_sha256,
    )


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


class Tokens(TokenizedRows):
    """The word pieces of a split, by pair id, mapped into memory.

    Raises UserError, one line, if the file is missing, broken, or made from other captions than the shards
    that lie beside it, or with another tokenizer.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, COLUMN, LEVELS, FACTS)
        self._check_shards()

    def captions(self, id: int) -> list[np.ndarray]:
        """The ids (uint16, or int32 for a large vocabulary) of every caption of a pair, in their order."""
        batch, place = self._file.row(id)
        first_caption, first_token = batch.starts
        first, last = first_caption[place : place + 2]
        return [batch.ids[start:end] for start, end in pairwise(first_token[first : last + 1])]

    def counts(self) -> Int64[np.ndarray, " vocab"]:
        """How often each word piece occurs, over every caption of the split."""
        return self._file.counts(self.vocab_size)

    def _check_shards(self) -> None:
        """Compare with the manifest of data/<run>/shards/<split>, where it lies."""
        path = self.path.parents[1] / "shards" / self.path.stem / MANIFEST
        if not path.is_file():
            return  # tokens can be read alone
        shards, again = read_manifest(path), self._file.again
        if len(self) != shards.count:
            raise UserError(
                f"{self.path}: expected {shards.count} rows, as in {path}, found {len(self)}; {again}"
            )
        if self._file.facts["captions_sha256"] != shards.captions_sha256:
            raise UserError(f"{self.path}: made from other captions than {path.parent} holds; {again}")
