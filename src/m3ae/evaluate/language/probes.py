"""Concepts read off frozen features of images, of texts, and of both together."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float

from m3ae.config import Run
from m3ae.config.evaluation import Concepts
from m3ae.config.language import Language
from m3ae.errors import UserError
from m3ae.evaluate.concepts import WORD, check_labels, choose_penalties, mean_average_precision, score
from m3ae.evaluate.language.measured import Measured, drawn
from m3ae.evaluate.language.pairs import BATCH, Ids, ModelPairs, draw
from m3ae.evaluate.precision import Labels, Scores, interval_of_precision
from m3ae.model.clip import CLIP
from m3ae.model.m3ae import M3AE
from m3ae.records import Metric

Features = dict[str, Float[np.ndarray, "pairs width"]]


def measure_concepts(
    run: Run, settings: Language, model: M3AE | CLIP, train: ModelPairs, heldout: ModelPairs
) -> Measured:
    """Mean average precision over concepts, by what the features saw; labels as ``other_captions`` says."""
    run = with_concepts(run, settings)
    concepts = run.settings.concepts
    assert concepts is not None
    splits = {"train": (train, settings.num_train), "heldout": (heldout, settings.num_samples)}
    ids = {name: choose(run, settings, *split) for name, split in splits.items()}
    labels = {name: labels_of(settings, splits[name][0], ids[name], concepts) for name in splits}
    check_labels(labels, list(concepts.words))
    x, asked = features_of(model, train, ids["train"]), features_of(model, heldout, ids["heldout"])
    metrics, details = {}, {}
    scores: dict[str, Scores] = {}
    for seen in x:
        penalties = choose_penalties(run, x[seen], labels["train"])
        scores[seen] = score(x[seen], labels["train"], asked[seen], penalties).astype(np.float16)
        metrics[f"concepts_{seen}"], each = mean_average_precision(run, labels["heldout"], scores[seen])
        details[seen] = dict(zip(concepts.words, each, strict=True))
    metrics |= gains(run, labels["heldout"], scores)
    return Measured(metrics, {"concepts": facts(settings, labels) | {"average_precision": details}})


def with_concepts(run: Run, settings: Language) -> Run:
    """The run as ``evaluate.concepts`` reads it, with the concepts asked for here."""
    concepts = settings.concepts or run.settings.concepts
    if concepts is None:
        raise UserError(
            f"language.concepts: expected words, but run {run.name!r} has none here and no concepts of its "
            f"own; set language.concepts in config/{run.name}.yaml"
        )
    return Run(run.name, run.settings.model_copy(update={"concepts": concepts}))


def choose(run: Run, settings: Language, pairs: ModelPairs, num: int) -> Ids:
    """The pairs of a split that are probed: where other captions label an image, it has several."""
    ids = draw(run, pairs, num, least_captions=2 if settings.other_captions else 1)
    if not len(ids):
        raise UserError(
            "language.other_captions: expected images with several captions, found none; set it to false"
        )
    return ids


def labels_of(settings: Language, pairs: ModelPairs, ids: Ids, concepts: Concepts) -> Labels:
    """Which concepts the captions that label an image name: all but the first, or the first."""
    chosen = slice(1, None) if settings.other_captions else slice(1)
    named = [set(WORD.findall(" ".join(pairs.said(int(id))[chosen]).lower())) for id in ids]
    return np.array([[not said.isdisjoint(forms) for forms in concepts.words.values()] for said in named])


def features_of(model: M3AE | CLIP, pairs: ModelPairs, ids: Ids) -> Features:
    """CLS after the last LayerNorm, from images, from first captions, and (M3AE) from both at once."""
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(ids), BATCH):
        for seen, cls in encode(model, pairs, ids[start : start + BATCH]):
            found.setdefault(seen, []).append(cls.float().cpu().numpy())
    return {seen: np.concatenate(parts) for seen, parts in found.items()}


@torch.inference_mode()
def encode(model: M3AE | CLIP, pairs: ModelPairs, ids: Ids) -> Iterator[tuple[str, torch.Tensor]]:
    """The features of a batch, by what they saw; CLIP's two towers see one thing each."""
    image, (text, padding) = pairs.images(ids), pairs.texts(ids)
    if isinstance(model, CLIP):
        yield "image", model.image_tower.encode(image)[:, 0]
        yield "text", model.text_tower(text, padding)
        return
    yield "image", model.encode(image)[:, 0]
    yield "text", model.encode(None, text, padding)[:, 0]
    yield "joint", model.encode(image, text, padding)[:, 0]


def gains(run: Run, labels: Labels, scores: dict[str, Scores]) -> dict[str, Metric]:
    """What both together know more than either, over the same pairs (percentage points)."""
    if "joint" not in scores:
        return {}
    found = {}
    for alone in ("image", "text"):
        pair = [scores["joint"], scores[alone]]
        interval = interval_of_precision(labels, pair, [1.0, -1.0], *drawn(run)).times(100)
        found[f"concepts_joint_minus_{alone}"] = Metric(
            **interval._asdict(), n=len(labels), unit="percentage points"
        )
    return found


def facts(settings: Language, labels: dict[str, Labels]) -> dict[str, object]:
    """How the probes were labelled, and what a guess reaches."""
    return {
        "labels": "the other captions of the image" if settings.other_captions else "the caption itself",
        "num_train": len(labels["train"]),
        "num_test": len(labels["heldout"]),
        "chance": 100 * float(labels["heldout"].mean()),
    }
