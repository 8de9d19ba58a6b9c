"""Concepts read off frozen features of images, of texts, and of both together."""

import numpy as np
from jaxtyping import Float

from m3ae.config import Run
from m3ae.config.language import Language
from m3ae.evaluate.concepts import check_labels, choose_penalties, mean_average_precision, score
from m3ae.evaluate.language.measured import Measured, drawn
from m3ae.evaluate.pairs.asked import SPLITS, concepts_of
from m3ae.evaluate.pairs.stored import PairFeatures
from m3ae.evaluate.precision import Labels, Scores, interval_of_precision
from m3ae.records import Metric

Features = dict[str, Float[np.ndarray, "pairs width"]]


def measure_concepts(run: Run, settings: Language, pairs: PairFeatures) -> Measured:
    """Mean average precision over concepts, by what the features saw; labels as ``other_captions`` says."""
    concepts = concepts_of(run, settings)
    run = Run(run.name, run.settings.model_copy(update={"concepts": concepts}))  # as those functions read it
    labels = {split: pairs.labels(split, "text", concepts.words) for split in SPLITS}
    check_labels(labels, list(concepts.words))
    x, asked = features_of(pairs, "train"), features_of(pairs, "heldout")
    metrics, details = {}, {}
    scores: dict[str, Scores] = {}
    for seen in x:
        penalties = choose_penalties(run, x[seen], labels["train"])
        scores[seen] = score(x[seen], labels["train"], asked[seen], penalties).astype(np.float16)
        metrics[f"concepts_{seen}"], each = mean_average_precision(run, labels["heldout"], scores[seen])
        details[seen] = dict(zip(concepts.words, each, strict=True))
    metrics |= gains(run, labels["heldout"], scores)
    return Measured(metrics, {"concepts": facts(settings, labels) | {"average_precision": details}})


def features_of(pairs: PairFeatures, split: str) -> Features:
    """CLS after the last LayerNorm, from images, from first captions, and (M3AE) from both at once."""
    ids = pairs.ids(split, "text")
    return {seen: pairs.features(split, seen, "cls", ids) for seen in pairs.kinds()}


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
