"""The target `detection`: every out-of-distribution score that is known, near and far, on stored features.

Figure 6 prints two scores; this is the table that a user of the encoder asks for. With so many scores the
best of a row is best partly by chance: none is chosen here, and no interval is adjusted for their number.
"""

import time
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from m3ae.config import Run
from m3ae.config.datasets import load_dataset
from m3ae.config.evaluation import EvalSplit, OodPair, Task
from m3ae.evaluate.archive import Archive
from m3ae.evaluate.detect.metrics import interval_of_detection
from m3ae.evaluate.detect.odin import PixelOdin
from m3ae.evaluate.detect.reconstruction import Rebuilder, names_of
from m3ae.evaluate.detect.scores import SCORES, Fitted, fit
from m3ae.evaluate.ood import classifier_of, open_probes
from m3ae.evaluate.scores import Classifier
from m3ae.evaluate.stored import Features
from m3ae.files import sha256_of
from m3ae.records import Metric, Record, provenance

Scores = Float[np.ndarray, " count"]


def run_detection(run: Run, model: str) -> None:
    """Write `detection-<pair>.json` for every pair: AUROC, AUPR of both sides and FPR@95 of each score."""
    started = time.time()
    run.model(model)
    features = Features(run, model)
    probes = open_probes(run, model, features)
    inputs = {**probes.facts["inputs"], "probe": sha256_of(probes.path)}
    tasks = {task.name: task for task in run.settings.probe.tasks}
    rebuilder = Rebuilder(run, model, run.extended.detection.masks) if model in run.rebuilding else None
    fitted: dict[str, Fitted] = {}
    for pair in run.extended.detection.pairs:
        task = tasks[pair.task]
        if task.name not in fitted:
            fitted[task.name] = fit_task(features, probes, task)
        scores = dict(scores_of(features, fitted[task.name], task, pair))
        scores |= perturbed(run, model, classifier_of(probes, task), task, pair)
        if rebuilder is not None:
            scores |= rebuilt(run, rebuilder, features, fitted[task.name], task, pair)
        Record(
            run=run.name,
            model=model,
            stage="detection",
            subject=pair.name,
            metrics=measure(run, scores),
            details={"num_in": len(scores["msp"][0]), "num_out": len(scores["msp"][1])},
            settings=run.stage("detection", model),
            inputs=inputs,
            seeds=[run.settings.seed],
            provenance=provenance(started),
        ).write(run.paths.record(model, f"detection-{pair.name}"))


def fit_task(features: Features, probes: Archive, task: Task) -> Fitted:
    """What the scores know of a task's training images."""
    num_classes = load_dataset(task.dataset).num_classes(task.label)
    x = features.features(task.dataset, task.train)
    return fit(
        x, features.labels(task.dataset, task.train, task.label, num_classes), classifier_of(probes, task)
    )


def scores_of(
    features: Features, fitted: Fitted, task: Task, pair: OodPair
) -> Iterator[tuple[str, tuple[Scores, Scores]]]:
    """Each score of the "in" and of the "out" images; higher is more in-distribution."""
    x_in = features.features(task.dataset, task.test)
    x_out = features.features(pair.out.dataset, pair.out.split)
    for name, score in SCORES.items():
        yield name, (score(fitted, x_in), score(fitted, x_out))


def perturbed(
    run: Run, model: str, classifier: Classifier, task: Task, pair: OodPair
) -> dict[str, tuple[Scores, Scores]]:
    """ODIN with its step in pixels, where gradients are had: features in bf16 have none worth following."""
    if run.settings.features.precision != "fp32":
        return {}
    odin = PixelOdin(run, model, classifier)
    inside = EvalSplit(dataset=task.dataset, split=task.test)
    return {"odin_pixels": (odin.scores(inside), odin.scores(pair.out))}


def rebuilt(
    run: Run, rebuilder: Rebuilder, features: Features, fitted: Fitted, task: Task, pair: OodPair
) -> dict[str, tuple[Scores, Scores]]:
    """Minus the reconstruction error; and that beside the name of the class that the probe predicts."""
    names = names_of(run, task) if rebuilder.reads_text else None
    found: dict[str, list[Scores]] = {"reconstruction": [], "text_reconstruction": []}
    for split in (EvalSplit(dataset=task.dataset, split=task.test), pair.out):
        found["reconstruction"].append(-rebuilder.errors(split))
        if names is not None:
            x = features.features(split.dataset, split.split)
            taken_for = fitted.head(fitted.normalise(x)).argmax(axis=1)
            found["text_reconstruction"].append(-rebuilder.errors(split, names, taken_for))
    return {name: (sides[0], sides[1]) for name, sides in found.items() if sides}


def measure(run: Run, scores: dict[str, tuple[Scores, Scores]]) -> dict[str, Metric]:
    """The four metrics (%) of each score, by names such as `vim_auroc`, of the float32 scores."""
    statistics = run.settings.statistics
    drawn = (statistics.draws, statistics.confidence, run.settings.seed)
    found = {}
    for name, sides in scores.items():
        inside, outside = (side.astype(np.float32) for side in sides)
        for metric, interval in interval_of_detection(inside, outside, *drawn).items():
            num = len(inside) + len(outside)
            found[f"{name}_{metric}"] = Metric(**interval.times(100)._asdict(), n=num, unit="%")
    return found
