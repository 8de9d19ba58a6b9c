"""Choose the pairs of Figures 7 and 8, and look at them with the first M3AE of a run."""

import numpy as np
from tokenizers import Tokenizer

from m3ae.config import Run
from m3ae.data.images import view
from m3ae.data.source.toy.scenes import Box
from m3ae.data.source.toy.truth import Placed
from m3ae.data.tokens import load_tokenizer
from m3ae.evaluate.attention.pointing import KINDS, named, of_word, peak_of
from m3ae.evaluate.attention.shown import Shown
from m3ae.evaluate.attention.view import Looks, in_view, looks_of
from m3ae.evaluate.attention.whole import pieces_of, said_once
from m3ae.evaluate.language.pairs import ModelPairs, Pieces
from m3ae.evaluate.stored import checked_weights
from m3ae.model.weights import load_encoder
from m3ae.records import read_record


def shown_pairs(run: Run) -> list[Shown]:
    """For each word of the run the first held-out pair, of no other word, whose caption has it exactly once.

    Raises UserError for weights that are missing, or others than their record's.
    """
    name, settings = run.models_of("m3ae")[0], run.settings.attended
    checked_weights(run, name)
    pairs, tokenizer = ModelPairs(run, name, "heldout"), load_tokenizer(run.paths.tokenizer)
    chosen: dict[str, tuple[int, Pieces]] = {}
    for word in settings.words:
        pair = first_pair(pairs, tokenizer, word, {id for id, _ in chosen.values()})
        if pair is not None:
            chosen[word] = pair
    if not chosen:
        return []
    model = load_encoder(run.paths.encoder(name)).to(pairs.device)
    ids, captions = zip(*chosen.values(), strict=True)
    looks = looks_of(model, pairs.images(ids), captions, settings.block)
    placed = placed_by_record(run, name) if run.knows_places else None
    return [
        shown(run, pairs, word, id, pieces_of(tokenizer, caption), look, place(run, placed, id, word))
        for (word, (id, caption)), look in zip(chosen.items(), looks, strict=True)
    ]


def first_pair(
    pairs: ModelPairs, tokenizer: Tokenizer, word: str, taken: set[int]
) -> tuple[int, Pieces] | None:
    """The first pair, none of ``taken``, and its first caption that has ``word`` exactly once; else None."""
    for id in (id for id in range(len(pairs)) if id not in taken):
        for said, caption in zip(pairs.said(id), pairs.pieces(id), strict=True):
            if word in said.lower() and word in said_once(pieces_of(tokenizer, caption)):
                return id, caption
    return None


def placed_by_record(run: Run, model: str) -> list[list[Placed]]:
    """Where the digits of the pairs are, as the record of `pointing` says: nothing need be drawn again."""
    scenes = read_record(run.paths.record(model, "pointing")).details["placed"]
    return [[Placed(digit, colour, Box(*box)) for digit, colour, *box in digits] for digits in scenes]


def place(run: Run, placed: list[list[Placed]] | None, id: int, word: str) -> Box | None:
    """Where the one digit is that a word names; None for other words, or where that is not known."""
    if placed is None:
        return None
    for kind in KINDS:
        found = named(kind, placed[id]).get(word, [])
        if len(found) == 1:
            return in_view(run, found[0].box)
    return None


def shown(
    run: Run, pairs: ModelPairs, word: str, id: int, pieces: list[str], looks: Looks, box: Box | None
) -> Shown:
    """Everything about one pair."""
    slots = said_once(pieces)[word]
    attended = of_word(looks, slots)
    size, resize = (
        run.settings_of(run.models_of("m3ae")[0]).data.image.size_px,
        run.settings.features.resize_px,
    )
    row, column = (int(at) for at in peak_of(attended))
    patch = (row, column)
    if box is not None:
        px = size / len(attended)
        patch = int((box.top + box.side / 2) // px), int((box.left + box.side / 2) // px)
    picture = np.array(view(pairs.pairs.image(id), resize, size))
    return Shown(
        word, id, picture, pieces, slots, attended, (row, column), patch, looks.patch_to_words[patch], box
    )
