"""Questions about images that captions answer: the word that answers is hidden, and asked for (a cloze)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from tokenizers import Tokenizer

from m3ae.config.language import ASKED, Counting, Forms
from m3ae.data.wordpiece import INNER, encode
from m3ae.errors import UserError
from m3ae.evaluate.language.pairs import Ids, ModelPairs, Pieces


class Kind(NamedTuple):
    """A kind of question, with the pieces that stand for each of its answers."""

    name: str
    answers: list[str]
    forms: list[list[int]]


class Questions(NamedTuple):
    """Questions of one kind: at most one for each image."""

    image: Ids
    """The pair that is asked about."""
    text: list[Pieces]
    """The words around, what answers among them: it is hidden from the model."""
    slot: Int64[np.ndarray, " n"]
    """Where it stands."""
    truth: Int64[np.ndarray, " n"]
    """Which of the kind's answers is right."""


def kind_of(tokenizer: Tokenizer, name: str, answers: Forms) -> Kind:
    """A kind of question. Raises UserError for a word that the tokenizer cuts, or that two answers have."""
    forms = [[piece_of(tokenizer, name, word) for word in words] for words in answers.values()]
    flat = [piece for pieces in forms for piece in pieces]
    if len(flat) > len(set(flat)):
        raise UserError(f"language.questions.{name}: expected every word once, got {dict(answers)}")
    return Kind(name, list(answers), forms)


def counting_kind(tokenizer: Tokenizer, counting: Counting) -> Kind:
    """How many: the first answer means one."""
    return kind_of(tokenizer, "count", {word: [word] for word in counting.answers})


def piece_of(tokenizer: Tokenizer, name: str, word: str) -> int:
    """The one piece of a word."""
    (pieces,) = encode(tokenizer, [word])
    if len(pieces) != 1 or tokenizer.id_to_token(pieces[0]) != word:
        raise UserError(
            f"language, question {name!r}: expected words in lower case of one piece each, but the tokenizer "
            f"of this run does not have {word!r} as one; leave it out"
        )
    return pieces[0]


def cloze_questions(kind: Kind, pairs: ModelPairs, ids: Ids, vocab: list[str]) -> Questions:
    """Of each image the first caption that holds exactly one word of the kind, once."""
    answer_of = {piece: answer for answer, pieces in enumerate(kind.forms) for piece in pieces}
    asked = []
    for id in ids:
        clozes = (cloze(caption, answer_of, vocab) for caption in pairs.pieces(int(id)))
        found = next((found for found in clozes if found is not None), None)
        if found is not None:
            asked.append((int(id), *found))
    return gather(kind, asked)


def cloze(caption: Pieces, answer_of: dict[int, int], vocab: list[str]) -> tuple[Pieces, int, int] | None:
    """The caption, the slot and the answer, if one whole word of it answers; else None."""
    found = [(slot, answer_of[int(piece)]) for slot, piece in enumerate(caption) if int(piece) in answer_of]
    if len(found) != 1:
        return None
    slot, answer = found[0]
    goes_on = slot + 1 < len(caption) and vocab[int(caption[slot + 1])].startswith(INNER)
    return None if goes_on else (caption, slot, answer)


def counting_questions(
    kind: Kind, counting: Counting, pairs: ModelPairs, ids: Ids, tokenizer: Tokenizer
) -> Questions:
    """The prompt for every image whose first caption names as many things as an answer says."""
    counted = {piece_of(tokenizer, "count", word) for word in counting.counted}
    before, after = counting.prompt.split(ASKED)
    parts = encode(tokenizer, [before.strip(), kind.answers[0], after.strip()])
    text, slot = np.array([piece for part in parts for piece in part]), len(parts[0])
    asked = []
    for id in ids:
        count = sum(int(piece) in counted for piece in pairs.pieces(int(id))[0])
        if 1 <= count <= len(kind.answers):
            asked.append((int(id), text, slot, count - 1))
    return gather(kind, asked)


def gather(kind: Kind, asked: list[tuple[int, Pieces, int, int]]) -> Questions:
    """Questions as columns. Raises UserError for fewer than two."""
    if len(asked) < 2:
        raise UserError(
            f"language, question {kind.name!r}: expected captions that answer it, found {len(asked)} with "
            f"exactly one of {', '.join(kind.answers)}; change its words, or leave it out"
        )
    images, texts, slots, truths = zip(*asked, strict=True)
    return Questions(np.array(images), list(texts), np.array(slots), np.array(truths))
