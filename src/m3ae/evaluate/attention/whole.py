"""Whole words of a caption that was cut into word pieces."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tokenizers import Tokenizer

from m3ae.data.wordpiece import INNER


class WholeWord(NamedTuple):
    """A word, in lower case, and the slots that its pieces have in the caption."""

    word: str
    slots: list[int]


def pieces_of(tokenizer: Tokenizer, caption: Iterable[int]) -> list[str]:
    """The word pieces of a caption as text; inner ones begin with ##."""
    return [tokenizer.id_to_token(int(id)) or "[UNK]" for id in caption]


def whole_words(pieces: Sequence[str]) -> list[WholeWord]:
    """Put the pieces together: an inner piece goes on with the word before it."""
    found: list[WholeWord] = []
    for slot, piece in enumerate(pieces):
        if piece.startswith(INNER) and found:
            word, slots = found[-1]
            found[-1] = WholeWord(word + piece.removeprefix(INNER), [*slots, slot])
        else:
            found.append(WholeWord(piece, [slot]))
    return found


def said_once(pieces: Sequence[str]) -> dict[str, list[int]]:
    """The slots of every word that the caption has exactly once."""
    words = whole_words(pieces)
    counts = [word for word, _ in words]
    return {word: slots for word, slots in words if counts.count(word) == 1}
