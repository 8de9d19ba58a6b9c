"""Visual question answering as a cloze: what a model answers beside the right image, and a wrong one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from m3ae.config import Run
from m3ae.config.language import Language
from m3ae.data.tokens import load_tokenizer
from m3ae.evaluate.language.hide import hidden_log_probs
from m3ae.evaluate.language.measured import Measured, difference, share
from m3ae.evaluate.language.pairs import Ids, ModelPairs, by_length, partners, stack
from m3ae.evaluate.language.questions import (
    Kind,
    Questions,
    cloze_questions,
    counting_kind,
    counting_questions,
    kind_of,
)
from m3ae.model.m3ae import M3AE
from m3ae.records import Metric

Answers = Int64[np.ndarray, " questions"]


def measure_questions(
    run: Run, settings: Language, model: M3AE, pairs: ModelPairs, ids: Ids, train: tuple[ModelPairs, Ids]
) -> Measured:
    """Accuracy of each kind of question; with a wrong image; and of the most frequent answer of ``train``."""
    metrics: dict[str, Metric] = {}
    details: dict[str, Any] = {}
    usual = {kind.name: most_frequent(asked) for kind, asked in ask(run, settings, *train)}
    for kind, asked in ask(run, settings, pairs, ids):
        right = answer(model, pairs, kind, asked, asked.image) == asked.truth
        wrong = answer(model, pairs, kind, asked, partners(asked.image)) == asked.truth
        name = f"question_{kind.name}"
        metrics |= {
            name: share(run, right),
            f"{name}_wrong_image": share(run, wrong),
            f"{name}_image_gain": difference(run, right, wrong),
            f"{name}_frequent": share(run, asked.truth == usual[kind.name]),
        }
        details[kind.name] = {
            "answers": kind.answers,
            "chance": 100 / len(kind.answers),
            "frequent": kind.answers[usual[kind.name]],
        }
    return Measured(metrics, {"questions": details})


def ask(run: Run, settings: Language, pairs: ModelPairs, ids: Ids) -> Iterator[tuple[Kind, Questions]]:
    """The questions about some pairs, kind by kind."""
    tokenizer = load_tokenizer(run.paths.tokenizer)
    ids_of = tokenizer.get_vocab()
    vocab = sorted(ids_of, key=ids_of.__getitem__)
    for name, answers in settings.questions.items():
        kind = kind_of(tokenizer, name, answers)
        yield kind, cloze_questions(kind, pairs, ids, vocab)
    if settings.counting is not None:
        kind = counting_kind(tokenizer, settings.counting)
        yield kind, counting_questions(kind, settings.counting, pairs, ids, tokenizer)


def most_frequent(asked: Questions) -> int:
    """The answer that is right most often."""
    return int(np.bincount(asked.truth).argmax())


def answer(model: M3AE, pairs: ModelPairs, kind: Kind, asked: Questions, images: Ids) -> Answers:
    """The most probable answer to each question beside ``images``; its words' probabilities add up."""
    answers = np.empty(len(images), np.int64)
    for places in by_length(asked.text):
        slots = torch.from_numpy(asked.slot[places])[:, None].to(pairs.device)
        text = stack(asked.text, places, pairs.device)
        log_probs = hidden_log_probs(model, pairs.seen(images[places]), text, slots)[:, 0]
        scores = torch.stack([log_probs[:, pieces].logsumexp(dim=1) for pieces in kind.forms], dim=1)
        answers[places] = scores.argmax(dim=1).cpu().numpy()
    return answers
