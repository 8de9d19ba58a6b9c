"""The two WordPiece tokenizers: trained on captions, and that of bert-base-uncased."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from m3ae.data.bertvocab import bert_vocab, vocab_sha256
from m3ae.errors import UserError

PAD, UNKNOWN, INNER = "[PAD]", "[UNK]", "##"


def tokenizer_of(vocab: dict[str, int]) -> Tokenizer:
    """BERT's uncased WordPiece over ``vocab``.

    [PAD] and [UNK] are entries of the vocabulary but not special: a caption that contains
    the text "[PAD]" is split like any other text, so id 0 never stands for a word.
    """
    tokenizer = Tokenizer(WordPiece(vocab, unk_token=UNKNOWN, continuing_subword_prefix=INNER))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = WordPieceDecoder(prefix=INNER)
    return tokenizer


def train_tokenizer(captions: Callable[[], Iterable[str]], vocab_size: int) -> Tokenizer:
    """Learn at most ``vocab_size`` pieces; [PAD] is 0, [UNK] 1; the same bytes at every call.

    The library numbers the pieces of one inner character (`##a`) in the order of a hash map that
    differs from process to process, and breaks ties between merges by these numbers. So a
    first pass finds them, and the second is told their order: that of special tokens is kept.
    ``captions`` is called once for each pass. Raises UserError if ``vocab_size`` is too small.
    """
    characters = learn(captions(), 0, [PAD, UNKNOWN])
    if len(characters) > vocab_size:
        raise UserError(
            f"data.tokens.vocab_size: expected at least {len(characters)}, the characters of the "
            f"training captions, got {vocab_size}"
        )
    inner = sorted(piece for piece in characters if piece.startswith(INNER) and len(piece) > len(INNER))
    vocab = learn(captions(), vocab_size, [PAD, UNKNOWN, *inner])
    return tokenizer_of(vocab)


def learn(captions: Iterable[str], vocab_size: int, first: list[str]) -> dict[str, int]:
    """The library's WordPiece training: piece -> id, the pieces of ``first`` at the start."""
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=first,
        continuing_subword_prefix=INNER,
        show_progress=False,
    )
    tokenizer = tokenizer_of({UNKNOWN: 0})
    tokenizer.train_from_iterator(captions, trainer)
    return tokenizer.get_vocab()


def bert_tokenizer() -> Tokenizer:
    """The tokenizer of bert-base-uncased. Raises UserError if its vocabulary cannot be had."""
    return tokenizer_of(bert_vocab())


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Ids of texts, without [CLS] and [SEP]: the authors' code adds none."""
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return [encoding.ids for encoding in encodings]


def unknown_id(tokenizer: Tokenizer) -> int:
    """The id of [UNK], which every tokenizer of ours has."""
    id = tokenizer.token_to_id(UNKNOWN)
    assert id is not None
    return id


def pieces_sha256(tokenizer: Tokenizer) -> str:
    """The SHA-256 of the vocabulary, one piece a line; for bert-base-uncased that of its file."""
    vocab = tokenizer.get_vocab()
    return vocab_sha256(sorted(vocab, key=vocab.__getitem__))


def normalisation_sha256(tokenizer: Tokenizer) -> str:
    """The SHA-256 of everything but the vocabulary that decides how a text is cut."""
    settings = json.loads(tokenizer.to_str())
    del settings["model"]["vocab"]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
