"""Caption words named from the image: recall of content words among five, beside two that see less."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from tokenizers import Tokenizer

from m3ae.config import Run
from m3ae.config.language import Language
from m3ae.data.tokens import Tokens, load_tokenizer
from m3ae.data.wordpiece import INNER
from m3ae.errors import UserError
from m3ae.evaluate.language.decode import write
from m3ae.evaluate.language.measured import Measured, difference, share
from m3ae.evaluate.language.pairs import Ids, ModelPairs, Pieces, by_length, partners
from m3ae.model.m3ae import M3AE

NAMED = 5  # words that may be named for an image

COMPARED = (
    ("one_pass", "one_pass_wrong_image"),
    ("one_pass", "frequent"),
    ("steps", "steps_wrong_image"),
    ("steps", "frequent"),
    ("steps", "one_pass"),
)

Content = Bool[np.ndarray, " vocab"]


class Asked(NamedTuple):
    """Captions that are asked for, and the content words that each should bring."""

    ids: Ids
    captions: list[Pieces]
    wanted: list[frozenset[int]]


def measure_words(run: Run, settings: Language, model: M3AE, pairs: ModelPairs, ids: Ids) -> Measured:
    """Recall of the content words of first captions, from the right image, a wrong one, and none."""
    vocabulary = Vocabulary(load_tokenizer(run.paths.tokenizer), settings.stop_words)
    asked = ask(vocabulary, pairs, ids)
    frequent = most_frequent(Tokens(run.paths.tokens("train")).counts(), vocabulary.is_content)
    recalls = {"frequent": recall(asked.wanted, [frequent] * len(asked.ids))}
    for way, steps in (("one_pass", 1), ("steps", settings.steps)):
        for image, shown in (("", asked.ids), ("_wrong_image", partners(asked.ids))):
            named = name_words(model, pairs, shown, asked.captions, steps, vocabulary.is_content)
            recalls[way + image] = recall(asked.wanted, named)
    metrics = {f"words_{name}": share(run, values) for name, values in recalls.items()}
    for more, less in COMPARED:
        metrics[f"words_{more}_minus_{less}"] = difference(run, recalls[more], recalls[less])
    return Measured(metrics, {"words": facts(asked) | {"frequent": [vocabulary.pieces[i] for i in frequent]}})


def ask(vocabulary: "Vocabulary", pairs: ModelPairs, ids: Ids) -> Asked:
    """The first captions that have a content word at all."""
    captions = [pairs.pieces(int(id))[0] for id in ids]
    wanted = [vocabulary.content_words(caption) for caption in captions]
    asked = [place for place, words in enumerate(wanted) if words]
    if len(asked) < 2:
        raise UserError(
            f"language.stop_words: expected captions with other words, found {len(asked)}; list fewer"
        )
    return Asked(ids[asked], [captions[i] for i in asked], [wanted[i] for i in asked])


def facts(asked: Asked) -> dict[str, object]:
    """What is asked, and the recall of someone who knows every word but may name few."""
    reached = [min(NAMED, len(words)) / len(words) for words in asked.wanted]
    return {"num_captions": len(asked.ids), "named": NAMED, "ceiling": 100 * float(np.mean(reached))}


class Vocabulary:
    """The pieces of a tokenizer, and which of them are content words."""

    def __init__(self, tokenizer: Tokenizer, stop_words: list[str] | None) -> None:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        ids = tokenizer.get_vocab()
        self.pieces = sorted(ids, key=ids.__getitem__)
        stop = ENGLISH_STOP_WORDS if stop_words is None else frozenset(stop_words)
        self.is_content = np.array(
            [piece.isalpha() and len(piece) > 1 and piece not in stop for piece in self.pieces]
        )

    def content_words(self, caption: Pieces) -> frozenset[int]:
        """The whole words of a caption that carry content: no stop words, no parts, no single letters."""
        starts = [int(piece) for piece in caption]
        goes_on = [self.pieces[piece].startswith(INNER) for piece in starts[1:]] + [False]
        whole = (piece for piece, more in zip(starts, goes_on, strict=True) if not more)
        return frozenset(piece for piece in whole if self.is_content[piece])


def most_frequent(counts: np.ndarray, is_content: Content) -> list[int]:
    """The content words that the training captions have most often: what one says without any image."""
    order = np.argsort(-np.where(is_content, counts, -1), kind="stable")
    return [int(piece) for piece in order[:NAMED]]


def name_words(
    model: M3AE, pairs: ModelPairs, ids: Ids, captions: Sequence[Pieces], steps: int, is_content: Content
) -> list[list[int]]:
    """The content words that a model finds most probable anywhere in the caption of each image.

    It knows one thing of the real caption, its length, as it does in pre-training from the padding.
    """
    named: list[list[int]] = [[] for _ in ids]
    unwanted = torch.from_numpy(~is_content).to(pairs.device)
    for places in by_length(captions):
        words = len(captions[places[0]])
        best = write(model, pairs.seen(ids[places]), words, steps).best
        top = best.masked_fill(unwanted, -torch.inf).topk(min(NAMED, int(is_content.sum())), dim=1).indices
        for place, row in zip(places, top.tolist(), strict=True):
            named[place] = row
    return named


def recall(wanted: Sequence[frozenset[int]], named: Sequence[list[int]]) -> Float[np.ndarray, " captions"]:
    """Of each caption's content words the share that was named."""
    pairs = zip(wanted, named, strict=True)
    return np.array([len(words.intersection(said)) / len(words) for words, said in pairs])
