"""The probe's accuracy on sets of a task's classes that others took: ImageNet-V2, -R, -A, -Sketch."""

import numpy as np
from jaxtyping import Float

from m3ae.config import Run
from m3ae.config.evaluation import Task
from m3ae.config.extended import NaturalShift
from m3ae.data.evalsets.evalsets import EvalImages
from m3ae.evaluate.metrics import mean_share
from m3ae.evaluate.scores import Classifier
from m3ae.evaluate.stored import Features
from m3ae.records import Metric


def natural_metrics(run: Run, features: Features, classifier: Classifier, task: Task) -> dict[str, Metric]:
    """Accuracy (%) on every set of the task's classes.

    ImageNet-R and ImageNet-A have 200 of the 1,000 classes; as their authors do, the largest logit *among
    these* is the answer. Where a set has all classes, so does the argmax.
    """
    shifts = [shift for shift in run.extended.shift.natural if shift.task == task.name]
    return {
        shift.name: mean_share(run, natural(run, features, classifier, shift), keep=True) for shift in shifts
    }


def natural(
    run: Run, features: Features, classifier: Classifier, shift: NaturalShift
) -> Float[np.ndarray, " count"]:
    """Whether each image of a set is classified right (1.0 or 0.0)."""
    dataset, split = shift.images.dataset, shift.images.split
    logits = classifier.logits(np.asarray(features.features(dataset, split)))
    parents = EvalImages(run, dataset, split).parent_indices(shift.label)
    if parents is not None:
        logits = logits[:, parents]
    labels = features.labels(dataset, split, shift.label, logits.shape[1])
    return (logits.argmax(axis=1) == labels).astype(np.float64)
