"""The two WordPiece tokenizers: trained on captions, and that of bert-base-uncased."""

from collections.abc import Callable, Iterable

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from m3ae.config.paths import data_root
from m3ae.errors import UserError

PAD, UNKNOWN, INNER = "[PAD]", "[UNK]", "##"
BERT_VOCAB = "bert-base-uncased-vocab.txt"
BERT_VOCAB_SIZE = 30_522  # Devlin et al. 2018; the authors' data.py uses this tokenizer


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
    """The tokenizer of bert-base-uncased, from its vocabulary file below the data root.

    Raises UserError, with the way to get the file, if it is missing or another one.
    """
    places = [data_root() / BERT_VOCAB, data_root() / "text" / BERT_VOCAB]
    path = next((place for place in places if place.is_file()), None)
    get_it = "it is vocab.txt of the model page google-bert/bert-base-uncased on the Hugging Face hub"
    if path is None:
        raise UserError(f"{places[0]}: expected the vocabulary of bert-base-uncased, found nothing; {get_it}")
    pieces = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
    if len(pieces) != BERT_VOCAB_SIZE or pieces[0] != PAD:
        raise UserError(
            f"{path}: expected {BERT_VOCAB_SIZE} lines, the first {PAD}, found {len(pieces)}, "
            f"the first {pieces[0] if pieces else 'none'}; {get_it}"
        )
    return tokenizer_of({piece: id for id, piece in enumerate(pieces)})
