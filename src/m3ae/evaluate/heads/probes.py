"""The target `probes`: what else stored features hold; every choice is made on training images."""

import time
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from m3ae.config import Run
from m3ae.config.datasets import load_dataset
from m3ae.config.evaluation import Task
from m3ae.config.extended import Probes
from m3ae.evaluate.bootstrap import interval_of_mean
from m3ae.evaluate.heads.fewshot import few_shot
from m3ae.evaluate.heads.knn import knn
from m3ae.evaluate.heads.logistic import fit_logistic
from m3ae.evaluate.heads.sweep import Grid, sweep
from m3ae.evaluate.linear import is_correct
from m3ae.evaluate.metrics import accuracy, percent
from m3ae.evaluate.stored import Features, Layers, checked_sha256
from m3ae.records import Metric, Record, provenance

Inputs = Float[np.ndarray, "count width"]
Classes = Int[np.ndarray, " count"]


class Split(NamedTuple):
    """Features of a split with their classes."""

    x: Inputs
    classes: Classes


class Data(NamedTuple):
    """What a task's probes are trained on, and the test set, which each of them touches once."""

    train: Split
    test: Split
    num_classes: int
    layers: dict[str, dict[str, np.ndarray]]
    """Representations of `train` and `test`, for the sweep."""


class Found(NamedTuple):
    """What one kind of probe adds to the record."""

    metrics: dict[str, Metric]
    details: dict[str, Any]


def run_probes(run: Run, model: str) -> None:
    """Write `probes-<task>.json` for every task."""
    started = time.time()
    run.model(model)
    features, layers = Features(run, model), Layers(run, model)
    inputs = {
        "weights": features.facts["inputs"]["weights"],
        "features": checked_sha256(features, run, model),
        "layers": checked_sha256(layers, run, model),
    }
    for task in tqdm(run.settings.probe.tasks, desc=f"more probes of {model}", disable=None):
        data = data_of(features, layers, task)
        found = [kind(run, run.extended.probes, data) for kind in KINDS]
        Record(
            run=run.name,
            model=model,
            stage="probes",
            subject=task.name,
            metrics={name: metric for part in found for name, metric in part.metrics.items()},
            details={
                "num_train": len(data.train.x),
                "num_test": len(data.test.x),
                "chance": 100 / len(np.unique(data.train.classes)),
                **{name: fact for part in found for name, fact in part.details.items()},
            },
            settings=run.stage("probes", model),
            inputs=inputs,
            seeds=[run.settings.seed],
            provenance=provenance(started),
        ).write(run.paths.record(model, f"probes-{task.name}"))


def data_of(features: Features, layers: Layers, task: Task) -> Data:
    """The features and classes of a task's two splits."""
    num_classes = load_dataset(task.dataset).num_classes(task.label)
    splits = {"train": task.train, "test": task.test}
    train, test = (
        Split(
            features.features(task.dataset, split),
            features.labels(task.dataset, split, task.label, num_classes),
        )
        for split in splits.values()
    )
    stored = {name: layers.representations(task.dataset, split) for name, split in splits.items()}
    return Data(train, test, num_classes, stored)


def swept(run: Run, settings: Probes, data: Data) -> Found:
    """The best of many linear heads: learning rate x block x pooling."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    grid = Grid(
        base_lrs=settings.base_lrs,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        validation_share=run.settings.probe.validation_share,
    )
    x = {name: torch.from_numpy(array) for name, array in data.layers["train"].items()}
    classes = torch.from_numpy(data.train.classes).to(device)
    result = sweep(x, classes, data.num_classes, grid, run.settings.seed)
    asked = torch.from_numpy(data.layers["test"][result.chosen.representation]).float().to(device)
    right = is_correct(result.probe, asked, torch.from_numpy(data.test.classes).to(device))
    best: dict[str, float] = {}
    for head, value in result.accuracies.items():
        best[head.representation] = max(value, best.get(head.representation, 0.0))
    details = {
        "heads": len(result.accuracies) + len(result.diverged),
        "diverged": len(result.diverged),
        "chosen": result.chosen._asdict(),
        "best_of_representation": best,  # on the part of the training set on which a head is chosen
    }
    return Found({"sweep": accuracy(run, right.cpu().numpy())}, {"sweep": details})


def regressed(run: Run, settings: Probes, data: Data) -> Found:
    """Logistic regression of scikit-learn."""
    result = fit_logistic(
        np.asarray(data.train.x),
        data.train.classes,
        cs=[1 / penalty for penalty in settings.penalties],
        validation_share=run.settings.probe.validation_share,
        seed=run.settings.seed,
    )
    right = result.predict(np.asarray(data.test.x)) == data.test.classes
    details = {"penalty": 1 / result.c, "has_converged": result.has_converged}
    return Found({"logistic": accuracy(run, right)}, {"logistic": details})


def near(run: Run, settings: Probes, data: Data) -> Found:
    """Nearest neighbours."""
    result = knn(
        torch.from_numpy(data.train.x),
        torch.from_numpy(data.train.classes),
        data.num_classes,
        torch.from_numpy(data.test.x),
        ks=settings.neighbours,
        validation_share=run.settings.probe.validation_share,
        seed=run.settings.seed,
    )
    right = result.predictions.numpy() == data.test.classes
    return Found({"knn": accuracy(run, right)}, {"neighbours": result.k})


def few(run: Run, settings: Probes, data: Data) -> Found:
    """Few training images per class: the mean over draws."""
    metrics: dict[str, Metric] = {}
    details: dict[str, Any] = {}
    for shots in settings.shots:
        result = few_shot(
            np.asarray(data.train.x),
            data.train.classes,
            np.asarray(data.test.x),
            shots,
            draws=settings.draws,
            seed=run.settings.seed,
        )
        right = result.is_correct(data.test.classes)
        name = f"shots{shots}"
        metrics[name] = mean_over_draws(run, right)
        details[name] = {
            "of_each_draw": [100 * float(share) for share in right.mean(axis=1)],
            "images": result.num_images,
            "classes_with_fewer": len(result.short),
        }
    return Found(metrics, details)


def mean_over_draws(run: Run, right: Bool[np.ndarray, "draws asked"]) -> Metric:
    """Accuracy (%), the mean over draws of training images; its interval speaks of the test images alone."""
    statistics = run.settings.statistics
    shares = right.mean(axis=0)
    interval = interval_of_mean(shares, statistics.draws, statistics.confidence, run.settings.seed)
    return percent(interval, right.shape[1], correct=shares.astype(np.float32))


KINDS = (swept, regressed, near, few)
