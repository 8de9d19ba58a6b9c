"""What captions speak of, read off a frozen encoder: multi-label classification of the run's own pairs.

One logistic regression per concept, on the features of the training images; the strength of its penalty is
chosen on a part of them. The held-out images are touched once, for the mean average precision.
"""

import time

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from m3ae.config import Run
from m3ae.errors import UserError
from m3ae.evaluate.metrics import percent
from m3ae.evaluate.pairs.asked import SPLITS
from m3ae.evaluate.pairs.stored import PairFeatures
from m3ae.evaluate.precision import Labels, Scores, interval_of_precision, precisions
from m3ae.files import sha256_of
from m3ae.records import Metric, Record, provenance

READ = ("weights", "train_manifest", "heldout_manifest")


def run_concepts(run: Run, model: str) -> None:
    """Write `concepts.json`: the mean average precision over the concepts, and each one's."""
    started = time.time()
    settings = run.settings.concepts
    if settings is None:
        raise UserError(f"concepts: run {run.name!r} has none; set concepts.words in config/{run.name}.yaml")
    pairs = PairFeatures.made(run, model)
    labels = {split: pairs.labels(split, "image", settings.words) for split in SPLITS}
    check_labels(labels, list(settings.words))
    x = {split: pairs.features(split, "image", run.settings.features.pooling) for split in SPLITS}
    penalties = choose_penalties(run, x["train"], labels["train"])
    scores = score(x["train"], labels["train"], x["heldout"], penalties)
    precision, each = mean_average_precision(run, labels["heldout"], scores)
    names = list(settings.words)
    Record(
        run=run.name,
        model=model,
        stage="concepts",
        metrics={"mean_average_precision": precision},
        details={
            "num_train": len(x["train"]),
            "num_test": len(x["heldout"]),
            "chance": 100 * float(labels["heldout"].mean()),
            "average_precision": dict(zip(names, each, strict=True)),
            "share_of_images": dict(zip(names, shares(labels["heldout"]), strict=True)),
            "penalty": dict(zip(names, penalties, strict=True)),
        },
        settings=run.stage("concepts", model),
        inputs={name.removesuffix("_manifest"): pairs.facts["inputs"][name] for name in READ},
        seeds=[run.settings.seed],
        provenance=provenance(started) | {"pairs_sha256": sha256_of(pairs.path)},
    ).write(run.paths.record(model, "concepts"))


def check_labels(labels: dict[str, Labels], names: list[str]) -> None:
    """Raise UserError for a concept that all images of a split have, or none."""
    for split, found in labels.items():
        counts = found.sum(axis=0)
        for name, count in zip(names, counts, strict=True):
            if not 2 <= count <= len(found) - 2:
                raise UserError(
                    f"concepts.words.{name}: expected some images of {split} with it and some without, found "
                    f"it in {count} of {len(found)}; change its words, or leave it out"
                )


def choose_penalties(run: Run, x: Float[np.ndarray, "images width"], labels: Labels) -> list[float]:
    """For each concept the penalty with the best average precision on a part of the training images.

    Where all images of that part have a concept, or none, every penalty is as good: the first is taken.
    Raises UserError for one that no image of the rest has, or every image.
    """
    settings = run.settings.concepts
    assert settings is not None
    held = np.random.default_rng(run.settings.seed).random(len(x)) < settings.validation_share
    if not held.any() or held.all():
        raise UserError(
            f"concepts.validation_share: {settings.validation_share} of {len(x)} training images left "
            f"{'none' if held.all() else 'all'} to learn from; choose another share, or use more images"
        )
    check_learned_from(labels[~held], list(settings.words))
    num = labels.shape[1]
    found = [
        precisions(labels[held], score(x[~held], labels[~held], x[held], [penalty] * num))
        for penalty in settings.penalties
    ]
    return [settings.penalties[best] for best in np.argmax(found, axis=0)]


def check_learned_from(labels: Labels, names: list[str]) -> None:
    """Raise UserError for a concept that one cannot learn.

    The split knows no labels: all images with a rare concept may fall into the part that chooses.
    """
    for name, count in zip(names, labels.sum(axis=0), strict=True):
        if count in (0, len(labels)):
            raise UserError(
                f"concepts.words.{name}: expected some training images to learn from with it and some "
                f"without, found it in {count} of {len(labels)}; change its words, leave it out, or change "
                "concepts.validation_share"
            )


def score(
    x: Float[np.ndarray, "images width"],
    labels: Labels,
    asked: Float[np.ndarray, "asked width"],
    penalties: list[float],
) -> Float[np.ndarray, "asked concepts"]:
    """How much each asked image looks like each concept: the logits of regressions on ``x``."""
    scaler = StandardScaler().fit(x)
    known, wanted = scaler.transform(x), scaler.transform(asked)
    columns = [
        LogisticRegression(C=1 / penalty, max_iter=2000).fit(known, label).decision_function(wanted)
        for label, penalty in zip(labels.T, penalties, strict=True)
    ]
    return np.stack(columns, axis=1)


def mean_average_precision(run: Run, labels: Labels, scores: Scores) -> tuple[Metric, list[float]]:
    """The mean over concepts (%) with its interval over test images, and each concept's (%).

    The record keeps labels and float16 scores, image by image, so that models can be compared in pairs.
    """
    kept = scores.astype(np.float16)
    statistics = run.settings.statistics
    drawn = (statistics.draws, statistics.confidence, run.settings.seed)
    interval = interval_of_precision(labels, [kept], [1.0], *drawn)
    truths = labels.astype(np.uint8).ravel()
    images = np.array([len(labels)], np.int64)
    metric = percent(interval, len(labels), labels=truths, scores=kept.ravel(), images=images)
    return metric, [100 * value for value in precisions(labels, kept)]


def shares(labels: Labels) -> list[float]:
    """Percentage of the images that have each concept."""
    return [100 * float(value) for value in labels.mean(axis=0)]
