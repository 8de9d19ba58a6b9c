"""What there is beyond the figures, and how each target's table and chart are read."""

from collections.abc import Callable
from typing import NamedTuple

from m3ae.config import Run


class Target(NamedTuple):
    """A table and a chart of one kind of record."""

    title: str
    about: str
    """What stands below the title: how to read it, and what it does not say."""
    records: Callable[[Run], list[str]]
    """Names of the records of a model."""
    in_chart: Callable[[str], bool]
    """Which metrics the chart shows; the table has all."""
    axis: str
    """What the numbers are."""


MANY = (
    "Nothing is chosen here, and no interval is adjusted for the number of rows: the best of many is best "
    "partly by chance."
)


def is_no_difference(metric: str) -> bool:
    """Whether a metric of `captions` is a share, which a chart from 0 to 100 can show."""
    corrected = metric.startswith("image_to_text_minus")  # for how likely the caption is anyway
    return not metric.endswith("_gain") and (corrected or "_minus_" not in metric)


TARGETS = {
    "probes": Target(
        "More probes of the frozen encoders",
        "Accuracy (%) of heads that were chosen on a part of the training set: the best of a sweep over "
        "learning rate, block and pooling, logistic regression, nearest neighbours, and few training images "
        "per class (means over draws).",
        lambda run: [f"probes-{task}" for task in run.tasks],
        lambda _: True,
        "accuracy (%)",
    ),
    "augmented": Target(
        "Heads on augmented images",
        "Accuracy (%) of heads for which the encoder runs again in every epoch: the authors' linear probe "
        "after its last epoch, the same at the epoch that is best *on the test set* (as the authors report "
        "it: too good, for comparison alone), and fine-tuning of the whole encoder.",
        lambda run: [f"augmented-{task}" for task in run.augmented_tasks],
        lambda _: True,
        "accuracy (%)",
    ),
    "detection": Target(
        "Out-of-distribution detection with every score",
        "AUROC, AUPR with either side as positive, FPR@95 (%; for FPR lower is better) of scores on frozen "
        f"features; 50 is chance. {MANY}",
        lambda run: [f"detection-{pair}" for pair in run.detection_pairs],
        lambda metric: metric.endswith("_auroc"),
        "AUROC (%)",
    ),
    "shift": Target(
        "Accuracy under shift",
        "Accuracy (%) of the linear probe on corrupted test images (means over severities), and on sets that "
        f"others took. {MANY}",
        lambda run: [f"shift-{task}" for task in run.tasks],
        lambda metric: not metric[-1].isdigit() and "error" not in metric,
        "accuracy (%)",
    ),
    "robustness": Target(
        "Accuracy under attack",
        "Accuracy (%) of the linear probe on attacked test images; radii of images in [0, 1]. The claim that "
        "M3AE is more robust is a summary's, not the paper's.",
        lambda _: ["robustness"],
        lambda _: True,
        "accuracy (%)",
    ),
    "captions": Target(
        "The text side",
        "Words predicted from images, image-text retrieval on a small gallery, questions as clozes, concepts "
        "from text and joint features (%).",
        lambda _: ["captions"],
        is_no_difference,
        "%",
    ),
}
