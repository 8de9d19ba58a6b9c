"""``tokens/manifest.json``, ``tokens/texts.json``: what word pieces are, and what they were made from."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from tokenizers import Tokenizer
from tokenizers import __version__ as tokenizers_version

from m3ae.config import Run
from m3ae.data.manifest import Entry
from m3ae.data.wordpiece import normalisation_sha256, pieces_sha256

TOKENS_MANIFEST = "manifest.json"
TEXTS_FACTS = "texts.json"


class TokenizerFacts(Entry):
    """What decides how a text becomes word pieces."""

    kind: Literal["trained", "bert-base-uncased"]
    vocab_size: int
    vocab_sha256: str
    """Of the pieces, one a line, in the order of their ids."""
    normalisation_sha256: str
    """Of the settings of normaliser, pre-tokeniser and model, as JSON."""
    tokenizers: str
    """Version of the library."""

    @classmethod
    def of(cls, run: Run, tokenizer: Tokenizer) -> Self:
        """The facts of a run's tokenizer."""
        return cls(
            kind=run.settings.data.tokens.tokenizer,
            vocab_size=tokenizer.get_vocab_size(),
            vocab_sha256=pieces_sha256(tokenizer),
            normalisation_sha256=normalisation_sha256(tokenizer),
            tokenizers=tokenizers_version,
        )


class SplitFacts(Entry):
    """The word pieces of a split of clean shards."""

    pairs: int
    captions: int
    tokens: int
    """Word pieces that are stored: after the cut at ``max_tokens``."""
    mean_length: float
    """Word pieces per caption."""
    cut_share: float
    """Share of the captions that were longer than ``max_tokens``."""
    unknown_share: float
    """Share of the word pieces that are [UNK]."""
    sha256: str
    """Of the file."""
    index_sha256: str
    captions_sha256: str
    """Of the shards, as in their manifest."""


class TokensManifest(Entry):
    """Written last: where it lies, the word pieces of every split are whole."""

    tokenizer: TokenizerFacts
    max_tokens: int
    splits: dict[str, SplitFacts]
    settings: dict[str, Any]
    """The stage's identity, as in the workflow."""


class TextFile(Entry):
    """A file of text without images."""

    name: str
    """Below the folder that all the files share."""
    bytes: int
    sha256: str


class TextsFacts(Entry):
    """Written last: where it lies, the passages are whole."""

    tokenizer: TokenizerFacts
    max_tokens: int
    files: list[TextFile]
    documents: int
    passages: int
    tokens: int
    mean_length: float
    """Word pieces per passage."""
    unknown_share: float
    sha256: str
    """Of the file of passages."""
    settings: dict[str, Any]


@dataclass
class Tally:
    """Running counts of what was cut into word pieces."""

    unknown_id: int
    lists: int = 0
    tokens: int = 0
    unknown: int = 0

    def add(self, ids: np.ndarray, num_lists: int) -> None:
        """Count some lists of word pieces, all ids in a line."""
        self.lists += num_lists
        self.tokens += len(ids)
        self.unknown += int((ids == self.unknown_id).sum())

    @property
    def mean_length(self) -> float:
        """Word pieces per list, rounded so that it reads well."""
        return round(self.tokens / max(self.lists, 1), 3)

    @property
    def unknown_share(self) -> float:
        """Share of [UNK], rounded so that it reads well."""
        return round(self.unknown / max(self.tokens, 1), 6)
