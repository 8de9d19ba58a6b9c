"""Which of the run's pairs pass through an encoder, by what it sees of them."""

from typing import NamedTuple

import numpy as np

from m3ae.config import Run
from m3ae.config.evaluation import Concepts
from m3ae.config.language import Language
from m3ae.errors import UserError
from m3ae.evaluate.language.pairs import Ids, ModelPairs, draw
from m3ae.evaluate.pairs.labels import Words

SPLITS = ("train", "heldout")
ALL = slice(None)


class Asked(NamedTuple):
    """Pairs of one split that are shown in one way."""

    split: str
    seen: str
    """`image`, `text` (the first caption), or `joint` (both)."""
    ids: Ids
    words: Words
    captions: slice
    """Which captions of a pair say what concepts it has."""

    @property
    def name(self) -> str:
        """The prefix of its arrays."""
        return f"{self.split}/{self.seen}"


def asked_of(run: Run, model: str, pairs: dict[str, ModelPairs]) -> list[Asked]:
    """All images where the run has `concepts`; the pairs of `captions`, of a model that reads them.

    Raises UserError where the run has neither.
    """
    concepts, found = run.settings.concepts, []
    for split in SPLITS:
        if concepts:
            ids = np.arange(len(pairs[split]))
            found.append(Asked(split, "image", ids, concepts.words, ALL))
        if run.reads_captions(model):
            shown = drawn(run, model, split, pairs[split])
            found += shown[1:] if concepts else shown  # their images are among all images
    if not found:
        raise UserError(
            f"pairs of {model}: expected concepts, or language for a model that reads captions; run "
            f"{run.name!r} has neither: set them in config/{run.name}.yaml"
        )
    return found


def drawn(run: Run, model: str, split: str, pairs: ModelPairs) -> list[Asked]:
    """The pairs of `captions`: image first, then caption, then (M3AE) both."""
    settings: Language | None = run.settings.language
    assert settings is not None  # else no captions are read
    ids = choose(run, settings, split, pairs)
    kinds = ["image", "text", "joint"] if run.model(model).method == "m3ae" else ["image", "text"]
    words, captions = concepts_of(run, settings).words, told_by(settings)
    return [Asked(split, seen, ids, words, captions) for seen in kinds]


def choose(run: Run, settings: Language, split: str, pairs: ModelPairs) -> Ids:
    """The pairs of a split that are probed: where other captions label an image, it has several."""
    num = settings.num_train if split == "train" else settings.num_samples
    ids = draw(run, pairs, num, least_captions=2 if settings.other_captions else 1)
    if not len(ids):
        raise UserError(
            "language.other_captions: expected images with several captions, found none; set it to false"
        )
    return ids


def concepts_of(run: Run, settings: Language) -> Concepts:
    """What the probes of `captions` look for: concepts of their own, or the run's."""
    concepts = settings.concepts or run.settings.concepts
    if concepts is None:
        raise UserError(
            f"language.concepts: expected words, but run {run.name!r} has none here and no concepts of its "
            f"own; set language.concepts in config/{run.name}.yaml"
        )
    return concepts


def told_by(settings: Language) -> slice:
    """The captions that label a pair beside its text: all but the first, or the first itself."""
    return slice(1, None) if settings.other_captions else slice(1)
