"""Out-of-distribution detection as in Figure 6: Mahalanobis distance and maximum softmax probability."""

import time

import numpy as np
from jaxtyping import Float

from m3ae.config import Run
from m3ae.config.datasets import load_dataset
from m3ae.config.evaluation import OodPair, Task
from m3ae.evaluate.archive import Archive
from m3ae.evaluate.metrics import separation
from m3ae.evaluate.scores import Classifier, Gaussians, fit_gaussians, mahalanobis_score, max_softmax_score
from m3ae.evaluate.stored import Features
from m3ae.files import sha256_of
from m3ae.records import Metric, Record, provenance


def run_ood(run: Run, model: str) -> None:
    """Write `ood-<pair>.json` for every pair of the run."""
    started = time.time()
    run.model(model)
    features = Features(run, model)
    probes = open_probes(run, model, features)
    inputs = {**probes.facts["inputs"], "probe": sha256_of(probes.path)}
    tasks = {task.name: task for task in run.settings.probe.tasks}
    records = [
        Record(
            run=run.name,
            model=model,
            stage="ood",
            subject=pair.name,
            **measure(run, features, probes, tasks[pair.task], pair),
            settings=run.stage("ood", model),
            inputs=inputs,
            seeds=[run.settings.seed],
            provenance=provenance(started),
        )
        for pair in run.settings.ood.pairs
    ]
    for record in records:
        record.write(run.paths.record(model, f"ood-{record.subject}"))


def open_probes(run: Run, model: str, features: Features) -> Archive:
    """The trained probes. Raises UserError unless they were trained on these features with these settings."""
    probes = Archive(run.paths.classifier(model), f"probe --run {run.name} --model {model}")
    inputs = {"weights": features.facts["inputs"]["weights"], "features": sha256_of(features.path)}
    probes.check("inputs", inputs, "trained on other features than those that are there now")
    probes.check("settings", run.stage("probe", model), "trained with other settings than the run's")
    return probes


def classifier_of(probes: Archive, task: Task) -> Classifier:
    """The trained probe of a task."""
    return Classifier(*(np.asarray(probes.array(f"{task.name}/{field}")) for field in Classifier._fields))


def measure(run: Run, features: Features, probes: Archive, task: Task, pair: OodPair) -> dict[str, dict]:
    """Both scores' AUROCs of a pair, and facts about them, as fields of a record."""
    gaussians = gaussians_of(features, task)
    classifier = classifier_of(probes, task)
    x_in = features.features(task.dataset, task.test)
    x_out = features.features(pair.out.dataset, pair.out.split)
    metrics: dict[str, Metric] = {
        "mahalanobis_auroc": separation(run, *(mahalanobis_score(x, gaussians) for x in (x_in, x_out))),
        "msp_auroc": separation(run, *(max_softmax_score(classifier.logits(x)) for x in (x_in, x_out))),
    }
    details = {
        "num_in": len(x_in),
        "num_out": len(x_out),
        "dim": x_in.shape[1],
        "covariance_rank": gaussians.rank,  # below `dim`: a pseudo-inverse was taken
    }
    return {"metrics": metrics, "details": details}


def gaussians_of(features: Features, task: Task) -> Gaussians:
    """The class distributions of a task's training images."""
    num_classes = load_dataset(task.dataset).num_classes(task.label)
    x: Float[np.ndarray, "count width"] = features.features(task.dataset, task.train)
    return fit_gaussians(x, features.labels(task.dataset, task.train, task.label, num_classes))
